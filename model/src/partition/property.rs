use std::cmp::Reverse;

use quorate_vsr::Epoch;
use stateright::Property;

use super::disk::Record;
use super::state::State;
use super::{Bounds, PartitionModel};

/// What must always hold, and what must be possible.
pub(super) fn all(bounds: &Bounds) -> Vec<Property<PartitionModel>> {
    let mut all = vec![
        Property::always("no step breaks a rule", |_, state: &State| {
            state.broken.is_none()
        }),
        Property::always(
            "logs agree below their high watermarks",
            |_, state: &State| agree(state),
        ),
        Property::always(
            "what is committed is on a majority of disks",
            |_, state: &State| is_on_a_majority(state),
        ),
        Property::always("durable facts are sound", |_, state: &State| {
            is_sound(state)
        }),
    ];
    if bounds.lie.is_none() {
        all.extend(possible(bounds));
    }
    all
}

/// What must be reached, or the bounds are too narrow to prove anything.
fn possible(bounds: &Bounds) -> Vec<Property<PartitionModel>> {
    let mut all = vec![
        Property::sometimes(
            "everything is committed",
            |model: &PartitionModel, state: &State| {
                state.committed.len() == usize::from(model.bounds.appends)
            },
        ),
        Property::sometimes(
            "the last epoch opens",
            |model: &PartitionModel, state: &State| {
                let last = u32::try_from(model.bounds.leaders.len()).unwrap_or(u32::MAX);
                state.opened.contains_key(&Epoch(last))
            },
        ),
    ];
    if bounds.leaders.len() > 1 && bounds.appends > 0 {
        all.push(Property::sometimes(
            "a diverged log is cut",
            |_, state: &State| state.seen.cut,
        ));
        all.push(Property::sometimes(
            "a leader fetches a better log",
            |_, state: &State| state.seen.pull,
        ));
    }
    all
}

fn agree(state: &State) -> bool {
    let processes = state.nodes().filter_map(|(_, node)| node.process());
    processes.into_iter().all(|process| {
        let count = usize::try_from(process.replica.high_watermark().0).unwrap_or(usize::MAX);
        let known = process.log.get(..count);
        known.is_some_and(|known| state.committed.starts_with(known))
    })
}

/// Acknowledged means durable at a majority, and that for ever.
fn is_on_a_majority(state: &State) -> bool {
    let mut common: Vec<_> = state
        .nodes()
        .map(|(_, node)| Reverse(common_prefix(&node.disk().log, &state.committed)))
        .collect();
    common.sort_unstable();
    common[1].0 == state.committed.len()
}

fn common_prefix(a: &[Record], b: &[Record]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

fn is_sound(state: &State) -> bool {
    state.nodes().all(|(_, node)| {
        let disk = node.disk();
        disk.facts.log_epoch <= disk.facts.promised
            && disk.facts.high_watermark.0 <= disk.log.len() as u64
            && disk.log.is_sorted_by_key(|record| record.epoch)
            && state.committed_in.is_sorted()
    })
}
