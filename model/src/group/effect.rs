//! The driver: carries out what a replica asks for, in the order in which it asks.

use std::collections::VecDeque;

use quorate_vsr::group::{Effect, Event, Message, Replica};
use quorate_vsr::{NodeId, ViewNumber};

use super::bounds::Bounds;
use super::lease::is_of_lease;
use super::ledger::check_direction;
use super::node::{Node, Process, Write};
use super::rule::TRUST;
use super::state::{Envelope, State};
use crate::broken::{Broken, caught};
use crate::interned::Interned;
use crate::order::LINEARIZABLE;

/// Who the one client is.
pub(super) const CLIENT: u128 = 77;

/// Starts a node from its disk.
pub(super) fn start(bounds: &Bounds, state: &mut State, id: NodeId) {
    let mut effects = Vec::new();
    let disk = &state.node(id).disk;
    let (config, recovered) = (bounds.config(id, disk.id), disk.recovered());
    let started = caught(|| Replica::new(config, recovered, &mut effects));
    if let Some(replica) = state.note(started) {
        let node = state.node(id).clone();
        carry_out(bounds, state, id, node, replica, effects);
    }
}

/// Lets a running node take an event; false if nothing comes of it, as of most of what arrives.
pub(super) fn step(bounds: &Bounds, state: &mut State, id: NodeId, event: Event) -> bool {
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
        carry_out(bounds, state, id, node, replica, effects);
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
        carry_out(bounds, state, id, node, replica, effects);
    }
}

/// Does what the replica of a node asks for, now that the replica has become `replica`.
fn carry_out(
    bounds: &Bounds,
    state: &mut State,
    id: NodeId,
    mut node: Node,
    mut replica: Replica,
    effects: Vec<Effect>,
) {
    let before = node.process.take();
    let mut process = match &before {
        Some(process) => process.clone(),
        None => Process::new(Interned::new(replica.clone())),
    };
    let mut effects = VecDeque::from(effects);
    while let Some(effect) = effects.pop_front() {
        if let Some(answer) = carry_out_one(bounds, state, id, &mut node, &mut process, effect) {
            // Before any other event, but after the other effects of the step that asked.
            let mut more = Vec::new();
            let stepped = caught(|| replica.step(answer, &mut more));
            if state.note(stepped).is_none() {
                return;
            }
            effects.extend(more);
        }
    }
    if let Some(before) = before {
        state.note(check_direction(&before.replica, &replica));
    }
    process.replica = Interned::new(replica);
    node.process = Some(process);
    if state.ledger.is_behind(&node) {
        state.ledger.change(|ledger| ledger.catch_up(id, &node));
    }
    let judgement = state.ledger.judge(id, &node);
    state.note(judgement);
    state.put(id, node);
}

/// Carries out an effect; returns the event that must be answered at once.
fn carry_out_one(
    bounds: &Bounds,
    state: &mut State,
    id: NodeId,
    node: &mut Node,
    process: &mut Process,
    effect: Effect,
) -> Option<Event> {
    match effect {
        Effect::Send { to, message } => {
            node.vowed = node.vowed.max(vow(&message));
            let from = process.replica.member();
            if !bounds.is_cut(message.view(), id, to) && state.has(to) {
                state.network.say(Envelope { from, to, message });
            }
        }
        Effect::Append(prepare) => process.prepares.push_back(Write::Append(prepare)),
        Effect::Mend(prepare) => process.prepares.push_back(Write::Mend(prepare)),
        Effect::Persist(superblock) => process.superblocks.push_back(superblock),
        Effect::PersistCheckpoint(checkpoint) => process.checkpoints.push_back(checkpoint),
        Effect::Execute { op, operation } => {
            process.machine.extend(operation);
            let reply = vec![process.machine.len() as u8];
            return Some(Event::Executed { op, reply });
        }
        Effect::TakeSnapshot { op } => {
            let state = process.machine.clone();
            return Some(Event::Snapshot { op, state });
        }
        Effect::TrimJournal { below } => {
            node.disk.change(|disk| disk.trim(below));
        }
        Effect::Restore { state, .. } => process.machine = state,
        Effect::ReplyRegistered { session, .. } => {
            state.client.session.get_or_insert(session);
        }
        Effect::Reply {
            request_number,
            reply,
            ..
        } => {
            let answered = answer(state, request_number, reply, &process.machine);
            state.note(answered);
        }
        Effect::RejectRequest { .. } => {}
        Effect::Distrust { from, why } => {
            let what = format!("{id:?} takes what node {from} rightly says for unsound: {why}");
            state.broken.get_or_insert(Broken::new(TRUST, what));
        }
        Effect::ReadReady { read } => {
            if let Some(begun) = process.reads.remove(&read) {
                let read = state.order.read(begun, process.machine.len() as u64);
                state.note(read);
            }
        }
        Effect::RejectRead { read, .. } => {
            process.reads.remove(&read);
        }
        // Without reads a lease changes nothing, and so its end may come at once.
        Effect::Arm(timer) if is_of_lease(timer) && !bounds.has_leases() => {
            return Some(Event::Timeout(timer));
        }
        Effect::Arm(timer) => {
            process.timers.insert(timer);
            if is_of_lease(timer) {
                state.clocks.change(|clocks| clocks.start(id, timer));
            }
        }
        Effect::Disarm(timer) => {
            process.timers.remove(&timer);
            if is_of_lease(timer) {
                state.clocks.change(|clocks| clocks.stop(id, timer));
            }
        }
    }
    None
}

/// The view that a message promises to obey none before.
fn vow(message: &Message) -> ViewNumber {
    match message {
        Message::DoViewChange { view, .. } | Message::PrepareOk { view, .. } => *view,
        Message::StartViewChange { promised, .. } => *promised,
        Message::Prepare { .. }
        | Message::Commit { .. }
        | Message::StartView { .. }
        | Message::Recovery { .. }
        | Message::RecoveryResponse { .. }
        | Message::GetPrepares { .. }
        | Message::NewPrepares { .. }
        | Message::GetState { .. }
        | Message::NewState { .. }
        | Message::GetCheckpoint { .. }
        | Message::CheckpointPiece { .. } => ViewNumber::default(),
    }
}

/// The client is answered: with the place that its operation was executed at.
fn answer(
    state: &mut State,
    request_number: u64,
    reply: Vec<u8>,
    executed: &[u8],
) -> Result<(), Broken> {
    let client = &mut state.client;
    let answered = u64::from(client.answered);
    if request_number == answered && client.reply.as_ref() != Some(&reply) {
        let what = "a request that was sent again was given another answer";
        return Err(Broken::new(LINEARIZABLE, what));
    }
    if request_number != answered + 1 {
        return Ok(());
    }
    let Some(begun) = client.begun.take() else {
        let what = "a request was answered that was never sent";
        return Err(Broken::new(LINEARIZABLE, what));
    };
    let place = reply.first().copied().unwrap_or_default();
    client.answered += 1;
    client.reply = Some(reply);
    let operation = request(client.answered);
    let found = usize::from(place).checked_sub(1);
    if found.and_then(|place| executed.get(place)) != Some(&operation) {
        let what = "a request was answered with a place at which another operation stands";
        return Err(Broken::new(LINEARIZABLE, what));
    }
    state.order.appended(begun, u64::from(place))
}

/// What the client asks for with its request of this number.
pub(super) fn request(number: u8) -> u8 {
    200 + number
}
