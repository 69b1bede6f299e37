//! Section 4.3, recovery: from the replica's own disk.

use quorate_vsr::OpNumber;
use quorate_vsr::group::{Event, Limits, Message, Status};

use crate::group::{Group, node, view};

#[test]
fn restarted_backup_goes_on_where_it_was() {
    let mut group = Group::of_three();
    group.propose("a");
    group.run();
    let backup = group.backups()[0];
    group.crash(backup);
    group.propose("b");
    group.run();
    group.start(backup);
    assert_eq!(group.replica(backup).status(), Status::Recovering);
    group.run();
    assert_eq!(group.replica(backup).status(), Status::Normal);
    assert_eq!(group.executed(backup), ["a", "b"]);
}

/// It may have sent prepares that its own journal has lost, and would give their numbers out again.
#[test]
fn restarted_primary_does_not_resume_its_view() {
    let mut group = Group::of_three();
    let old_primary = group.primary();
    group.slow.insert(old_primary);
    group.propose("sent but not written");
    group.run();
    group.crash(old_primary);
    group.slow.clear();
    group.start(old_primary);
    assert!(!group.replica(old_primary).is_primary());
    assert_eq!(group.replica(old_primary).op_number(), OpNumber(0));
    group.change_view();
    group.settle();
    assert!(group.replica(old_primary).view() > view(1));
    for id in 1..=3 {
        assert_eq!(group.executed(node(id)), ["sent but not written"]);
    }
}

#[test]
fn group_that_lost_power_comes_back_by_itself() {
    for voters in [1, 3, 5] {
        let mut group = Group::new(voters, 1, Limits::default());
        group.run();
        group.propose("a");
        group.propose("b");
        group.run();
        for id in 1..=voters + 1 {
            group.crash(node(id));
        }
        for id in 1..=voters + 1 {
            group.start(node(id));
        }
        group.run();
        group.propose("c");
        group.run();
        group.settle();
        for id in 1..=voters + 1 {
            assert_eq!(group.executed(node(id)), ["a", "b", "c"], "{voters} voters");
        }
    }
}

#[test]
fn group_of_one_commits_what_is_on_its_own_disk() {
    let mut group = Group::new(1, 0, Limits::default());
    group.run();
    group.slow.insert(node(1));
    group.propose("a");
    group.run();
    assert_eq!(group.replica(node(1)).commit_number(), OpNumber(0));
    group.slow.clear();
    group.run();
    assert_eq!(group.executed(node(1)), ["a"]);
}

#[test]
fn promise_outlives_a_crash() {
    let mut group = Group::of_three();
    let (old_primary, backups) = (group.primary(), group.backups());
    group.cut.insert(old_primary);
    // Both promise view 2; then the promises are lost together with the members.
    for backup in &backups {
        group.fire(*backup, quorate_vsr::group::Timer::PrimarySilent);
    }
    group.run();
    for backup in &backups {
        group.crash(*backup);
        group.start(*backup);
        assert!(group.replica(*backup).view() >= view(2));
    }
    group.lose_messages();
    let mark = group.sent.len();
    group.cut.clear();
    group.propose_at(old_primary, "too late");
    group.run();
    for backup in backups {
        let sent = group.sent_by(backup, mark);
        let acknowledges = |message: &&Message| {
            matches!(message, Message::PrepareOk { .. }) && message.view() == view(1)
        };
        assert!(!sent.iter().any(acknowledges));
    }
}

/// Prepares that the log of a later view does not include stay on the disk until others take their
/// place.
#[test]
fn prepares_that_were_left_behind_do_not_come_back() {
    let mut group = Group::of_three();
    let old_primary = group.primary();
    group.cut.insert(old_primary);
    group.propose("fork");
    group.run();
    group.change_view();
    group.cut.clear();
    group.settle();
    assert_eq!(group.replica(old_primary).op_number(), OpNumber(0));
    assert_eq!(
        group.members[&old_primary].disk.journal.len(),
        1,
        "still on the disk"
    );

    group.crash(old_primary);
    group.start(old_primary);
    assert_eq!(group.replica(old_primary).op_number(), OpNumber(0));
}

#[test]
#[should_panic(expected = "a disk that was used has a superblock")]
fn journal_without_a_superblock_is_refused() {
    let mut group = Group::of_three();
    group.propose("a");
    group.run();
    let primary = group.primary();
    group.crash(primary);
    group.members.get_mut(&primary).unwrap().disk.superblock = None;
    group.start(primary);
}

#[test]
fn completion_of_an_earlier_write_is_not_taken_for_a_later_one() {
    let mut group = Group::of_three();
    let primary = group.primary();
    group.slow.insert(primary);
    group.propose("a");
    let checksum = quorate_vsr::group::Checksum(1);
    group.step(
        primary,
        Event::PrepareDurable {
            op: OpNumber(1),
            checksum,
        },
    );
    group.step(primary, Event::SuperblockDurable { sequence: 99 });
    group.step(primary, Event::CheckpointDurable { op: OpNumber(1) });
    group.step(
        primary,
        Event::Executed {
            op: OpNumber(1),
            reply: Vec::new(),
        },
    );
    group.step(
        primary,
        Event::Snapshot {
            op: OpNumber(1),
            state: Vec::new(),
        },
    );
    assert_eq!(group.replica(primary).commit_number(), OpNumber(0));
}
