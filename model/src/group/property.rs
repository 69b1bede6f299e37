use quorate_vsr::ViewNumber;
use stateright::Property;

use super::effect::OPERATION;
use super::state::State;
use super::{Bounds, GroupModel};

/// What must always hold, and what must be possible.
pub(super) fn all(bounds: &Bounds) -> Vec<Property<GroupModel>> {
    let mut all = vec![
        Property::always("no step breaks a rule", |_, state: &State| {
            state.broken.is_none()
        }),
        Property::always(
            "what is committed is on a majority of disks",
            |_, state: &State| is_on_a_majority(state),
        ),
        Property::always(
            "an operation is executed at most once",
            |_, state: &State| {
                let count =
                    |operation: u8| state.executed.iter().filter(|it| **it == operation).count();
                state
                    .executed
                    .iter()
                    .all(|operation| count(*operation) == 1)
            },
        ),
        Property::always("one primary serves a view", |_, state: &State| {
            has_one_primary(state)
        }),
        Property::always("a reply is for what was executed", |_, state: &State| {
            let place = state
                .executed
                .iter()
                .position(|operation| *operation == OPERATION);
            let reply = state.client.reply.as_ref();
            reply.is_none_or(|reply| place.is_some_and(|place| *reply == [place as u8 + 1]))
        }),
    ];
    if bounds.lie.is_none() {
        all.extend(possible(bounds));
    }
    all
}

/// What must be reached, or the bounds are too narrow to prove anything.
fn possible(bounds: &Bounds) -> Vec<Property<GroupModel>> {
    let mut all = Vec::new();
    if bounds.client {
        all.push(Property::sometimes(
            "the client is answered",
            |_, state: &State| state.client.reply.is_some(),
        ));
    }
    if bounds.proposals > 0 {
        all.push(Property::sometimes(
            "a proposal is executed",
            |_, state: &State| !state.executed.is_empty(),
        ));
    }
    if bounds.timeouts > 1 {
        all.push(Property::sometimes(
            "a later primary serves",
            |model: &GroupModel, state| {
                let first = first_view(model);
                newest_primary(state).is_some_and(|view| view > first)
            },
        ));
        if bounds.client || bounds.proposals > 1 {
            all.push(Property::sometimes(
                "two views commit",
                |_, state: &State| {
                    let mut views: Vec<_> =
                        state.committed.values().map(|(_, view)| *view).collect();
                    views.dedup();
                    views.len() > 1
                },
            ));
        }
    }
    all
}

fn first_view(model: &GroupModel) -> ViewNumber {
    use stateright::Model;
    model
        .init_states()
        .iter()
        .filter_map(newest_primary)
        .max()
        .unwrap_or_default()
}

fn newest_primary(state: &State) -> Option<ViewNumber> {
    let replicas = state
        .nodes()
        .filter_map(|(_, node)| node.process())
        .map(|it| &it.replica);
    replicas
        .filter(|replica| replica.is_primary())
        .map(|replica| replica.view())
        .max()
}

/// Acknowledged means durable at a majority, and that for ever.
fn is_on_a_majority(state: &State) -> bool {
    state.committed.values().all(|(prepare, _)| {
        let holders = state.nodes().filter(|(_, node)| node.disk().holds(prepare));
        holders.count() >= 2
    })
}

fn has_one_primary(state: &State) -> bool {
    let replicas = state
        .nodes()
        .filter_map(|(_, node)| node.process())
        .map(|it| &it.replica);
    let primaries = replicas.filter(|replica| replica.is_primary());
    let mut views: Vec<_> = primaries.map(|replica| replica.view()).collect();
    let count = views.len();
    views.sort_unstable();
    views.dedup();
    views.len() == count
}
