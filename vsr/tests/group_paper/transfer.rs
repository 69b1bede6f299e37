//! A primary that gives up its place; not in the paper, where a primary is replaced when it has
//! failed.

use quorate_vsr::OpNumber;
use quorate_vsr::group::{Effect, Event, Message, Rejection, Timer};

use crate::group::{Group, node};

fn transfer(group: &mut Group, to: u16) {
    let primary = group.primary();
    group.step(primary, Event::Transfer { to: node(to) });
}

#[test]
fn a_primary_hands_over_to_whom_it_is_told() {
    let mut group = Group::of_three();
    group.propose("a");
    group.run();
    assert_eq!(group.primary(), node(1));
    // Not the one whose turn it is.
    transfer(&mut group, 3);
    group.run();
    assert_eq!(group.primary(), node(3));
    transfer(&mut group, 1);
    group.run();
    assert_eq!(group.primary(), node(1));
    group.propose("b");
    group.settle();
    assert_eq!(group.executed(node(2)), ["a", "b"]);
}

#[test]
fn nothing_is_handed_over_to_itself_or_to_who_does_not_vote() {
    let mut group = Group::new(3, 1, Default::default());
    group.run();
    for to in [1, 4, 9] {
        transfer(&mut group, to);
        group.run();
        assert_eq!(group.primary(), node(1));
        assert!(group.replica(node(1)).has_room());
    }
}

#[test]
fn a_primary_that_hands_over_waits_for_its_successor_and_takes_no_requests() {
    let mut group = Group::of_three();
    let primary = group.primary();
    group.cut.insert(node(3));
    group.propose("a");
    group.run();
    transfer(&mut group, 3);
    group.settle();
    assert_eq!(group.primary(), primary, "its successor is behind");
    assert!(!group.replica(primary).has_room());
    group.step(primary, Event::Register { client: 7 });
    let refused = Effect::RejectRequest {
        client: 7,
        request_number: 0,
        reason: Rejection::Busy,
    };
    assert_eq!(group.answers(primary), [refused]);

    group.cut.clear();
    group.settle();
    assert_eq!(group.primary(), node(3));
    assert_eq!(group.executed(node(3)), ["a"]);
}

#[test]
fn a_primary_that_is_not_relieved_goes_on() {
    let mut group = Group::of_three();
    let primary = group.primary();
    group.cut.insert(node(3));
    group.propose("a");
    group.run();
    transfer(&mut group, 3);
    group.propose("refused");
    group.settle();
    group.fire(primary, Timer::Transfer);
    group.propose("b");
    group.run();
    assert_eq!(group.executed(primary), ["a", "b"]);
    // It gives up as well after it has asked for the view.
    transfer(&mut group, 2);
    group.lose_messages();
    assert!(!group.members[&primary].armed.contains(&Timer::Commit));
    group.fire(primary, Timer::Transfer);
    assert!(group.members[&primary].armed.contains(&Timer::Commit));
    group.propose("c");
    group.run();
    assert_eq!(group.executed(primary), ["a", "b", "c"]);
}

/// It is in nobody's way then, and goes on when it hears a majority after all.
#[test]
fn a_primary_that_hears_nobody_gives_up_its_handover_and_is_silent() {
    let mut group = Group::of_three();
    let primary = group.primary();
    transfer(&mut group, 2);
    group.lose_messages();
    group.fire(primary, Timer::QuorumSilent);
    for timer in [Timer::Transfer, Timer::Commit, Timer::QuorumSilent] {
        assert!(!group.members[&primary].armed.contains(&timer), "{timer:?}");
    }
    assert!(!group.replica(primary).has_room());
    let replica = group.replica(primary);
    let (view, op) = (replica.view(), replica.op_number());
    group.hear(node(2), primary, Message::PrepareOk { view, op, round: 0 });
    for timer in [Timer::Commit, Timer::QuorumSilent] {
        assert!(group.members[&primary].armed.contains(&timer), "{timer:?}");
    }
    assert!(group.replica(primary).has_room());
}

/// Its backups answer, so it hears no silence; only its own disk says nothing.
#[test]
fn a_primary_whose_disk_hangs_hands_over_to_who_has_most() {
    let mut group = Group::of_three();
    let primary = group.primary();
    assert!(!group.members[&primary].armed.contains(&Timer::DiskSilent));
    group.slow.insert(primary);
    group.cut.insert(node(2));
    group.propose("a");
    group.run();
    group.cut.clear();
    group.propose("b");
    group.lose_messages();
    assert!(group.members[&primary].armed.contains(&Timer::DiskSilent));
    group.fire(primary, Timer::DiskSilent);
    group.settle();
    assert!(group.replica(node(3)).is_primary());
    assert_eq!(group.executed(node(3)), ["a", "b"]);
    group.slow.clear();
    group.settle();
    assert_eq!(group.primary(), node(3));
    assert_eq!(group.executed(primary), ["a", "b"]);
    assert!(!group.members[&primary].armed.contains(&Timer::DiskSilent));
}

#[test]
fn a_disk_that_does_something_is_not_silent() {
    let mut group = Group::of_three();
    let primary = group.primary();
    group.propose("a");
    group.propose("b");
    group
        .members
        .get_mut(&primary)
        .unwrap()
        .armed
        .remove(&Timer::DiskSilent);
    group.complete(primary);
    assert!(
        group.members[&primary].armed.contains(&Timer::DiskSilent),
        "it is armed afresh"
    );
    group.complete(primary);
    assert!(!group.members[&primary].armed.contains(&Timer::DiskSilent));
    group.run();
    assert_eq!(group.replica(primary).commit_number(), OpNumber(2));
}

/// A single voter has nobody to hand over to, and waits for its disk.
#[test]
fn a_lone_primary_waits_for_its_disk() {
    let mut group = Group::new(1, 0, Default::default());
    group.run();
    group.slow.insert(node(1));
    group.propose("a");
    group.fire(node(1), Timer::DiskSilent);
    assert!(group.replica(node(1)).is_primary());
    group.slow.clear();
    group.run();
    assert_eq!(group.executed(node(1)), ["a"]);
}

/// Giving up, over and over, is not being heard: the others would wait for it for ever.
#[test]
fn a_primary_that_hands_over_and_hears_nobody_falls_silent() {
    let mut group = Group::of_three();
    let primary = group.primary();
    let demoted = group.membership().demoting(primary);
    assert_eq!(group.reconfigure(demoted), Ok(()));
    group.run_while(|it| !it.members[&primary].armed.contains(&Timer::Transfer));
    assert!(group.replica(primary).is_primary());
    group.cut.insert(primary);
    group.lose_messages();
    for _ in 0..3 {
        group.fire(primary, Timer::Transfer);
        assert!(group.members[&primary].armed.contains(&Timer::QuorumSilent));
        assert!(group.members[&primary].armed.contains(&Timer::Transfer));
    }
    group.fire(primary, Timer::QuorumSilent);
    let mark = group.sent.len();
    group.fire(primary, Timer::Transfer);
    group.fire(primary, Timer::Commit);
    let is_commit = |message: &&&Message| matches!(message, Message::Commit { .. });
    assert_eq!(
        group
            .sent_by(primary, mark)
            .iter()
            .filter(is_commit)
            .count(),
        0
    );
}
