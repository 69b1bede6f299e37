use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use quorate_vsr::{Epoch, NodeId};

/// How a shard is: written by the shard, read by the control thread without waiting.
///
/// The counters only grow. They are read one by one, so two of them need not be of the same moment.
#[derive(Debug, Default)]
pub struct ShardStatus {
    summary: ArcSwap<ShardSummary>,
    appended_records: AtomicU64,
    appended_bytes: AtomicU64,
    progress: AtomicU64,
}

/// The replicas of a shard, counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShardSummary {
    /// Partitions of which the shard holds a replica.
    pub replicas: u32,
    /// Partitions that it leads, open for appends.
    pub leaderships: u32,
    /// Of those: how many lack a replica that has everything up to the opening.
    pub under_replicated: u32,
    /// Ranges of records that are damaged on its disk and not put back yet.
    pub damaged_ranges: u32,
    /// The nodes that are behind in at least one of the partitions that the shard leads.
    pub lagging: BTreeSet<NodeId>,
    /// The partitions that the shard leads whose voters change, and where the stage of that change
    /// has done its work, with their epochs.
    pub done: BTreeMap<u64, Epoch>,
    /// The partitions whose leadership the shard has given up of its own accord, with the epochs in
    /// which it did: somebody else has to lead them.
    pub resigned: BTreeMap<u64, Epoch>,
}

impl ShardStatus {
    /// The shard's replicas, counted.
    pub fn summary(&self) -> Arc<ShardSummary> {
        self.summary.load_full()
    }

    /// Records that the shard has appended as a leader since it started.
    pub fn appended_records(&self) -> u64 {
        self.appended_records.load(Ordering::Relaxed)
    }

    /// Bytes of record batches that the shard has appended as a leader since it started.
    pub fn appended_bytes(&self) -> u64 {
        self.appended_bytes.load(Ordering::Relaxed)
    }

    /// Grows several times a second, however idle the shard is, as long as its thread runs and its
    /// disk answers. A shard whose progress stands still for seconds serves nobody.
    pub fn progress(&self) -> u64 {
        self.progress.load(Ordering::Relaxed)
    }

    pub(super) fn publish(&self, summary: ShardSummary) {
        self.summary.store(Arc::new(summary));
    }

    // Only the shard's thread writes, so a load and a store lose nothing and lock nothing.
    pub(super) fn count_appended(&self, records: u32, bytes: usize) {
        let appended_records = self.appended_records() + u64::from(records);
        self.appended_records
            .store(appended_records, Ordering::Relaxed);
        let appended_bytes = self.appended_bytes() + bytes as u64;
        self.appended_bytes.store(appended_bytes, Ordering::Relaxed);
    }

    pub(super) fn count_progress(&self) {
        self.progress.store(self.progress() + 1, Ordering::Relaxed);
    }
}
