//! The driver: carries out what a replica asks for, in the order in which it asks.

use std::collections::VecDeque;

use quorate_vsr::group::{Effect, Event, Replica, Status, Timer};
use quorate_vsr::{NodeId, OpNumber, ViewNumber};

use super::Bounds;
use super::disk::Disk;
use super::node::{Node, Process};
use super::state::State;
use crate::broken::{Broken, caught};

/// Who the one client is.
pub(super) const CLIENT: u128 = 77;
/// What it asks for.
pub(super) const OPERATION: u8 = 200;

/// Starts a node from its disk.
pub(super) fn start(bounds: &Bounds, state: &mut State, id: NodeId, disk: Disk) {
    let mut effects = Vec::new();
    let recovered = disk.recovered();
    match caught(|| Replica::new(bounds.config(id), recovered, &mut effects)) {
        Ok(replica) => {
            let process = Process::new(replica, disk);
            carry_out(state, id, process, effects);
        }
        Err(broken) => state.broken = Some(broken),
    }
}

/// Lets a process take an event.
pub(super) fn step(state: &mut State, id: NodeId, mut process: Process, event: Event) {
    let mut effects = Vec::new();
    match caught(|| advance(&mut process.replica, event, &mut effects)) {
        // Most of what arrives is an echo.
        Ok(()) if effects.is_empty() && state.node(id).process() == Some(&process) => {}
        Ok(()) => carry_out(state, id, process, effects),
        Err(broken) => state.broken = Some(broken),
    }
}

fn advance(replica: &mut Replica, event: Event, effects: &mut Vec<Effect>) {
    replica.step(event, effects);
    replica.check_invariants();
}

fn carry_out(state: &mut State, id: NodeId, mut process: Process, effects: Vec<Effect>) {
    let mut effects = VecDeque::from(effects);
    while let Some(effect) = effects.pop_front() {
        if let Some(answer) = carry_out_one(state, id, &mut process, effect) {
            // Before any other event, but after the other effects of the step that asked.
            let mut more = Vec::new();
            if let Err(broken) = caught(|| advance(&mut process.replica, answer, &mut more)) {
                state.broken = Some(broken);
                return;
            }
            effects.extend(more);
        }
    }
    check(state, &process);
    state.put(id, Node::Up(Box::new(process)));
}

/// Carries out an effect; returns the event that must be answered at once.
fn carry_out_one(
    state: &mut State,
    id: NodeId,
    process: &mut Process,
    effect: Effect,
) -> Option<Event> {
    match effect {
        Effect::Send { to, message } => state.network.say(id, to, message),
        Effect::Append(prepare) => process.prepares.push_back(prepare),
        Effect::Mend(_) => state.broken = Some(Broken::new("nothing was damaged")),
        Effect::Persist(superblock) => process.superblocks.push_back(superblock),
        Effect::PersistCheckpoint(checkpoint) => process.checkpoints.push_back(checkpoint),
        Effect::Execute { op, operation } => {
            process.machine.extend(operation);
            let reply = vec![process.machine.len() as u8];
            return Some(Event::Executed { op, reply });
        }
        Effect::TakeSnapshot { op } => {
            return Some(Event::Snapshot {
                op,
                state: process.machine.clone(),
            });
        }
        Effect::TrimJournal { below } => process.disk.journal.retain(|old| old.op >= below),
        Effect::Restore { state, .. } => process.machine = state,
        Effect::ReplyRegistered { session, .. } => {
            state.client.session.get_or_insert(session);
        }
        Effect::Reply { reply, .. } => {
            let first = state.client.reply.get_or_insert_with(|| reply.clone());
            if *first != reply {
                state.broken = Some(Broken::new("a client was given two answers"));
            }
        }
        Effect::RejectRequest { .. } => {}
        Effect::ReadReady { .. } | Effect::RejectRead { .. } => {
            unreachable!("nobody reads")
        }
        // Without reads a lease changes nothing, and so its end may come at once.
        Effect::Arm(
            timer @ (Timer::LeaseEven | Timer::LeaseOdd | Timer::LeaseOver | Timer::LeaseWait),
        ) => return Some(Event::Timeout(timer)),
        Effect::Distrust { from, why } => {
            let what = format!("{id:?} distrusts {from:?}: {why}");
            state.broken = Some(Broken::new(what));
        }
        Effect::Arm(timer) => {
            process.timers.insert(timer);
        }
        Effect::Disarm(timer) => {
            process.timers.remove(&timer);
        }
    }
    None
}

/// Compares what a process holds for committed, and has executed, with what others did.
fn check(state: &mut State, process: &Process) {
    let replica = &process.replica;
    for op in (1..=replica.commit_number().0).map(OpNumber) {
        // What is missing here is covered by a checkpoint.
        let Some(prepare) = replica.prepare(op) else {
            continue;
        };
        let first = state
            .committed
            .entry(op)
            .or_insert_with(|| (prepare.clone(), replica.view()));
        if first.0 != *prepare {
            state.broken = Some(Broken::new(format!(
                "two operations are committed as {op:?}"
            )));
        }
    }
    let both = state.executed.len().min(process.machine.len());
    if state.executed[..both] != process.machine[..both] {
        state.broken = Some(Broken::new("two members executed different operations"));
    } else if state.executed.len() < process.machine.len() {
        state.executed = process.machine.clone();
    }
    if replica.is_primary() && !serves_all(state, replica, replica.view()) {
        state.broken = Some(Broken::new(
            "a primary serves without what was committed before",
        ));
    }
}

/// Whether the log of a primary holds everything that was committed in earlier views.
fn serves_all(state: &State, replica: &Replica, view: ViewNumber) -> bool {
    assert_eq!(
        replica.status(),
        Status::Normal,
        "a primary serves in status normal only"
    );
    let earlier = state
        .committed
        .iter()
        .filter(|(_, (_, committed_in))| *committed_in < view);
    earlier.into_iter().all(|(op, (prepare, _))| {
        *op <= replica.checkpoint_op() || replica.prepare(*op) == Some(prepare)
    })
}
