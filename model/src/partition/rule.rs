use std::cmp::Reverse;

use quorate_vsr::quorum::majority;
use quorate_vsr::{Epoch, Offset};

use super::PartitionModel;
use super::bounds::Bounds;
use super::disk::end;
use super::state::State;
use crate::broken::ASSERTIONS;
use crate::rule::Rule;

pub(super) const AGREEMENT: &str = "no two logs differ below their high watermarks";
pub(super) const COMPLETENESS: &str = "what is committed is in the log of every later leader";
pub(super) const ONE_LEADER: &str = "an epoch has one leader";
pub(super) const BACKWARDS: &str = "promises, adopted epochs and high watermarks never go back";
pub(super) const DURABLE: &str = "what is committed is on a majority of disks";
pub(super) const TRUST: &str = "no sound replica is distrusted";
pub(super) const UNCUT: &str = "nothing below a high watermark is ever cut";
const DELETED: &str = "what is deleted does not come back";
const UNREADABLE: &str = "what is damaged is served to nobody";
pub(super) const DRIVER: &str = "a replica and its driver agree about the log";

type Law = Rule<PartitionModel>;

/// What must always hold, and what must be possible.
///
/// That clients see a linearizable log follows from the first rule, and needs no other. An append
/// is answered with its offset when it is committed there, and a record is given its offset when it
/// is appended. Were one told of an offset that had been committed before it began, or that is not
/// behind one which somebody had been told of before, then two records would have been committed at
/// one offset. And a reader sees a prefix of what is committed, at offsets where nothing changes.
pub(super) fn all(bounds: &Bounds) -> Vec<Law> {
    let mut all = vec![
        Law::always(
            AGREEMENT,
            "no two consumers ever read different records at one offset, wherever they read",
            |_, state| state.keeps(AGREEMENT) && agree(state),
        ),
        Law::always(
            COMPLETENESS,
            "an acknowledged record survives every change of the leader, and of the voters",
            |_, state| state.keeps(COMPLETENESS),
        ),
        Law::always(
            DURABLE,
            "an acknowledged record survives the loss of any minority of the replicas",
            |model, state| state.keeps(DURABLE) && is_on_a_majority(&model.bounds, state),
        ),
        Law::always(
            ONE_LEADER,
            "no two nodes write into one partition in one epoch",
            |_, state| state.keeps(ONE_LEADER),
        ),
        Law::always(
            BACKWARDS,
            "a node that crashes and comes back takes back nothing that others rely on; what a \
             consumer has seen stays visible",
            |_, state| state.keeps(BACKWARDS) && vows_are_kept(state) && is_sound(state),
        ),
        Law::always(
            UNCUT,
            "what a consumer may have seen is not taken away from under it",
            |_, state| state.keeps(UNCUT),
        ),
        Law::always(
            UNREADABLE,
            "a consumer gets what was written or is told that it cannot be read, never anything \
             else",
            |_, state| is_unreadable(state),
        ),
        Law::always(
            DELETED,
            "a key that was deleted in a compacted topic is not found again, whoever leads",
            |_, state| is_deleted(state),
        ),
        Law::always(DRIVER, "offsets are where the records are", |_, state| {
            state.keeps(DRIVER)
        }),
        Law::always(
            TRUST,
            "no node drops what another one rightly says, and raises no false alarm",
            |_, state| state.keeps(TRUST),
        ),
        Law::always(
            ASSERTIONS,
            "no node has to stop itself because it finds the protocol broken",
            |_, state| state.keeps(ASSERTIONS),
        ),
    ];
    all.extend(possible(bounds));
    all
}

/// What must be reached, or the bounds are too narrow to prove anything.
fn possible(bounds: &Bounds) -> Vec<Law> {
    let mut all = vec![
        Law::sometimes("everything is committed", |model, state| {
            state.committed.len() == usize::from(model.bounds.appends)
        }),
        Law::sometimes("the last epoch opens", |model, state| {
            let last = u32::try_from(model.bounds.epochs.len()).unwrap_or(u32::MAX);
            state.opened.contains_key(&Epoch(last))
        }),
    ];
    let changes_leaders = bounds
        .epochs
        .windows(2)
        .any(|pair| pair[0].leader != pair[1].leader);
    if bounds.expiries > 0 {
        all.push(Law::sometimes("a log begins anew", |_, state| {
            state.seen.anew
        }));
    }
    // Where some are cut off, it depends on who.
    let is_whole = bounds
        .epochs
        .iter()
        .all(|assignment| assignment.cut.is_empty());
    if bounds.compactions > 0 && is_whole {
        all.push(Law::sometimes("deletions may go", |_, state| {
            let mut nodes = state.nodes();
            nodes.any(|(_, node)| {
                let process = node.process.as_ref();
                process.is_some_and(|it| it.replica.compacted_everywhere() > Offset(0))
            })
        }));
    }
    if changes_leaders && is_whole && bounds.appends > 0 {
        all.push(Law::sometimes("a diverged log is cut", |_, state| {
            state.seen.cut
        }));
        all.push(Law::sometimes(
            "a leader fetches a better log",
            |_, state| state.seen.pull,
        ));
    }
    all
}

fn agree(state: &State) -> bool {
    let processes = state.nodes().filter_map(|(_, node)| node.process.as_ref());
    processes.into_iter().all(|process| {
        let count = usize::try_from(process.replica.high_watermark().0).unwrap_or(usize::MAX);
        let known = match process.replica.is_beginning_anew() {
            true => state.committed.get(..count),
            false => process.log.get(..count),
        };
        known.is_some_and(|known| state.committed.starts_with(known))
    })
}

/// Acknowledged means durable at a majority, and that for ever.
///
/// While the voters stay the same. When they change, who leaves may forget; that it was so at the
/// moment of the commit is seen then, and that it stays available is what the rule about later
/// leaders says.
fn is_on_a_majority(bounds: &Bounds, state: &State) -> bool {
    if bounds.changes_voters() {
        return true;
    }
    let mut common: Vec<_> = state
        .nodes()
        .map(|(_, node)| Reverse(node.disk.held(&state.committed)))
        .collect();
    common.sort_unstable();
    // Each loss takes one copy away; the rest is what the promises of the uncertain are for, and
    // repair.
    let lost = bounds.losses - state.left.losses + bounds.damages - state.left.damages;
    let lost = usize::from(lost);
    let holders = majority(common.len()).saturating_sub(lost);
    let held = |holders: usize| common[holders - 1].0 == state.committed.len();
    holders == 0 || held(holders)
}

/// Whether the promises of whoever is down are on its disk, where it will look for them.
fn vows_are_kept(state: &State) -> bool {
    state
        .nodes()
        .filter(|(_, node)| node.process.is_none())
        .all(|(_, node)| node.disk.facts.promised >= node.vowed)
}

fn is_sound(state: &State) -> bool {
    state.nodes().all(|(_, node)| {
        let disk = &node.disk;
        disk.facts.log_epoch <= disk.facts.promised
            && (disk.facts.high_watermark <= end(&disk.log).max(disk.facts.log_start)
                || disk.facts.is_uncertain())
            && disk.begin <= disk.facts.log_start
            && disk.log.is_sorted_by_key(|record| record.epoch)
            && state.committed_in.is_sorted()
    })
}

/// Whether no copy shows again what was deleted, and none claims to be compacted where it is not.
fn is_deleted(state: &State) -> bool {
    state.nodes().all(|(_, node)| {
        let disk = &node.disk;
        let mut claimed = disk.thinned.clone();
        claimed.drop_deletions(disk.facts.compacted);
        !disk.thinned.brings_back(disk.places()) && !claimed.brings_back(disk.places())
    })
}

fn is_unreadable(state: &State) -> bool {
    state.nodes().all(|(_, node)| {
        let process = node.process.as_ref();
        process.is_none_or(|process| {
            let mut damaged = node.disk.damaged.iter();
            !damaged.any(|offset| process.replica.is_readable(*offset))
        })
    })
}
