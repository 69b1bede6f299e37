//! Removes the files of segments that have expired, one partition after the other. Nobody waits for
//! it, and flushes go on meanwhile.

use std::rc::Rc;

use quorate_log::{LogError, RetireJob, Retired};
use quorate_platform::Platform;
use quorate_vsr::Offset;

use super::Shard;
use super::state::State;
use crate::error::NodeError;

/// Removes what there is to remove, until the shard is over.
pub(super) async fn run<P: Platform>(shard: Rc<Shard<P>>) {
    while !shard.is_over() {
        let begun = shard.state.borrow_mut().begin_retiring();
        let (id, job) = match begun {
            Ok(Some(begun)) => begun,
            Ok(None) => {
                shard.signals.retirable.wait().await;
                continue;
            }
            Err(error) => return shard.fail(NodeError::log(error)),
        };
        let retired = job.run().await;
        let ended = shard.state.borrow_mut().end_retiring(id, retired);
        if let Err(error) = ended {
            return shard.fail(NodeError::log(error));
        }
    }
}

impl<P: Platform> State<P> {
    /// Nothing below the offset is read any more, and that is durable.
    pub(super) fn retire(&mut self, id: u64, below: Offset) {
        if let Some(partition) = self.partitions.get_mut(&id) {
            partition.log.raise_start(below.0);
        }
        self.note_retirable(id);
    }

    /// Takes note if there are segments of a partition to be removed.
    pub(super) fn note_retirable(&mut self, id: u64) {
        let partition = self.partitions.get(&id);
        if partition.is_some_and(|partition| partition.log.is_retirable()) {
            self.retirable.insert(id);
            self.signals.retirable.notify();
        }
    }

    /// The next removal; none while the disk does what it must not meet, or there is nothing left.
    fn begin_retiring(&mut self) -> Result<Option<(u64, RetireJob<P>)>, LogError> {
        if self.is_stopping {
            return Ok(None);
        }
        let ids: Vec<_> = self.retirable.iter().copied().collect();
        for id in ids {
            let Some(partition) = self.partitions.get_mut(&id) else {
                self.retirable.remove(&id);
                continue;
            };
            if let Some(job) = partition.log.begin_retire()? {
                self.retirable.remove(&id);
                self.is_retiring = true;
                return Ok(Some((id, job)));
            }
            if !partition.log.is_retirable() {
                self.retirable.remove(&id);
            }
        }
        Ok(None)
    }

    fn end_retiring(&mut self, id: u64, retired: Retired) -> Result<(), LogError> {
        self.is_retiring = false;
        self.signals.written.notify();
        self.release_condemned(id);
        let Some(partition) = self.partitions.get_mut(&id) else {
            return Ok(());
        };
        partition.log.finish_retire(retired)?;
        // What must not meet a removal has waited for it.
        self.enqueue_pending(id);
        self.note_retirable(id);
        Ok(())
    }
}
