//! One node: the replica under test, its disk, and its pumps towards the peers.

use std::collections::{BTreeMap, BTreeSet};

use quorate_vsr::partition::{EpochHistory, Facts, RecordsHead, Replica, Timer};
use quorate_vsr::{Epoch, NodeId, Offset};

/// Some records that were appended together. The payload is drawn once, so two batches are the same
/// only if one is a copy of the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Batch {
    pub(crate) epoch: Epoch,
    pub(crate) base: Offset,
    pub(crate) count: u32,
    pub(crate) payload: u64,
}

impl Batch {
    pub(crate) fn end(&self) -> Offset {
        Offset(self.base.0 + u64::from(self.count))
    }
}

/// Records that a pump has read, and will offer to the link later.
#[derive(Clone, Debug)]
pub(crate) struct Read {
    pub(crate) epoch: Epoch,
    pub(crate) batches: Vec<Batch>,
}

/// A message with records that went out, of which the replica has not been told yet.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) to: NodeId,
    pub(crate) head: RecordsHead,
    pub(crate) next_offset: Offset,
}

#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) id: NodeId,
    /// `None` while the node is down.
    pub(crate) replica: Option<Replica>,
    pub(crate) log: Vec<Batch>,
    /// What of the log has reached the disk for certain.
    pub(crate) log_on_disk: Offset,
    pub(crate) flushing_to: Option<Offset>,
    pub(crate) cutting_to: Option<Offset>,
    pub(crate) facts_on_disk: Facts,
    pub(crate) facts_writing: Option<Facts>,
    pub(crate) facts_pending: Option<Facts>,
    pub(crate) wishes: BTreeMap<NodeId, (Epoch, Offset)>,
    pub(crate) reads: BTreeMap<NodeId, Read>,
    pub(crate) sent: Vec<Sent>,
    pub(crate) timers: BTreeSet<Timer>,
    /// How many of the control plane's assignments this node has heard; after a crash it may hear
    /// some of them again.
    pub(crate) heard: usize,
    /// Batches whose clients wait for the acknowledgement.
    pub(crate) waiting: Vec<Batch>,
}

impl Node {
    pub(crate) fn new(id: NodeId) -> Self {
        let mut node = Self {
            id,
            replica: None,
            log: Vec::new(),
            log_on_disk: Offset(0),
            flushing_to: None,
            cutting_to: None,
            facts_on_disk: Facts::default(),
            facts_writing: None,
            facts_pending: None,
            wishes: BTreeMap::new(),
            reads: BTreeMap::new(),
            sent: Vec::new(),
            timers: BTreeSet::new(),
            heard: 0,
            waiting: Vec::new(),
        };
        node.start();
        node
    }

    pub(crate) fn next_offset(&self) -> Offset {
        self.log.last().map_or(Offset(0), Batch::end)
    }

    pub(crate) fn is_open(&self) -> bool {
        self.replica.as_ref().is_some_and(Replica::is_open)
    }

    pub(crate) fn has_committed(&self, below: Offset) -> bool {
        self.replica
            .as_ref()
            .is_some_and(|replica| replica.high_watermark() >= below)
    }

    pub(crate) fn durable_log(&self) -> &[Batch] {
        let end = self
            .log
            .partition_point(|batch| batch.end() <= self.log_on_disk);
        &self.log[..end]
    }

    pub(crate) fn truncate_log(&mut self, to: Offset) {
        self.log.retain(|batch| batch.base < to);
        assert_eq!(
            self.next_offset(),
            to,
            "the cut of {:?} is not between batches",
            self.id
        );
    }

    /// Starts the replica from what the disk holds.
    pub(crate) fn start(&mut self) {
        let mut starts: Vec<(Epoch, Offset)> = Vec::new();
        for batch in &self.log {
            if starts.last().is_none_or(|start| start.0 != batch.epoch) {
                starts.push((batch.epoch, batch.base));
            }
        }
        let history = EpochHistory::from_starts(starts).expect("a log's epochs increase");
        self.log_on_disk = self.next_offset();
        let replica = Replica::new(self.id, self.facts_on_disk, self.next_offset(), history);
        self.replica = Some(replica.expect("the disk keeps what it confirmed"));
    }

    /// Loses all that was not on disk, except that the first `kept` batches of it did get there,
    /// and facts under way if `facts_land`.
    pub(crate) fn crash(&mut self, kept: usize, facts_land: bool) {
        self.replica = None;
        let certain = self.durable_log().len();
        self.log.truncate(certain + kept);
        self.log_on_disk = self.next_offset();
        if let Some(facts) = self.facts_writing.take()
            && facts_land
        {
            self.facts_on_disk = facts;
        }
        self.facts_pending = None;
        self.flushing_to = None;
        self.cutting_to = None;
        self.wishes.clear();
        self.reads.clear();
        self.sent.clear();
        self.timers.clear();
        self.waiting.clear();
    }
}
