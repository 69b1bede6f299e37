//! The disks: what reaches them, when, and what a crash leaves.

use std::fmt;

use quorate_vsr::partition::Event;
use quorate_vsr::{NodeId, Offset};

use super::bounds::Bounds;
use super::disk::{self, Record};
use super::effect::{Offered, step, step_changed};
use super::node::{Node, Process};
use super::rule::{AGREEMENT, BACKWARDS, UNCUT};
use super::state::State;
use crate::broken::Broken;

/// What a crash keeps of the writes that were not confirmed yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    facts: usize,
    records: usize,
    cut: bool,
    rewrite: bool,
}

/// A way to crash for every way in which the disk may be left. Writes to one file keep their order.
pub(super) fn ways_to_crash(node: &Node, process: &Process) -> Vec<Kept> {
    let mut ways = Vec::new();
    let synced = node.disk.log.len().min(process.log.len());
    for facts in 0..=process.facts.len() {
        for records in synced..=process.log.len() {
            for (cut, rewrite) in [(false, false), (true, false), (false, true)] {
                let is_possible =
                    (!cut || process.cut.is_some()) && (!rewrite || process.rewriting.is_some());
                if is_possible {
                    ways.push(Kept {
                        facts,
                        records,
                        cut,
                        rewrite,
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
        || facts.log_start < old.log_start
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
        node.disk.change(|disk| disk.truncate(next_offset));
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
    let mut is_same = true;
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
            disk.truncate(cut);
        }
        if let Some((base, records, thinned)) = process.rewriting.filter(|_| kept.rewrite) {
            is_same = disk.rewrite(base, &records, &thinned);
        }
        disk.thinned.truncate(disk::end(&disk.log));
    });
    state.put(id, node);
    note_rewrite(state, id, is_same);
    true
}

/// The driver finds it when the node starts, and makes it a fact before it does anything else.
pub(super) fn lose(state: &mut State, id: NodeId, from: Offset) -> bool {
    let mut node = state.node(id).clone();
    state.left.losses -= 1;
    node.disk.change(|disk| {
        disk.truncate(from);
        disk.facts = disk.facts.with_loss();
    });
    state.put(id, node);
    true
}

/// The log was dropped, and begins anew.
pub(super) fn finish_anew(bounds: &Bounds, state: &mut State, id: NodeId) -> bool {
    let mut node = state.node(id).clone();
    let Some(process) = &mut node.process else {
        return false;
    };
    let Some(at) = process.anew.take() else {
        return false;
    };
    let expired = expired(state, id, at);
    process.log.clone_from(&expired);
    node.disk.change(|disk| disk.begin_anew(&expired));
    step_changed(bounds, state, id, node, Event::BegunAnew { at });
    true
}

/// What a log that begins at an offset stands for: what is before it must be committed.
fn expired(state: &mut State, id: NodeId, at: Offset) -> Vec<Record> {
    let count = usize::try_from(at.0).unwrap_or(usize::MAX);
    if let Some(expired) = state.committed.get(..count) {
        return expired.to_vec();
    }
    let what = format!("the log of {id:?} begins at {at:?}, and not all before that is committed");
    state.broken.get_or_insert(Broken::new(UNCUT, what));
    state.committed.clone()
}

pub(super) fn restart(bounds: &Bounds, state: &mut State, id: NodeId) -> bool {
    let mut node = state.node(id).clone();
    let begins_anew = node.disk.facts.begins_anew;
    if begins_anew || !node.disk.continues_start() {
        let expired = expired(state, id, node.disk.facts.log_start);
        node.disk.change(|disk| {
            disk.begin_anew(&expired);
            disk.facts = match begins_anew {
                true => disk.facts.begun_anew(),
                false => disk.facts.with_loss(),
            };
        });
    }
    let damaged = node.disk.damaged.clone();
    match node.disk.start(id) {
        Ok(replica) => {
            node.process = Some(Process::new(replica, &node.disk));
            state.put(id, node);
            for offset in damaged {
                step(bounds, state, id, damaged_at(offset), Offered::default());
            }
        }
        Err(unsound) => {
            let what = format!("{id:?} cannot start any more: {unsound}");
            state.broken.get_or_insert(Broken::new(BACKWARDS, what));
        }
    }
    true
}

/// A record on the disk of a running node becomes unreadable, and a scrubber finds it.
pub(super) fn damage(bounds: &Bounds, state: &mut State, id: NodeId, offset: Offset) -> bool {
    let mut node = state.node(id).clone();
    state.left.damages -= 1;
    node.disk.change(|disk| disk.damaged.insert(offset));
    step_changed(bounds, state, id, node, damaged_at(offset));
    true
}

/// Up to where a node can compact its log, if that is further than it has come.
pub(super) fn compactable(node: &Node, process: &Process) -> Option<Offset> {
    let damage = node.disk.damaged.first().copied();
    let ends = [
        process.replica.high_watermark(),
        disk::end(&node.disk.log),
        damage.unwrap_or(Offset(u64::MAX)),
    ];
    let is_changing = process.cut.is_some() || process.replica.is_beginning_anew();
    let to = ends.into_iter().min().filter(|_| !is_changing)?;
    (to > process.replica.facts().compacted).then_some(to)
}

pub(super) fn compact(bounds: &Bounds, state: &mut State, id: NodeId) -> bool {
    let mut node = state.node(id).clone();
    let to = match &node.process {
        Some(process) => compactable(&node, process),
        None => None,
    };
    let Some(to) = to else {
        return false;
    };
    state.left.compactions -= 1;
    node.disk.change(|disk| {
        let places: Vec<_> = disk.places().collect();
        disk.thinned.compact(places.into_iter(), to);
    });
    step_changed(bounds, state, id, node, Event::Compacted { to });
    true
}

fn damaged_at(offset: Offset) -> Event {
    Event::Damaged {
        from: offset,
        to: Offset(offset.0 + 1),
    }
}

pub(super) fn finish_rewrite(bounds: &Bounds, state: &mut State, id: NodeId) -> bool {
    let mut node = state.node(id).clone();
    let process = node.process.as_mut();
    let Some((from, records, thinned)) = process.and_then(|process| process.rewriting.take())
    else {
        return false;
    };
    let to = Offset(from.0 + records.len() as u64);
    let is_same = node
        .disk
        .change(|disk| disk.rewrite(from, &records, &thinned));
    step_changed(bounds, state, id, node, Event::Repaired { from, to });
    note_rewrite(state, id, is_same);
    true
}

fn note_rewrite(state: &mut State, id: NodeId, is_same: bool) {
    if !is_same {
        let what = format!("{id:?} puts other records in the place of damaged ones");
        state.broken.get_or_insert(Broken::new(AGREEMENT, what));
    }
}

impl fmt::Display for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            facts,
            records,
            cut,
            rewrite,
        } = self;
        let cut = if *cut { ", and done the cut" } else { "" };
        let rewrite = if *rewrite { ", and repaired" } else { "" };
        write!(
            f,
            "having written {facts} of the facts under way and the records below \
             {records}{cut}{rewrite}"
        )
    }
}
