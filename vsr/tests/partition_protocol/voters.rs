//! Changes of voters: learners, joint epochs, and what comes back from before.

use quorate_vsr::partition::{
    ChangeProgress, Effect, MemberStatus, Message, Role, Standing, Timer,
};
use quorate_vsr::{Epoch, Offset};

use crate::stage::*;

/// A has led the epochs of A, B and C, and leads epoch 2, in which A, D and E are to take over.
///
/// Everybody's log ends at 5. Nobody has promised yet.
fn leader_of_a_joint_epoch() -> Actor {
    let mut a = Actor::restarted(A, facts(1, 1, 0), 5, &[(1, 0)]);
    a.assign_change(2, A, (&[A, D, E], &[A, B, C], &[]));
    a.facts_durable();
    a
}

/// The same, open: B and D have promised.
fn open_leader_of_a_joint_epoch() -> Actor {
    let mut a = leader_of_a_joint_epoch();
    a.hear(B, promise(2, 1, 5, &[(1, 0)]));
    a.hear(D, promise(2, 1, 5, &[(1, 0)]));
    let opened = a.facts_durable();
    assert!(opened.contains(&Effect::Opened { epoch: Epoch(2) }));
    a
}

#[test]
fn a_joint_epoch_asks_everybody_and_needs_a_majority_of_both() {
    let mut a = Actor::restarted(A, facts(1, 1, 0), 5, &[(1, 0)]);
    a.assign_change(2, A, (&[A, D, E], &[A, B, C], &[]));
    let asked = a.facts_durable();
    let asked: Vec<_> = messages(&asked).iter().map(|(to, _)| *to).collect();
    assert_eq!(asked, [D, E, B, C]);
    assert_eq!(a.hear(D, promise(2, 1, 5, &[(1, 0)])), []);
    assert_eq!(
        a.hear(E, promise(2, 1, 5, &[(1, 0)])),
        [],
        "the new ones alone"
    );
    let effects = a.hear(C, promise(2, 1, 5, &[(1, 0)]));
    assert_eq!(effects, [Effect::PersistFacts(facts(2, 2, 0))]);

    let mut a = leader_of_a_joint_epoch();
    assert_eq!(a.hear(B, promise(2, 1, 5, &[(1, 0)])), []);
    assert_eq!(
        a.hear(C, promise(2, 1, 5, &[(1, 0)])),
        [],
        "the old ones alone"
    );
}

#[test]
fn a_joint_epoch_commits_what_a_majority_of_both_has() {
    let mut a = open_leader_of_a_joint_epoch();
    a.append(2);
    a.log_durable(7);
    a.hear(D, holds(2, 7));
    assert_eq!(a.replica.high_watermark(), Offset(0));
    a.hear(E, holds(2, 7));
    assert_eq!(a.replica.high_watermark(), Offset(0), "the new ones alone");
    assert!(a.hear(B, holds(2, 6)).contains(&committed(6)));

    let mut a = open_leader_of_a_joint_epoch();
    a.append(2);
    a.log_durable(7);
    a.hear(B, holds(2, 7));
    a.hear(C, holds(2, 7));
    assert_eq!(a.replica.high_watermark(), Offset(0), "the old ones alone");
    assert!(a.hear(E, holds(2, 7)).contains(&committed(7)));
}

#[test]
fn a_leader_that_leaves_counts_for_those_it_leaves() {
    let mut c = Actor::restarted(C, facts(1, 1, 0), 5, &[(1, 0)]);
    c.assign_change(2, C, (&[A, B, D], &[A, B, C], &[]));
    c.facts_durable();
    assert_eq!(
        c.hear(A, promise(2, 1, 5, &[(1, 0)])),
        [],
        "one of the new three"
    );
    c.hear(D, promise(2, 0, 0, &[]));
    c.facts_durable();
    assert!(c.replica.is_open());
    c.append(1);
    c.log_durable(6);
    c.hear(A, holds(2, 6));
    assert_eq!(
        c.replica.high_watermark(),
        Offset(0),
        "its own disk is none of the new"
    );
    assert_eq!(c.replica.change_progress(), None);
    assert!(c.hear(D, holds(2, 6)).contains(&committed(6)));
    assert_eq!(c.replica.change_progress(), Some(ChangeProgress::Adopted));
    // The change is over, and C is out.
    let effects = c.assign_change(3, A, (&[A, B, D], &[], &[]));
    assert!(effects.contains(&Effect::SteppedDown));
    assert_eq!(c.replica.role(), Role::Idle);
    assert!(
        effects.contains(&Effect::PersistFacts(facts(3, 2, 6))),
        "it stays fenced"
    );
}

#[test]
fn a_change_is_adopted_when_a_majority_of_each_has_adopted() {
    let mut a = open_leader_of_a_joint_epoch();
    a.hear(B, Message::Ack(ack(2, 5, 5)));
    a.hear(D, holds(2, 5));
    assert_eq!(
        a.replica.change_progress(),
        None,
        "B has not adopted it yet"
    );
    a.hear(E, holds(2, 5));
    assert_eq!(
        a.replica.change_progress(),
        None,
        "nor with more of the new ones"
    );
    a.hear(B, holds(2, 5));
    assert_eq!(a.replica.change_progress(), Some(ChangeProgress::Adopted));
    // What was committed before is then committed by the new voters as well.
    assert_eq!(a.replica.high_watermark(), Offset(5));
    a.append(1);
    assert_eq!(
        a.replica.change_progress(),
        Some(ChangeProgress::Adopted),
        "and stays so"
    );
}

#[test]
fn a_leader_knows_all_commits_once_a_majority_of_each_has_adopted() {
    assert!(!leader_of_a_joint_epoch().replica.knows_commits());
    let mut a = open_leader_of_a_joint_epoch();
    assert!(!a.replica.knows_commits(), "it is only open");
    a.hear(D, holds(2, 5));
    assert!(!a.replica.knows_commits(), "the new ones alone");
    a.hear(B, holds(2, 5));
    assert!(a.replica.knows_commits());
    assert_eq!(a.replica.high_watermark(), Offset(5));
}

#[test]
fn answers_of_an_earlier_joint_epoch_do_not_count_in_the_next() {
    let mut a = open_leader_of_a_joint_epoch();
    a.hear(B, holds(2, 5));
    a.assign_change(3, A, (&[A, D, E], &[A, B, C], &[]));
    a.facts_durable();
    assert_eq!(a.hear(D, promise(2, 1, 5, &[(1, 0)])), []);
    a.hear(B, promise(3, 2, 5, &[(1, 0)]));
    a.hear(D, promise(3, 1, 5, &[(1, 0)]));
    a.facts_durable();
    assert!(a.replica.is_open());
    for old in [B, D, E] {
        assert_eq!(a.hear(old, holds(2, 5)), []);
    }
    assert_eq!(a.replica.change_progress(), None);
    assert_eq!(a.replica.high_watermark(), Offset(0));
}

#[test]
fn a_new_voter_with_the_newest_log_is_heard_by_the_next_leader() {
    // Epoch 2 was joint; its leader committed up to 9 with B and D, and died.
    let mut c = Actor::restarted(C, facts(1, 1, 0), 5, &[(1, 0)]);
    c.assign_change(3, C, (&[A, D, E], &[A, B, C], &[]));
    c.facts_durable();
    c.hear(B, promise(3, 1, 5, &[(1, 0)]));
    c.hear(E, promise(3, 0, 0, &[]));
    let effects = c.hear(D, promise(3, 2, 9, &[(1, 0), (2, 5)]));
    let (epoch, from) = (Epoch(3), Offset(5));
    assert_eq!(messages(&effects), [(D, &Message::Pull { epoch, from })]);
}

/// A leads epoch 1 of A, B and C, all of whom are well, and D learns.
fn leader_with_a_learner() -> Actor {
    let mut a = Actor::new(A);
    a.assign_change(1, A, (&[A, B, C], &[], &[D]));
    let asked = a.facts_durable();
    assert!(
        !messages(&asked).iter().any(|(to, _)| *to == D),
        "its promise counts for nothing"
    );
    a.hear(B, promise(1, 0, 0, &[]));
    let opened = a.facts_durable();
    assert!(messages(&opened).contains(&(D, &adopt(1, 0, 0, &[]))));
    for voter in [B, C] {
        a.hear(voter, holds(1, 0));
    }
    a
}

#[test]
fn a_learner_gets_the_records_and_counts_for_nothing() {
    let mut a = leader_with_a_learner();
    a.append(3);
    assert_eq!(
        a.hear(D, Message::Ack(ack(1, 0, 0)))[0],
        send_records(D, 1, 0)
    );
    a.send_records(D, 0, 3);
    a.log_durable(3);
    a.hear(D, holds(1, 3));
    assert_eq!(a.replica.high_watermark(), Offset(0));
    assert!(a.hear(B, holds(1, 3)).contains(&committed(3)));
}

#[test]
fn a_promise_of_a_learner_counts_for_nothing() {
    let mut a = Actor::new(A);
    a.assign_change(1, A, (&[A, B, C], &[], &[D]));
    a.facts_durable();
    assert_eq!(a.hear(D, promise(1, 0, 7, &[(1, 0)])), []);
    assert!(
        a.hear(B, promise(1, 0, 0, &[]))
            .contains(&Effect::PersistFacts(facts(1, 1, 0)))
    );
}

#[test]
fn learners_have_caught_up_when_all_have_what_was_committed() {
    let mut a = leader_with_a_learner();
    assert_eq!(a.replica.change_progress(), None);
    a.hear(D, Message::Ack(ack(1, 0, 0)));
    assert_eq!(
        a.replica.change_progress(),
        None,
        "it has not adopted the epoch"
    );
    a.hear(D, holds(1, 0));
    assert_eq!(
        a.replica.change_progress(),
        Some(ChangeProgress::LearnersCaughtUp)
    );
    a.append(3);
    a.log_durable(3);
    a.hear(B, holds(1, 3));
    a.timeout(Timer::Resend);
    assert_eq!(a.replica.change_progress(), None, "it falls behind");
    assert!(
        !a.replica.lagging().any(|node| node == D),
        "only voters are missed"
    );
    let learner = MemberStatus {
        node: D,
        standing: Standing::Learner,
        next_offset: Offset(0),
        in_sync: false,
    };
    assert_eq!(a.replica.member_statuses()[3], learner);
    a.hear(D, holds(1, 3));
    assert_eq!(
        a.replica.change_progress(),
        Some(ChangeProgress::LearnersCaughtUp)
    );
}

#[test]
fn a_learner_follows_and_a_stranger_does_not() {
    let mut d = Actor::new(D);
    d.assign_change(1, A, (&[A, B, C], &[], &[D]));
    assert_eq!(d.replica.role(), Role::Follower);
    d.facts_durable();
    let answers = d.hear(A, adopt(1, 0, 0, &[]));
    assert!(answers.contains(&Effect::PersistFacts(facts(1, 1, 0))));
    assert_eq!(messages(&d.facts_durable()), [(A, &holds(1, 0))]);
    d.assign_change(2, A, (&[A, B, C], &[], &[]));
    assert_eq!(d.replica.role(), Role::Idle);
}

#[test]
fn a_learner_that_is_promoted_half_way_promises_what_it_has() {
    let mut d = Actor::new(D);
    d.assign_change(2, A, (&[A, B, C], &[], &[D]));
    d.facts_durable();
    d.hear(A, adopt(2, 9, 9, &[(1, 0)]));
    let records = |d: &mut Actor, epoch, base, next| d.records_of(A, epoch, 1, base, next);
    assert_eq!(records(&mut d, 2, 0, 4), [Effect::Accept]);
    d.log_durable(4);
    // It holds four of nine when the joint epoch begins, and says so: it is no adopter of epoch 2.
    d.assign_change(3, B, (&[B, C, D], &[A, B, C], &[]));
    d.hear(B, Message::RequestPromise { epoch: Epoch(3) });
    let said = d.facts_durable();
    let Some((B, Message::Promise(promise))) = messages(&said).pop() else {
        panic!("no promise: {said:?}");
    };
    assert_eq!(
        (promise.log_epoch, promise.next_offset),
        (Epoch(0), Offset(4))
    );
    assert_eq!(
        records(&mut d, 2, 4, 9),
        [],
        "what was sent to the learner comes too late"
    );
}

#[test]
fn a_voter_that_comes_back_gives_up_what_the_others_do_not_have() {
    // C led epoch 2, fell out with a tail of its own, was removed in 4, and learns again in 6.
    let mut c = Actor::restarted(C, facts(2, 2, 5), 8, &[(1, 0), (2, 5)]);
    c.assign_change(4, A, (&[A, B, D], &[], &[]));
    c.facts_durable();
    assert_eq!(c.replica.role(), Role::Idle);
    assert_eq!(
        c.hear(B, Message::RequestPromise { epoch: Epoch(3) }),
        [],
        "it is fenced"
    );
    c.assign_change(6, A, (&[A, B, D], &[], &[C]));
    c.hear(A, adopt(6, 20, 20, &[(1, 0), (3, 6)]));
    assert_eq!(c.facts_durable(), [Effect::Truncate { to: Offset(5) }]);
}

#[test]
fn who_has_dropped_its_records_and_promises_obeys_nobody_from_before() {
    let mut c = Actor::new(C);
    c.assign_change(6, A, (&[A, B, D], &[], &[C]));
    let late = Message::RequestPromise { epoch: Epoch(3) };
    assert_eq!(c.hear(B, late), [], "the leader of 3 would count on it");
    assert_eq!(c.replica.role(), Role::Follower);
}

#[test]
fn a_leader_without_a_voice_leads_nothing() {
    let mut d = Actor::new(D);
    d.assign_change(1, D, (&[A, B, C], &[], &[D]));
    assert_eq!(d.replica.role(), Role::Idle);
}
