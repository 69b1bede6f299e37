//! The first committed record since a time.
//!
//! Only a leader answers, and only once it knows all that was committed: before that its high
//! watermark may lie below what earlier leaders have acknowledged, and "there is none" would be
//! wrong. The log says from where to where it has to be looked; everything that is read is read by
//! jobs, during which the log may be cut, compacted, or lose its first segments. So each look
//! begins with the partition as it is then.

use std::rc::Rc;

use quorate_log::{LogError, Lookup, Sighting};
use quorate_platform::Platform;
use quorate_wire::{Code, Refusal, Response};

use super::Shard;
use super::connection::Reply;
use super::damage;
use super::state::State;

/// What one look reads at most, more or less: the largest batch and a stretch of an index.
const READ_BYTES_MAX: u64 = 2 << 20;

/// Looks without any progress. A few are normal: an index has to be read, or something was cut or
/// removed meanwhile. More than that are a disk that reads differently every time, or so much else
/// that is looked for that every index is dropped before it is used.
const LOOKS_MAX: u32 = 64;

/// What a leader knows when it looks.
#[derive(Clone, Copy, Debug)]
struct Range {
    epoch: u32,
    high_watermark: u64,
}

/// Looks for the first record of `timestamp` or later, in a task of its own.
pub(super) fn start<P: Platform>(shard: &Rc<Shard<P>>, id: u64, timestamp: i64, reply: Reply) {
    let shard = Rc::clone(shard);
    let platform = shard.platform.clone();
    platform.spawn(async move {
        // Counts as a read as long as it lasts; what it finds is not sent.
        let connection = Rc::clone(reply.connection());
        let reading = connection.start_reading(&shard.reading, READ_BYTES_MAX);
        let _reading = reading.await;
        match carry_out(&shard, id, timestamp).await {
            Ok(response) => reply.send(&response),
            Err(refusal) => reply.refuse(refusal),
        }
    });
}

async fn carry_out<P: Platform>(
    shard: &Rc<Shard<P>>,
    id: u64,
    timestamp: i64,
) -> Result<Response, Refusal> {
    let mut from = 0;
    let mut looks = 0;
    while looks < LOOKS_MAX {
        looks += 1;
        let (range, lookup) = shard.state.borrow().look(id, timestamp, from)?;
        let sighting = match lookup {
            Lookup::Ready(sighting) => Ok(sighting),
            Lookup::Job(job) => job.run().await,
            Lookup::Index(job) => {
                job.run().await.map_err(|error| unreadable(&error))?;
                continue;
            }
            Lookup::Damaged(damaged) => return Err(damage::refusal(id, &damaged)),
        };
        match sighting {
            Ok(Sighting::Found(found)) => {
                if !shard.state.borrow().has_expired(id, found.offset)? {
                    return Ok(range.response(found.offset, Some(found.timestamp)));
                }
            }
            Ok(Sighting::Nothing) => return Ok(range.response(range.high_watermark, None)),
            Ok(Sighting::Behind(offset)) => {
                assert!(offset > from, "a look that has found nothing goes on");
                from = offset;
                looks = 0;
            }
            Err(LogError::Superseded) => {}
            // What is damaged is known from here on, and so the next look says so.
            Err(LogError::Damaged { offset, .. }) => {
                let surveyed = damage::survey(shard, id, offset).await;
                surveyed.map_err(|error| unreadable(&error))?;
            }
            Err(error) => return Err(unreadable(&error)),
        }
    }
    let detail =
        format!("the log of partition {id} changes all the time: ask again a little later");
    Err(Refusal::new(Code::Overloaded, detail))
}

impl<P: Platform> State<P> {
    /// Looks from `from` on, as far as the partition is committed.
    fn look(&self, id: u64, timestamp: i64, from: u64) -> Result<(Range, Lookup<P>), Refusal> {
        let partition = self.partitions.get(&id);
        let partition = partition.filter(|partition| partition.replica.knows_commits());
        let partition = partition.ok_or_else(|| self.elsewhere(id))?;
        let replica = &partition.replica;
        let log_start = replica.log_start().0;
        let range = Range {
            epoch: replica.epoch().0,
            high_watermark: replica.high_watermark().0,
        };
        assert!(
            log_start <= range.high_watermark,
            "what expires is committed"
        );
        let (from, until) = (from.max(log_start), range.high_watermark);
        let lookup = partition.log.begin_lookup(timestamp, from, until);
        Ok((range, lookup))
    }

    /// Whether the record at `offset` was removed from the beginning of the partition.
    fn has_expired(&self, id: u64, offset: u64) -> Result<bool, Refusal> {
        let partition = self.partitions.get(&id).ok_or_else(|| self.elsewhere(id))?;
        Ok(offset < partition.replica.log_start().0)
    }
}

impl Range {
    fn response(self, offset: u64, timestamp: Option<i64>) -> Response {
        let Self { epoch, .. } = self;
        assert!(
            offset <= self.high_watermark,
            "only what is committed is told"
        );
        Response::Found {
            epoch,
            offset,
            timestamp,
        }
    }
}

/// Most likely no file handle is left, or the disk has a hiccup: it may pass.
fn unreadable(error: &LogError) -> Refusal {
    tracing::error!(%error, "a time cannot be looked for");
    Refusal::new(Code::Overloaded, error.to_string())
}
