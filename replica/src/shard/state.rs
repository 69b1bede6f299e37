use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use quorate_log::{IndexCache, Readers, Spares};
use quorate_platform::Platform;
use quorate_vsr::partition::{Effect, Event, Facts, Message, RecordsHead, Timer};
use quorate_vsr::{NodeId, Offset};

use super::ShardStatus;
use super::activity::Activity;
use super::deadlines::Deadlines;
use super::link_queue::LinkQueue;
use super::open_files::OpenFiles;
use super::partition::Partition;
use super::peer_frame::{Heard, Records};
use super::producers::Inquiry;
use super::signal::Signal;
use super::space::Space;
use super::tally::{Standing, Tally};
use crate::limits::Limits;
use crate::metadata::Published;

/// What is kept in memory of the indexes of closed segments, in bytes: those of about 32 GiB.
const INDEXES_BYTES_MAX: usize = 32 << 20;

/// Those who read old records from front to back and have what comes next read ahead for them: it
/// takes at most 2 MiB of memory each.
const READERS_MAX: usize = 32;

/// Everything that a shard knows. Its methods never wait.
///
/// Tasks borrow it, change it and give it back before they await anything. What they have to do
/// next stands in its queues, and a signal tells them so.
pub(super) struct State<P: Platform> {
    pub(super) platform: P,
    pub(super) node: NodeId,
    pub(super) index: u32,
    pub(super) shards: u32,
    pub(super) incarnation: u64,
    pub(super) limits: Limits,
    pub(super) metadata: Arc<Published>,
    pub(super) status: Arc<ShardStatus>,
    pub(super) signals: Rc<Signals>,
    pub(super) partitions: BTreeMap<u64, Partition<P>>,
    pub(super) peers: BTreeMap<NodeId, PeerNode>,
    pub(super) links: BTreeMap<LinkKey, LinkQueue>,
    pub(super) deadlines: Deadlines<(u64, Timer)>,
    /// Partitions for which the disk has something to do, in the order of its coming.
    pub(super) dirty: VecDeque<u64>,
    /// Flushes and cuts under way.
    pub(super) writing: usize,
    /// Flushes, cuts and writes of facts that have ended.
    pub(super) written: u64,
    /// Partitions that were given up while the disk was working for them, and how many things it
    /// still does.
    pub(super) condemned: BTreeMap<u64, u32>,
    /// Partitions of which segments may be removed.
    pub(super) retirable: BTreeSet<u64>,
    /// Whether segments are being removed.
    pub(super) is_retiring: bool,
    /// The partition of whose compaction a step is under way.
    pub(super) compacting: Option<u64>,
    pub(super) is_writing_facts: bool,
    /// Writes of facts that have ended.
    pub(super) fact_writes: u64,
    /// Facts to be made durable; `None` stands for their removal.
    pub(super) facts: BTreeMap<u64, Option<Facts>>,
    pub(super) early: VecDeque<(u64, NodeId, Message)>,
    /// What is to be found out of producers, of which partitions.
    pub(super) inquiries: BTreeMap<u64, Inquiry>,
    pub(super) space: Space,
    pub(super) open_files: OpenFiles,
    pub(super) activity: Activity,
    /// What new segments are made of, once the shard's folder was opened.
    pub(super) spares: Option<Spares<P>>,
    /// The indexes of closed segments that were used lately, of all partitions.
    indexes: IndexCache,
    /// Those who read old records of all partitions.
    readers: Readers<P>,
    pub(super) is_stopping: bool,
    /// Nothing happens any more: the shard has stopped or failed.
    pub(super) is_over: bool,
    tally: Tally,
    /// Kept for its capacity: empty between two steps.
    pub(super) effects: Vec<Effect>,
}

/// One direction to one shard of another node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct LinkKey {
    pub(super) node: NodeId,
    pub(super) shard: u32,
}

/// What matters to a shard about another node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PeerNode {
    pub(super) incarnation: u64,
    pub(super) is_alive: bool,
    pub(super) shards: u32,
}

/// What the shard's tasks wait for.
#[derive(Debug, Default)]
pub(super) struct Signals {
    /// An earlier deadline than all others.
    pub(super) deadlines: Signal,
    /// Work for the disk.
    pub(super) dirty: Signal,
    /// Facts to be made durable.
    pub(super) facts: Signal,
    /// Producers to be asked about.
    pub(super) inquiries: Signal,
    /// Segments to be removed.
    pub(super) retirable: Signal,
    /// Segments to be written in advance.
    pub(super) spares: Signal,
    /// The disk has finished something; for whoever waits until all is done.
    pub(super) written: Signal,
    /// The same, for whoever waits to remove a partition.
    pub(super) removed: Signal,
}

impl<P: Platform> State<P> {
    /// The state of `shard` before it has opened anything.
    pub(super) fn new(platform: P, setup: &super::Setup<P>, signals: Rc<Signals>) -> Self {
        Self {
            platform,
            node: setup.node,
            index: setup.index,
            shards: setup.shards,
            incarnation: setup.incarnation,
            limits: setup.limits.clone(),
            metadata: Arc::clone(&setup.metadata),
            status: Arc::clone(&setup.status),
            signals,
            partitions: BTreeMap::new(),
            peers: BTreeMap::new(),
            links: BTreeMap::new(),
            deadlines: Deadlines::new(),
            dirty: VecDeque::new(),
            writing: 0,
            written: 0,
            condemned: BTreeMap::new(),
            retirable: BTreeSet::new(),
            is_retiring: false,
            compacting: None,
            is_writing_facts: false,
            fact_writes: 0,
            facts: BTreeMap::new(),
            early: VecDeque::new(),
            inquiries: BTreeMap::new(),
            space: Space::new(setup.folder.clone()),
            open_files: OpenFiles::new(setup.limits.open_files_max),
            activity: Activity::default(),
            spares: None,
            indexes: IndexCache::new(INDEXES_BYTES_MAX),
            readers: Readers::new(READERS_MAX),
            is_stopping: false,
            is_over: false,
            tally: Tally::default(),
            effects: Vec::new(),
        }
    }

    /// Takes up a partition that was opened.
    pub(super) fn insert(&mut self, id: u64, mut partition: Partition<P>) {
        if let Some(spares) = &self.spares {
            partition.log.use_spares(spares.clone());
        }
        partition.log.use_indexes(&self.indexes);
        partition.log.use_readers(&self.readers);
        self.tally.add(id, &partition.standing);
        self.partitions.insert(id, partition);
        self.note_inquiry(id);
        self.status.publish(self.tally.summary());
    }

    /// Hands to partitions what was said to them before they could hear it; what some still cannot
    /// hear is kept.
    pub(super) fn hear_early(&mut self) {
        let early = std::mem::take(&mut self.early);
        for (partition, from, message) in early {
            self.hear(partition, from, message);
        }
    }

    /// Gives a partition up, with all that refers to it.
    pub(super) fn remove(&mut self, id: u64) -> Option<Partition<P>> {
        let partition = self.partitions.remove(&id)?;
        self.open_files.closed(id);
        self.activity.forget(id);
        self.inquiries.remove(&id);
        self.tally.remove(id, &partition.standing);
        self.status.publish(self.tally.summary());
        for timer in Timer::ALL {
            self.deadlines.disarm((id, timer));
        }
        Some(partition)
    }

    /// Takes in what a peer's frame has brought.
    pub(super) fn hear_all(&mut self, from: NodeId, heard: Vec<(u64, Heard)>) {
        for (id, heard) in heard {
            match heard {
                Heard::Message(message) => self.hear(id, from, message),
                Heard::OfProducers(said) => self.hear_of_producers(id, from, &said),
                Heard::Records(head, records) => self.hear_records(id, from, head, records),
                Heard::Repair(records, compacted) => self.hear_repair(id, records, compacted),
            }
        }
    }

    fn hear_records(&mut self, id: u64, from: NodeId, head: RecordsHead, records: Records) {
        let Records {
            next_offset,
            epochs,
            batches,
            ..
        } = records;
        let bytes = batches.iter().map(Bytes::len).sum();
        // A follower without room is like one that does not hear: the leader tries again later.
        // So is one that stops: there would be no end to writing while others produce.
        let has_room = self.space.admits(&self.platform, bytes)
            && !self.platform.rarely("a follower has no room");
        if !self.is_stopping && has_room {
            let event = Event::Records {
                from,
                head,
                next_offset,
                epochs,
            };
            self.step_with_records(id, event, &batches);
        }
    }

    fn hear_repair(&mut self, id: u64, records: Records, compacted: Offset) {
        let Records {
            base_offset,
            next_offset,
            epochs,
            batches,
        } = records;
        let event = Event::Repair {
            base_offset,
            next_offset,
            epochs,
            compacted,
        };
        self.step_with_records(id, event, &batches);
    }

    /// Hands a peer's message to the partition that it is about.
    pub(super) fn hear(&mut self, id: u64, from: NodeId, message: Message) {
        if !self.awaits_assignment(id, &message) {
            self.step(id, Event::Message { from, message });
        } else if !self.metadata.load().catalog.is_deleted(id) {
            let is_full = self.early.len() >= self.limits.early_max;
            if is_full || self.platform.rarely("messages that came early are full") {
                self.early.pop_front();
            }
            self.early.push_back((id, from, message));
        }
    }

    /// Whether a message is to be heard only after the control plane has told of the partition, or,
    /// if that is compacted, of the epoch which the message would begin. `assignment.rs` says why.
    fn awaits_assignment(&self, id: u64, message: &Message) -> bool {
        let Some(partition) = self.partitions.get(&id) else {
            return true;
        };
        if message.epoch() <= partition.replica.epoch() || !message.begins_epoch() {
            return false;
        }
        let catalog = &self.metadata.load().catalog;
        !catalog.partitions.contains_key(&id) || catalog.compaction_of(id).is_some()
    }

    /// Lets the partition's protocol see `event`, and does what it asks for.
    pub(super) fn step(&mut self, id: u64, event: Event) {
        self.step_with_records(id, event, &[]);
    }

    /// The same; `records` are at hand to be appended.
    pub(super) fn step_with_records(&mut self, id: u64, event: Event, records: &[Bytes]) {
        let Some(partition) = self.partitions.get_mut(&id).filter(|_| !self.is_over) else {
            return;
        };
        let mut effects = std::mem::take(&mut self.effects);
        partition.replica.step(event, &mut effects);
        self.carry_out_all(id, effects, records);
    }

    /// Does all that a step asks for, in order, and keeps the emptied list for the next one.
    pub(super) fn carry_out_all(&mut self, id: u64, mut effects: Vec<Effect>, records: &[Bytes]) {
        for effect in effects.drain(..) {
            self.carry_out(id, effect, records);
        }
        self.effects = effects;
        self.note_standing(id);
        if let Some(partition) = self.partitions.get_mut(&id) {
            partition.deleting.wake_all();
        }
    }

    /// Puts a partition into the queue for the disk.
    pub(super) fn enqueue(&mut self, id: u64) {
        if let Some(partition) = self.partitions.get_mut(&id)
            && !std::mem::replace(&mut partition.is_queued, true)
        {
            self.dirty.push_back(id);
            self.signals.dirty.notify();
        }
    }

    /// Nothing happens any more; all tasks find out.
    pub(super) fn end(&mut self) {
        self.is_over = true;
        for queue in self.links.values() {
            queue.changed().notify();
        }
        self.signals.notify_all();
    }

    /// Whether the disk has nothing to do and nothing under way.
    pub(super) fn is_written(&self) -> bool {
        self.writing == 0 && self.dirty.is_empty() && !self.is_retiring && self.compacting.is_none()
    }

    /// Keeps the published status in step with one partition.
    fn note_standing(&mut self, id: u64) {
        let Some(partition) = self.partitions.get_mut(&id) else {
            return;
        };
        let (replica, before) = (&partition.replica, &partition.standing);
        let leads = replica.is_open();
        // Changes are rare, and looking after them costs more than the rest.
        let is_done = partition.is_changing && replica.change_progress().is_some();
        let epoch = replica.epoch();
        let resigned = partition.resigned.filter(|resigned| *resigned == epoch);
        let resigned = resigned.or(replica.is_unheard().then_some(epoch));
        let done = is_done.then_some(epoch);
        let damaged_ranges = u32::try_from(replica.damaged().len()).unwrap_or(u32::MAX);
        let is_as_before = before.leads == leads
            && before.done == done
            && before.resigned == resigned
            && before.damaged_ranges == damaged_ranges;
        if is_as_before && replica.lagging().eq(before.lagging.iter().copied()) {
            return;
        }
        let standing = Standing {
            leads,
            done,
            resigned,
            damaged_ranges,
            lagging: replica.lagging().collect(),
        };
        self.tally.remove(id, &partition.standing);
        self.tally.add(id, &standing);
        partition.standing = standing;
        self.status.publish(self.tally.summary());
    }
}

impl Signals {
    fn notify_all(&self) {
        let Self {
            deadlines,
            dirty,
            facts,
            inquiries,
            retirable,
            spares,
            written,
            removed,
        } = self;
        for signal in [
            deadlines, dirty, facts, inquiries, retirable, spares, written, removed,
        ] {
            signal.notify();
        }
    }
}
