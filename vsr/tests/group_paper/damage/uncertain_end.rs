//! A journal that has lost what its replica acknowledged is not taken for a short one.

use quorate_vsr::group::{Effect, Event, Message, Status, Timer};
use quorate_vsr::{NodeId, OpNumber};

use super::of_three_at_rest;
use crate::group::{Group, founder, node};

/// A group in which "a" and "b" are committed by the primary and one backup only; that backup
/// then loses "b" from its disk. The primary and the other backup are given.
fn with_damage() -> (Group, NodeId, NodeId, NodeId) {
    let mut group = Group::of_three();
    let (primary, backups) = (group.primary(), group.backups());
    // The other one is the primary of the next view.
    let (other, damaged) = (backups[0], backups[1]);
    group.cut.insert(other);
    group.propose("a");
    group.propose("b");
    group.run();
    assert_eq!(group.executed(primary), ["a", "b"]);
    group.crash(damaged);
    let disk = &mut group.members.get_mut(&damaged).unwrap().disk;
    disk.journal.truncate(1);
    disk.is_tail_uncertain = true;
    (group, primary, damaged, other)
}

#[test]
fn damage_and_a_dead_primary_stop_the_group_but_lose_nothing() {
    let (mut group, primary, damaged, _) = with_damage();
    group.crash(primary);
    group.start(damaged);
    group.cut.clear();
    group.persevere();
    assert!(!group.has_primary(), "the damaged journal is no evidence");

    group.start(primary);
    group.run();
    group.settle();
    for id in 1..=3 {
        assert_eq!(group.executed(node(id)), ["a", "b"]);
        assert!(!group.replica(node(id)).is_damaged());
    }
}

#[test]
fn damaged_journal_is_repaired_by_the_primary() {
    let (mut group, primary, damaged, _) = with_damage();
    group.start(damaged);
    assert!(group.replica(damaged).is_damaged());
    group.settle();
    assert_eq!(group.primary(), primary);
    assert!(!group.replica(damaged).is_damaged());
    assert_eq!(group.replica(damaged).op_number(), OpNumber(2));
    let durable = group.members[&damaged].disk.superblock.clone().unwrap();
    assert!(!durable.is_tail_uncertain);
}

/// A crash in the middle of the repair leaves a journal that looks whole. The superblock knows
/// better.
#[test]
fn damage_outlives_a_crash_during_repair() {
    let (mut group, primary, damaged, _) = with_damage();
    group.start(damaged);
    // The mark is written before anything else.
    group.complete(damaged);
    group.crash(damaged);
    group.crash(primary);
    group.start(damaged);
    assert!(group.replica(damaged).is_damaged());
    group.cut.clear();
    group.settle();
    assert_eq!(group.replica(damaged).status(), Status::Recovering);
}

/// What the repair appends would hide the damage from the next start.
#[test]
fn damage_is_marked_before_the_journal_is_touched() {
    let (mut group, _, damaged, _) = with_damage();
    group.cut.clear();
    group.slow.insert(damaged);
    group.start(damaged);
    group.change_view();
    group.propose("c");
    group.settle();
    let is_append = |write: &Effect| matches!(write, Effect::Append(_));
    assert!(matches!(&group.writes(damaged)[0], Effect::Persist(mark) if mark.is_tail_uncertain));
    assert!(!group.writes(damaged).iter().any(is_append));
    group.slow.clear();
    group.run();
    group.settle();
    assert_eq!(group.executed(damaged), ["a", "b", "c"]);
}

/// A statement of the primary from before the damage would make the short journal look whole.
#[test]
fn old_message_does_not_repair() {
    let (mut group, primary, damaged, _) = with_damage();
    let first_commit = group.sent.iter().find(|(from, to, message)| {
        let is_early = matches!(message, Message::Commit { head, .. } if head.op == OpNumber(0));
        let is_early = is_early
            || matches!(message, Message::StartView { head, .. } if head.op == OpNumber(0));
        (*from, *to) == (primary, damaged) && is_early
    });
    let (from, _, message) = first_commit.unwrap().clone();
    group.cut.insert(primary);
    group.start(damaged);
    group.run();
    let from = founder(from);
    group.step(damaged, Event::Message { from, message });
    group.run();
    assert!(group.replica(damaged).is_damaged());
}

/// Two have promised whose ends are certain; that the third one may have lost something does not
/// matter, for it alone is no majority.
#[test]
fn uncertain_end_stops_nobody_while_a_majority_is_certain() {
    let (mut group, primary, damaged, other) = with_damage();
    group.crash(primary);
    group.crash(other);
    group.cut.clear();
    for id in [primary, damaged, other] {
        group.start(id);
    }
    group.persevere();
    group.assert_whole(&["a", "b"]);
}

/// It vouches for nothing, but it may well ask and lead.
#[test]
fn replica_with_an_uncertain_end_takes_part_in_view_changes() {
    for damaged in 1..=3 {
        let (mut group, ..) = super::of_three_at_rest();
        group.damage(node(damaged), 4);
        group
            .members
            .get_mut(&node(damaged))
            .unwrap()
            .disk
            .is_tail_uncertain = true;
        for id in 1..=3 {
            group.start(node(id));
        }
        assert!(group.replica(node(damaged)).is_tail_uncertain());
        group.persevere();
        group.assert_whole(&["a", "b", "c", "d"]);
    }
}

#[test]
fn group_whose_majority_may_have_lost_something_waits_and_cuts_nothing() {
    let (mut group, ..) = super::of_three_at_rest();
    for id in [1, 2] {
        group.damage(node(id), 4);
        group
            .members
            .get_mut(&node(id))
            .unwrap()
            .disk
            .is_tail_uncertain = true;
    }
    for id in 1..=3 {
        group.start(node(id));
    }
    group.persevere();
    assert!(!group.has_primary());
    assert_eq!(group.entries(node(1)), [1, 2, 3]);
    assert_eq!(group.entries(node(3)), [1, 2, 3, 4]);
}

/// What can be read of such a journal may have been replaced by what cannot: it is not executed.
#[test]
fn nothing_is_executed_from_a_journal_with_an_uncertain_end() {
    let (mut group, primary, damaged, other) = with_damage();
    let superblock = group.members[&damaged].disk.superblock.clone().unwrap();
    assert!(superblock.commit_number <= OpNumber(1));
    group.crash(primary);
    group.crash(other);
    group.start(damaged);
    group.persevere();
    assert_eq!(group.executed(damaged), [""; 0]);
}

#[test]
fn lone_voter_with_an_uncertain_end_waits_for_a_person() {
    let mut group = Group::new(1, 0, quorate_vsr::group::Limits::default());
    group.run();
    for text in ["a", "b"] {
        group.propose(text);
        group.run();
    }
    group.crash(node(1));
    group.damage(node(1), 2);
    group
        .members
        .get_mut(&node(1))
        .unwrap()
        .disk
        .is_tail_uncertain = true;
    for _ in 0..2 {
        group.start(node(1));
        group.persevere();
        assert!(!group.has_primary(), "the superblock remembers");
        assert_eq!(group.entries(node(1)), [1]);
        group.crash(node(1));
    }
}

/// It may not know who votes by now, and name the same primary over and over.
#[test]
fn who_does_not_know_its_end_only_joins_others_when_a_view_change_is_stuck() {
    let (mut group, ..) = of_three_at_rest();
    let (whole, uncertain) = (node(2), node(3));
    let disk = &mut group.members.get_mut(&uncertain).unwrap().disk;
    disk.is_tail_uncertain = true;
    group.start(whole);
    group.start(uncertain);
    group.run();
    let stuck = group.replica(whole).view();
    assert_eq!(group.replica(uncertain).view(), stuck);
    assert_eq!(group.replica(uncertain).status(), Status::ViewChange);
    let asked_for = |group: &Group, mark| {
        let sent = group.sent_by(uncertain, mark).into_iter();
        let views = sent.filter_map(|message| match message {
            Message::StartViewChange { view, .. } => Some(*view),
            _ => None,
        });
        views.max()
    };
    let mark = group.sent.len();
    group.fire(uncertain, Timer::ViewChangeStalled);
    assert_eq!(asked_for(&group, mark), None);
    group.fire(whole, Timer::ViewChangeStalled);
    group.run();
    group.fire(uncertain, Timer::ViewChangeStalled);
    assert!(asked_for(&group, mark) > Some(stuck));
    group.run();
    assert!(group.replica(whole).view() > stuck);
}
