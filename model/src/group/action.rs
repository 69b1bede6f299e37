use std::fmt;

use quorate_vsr::group::{DiskId, Event, Member, Message, Timer};
use quorate_vsr::{NodeId, OpNumber};

use super::effect::{CLIENT, OPERATION, start, step};
use super::node::{Node, Process};
use super::state::{Left, State, index};
use super::{Bounds, Lie, NODES};
use crate::broken::Broken;
use crate::interned::Interned;
use crate::network::Envelope;
use crate::walk::Pace;

/// Something that may happen next.
#[derive(Clone, PartialEq)]
pub enum Action {
    /// A message arrives.
    Deliver(Delivery),
    /// The client asks a primary for a session.
    Register { node: NodeId },
    /// The client asks a primary for its operation.
    Request { node: NodeId },
    /// A primary proposes an operation of its own.
    Propose { node: NodeId },
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
    /// A node starts from its disk.
    Restart { node: NodeId },
}

/// A message that arrives.
#[derive(Clone, Debug, PartialEq)]
pub struct Delivery(Interned<Envelope<Message>>);

/// What a crash keeps of the writes that were not confirmed yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    prepares: usize,
    superblocks: usize,
    checkpoints: usize,
}

impl Pace for Action {
    fn is_rare(&self) -> bool {
        matches!(
            self,
            Self::Crash { .. } | Self::Timeout { .. } | Self::Propose { .. }
        )
    }
}

impl fmt::Debug for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Deliver(Delivery(envelope)) => {
                let Envelope { from, to, message } = &**envelope;
                write!(f, "{from:?} -> {to:?}: {message:?}")
            }
            Self::Register { node } => write!(f, "the client registers with {node:?}"),
            Self::Request { node } => write!(f, "the client asks {node:?} for its operation"),
            Self::Propose { node } => write!(f, "{node:?} proposes"),
            Self::SyncPrepare { node } => write!(f, "{node:?}: the oldest prepare is durable"),
            Self::SyncSuperblock { node } => {
                write!(f, "{node:?}: the oldest superblock is durable")
            }
            Self::SyncCheckpoint { node } => {
                write!(f, "{node:?}: the oldest checkpoint is durable")
            }
            Self::Timeout { node, timer } => write!(f, "{node:?}: {timer:?} runs out"),
            Self::Crash { node, kept } => write!(f, "{node:?} crashes, {kept:?}"),
            Self::Restart { node } => write!(f, "{node:?} starts again"),
        }
    }
}

/// The group after its first start, with everything said heard, and in order.
pub(super) fn come_up(bounds: &Bounds, left: Left) -> State {
    let calm = Bounds {
        slow_disk: false,
        lie: None,
        ..*bounds
    };
    let mut state = State::new(left);
    for id in NODES {
        start(&calm, &mut state, id, Default::default());
        settle(&calm, &mut state, id);
    }
    loop {
        let said: Vec<_> = state.network.said().cloned().collect();
        if said.is_empty() {
            return state;
        }
        state.network.forget(|_| true);
        for envelope in said {
            deliver(&mut state, &envelope);
            settle(&calm, &mut state, envelope.to);
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
    if process.replica.is_primary() {
        if state.left.proposals > 0 {
            actions.push(Action::Propose { node });
        }
        if bounds.client {
            match state.client.session {
                None => actions.push(Action::Register { node }),
                Some(_) => actions.push(Action::Request { node }),
            }
        }
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
    if state.left.timeouts > 0 {
        let timers = process
            .timers
            .iter()
            .filter(|timer| bounds.timers.contains(timer));
        actions.extend(timers.map(|timer| Action::Timeout {
            node,
            timer: *timer,
        }));
    }
}

/// A crash for every way in which the disk may be left. Writes of one kind keep their order.
fn crashes(node: NodeId, process: &Process, actions: &mut Vec<Action>) {
    for prepares in 0..=process.prepares.len() {
        for superblocks in 0..=process.superblocks.len() {
            for checkpoints in 0..=process.checkpoints.len() {
                let kept = Kept {
                    prepares,
                    superblocks,
                    checkpoints,
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
        Action::Deliver(Delivery(envelope)) => deliver(&mut state, envelope)?,
        Action::Register { node } => {
            let event = Event::Register { client: CLIENT };
            step(
                &mut state,
                *node,
                last.node(*node).process()?.clone(),
                event,
            );
        }
        Action::Request { node } => {
            let event = Event::Request {
                client: CLIENT,
                session: last.client.session?,
                request_number: 1,
                operation: vec![OPERATION],
            };
            step(
                &mut state,
                *node,
                last.node(*node).process()?.clone(),
                event,
            );
        }
        Action::Propose { node } => {
            let event = Event::Propose {
                operation: vec![state.left.proposals],
            };
            state.left.proposals -= 1;
            step(
                &mut state,
                *node,
                last.node(*node).process()?.clone(),
                event,
            );
        }
        Action::SyncPrepare { node } => sync_prepare(bounds, &mut state, *node)?,
        Action::SyncSuperblock { node } => sync_superblock(bounds, &mut state, *node)?,
        Action::SyncCheckpoint { node } => sync_checkpoint(&mut state, *node)?,
        Action::Timeout { node, timer } => {
            let mut process = last.node(*node).process()?.clone();
            state.left.timeouts -= 1;
            process.timers.remove(timer);
            step(&mut state, *node, process, Event::Timeout(*timer));
        }
        Action::Crash { node, kept } => crash(&mut state, *node, *kept)?,
        Action::Restart { node } => {
            let disk = state.node(*node).disk().clone();
            start(bounds, &mut state, *node, disk);
        }
    }
    for id in NODES {
        settle(bounds, &mut state, id);
    }
    forget_the_outdated(&mut state);
    forget_timers(bounds, &mut state);
    if let Some(room) = bounds.room {
        state.network.forget_the_oldest(room);
    }
    (state != *last).then_some(state)
}

/// Confirms at once what is not to take its time.
fn settle(bounds: &Bounds, state: &mut State, id: NodeId) {
    while !bounds.slow_disk && state.broken.is_none() && settle_one(bounds, state, id).is_some() {}
}

fn settle_one(bounds: &Bounds, state: &mut State, id: NodeId) -> Option<()> {
    let process = state.node(id).process()?;
    if !process.superblocks.is_empty() {
        sync_superblock(bounds, state, id)
    } else if !process.prepares.is_empty() {
        sync_prepare(bounds, state, id)
    } else if !process.checkpoints.is_empty() {
        sync_checkpoint(state, id)
    } else {
        None
    }
}

/// States that differ only in timers which cannot run out any more are the same.
fn forget_timers(bounds: &Bounds, state: &mut State) {
    let has_none = state.left.timeouts == 0;
    let can_fire = |timer: &Timer| !has_none && bounds.timers.contains(timer);
    for id in NODES {
        let Some(process) = state.node(id).process() else {
            continue;
        };
        if !process.timers.iter().all(can_fire) {
            let mut process = process.clone();
            process.timers.retain(can_fire);
            state.put(id, Node::Up(Box::new(process)));
        }
    }
}

/// Drops messages of views that are older than what their receiver's disk promises, where
/// production does not listen to them any more: asked of it here, before each is dropped.
fn forget_the_outdated(state: &mut State) {
    let State { nodes, network, .. } = state;
    network.forget(|envelope| {
        let node = &nodes[index(envelope.to)];
        let promised = node
            .disk()
            .superblock
            .as_ref()
            .map(|superblock| superblock.view);
        if promised.is_none_or(|promised| promised <= envelope.message.view()) {
            return false;
        }
        let Some(process) = node.process() else {
            return false;
        };
        let mut probe = process.replica.clone();
        let mut effects = Vec::new();
        let (from, message) = (founder(envelope.from), envelope.message.clone());
        probe.step(Event::Message { from, message }, &mut effects);
        probe == process.replica && effects.is_empty()
    });
}

fn deliver(state: &mut State, envelope: &Envelope<Message>) -> Option<()> {
    let process = state.node(envelope.to).process()?.clone();
    let (from, message) = (founder(envelope.from), envelope.message.clone());
    step(
        state,
        envelope.to,
        process,
        Event::Message { from, message },
    );
    Some(())
}

/// All founded the group, and none loses its disk.
fn founder(node: NodeId) -> Member {
    let disk = DiskId(0);
    Member { node, disk }
}

fn sync_prepare(bounds: &Bounds, state: &mut State, node: NodeId) -> Option<()> {
    let mut process = state.node(node).process()?.clone();
    let prepare = process.prepares.pop_front()?;
    let event = Event::PrepareDurable {
        op: prepare.op,
        checksum: prepare.checksum,
    };
    if bounds.lie != Some(Lie::Prepares) {
        process.disk.write(prepare);
    }
    step(state, node, process, event);
    Some(())
}

fn sync_superblock(bounds: &Bounds, state: &mut State, node: NodeId) -> Option<()> {
    let mut process = state.node(node).process()?.clone();
    let superblock = process.superblocks.pop_front()?;
    let event = Event::SuperblockDurable {
        sequence: superblock.sequence,
    };
    let old = process.disk.superblock.as_ref();
    let goes_back = old.is_some_and(|old| {
        superblock.sequence <= old.sequence
            || superblock.view < old.view
            || superblock.log_view < old.log_view
            || superblock.checkpoint.op < old.checkpoint.op
    });
    if goes_back {
        state.broken = Some(Broken::new("a superblock goes back"));
    }
    if bounds.lie != Some(Lie::Superblocks) || old.is_none() {
        let named = superblock.checkpoint;
        process
            .disk
            .checkpoints
            .retain(|checkpoint| checkpoint.op() >= named.op);
        process.disk.superblock = Some(superblock);
    }
    step(state, node, process, event);
    Some(())
}

fn sync_checkpoint(state: &mut State, node: NodeId) -> Option<()> {
    let mut process = state.node(node).process()?.clone();
    let checkpoint = process.checkpoints.pop_front()?;
    let op: OpNumber = checkpoint.op();
    process.disk.checkpoints.push(checkpoint);
    step(state, node, process, Event::CheckpointDurable { op });
    Some(())
}

fn crash(state: &mut State, node: NodeId, kept: Kept) -> Option<()> {
    let process = state.node(node).process()?.clone();
    state.left.crashes -= 1;
    let mut disk = process.disk;
    for prepare in process.prepares.into_iter().take(kept.prepares) {
        disk.write(prepare);
    }
    disk.checkpoints
        .extend(process.checkpoints.into_iter().take(kept.checkpoints));
    if let Some(superblock) = process
        .superblocks
        .into_iter()
        .take(kept.superblocks)
        .next_back()
    {
        disk.superblock = Some(superblock);
    }
    state.put(node, Node::Down(disk));
    Some(())
}
