//! Disks that may have lost the end of a log: what the others make of it, and how it heals.

use quorate_vsr::partition::{Ack, Effect, Facts, Message, Role, Timer, Undecided};
use quorate_vsr::{Epoch, Offset};

use crate::stage::*;

/// A is to lead epoch 2; its log ends at 5, and may once have been longer.
fn uncertain_leader() -> Actor {
    let facts = facts(1, 1, 0).with_loss();
    let mut a = Actor::restarted(A, facts, 5, &[(1, 0)]);
    a.assign(2, A);
    a.facts_durable();
    a
}

/// B had adopted A's epoch 1 and was at least at 9. Its log ends at 5 now, and it is told of A.
fn bereft_follower() -> Actor {
    let facts = facts(1, 1, 0).with_loss();
    Actor::restarted(B, facts, 5, &[(1, 0)])
}

fn lost(loss: u32) -> Message {
    let epoch = Epoch(1);
    Message::Lost { epoch, loss }
}

#[test]
fn a_promise_says_that_the_log_is_uncertain() {
    let mut b = bereft_follower();
    b.hear(C, Message::RequestPromise { epoch: Epoch(2) });
    let effects = b.facts_durable();
    assert_eq!(messages(&effects), [(C, &uncertain(2, 1, 5, &[(1, 0)]))]);
}

#[test]
fn an_uncertain_leader_and_one_follower_wait_for_the_third() {
    let mut a = uncertain_leader();
    assert_eq!(a.hear(B, promise(2, 1, 3, &[(1, 0)])), []);
    assert_eq!(a.replica.undecided(), Some(Undecided::Uncertain));
    // They are asked again, until somebody tells.
    let asked = a.timeout(Timer::Resend);
    let ask = Message::RequestPromise { epoch: Epoch(2) };
    assert_eq!(messages(&asked), [(C, &ask)]);
    // C has what A has lost.
    let effects = a.hear(C, promise(2, 1, 8, &[(1, 0)]));
    let (epoch, from) = (Epoch(2), Offset(5));
    assert_eq!(messages(&effects), [(C, &Message::Pull { epoch, from })]);
    assert_eq!(a.replica.undecided(), None);
}

#[test]
fn what_an_uncertain_leader_shows_is_given_up_when_nobody_else_has_it() {
    let mut a = uncertain_leader();
    a.hear(B, promise(2, 1, 3, &[(1, 0)]));
    let effects = a.hear(C, promise(2, 1, 3, &[(1, 0)]));
    assert_eq!(effects, [Effect::Truncate { to: Offset(3) }]);
}

#[test]
fn a_leader_is_certain_again_once_its_adoption_is_durable() {
    let mut a = uncertain_leader();
    a.hear(B, promise(2, 1, 5, &[(1, 0)]));
    let effects = a.hear(C, promise(2, 1, 5, &[(1, 0)]));
    let healed = Facts {
        losses: 1,
        healed: 1,
        ..facts(2, 2, 0)
    };
    assert_eq!(effects, [Effect::PersistFacts(healed)]);
    assert!(!a.replica.is_open());
    assert!(
        a.facts_durable()
            .contains(&Effect::Opened { epoch: Epoch(2) })
    );
}

#[test]
fn what_was_committed_is_known_even_if_it_is_lost() {
    // Everything below 7 had been committed, and the log ends at 5.
    let lost = facts(1, 1, 7).with_loss();
    let mut a = Actor::restarted(A, lost, 5, &[(1, 0)]);
    assert_eq!(
        a.replica.high_watermark(),
        Offset(5),
        "readers see what is there"
    );
    a.assign(2, A);
    a.facts_durable();
    a.hear(B, promise(2, 1, 5, &[(1, 0)]));
    assert_eq!(a.hear(C, promise(2, 1, 5, &[(1, 0)])), []);
    assert_eq!(a.replica.undecided(), Some(Undecided::CommitsMissing));
}

#[test]
fn an_uncertain_voter_is_not_taken_for_one_that_has_nothing() {
    let mut a = Actor::restarted(A, facts(1, 1, 0), 3, &[(1, 0)]);
    a.assign(2, A);
    a.facts_durable();
    assert_eq!(a.hear(B, uncertain(2, 1, 3, &[(1, 0)])), []);
    let effects = a.hear(C, promise(2, 1, 3, &[(1, 0)]));
    assert_eq!(effects, [Effect::PersistFacts(facts(2, 2, 0))]);
}

#[test]
fn an_uncertain_voter_is_never_the_source() {
    let mut a = Actor::restarted(A, facts(1, 1, 0), 3, &[(1, 0)]);
    a.assign(2, A);
    a.facts_durable();
    a.hear(B, uncertain(2, 1, 9, &[(1, 0)]));
    let effects = a.hear(C, promise(2, 1, 4, &[(1, 0)]));
    let (epoch, from) = (Epoch(2), Offset(3));
    assert_eq!(messages(&effects), [(C, &Message::Pull { epoch, from })]);
}

#[test]
fn a_source_that_becomes_uncertain_is_asked_anew() {
    let mut a = Actor::restarted(A, facts(1, 1, 0), 3, &[(1, 0)]);
    a.assign(2, A);
    a.facts_durable();
    a.hear(B, promise(2, 1, 9, &[(1, 0)]));
    assert_eq!(
        a.records_of(B, 2, 1, 3, 6),
        [
            Effect::Accept,
            Effect::Send {
                to: B,
                message: Message::Pull {
                    epoch: Epoch(2),
                    from: Offset(6),
                },
            },
            Effect::Arm(Timer::Resend),
        ]
    );
    a.log_durable(6);
    // B is restarted, and has lost what it had promised to have.
    a.timeout(Timer::Resend);
    assert_eq!(a.hear(B, uncertain(2, 1, 6, &[(1, 0)])), []);
    assert_eq!(a.replica.undecided(), Some(Undecided::Uncertain));
    let effects = a.hear(C, promise(2, 1, 2, &[(1, 0)]));
    assert_eq!(
        effects,
        [Effect::PersistFacts(facts(2, 2, 0))],
        "what B alone had was never committed"
    );
}

#[test]
fn a_follower_heals_by_what_the_next_leader_opens_with() {
    let mut b = bereft_follower();
    b.assign(2, C);
    b.facts_durable();
    b.hear(C, adopt(2, 8, 0, &[(1, 0)]));
    b.records_of(C, 2, 1, 5, 8);
    let effects = b.log_durable(8);
    let healed = Facts {
        losses: 1,
        healed: 1,
        ..facts(2, 2, 0)
    };
    assert!(effects.contains(&Effect::PersistFacts(healed)));
    let whole = after(1, holds(2, 8));
    assert_eq!(messages(&b.facts_durable()), [(C, &whole)]);
}

#[test]
fn a_follower_that_lost_what_it_acknowledged_asks_how_far_it_was() {
    let mut b = bereft_follower();
    let effects = b.assign(1, A);
    assert_eq!(messages(&effects), [(A, &lost(1))]);
    assert_eq!(effects[1], Effect::Arm(Timer::Repair));
    assert_eq!(b.records(A, 1, 5, 6, 0), [], "it might stop short of it");
    let again = b.timeout(Timer::Repair);
    assert_eq!(messages(&again), [(A, &lost(1))], "until it is heard");

    let effects = b.hear(A, adopt_after(1, adopt(1, 9, 0, &[(1, 0)])));
    let mut answer = ack(1, 5, 5);
    (answer.rewind, answer.losses) = (true, 1);
    assert_eq!(
        messages(&effects),
        [(A, &Message::Ack(answer))],
        "not adopted any more"
    );
    b.records(A, 1, 5, 8, 0);
    let answer = after(1, Message::Ack(ack(1, 8, 8)));
    assert_eq!(messages(&b.log_durable(8)), [(A, &answer)]);
    b.records(A, 1, 8, 9, 0);
    let effects = b.log_durable(9);
    let healed = Facts {
        losses: 1,
        healed: 1,
        ..facts(1, 1, 0)
    };
    assert!(effects.contains(&Effect::PersistFacts(healed)));
    let whole = after(1, holds(1, 9));
    assert_eq!(messages(&b.facts_durable()), [(A, &whole)]);
}

#[test]
fn an_answer_to_an_earlier_loss_is_not_believed() {
    let mut facts = facts(1, 1, 0).with_loss();
    facts.healed = facts.losses;
    let mut b = Actor::restarted(B, facts.with_loss(), 5, &[(1, 0)]);
    b.assign(1, A);
    assert_eq!(b.hear(A, adopt(1, 0, 0, &[])), [], "the opening");
    assert_eq!(
        b.hear(A, adopt_after(1, adopt(1, 5, 0, &[(1, 0)]))),
        [],
        "an echo from after its first loss"
    );
    let effects = b.hear(A, adopt_after(2, adopt(1, 9, 0, &[(1, 0)])));
    assert_eq!(messages(&effects).len(), 1);
}

#[test]
fn a_follower_that_heals_repeats_what_it_lacks() {
    let mut b = bereft_follower();
    b.assign(1, A);
    b.hear(A, adopt_after(1, adopt(1, 9, 0, &[(1, 0)])));
    let effects = b.timeout(Timer::Repair);
    let mut answer = ack(1, 5, 5);
    (answer.rewind, answer.losses) = (true, 1);
    assert_eq!(messages(&effects), [(A, &Message::Ack(answer))]);
    assert!(effects.contains(&Effect::Arm(Timer::Repair)));
    b.records(A, 1, 5, 9, 0);
    b.log_durable(9);
    b.facts_durable();
    assert_eq!(b.timeout(Timer::Repair), [], "nothing is awaited any more");
}

#[test]
fn an_open_leader_tells_how_far_it_is_and_sends_again() {
    let mut a = Actor::leader();
    a.append(5);
    a.send_records(B, 0, 5);
    a.log_durable(5);
    assert!(a.hear(B, holds(1, 5)).contains(&committed(5)));
    a.append(2);
    let effects = a.hear(B, lost(1));
    let answer = adopt_after(1, adopt(1, 7, 5, &[(1, 0)]));
    assert_eq!(messages(&effects), [(B, &answer)]);
    // B has kept two of five.
    let effects = a.hear(
        B,
        Message::Ack(Ack {
            rewind: true,
            ..ack(1, 2, 2)
        }),
    );
    assert!(effects.contains(&send_records(B, 1, 2)));
    assert_eq!(a.replica.high_watermark(), Offset(5), "and stays there");
    a.log_durable(7);
    a.hear(B, Message::Ack(ack(1, 7, 7)));
    assert_eq!(a.replica.high_watermark(), Offset(5), "B is not whole yet");
    assert!(a.hear(B, holds(1, 7)).contains(&committed(7)));
}

#[test]
fn a_log_that_is_too_short_is_believed_only_if_it_says_so() {
    let (short, log) = (facts(3, 3, 9), history(&[(3, 0)]));
    let new = |facts| quorate_vsr::partition::Replica::new(A, facts, Offset(8), log.clone());
    assert!(new(short).is_err());
    assert!(new(short.with_loss()).is_ok_and(|replica| replica.role() == Role::Idle));
}

/// The same, of a follower that has had so many losses.
fn after(losses: u32, answer: Message) -> Message {
    match answer {
        Message::Ack(ack) => Message::Ack(Ack { losses, ..ack }),
        other => other,
    }
}
