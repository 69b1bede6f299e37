//! Checkpoints that cannot be read, and damage that only a checkpoint makes good.

use quorate_vsr::OpNumber;
use quorate_vsr::group::{Limits, Message};

use crate::group::{Group, node};

fn limits() -> Limits {
    Limits {
        checkpoint_interval: 4,
        ..Limits::default()
    }
}

fn texts(numbers: std::ops::RangeInclusive<u32>) -> Vec<String> {
    numbers.map(|number| format!("op {number}")).collect()
}

fn work(group: &mut Group, numbers: std::ops::RangeInclusive<u32>) {
    for text in texts(numbers) {
        group.propose(&text);
        group.run();
    }
    group.settle();
}

impl Group {
    fn lose_checkpoints(&mut self, node: quorate_vsr::NodeId) {
        let disk = &mut self.members.get_mut(&node).unwrap().disk;
        assert!(!disk.checkpoints.is_empty());
        disk.checkpoints.clear();
    }

    fn assert_done(&mut self, numbers: std::ops::RangeInclusive<u32>) {
        let expected = texts(numbers);
        let expected: Vec<_> = expected.iter().map(String::as_str).collect();
        self.assert_whole(&expected);
    }
}

#[test]
fn lost_checkpoint_comes_from_another_replica() {
    let mut group = Group::new(3, 0, limits());
    group.run();
    work(&mut group, 1..=10);
    let backup = group.backups()[0];
    group.crash(backup);
    group.lose_checkpoints(backup);
    group.start(backup);
    let replica = group.replica(backup);
    assert_eq!(replica.lost_checkpoint(), Some(OpNumber(8)));
    assert_eq!(replica.executed(), OpNumber(0), "there is no state");
    assert!(
        !replica.is_tail_uncertain(),
        "what it acknowledged is known"
    );

    group.run();
    group.assert_done(1..=10);
    group.crash(backup);
    group.start(backup);
    assert!(!group.replica(backup).is_damaged(), "it is on the disk");
}

/// It knows the whole log behind the checkpoint, so its promise counts. But it does not lead, for
/// it has no state: the other one does.
#[test]
fn replica_without_its_state_votes() {
    for damaged in 1..=3 {
        let mut group = Group::new(3, 0, limits());
        group.run();
        work(&mut group, 1..=10);
        let dead = group.primary();
        if dead == node(damaged) {
            continue;
        }
        for id in 1..=3 {
            group.crash(node(id));
        }
        group.lose_checkpoints(node(damaged));
        for id in (1..=3).map(node).filter(|id| *id != dead) {
            group.start(id);
        }
        group.persevere();
        group.assert_done(1..=10);
        work(&mut group, 11..=11);
        group.assert_done(1..=11);
    }
}

/// The survivor was behind, and has no checkpoint as late as the lost one. The journal of the
/// damaged one brings it there, and then it makes one for it.
#[test]
fn replica_that_lost_its_state_brings_the_other_one_up_to_date() {
    let mut group = Group::new(3, 0, limits());
    group.run();
    work(&mut group, 1..=6);
    let (primary, backups) = (group.primary(), group.backups());
    let (damaged, behind) = (backups[0], backups[1]);
    group.cut.insert(behind);
    work(&mut group, 7..=10);
    assert_eq!(group.replica(damaged).checkpoint_op(), OpNumber(8));
    for id in [primary, damaged, behind] {
        group.crash(id);
    }
    group.cut.clear();
    group.lose_checkpoints(damaged);
    group.start(damaged);
    group.start(behind);
    group.persevere();
    assert_eq!(group.primary(), behind);
    assert!(group.replica(behind).checkpoint_op() >= OpNumber(8));
    group.assert_done(1..=10);
}

#[test]
fn group_that_lost_all_its_states_waits_and_cuts_nothing() {
    let mut group = Group::new(3, 0, limits());
    group.run();
    work(&mut group, 1..=6);
    for id in 1..=3 {
        group.crash(node(id));
        group.lose_checkpoints(node(id));
    }
    let entries = group.entries(node(1));
    for id in 1..=3 {
        group.start(node(id));
    }
    group.persevere();
    assert!(!group.has_primary());
    for id in 1..=3 {
        assert_eq!(group.entries(node(id)), entries);
        assert_eq!(group.replica(node(id)).lost_checkpoint(), Some(OpNumber(4)));
    }
}

#[test]
fn lone_voter_without_its_state_waits_for_a_person() {
    let mut group = Group::new(1, 0, limits());
    group.run();
    work(&mut group, 1..=6);
    group.crash(node(1));
    group.lose_checkpoints(node(1));
    group.start(node(1));
    group.persevere();
    assert!(!group.has_primary());
    assert_eq!(group.replica(node(1)).lost_checkpoint(), Some(OpNumber(4)));
}

/// The others have long dropped the entry from their journals.
#[test]
fn checkpoint_takes_the_place_of_an_entry_that_nobody_has_any_more() {
    let mut group = Group::new(3, 0, limits());
    group.run();
    work(&mut group, 1..=3);
    let backup = group.backups()[0];
    group.crash(backup);
    group.damage(backup, 2);
    work(&mut group, 4..=13);
    let mark = group.sent.len();
    group.start(backup);
    group.run();
    group.assert_done(1..=13);
    let primary = group.primary();
    let sent = group.sent_by(primary, mark);
    let is_piece = |message: &&&Message| matches!(message, Message::CheckpointPiece { .. });
    assert!(sent.iter().filter(is_piece).count() > 0);
}

/// Damage of everything at once: checkpoint, entries and the end.
#[test]
fn replica_that_lost_nearly_all_is_brought_back() {
    let mut group = Group::new(3, 0, limits());
    group.run();
    work(&mut group, 1..=11);
    let backup = group.backups()[0];
    group.crash(backup);
    group.lose_checkpoints(backup);
    for op in [6, 9, 11] {
        group.damage(backup, op);
    }
    group
        .members
        .get_mut(&backup)
        .unwrap()
        .disk
        .is_tail_uncertain = true;
    group.start(backup);
    group.settle();
    group.assert_done(1..=11);
    work(&mut group, 12..=12);
    group.assert_done(1..=12);
}
