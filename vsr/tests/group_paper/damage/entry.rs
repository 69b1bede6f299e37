//! Entries that are damaged in the middle, with good ones after them.

use quorate_vsr::OpNumber;
use quorate_vsr::group::{Effect, Event, Limits, Message, Status};

use super::of_three_at_rest;
use crate::group::{Group, founder, node};

#[test]
fn damaged_entry_is_mended_from_another_replica() {
    let mut group = Group::of_three();
    let backup = group.backups()[0];
    for text in ["a", "b", "c"] {
        group.propose(text);
    }
    group.run();
    group.crash(backup);
    group.damage(backup, 2);
    group.start(backup);
    assert_eq!(group.faulty(backup), [2]);
    assert!(group.replica(backup).is_damaged());
    let superblock = group.members[&backup].disk.superblock.clone().unwrap();
    assert!(!superblock.is_tail_uncertain, "its end is known");

    group.run();
    group.assert_whole(&["a", "b", "c"]);
    assert_eq!(group.entries(backup), [1, 2, 3]);
    group.crash(backup);
    group.start(backup);
    assert!(!group.replica(backup).is_damaged(), "it is on the disk");
}

/// Until it is mended, its replica vouches for nothing from there on, but goes on taking in what
/// comes.
#[test]
fn replica_acknowledges_and_executes_up_to_its_damage() {
    let mut group = Group::of_three();
    let (primary, backup) = (group.primary(), group.backups()[0]);
    for text in ["a", "b", "c"] {
        group.propose(text);
        group.run();
    }
    group.crash(backup);
    group.damage(backup, 2);
    group.start(backup);
    group.lose_messages();
    let mark = group.sent.len();
    group.propose("d");
    group.slow.insert(backup);
    group.run();
    assert_eq!(group.replica(backup).status(), Status::Normal);
    assert_eq!(group.replica(backup).op_number(), OpNumber(4));
    assert_eq!(group.executed(backup), ["a"]);
    let acknowledged = group
        .sent_by(backup, mark)
        .into_iter()
        .filter_map(|it| match it {
            Message::PrepareOk { op, .. } => Some(op.0),
            _ => None,
        });
    assert_eq!(acknowledged.max(), Some(1));

    group.slow.clear();
    group.run();
    assert_eq!(group.primary(), primary);
    group.assert_whole(&["a", "b", "c", "d"]);
}

/// The promise of this crate for three nodes: one damaged disk and one dead node.
#[test]
fn damaged_disk_and_dead_node_lose_nothing_and_stop_nobody() {
    for dead in 1..=3 {
        for damaged in (1..=3).filter(|id| *id != dead) {
            for op in 1..=3 {
                let (mut group, ..) = of_three_at_rest();
                group.damage(node(damaged), op);
                for id in (1..=3).filter(|id| *id != dead) {
                    group.start(node(id));
                }
                group.persevere();
                group.assert_whole(&["a", "b", "c", "d"]);
                group.propose("e");
                group.run();
                group.assert_whole(&["a", "b", "c", "d", "e"]);
            }
        }
    }
}

#[test]
fn damaged_replica_mends_itself_before_it_leads() {
    let (mut group, ..) = of_three_at_rest();
    group.damage(node(2), 2);
    group.damage(node(2), 3);
    group.start(node(2));
    group.start(node(3));
    let next = group.replica(node(2)).view();
    for _ in 0..3 {
        group.persevere();
        if group.primary() == node(2) {
            break;
        }
        let other = group.primary();
        group.fire(other, quorate_vsr::group::Timer::QuorumSilent);
        group.change_view();
    }
    assert!(group.replica(node(2)).view() > next);
    group.assert_whole(&["a", "b", "c", "d"]);
}

#[test]
fn group_whose_every_disk_is_damaged_elsewhere_mends_itself() {
    let (mut group, ..) = of_three_at_rest();
    for (id, op) in [(1, 1), (2, 2), (3, 3), (1, 4), (2, 3), (3, 1)] {
        group.damage(node(id), op);
    }
    // The last entry of the first disk is gone as well, and its disk knows that there was one.
    group
        .members
        .get_mut(&node(1))
        .unwrap()
        .disk
        .is_tail_uncertain = true;
    for id in 1..=3 {
        group.start(node(id));
    }
    group.persevere();
    group.assert_whole(&["a", "b", "c", "d"]);
    for id in 1..=3 {
        assert_eq!(group.entries(node(id)), [1, 2, 3, 4]);
    }
}

/// One copy of "b" is left, on a disk that is not there.
#[test]
fn entry_whose_last_sound_copy_is_away_is_waited_for() {
    let (mut group, ..) = of_three_at_rest();
    for id in [1, 2] {
        group.damage(node(id), 2);
        group.start(node(id));
    }
    group.persevere();
    assert!(!group.has_primary());
    for id in [1, 2] {
        assert_eq!(group.entries(node(id)), [1, 3, 4], "nothing was cut");
    }
    group.start(node(3));
    group.persevere();
    group.assert_whole(&["a", "b", "c", "d"]);
}

/// A primary writes "x" and "y" that nobody else gets. As soon as all the others vouch for never
/// having had "x", its damage does not matter any more.
#[test]
fn damaged_entry_that_nobody_else_had_is_dropped_by_a_majority() {
    let mut group = Group::of_three();
    let primary = group.primary();
    group.propose("a");
    group.run();
    group.settle();
    let others = group.backups();
    group.cut.insert(primary);
    group.propose_at(primary, "x");
    group.propose_at(primary, "y");
    group.run();
    for id in 1..=3 {
        group.crash(node(id));
    }
    group.damage(primary, 2);
    group.cut.clear();

    group.start(primary);
    group.start(others[0]);
    group.persevere();
    assert!(
        !group.has_primary(),
        "the third one may have acknowledged it"
    );
    assert_eq!(group.entries(primary), [1, 3], "nothing was cut");

    group.start(others[1]);
    group.persevere();
    group.assert_whole(&["a"]);
    group.propose("b");
    group.run();
    group.assert_whole(&["a", "b"]);
}

/// What is mended is written beside what is damaged: whatever the disk has carried out of it when
/// the power goes, nothing that was good is gone.
#[test]
fn crash_during_the_repair_loses_nothing() {
    for completed in 0..=3 {
        let (mut group, ..) = of_three_at_rest();
        for op in [1, 2, 4] {
            group.damage(node(1), op);
        }
        group
            .members
            .get_mut(&node(1))
            .unwrap()
            .disk
            .is_tail_uncertain = true;
        for op in [2, 3] {
            group.damage(node(2), op);
        }
        group.start(node(2));
        group.start(node(3));
        group.slow.insert(node(2));
        group.persevere();
        let is_mend = |write: &&Effect| matches!(write, Effect::Mend(_));
        assert!(group.writes(node(2)).iter().filter(is_mend).count() <= 2);
        for _ in 0..completed.min(group.writes(node(2)).len()) {
            group.complete(node(2));
        }
        group.crash(node(2));
        group.crash(node(3));
        let entries = group.entries(node(2));
        assert!(entries.contains(&1) && entries.contains(&4), "{entries:?}");

        group.slow.clear();
        for id in 1..=3 {
            group.start(node(id));
        }
        group.persevere();
        group.assert_whole(&["a", "b", "c", "d"]);
    }
}

/// The chain shows that an entry was replaced, even if the disk does not tell: here "old" stands in
/// the place of an entry that cannot be read.
#[test]
fn entry_that_does_not_fit_its_successor_is_taken_for_damaged() {
    let mut group = Group::of_three();
    let (primary, backup) = (group.primary(), group.backups()[0]);
    for text in ["a", "b", "c"] {
        group.propose(text);
        group.run();
    }
    group.crash(backup);
    let journal = &mut group.members.get_mut(&backup).unwrap().disk.journal;
    let content = quorate_vsr::group::Content::Proposal {
        operation: b"old".to_vec(),
    };
    let old = quorate_vsr::group::Prepare::new(journal[0].head(), journal[1].view, content);
    journal[1] = old;
    group.start(backup);
    assert_eq!(group.faulty(backup), [2]);
    group.settle();
    assert_eq!(group.primary(), primary);
    assert_eq!(group.executed(backup), ["a", "b", "c"]);
}

#[test]
fn damage_below_the_checkpoint_is_harmless() {
    let limits = Limits {
        checkpoint_interval: 4,
        ..Limits::default()
    };
    let mut group = Group::new(3, 0, limits);
    group.run();
    for number in 1..=10 {
        group.propose(&number.to_string());
        group.run();
    }
    let backup = group.backups()[0];
    assert_eq!(group.entries(backup), [5, 6, 7, 8, 9, 10]);
    group.crash(backup);
    group.damage(backup, 6);
    group.damage(backup, 8);
    group.start(backup);
    assert!(!group.replica(backup).is_damaged());
    group.settle();
    assert_eq!(group.executed(backup).len(), 10);
}

/// The power goes while all write. Nothing of it was acknowledged, and nothing of it is damage.
#[test]
fn torn_ends_on_all_disks_come_back_by_themselves() {
    for (primary_kept, backups_kept) in [(0, 0), (2, 0), (0, 2), (1, 2)] {
        let mut group = Group::of_three();
        group.propose("a");
        group.run();
        let primary = group.primary();
        group.slow.extend([node(1), node(2), node(3)]);
        for text in ["b", "c", "d"] {
            group.propose(text);
        }
        group.run();
        for id in 1..=3 {
            let kept = if node(id) == primary {
                primary_kept
            } else {
                backups_kept
            };
            for _ in 0..kept {
                group.complete(node(id));
            }
            group.crash(node(id));
        }
        group.slow.clear();
        for id in 1..=3 {
            group.start(node(id));
            assert!(!group.replica(node(id)).is_damaged());
        }
        group.persevere();
        group.settle();
        let executed = group.executed(primary);
        assert!(!executed.is_empty() && "abcd".starts_with(&executed.concat()));
        for id in 1..=3 {
            assert_eq!(group.executed(node(id)), executed);
        }
    }
}

/// Nobody else has it. It is not executed, not dropped, and nothing after it is.
#[test]
fn lone_voter_with_a_damaged_entry_waits_for_a_person() {
    let mut group = Group::new(1, 0, Limits::default());
    group.run();
    for text in ["a", "b", "c"] {
        group.propose(text);
        group.run();
    }
    group.crash(node(1));
    group.damage(node(1), 2);
    group.start(node(1));
    group.persevere();
    assert!(!group.has_primary());
    assert_eq!(group.faulty(node(1)), [2]);
    assert_eq!(group.entries(node(1)), [1, 3], "nothing was cut");
}

#[test]
fn answers_that_do_not_fit_mend_nothing() {
    let (mut group, primary, backups) = of_three_at_rest();
    group.damage(backups[0], 3);
    group.start(backups[0]);
    let view = group.replica(backups[0]).view();
    let sound = group.members[&primary].disk.journal.clone();
    let content = quorate_vsr::group::Content::Proposal {
        operation: b"forged".to_vec(),
    };
    let forged = quorate_vsr::group::Prepare::new(sound[1].head(), view, content);
    for prepares in [
        vec![],
        vec![forged],
        vec![sound[3].clone()],
        vec![sound[1].clone()],
    ] {
        let message = Message::NewPrepares { view, prepares };
        let from = founder(primary);
        group.step(backups[0], Event::Message { from, message });
        assert_eq!(group.faulty(backups[0]), [3]);
    }
    let prepares = sound[..3].to_vec();
    let message = Message::NewPrepares { view, prepares };
    let from = founder(primary);
    group.step(backups[0], Event::Message { from, message });
    assert_eq!(group.faulty(backups[0]), [0; 0]);
}
