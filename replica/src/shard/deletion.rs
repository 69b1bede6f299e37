//! Records that are deleted because somebody asks for it.
//!
//! The answer waits until a majority of the voters has it on stable storage: from then on no later
//! leader shows them again. Batches go as a whole, so the log then begins at the batch that holds
//! the offset that was asked for.

use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use futures_util::future::select;
use quorate_log::{LogError, Read};
use quorate_platform::{Instant, Platform};
use quorate_vsr::Offset;
use quorate_vsr::partition::Event;
use quorate_wire::{Code, Refusal, Response};

use super::Shard;
use super::connection::Reply;
use super::damage;
use super::signal::Signal;
use super::state::State;

/// After this time the answer is that the majority has not been heard.
const WAIT_MAX: Duration = Duration::from_secs(5);

/// Deletes what is before `before`, or all that is committed, and answers when it is done.
pub(super) fn start<P: Platform>(shard: &Rc<Shard<P>>, id: u64, before: Option<u64>, reply: Reply) {
    let shard = Rc::clone(shard);
    let platform = shard.platform.clone();
    platform.spawn(async move {
        match carry_out(&shard, id, before).await {
            Ok(log_start_offset) => reply.send(&Response::RecordsDeleted { log_start_offset }),
            Err(refusal) => reply.refuse(refusal),
        }
    });
}

async fn carry_out<P: Platform>(
    shard: &Rc<Shard<P>>,
    id: u64,
    before: Option<u64>,
) -> Result<u64, Refusal> {
    let deadline = shard.platform.now() + WAIT_MAX;
    let before = shard.state.borrow().deletable(id, before)?;
    let boundary = boundary(shard, id, before).await?;
    loop {
        let deleted = shard.state.borrow_mut().delete(id, boundary)?;
        match deleted {
            Some(log_start) => return Ok(log_start),
            None if shard.platform.now() >= deadline => return Err(unconfirmed(id, boundary)),
            None => wait(shard, id, deadline).await,
        }
    }
}

/// Where the batch begins that holds `offset`, which is committed, or the end of what is.
async fn boundary<P: Platform>(shard: &Rc<Shard<P>>, id: u64, offset: u64) -> Result<u64, Refusal> {
    loop {
        let read = {
            let state = shard.state.borrow();
            let partition = state.partitions.get(&id);
            let partition = partition.ok_or_else(|| state.elsewhere(id))?;
            let high_watermark = partition.replica.high_watermark().0;
            if offset <= partition.replica.log_start().0 || offset >= high_watermark {
                return Ok(offset);
            }
            partition.log.begin_read(offset, 1, high_watermark)
        };
        let batches = match read {
            Read::Ready(batches) => Ok(batches),
            Read::Job(job) => job.run().await,
            Read::Damaged(range) => return Err(damage::refusal(id, &range)),
            Read::OutOfRange => return Ok(offset),
        };
        let error = match batches {
            Ok(batches) => {
                let first = batches.first().map(|batch| super::batch_header(batch));
                return Ok(first.map_or(offset, |header| header.base_offset));
            }
            Err(LogError::Superseded) => continue,
            Err(LogError::Damaged { offset, .. }) => {
                let surveyed = damage::survey(shard, id, offset).await;
                match surveyed {
                    Ok(true) => continue,
                    Ok(false) => LogError::Superseded,
                    Err(error) => error,
                }
            }
            Err(error) => error,
        };
        return Err(Refusal::new(Code::Overloaded, error.to_string()));
    }
}

/// Waits until the partition has taken another step.
async fn wait<P: Platform>(shard: &Shard<P>, id: u64, deadline: Instant) {
    let now = shard.platform.now();
    let signal = Rc::new(Signal::default());
    let place = {
        let mut state = shard.state.borrow_mut();
        let Some(partition) = state.partitions.get_mut(&id) else {
            return;
        };
        partition.deleting.insert(Rc::clone(&signal))
    };
    let timeout = pin!(shard.platform.sleep(deadline - now));
    select(pin!(signal.wait()), timeout).await;
    if let Some(partition) = shard.state.borrow_mut().partitions.get_mut(&id) {
        partition.deleting.remove(place);
    }
}

impl<P: Platform> State<P> {
    /// The first offset that stays, if it is one that may be asked for.
    fn deletable(&self, id: u64, before: Option<u64>) -> Result<u64, Refusal> {
        let partition = self.partitions.get(&id).map(|partition| &partition.replica);
        let replica = partition.filter(|replica| replica.is_open());
        let replica = replica.ok_or_else(|| self.elsewhere(id))?;
        let high_watermark = replica.high_watermark().0;
        match before {
            None => Ok(high_watermark),
            Some(before) if before <= high_watermark => Ok(before),
            Some(before) => Err(Refusal::new(
                Code::OffsetOutOfRange,
                format!(
                    "partition {id} cannot be deleted up to offset {before}: its high watermark \
                     is {high_watermark}, and only what is committed can be deleted"
                ),
            )),
        }
    }

    /// Deletes what is before `boundary`; the log start, once that is settled.
    fn delete(&mut self, id: u64, boundary: u64) -> Result<Option<u64>, Refusal> {
        let before = Offset(boundary);
        // While the own disk lacks some of it, that it is asked for changes nothing; and as each
        // step wakes all who wait here, two of them would keep each other awake.
        let is_new = |partition: &super::partition::Partition<P>| {
            let replica = &partition.replica;
            let is_durable = before <= replica.durable_offset();
            replica.is_open() && is_durable && replica.log_start() < before
        };
        if self.partitions.get(&id).is_some_and(is_new) {
            tracing::info!(partition = id, %before, "records are deleted on request");
            self.step(id, Event::Expire { before });
        }
        let replica = self.partitions.get(&id).map(|partition| &partition.replica);
        let Some((replica, settled)) = replica.and_then(|replica| {
            replica
                .settled_log_start()
                .map(|settled| (replica, settled))
        }) else {
            return Err(self.elsewhere(id));
        };
        Ok((settled >= before).then(|| replica.log_start().0))
    }
}

fn unconfirmed(id: u64, boundary: u64) -> Refusal {
    Refusal::new(
        Code::Unavailable,
        format!(
            "no majority of the replicas of partition {id} has confirmed that it begins at offset \
             {boundary}: what is before that may or may not be gone; ask again, and check that \
             the nodes that hold it are running"
        ),
    )
}
