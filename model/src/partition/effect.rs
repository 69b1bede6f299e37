//! The driver: carries out what a replica asks for, in the order in which it asks.

use quorate_vsr::partition::{Effect, Event, Replica};
use quorate_vsr::{Epoch, NodeId, Offset};

use super::disk::{self, Record};
use super::node::{Node, Process, Wire};
use super::state::State;
use crate::broken::{Broken, caught};

/// Lets a process take an event. `offered` are the records that came with it.
pub(super) fn step(
    state: &mut State,
    id: NodeId,
    mut process: Process,
    event: Event,
    offered: &[Record],
) {
    let before = process.replica.high_watermark();
    let mut effects = Vec::new();
    match caught(|| process.replica.step(event, &mut effects)) {
        // Most of what arrives is an echo.
        Ok(()) if effects.is_empty() && state.node(id).process() == Some(&process) => {}
        Ok(()) => carry_out(state, id, process, before, effects, offered),
        Err(broken) => state.broken = Some(broken),
    }
}

/// Lets an open leader take one record.
pub(super) fn append(state: &mut State, id: NodeId, mut process: Process, record: Record) {
    let before = process.replica.high_watermark();
    let mut effects = Vec::new();
    match caught(|| process.replica.append(1, &mut effects)) {
        Ok(Ok(base)) => {
            if base != disk::end(&process.log) {
                state.broken = Some(Broken::new(
                    "an append was given another offset than the end",
                ));
            }
            process.log.push(record);
            carry_out(state, id, process, before, effects, &[]);
        }
        Ok(Err(_)) => state.broken = Some(Broken::new("an open leader took no record")),
        Err(broken) => state.broken = Some(broken),
    }
}

fn carry_out(
    state: &mut State,
    id: NodeId,
    mut process: Process,
    before: Offset,
    effects: Vec<Effect>,
    offered: &[Record],
) {
    for effect in effects {
        match effect {
            Effect::Send { to, message } => state.network.say(id, to, Wire::Message(message)),
            Effect::PersistFacts(facts) => process.facts.push_back(facts),
            Effect::SendRepair { .. } | Effect::Rewrite | Effect::Resigned { .. } => {
                unreachable!("no disk of this model is damaged")
            }
            Effect::Distrust { from, why } => {
                let what = format!("{id:?} distrusts {from:?}: {why}");
                state.broken = Some(Broken::new(what));
            }
            Effect::Accept => process.log.extend_from_slice(offered),
            Effect::Truncate { to } => {
                state.seen.cut = true;
                process.cut = Some(to);
            }
            Effect::SendRecords { to, epoch, from } => {
                state.seen.pull |= process.replica.leader() == Some(to);
                process.wishes.insert(to, (epoch, from));
            }
            Effect::Opened { epoch } => {
                open(state, id, epoch, &process);
            }
            Effect::Committed { high_watermark } => commit(state, &process, high_watermark),
            Effect::Arm(timer) => {
                process.timers.insert(timer);
            }
            Effect::Disarm(timer) => {
                process.timers.remove(&timer);
            }
            Effect::SteppedDown => {}
        }
    }
    check_step(state, &process.replica, before, &process);
    state.put(id, Node::Up(Box::new(process)));
}

/// Somebody says that everything below `high_watermark` is committed: a producer may have been
/// told, so it must be true for ever.
fn commit(state: &mut State, process: &Process, high_watermark: Offset) {
    let count = usize::try_from(high_watermark.0).unwrap_or(usize::MAX);
    let Some(said) = process.log.get(..count) else {
        state.broken = Some(Broken::new("records are committed that are not there"));
        return;
    };
    let both = state.committed.len().min(said.len());
    if state.committed[..both] != said[..both] {
        state.broken = Some(Broken::new("two different logs are committed"));
    } else if state.committed.len() < said.len() {
        state.committed = said.to_vec();
        let epoch = process.replica.epoch();
        state.committed_in.resize(said.len(), epoch);
    }
}

/// A leader opens. It must hold what was committed before its epoch. (A leader that was fenced off
/// on the way may open late and lack what a newer one has committed; it commits nothing any more.)
fn open(state: &mut State, id: NodeId, epoch: Epoch, process: &Process) {
    if *state.opened.entry(epoch).or_insert(id) != id {
        state.broken = Some(Broken::new(format!("two leaders opened {epoch:?}")));
    }
    let older = state
        .committed_in
        .iter()
        .filter(|committed_in| **committed_in < epoch)
        .count();
    if !process.log.starts_with(&state.committed[..older]) {
        let what = "a leader opened without what was committed before";
        state.broken = Some(Broken::new(what));
    }
}

fn check_step(state: &mut State, replica: &Replica, before: Offset, process: &Process) {
    if replica.high_watermark() < before {
        state.broken = Some(Broken::new("a high watermark went back"));
    }
    let known = process.cut.is_some() || replica.next_offset() == disk::end(&process.log);
    if !known {
        state.broken = Some(Broken::new(
            "a replica and its driver disagree about the log's end",
        ));
    }
}
