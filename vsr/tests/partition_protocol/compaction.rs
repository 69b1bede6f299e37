//! How far a log is compacted: claimed by each, told by the leader.

use quorate_vsr::partition::{Ack, Effect, Event, Marks, Message, RepairWish, Timer};
use quorate_vsr::{Epoch, NodeId, Offset};

use crate::stage::*;

fn compacted(to: u64) -> Event {
    Event::Compacted { to: Offset(to) }
}

/// A leads epoch 1; all have 0..10, and 8 of that is committed as far as A knows.
fn leader_of_ten() -> Actor {
    let mut a = Actor::leader();
    a.append(8);
    a.log_durable(8);
    for follower in [B, C] {
        a.send_records(follower, 0, 8);
        a.hear(follower, claims(8, 0, 0));
    }
    a
}

/// A follower that has adopted epoch 1 and holds everything below `durable` claims this much.
fn claims(durable: u64, compacted: u64, losses: u32) -> Message {
    Message::Ack(Ack {
        adopted: true,
        high_watermark: Offset(durable),
        compacted: Offset(compacted),
        losses,
        ..ack(1, durable, durable)
    })
}

fn claim(actor: &mut Actor, to: u64) {
    actor.step(compacted(to));
    actor.facts_durable();
}

fn everywhere(actor: &Actor) -> u64 {
    actor.replica.compacted_everywhere().0
}

/// B follows A in epoch 2 and holds 0..12, of which everything below 9 is committed.
fn follower() -> Actor {
    let mut b = Actor::restarted(B, facts(2, 2, 9), 12, &[(1, 0), (2, 5)]);
    b.assign(2, A);
    b
}

fn damaged(from: u64, to: u64) -> Event {
    let (from, to) = (Offset(from), Offset(to));
    Event::Damaged { from, to }
}

#[test]
fn the_least_of_all_claims_is_told() {
    let mut a = leader_of_ten();
    claim(&mut a, 7);
    a.hear(B, claims(8, 5, 0));
    assert_eq!(everywhere(&a), 0, "C has claimed nothing");
    let effects = a.hear(C, claims(8, 6, 0));
    assert_eq!(everywhere(&a), 5);
    assert!(
        effects.contains(&Effect::Arm(Timer::Commit)),
        "nothing else carries it"
    );
    let effects = a.timeout(Timer::Commit);
    let told = Message::Commit {
        epoch: Epoch(1),
        sent: Offset(8),
        marks: Marks {
            compacted_everywhere: Offset(5),
            ..marks(8, 0)
        },
    };
    assert_eq!(messages(&effects), [(B, &told), (C, &told)]);
    a.append(1);
    let head = a.replica.records_head(B, Epoch(1), Offset(8)).unwrap();
    assert_eq!(head.marks.compacted_everywhere, Offset(5));
}

#[test]
fn who_has_no_vote_counts_as_well() {
    let mut a = Actor::new(A);
    a.assign_change(1, A, (&[A], &[], &[D]));
    a.facts_durable();
    a.facts_durable();
    a.hear(D, claims(0, 0, 0));
    a.append(4);
    a.log_durable(4);
    claim(&mut a, 4);
    assert_eq!(everywhere(&a), 0);
    a.send_records(D, 0, 4);
    a.hear(D, claims(4, 3, 0));
    assert_eq!(everywhere(&a), 3);
}

#[test]
fn a_claim_is_durable_before_it_is_told() {
    let mut b = follower();
    let effects = b.step(compacted(6));
    assert_eq!(messages(&effects), []);
    let effects = b.facts_durable();
    let [(A, Message::Ack(told))] = messages(&effects)[..] else {
        panic!("{effects:?}");
    };
    assert_eq!((told.compacted, told.losses), (Offset(6), 0));
    // It is said again for as long as the leader does not seem to know.
    assert_eq!(messages(&b.step(compacted(6))).len(), 1);
    b.hear(A, told_everywhere(6));
    assert_eq!(everywhere(&b), 6);
    assert_eq!(b.step(compacted(6)), []);
}

fn told_everywhere(compacted_everywhere: u64) -> Message {
    Message::Commit {
        epoch: Epoch(2),
        sent: Offset(12),
        marks: Marks {
            compacted_everywhere: Offset(compacted_everywhere),
            ..marks(9, 0)
        },
    }
}

#[test]
fn nothing_is_claimed_of_what_is_not_committed_or_not_sound() {
    let mut b = follower();
    b.step(compacted(12));
    assert_eq!(b.replica.facts().compacted, Offset(9));
    let mut b = follower();
    b.step(damaged(3, 4));
    b.step(compacted(8));
    assert_eq!(b.replica.facts().compacted, Offset(3));
}

#[test]
fn a_claim_outlives_a_restart_and_no_loss() {
    let mut facts = facts(2, 2, 9);
    facts.compacted = Offset(7);
    let log = [(1, 0), (2, 5)];
    let mut b = Actor::restarted(B, facts, 12, &log);
    let effects = b.assign(2, A);
    assert_eq!(effects, []);
    assert_eq!(b.replica.facts().compacted, Offset(7));
    let lost = facts.with_loss();
    assert_eq!(lost.compacted, Offset(0));
    let mut b = Actor::restarted(B, lost, 4, &[(1, 0)]);
    b.assign(2, A);
    assert_eq!(
        b.step(compacted(4)),
        [],
        "not while something may be missing"
    );
    assert_eq!(b.replica.facts().compacted, Offset(0));
}

#[test]
fn a_claim_from_before_a_loss_is_void() {
    let mut a = leader_of_ten();
    claim(&mut a, 8);
    a.hear(C, claims(8, 8, 0));
    let lost = Message::Lost {
        epoch: Epoch(1),
        loss: 1,
    };
    a.hear(B, lost);
    a.hear(B, claims(8, 8, 0));
    assert_eq!(everywhere(&a), 0, "it was said before");
    a.hear(B, claims(8, 2, 1));
    assert_eq!(everywhere(&a), 2);
}

fn repair(compacted: u64) -> Event {
    Event::Repair {
        base_offset: Offset(3),
        next_offset: Offset(5),
        epochs: vec![(Epoch(1), Offset(3))],
        compacted: Offset(compacted),
    }
}

#[test]
fn what_is_repaired_comes_from_who_has_compacted_as_much() {
    let mut b = follower();
    claim(&mut b, 6);
    let effects = b.step(damaged(3, 5));
    let ask = Message::RequestRepair {
        epoch: Epoch(2),
        from: Offset(3),
        to: Offset(5),
        compacted: Offset(6),
    };
    assert_eq!(messages(&effects), [(A, &ask)]);
    assert_eq!(b.step(repair(5)), [], "it would bring back what is gone");
    assert_eq!(b.step(repair(6)), [Effect::Rewrite]);
    // Nothing is gone yet where nothing is claimed.
    let mut b = follower();
    claim(&mut b, 3);
    b.step(damaged(3, 5));
    assert_eq!(b.step(repair(0)), [Effect::Rewrite]);
}

#[test]
fn who_has_compacted_less_does_so_before_it_helps() {
    let mut b = follower();
    let ask = |compacted| Message::RequestRepair {
        epoch: Epoch(2),
        from: Offset(3),
        to: Offset(5),
        compacted: Offset(compacted),
    };
    let serve = |compacted| Effect::SendRepair {
        to: C,
        wish: RepairWish {
            from: Offset(3),
            until: Offset(5),
            compacted: Offset(compacted),
        },
    };
    assert_eq!(b.hear(C, ask(3)), [serve(0)], "it is not about that");
    assert_eq!(b.hear(C, ask(6)), [Effect::Compact { to: Offset(6) }]);
    b.step(compacted(6));
    assert_eq!(
        b.hear(C, ask(6)),
        [Effect::Compact { to: Offset(6) }],
        "not before it is durable"
    );
    b.facts_durable();
    assert_eq!(b.hear(C, ask(6)), [serve(6)]);
    assert_eq!(b.replica.epoch(), Epoch(2));
}

#[test]
fn a_stranger_claims_in_vain() {
    let mut a = leader_of_ten();
    claim(&mut a, 8);
    for follower in [B, C, NodeId(9)] {
        a.hear(follower, claims(8, 4, 0));
    }
    assert_eq!(everywhere(&a), 4);
}
