use std::fmt;

use quorate_vsr::partition::{Event, Timer};
use quorate_vsr::{Epoch, NodeId, Offset};

use super::disk::{self, Record};
use super::effect::{append, step};
use super::node::{Node, Process, Wire};
use super::state::{State, index};
use super::{Bounds, Lie, NODES};
use crate::broken::Broken;
use crate::interned::Interned;
use crate::network::Envelope;
use crate::walk::Pace;

/// Something that may happen next.
#[derive(Clone, PartialEq)]
pub enum Action {
    /// The control plane tells a node who leads an epoch.
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
    /// A timer runs out.
    Timeout { node: NodeId, timer: Timer },
    /// A process ends. Of what was under way, this much had reached the disk.
    Crash { node: NodeId, kept: Kept },
    /// A node starts from its disk.
    Restart { node: NodeId },
}

/// A message that arrives.
#[derive(Clone, Debug, PartialEq)]
pub struct Delivery(Interned<Envelope<Wire>>);

/// What a crash keeps of the writes that were not confirmed yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    facts: usize,
    records: usize,
    cut: bool,
}

impl Pace for Action {
    fn is_rare(&self) -> bool {
        matches!(
            self,
            Self::Crash { .. } | Self::Timeout { .. } | Self::Assign { .. } | Self::Append { .. }
        )
    }
}

impl fmt::Debug for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Assign {
                node,
                epoch,
                leader,
            } => {
                write!(f, "{node:?} is told: {epoch:?} is led by {leader:?}")
            }
            Self::Deliver(Delivery(envelope)) => {
                let Envelope { from, to, message } = &**envelope;
                write!(f, "{from:?} -> {to:?}: {message:?}")
            }
            Self::Append { node } => write!(f, "{node:?} takes a record"),
            Self::Pump { from, to } => write!(f, "{from:?} sends records to {to:?}"),
            Self::SyncFacts { node } => write!(f, "{node:?}: the oldest facts are durable"),
            Self::SyncRecords { node } => write!(f, "{node:?}: all records are durable"),
            Self::FinishCut { node } => write!(f, "{node:?}: the cut is durable"),
            Self::Timeout { node, timer } => write!(f, "{node:?}: {timer:?} runs out"),
            Self::Crash { node, kept } => write!(f, "{node:?} crashes, {kept:?}"),
            Self::Restart { node } => write!(f, "{node:?} starts again"),
        }
    }
}

/// Everything that may happen in a state. Nothing happens any more once something is broken.
pub(super) fn possible(bounds: &Bounds, state: &State, actions: &mut Vec<Action>) {
    if state.broken.is_some() {
        return;
    }
    for (id, node) in state.nodes() {
        match node {
            Node::Down(_) if bounds.restarts => actions.push(Action::Restart { node: id }),
            Node::Down(_) => {}
            Node::Up(process) => {
                possible_at(bounds, state, id, process, actions);
                if state.left.crashes > 0 {
                    crashes(id, process, actions);
                }
            }
        }
    }
    let is_up = |id| state.node(id).process().is_some();
    for envelope in state.network.said().filter(|envelope| is_up(envelope.to)) {
        actions.push(Action::Deliver(Delivery(envelope.clone())));
    }
}

fn possible_at(
    bounds: &Bounds,
    state: &State,
    node: NodeId,
    process: &Process,
    actions: &mut Vec<Action>,
) {
    for (epoch, leader) in bounds.epochs().filter(|(epoch, _)| *epoch > process.told) {
        if leader == node || bounds.followers_are_told {
            actions.push(Action::Assign {
                node,
                epoch,
                leader,
            });
        }
    }
    if process.replica.is_open() && state.left.appends > 0 {
        actions.push(Action::Append { node });
    }
    actions.extend(process.wishes.keys().map(|to| Action::Pump {
        from: node,
        to: *to,
    }));
    if !process.facts.is_empty() {
        actions.push(Action::SyncFacts { node });
    }
    if process.has_unsynced() {
        actions.push(Action::SyncRecords { node });
    }
    if process.cut.is_some() {
        actions.push(Action::FinishCut { node });
    }
    if state.left.timeouts > 0 {
        let timers = process.timers.iter();
        actions.extend(timers.map(|timer| Action::Timeout {
            node,
            timer: *timer,
        }));
    }
}

/// A crash for every way in which the disk may be left. Writes to one file keep their order.
fn crashes(node: NodeId, process: &Process, actions: &mut Vec<Action>) {
    for facts in 0..=process.facts.len() {
        let synced = process.disk.log.len().min(process.log.len());
        for records in synced..=process.log.len() {
            for cut in [false, true] {
                if cut && process.cut.is_none() {
                    continue;
                }
                let kept = Kept {
                    facts,
                    records,
                    cut,
                };
                actions.push(Action::Crash { node, kept });
            }
        }
    }
}

/// The state after an action; `None` if it changes nothing.
pub(super) fn take(bounds: &Bounds, last: &State, action: &Action) -> Option<State> {
    let mut state = last.clone();
    match action {
        Action::Assign {
            node,
            epoch,
            leader,
        } => {
            let mut process = last.node(*node).process()?.clone();
            process.told = *epoch;
            let voters = NODES.to_vec();
            let event = Event::Assign {
                epoch: *epoch,
                leader: *leader,
                voters,
                previous: Vec::new(),
                learners: Vec::new(),
            };
            step(&mut state, *node, process, event, &[]);
        }
        Action::Deliver(Delivery(envelope)) => deliver(&mut state, envelope)?,
        Action::Append { node } => {
            let process = last.node(*node).process()?.clone();
            state.left.appends -= 1;
            let record = Record {
                epoch: process.replica.epoch(),
                serial: state.left.appends,
            };
            append(&mut state, *node, process, record);
        }
        Action::Pump { from, to } => pump(&mut state, *from, *to)?,
        Action::SyncFacts { node } => sync_facts(bounds, &mut state, *node)?,
        Action::SyncRecords { node } => sync_records(bounds, &mut state, *node)?,
        Action::FinishCut { node } => finish_cut(bounds, &mut state, *node)?,
        Action::Timeout { node, timer } => {
            let mut process = last.node(*node).process()?.clone();
            state.left.timeouts -= 1;
            process.timers.remove(timer);
            step(&mut state, *node, process, Event::Timeout(*timer), &[]);
        }
        Action::Crash { node, kept } => crash(&mut state, *node, *kept)?,
        Action::Restart { node } => restart(&mut state, *node),
    }
    for id in NODES {
        settle(bounds, &mut state, id);
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
    for id in NODES {
        if let Some(process) = state.node(id).process()
            && !process.timers.is_empty()
        {
            let mut process = process.clone();
            process.timers.clear();
            state.put(id, Node::Up(Box::new(process)));
        }
    }
}

/// Drops messages of epochs that are older than a promise on their receiver's disk. Production
/// never listens to them again; that this is so is asked of it here, before each is dropped.
fn forget_the_fenced(state: &mut State) {
    let State {
        nodes,
        network,
        broken,
        ..
    } = state;
    network.forget(|envelope| {
        let node = &nodes[index(envelope.to)];
        let is_fenced = envelope.message.epoch() < node.disk().facts.promised;
        if is_fenced && let Some(process) = node.process() {
            let mut probe = process.replica.clone();
            let mut effects = Vec::new();
            probe.step(event(envelope), &mut effects);
            if probe != process.replica || !effects.is_empty() {
                *broken = Some(Broken::new("a fenced message was listened to"));
            }
        }
        is_fenced
    });
}

/// Does at once what is not to take its time.
fn settle(bounds: &Bounds, state: &mut State, id: NodeId) {
    while state.broken.is_none() && settle_one(bounds, state, id).is_some() {}
}

fn settle_one(bounds: &Bounds, state: &mut State, id: NodeId) -> Option<()> {
    let process = state.node(id).process()?;
    let to = process.wishes.keys().next().copied();
    if let Some(to) = to.filter(|_| !bounds.slow_links) {
        return pump(state, id, to);
    }
    if bounds.slow_disk {
        return None;
    }
    if !process.facts.is_empty() {
        sync_facts(bounds, state, id)
    } else if process.has_unsynced() {
        sync_records(bounds, state, id)
    } else if process.cut.is_some() {
        finish_cut(bounds, state, id)
    } else {
        None
    }
}

fn deliver(state: &mut State, envelope: &Envelope<Wire>) -> Option<()> {
    let process = state.node(envelope.to).process()?.clone();
    let offered: &[Record] = match &envelope.message {
        Wire::Message(_) => &[],
        Wire::Records { records, .. } => records,
    };
    step(state, envelope.to, process, event(envelope), offered);
    Some(())
}

fn event(envelope: &Envelope<Wire>) -> Event {
    let from = envelope.from;
    match &envelope.message {
        Wire::Message(message) => Event::Message {
            from,
            message: message.clone(),
        },
        Wire::Records { head, records } => {
            let epochs = disk::headers(head.base_offset, records);
            let next_offset = Offset(head.base_offset.0 + records.len() as u64);
            Event::Records {
                from,
                head: *head,
                next_offset,
                epochs,
            }
        }
    }
}

fn pump(state: &mut State, from: NodeId, to: NodeId) -> Option<()> {
    let mut process = state.node(from).process()?.clone();
    let (epoch, base) = process.wishes.remove(&to)?;
    let records = disk::from(&process.log, base).to_vec();
    let head = process.replica.records_head(to, epoch, base);
    let Some(head) = head.filter(|_| !records.is_empty()) else {
        state.put(from, Node::Up(Box::new(process)));
        return Some(());
    };
    let next_offset = Offset(base.0 + records.len() as u64);
    state.network.say(from, to, Wire::Records { head, records });
    let event = Event::RecordsSent {
        to,
        head,
        next_offset,
    };
    step(state, from, process, event, &[]);
    Some(())
}

fn sync_facts(bounds: &Bounds, state: &mut State, node: NodeId) -> Option<()> {
    let mut process = state.node(node).process()?.clone();
    let facts = process.facts.pop_front()?;
    if bounds.lie != Some(Lie::Facts) {
        let old = process.disk.facts;
        if facts.promised < old.promised
            || facts.log_epoch < old.log_epoch
            || facts.high_watermark < old.high_watermark
        {
            state.broken = Some(Broken::new("facts go back"));
        }
        process.disk.facts = facts;
    }
    step(state, node, process, Event::FactsDurable(facts), &[]);
    Some(())
}

fn sync_records(bounds: &Bounds, state: &mut State, node: NodeId) -> Option<()> {
    let mut process = state.node(node).process()?.clone();
    let next_offset = disk::end(&process.log);
    if bounds.lie != Some(Lie::Records) {
        process.disk.log = process.log.clone();
    } else if process.replica.durable_offset() == next_offset {
        return None;
    }
    step(state, node, process, Event::LogDurable { next_offset }, &[]);
    Some(())
}

fn finish_cut(bounds: &Bounds, state: &mut State, node: NodeId) -> Option<()> {
    let mut process = state.node(node).process()?.clone();
    let next_offset = process.cut.take()?;
    let kept = usize::try_from(next_offset.0).unwrap_or(usize::MAX);
    process.log.truncate(kept);
    if bounds.lie != Some(Lie::Cuts) {
        process.disk.log.truncate(kept);
    }
    step(state, node, process, Event::Truncated { next_offset }, &[]);
    Some(())
}

fn crash(state: &mut State, node: NodeId, kept: Kept) -> Option<()> {
    let process = state.node(node).process()?.clone();
    state.left.crashes -= 1;
    let mut disk = process.disk;
    if let Some(facts) = process.facts.iter().take(kept.facts).next_back() {
        disk.facts = *facts;
    }
    // A cut that was confirmed and not done leaves on the disk what nobody knows of any more.
    if process.log.starts_with(&disk.log) {
        disk.log = process.log;
        disk.log.truncate(kept.records);
    }
    if let Some(cut) = process.cut.filter(|_| kept.cut) {
        disk.log
            .truncate(usize::try_from(cut.0).unwrap_or(usize::MAX));
    }
    state.put(node, Node::Down(disk));
    Some(())
}

fn restart(state: &mut State, node: NodeId) {
    let disk = state.node(node).disk().clone();
    match disk.start(node) {
        Ok(replica) => state.put(node, Node::Up(Box::new(Process::new(replica, disk)))),
        Err(unsound) => state.broken = Some(Broken::new(format!("after a crash: {unsound}"))),
    }
}
