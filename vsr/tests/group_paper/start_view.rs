//! Section 4.2, steps 3 to 5: the new primary takes over, and the others follow it.

use quorate_vsr::group::{Effect, Limits, Message, Status};
use quorate_vsr::{NodeId, OpNumber};

use crate::group::Group;

/// The primary is gone; the others are asked to go on, but not yet delivered to.
fn without_primary(group: &mut Group) -> NodeId {
    let dead = group.primary();
    group.crash(dead);
    group.lose_messages();
    dead
}

/// "When the new primary receives f + 1 DOVIEWCHANGE messages from *different* replicas (including
/// itself)": one that says it twice is one.
#[test]
fn a_promise_that_arrives_twice_counts_once() {
    let mut group = Group::new(5, 0, Limits::default());
    group.run();
    let dead = without_primary(&mut group);
    let mut alive = group.members.keys().copied().filter(|node| *node != dead);
    let (primary, second) = (alive.next().unwrap(), alive.next().unwrap());
    let others: Vec<_> = alive.collect();
    // They enter the view, and cannot promise anything before their disks answer.
    group.slow.extend(&others);
    group.change_view();
    assert_eq!(group.replica(primary).view().primary(), primary);
    for _ in 0..4 {
        group.settle();
    }
    let is_promise = |message: &&Message| matches!(message, Message::DoViewChange { .. });
    let promises = group
        .sent_by(second, 0)
        .into_iter()
        .filter(is_promise)
        .count();
    assert!(promises > 3, "{promises} promises of one voter");
    assert!(
        !group.replica(primary).is_primary(),
        "two of five are no majority"
    );
    group.slow.remove(&others[0]);
    group.settle();
    assert!(group.replica(primary).is_primary(), "three of five are one");
}

/// "It sets its commit-number to the largest such number it received in the DOVIEWCHANGE messages."
#[test]
fn new_primary_knows_every_commit_that_a_voter_knew() {
    let mut group = Group::of_three();
    let (old, backups) = (group.primary(), group.backups());
    group.propose("a");
    group.run();
    group.propose("b");
    group.run();
    assert_eq!(group.replica(backups[1]).commit_number(), OpNumber(2));
    let dead = without_primary(&mut group);
    assert_eq!(dead, old);
    group.change_view();
    let primary = group.primary();
    assert_eq!(group.replica(primary).commit_number(), OpNumber(2));
}

/// "The new primary starts accepting client requests. It also executes (in order) any committed
/// operations that it hadn't executed previously, updates its client table, and sends the replies
/// to the clients."
#[test]
fn new_primary_replies_to_what_the_old_one_left_unanswered() {
    let mut group = Group::of_three();
    let session = group.register(7);
    let (old, backups) = (group.primary(), group.backups());
    // The backups have it on stable storage, and nobody hears of that any more.
    group.request(7, session, 1, "a");
    group.cut.insert(old);
    let mark = group.sent.len();
    let prepares: Vec<_> = group.sent[..mark]
        .iter()
        .filter(|(from, _, message)| *from == old && matches!(message, Message::Prepare { .. }))
        .cloned()
        .collect();
    let last = prepares.iter().rev().take(2);
    for (_, to, message) in last.cloned().collect::<Vec<_>>() {
        group.hear(old, to, message);
    }
    group.run();
    assert_eq!(group.executed(backups[0]), [""; 0]);
    group.change_view();
    group.settle();
    let primary = group.primary_beside(old);
    assert_eq!(group.executed(primary), ["a"]);
    assert!(group.answers(primary).iter().any(|answer| matches!(
        answer,
        Effect::Reply { client: 7, request_number: 1, reply } if reply == b"did a"
    )));
}

/// "If there are non-committed operations in the log, they send a <PREPAREOK v, n, i> message to
/// the primary; here n is the op-number."
#[test]
fn followers_of_the_new_view_acknowledge_its_log() {
    let mut group = Group::of_three();
    let old = group.primary();
    group.propose("a");
    group.run();
    group.crash(old);
    group.lose_messages();
    let mark = group.sent.len();
    group.change_view();
    let primary = group.primary();
    let view = group.replica(primary).view();
    let follower = group.backups().into_iter().find(|node| *node != old);
    let sent = group.sent_by(follower.expect("three voters"), mark);
    let acknowledges = |message: &&Message| {
        **message
            == Message::PrepareOk {
                round: 0,
                view,
                op: OpNumber(1),
            }
    };
    assert!(sent.into_iter().any(|message| acknowledges(&message)));
}

/// "Status view-change: a replica does not take part in normal processing while a view change is in
/// progress."
#[test]
fn nothing_is_prepared_or_acknowledged_during_a_view_change() {
    let mut group = Group::of_three();
    let (old, backups) = (group.primary(), group.backups());
    group.slow.extend(&backups);
    group.cut.insert(old);
    group.change_view();
    for backup in &backups {
        assert_eq!(group.replica(*backup).status(), Status::ViewChange);
    }
    let mark = group.sent.len();
    group.cut.clear();
    group.propose_at(old, "late");
    group.run();
    for backup in &backups {
        let sent = group.sent_by(*backup, mark);
        assert!(
            !sent
                .iter()
                .any(|message| matches!(message, Message::PrepareOk { .. }))
        );
        assert_eq!(group.replica(*backup).op_number(), OpNumber(0));
        group.propose_at(*backup, "not me");
        assert_eq!(group.replica(*backup).op_number(), OpNumber(0));
    }
}
