use std::fmt;

use quorate_vsr::partition::{Event, Timer};
use quorate_vsr::{Epoch, NodeId, Offset};

use super::bounds::{Bounds, nodes};
use super::disk;
use super::effect::{Offered, append, say, step, step_changed};
use super::node::{Node, Process, Wire};
use super::rule::BACKWARDS;
use super::state::{Envelope, State};
use super::storage::{
    Kept, compact, compactable, crash, damage, finish_anew, finish_cut, finish_rewrite, lose,
    restart, sync_facts, sync_records, ways_to_crash,
};
use crate::broken::Broken;
use crate::interned::Interned;
use crate::rule::Taken;

/// Something that may happen next.
#[derive(Clone, PartialEq)]
pub enum Action {
    /// The control plane tells a node of an epoch.
    Assign {
        node: NodeId,
        epoch: Epoch,
        leader: NodeId,
    },
    /// A message arrives.
    Deliver(Delivery),
    /// A producer's record arrives at an open leader.
    Append { node: NodeId },
    /// A link has room for records.
    Pump { from: NodeId, to: NodeId },
    /// The oldest facts under way are on the disk.
    SyncFacts { node: NodeId },
    /// All records are on the disk.
    SyncRecords { node: NodeId },
    /// The cut is on the disk.
    FinishCut { node: NodeId },
    /// The log was dropped and begins anew, on the disk.
    FinishAnew { node: NodeId },
    /// Records that take the place of damaged ones are on the disk.
    FinishRewrite { node: NodeId },
    /// What is before an offset expires at an open leader.
    Expire { node: NodeId, before: Offset },
    /// A node compacts its log.
    Compact { node: NodeId },
    /// A record on the disk of a running node becomes unreadable.
    Damage { node: NodeId, offset: Offset },
    /// A timer runs out.
    Timeout { node: NodeId, timer: Timer },
    /// A process ends. Of what was under way, this much had reached the disk.
    Crash { node: NodeId, kept: Kept },
    /// The disk of a node that is down loses all records from this offset on, and notices.
    Lose { node: NodeId, from: Offset },
    /// A node starts from its disk.
    Restart { node: NodeId },
}

/// A message that arrives.
#[derive(Clone, Debug, PartialEq)]
pub struct Delivery(Interned<Envelope>);

impl Taken for Action {
    fn is_rare(&self) -> bool {
        matches!(
            self,
            Self::Crash { .. } | Self::Timeout { .. } | Self::Assign { .. } | Self::Append { .. }
        )
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Assign {
                node,
                epoch,
                leader,
            } => {
                write!(f, "{node:?} is told: {epoch:?} is led by {leader:?}")
            }
            Self::Deliver(Delivery(envelope)) => (**envelope).fmt(f),
            Self::Append { node } => write!(f, "{node:?} takes a record from a producer"),
            Self::Pump { from, to } => write!(f, "{from:?} has room to send records to {to:?}"),
            Self::SyncFacts { node } => {
                write!(f, "{node:?}: the oldest facts under way are durable")
            }
            Self::SyncRecords { node } => write!(f, "{node:?}: all its records are durable"),
            Self::FinishCut { node } => write!(f, "{node:?}: the cut is done and durable"),
            Self::FinishAnew { node } => write!(f, "{node:?}: its log begins anew"),
            Self::FinishRewrite { node } => write!(f, "{node:?}: what was damaged is rewritten"),
            Self::Expire { node, before } => {
                write!(f, "at {node:?} expires what is before offset {before}")
            }
            Self::Compact { node } => write!(f, "{node:?} compacts its log"),
            Self::Damage { node, offset } => {
                write!(f, "{node:?} finds that its record at {offset:?} is damaged")
            }
            Self::Timeout { node, timer } => write!(f, "{node:?}: timer {timer:?} runs out"),
            Self::Crash { node, kept } => write!(f, "{node:?} crashes, {kept}"),
            Self::Lose { node, from } => write!(
                f,
                "the disk of {node:?} loses what may have stood from offset {from} on, and notices"
            ),
            Self::Restart { node } => write!(f, "{node:?} starts from its disk"),
        }
    }
}

impl fmt::Debug for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Everything that may happen in a state. Nothing happens any more once something is broken.
pub(super) fn possible(bounds: &Bounds, state: &State, actions: &mut Vec<Action>) {
    if state.broken.is_some() {
        return;
    }
    for (id, node) in state.nodes() {
        match &node.process {
            None if bounds.restarts => {
                actions.push(Action::Restart { node: id });
                if state.left.losses > 0 {
                    let offsets = (0..=node.disk.log.len() as u64).map(Offset);
                    actions.extend(offsets.map(|from| Action::Lose { node: id, from }));
                }
            }
            None => {}
            Some(process) => {
                possible_at(bounds, state, id, node, process, actions);
                if state.left.crashes > 0 {
                    let ways = ways_to_crash(node, process).into_iter();
                    actions.extend(ways.map(|kept| Action::Crash { node: id, kept }));
                }
            }
        }
    }
    let said = state.network.said();
    let heard = said.filter(|envelope| state.process(envelope.to).is_some());
    actions.extend(heard.map(|envelope| Action::Deliver(Delivery(envelope.clone()))));
}

fn possible_at(
    bounds: &Bounds,
    state: &State,
    id: NodeId,
    node: &Node,
    process: &Process,
    actions: &mut Vec<Action>,
) {
    for (epoch, assignment) in bounds.epochs().filter(|(epoch, _)| *epoch > process.told) {
        let leader = NodeId(assignment.leader);
        let is_told = leader == id || bounds.followers_are_told;
        let is_given = |joint: Vec<Epoch>| joint.iter().any(|epoch| state.adopted.contains(epoch));
        if is_told && bounds.adopted_before(epoch).is_none_or(is_given) {
            actions.push(Action::Assign {
                node: id,
                epoch,
                leader,
            });
        }
    }
    if process.replica.is_open() && state.left.appends > 0 {
        actions.push(Action::Append { node: id });
    }
    actions.extend(
        process
            .wishes
            .keys()
            .map(|to| Action::Pump { from: id, to: *to }),
    );
    if !process.facts.is_empty() {
        actions.push(Action::SyncFacts { node: id });
    }
    if node.has_unsynced() {
        actions.push(Action::SyncRecords { node: id });
    }
    if process.cut.is_some() {
        actions.push(Action::FinishCut { node: id });
    }
    if process.anew.is_some() {
        actions.push(Action::FinishAnew { node: id });
    }
    if process.rewriting.is_some() {
        actions.push(Action::FinishRewrite { node: id });
    }
    if process.replica.is_open() && state.left.expiries > 0 {
        let offsets = process.replica.log_start().0 + 1..=process.replica.high_watermark().0;
        let offsets = offsets.map(Offset);
        actions.extend(offsets.map(|before| Action::Expire { node: id, before }));
    }
    if state.left.compactions > 0 && compactable(node, process).is_some() {
        actions.push(Action::Compact { node: id });
    }
    if state.left.damages > 0 {
        let offsets = (0..node.disk.log.len() as u64).map(Offset);
        let sound = offsets.filter(|offset| !node.disk.damaged.contains(offset));
        actions.extend(sound.map(|offset| Action::Damage { node: id, offset }));
    }
    if state.left.timeouts > 0 {
        let timers = process.timers.iter().copied();
        actions.extend(timers.map(|timer| Action::Timeout { node: id, timer }));
    }
}

/// The state after an action; `None` if it changes nothing.
pub(super) fn take(bounds: &Bounds, last: &State, action: &Action) -> Option<State> {
    let mut state = last.clone();
    let is_change = match action {
        Action::Assign { node, epoch, .. } => assign(bounds, &mut state, *node, *epoch),
        Action::Deliver(Delivery(envelope)) => deliver(bounds, &mut state, envelope),
        Action::Append { node } => {
            state.left.appends -= 1;
            let serial = state.left.appends;
            append(bounds, &mut state, *node, serial)
        }
        Action::Pump { from, to } => pump(bounds, &mut state, *from, *to),
        Action::SyncFacts { node } => sync_facts(bounds, &mut state, *node),
        Action::SyncRecords { node } => sync_records(bounds, &mut state, *node),
        Action::FinishCut { node } => finish_cut(bounds, &mut state, *node),
        Action::Timeout { node, timer } => time_out(bounds, &mut state, *node, *timer),
        Action::Crash { node, kept } => crash(&mut state, *node, *kept),
        Action::Lose { node, from } => lose(&mut state, *node, *from),
        Action::FinishAnew { node } => finish_anew(bounds, &mut state, *node),
        Action::FinishRewrite { node } => finish_rewrite(bounds, &mut state, *node),
        Action::Expire { node, before } => {
            state.left.expiries -= 1;
            let event = Event::Expire { before: *before };
            step(bounds, &mut state, *node, event, Offered::default())
        }
        Action::Compact { node } => compact(bounds, &mut state, *node),
        Action::Damage { node, offset } => damage(bounds, &mut state, *node, *offset),
        Action::Restart { node } => restart(bounds, &mut state, *node),
    };
    if !is_change {
        return None;
    }
    for id in state.ids() {
        while state.broken.is_none() && settle_one(bounds, &mut state, id) {}
    }
    forget_the_fenced(&mut state);
    forget_timers(&mut state);
    if let Some(room) = bounds.room {
        state.network.forget_the_oldest(room);
    }
    (state != *last).then_some(state)
}

/// States that differ only in timers which cannot run out any more are the same.
fn forget_timers(state: &mut State) {
    if state.left.timeouts > 0 {
        return;
    }
    for id in state.ids() {
        let is_armed = state
            .process(id)
            .is_some_and(|process| !process.timers.is_empty());
        if is_armed {
            let mut node = state.node(id).clone();
            if let Some(process) = &mut node.process {
                process.timers.clear();
            }
            state.put(id, node);
        }
    }
}

/// Drops messages of epochs that are older than a promise on their receiver's disk. Production
/// never listens to them again; that this is so is asked of it here, before each is dropped.
fn forget_the_fenced(state: &mut State) {
    let mut heard = None;
    let mut network = state.network.clone();
    network.forget(|envelope| {
        let node = state.node(envelope.to);
        let epoch = envelope.wire.epoch();
        let is_fenced = epoch.is_some_and(|epoch| epoch < node.disk.facts.promised);
        if is_fenced && let Some(process) = &node.process {
            let mut probe = process.replica.clone();
            let mut effects = Vec::new();
            probe.change(|replica| replica.step(event(envelope), &mut effects));
            if probe != process.replica || !effects.is_empty() {
                heard = Some(envelope.to);
            }
        }
        is_fenced
    });
    state.network = network;
    if let Some(id) = heard {
        let what = format!("{id:?} listens to a message of an epoch before its promise");
        state.broken.get_or_insert(Broken::new(BACKWARDS, what));
    }
}

/// Does one thing at once that is not to take its time.
fn settle_one(bounds: &Bounds, state: &mut State, id: NodeId) -> bool {
    let node = state.node(id);
    let Some(process) = &node.process else {
        return false;
    };
    let to = process.wishes.keys().next().copied();
    if let Some(to) = to.filter(|_| !bounds.slow_links) {
        return pump(bounds, state, id, to);
    }
    if bounds.slow_disk {
        false
    } else if !process.facts.is_empty() {
        sync_facts(bounds, state, id)
    } else if node.has_unsynced() {
        sync_records(bounds, state, id)
    } else if process.cut.is_some() {
        finish_cut(bounds, state, id)
    } else if process.anew.is_some() {
        finish_anew(bounds, state, id)
    } else {
        process.rewriting.is_some() && finish_rewrite(bounds, state, id)
    }
}

fn assign(bounds: &Bounds, state: &mut State, id: NodeId, epoch: Epoch) -> bool {
    let Some(assignment) = bounds.assignment(epoch) else {
        return false;
    };
    let mut node = state.node(id).clone();
    let Some(process) = &mut node.process else {
        return false;
    };
    process.told = epoch;
    let event = Event::Assign {
        epoch,
        leader: NodeId(assignment.leader),
        voters: nodes(assignment.voters),
        previous: nodes(assignment.previous),
        learners: nodes(assignment.learners),
    };
    step_changed(bounds, state, id, node, event);
    true
}

fn deliver(bounds: &Bounds, state: &mut State, envelope: &Envelope) -> bool {
    let offered = match &envelope.wire {
        Wire::Message(_) => Offered::default(),
        Wire::Records {
            head,
            records,
            thinned,
        } => Offered {
            base: head.base_offset,
            records,
            thinned: Some(thinned),
        },
        Wire::Repair {
            base,
            records,
            thinned,
            ..
        } => Offered {
            base: *base,
            records,
            thinned: Some(thinned),
        },
    };
    step(bounds, state, envelope.to, event(envelope), offered)
}

fn event(envelope: &Envelope) -> Event {
    let from = envelope.from;
    match &envelope.wire {
        Wire::Message(message) => Event::Message {
            from,
            message: message.clone(),
        },
        Wire::Records { head, records, .. } => {
            let epochs = disk::headers(head.base_offset, records);
            let next_offset = Offset(head.base_offset.0 + records.len() as u64);
            Event::Records {
                from,
                head: *head,
                next_offset,
                epochs,
            }
        }
        Wire::Repair {
            base,
            records,
            compacted,
            ..
        } => Event::Repair {
            base_offset: *base,
            next_offset: Offset(base.0 + records.len() as u64),
            epochs: disk::headers(*base, records),
            compacted: *compacted,
        },
    }
}

fn pump(bounds: &Bounds, state: &mut State, from: NodeId, to: NodeId) -> bool {
    let mut node = state.node(from).clone();
    let Some(process) = &mut node.process else {
        return false;
    };
    let Some((epoch, base)) = process.wishes.remove(&to) else {
        return false;
    };
    let all = disk::end(&process.log);
    let records = node.disk.readable(&process.log, base, all).to_vec();
    let head = process.replica.records_head(to, epoch, base);
    let Some(head) = head.filter(|_| !records.is_empty()) else {
        state.put(from, node);
        return true;
    };
    let next_offset = Offset(base.0 + records.len() as u64);
    let thinned = node.disk.thinned.part(base, next_offset);
    let wire = Wire::Records {
        head,
        records,
        thinned,
    };
    say(bounds, state, Envelope { from, to, wire });
    let event = Event::RecordsSent {
        to,
        head,
        next_offset,
    };
    step_changed(bounds, state, from, node, event);
    true
}

fn time_out(bounds: &Bounds, state: &mut State, id: NodeId, timer: Timer) -> bool {
    let mut node = state.node(id).clone();
    let Some(process) = &mut node.process else {
        return false;
    };
    state.left.timeouts -= 1;
    process.timers.remove(&timer);
    step_changed(bounds, state, id, node, Event::Timeout(timer));
    true
}
