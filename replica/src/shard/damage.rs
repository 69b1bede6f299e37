//! Damaged records: found when a partition is opened or read, and put back with what other replicas
//! send.

use std::rc::Rc;

use bytes::Bytes;
use quorate_log::{BrokenFrames, DamagedRange, LogError};
use quorate_platform::Platform;
use quorate_vsr::Offset;
use quorate_vsr::partition::Event;
use quorate_wire::{Code, Refusal};

use super::Shard;
use super::state::State;

/// A read has met damage at `offset`: looks how far it reaches, and tells the protocol. False if
/// nothing is damaged there, or not any more.
pub(super) async fn survey<P: Platform>(
    shard: &Rc<Shard<P>>,
    id: u64,
    offset: u64,
) -> Result<bool, LogError> {
    let job = {
        let state = shard.state.borrow();
        let log = state.partitions.get(&id).map(|partition| &partition.log);
        let is_there = |log: &&quorate_log::PartitionLog<P>| {
            (log.log_start_offset()..log.durable_offset()).contains(&offset)
        };
        log.filter(is_there).map(|log| log.begin_survey(offset))
    };
    let Some(job) = job else {
        return Ok(false);
    };
    let surveyed = job.run().await;
    let mut state = shard.state.borrow_mut();
    let Some(partition) = state.partitions.get_mut(&id) else {
        return Ok(false);
    };
    let Some(range) = partition.log.finish_survey(surveyed)? else {
        return Ok(false);
    };
    state.on_damaged(id, &range);
    Ok(true)
}

/// Records that cannot be read for now.
pub(super) fn refusal(id: u64, range: &DamagedRange) -> Refusal {
    let DamagedRange { from, to, .. } = range;
    let detail = format!(
        "the records of partition {id} from offset {from} to {to} (exclusive) are damaged on this \
         node's disk: it fetches them from the other replicas, if one of them has them; read from \
         another replica, or try again later"
    );
    Refusal::new(Code::DamagedRecords, detail)
}

impl<P: Platform> State<P> {
    /// Tells the protocol what is known to be damaged.
    pub(super) fn tell_damage(&mut self, id: u64) {
        let Some(partition) = self.partitions.get(&id) else {
            return;
        };
        for range in partition.log.damaged().to_vec() {
            self.on_damaged(id, &range);
        }
    }

    fn on_damaged(&mut self, id: u64, range: &DamagedRange) {
        let DamagedRange {
            from,
            to,
            segment,
            position,
            ..
        } = *range;
        tracing::warn!(
            partition = id,
            from,
            to,
            segment,
            position,
            "records are damaged: asking the other replicas"
        );
        let (from, to) = (Offset(from), Offset(to));
        self.step(id, Event::Damaged { from, to });
    }

    /// Has `batches` put in the place of damaged ones as soon as the disk is free.
    pub(super) fn rewrite(&mut self, id: u64, batches: &[Bytes]) {
        if let Some(partition) = self.partitions.get_mut(&id) {
            partition.rewrite = Some(batches.to_vec());
            self.enqueue(id);
        }
    }

    /// Has damaged frames written anew as soon as the disk is free. For that nobody else is needed.
    pub(super) fn reframe(&mut self, id: u64, broken: BrokenFrames) {
        if let Some(partition) = self.partitions.get_mut(&id) {
            partition.broken_frames = broken;
            self.enqueue(id);
        }
    }
}

/// Says how many frames are good again.
pub(super) fn tell_reframed(partition: u64, frames: u32) {
    tracing::info!(partition, frames, "checksums of writes are good again");
}

/// The offsets that `batches` take.
pub(super) fn offsets_of(batches: &[Bytes]) -> (Offset, Offset) {
    let first = batches.first().map(|batch| super::batch_header(batch));
    let last = batches.last().map(|batch| super::batch_header(batch));
    let from = first.map_or(0, |header| header.base_offset);
    let to = last.map_or(0, |header| header.next_offset());
    (Offset(from), Offset(to))
}
