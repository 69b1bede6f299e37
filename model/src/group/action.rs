use std::fmt;

use quorate_vsr::group::{Event, Member, Membership, Message, Timer};
use quorate_vsr::{NodeId, OpNumber};

use super::bounds::Bounds;
use super::change::Change;
use super::effect::{CLIENT, request, start, step, step_changed};
use super::lease::is_of_lease;
use super::node::Process;
use super::rule::BACKWARDS;
use super::state::{Envelope, State};
use super::storage::{
    Kept, crash, damage, lose_disk, settle, sync_checkpoint, sync_prepare, sync_superblock,
    ways_to_crash,
};
use crate::broken::Broken;
use crate::interned::Interned;
use crate::rule::Taken;

/// Something that may happen next.
#[derive(Clone, PartialEq)]
pub enum Action {
    /// A message arrives.
    Deliver(Delivery),
    /// The client asks a primary for a session.
    Register { node: NodeId },
    /// The client asks a primary for its operation.
    Request { node: NodeId },
    /// Somebody asks a primary for the state.
    Read { node: NodeId },
    /// A primary proposes an operation of its own.
    Propose { node: NodeId },
    /// A primary changes the members by one step.
    Reconfigure { node: NodeId, change: Change },
    /// A primary is asked to hand over.
    Transfer { node: NodeId, to: NodeId },
    /// The oldest prepare under way is on the disk.
    SyncPrepare { node: NodeId },
    /// The oldest superblock under way is on the disk.
    SyncSuperblock { node: NodeId },
    /// The oldest checkpoint under way is on the disk.
    SyncCheckpoint { node: NodeId },
    /// A timer runs out.
    Timeout { node: NodeId, timer: Timer },
    /// A process ends. Of what was under way, this much had reached the disk.
    Crash { node: NodeId, kept: Kept },
    /// An entry in the journal of a node that is down becomes unreadable; without a number,
    /// something after its end.
    Damage { node: NodeId, op: Option<OpNumber> },
    /// The disk of a node that is down is lost, and it gets another one.
    LoseDisk { node: NodeId },
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
            Self::Crash { .. }
                | Self::Timeout { .. }
                | Self::Propose { .. }
                | Self::Read { .. }
                | Self::Reconfigure { .. }
                | Self::Transfer { .. }
        )
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Deliver(Delivery(envelope)) => (**envelope).fmt(f),
            Self::Register { node } => write!(f, "the client registers with {node:?}"),
            Self::Request { node } => write!(f, "the client sends its request to {node:?}"),
            Self::Read { node } => write!(f, "somebody reads at {node:?}"),
            Self::Propose { node } => write!(f, "{node:?} proposes an operation"),
            Self::Reconfigure { node, change } => write!(f, "{node:?} {change}"),
            Self::Transfer { node, to } => write!(f, "{node:?} is to hand over to {to:?}"),
            Self::SyncPrepare { node } => {
                write!(f, "{node:?}: the oldest prepare under way is durable")
            }
            Self::SyncSuperblock { node } => {
                write!(f, "{node:?}: the oldest superblock under way is durable")
            }
            Self::SyncCheckpoint { node } => {
                write!(f, "{node:?}: the checkpoint under way is durable")
            }
            Self::Timeout { node, timer } => write!(f, "{node:?}: timer {timer:?} runs out"),
            Self::Crash { node, kept } => write!(f, "{node:?} crashes, {kept}"),
            Self::Damage { node, op: Some(op) } => {
                write!(f, "{op:?} in the journal of {node:?} becomes unreadable")
            }
            Self::Damage { node, op: None } => {
                write!(f, "the journal of {node:?} ends with something unreadable")
            }
            Self::LoseDisk { node } => write!(f, "{node:?} loses its disk and gets a blank one"),
            Self::Restart { node } => write!(f, "{node:?} starts from its disk"),
        }
    }
}

impl fmt::Debug for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The group after its first start, with everything said heard, and in order.
pub(super) fn come_up(bounds: &Bounds) -> State {
    let bounds = &Bounds {
        cut: &[],
        ..*bounds
    };
    let mut state = State::new(bounds);
    for id in state.ids() {
        start(bounds, &mut state, id);
        settle(bounds, &mut state, id);
    }
    let mut said = hear_all(bounds, &mut state);
    if bounds.requests > 0 && bounds.is_registered {
        for id in state.ids() {
            step(bounds, &mut state, id, Event::Register { client: CLIENT });
            settle(bounds, &mut state, id);
        }
        said.extend(hear_all(bounds, &mut state));
    }
    if bounds.echoes {
        // Who asked for the view or promised it has long been heard.
        said.retain(|envelope| !is_of_view_change(&envelope.message));
        said.into_iter()
            .for_each(|envelope| state.network.say(envelope));
    }
    state
}

/// Lets everything arrive until nothing is said any more; returns what was said.
fn hear_all(bounds: &Bounds, state: &mut State) -> Vec<Envelope> {
    let mut heard = Vec::new();
    loop {
        let said: Vec<_> = state.network.said().cloned().collect();
        if said.is_empty() {
            return heard;
        }
        state.network.forget(|_| true);
        for envelope in said {
            deliver(bounds, state, &envelope);
            settle(bounds, state, envelope.to);
            heard.push(Envelope::clone(&envelope));
        }
    }
}

/// Everything that may happen in a state. Nothing happens any more once something is broken.
pub(super) fn possible(bounds: &Bounds, state: &State, actions: &mut Vec<Action>) {
    if state.broken.is_some() {
        return;
    }
    for (node, found) in state.nodes() {
        match &found.process {
            None if bounds.restarts => {
                actions.push(Action::Restart { node });
                // Without promises on it a disk was never used, and holds nothing.
                if state.left.damages > 0 && found.disk.superblock.is_some() {
                    let ops = found.disk.journal.iter().map(|prepare| Some(prepare.op));
                    let ops = ops.chain([None]);
                    actions.extend(ops.map(|op| Action::Damage { node, op }));
                }
                if state.left.lost_disks > 0 {
                    actions.push(Action::LoseDisk { node });
                }
            }
            None => {}
            Some(process) => {
                possible_at(bounds, state, node, process, actions);
                if state.left.crashes > 0 && bounds.is_mortal(node) {
                    let ways = ways_to_crash(process).into_iter();
                    actions.extend(ways.map(|kept| Action::Crash { node, kept }));
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
    node: NodeId,
    process: &Process,
    actions: &mut Vec<Action>,
) {
    if process.replica.is_primary() {
        possible_at_primary(bounds, state, node, process, actions);
    }
    if !process.prepares.is_empty() {
        actions.push(Action::SyncPrepare { node });
    }
    if !process.superblocks.is_empty() {
        actions.push(Action::SyncSuperblock { node });
    }
    if !process.checkpoints.is_empty() {
        actions.push(Action::SyncCheckpoint { node });
    }
    let may_run_out = |timer: &Timer| {
        let may = can_run_out(bounds, state, *timer);
        may && state.clocks.may_run_out(node, *timer)
    };
    let timers = process.timers.iter().copied().filter(may_run_out);
    actions.extend(timers.map(|timer| Action::Timeout { node, timer }));
}

fn possible_at_primary(
    bounds: &Bounds,
    state: &State,
    node: NodeId,
    process: &Process,
    actions: &mut Vec<Action>,
) {
    if state.left.proposals > 0 {
        actions.push(Action::Propose { node });
    }
    if state.left.reads > 0 {
        actions.push(Action::Read { node });
    }
    if bounds.requests > 0 {
        actions.push(match state.client.session {
            None => Action::Register { node },
            Some(_) => Action::Request { node },
        });
    }
    if state.left.steps > 0 {
        let is_possible = |change: &Change| {
            let next = changed(state, process, *change);
            next.is_some_and(|next| process.replica.may_reconfigure(&next).is_ok())
        };
        let changes = bounds.changes.iter().copied().filter(is_possible);
        actions.extend(changes.map(|change| Action::Reconfigure { node, change }));
    }
    if state.left.transfers > 0 {
        let voters = process.replica.membership().voting_nodes().into_iter();
        let others = voters.filter(|to| *to != node);
        actions.extend(others.map(|to| Action::Transfer { node, to }));
    }
}

/// The members after a step, according to a primary.
fn changed(state: &State, process: &Process, change: Change) -> Option<Membership> {
    let node = change.node();
    let present = Member {
        node,
        disk: state.node(node).disk.id,
    };
    change.of(process.replica.membership(), present)
}

/// Whether a timer can ever run out in this state or a later one.
fn can_run_out(bounds: &Bounds, state: &State, timer: Timer) -> bool {
    let is_wanted = state.left.timeouts > 0 && bounds.timers.contains(&timer);
    is_of_lease(timer) || is_wanted
}

/// The state after an action; `None` if it changes nothing.
pub(super) fn take(bounds: &Bounds, last: &State, action: &Action) -> Option<State> {
    let mut state = last.clone();
    let is_change = match action {
        Action::Deliver(Delivery(envelope)) => deliver(bounds, &mut state, envelope),
        Action::Register { node } => step(
            bounds,
            &mut state,
            *node,
            Event::Register { client: CLIENT },
        ),
        Action::Request { node } => ask(bounds, &mut state, *node),
        Action::Read { node } => read(bounds, &mut state, *node),
        Action::Propose { node } => {
            let operation = vec![state.left.proposals];
            state.left.proposals -= 1;
            step(bounds, &mut state, *node, Event::Propose { operation })
        }
        Action::Reconfigure { node, change } => reconfigure(bounds, &mut state, *node, *change),
        Action::Transfer { node, to } => {
            state.left.transfers -= 1;
            step(bounds, &mut state, *node, Event::Transfer { to: *to })
        }
        Action::SyncPrepare { node } => sync_prepare(bounds, &mut state, *node),
        Action::SyncSuperblock { node } => sync_superblock(bounds, &mut state, *node),
        Action::SyncCheckpoint { node } => sync_checkpoint(bounds, &mut state, *node),
        Action::Timeout { node, timer } => time_out(bounds, &mut state, *node, *timer),
        Action::Crash { node, kept } => crash(&mut state, *node, *kept),
        Action::LoseDisk { node } => lose_disk(&mut state, *node),
        Action::Damage { node, op } => damage(&mut state, *node, *op),
        Action::Restart { node } => {
            let mut found = state.node(*node).clone();
            found.restarts += 1;
            state.put(*node, found);
            start(bounds, &mut state, *node);
            true
        }
    };
    if !is_change {
        return None;
    }
    if !bounds.slow_disk {
        for id in state.ids() {
            settle(bounds, &mut state, id);
        }
    }
    forget_the_outdated(bounds, &mut state);
    forget_timers(bounds, &mut state);
    if let Some(room) = bounds.room {
        state.network.forget_the_oldest(room);
    }
    (state != *last).then_some(state)
}

/// States that differ only in timers which cannot run out any more are the same.
fn forget_timers(bounds: &Bounds, state: &mut State) {
    for id in state.ids() {
        let can_fire = |timer: &Timer| can_run_out(bounds, state, *timer);
        let timers = state.process(id).map(|process| &process.timers);
        if timers.is_some_and(|timers| !timers.iter().all(can_fire)) {
            let mut node = state.node(id).clone();
            if let Some(process) = &mut node.process {
                process.timers.retain(can_fire);
            }
            state.put(id, node);
        }
    }
}

/// Drops messages of views that are older than what their receiver's disk promises. It never
/// listens to them again; that this is so is asked of it here, before each is dropped.
fn forget_the_outdated(bounds: &Bounds, state: &mut State) {
    let mut heard = None;
    let State { network, .. } = &mut *state;
    let mut network = network.clone();
    network.forget(|envelope| {
        let node = state.node(envelope.to);
        let is_outdated = !is_heard_in_any_view(bounds, &envelope.message)
            && envelope.message.view() < node.disk.promised();
        if is_outdated && let Some(process) = &node.process {
            let mut probe = process.replica.clone();
            let mut effects = Vec::new();
            let is_silent = probe.change(|replica| {
                replica.step(event(envelope), &mut effects);
                effects.is_empty()
            });
            if !is_silent || probe != process.replica {
                heard = Some(envelope.to);
            }
        }
        is_outdated
    });
    state.network = network;
    if let Some(id) = heard {
        let what = format!("{id:?} listens to a message of a view that it has left");
        state.broken.get_or_insert(Broken::new(BACKWARDS, what));
    }
}

fn is_of_view_change(message: &Message) -> bool {
    matches!(
        message,
        Message::StartViewChange { .. } | Message::DoViewChange { .. }
    )
}

fn is_heard_in_any_view(bounds: &Bounds, message: &Message) -> bool {
    match message {
        // Who is no voter any more and still claims to be the primary is told of the later view.
        Message::Commit { .. } | Message::StartView { .. } => bounds.steps > 0,
        Message::StartViewChange { .. }
        | Message::Recovery { .. }
        | Message::GetPrepares { .. }
        | Message::NewPrepares { .. } => true,
        Message::Prepare { .. }
        | Message::PrepareOk { .. }
        | Message::DoViewChange { .. }
        | Message::RecoveryResponse { .. }
        | Message::GetState { .. }
        | Message::NewState { .. }
        | Message::GetCheckpoint { .. }
        | Message::CheckpointPiece { .. } => false,
    }
}

fn event(envelope: &Envelope) -> Event {
    Event::Message {
        from: envelope.from,
        message: envelope.message.clone(),
    }
}

fn deliver(bounds: &Bounds, state: &mut State, envelope: &Envelope) -> bool {
    step(bounds, state, envelope.to, event(envelope))
}

/// The client sends the request that is not answered yet, for the first time or again; after the
/// last answer, the last request, as if the answer had been lost.
fn ask(bounds: &Bounds, state: &mut State, node: NodeId) -> bool {
    let Some(session) = state.client.session else {
        return false;
    };
    let mut number = state.client.answered;
    let is_first = number < bounds.requests && state.client.begun.is_none();
    if number < bounds.requests {
        number += 1;
        state.client.begun.get_or_insert(state.order.begin());
    }
    let event = Event::Request {
        client: CLIENT,
        session,
        request_number: u64::from(number),
        operation: vec![request(number)],
    };
    step(bounds, state, node, event) || is_first
}

fn reconfigure(bounds: &Bounds, state: &mut State, node: NodeId, change: Change) -> bool {
    let process = state.process(node);
    let Some(membership) = process.and_then(|process| changed(state, process, change)) else {
        return false;
    };
    state.left.steps -= 1;
    step(bounds, state, node, Event::Reconfigure { membership })
}

fn read(bounds: &Bounds, state: &mut State, id: NodeId) -> bool {
    let mut node = state.node(id).clone();
    let Some(process) = &mut node.process else {
        return false;
    };
    let read = u64::from(state.left.reads);
    state.left.reads -= 1;
    process.reads.insert(read, state.order.begin());
    step_changed(bounds, state, id, node, Event::Read { read });
    true
}

fn time_out(bounds: &Bounds, state: &mut State, id: NodeId, timer: Timer) -> bool {
    let mut node = state.node(id).clone();
    let Some(process) = &mut node.process else {
        return false;
    };
    process.timers.remove(&timer);
    if is_of_lease(timer) {
        state.clocks.change(|clocks| clocks.stop(id, timer));
    } else {
        state.left.timeouts -= 1;
    }
    step_changed(bounds, state, id, node, Event::Timeout(timer));
    true
}
