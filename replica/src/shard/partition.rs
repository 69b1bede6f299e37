use bytes::Bytes;
use quorate_log::PartitionLog;
use quorate_platform::Disk;
use quorate_vsr::partition::Replica;
use quorate_vsr::{Epoch, Offset};
use quorate_wire::Refusal;

use super::budget::Permit;
use super::fetch::Parked;
use super::tally::Standing;
use super::waiting::Waiting;

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
    /// Whether the disk works for this partition; one thing at a time keeps them in order.
    pub(super) is_writing: bool,
    /// Whether the partition is in the queue for the disk.
    pub(super) is_queued: bool,
    /// The newest epoch that the control plane's word has been taken in for.
    pub(super) assigned: Epoch,
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
            is_writing: false,
            is_queued: false,
            assigned: Epoch(0),
            is_changing: false,
            resigned: None,
            standing: Standing::default(),
        }
    }

    /// Whether damage hides what was appended last, and others may make up for it: without them
    /// it would stay so for ever.
    pub(super) fn lacks_producers(&self) -> bool {
        self.log.lacks_producers() && self.replica.member_statuses().len() > 1
    }

    /// Has the log dropped as soon as the disk is free.
    pub(super) fn begin_anew(&mut self, id: u64, at: Offset, epoch: Epoch) {
        tracing::info!(
            partition = id, %at,
            "what it lacks has expired: its log begins anew where the leader's does"
        );
        self.anew = Some((at, epoch));
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
