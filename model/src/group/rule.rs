use quorate_vsr::group::{Content, Prepare};
use quorate_vsr::quorum::majority;

use super::GroupModel;
use super::bounds::Bounds;
use super::state::State;
use crate::broken::ASSERTIONS;
use crate::order::LINEARIZABLE;
use crate::rule::Rule;

pub(super) const AGREEMENT: &str = "no two journals differ below their commit points";
pub(super) const COMPLETENESS: &str = "what is committed is in the log of every later view";
pub(super) const ONE_PRIMARY: &str = "a view has one primary, for one life";
pub(super) const BACKWARDS: &str = "promises, views, logs and commit points never go back";
pub(super) const TRUST: &str = "no sound member is distrusted";
const DURABLE: &str = "what is committed is on a majority of disks";
const ONCE: &str = "an operation is executed at most once";

type Law = Rule<GroupModel>;

/// What must always hold, and what must be possible.
pub(super) fn all(bounds: &Bounds) -> Vec<Law> {
    let mut all = vec![
        Law::always(
            AGREEMENT,
            "no two nodes ever hold different topics, leaders or rights for true",
            |_, state| state.keeps(AGREEMENT),
        ),
        Law::always(
            COMPLETENESS,
            "what was answered with success survives every change of the primary",
            |_, state| state.keeps(COMPLETENESS),
        ),
        Law::always(
            DURABLE,
            "what was answered with success survives the loss of any minority of the nodes",
            |model, state| is_on_a_majority(&model.bounds, state),
        ),
        Law::always(
            ONE_PRIMARY,
            "no two nodes take orders at the same time and both have them carried out",
            |_, state| state.keeps(ONE_PRIMARY),
        ),
        Law::always(
            BACKWARDS,
            "a node that crashes and comes back takes back nothing that others rely on",
            |_, state| state.keeps(BACKWARDS) && vows_are_kept(state),
        ),
        Law::always(
            LINEARIZABLE,
            "whoever was told that something is done sees it done from then on, everywhere",
            |_, state| state.keeps(LINEARIZABLE),
        ),
        Law::always(
            ONCE,
            "a request that is sent again, because the answer got lost, has one effect",
            |_, state| is_executed_once(state),
        ),
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
    let mut all = Vec::new();
    if bounds.requests > 0 {
        all.push(Law::sometimes(
            "every request is answered",
            |model, state| state.client.answered == model.bounds.requests,
        ));
    }
    if bounds.proposals > 0 {
        all.push(Law::sometimes("a proposal is executed", |_, state| {
            !state.ledger.executed.is_empty()
        }));
    }
    let is_whole = bounds
        .cut
        .first()
        .is_none_or(|cut| cut.len() < bounds.nodes.into());
    if bounds.steps > 0 && is_whole {
        all.push(Law::sometimes("every change is made", |model, state| {
            let is_change =
                |prepare: &&Prepare| matches!(prepare.content, Content::Reconfigure { .. });
            let committed = state.ledger.committed.values().map(|(prepare, _)| prepare);
            let made = committed.filter(is_change).count();
            made == usize::from(model.bounds.steps)
        }));
    }
    if bounds.elects() {
        all.push(Law::sometimes("a later primary serves", |_, state| {
            state.ledger.primaries.len() > 1
        }));
        if bounds.requests + bounds.proposals > 1 {
            all.push(Law::sometimes("two views commit", |_, state| {
                let mut views = state.ledger.committed.values().map(|(_, view)| *view);
                let first = views.next();
                views.any(|view| Some(view) != first)
            }));
        }
    }
    all
}

fn is_on_a_majority(bounds: &Bounds, state: &State) -> bool {
    // Whoever leaves may forget. That what is committed stays available then is what the rule about
    // later views says.
    if bounds.steps > 0 {
        return true;
    }
    // Each damage takes one copy away; the rest is what repair and the choice of the log are for.
    let damages = bounds.damages - state.left.damages;
    let lost_disks = bounds.lost_disks - state.left.lost_disks;
    let damages = usize::from(damages + lost_disks);
    let needed = majority(usize::from(bounds.voters));
    state.ledger.committed.values().all(|(prepare, _)| {
        let holders = state.nodes().filter(|(_, node)| node.disk.holds(prepare));
        holders.count() + damages >= needed
    })
}

/// Whether the promises of whoever is down are on its disk, where it will look for them.
fn vows_are_kept(state: &State) -> bool {
    state
        .nodes()
        .filter(|(_, node)| node.process.is_none())
        .all(|(_, node)| node.disk.promised() >= node.vowed)
}

fn is_executed_once(state: &State) -> bool {
    let executed = &state.ledger.executed;
    let count = |operation: u8| executed.iter().filter(|it| **it == operation).count();
    executed.iter().all(|operation| count(*operation) == 1)
}
