//! The driver: carries out what a replica asks for, in the order in which it asks.

use quorate_vsr::partition::{ChangeProgress, Effect, Event, Message, RepairWish, Replica};
use quorate_vsr::quorum::Electorate;
use quorate_vsr::{Epoch, NodeId, Offset};

use super::bounds::{Bounds, nodes};
use super::disk::{self, Disk, Record};
use super::node::{Node, Process, Wire};
use super::rule::{AGREEMENT, BACKWARDS, COMPLETENESS, DRIVER, DURABLE, ONE_LEADER, TRUST, UNCUT};
use super::state::{Envelope, State};
use crate::broken::{Broken, caught};
use crate::interned::Interned;
use crate::thinned::Thinned;

/// The records that came with an event.
#[derive(Clone, Copy, Default)]
pub(super) struct Offered<'a> {
    pub(super) base: Offset,
    pub(super) records: &'a [Record],
    /// What the sender's compaction has made of them.
    pub(super) thinned: Option<&'a Thinned>,
}

impl Offered<'_> {
    fn owned(self) -> (Offset, Vec<Record>, Thinned) {
        let thinned = self.thinned.cloned().unwrap_or_default();
        (self.base, self.records.to_vec(), thinned)
    }

    /// They are appended to the log.
    fn append(self, log: &mut Vec<Record>, disk: &mut Interned<Disk>) {
        log.extend_from_slice(self.records);
        if let Some(thinned) = self.thinned {
            disk.change(|disk| disk.thinned.replace(self.base, disk::end(log), thinned));
        }
    }
}

/// Lets a running node take an event; false if nothing comes of it, as of most of what arrives.
pub(super) fn step(
    bounds: &Bounds,
    state: &mut State,
    id: NodeId,
    event: Event,
    offered: Offered<'_>,
) -> bool {
    let Some(process) = state.process(id) else {
        return false;
    };
    let stepped = stepped(&process.replica, event);
    if let Ok((replica, effects)) = &stepped
        && effects.is_empty()
        && *replica == *process.replica
    {
        return false;
    }
    if let Some((replica, effects)) = state.note(stepped) {
        let node = state.node(id).clone();
        carry_out(bounds, state, id, node, replica, effects, offered);
    }
    true
}

/// What a replica becomes by an event, and what it asks for.
fn stepped(replica: &Replica, event: Event) -> Result<(Replica, Vec<Effect>), Broken> {
    let mut replica = replica.clone();
    let mut effects = Vec::new();
    caught(|| replica.step(event, &mut effects))?;
    Ok((replica, effects))
}

/// As [`step`], for a node that the driver has changed already.
pub(super) fn step_changed(
    bounds: &Bounds,
    state: &mut State,
    id: NodeId,
    node: Node,
    event: Event,
) {
    let Some(process) = &node.process else {
        return;
    };
    let stepped = stepped(&process.replica, event);
    if let Some((replica, effects)) = state.note(stepped) {
        carry_out(
            bounds,
            state,
            id,
            node,
            replica,
            effects,
            Offered::default(),
        );
    }
}

/// Lets an open leader take one record.
pub(super) fn append(bounds: &Bounds, state: &mut State, id: NodeId, serial: u8) -> bool {
    let mut node = state.node(id).clone();
    let Some(process) = &mut node.process else {
        return false;
    };
    let mut replica = Replica::clone(&process.replica);
    let mut effects = Vec::new();
    let epoch = replica.epoch();
    let appended = caught(|| replica.append(1, &mut effects));
    let Some(appended) = state.note(appended) else {
        return true;
    };
    if appended != Ok(disk::end(&process.log)) {
        let what = "an open leader did not take a record, or not at the end of its log";
        state.broken.get_or_insert(Broken::new(DRIVER, what));
    }
    process.log.push(Record { epoch, serial });
    carry_out(
        bounds,
        state,
        id,
        node,
        replica,
        effects,
        Offered::default(),
    );
    true
}

/// Does what the replica of a node asks for, now that the replica has become `replica`.
fn carry_out(
    bounds: &Bounds,
    state: &mut State,
    id: NodeId,
    mut node: Node,
    replica: Replica,
    effects: Vec<Effect>,
    offered: Offered<'_>,
) {
    let Some(process) = &mut node.process else {
        return;
    };
    if replica.high_watermark() < process.replica.high_watermark() {
        let what = "a high watermark goes back";
        state.broken.get_or_insert(Broken::new(BACKWARDS, what));
    }
    process.replica = Interned::new(replica);
    for effect in effects {
        match effect {
            Effect::Send { to, message } => {
                node.vowed = node.vowed.max(vow(&message));
                let (from, wire) = (id, Wire::Message(message));
                say(bounds, state, Envelope { from, to, wire });
            }
            Effect::PersistFacts(facts) => process.facts.push_back(facts),
            Effect::SendRepair { to, wish } => {
                let wire = mended(&node.disk, &process.log, wish);
                say_repair(bounds, state, (id, to), wire);
            }
            // It compacts its log whenever it likes.
            Effect::Compact { .. } => {}
            Effect::Rewrite => process.rewriting = Some(offered.owned()),
            Effect::Accept => offered.append(&mut process.log, &mut node.disk),
            Effect::Truncate { to } => begin_cut(state, id, process, to),
            Effect::BeginAnew { at, .. } => {
                state.seen.anew = true;
                process.anew = Some(at);
            }
            Effect::Retire { below } => {
                let retired = retire(&mut node.disk, id, below);
                state.note(retired);
            }
            Effect::SendRecords { to, epoch, from } => {
                state.seen.pull |= process.replica.leader() == Some(to);
                process.wishes.insert(to, (epoch, from));
            }
            Effect::Opened { epoch } => {
                let opened = open(state, id, epoch, process);
                state.note(opened);
            }
            Effect::Committed { high_watermark } => {
                let committed = commit(bounds, state, id, &node.disk, process, high_watermark);
                state.note(committed);
            }
            Effect::Arm(timer) => {
                process.timers.insert(timer);
            }
            Effect::Disarm(timer) => {
                process.timers.remove(&timer);
            }
            Effect::Distrust { from, why } => {
                let what = format!("{id:?} takes what {from:?} rightly says for unsound: {why}");
                state.broken.get_or_insert(Broken::new(TRUST, what));
            }
            Effect::SteppedDown | Effect::Resigned { .. } => {}
        }
    }
    let agreed = agree(process);
    state.note(agreed);
    note_progress(state, &process.replica);
    drop_deletions(&mut node.disk, &process.replica);
    state.put(id, node);
}

/// What says that something is deleted goes at once where it may.
fn drop_deletions(disk: &mut Interned<Disk>, replica: &Replica) {
    let droppable = replica.compacted_everywhere().min(disk.facts.compacted);
    if droppable > Offset(0) {
        disk.change(|disk| disk.thinned.drop_deletions(droppable));
    }
}

/// What a peer gets for its damaged records.
fn mended(disk: &Disk, log: &[Record], wish: RepairWish) -> Wire {
    let RepairWish {
        from,
        until,
        compacted,
    } = wish;
    Wire::Repair {
        base: from,
        records: disk.readable(log, from, until).to_vec(),
        thinned: disk.thinned.part(from, until),
        compacted,
    }
}

/// The report of a change of voters arrives; when the control plane makes use of it is another
/// step.
fn note_progress(state: &mut State, replica: &Replica) {
    if replica.change_progress() == Some(ChangeProgress::Adopted) {
        state.adopted.insert(replica.epoch());
    }
}

/// Whether a replica and its driver mean the same log.
fn agree(process: &Process) -> Result<(), Broken> {
    let replica = &process.replica;
    let is_changing = process.cut.is_some() || replica.is_beginning_anew();
    if is_changing || replica.next_offset() == disk::end(&process.log) {
        return Ok(());
    }
    let what = "a replica and its driver disagree about the log's end";
    Err(Broken::new(DRIVER, what))
}

/// Records are removed only once it is durable that they have expired.
fn retire(disk: &mut Interned<Disk>, id: NodeId, below: Offset) -> Result<(), Broken> {
    let is_durable = below <= disk.facts.log_start;
    disk.change(|disk| disk.retire(below));
    if is_durable {
        return Ok(());
    }
    let what = format!("{id:?} drops records before that is durable");
    Err(Broken::new(DURABLE, what))
}

fn say_repair(bounds: &Bounds, state: &mut State, (from, to): (NodeId, NodeId), wire: Wire) {
    if !matches!(&wire, Wire::Repair { records, .. } if records.is_empty()) {
        say(bounds, state, Envelope { from, to, wire });
    }
}

/// The log is to be cut: what is at `to` and behind it will be gone.
fn begin_cut(state: &mut State, id: NodeId, process: &mut Process, to: Offset) {
    if to < process.replica.high_watermark() {
        let what = format!("{id:?} cuts its log at {to:?}, below its high watermark");
        state.broken.get_or_insert(Broken::new(UNCUT, what));
    }
    state.seen.cut = true;
    process.cut = Some(to);
}

/// A message sets out, and may arrive from now on.
pub(super) fn say(bounds: &Bounds, state: &mut State, envelope: Envelope) {
    let Envelope { from, to, wire } = &envelope;
    let is_cut = |epoch| bounds.is_cut(epoch, *from, *to);
    if !wire.epoch().is_some_and(is_cut) {
        state.network.say(envelope);
    }
}

/// The epoch that a message promises to obey none before.
fn vow(message: &Message) -> Epoch {
    match message {
        Message::Promise(promise) => promise.epoch,
        Message::Ack(ack) => ack.epoch,
        Message::Lost { epoch, .. } => *epoch,
        Message::RequestPromise { .. }
        | Message::RequestRepair { .. }
        | Message::Pull { .. }
        | Message::Adopt(_)
        | Message::Commit { .. } => Epoch(0),
    }
}

/// Somebody says that everything below `high_watermark` is committed: a producer may have been
/// told, so it must be true for ever.
fn commit(
    bounds: &Bounds,
    state: &mut State,
    id: NodeId,
    own_disk: &Disk,
    process: &Process,
    high_watermark: Offset,
) -> Result<(), Broken> {
    let count = usize::try_from(high_watermark.0).unwrap_or(usize::MAX);
    if process.replica.is_beginning_anew() && count <= state.committed.len() {
        // What it is told of has expired, and was committed before that.
        return Ok(());
    }
    let Some(said) = process.log.get(..count) else {
        let what = "records are committed that are not there";
        return Err(Broken::new(DRIVER, what));
    };
    let both = state.committed.len().min(said.len());
    if state.committed[..both] != said[..both] {
        let what = "two different logs are committed";
        return Err(Broken::new(AGREEMENT, what));
    }
    if said.len() <= both {
        return Ok(());
    }
    state.committed = said.to_vec();
    let epoch = process.replica.epoch();
    state.committed_in.resize(said.len(), epoch);
    let Some(assignment) = bounds.assignment(epoch) else {
        return Ok(());
    };
    let electorate = Electorate::new(nodes(assignment.voters), nodes(assignment.previous));
    let has_all = |node: NodeId| {
        let disk = if node == id {
            own_disk
        } else {
            &state.node(node).disk
        };
        disk.held(said) == said.len()
    };
    let has_lost = state.left.losses < bounds.losses || state.left.damages < bounds.damages;
    if has_lost || electorate.has_majority(has_all) {
        return Ok(());
    }
    let what = format!("{id:?} commits what is not on a majority of the disks of the voters");
    Err(Broken::new(DURABLE, what))
}

/// A leader opens. It must hold what was committed before its epoch. (A leader that was fenced off
/// on the way may open late and lack what a newer one has committed; it commits nothing any more.)
fn open(state: &mut State, id: NodeId, epoch: Epoch, process: &Process) -> Result<(), Broken> {
    if *state.opened.entry(epoch).or_insert(id) != id {
        let what = format!("a second leader opens {epoch:?}");
        return Err(Broken::new(ONE_LEADER, what));
    }
    let mut older = state.committed_in.iter();
    let older = older.position(|committed_in| *committed_in >= epoch);
    let older = older.unwrap_or(state.committed.len());
    if process.log.starts_with(&state.committed[..older]) {
        return Ok(());
    }
    let what = format!("{id:?} opens {epoch:?} without what was committed before");
    Err(Broken::new(COMPLETENESS, what))
}
