//! Compacts the logs of compacted topics: one partition after the other, in steps, and slowly, so
//! that whoever produces and reads does not notice.
//!
//! Each replica does it by itself. What the protocol has to know is up to where a log is compacted;
//! it then knows up to where all of them are (see `vsr/src/partition/compaction.rs`). Below that a
//! record that deletes its key may go, but not before its time: who has read what is before it
//! shall have come by it. So it goes in a pass that begins at least `tombstone_ms` after the end of
//! one that has gone over it. A restart begins to count anew.

use std::collections::VecDeque;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{Either, select};
use quorate_log::{Cleaning, CompactJob, CompactLimits, CompactStep, Compacted, LogError};
use quorate_platform::{Instant, Platform};
use quorate_vsr::Offset;
use quorate_vsr::partition::Event;
use quorate_wire::Compaction;

use super::state::State;
use super::{Shard, damage};
use crate::error::NodeError;

const LIMITS: CompactLimits = CompactLimits {
    // 50 MB of memory, for one pass at a time.
    keys_max: 1 << 20,
    step_bytes: 1 << 20,
};
/// How fast it is done, reading and writing taken together.
const BYTES_PER_SECOND: u32 = 64 << 20;
/// When to try again what the disk had no time for.
const TRY_AGAIN: Duration = Duration::from_millis(20);
/// Passes of which it is remembered when they ended. If there are more, some deletions stay longer.
const PASSES_MAX: usize = 32;

/// Looks at all partitions, again and again until the shard stops.
pub(super) async fn run<P: Platform>(shard: Rc<Shard<P>>) {
    while rests(&shard, shard.storage.retention_check).await {
        let catalog = Arc::clone(&shard.metadata.load().catalog);
        let ids: Vec<_> = shard.state.borrow().partitions.keys().copied().collect();
        for id in ids {
            let Some(compaction) = catalog.compaction_of(id) else {
                continue;
            };
            if let Err(error) = look_at(&shard, id, compaction).await {
                return shard.fail(NodeError::log(error));
            }
        }
    }
}

/// Waits; false once the shard stops.
async fn rests<P: Platform>(shard: &Shard<P>, time: Duration) -> bool {
    let sleep = pin!(shard.platform.sleep(time));
    match select(pin!(shard.closing.wait()), sleep).await {
        Either::Left(_) => false,
        Either::Right(_) => !shard.is_over(),
    }
}

/// Compacts a partition, if it is time.
async fn look_at<P: Platform>(
    shard: &Rc<Shard<P>>,
    id: u64,
    compaction: Compaction,
) -> Result<(), LogError> {
    if !shard.state.borrow_mut().is_compaction_due(id, compaction) {
        return Ok(());
    }
    loop {
        let begun = shard.state.borrow_mut().begin_compacting(id, compaction)?;
        let pause = match begun {
            Begun::Step(job) => {
                let step = job.run().await;
                let compacted = shard.state.borrow_mut().end_compacting(id, step);
                match compacted {
                    Ok(Some(Compacted::Unfinished(bytes))) => {
                        Duration::from_secs(bytes) / BYTES_PER_SECOND
                    }
                    Ok(Some(Compacted::Damaged(offset))) => {
                        damage::survey(shard, id, offset).await?;
                        return Ok(());
                    }
                    Ok(Some(Compacted::Finished(_) | Compacted::Superseded) | None) => {
                        return Ok(());
                    }
                    // The old files are there and sound, or else nothing is written any more.
                    Err(error) => {
                        tracing::error!(partition = id, %error, "cannot compact a log");
                        return Ok(());
                    }
                }
            }
            Begun::NotNow => TRY_AGAIN,
            Begun::Nothing => return Ok(()),
        };
        if !rests(shard, pause).await {
            return Ok(());
        }
    }
}

/// What came of the wish to go on.
enum Begun<P: Platform> {
    Step(Box<CompactJob<P>>),
    /// Something else has to be done first.
    NotNow,
    Nothing,
}

/// When passes over a log have ended.
#[derive(Debug, Default)]
pub(super) struct Passes {
    /// Up to where each went; both numbers grow.
    ended: VecDeque<(u64, Instant)>,
}

impl Passes {
    fn on_ended(&mut self, to: u64, now: Instant) {
        let is_news = self.ended.back().is_none_or(|last| last.0 < to);
        if is_news && self.ended.len() < PASSES_MAX {
            self.ended.push_back((to, now));
        }
    }

    /// Below this offset what deletes a key was there for so long that it may go, as far as the
    /// time is concerned. Nothing at `compacted` or above.
    fn due(&mut self, kept_for: Duration, compacted: u64, now: Instant) -> u64 {
        // What was put back in the place of damaged records has to be gone over again.
        self.ended.retain(|(to, _)| *to <= compacted);
        let is_due = |(_, ended): &&(u64, Instant)| now - *ended >= kept_for;
        let due = self.ended.iter().take_while(is_due).count();
        // Of those that are due only the last one says anything.
        self.ended.drain(..due.saturating_sub(1));
        let last = self.ended.front().filter(|_| due > 0);
        last.map_or(0, |(to, _)| *to)
    }
}

impl<P: Platform> State<P> {
    /// Whether it is time to compact a partition; first closes its last segment, if it is time for
    /// that, and has the leader hear how far it is.
    fn is_compaction_due(&mut self, id: u64, compaction: Compaction) -> bool {
        let now = self.platform.wall_clock_ms();
        let Some(partition) = self.partitions.get_mut(&id) else {
            return false;
        };
        if partition.close_to_compact(compaction, now) {
            self.enqueue(id);
        }
        self.tell_compacted(id);
        let below = self.droppable_below(id, compaction);
        let Some(partition) = self.partitions.get(&id) else {
            return false;
        };
        let until = partition.compactable_until();
        let is_wanted = partition.log.compacted() < partition.compact_to.0.min(until);
        is_wanted
            || partition.is_compaction_overdue(compaction, now)
            || partition.log.is_compactable(until, below)
    }

    /// Tells the protocol up to where a log is compacted, if not all seem to know.
    fn tell_compacted(&mut self, id: u64) {
        let Some(partition) = self.partitions.get(&id) else {
            return;
        };
        let to = Offset(partition.log.compacted());
        if to > partition.replica.compacted_everywhere() {
            self.step(id, Event::Compacted { to });
        }
    }

    /// Below this offset what deletes a key may go.
    fn droppable_below(&mut self, id: u64, compaction: Compaction) -> u64 {
        let now = self.platform.now();
        let Some(partition) = self.partitions.get_mut(&id) else {
            return 0;
        };
        let kept_for = Duration::from_millis(compaction.tombstone_ms);
        let compacted = partition.log.compacted();
        let everywhere = partition.replica.compacted_everywhere().0;
        let passes = &mut partition.passes;
        passes.due(kept_for, compacted, now).min(everywhere)
    }

    /// The next step of the pass over a partition's log.
    fn begin_compacting(&mut self, id: u64, compaction: Compaction) -> Result<Begun<P>, LogError> {
        let below = self.droppable_below(id, compaction);
        // It writes what is left of a segment anew before the old one goes.
        let has_room = self.space.admits(&self.platform, 0);
        let Some(partition) = self.partitions.get_mut(&id) else {
            return Ok(Begun::Nothing);
        };
        if !has_room || self.is_stopping || self.is_over {
            return Ok(Begun::Nothing);
        }
        if partition.is_log_changing() {
            return Ok(Begun::NotNow);
        }
        let until = partition.compactable_until();
        let job = partition.log.begin_compact(until, below, LIMITS)?;
        Ok(match job {
            Some(job) => {
                self.compacting = Some(id);
                Begun::Step(Box::new(job))
            }
            None if partition.log.is_compacting() => Begun::NotNow,
            None => Begun::Nothing,
        })
    }

    /// A step has ended; `None` if the partition was given up meanwhile.
    fn end_compacting(
        &mut self,
        id: u64,
        step: CompactStep<P>,
    ) -> Result<Option<Compacted>, LogError> {
        self.compacting = None;
        self.signals.written.notify();
        self.release_condemned(id);
        let now = self.platform.now();
        let Some(partition) = self.partitions.get_mut(&id).filter(|_| !self.is_over) else {
            return Ok(None);
        };
        let compacted = partition.log.finish_compact(step)?;
        if let Compacted::Finished(cleaning) = compacted {
            told(id, &cleaning);
            // The newest batches are kept in memory as they were.
            partition.log.shrink_tail(0);
            partition.passes.on_ended(partition.log.compacted(), now);
            self.tell_compacted(id);
        }
        // What must not meet a step that replaces files has waited for it.
        self.enqueue_pending(id);
        self.note_retirable(id);
        Ok(Some(compacted))
    }
}

fn told(id: u64, cleaning: &Cleaning) {
    let Cleaning {
        to,
        records,
        bytes_before,
        bytes_after,
    } = *cleaning;
    tracing::debug!(
        partition = id,
        to,
        records,
        bytes_before,
        bytes_after,
        "compacted"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::from_nanos(seconds * 1_000_000_000)
    }

    #[test]
    fn deletions_go_their_time_after_the_first_pass_over_them() {
        let mut passes = Passes::default();
        let day = Duration::from_secs(100);
        passes.on_ended(10, at(0));
        passes.on_ended(10, at(50));
        passes.on_ended(30, at(60));
        assert_eq!(passes.due(day, 30, at(99)), 0);
        assert_eq!(passes.due(day, 30, at(100)), 10);
        assert_eq!(passes.due(day, 30, at(159)), 10);
        assert_eq!(passes.due(day, 30, at(160)), 30);
        assert_eq!(passes.due(day, 30, at(500)), 30, "and it stays so");
        assert_eq!(
            passes.due(day, 20, at(501)),
            0,
            "of what is gone over again"
        );
    }

    #[test]
    fn many_passes_cost_little_memory() {
        let mut passes = Passes::default();
        for pass in 1..1000 {
            passes.on_ended(pass, at(pass));
        }
        let forever = Duration::from_secs(1 << 30);
        assert_eq!(passes.due(forever, 1000, at(1000)), 0);
        assert_eq!(passes.ended.len(), PASSES_MAX);
    }
}
