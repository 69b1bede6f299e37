//! The disks: what reaches them, when, and what a crash leaves.

use std::fmt;

use quorate_vsr::partition::Event;
use quorate_vsr::{NodeId, Offset};

use super::bounds::Bounds;
use super::disk;
use super::effect::step_changed;
use super::node::{Node, Process};
use super::rule::BACKWARDS;
use super::state::State;
use crate::broken::Broken;

/// What a crash keeps of the writes that were not confirmed yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    facts: usize,
    records: usize,
    cut: bool,
}

/// A way to crash for every way in which the disk may be left. Writes to one file keep their order.
pub(super) fn ways_to_crash(node: &Node, process: &Process) -> Vec<Kept> {
    let mut ways = Vec::new();
    let synced = node.disk.log.len().min(process.log.len());
    for facts in 0..=process.facts.len() {
        for records in synced..=process.log.len() {
            for cut in [false, true] {
                if !cut || process.cut.is_some() {
                    ways.push(Kept {
                        facts,
                        records,
                        cut,
                    });
                }
            }
        }
    }
    ways
}

pub(super) fn sync_facts(bounds: &Bounds, state: &mut State, id: NodeId) -> bool {
    let mut node = state.node(id).clone();
    let process = node.process.as_mut();
    let Some(facts) = process.and_then(|process| process.facts.pop_front()) else {
        return false;
    };
    let old = node.disk.facts;
    if facts.promised < old.promised
        || facts.log_epoch < old.log_epoch
        || facts.high_watermark < old.high_watermark
    {
        let what = format!("the facts of {id:?} go back");
        state.broken.get_or_insert(Broken::new(BACKWARDS, what));
    }
    node.disk.change(|disk| disk.facts = facts);
    step_changed(bounds, state, id, node, Event::FactsDurable(facts));
    true
}

pub(super) fn sync_records(bounds: &Bounds, state: &mut State, id: NodeId) -> bool {
    let mut node = state.node(id).clone();
    let Some(process) = &node.process else {
        return false;
    };
    let log = process.log.clone();
    let next_offset = disk::end(&log);
    node.disk.change(|disk| disk.log = log);
    step_changed(bounds, state, id, node, Event::LogDurable { next_offset });
    true
}

pub(super) fn finish_cut(bounds: &Bounds, state: &mut State, id: NodeId) -> bool {
    let mut node = state.node(id).clone();
    let Some(process) = &mut node.process else {
        return false;
    };
    let Some(next_offset) = process.cut.take() else {
        return false;
    };
    let kept = usize::try_from(next_offset.0).unwrap_or(usize::MAX);
    process.log.truncate(kept);
    if !bounds.lies {
        node.disk.change(|disk| disk.log.truncate(kept));
    }
    step_changed(bounds, state, id, node, Event::Truncated { next_offset });
    true
}

pub(super) fn crash(state: &mut State, id: NodeId, kept: Kept) -> bool {
    let mut node = state.node(id).clone();
    let Some(process) = node.process.take() else {
        return false;
    };
    state.left.crashes -= 1;
    node.disk.change(|disk| {
        if let Some(facts) = process.facts.iter().take(kept.facts).next_back() {
            disk.facts = *facts;
        }
        // A cut that was confirmed and not done leaves on the disk what nobody knows of any more.
        if process.log.starts_with(&disk.log) {
            disk.log = process.log;
            disk.log.truncate(kept.records);
        }
        if let Some(cut) = process.cut.filter(|_| kept.cut) {
            let kept = usize::try_from(cut.0).unwrap_or(usize::MAX);
            disk.log.truncate(kept);
        }
    });
    state.put(id, node);
    true
}

/// The driver finds it when the node starts, and makes it a fact before it does anything else.
pub(super) fn lose(state: &mut State, id: NodeId, from: Offset) -> bool {
    let mut node = state.node(id).clone();
    state.left.losses -= 1;
    node.disk.change(|disk| {
        let kept = usize::try_from(from.0).unwrap_or(usize::MAX);
        disk.log.truncate(kept);
        disk.facts = disk.facts.with_loss();
    });
    state.put(id, node);
    true
}

pub(super) fn restart(state: &mut State, id: NodeId) -> bool {
    let mut node = state.node(id).clone();
    match node.disk.start(id) {
        Ok(replica) => {
            node.process = Some(Process::new(replica, &node.disk));
            state.put(id, node);
        }
        Err(unsound) => {
            let what = format!("{id:?} cannot start any more: {unsound}");
            state.broken.get_or_insert(Broken::new(BACKWARDS, what));
        }
    }
    true
}

impl fmt::Display for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            facts,
            records,
            cut,
        } = self;
        let cut = if *cut { ", and done the cut" } else { "" };
        write!(
            f,
            "having written {facts} of the facts under way and the records below {records}{cut}"
        )
    }
}
