//! What a log knows of idempotent producers.

use quorate_platform::Disk;

use super::PartitionLog;
use crate::producer_table::ProducerTable;

impl<D: Disk> PartitionLog<D> {
    /// The idempotent producers, up to [`PartitionLog::next_offset`].
    pub fn producers(&self) -> &ProducerTable {
        &self.end.producers
    }

    /// Whether [`PartitionLog::producers`] lacks what damaged batches would tell of them.
    pub fn lacks_producers(&self) -> bool {
        self.damage.has_missed()
    }

    /// Before which offset batches were that would tell more of producers; they are not in the log
    /// any more, and were gone before anybody took note. `None` if all is known.
    pub fn producers_unknown_before(&self) -> Option<u64> {
        let before = self.end.unknown_before;
        (before > 0).then_some(before)
    }

    /// Remembers what such batches have told of producers, as somebody else knows it.
    pub fn learn_producers(&mut self, earlier: &ProducerTable) {
        self.end.producers.join_earlier(earlier);
    }

    /// Nobody knows more than was learned. The next flush keeps that.
    pub fn settle_producers(&mut self) {
        self.end.unknown_before = 0;
        self.is_checkpoint_due = true;
    }
}
