use bytes::Bytes;
use quorate_log::{BrokenFrames, PartitionLog, ReframeJob, Retention, is_to_be_closed};
use quorate_platform::Disk;
use quorate_vsr::partition::Replica;
use quorate_vsr::{Epoch, NodeId, Offset};
use quorate_wire::{Compaction, Refusal};

use super::budget::Permit;
use super::compaction::Passes;
use super::fetch::Parked;
use super::tally::Standing;
use super::waiting::Waiting;
use crate::metadata::{Catalog, PartitionRecord};

/// One replica of one partition: what the protocol knows, the records, and who waits for them.
pub(super) struct Partition<D: Disk> {
    pub(super) replica: Replica,
    pub(super) log: PartitionLog<D>,
    /// Producers that wait for a majority.
    pub(super) until_committed: Waiting,
    /// Producers that wait for this replica's disk alone, or for nothing.
    pub(super) until_durable: Waiting,
    /// Fetches that wait for more to be committed.
    pub(super) parked: Parked,
    /// Deletions that wait for a majority.
    pub(super) deleting: Parked,
    /// Bytes that are appended and not yet handed to the disk.
    pub(super) unflushed: Permit,
    /// Where the log shall be cut as soon as the disk is free.
    pub(super) truncate_to: Option<Offset>,
    /// Where the log shall begin anew as soon as the disk is free, and the epoch of the record
    /// before.
    pub(super) anew: Option<(Offset, Epoch)>,
    /// What shall be put in the place of damaged records as soon as the disk is free.
    pub(super) rewrite: Option<Vec<Bytes>>,
    /// The frames that shall be written anew as soon as the disk is free.
    pub(super) broken_frames: BrokenFrames,
    /// Up to where a peer needs the log to be compacted before it can be helped.
    pub(super) compact_to: Offset,
    /// When passes of compaction have ended.
    pub(super) passes: Passes,
    /// Whether the disk works for this partition; one thing at a time keeps them in order.
    pub(super) is_writing: bool,
    /// Whether the partition is in the queue for the disk.
    pub(super) is_queued: bool,
    /// The newest epoch that the control plane's word has been taken in for.
    pub(super) assigned: Epoch,
    /// Whether it is compacted, and how, as last heard.
    pub(super) compaction: Option<Compaction>,
    /// Whether its voters change in that epoch.
    pub(super) is_changing: bool,
    /// The last epoch whose leadership it gave up of its own accord.
    pub(super) resigned: Option<Epoch>,
    /// What the partition adds to the shard's status.
    pub(super) standing: Standing,
}

impl<D: Disk> Partition<D> {
    pub(super) fn new(replica: Replica, log: PartitionLog<D>, unflushed: Permit) -> Self {
        Self {
            replica,
            log,
            until_committed: Waiting::default(),
            until_durable: Waiting::default(),
            parked: Parked::default(),
            deleting: Parked::default(),
            unflushed,
            truncate_to: None,
            anew: None,
            rewrite: None,
            broken_frames: BrokenFrames::default(),
            compact_to: Offset(0),
            passes: Passes::default(),
            is_writing: false,
            is_queued: false,
            assigned: Epoch(0),
            compaction: None,
            is_changing: false,
            resigned: None,
            standing: Standing::default(),
        }
    }

    /// Whether damage hides what was appended last, or it was deleted before it was seen, and
    /// others may make up for it: without them it would stay so for ever.
    pub(super) fn lacks_producers(&self) -> bool {
        let is_unknown =
            self.log.lacks_producers() || self.log.producers_unknown_before().is_some();
        is_unknown && self.replica.member_statuses().len() > 1
    }

    /// Whether the node, `me`, was no member for a while since it last took part, and the log that
    /// it had by then must not come back: see `assignment.rs`.
    pub(super) fn is_outdated(
        &self,
        catalog: &Catalog,
        record: &PartitionRecord,
        me: NodeId,
    ) -> bool {
        let promised = self.replica.epoch();
        // Who has promised nothing has nothing.
        let had_part = promised > Epoch(0);
        had_part && record.was_without(me, promised) && catalog.compaction_of(record.id).is_some()
    }

    /// Whether the log is to be cut, dropped or repaired.
    pub(super) fn is_log_changing(&self) -> bool {
        self.truncate_to.is_some() || self.anew.is_some() || self.rewrite.is_some()
    }

    /// Up to where the log may be compacted, if it is closed up to there.
    pub(super) fn compactable_until(&self) -> u64 {
        let committed = self.replica.high_watermark();
        committed.min(self.replica.durable_offset()).0
    }

    /// Whether something was not gone over for as long as deletions are kept. However little it is,
    /// others may wait to be rid of what it deletes.
    pub(super) fn is_compaction_overdue(&self, compaction: Compaction, now: i64) -> bool {
        let (compacted, until) = (self.log.compacted(), self.compactable_until());
        let kept_for = i64::try_from(compaction.tombstone_ms).unwrap_or(i64::MAX);
        let spans = self.log.spans();
        spans.windows(2).any(|pair| {
            let end = pair[1].base_offset;
            let newest = pair[0].newest;
            let is_old = newest.is_some_and(|newest| newest.saturating_add(kept_for) <= now);
            is_old && end > compacted && end <= until
        })
    }

    /// Closes the last segment if a peer waits for it to be compacted, or if deletions in it may
    /// have to go before it is full. True if there is something to flush then.
    pub(super) fn close_to_compact(&mut self, compaction: Compaction, now: i64) -> bool {
        let spans = self.log.spans();
        let Some(last) = spans.last().filter(|_| !self.is_log_changing()) else {
            return false;
        };
        let is_wanted = self.log.compacted() < self.compact_to.0
            && last.base_offset < self.compact_to.0.min(self.compactable_until());
        let age = Retention {
            ms: Some(compaction.tombstone_ms),
            bytes: None,
        };
        let is_due = is_wanted || is_to_be_closed(last, age, now);
        if is_due {
            self.log.roll();
        }
        is_due && self.log.has_pending()
    }

    /// Has the log dropped as soon as the disk is free.
    pub(super) fn begin_anew(&mut self, id: u64, at: Offset, epoch: Epoch) {
        tracing::info!(
            partition = id, %at,
            "what it lacks has expired: its log begins anew where the leader's does"
        );
        self.anew = Some((at, epoch));
    }

    /// Takes up what frames there are to be written anew.
    pub(super) fn begin_reframe(&mut self) -> Option<ReframeJob<D>> {
        let broken = std::mem::take(&mut self.broken_frames);
        self.log.begin_reframe(broken)
    }

    pub(super) fn resign(&mut self, id: u64, epoch: Epoch) {
        tracing::error!(
            partition = id, %epoch,
            "cannot lead on: records that were not committed yet are damaged on this disk"
        );
        self.resigned = Some(epoch);
    }

    /// Has every parked fetch look again.
    pub(super) fn wake_parked(&mut self) {
        self.parked.wake_all();
    }

    /// Tells all who wait that there will be no answer to what they wait for.
    pub(super) fn refuse_waiting(&mut self, refusal: &Refusal) {
        self.until_committed.refuse_all(refusal);
        self.until_durable.refuse_all(refusal);
        self.wake_parked();
    }
}
