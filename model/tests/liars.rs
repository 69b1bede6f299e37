//! The checks are checked: drivers that confirm what is not on the disk must each be found out.

use std::time::Duration;

use quorate_model::{
    Finding, GroupBounds, GroupLie, GroupModel, PartitionBounds, PartitionLie, PartitionModel,
    check, walk,
};
use quorate_vsr::group::Timer;

/// A liar is found at once or, if the check is broken, never.
const PATIENCE: Duration = Duration::from_secs(120);

fn partition(lie: PartitionLie) -> PartitionBounds {
    PartitionBounds {
        leaders: &[1, 2, 3],
        appends: 6,
        crashes: 2,
        timeouts: 6,
        room: Some(40),
        restarts: true,
        slow_disk: true,
        slow_links: false,
        followers_are_told: false,
        lie: Some(lie),
    }
}

fn group(lie: GroupLie) -> GroupBounds {
    GroupBounds {
        proposals: 6,
        client: false,
        timeouts: 12,
        timers: &Timer::ALL,
        room: Some(40),
        crashes: 3,
        restarts: true,
        slow_disk: true,
        checkpoint_interval: 1000,
        lie: Some(lie),
    }
}

fn walk_partition(lie: PartitionLie) -> Finding {
    let bounds = partition(lie);
    walk(
        "partition",
        &bounds,
        &PartitionModel { bounds },
        1,
        PATIENCE,
    )
}

fn walk_group(lie: GroupLie) -> Finding {
    let bounds = group(lie);
    walk("group", &bounds, &GroupModel { bounds }, 1, PATIENCE)
}

#[test]
fn promise_that_is_not_on_the_disk_is_found() {
    assert_eq!(walk_partition(PartitionLie::Facts), Finding::Violated);
}

#[test]
fn record_that_is_not_on_the_disk_is_found() {
    assert_eq!(walk_partition(PartitionLie::Records), Finding::Violated);
}

#[test]
fn cut_that_is_not_on_the_disk_is_found() {
    assert_eq!(walk_partition(PartitionLie::Cuts), Finding::Violated);
}

#[test]
fn superblock_that_is_not_on_the_disk_is_found() {
    assert_eq!(walk_group(GroupLie::Superblocks), Finding::Violated);
}

#[test]
fn prepare_that_is_not_on_the_disk_is_found() {
    assert_eq!(walk_group(GroupLie::Prepares), Finding::Violated);
}

#[test]
fn search_finds_the_shortest_way_to_a_lie() {
    let bounds = PartitionBounds {
        leaders: &[1],
        appends: 1,
        crashes: 0,
        timeouts: 0,
        room: None,
        slow_disk: false,
        ..partition(PartitionLie::Records)
    };
    let finding = check("partition", &bounds, PartitionModel { bounds }, PATIENCE);
    assert_eq!(finding, Finding::Violated);
}

#[test]
fn honest_driver_passes_where_liars_do_not() {
    let bounds = PartitionBounds {
        leaders: &[1, 2],
        appends: 0,
        crashes: 1,
        timeouts: 0,
        room: None,
        lie: None,
        ..partition(PartitionLie::Facts)
    };
    let finding = check("partition", &bounds, PartitionModel { bounds }, PATIENCE);
    assert_eq!(finding, Finding::Holds);
}
