use std::collections::BTreeMap;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::select;
use quorate_log::{LogError, Read};
use quorate_platform::{Instant, Platform};
use quorate_vsr::sabotage::{self, Sabotage};
use quorate_wire::{Code, PAYLOAD_BYTES_MAX, Refusal, Response};

use super::Shard;
use super::connection::{Connection, Reading, Reply};
use super::damage;
use super::signal::Signal;
use super::state::State;

/// The longest that an answer is held back.
const WAIT_MAX: Duration = Duration::from_secs(60);
/// Less than a frame's payload may hold, by the largest batch: the first batch always comes.
const BYTES_MAX: u32 = PAYLOAD_BYTES_MAX - (2 << 20);

/// Times that one fetch has a look at damage. Each makes known what it finds, and what is mended
/// meanwhile is not found: more than a few are a disk that reads differently every time.
const SURVEYS_MAX: u32 = 8;

/// A consumer's wish.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fetch {
    pub(super) partition: u64,
    pub(super) offset: u64,
    pub(super) bytes_max: u32,
    pub(super) wait_ms: u32,
    pub(super) from_follower: bool,
}

/// Fetches, or deletions, that wait until there is a reason to look again.
#[derive(Debug, Default)]
pub(super) struct Parked {
    signals: BTreeMap<u64, Rc<Signal>>,
    // Ids are not used again: whoever was woken may still ask for its own to be removed.
    next: u64,
}

impl Parked {
    pub(super) fn insert(&mut self, signal: Rc<Signal>) -> u64 {
        let id = self.next;
        self.next += 1;
        self.signals.insert(id, signal);
        id
    }

    pub(super) fn remove(&mut self, id: u64) {
        self.signals.remove(&id);
    }

    /// Has every one of them look again.
    pub(super) fn wake_all(&mut self) {
        for signal in std::mem::take(&mut self.signals).values() {
            signal.notify();
        }
    }
}

/// What a partition offers to a fetch.
#[derive(Clone, Copy, Debug)]
struct Range {
    high_watermark: u64,
    log_start_offset: u64,
}

/// Answers `fetch` as soon as there is something to answer, in a task of its own.
pub(super) fn start<P: Platform>(shard: &Rc<Shard<P>>, fetch: Fetch, reply: Reply) {
    let shard = Rc::clone(shard);
    let platform = shard.platform.clone();
    platform.spawn(async move {
        match carry_out(&shard, fetch, &reply).await {
            Ok((range, batches, reading)) => {
                let response = range.response(fetch.offset, &batches);
                reply.send_batches(&response, batches, reading);
            }
            Err(refusal) => reply.refuse(refusal),
        }
    });
}

type Fetched = (Range, Vec<Bytes>, Option<Reading>);

async fn carry_out<P: Platform>(
    shard: &Rc<Shard<P>>,
    fetch: Fetch,
    reply: &Reply,
) -> Result<Fetched, Refusal> {
    let mut bytes_max = fetch.bytes_max.min(BYTES_MAX);
    if shard.platform.rarely("a fetch gets as little as it can") {
        bytes_max = bytes_max.min(1);
    }
    let wait = Duration::from_millis(fetch.wait_ms.into()).min(WAIT_MAX);
    let deadline = shard.platform.now() + wait;
    let connection = reply.connection();
    let mut reading = None;
    let mut surveys = 0;
    loop {
        let range = shard.state.borrow().range_of(&fetch)?;
        if fetch.offset >= range.high_watermark {
            reading = None;
            if !park(shard, &fetch, deadline, connection).await {
                return Ok((range, Vec::new(), None));
            }
            continue;
        }
        if reading.is_none() {
            // The wait may have taken long: look again before reading.
            reading = Some(
                connection
                    .start_reading(&shard.reading, bytes_max.into())
                    .await,
            );
            continue;
        }
        let read = shard
            .state
            .borrow()
            .read(&fetch, bytes_max as usize, range.high_watermark)?;
        let read = match read {
            Read::Ready(batches) => Ok(batches),
            Read::Job(job) => job.run().await,
            Read::Damaged(damaged) => return Err(damage::refusal(fetch.partition, &damaged)),
            Read::OutOfRange => return Err(out_of_range(&fetch, range)),
        };
        match read {
            Ok(batches) => return Ok((range, batches, reading)),
            Err(LogError::Superseded) => {}
            // What is damaged is known from here on, and so the next look says so.
            Err(LogError::Damaged { offset, .. }) if surveys < SURVEYS_MAX => {
                surveys += 1;
                let surveyed = damage::survey(shard, fetch.partition, offset).await;
                surveyed.map_err(|error| unreadable(&error))?;
            }
            Err(error) => return Err(unreadable(&error)),
        }
    }
}

/// Waits until more may be committed; false once the time is up, or the shard or the connection
/// ends.
async fn park<P: Platform>(
    shard: &Shard<P>,
    fetch: &Fetch,
    deadline: Instant,
    connection: &Connection,
) -> bool {
    let now = shard.platform.now();
    let signal = Rc::new(Signal::default());
    let place = {
        let mut state = shard.state.borrow_mut();
        let is_ending = state.is_stopping || connection.is_closed();
        let Some(partition) = state.partitions.get_mut(&fetch.partition) else {
            return true;
        };
        if now >= deadline || is_ending {
            return false;
        }
        partition.parked.insert(Rc::clone(&signal))
    };
    let place_of_connection = connection.parked().borrow_mut().insert(Rc::clone(&signal));
    let woken = pin!(signal.wait());
    let timeout = pin!(shard.platform.sleep(deadline - now));
    select(woken, timeout).await;
    connection.parked().borrow_mut().remove(place_of_connection);
    let mut state = shard.state.borrow_mut();
    if let Some(partition) = state.partitions.get_mut(&fetch.partition) {
        partition.parked.remove(place);
    }
    !connection.is_closed()
}

impl<P: Platform> State<P> {
    /// What a consumer may see of the partition: nothing at or above the high watermark.
    fn range_of(&self, fetch: &Fetch) -> Result<Range, Refusal> {
        let id = fetch.partition;
        let Some(partition) = self.partitions.get(&id) else {
            return Err(self.elsewhere(id));
        };
        let leads = partition.replica.is_open();
        if !leads && !fetch.from_follower {
            return Err(self.elsewhere(id));
        }
        let committed = if sabotage::is(Sabotage::ServedAboveWatermark) {
            u64::MAX
        } else {
            partition.replica.high_watermark().0
        };
        let range = Range {
            // A follower may know of commits that it has not received yet.
            high_watermark: committed.min(partition.log.next_offset()),
            log_start_offset: partition.replica.log_start().0,
        };
        // A follower cannot tell an offset that does not exist from one that it lacks.
        let is_beyond = leads && fetch.offset > partition.log.next_offset();
        if is_beyond || fetch.offset < range.log_start_offset {
            return Err(out_of_range(fetch, range));
        }
        Ok(range)
    }

    fn read(&self, fetch: &Fetch, bytes_max: usize, until: u64) -> Result<Read<P>, Refusal> {
        let id = fetch.partition;
        let partition = self.partitions.get(&id).ok_or_else(|| self.elsewhere(id))?;
        Ok(partition.log.begin_read(fetch.offset, bytes_max, until))
    }
}

impl Range {
    fn response(self, offset: u64, batches: &[Bytes]) -> Response {
        let first = batches
            .first()
            .map(|batch| super::batch_header(batch).base_offset);
        Response::Fetched {
            base_offset: first.unwrap_or(offset),
            high_watermark: self.high_watermark,
            log_start_offset: self.log_start_offset,
        }
    }
}

fn out_of_range(fetch: &Fetch, range: Range) -> Refusal {
    Refusal::new(
        Code::OffsetOutOfRange,
        format!(
            "partition {} has no offset {}: it holds {} to {} (exclusive)",
            fetch.partition, fetch.offset, range.log_start_offset, range.high_watermark
        ),
    )
}

/// Records that cannot be read are never served; the rest of the partition goes on. Most likely no
/// file handle is left, or the disk has a hiccup: it may pass.
fn unreadable(error: &LogError) -> Refusal {
    tracing::error!(%error, "records cannot be read");
    Refusal::new(Code::Overloaded, error.to_string())
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use quorate_wire::ClusterId;

    use super::*;

    #[test]
    fn a_closed_connection_wakes_its_parked_fetches() {
        let connection = Connection::new(ClusterId(1), || {});
        let (ended, parked) = (Rc::new(Signal::default()), Rc::new(Signal::default()));
        let place = connection.parked().borrow_mut().insert(Rc::clone(&ended));
        connection.parked().borrow_mut().insert(Rc::clone(&parked));
        connection.parked().borrow_mut().remove(place);
        assert_eq!(parked.wait().now_or_never(), None);
        connection.close();
        assert_eq!(parked.wait().now_or_never(), Some(()));
        assert_eq!(ended.wait().now_or_never(), None);
    }

    #[test]
    fn a_fetch_that_was_woken_does_not_remove_a_later_one() {
        let mut parked = Parked::default();
        let woken = parked.insert(Rc::default());
        parked.wake_all();
        let later = Rc::new(Signal::default());
        parked.insert(Rc::clone(&later));
        parked.remove(woken);
        parked.wake_all();
        assert_eq!(later.wait().now_or_never(), Some(()));
    }
}
