//! The checker is checked: it looks at everything, and it finds what is wrong.

use std::time::Duration;

use quorate_model::{
    Assignment, Direction, End, Limits, PartitionBounds, PartitionModel, Scope, search, walk,
};

/// Nothing here takes nearly as much, unless it is broken.
const LIMITS: Limits = Limits {
    patience: Duration::from_secs(300),
    states_max: 10_000_000,
};

/// Two epochs and a crash, with disks that take their time.
const BOUNDS: PartitionBounds = PartitionBounds {
    epochs: &[Assignment::led_by(1), Assignment::led_by(2)],
    crashes: 1,
    slow_disk: true,
    ..PartitionBounds::NOTHING
};

#[test]
fn cut_that_is_confirmed_and_not_on_the_disk_is_found() {
    let bounds = PartitionBounds {
        epochs: &[
            const { Assignment::led_by(1) },
            const { Assignment::led_by(2) },
            const { Assignment::led_by(3) },
        ],
        appends: 6,
        crashes: 2,
        timeouts: 6,
        room: Some(40),
        lies: true,
        ..BOUNDS
    };
    // The first walk of these finds it. If the protocol changes, one of the next few thousand does.
    let report = walk(&PartitionModel { bounds }, 2566, LIMITS);
    assert_eq!(report.end, End::Violation, "{report:?}");
}

#[test]
fn both_directions_look_at_the_same_states() {
    let bounds = PartitionBounds {
        crashes: 0,
        ..BOUNDS
    };
    let model = PartitionModel { bounds };
    let deep = search(&model, Direction::Deep, LIMITS, &|_| {});
    let broad = search(&model, Direction::Broad, LIMITS, &|_| {});
    assert_eq!((deep.end, broad.end), (End::All, End::All));
    assert!(deep.is_good() && broad.is_good(), "{deep:?} {broad:?}");
    assert_eq!(deep.unique, broad.unique);
    assert_eq!(deep.states, broad.states);
}

/// The control plane may not give out the second epoch: nobody has said that its voters are ready.
const IMPOSSIBLE: PartitionBounds = PartitionBounds {
    epochs: &[
        Assignment::led_by(1),
        Assignment {
            voters: &[1, 2],
            ..Assignment::led_by(1)
        },
    ],
    ..PartitionBounds::NOTHING
};

#[test]
fn what_is_never_reached_is_told() {
    let model = PartitionModel { bounds: IMPOSSIBLE };
    let report = search(&model, Direction::Deep, LIMITS, &|_| {});
    assert_eq!(report.end, End::All);
    assert!(!report.is_good());
    assert_eq!(report.missing, ["the last epoch opens"]);
}

#[test]
fn scopes_have_names_of_their_own() {
    let mut names: Vec<_> = Scope::all().iter().map(|scope| scope.name).collect();
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count);
}
