//! The disks: what reaches them, when, and what a crash leaves.

use std::collections::VecDeque;
use std::fmt;

use quorate_vsr::group::{DiskId, Event};
use quorate_vsr::{NodeId, OpNumber};

use super::bounds::Bounds;
use super::effect::step_changed;
use super::node::{Node, Process};
use super::rule::BACKWARDS;
use super::state::State;
use crate::broken::Broken;

/// What a crash keeps of the writes that were not confirmed yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    pub(super) prepares: usize,
    pub(super) superblocks: usize,
    pub(super) checkpoints: usize,
}

impl fmt::Display for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            prepares,
            superblocks,
            checkpoints,
        } = self;
        write!(
            f,
            "having written {prepares} prepares, {superblocks} superblocks and {checkpoints} \
             checkpoints of those under way"
        )
    }
}

/// A way to crash for every way in which the disk may be left. Writes of one kind keep their order.
pub(super) fn ways_to_crash(process: &Process) -> Vec<Kept> {
    let mut ways = Vec::new();
    for prepares in 0..=process.prepares.len() {
        for superblocks in 0..=process.superblocks.len() {
            for checkpoints in 0..=process.checkpoints.len() {
                ways.push(Kept {
                    prepares,
                    superblocks,
                    checkpoints,
                });
            }
        }
    }
    ways
}

/// Confirms all writes of a node at once.
pub(super) fn settle(bounds: &Bounds, state: &mut State, id: NodeId) {
    let is_writing = |state: &State| {
        let process = state.process(id);
        state.broken.is_none() && process.is_some_and(Process::is_writing)
    };
    while is_writing(state)
        && (sync_superblock(bounds, state, id)
            || sync_prepare(bounds, state, id)
            || sync_checkpoint(bounds, state, id))
    {}
}

/// A node as it is when the oldest of its writes of a kind is over, and what was written.
fn oldest<T>(
    state: &State,
    id: NodeId,
    queue: fn(&mut Process) -> &mut VecDeque<T>,
) -> Option<(Node, T)> {
    let mut node = state.node(id).clone();
    let write = queue(node.process.as_mut()?).pop_front()?;
    Some((node, write))
}

pub(super) fn sync_prepare(bounds: &Bounds, state: &mut State, id: NodeId) -> bool {
    let Some((mut node, write)) = oldest(state, id, |process| &mut process.prepares) else {
        return false;
    };
    let event = Event::PrepareDurable {
        op: write.prepare().op,
        checksum: write.prepare().checksum,
    };
    node.disk.change(|disk| write.reach(disk));
    step_changed(bounds, state, id, node, event);
    true
}

pub(super) fn sync_superblock(bounds: &Bounds, state: &mut State, id: NodeId) -> bool {
    let Some((mut node, superblock)) = oldest(state, id, |process| &mut process.superblocks) else {
        return false;
    };
    let sequence = superblock.sequence;
    let old = node.disk.superblock.as_ref();
    // What was known to be committed and cannot be read any more is known a little less.
    let is_whole = state.left.damages == bounds.damages;
    let goes_back = old.is_some_and(|old| {
        superblock.sequence <= old.sequence
            || superblock.view < old.view
            || superblock.log_view < old.log_view
            || superblock.checkpoint.op < old.checkpoint.op
            || is_whole && superblock.commit_number < old.commit_number
    });
    if goes_back {
        let what = format!("a superblock of {id:?} goes back");
        state.broken.get_or_insert(Broken::new(BACKWARDS, what));
    }
    node.disk.change(|disk| disk.put(superblock));
    step_changed(
        bounds,
        state,
        id,
        node,
        Event::SuperblockDurable { sequence },
    );
    true
}

pub(super) fn sync_checkpoint(bounds: &Bounds, state: &mut State, id: NodeId) -> bool {
    let Some((mut node, checkpoint)) = oldest(state, id, |process| &mut process.checkpoints) else {
        return false;
    };
    let op = checkpoint.op();
    node.disk.change(|disk| disk.checkpoints.push(checkpoint));
    step_changed(bounds, state, id, node, Event::CheckpointDurable { op });
    true
}

pub(super) fn crash(state: &mut State, id: NodeId, kept: Kept) -> bool {
    let mut node = state.node(id).clone();
    let Some(process) = node.process.take() else {
        return false;
    };
    state.left.crashes -= 1;
    state.clocks.change(|clocks| clocks.stop_all(id));
    node.disk.change(|disk| {
        for write in process.prepares.into_iter().take(kept.prepares) {
            write.reach(disk);
        }
        let checkpoints = process.checkpoints.into_iter();
        disk.checkpoints.extend(checkpoints.take(kept.checkpoints));
        let superblocks = process.superblocks.into_iter();
        if let Some(superblock) = superblocks.take(kept.superblocks).next_back() {
            disk.put(superblock);
        }
    });
    state.put(id, node);
    true
}

/// The node has another disk from now on, and has forgotten what it promised: that is another
/// member, to whom nobody may hold it.
pub(super) fn lose_disk(state: &mut State, id: NodeId) -> bool {
    let before = state.node(id);
    let mut node = Node::with_disk(DiskId(before.disk.id.0 + 10 + u64::from(id.0)));
    node.restarts = before.restarts;
    state.left.lost_disks -= 1;
    state.put(id, node);
    true
}

/// An entry of the journal becomes unreadable, or (without a number) something after its end.
pub(super) fn damage(state: &mut State, id: NodeId, op: Option<OpNumber>) -> bool {
    let mut node = state.node(id).clone();
    state.left.damages -= 1;
    node.disk.change(|disk| match op {
        Some(op) => {
            disk.damaged.insert(op);
        }
        None => disk.is_doubtful = true,
    });
    state.put(id, node);
    true
}
