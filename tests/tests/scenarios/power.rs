//! The power fails, and processes end or stand still, at the worst moment.

use std::time::Duration;

use quorate_tests::simulation::Shape;
use quorate_tests::simulation::disk::{DiskFaults, DiskOperation};
use quorate_tests::simulation::story::Story;

const SECOND: Duration = Duration::from_secs(1);

/// Those who acknowledged lose their power one after the other, each before the next can have the
/// records from it. What is left is a majority all the same.
#[test]
fn a_majority_that_acknowledged_loses_its_power_bit_by_bit() {
    let mut story = Story::of(1, 5);
    let leader = story.leader();
    let followers = story.followers();
    let (late, early) = followers.split_at(2);
    story.pause(late);
    story.append(20);
    story.crash(&[leader]);
    story.start(&[leader]);
    story.crash(early);
    story.resume(late);
    story.wait(10 * SECOND);
    // Only one of these three has the records.
    story.expect_all();
    story.crash(&[leader]);
    story.start(early);
    story.expect_all();
    story.start(&[leader]);
    story.expect_whole();
}

/// Of three nodes, the two that acknowledged crash in turn, and each time the third is there that
/// has seen nothing.
#[test]
fn two_of_three_forget_nothing_however_they_come_and_go() {
    let mut story = Story::of(2, 3);
    let leader = story.leader();
    let followers = story.followers();
    for (with, without) in [(followers[0], followers[1]), (followers[1], followers[0])] {
        story.pause(&[without]);
        story.append(20);
        story.crash(&[with]);
        story.resume(&[without]);
        story.crash(&[leader]);
        story.start(&[with]);
        story.expect_all();
        story.start(&[leader]);
        story.wait(5 * SECOND);
    }
    story.expect_whole();
}

#[test]
fn all_nodes_lose_their_power_right_after_an_acknowledgement() {
    let shape = Shape {
        tick: Duration::from_millis(1),
        ..Shape::default()
    };
    let mut story = Story::begin(3, &shape, 3);
    for node in [1, 2, 3] {
        // So that something is under way when it happens.
        story.cluster.disk(node).set_faults(DiskFaults {
            slow: 0.3,
            slow_max: Duration::from_millis(20),
            ..DiskFaults::default()
        });
    }
    for records in [1, 5, 20, 100] {
        story.append(records);
        story.crash(&[1, 2, 3]);
        story.start(&[1, 2, 3]);
        story.expect_all();
    }
    story.expect_whole();
}

/// One replica is its own majority, and has to wait for its disk all the same.
#[test]
fn a_single_replica_acknowledges_only_what_its_disk_has() {
    for seed in 4..7 {
        let shape = Shape {
            nodes: 1,
            tick: Duration::from_millis(1),
            ..Shape::default()
        };
        let mut story = Story::begin(seed, &shape, 1);
        for records in [1, 5, 20] {
            story.append(records);
            story.crash(&[1]);
            story.start(&[1]);
            story.expect_all();
        }
        story.cluster.disk(1).hold();
        let attempt = story.begin_append(5);
        story.wait(5 * SECOND);
        story.require(
            attempt.outcome().is_none(),
            "acknowledged before it was durable",
        );
        story.crash(&[1]);
        story.cluster.disk(1).release();
        story.start(&[1]);
        story.wait_until("the append ends", |_| attempt.outcome().is_some());
        story.expect_whole();
    }
}

/// A node loses its power, others stand still: in the end all of them agree.
#[test]
fn a_power_cut_and_pauses_leave_no_lasting_split() {
    let mut story = Story::of(8, 3);
    for _ in 0..3 {
        let leader = story.leader();
        let others = story.followers();
        story.append(20);
        story.pause(&[leader]);
        story.wait(4 * SECOND);
        story.crash(&others[..1]);
        let attempt = story.begin_append(20);
        story.resume(&[leader]);
        story.pause(&others[1..]);
        story.wait(4 * SECOND);
        story.start(&others[..1]);
        story.resume(&others[1..]);
        story.wait_until("the append ends", |_| attempt.outcome().is_some());
    }
    story.expect_whole();
}

/// The disk has taken nothing yet of what a node was told when its process is halted, and goes on,
/// or ends.
#[test]
fn a_halted_process_with_writes_under_way_loses_nothing() {
    let mut story = Story::of(9, 3);
    for is_killed in [false, true] {
        for node in [1, 2, 3] {
            story.cluster.disk(node).hold();
            let attempt = story.begin_append(20);
            story.wait(SECOND);
            story.pause(&[node]);
            story.wait(6 * SECOND);
            story.cluster.disk(node).release();
            if is_killed {
                story.kill(&[node]);
                story.start(&[node]);
            } else {
                story.resume(&[node]);
            }
            story.expect_acknowledged(&attempt);
            story.expect_all();
        }
    }
    story.expect_whole();
}

/// Two of three are gone, and the last acknowledges nothing by itself; so nothing is lost with its
/// disk.
#[test]
fn the_last_replica_standing_acknowledges_nothing() {
    let mut story = Story::of(10, 3);
    story.append(20);
    let last = story.leader();
    let dead = story.followers();
    story.crash(&dead);
    story.append_in_vain(20);
    story.lose_disk(last);
    story.start(&dead);
    story.wait(5 * SECOND);
    story.expect_all();
    story.recover(last);
    story.expect_whole();
}

/// The records are on the disk and what finds them is not: that is made again from them.
#[test]
fn a_crash_between_records_and_their_index_loses_neither() {
    let mut shape = Shape {
        nodes: 1,
        ..Shape::default()
    };
    shape.storage.segment_bytes = 8 << 10;
    for (seed, is_power) in [(11, true), (12, false)] {
        let mut story = Story::begin(seed, &shape, 1);
        story.append(20);
        let is_begun = story.hold_disk_when(1, |event| {
            let name = event.path.to_string_lossy();
            event.operation == DiskOperation::Open && name.ends_with(".index.new")
        });
        let attempt = story.begin_append(200);
        story.wait_until("an index is begun", |_| is_begun.get());
        if is_power {
            story.crash(&[1]);
        } else {
            story.kill(&[1]);
        }
        story.cluster.disk(1).release();
        story.start(&[1]);
        story.wait_until("the append ends", |_| attempt.outcome().is_some());
        story.append(50);
        story.expect_whole();
    }
}
