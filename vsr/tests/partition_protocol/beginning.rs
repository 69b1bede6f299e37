//! Where logs begin: what a leader lets expire, how the others follow, and who begins anew.

use quorate_vsr::partition::{
    Ack, Adopt, Effect, Event, Facts, Message, Promise, RepairWish, Replica, Timer, Unsound,
};
use quorate_vsr::{Epoch, Offset};

use crate::stage::*;

fn begun(facts: Facts, log_start: u64, epoch: u32) -> Facts {
    Facts {
        log_start: Offset(log_start),
        log_start_epoch: Epoch(epoch),
        ..facts
    }
}

fn expire(actor: &mut Actor, before: u64) -> Vec<Effect> {
    let before = Offset(before);
    actor.step(Event::Expire { before })
}

/// The same log, which begins later.
fn expired(log_start: u64, message: Message) -> Message {
    let log_start = Offset(log_start);
    match message {
        Message::Adopt(adopt) => Message::Adopt(Adopt { log_start, ..adopt }),
        Message::Ack(ack) => Message::Ack(Ack { log_start, ..ack }),
        Message::Promise(promise) => Message::Promise(Promise {
            log_start,
            high_watermark: promise.high_watermark.max(log_start),
            ..promise
        }),
        other => other,
    }
}

fn tell(epoch: u32, sent: u64, high_watermark: u64, log_start: u64) -> Message {
    Message::Commit {
        epoch: Epoch(epoch),
        sent: Offset(sent),
        marks: marks(high_watermark, log_start),
    }
}

fn begin_anew(at: u64, epoch: u32) -> Effect {
    Effect::BeginAnew {
        at: Offset(at),
        epoch: Epoch(epoch),
    }
}

fn retire(below: u64) -> Effect {
    let below = Offset(below);
    Effect::Retire { below }
}

/// A leader that has committed ten records with B; C has not heard of any.
fn leader_of_ten() -> Actor {
    let mut a = Actor::leader();
    for next in [4, 10] {
        a.append(if next == 4 { 4 } else { 6 });
        a.send_records(B, if next == 4 { 0 } else { 4 }, next);
        a.log_durable(next);
        a.hear(B, holds(1, next));
    }
    assert_eq!(a.replica.high_watermark(), Offset(10));
    a
}

/// B follows A in epoch 1, has adopted it, and holds ten records that are committed up to 8.
fn follower_of_ten() -> Actor {
    let mut b = Actor::new(B);
    b.hear(A, adopt(1, 0, 0, &[]));
    b.facts_durable();
    b.facts_durable();
    b.records(A, 1, 0, 4, 0);
    b.records(A, 1, 4, 8, 4);
    b.records(A, 1, 8, 10, 8);
    b.log_durable(10);
    assert_eq!(b.replica.high_watermark(), Offset(8));
    b
}

#[test]
fn what_is_old_is_unreadable_at_once_and_removed_only_when_that_is_durable() {
    let mut a = leader_of_ten();
    let effects = expire(&mut a, 4);
    assert!(effects.contains(&Effect::PersistFacts(begun(facts(1, 1, 10), 4, 1))));
    assert!(!effects.contains(&retire(4)));
    assert!(!a.replica.is_readable(Offset(3)));
    assert!(a.replica.is_readable(Offset(4)));
    assert!(a.facts_durable().contains(&retire(4)));
}

#[test]
fn nothing_expires_that_is_not_committed_and_durable_here() {
    let mut a = leader_of_ten();
    a.append(2);
    assert_eq!(expire(&mut a, 12), []);
    a.send_records(B, 10, 12);
    a.hear(B, holds(1, 12));
    assert_eq!(expire(&mut a, 12), [], "two followers could have outrun it");
    let mut b = follower_of_ten();
    assert_eq!(expire(&mut b, 4), [], "who follows does not decide");
}

#[test]
fn a_log_start_never_falls() {
    let mut a = leader_of_ten();
    expire(&mut a, 10);
    assert_eq!(expire(&mut a, 4), []);
    assert_eq!(a.replica.log_start(), Offset(10));
}

#[test]
fn an_idle_leader_tells_it_and_repeats_it_until_it_is_durable_everywhere() {
    let mut a = leader_of_ten();
    a.send_records(C, 0, 10);
    for follower in [B, C] {
        let told = Ack {
            adopted: true,
            high_watermark: Offset(10),
            ..ack(1, 10, 10)
        };
        a.hear(follower, Message::Ack(told));
    }
    a.timeout(Timer::Commit);
    a.timeout(Timer::Resend);
    let effects = expire(&mut a, 4);
    assert!(effects.contains(&Effect::Arm(Timer::Commit)), "{effects:?}");
    let commit = tell(1, 10, 10, 4);
    let effects = a.timeout(Timer::Commit);
    assert_eq!(messages(&effects), [(B, &commit), (C, &commit)]);
    a.timeout(Timer::Resend);
    assert!(messages(&a.timeout(Timer::Resend)).contains(&(B, &commit)));
}

#[test]
fn a_follower_raises_its_own_as_soon_as_it_knows_that_all_below_is_committed() {
    let mut b = follower_of_ten();
    let effects = b.hear(A, tell(1, 10, 9, 9));
    assert!(effects.contains(&committed(9)));
    assert!(effects.contains(&Effect::PersistFacts(begun(facts(1, 1, 9), 9, 1))));
    let effects = b.facts_durable();
    assert!(effects.contains(&retire(9)));
    let told = Message::Ack(Ack {
        adopted: true,
        high_watermark: Offset(9),
        log_start: Offset(9),
        ..ack(1, 10, 10)
    });
    assert_eq!(messages(&effects), [(A, &told)]);
}

#[test]
fn a_follower_does_not_raise_its_own_beyond_its_disk() {
    // It led before, and two others had more of its records on their disks than itself.
    let mut a = Actor::leader();
    a.append(8);
    a.send_records(B, 0, 8);
    a.hear(B, holds(1, 8));
    a.hear(C, holds(1, 8));
    assert_eq!(a.replica.high_watermark(), Offset(8));
    a.hear(B, expired(4, adopt(2, 8, 8, &[(1, 3)])));
    a.facts_durable();
    assert_eq!(a.replica.log_start(), Offset(0));
    a.log_durable(8);
    assert_eq!(a.replica.log_start(), Offset(4));
}

#[test]
fn it_is_settled_once_a_majority_has_it_durably() {
    let mut a = leader_of_ten();
    expire(&mut a, 4);
    assert_eq!(a.replica.settled_log_start(), Some(Offset(0)));
    a.facts_durable();
    assert_eq!(a.replica.settled_log_start(), Some(Offset(0)));
    a.hear(B, expired(4, holds(1, 10)));
    assert_eq!(a.replica.settled_log_start(), Some(Offset(4)));
}

#[test]
fn what_has_expired_for_a_follower_expires_at_the_leader() {
    let mut a = leader_of_ten();
    let effects = a.hear(B, expired(4, holds(1, 10)));
    assert!(effects.contains(&Effect::PersistFacts(begun(facts(1, 1, 10), 4, 1))));
    a.append(2);
    a.hear(B, expired(12, holds(1, 12)));
    assert_eq!(a.replica.log_start(), Offset(4), "not beyond the own disk");
    assert_eq!(a.replica.high_watermark(), Offset(10));
}

#[test]
fn a_follower_that_needs_what_has_expired_is_told_where_the_log_begins() {
    let mut a = leader_of_ten();
    let effects = expire(&mut a, 4);
    let adopt = expired(4, adopt(1, 4, 10, &[(1, 3)]));
    assert_eq!(messages(&effects), [(C, &adopt)]);
    a.timeout(Timer::Resend);
    let effects = a.timeout(Timer::Resend);
    assert!(messages(&effects).contains(&(C, &adopt)), "and told again");
    // It has begun anew, and goes on from there.
    let effects = a.hear(C, expired(4, holds(1, 4)));
    assert!(effects.contains(&send_records(C, 1, 4)));
}

#[test]
fn a_log_that_ends_too_early_begins_anew_at_its_leaders_log_start() {
    let mut c = Actor::restarted(C, facts(1, 1, 2), 3, &[(1, 0)]);
    c.hear(A, expired(6, adopt(2, 9, 8, &[(1, 5), (2, 7)])));
    let effects = c.facts_durable();
    let new = Facts {
        begins_anew: true,
        ..begun(facts(2, 1, 6), 6, 1)
    };
    assert!(effects.contains(&Effect::PersistFacts(new)), "{effects:?}");
    assert!(effects.contains(&committed(6)));
    assert_eq!(messages(&effects), [], "nothing is said of it yet");
    assert_eq!(c.facts_durable(), [begin_anew(6, 1)]);
    assert_eq!(
        c.records(A, 2, 6, 7, 8),
        [],
        "nothing is appended meanwhile"
    );
    let effects = c.step(Event::BegunAnew { at: Offset(6) });
    assert_eq!(effects, [Effect::PersistFacts(new.begun_anew())]);
    assert_eq!(c.records(A, 2, 6, 7, 8), [], "not before that is durable");
    let effects = c.facts_durable();
    let told = Message::Ack(Ack {
        high_watermark: Offset(6),
        log_start: Offset(6),
        rewind: true,
        ..ack(2, 6, 6)
    });
    assert_eq!(messages(&effects), [(A, &told)]);
    let effects = c.records_of(A, 2, 1, 6, 7);
    assert!(effects.contains(&Effect::Accept), "{effects:?}");
}

#[test]
fn a_log_that_parts_where_nothing_can_be_shown_any_more_begins_anew() {
    // What it has from 3 on was written by a leader of epoch 2 that nobody else has heard.
    let mut c = Actor::restarted(C, facts(2, 1, 3), 9, &[(1, 0), (2, 3)]);
    c.hear(A, expired(6, adopt(3, 9, 8, &[(1, 5), (3, 8)])));
    c.facts_durable();
    assert!(c.facts_durable().contains(&begin_anew(6, 1)));
}

#[test]
fn a_log_that_parts_behind_its_leaders_log_start_is_merely_cut() {
    let mut c = Actor::restarted(C, facts(2, 1, 3), 9, &[(1, 0), (2, 8)]);
    c.hear(A, expired(6, adopt(3, 9, 8, &[(1, 5), (3, 8)])));
    let effects = c.facts_durable();
    assert!(
        effects.contains(&Effect::Truncate { to: Offset(8) }),
        "{effects:?}"
    );
}

#[test]
fn an_adopted_follower_that_needs_what_has_expired_begins_anew_as_well() {
    let mut b = follower_of_ten();
    b.hear(A, expired(20, adopt(1, 20, 24, &[(1, 19)])));
    assert!(b.facts_durable().contains(&begin_anew(20, 1)));
    b.step(Event::BegunAnew { at: Offset(20) });
    let effects = b.facts_durable();
    let told = Message::Ack(Ack {
        adopted: true,
        high_watermark: Offset(20),
        log_start: Offset(20),
        rewind: true,
        ..ack(1, 20, 20)
    });
    assert_eq!(messages(&effects), [(A, &told)]);
}

#[test]
fn an_echo_from_before_a_new_beginning_is_no_reason_for_distrust() {
    let mut c = Actor::restarted(C, begun(facts(2, 1, 6), 6, 2), 6, &[]);
    c.assign(2, A);
    assert_eq!(c.hear(A, adopt(2, 3, 3, &[(1, 0)])), []);
    let effects = c.hear(A, expired(6, adopt(2, 9, 8, &[(2, 5)])));
    assert_eq!(messages(&effects).len(), 1, "{effects:?}");
}

#[test]
fn a_loss_is_not_made_good_by_a_new_beginning() {
    // It may have acknowledged whatever the leader had when it was told of the loss.
    let mut b = Actor::restarted(B, facts(1, 1, 2).with_loss(), 2, &[(1, 0)]);
    b.assign(1, A);
    b.hear(A, adopt_after(1, adopt(1, 30, 2, &[(1, 0)])));
    b.hear(A, expired(20, adopt(1, 20, 24, &[(1, 19)])));
    b.facts_durable();
    b.step(Event::BegunAnew { at: Offset(20) });
    b.facts_durable();
    assert!(b.replica.facts().is_uncertain());
    b.records(A, 1, 20, 29, 24);
    b.log_durable(29);
    assert!(b.replica.facts().is_uncertain());
    b.records(A, 1, 29, 30, 24);
    b.log_durable(30);
    assert!(!b.replica.facts().is_uncertain());
}

#[test]
fn what_is_known_to_be_committed_is_not_given_up_for_a_log_that_begins_before() {
    let mut b = follower_of_ten();
    b.assign(2, C);
    b.facts_durable();
    let effects = b.hear(C, expired(6, adopt(2, 9, 8, &[(2, 5)])));
    assert!(
        matches!(effects[..], [Effect::Distrust { from: C, .. }]),
        "{effects:?}"
    );
}

#[test]
fn a_promise_tells_the_log_start_and_waits_until_it_is_durable() {
    let mut b = follower_of_ten();
    b.hear(A, tell(1, 10, 9, 9));
    b.hear(C, Message::RequestPromise { epoch: Epoch(2) });
    let effects = b.facts_durable();
    let promise = expired(9, promise(2, 1, 10, &[(1, 8)]));
    assert_eq!(messages(&effects), [(C, &promise)]);
}

#[test]
fn a_new_leader_begins_where_any_of_its_promises_begins() {
    let mut a = Actor::restarted(A, facts(1, 1, 10), 10, &[(1, 0)]);
    a.assign(2, A);
    a.facts_durable();
    let effects = a.hear(B, expired(6, promise(2, 1, 8, &[(1, 5)])));
    let adopted = begun(facts(2, 2, 10), 6, 1);
    assert!(
        effects.contains(&Effect::PersistFacts(adopted)),
        "{effects:?}"
    );
    let effects = a.facts_durable();
    assert!(effects.contains(&Effect::Opened { epoch: Epoch(2) }));
    let adopt = expired(6, adopt(2, 10, 10, &[(1, 5)]));
    assert_eq!(messages(&effects), [(B, &adopt), (C, &adopt)]);
}

#[test]
fn a_new_leader_that_lacks_what_has_expired_begins_anew_and_fetches_the_rest() {
    let mut a = Actor::restarted(A, facts(1, 1, 3), 3, &[(1, 0)]);
    a.assign(2, A);
    a.facts_durable();
    a.hear(B, expired(6, promise(2, 1, 8, &[(1, 5)])));
    assert_eq!(a.facts_durable(), [begin_anew(6, 1)]);
    a.step(Event::BegunAnew { at: Offset(6) });
    let effects = a.facts_durable();
    let (epoch, from) = (Epoch(2), Offset(6));
    let pull = Message::Pull { epoch, from };
    assert!(messages(&effects).contains(&(B, &pull)), "{effects:?}");
}

#[test]
fn damage_below_the_log_start_is_forgotten() {
    let mut b = follower_of_ten();
    let damaged = |from, to| Event::Damaged {
        from: Offset(from),
        to: Offset(to),
    };
    b.step(damaged(0, 8));
    b.hear(A, tell(1, 10, 8, 4));
    assert_eq!(b.replica.damaged(), [(Offset(4), Offset(8))]);
    b.step(damaged(0, 4));
    assert_eq!(b.replica.damaged(), [(Offset(4), Offset(8))]);
}

#[test]
fn what_has_expired_is_sent_to_nobody() {
    let mut a = leader_of_ten();
    expire(&mut a, 4);
    let ask = |from, to| Message::RequestRepair {
        epoch: Epoch(1),
        from: Offset(from),
        to: Offset(to),
        compacted: Offset(0),
    };
    assert_eq!(a.hear(B, ask(0, 8)), []);
    let wish = RepairWish {
        from: Offset(4),
        until: Offset(8),
        compacted: Offset(0),
    };
    assert_eq!(a.hear(B, ask(4, 8)), [Effect::SendRepair { to: B, wish }]);
    assert_eq!(a.replica.records_head(C, Epoch(1), Offset(0)), None);
}

#[test]
fn a_log_that_does_not_begin_where_the_facts_say_is_refused() {
    let new = |next, starts: &[(u32, u64)]| {
        let facts = begun(facts(3, 3, 6), 6, 2);
        Replica::new(A, facts, Offset(next), history(starts))
    };
    assert!(new(6, &[]).is_ok());
    assert!(new(9, &[(2, 0), (3, 7)]).is_ok());
    assert!(new(9, &[(3, 6)]).is_ok_and(|it| it.history().starts().len() == 2));
    let other = Err(Unsound::OtherBeginning {
        log_start: Offset(6),
        epoch: Epoch(2),
    });
    assert_eq!(new(5, &[(2, 0)]).map(drop), other);
    assert_eq!(new(9, &[(1, 0)]).map(drop), other);
}
