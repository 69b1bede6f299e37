//! One node: the replica under test, its disk, and its pumps towards the peers.

use std::collections::BTreeSet;

use quorate_vsr::partition::{EpochHistory, Facts, RecordsHead, RepairWish, Replica, Timer};
use quorate_vsr::{Epoch, NodeId, Offset};

use super::batch::Batch;
use crate::thinned::Thinned;

/// Records that a pump has read, and will offer to the link later.
#[derive(Clone, Debug)]
pub(crate) struct Read {
    pub(crate) epoch: Epoch,
    pub(crate) batches: Vec<Batch>,
    pub(crate) thinned: Thinned,
}

/// A message with records that went out, of which the replica has not been told yet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sent {
    pub(crate) to: NodeId,
    pub(crate) head: RecordsHead,
    pub(crate) next_offset: Offset,
}

/// How often, out of a thousand times, a disk does nothing although it could.
///
/// A disk that is slow for a while, beside one that is not, leaves much time between what is
/// decided and what is durable.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Idle {
    pub(crate) facts: u32,
    pub(crate) log: u32,
}

#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) id: NodeId,
    /// `None` while the node is down.
    pub(crate) replica: Option<Replica>,
    /// From offset 0 on: what has expired stays here, for it still counts, and is read by nobody.
    pub(crate) log: Vec<Batch>,
    /// Where the batches begin that are really there.
    pub(crate) begin: Offset,
    /// What of the log has reached the disk for certain.
    pub(crate) log_on_disk: Offset,
    pub(crate) flushing_to: Option<Offset>,
    pub(crate) cutting_to: Option<Offset>,
    /// Where the log is to begin anew.
    pub(crate) beginning: Option<Offset>,
    /// What is being put in the place of damaged batches.
    pub(crate) rewriting: Option<(Vec<Batch>, Thinned)>,
    /// Where durable batches begin that are not what they were.
    pub(crate) rotten: BTreeSet<Offset>,
    /// What compaction has made of the log, and of the batches that come with the event at hand.
    pub(crate) thinned: Thinned,
    pub(crate) offered: Thinned,
    /// Batches that the disk had confirmed and does not hold any more.
    pub(crate) lost: Vec<Batch>,
    /// Batches that it dropped because it took no part any more.
    pub(crate) dropped: Vec<Batch>,
    pub(crate) facts_on_disk: Facts,
    pub(crate) facts_writing: Option<Facts>,
    pub(crate) facts_pending: Option<Facts>,
    pub(crate) idle: Idle,
    /// What each peer is to be sent, what was read for it, by the peer's place.
    pub(crate) wishes: Vec<Option<(Epoch, Offset)>>,
    pub(crate) reads: Vec<Option<Read>>,
    pub(crate) sent: Vec<Sent>,
    /// What each peer is to be sent for its repair.
    pub(crate) repair_wishes: Vec<Option<RepairWish>>,
    /// Whether somebody waits for the log to be compacted.
    pub(crate) is_asked_to_compact: bool,
    /// The timers that run.
    pub(crate) timers: Vec<Timer>,
    /// How many of the control plane's assignments this node has heard; after a crash it may hear
    /// some of them again.
    pub(crate) heard: usize,
    /// Whether it has ever dropped its records and what it had promised.
    pub(crate) has_begun_anew: bool,
    /// Batches whose clients wait for the acknowledgement.
    pub(crate) waiting: Vec<Batch>,
}

impl Node {
    pub(crate) fn new(id: NodeId, count: usize) -> Self {
        let mut node = Self {
            id,
            replica: None,
            log: Vec::new(),
            begin: Offset(0),
            log_on_disk: Offset(0),
            flushing_to: None,
            cutting_to: None,
            beginning: None,
            rewriting: None,
            rotten: BTreeSet::new(),
            thinned: Thinned::default(),
            offered: Thinned::default(),
            lost: Vec::new(),
            dropped: Vec::new(),
            facts_on_disk: Facts::default(),
            facts_writing: None,
            facts_pending: None,
            idle: Idle::default(),
            wishes: vec![None; count],
            reads: vec![None; count],
            sent: Vec::new(),
            repair_wishes: vec![None; count],
            is_asked_to_compact: false,
            timers: Vec::new(),
            heard: 0,
            has_begun_anew: false,
            waiting: Vec::new(),
        };
        node.start();
        node
    }

    pub(crate) fn is_up(&self) -> bool {
        self.replica.is_some()
    }

    pub(crate) fn is_open(&self) -> bool {
        self.replica.as_ref().is_some_and(Replica::is_open)
    }

    pub(crate) fn next_offset(&self) -> Offset {
        self.log.last().map_or(Offset(0), Batch::end)
    }

    pub(crate) fn has_committed(&self, below: Offset) -> bool {
        let replica = self.replica.as_ref();
        replica.is_some_and(|replica| replica.high_watermark() >= below)
    }

    /// How many batches end at an offset or below it.
    pub(crate) fn batches_below(&self, offset: Offset) -> usize {
        self.log.partition_point(|batch| batch.end() <= offset)
    }

    /// How many batches a crash would leave for certain.
    pub(crate) fn batches_on_disk(&self) -> usize {
        self.batches_below(self.log_on_disk)
    }

    /// Whether the log is the same as another one up to this batch, which is the one at `place`.
    pub(crate) fn holds(&self, place: usize, batch: &Batch) -> bool {
        self.log
            .get(place)
            .is_some_and(|ours| ours.chain == batch.chain)
    }

    /// Whether it would be after a crash.
    pub(crate) fn holds_on_disk(&self, place: usize, batch: &Batch) -> bool {
        self.holds(place, batch) && batch.end() <= self.log_on_disk
    }

    /// Whether its disk had confirmed this batch, and has it or has lost it by a fault.
    pub(crate) fn has_held(&self, place: usize, batch: &Batch) -> bool {
        self.holds_on_disk(place, batch) || self.lost.contains(batch)
    }

    /// Whether anything of its log is damaged or may be lost.
    pub(crate) fn is_faulty(&self) -> bool {
        let replica = self.replica.as_ref();
        let is_uncertain = replica.is_some_and(|replica| replica.facts().is_uncertain());
        is_uncertain || self.facts_on_disk.is_uncertain() || !self.rotten.is_empty()
    }

    /// The disk loses what it had confirmed.
    pub(crate) fn lose_last(&mut self, count: usize) {
        let kept = self.log.len() - count;
        self.lost.extend(self.log.drain(kept..));
        self.log_on_disk = self.next_offset();
        let end = self.log_on_disk;
        self.rotten.retain(|base| *base < end);
        self.thinned.truncate(end);
    }

    /// Nothing is left but these facts.
    pub(crate) fn begin_anew(&mut self) {
        self.dropped.append(&mut self.log);
        self.dropped.append(&mut self.lost);
        self.begin = Offset(0);
        self.log_on_disk = Offset(0);
        self.rotten.clear();
        self.thinned = Thinned::default();
        self.facts_on_disk = Facts::default();
        self.has_begun_anew = true;
    }

    /// Whether it has ever acknowledged this batch, perhaps before it dropped its records.
    pub(crate) fn has_ever_held(&self, place: usize, batch: &Batch) -> bool {
        self.has_held(place, batch) || self.dropped.contains(batch)
    }

    pub(crate) fn accept(&mut self, batches: &[Batch]) {
        for batch in batches {
            let last = self.log.last();
            assert!(
                batch.follows(last),
                "{:?} appends {batch:?} after {last:?}",
                self.id
            );
            self.log.push(*batch);
        }
        if let (Some(first), Some(last)) = (batches.first(), batches.last()) {
            self.thinned.replace(first.base, last.end(), &self.offered);
        }
    }

    /// Damaged batches are to be replaced by those that have come.
    pub(crate) fn want_rewrite(&mut self, batches: &[Batch]) {
        assert_eq!(self.rewriting, None, "a repair during a repair");
        self.rewriting = Some((batches.to_vec(), self.offered.clone()));
    }

    pub(crate) fn truncate_log(&mut self, to: Offset) {
        self.log.truncate(self.batches_below(to));
        self.rotten.retain(|base| *base < to);
        self.thinned.truncate(to);
        assert_eq!(
            self.next_offset(),
            to,
            "the cut of {:?} is not between batches",
            self.id
        );
    }

    /// The cut that is under way reaches the disk. If it begins with damage, that is why it was
    /// made, and what it takes was lost by a fault.
    pub(crate) fn finish_cut(&mut self, to: Offset) {
        if self.facts_on_disk.is_uncertain() && self.rotten.contains(&to) {
            let kept = self.batches_below(to);
            self.lost.extend_from_slice(&self.log[kept..]);
        }
        self.truncate_log(to);
        self.log_on_disk = to;
    }

    /// What is before an offset is removed.
    pub(crate) fn retire(&mut self, below: Offset) {
        assert!(
            self.facts_on_disk.log_start >= below,
            "{:?} removes batches before that is durable",
            self.id
        );
        self.begin = self.begin.max(below);
        let begin = self.begin;
        self.rotten.retain(|base| *base >= begin);
    }

    /// The log is to be dropped.
    pub(crate) fn want_anew(&mut self, at: Offset) {
        assert_eq!(self.flushing_to, None, "a new log during a flush");
        assert_eq!(self.cutting_to, None, "a new log during a cut");
        assert_eq!(self.beginning.replace(at), None, "a new log twice");
    }

    /// The log is dropped, and begins anew behind these batches, which count as if they were there.
    pub(crate) fn begin_log_anew(&mut self, expired: Vec<Batch>) {
        self.log = expired;
        self.begin = self.next_offset();
        self.log_on_disk = self.begin;
        self.rotten.clear();
        self.thinned = Thinned::default();
    }

    /// Whether the log on disk reaches up to its log start and is the one that stands before it.
    pub(crate) fn continues_start(&self) -> bool {
        let Facts {
            log_start,
            log_start_epoch,
            ..
        } = self.facts_on_disk;
        let before = self.batches_below(log_start).checked_sub(1);
        let last = before.map(|place| self.log[place]);
        let (end, epoch) = last.map_or((Offset(0), Epoch(0)), |it| (it.end(), it.epoch));
        end == log_start && epoch == log_start_epoch
    }

    /// Starts the replica from what the disk holds.
    pub(crate) fn start(&mut self) {
        let mut starts: Vec<(Epoch, Offset)> = Vec::new();
        let begin = self.begin;
        for batch in self.log.iter().filter(|batch| batch.base >= begin) {
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
        self.log.truncate(self.batches_on_disk() + kept);
        self.log_on_disk = self.next_offset();
        self.thinned.truncate(self.log_on_disk);
        if let Some(facts) = self.facts_writing.take()
            && facts_land
        {
            self.facts_on_disk = facts;
        }
        self.facts_pending = None;
        self.flushing_to = None;
        self.cutting_to = None;
        self.beginning = None;
        self.rewriting = None;
        self.repair_wishes.fill(None);
        self.is_asked_to_compact = false;
        self.wishes.fill(None);
        self.reads.fill(None);
        self.sent.clear();
        self.timers.clear();
        self.waiting.clear();
    }
}
