//! Damaged records: fetched from peers where they are committed, given up where they are not.

use quorate_vsr::partition::{Effect, Event, Facts, Message, RepairWish, Timer};
use quorate_vsr::{Epoch, NodeId, Offset};

use crate::stage::*;

/// B follows A in epoch 2. It holds 0..12, of epoch 1 up to 5, and everything below 9 is committed.
fn follower() -> Actor {
    let mut b = Actor::restarted(B, facts(2, 2, 9), 12, &[(1, 0), (2, 5)]);
    b.assign(2, A);
    b
}

fn damaged(from: u64, to: u64) -> Event {
    let (from, to) = (Offset(from), Offset(to));
    Event::Damaged { from, to }
}

fn repaired(from: u64, to: u64) -> Event {
    let (from, to) = (Offset(from), Offset(to));
    Event::Repaired { from, to }
}

fn repair(epochs: &[(u32, u64)], next: u64) -> Event {
    let epochs = epochs
        .iter()
        .map(|&(epoch, base)| (Epoch(epoch), Offset(base)));
    Event::Repair {
        base_offset: Offset(epochs.clone().next().map_or(0, |first| first.1.0)),
        next_offset: Offset(next),
        epochs: epochs.collect(),
        compacted: Offset(0),
    }
}

fn ask(to: NodeId, from: u64, until: u64) -> Effect {
    Effect::Send {
        to,
        message: Message::RequestRepair {
            epoch: Epoch(2),
            from: Offset(from),
            to: Offset(until),
            compacted: Offset(0),
        },
    }
}

#[test]
fn a_damaged_range_is_asked_for_and_put_in_its_place() {
    let mut b = follower();
    let effects = b.step(damaged(3, 7));
    assert_eq!(effects, [ask(A, 3, 7), Effect::Arm(Timer::Repair)]);
    assert_eq!(
        b.replica.damage_behind(Offset(0)),
        Some((Offset(3), Offset(7)))
    );
    assert_eq!(b.step(repair(&[(1, 3), (2, 5)], 7)), [Effect::Rewrite]);
    assert!(
        !b.replica.is_readable(Offset(3)),
        "not before it is on disk"
    );
    assert_eq!(b.step(repaired(3, 7)), []);
    assert!(b.replica.is_readable(Offset(3)));
    assert_eq!(b.replica.damaged(), []);
    assert_eq!(b.timeout(Timer::Repair), [], "nothing is awaited any more");
}

#[test]
fn only_what_is_committed_and_sound_can_be_read() {
    let mut b = follower();
    b.step(damaged(3, 7));
    let readable: Vec<u64> = (0..12)
        .filter(|at| b.replica.is_readable(Offset(*at)))
        .collect();
    assert_eq!(readable, [0, 1, 2, 7, 8]);
}

#[test]
fn peers_are_asked_one_after_the_other() {
    let mut b = follower();
    b.step(damaged(3, 7));
    for peer in [C, A, C] {
        let effects = b.timeout(Timer::Repair);
        assert_eq!(effects, [ask(peer, 3, 7), Effect::Arm(Timer::Repair)]);
    }
}

#[test]
fn a_range_that_nobody_has_keeps_no_other_one_waiting() {
    let mut b = follower();
    b.step(damaged(1, 2));
    b.step(damaged(6, 7));
    let turns = [(C, 1), (A, 6), (C, 6), (A, 1), (C, 1)];
    for (peer, from) in turns {
        let effects = b.timeout(Timer::Repair);
        assert_eq!(
            effects,
            [ask(peer, from, from + 1), Effect::Arm(Timer::Repair)]
        );
    }
    // It is their turn again, and the second one is there after all.
    b.timeout(Timer::Repair);
    assert_eq!(b.step(repair(&[(2, 6)], 7)), [Effect::Rewrite]);
    assert_eq!(b.step(repaired(6, 7)), [ask(A, 1, 2)]);
}

#[test]
fn a_repair_in_pieces_stays_with_the_peer_that_answers() {
    let mut b = follower();
    b.step(damaged(3, 7));
    b.timeout(Timer::Repair);
    assert_eq!(b.step(repair(&[(1, 3)], 5)), [Effect::Rewrite]);
    assert_eq!(b.step(repaired(3, 5)), [ask(C, 5, 7)]);
    assert_eq!(b.step(repair(&[(2, 5)], 7)), [Effect::Rewrite]);
    b.step(repaired(5, 7));
    assert_eq!(b.replica.damaged(), []);
}

#[test]
fn several_ranges_are_repaired_in_order() {
    let mut b = follower();
    b.step(damaged(6, 7));
    b.step(damaged(1, 2));
    // What was asked first may well be answered first.
    assert_eq!(b.step(repair(&[(2, 6)], 7)), [Effect::Rewrite]);
    assert_eq!(b.step(repaired(6, 7)), [ask(A, 1, 2)]);
}

#[test]
fn records_that_do_not_belong_there_are_dropped() {
    let mut b = follower();
    b.step(damaged(3, 7));
    for (wrong, why) in [
        (repair(&[(1, 3), (2, 6)], 7), "epoch 1 ends at 5"),
        (repair(&[(2, 3)], 7), "of another epoch"),
        (repair(&[(1, 4)], 5), "not where the damage begins"),
        (repair(&[(1, 3), (2, 5)], 8), "more than is damaged"),
        (repair(&[(1, 0)], 3), "what is sound"),
        (repair(&[(1, 3), (1, 3)], 5), "twice the same place"),
        (repair(&[(1, 3)], 3), "nothing"),
        (repair(&[], 5), "nothing at all"),
    ] {
        assert_eq!(b.step(wrong), [], "{why}");
    }
    assert_eq!(b.step(repair(&[(1, 3), (2, 5)], 7)), [Effect::Rewrite]);
}

#[test]
fn an_echo_of_a_repair_changes_nothing() {
    let mut b = follower();
    b.step(damaged(3, 7));
    let answer = || repair(&[(1, 3), (2, 5)], 7);
    assert_eq!(b.step(answer()), [Effect::Rewrite]);
    b.step(damaged(3, 5));
    assert_eq!(b.step(answer()), [], "while it is being written");
    b.step(repaired(3, 7));
    let before = b.replica.clone();
    assert_eq!(b.step(answer()), [], "when nothing is damaged");
    assert_eq!(b.replica, before);
    b.step(damaged(2, 4));
    assert_eq!(b.step(answer()), [], "when something else is damaged");
}

#[test]
fn an_echo_after_the_log_was_cut_finds_no_place() {
    // B was restarted with less than it had; the range lies behind its log by now.
    let mut b = Actor::restarted(B, facts(2, 2, 9).with_loss(), 4, &[(1, 0)]);
    b.assign(2, A);
    assert_eq!(b.step(repair(&[(2, 5)], 7)), []);
    b.step(damaged(3, 7));
    assert_eq!(
        b.replica.damaged(),
        [(Offset(3), Offset(4))],
        "there is no more"
    );
    assert_eq!(b.step(repair(&[(1, 3), (2, 5)], 7)), []);
}

#[test]
fn records_that_do_not_fit_are_asked_for_again() {
    let mut b = follower();
    b.step(damaged(3, 7));
    b.step(repair(&[(1, 3), (2, 5)], 7));
    assert_eq!(b.step(repaired(3, 3)), [], "nothing was written");
    assert_eq!(b.timeout(Timer::Repair)[0], ask(C, 3, 7));
    assert_eq!(b.step(repair(&[(1, 3), (2, 5)], 7)), [Effect::Rewrite]);
}

#[test]
fn before_anything_is_heard_nobody_can_be_asked() {
    let mut b = Actor::restarted(B, facts(2, 2, 9), 12, &[(1, 0), (2, 5)]);
    assert_eq!(b.step(damaged(3, 7)), []);
    assert!(!b.replica.is_readable(Offset(3)));
    assert!(b.assign(2, A).contains(&ask(A, 3, 7)));
}

#[test]
fn a_range_that_was_too_old_to_be_kept_is_forgotten() {
    let mut b = follower();
    b.step(damaged(0, 7));
    let effects = b.step(repaired(0, 5));
    assert_eq!(effects, [ask(A, 5, 7)]);
}

#[test]
fn a_peer_serves_what_is_committed_and_sound_in_whatever_epoch() {
    let mut b = follower();
    let request = |epoch, from, to| Message::RequestRepair {
        epoch: Epoch(epoch),
        from: Offset(from),
        to: Offset(to),
        compacted: Offset(0),
    };
    let serve = |from, until| Effect::SendRepair {
        to: C,
        wish: RepairWish {
            from: Offset(from),
            until: Offset(until),
            compacted: Offset(0),
        },
    };
    assert_eq!(b.hear(C, request(2, 3, 7)), [serve(3, 7)]);
    assert_eq!(
        b.hear(C, request(1, 3, 7)),
        [serve(3, 7)],
        "in an older epoch"
    );
    assert_eq!(b.hear(C, request(9, 3, 7)), [serve(3, 7)], "in a newer one");
    assert_eq!(b.replica.epoch(), Epoch(2), "which is no reason to promise");
    assert_eq!(
        b.hear(C, request(2, 7, 12)),
        [serve(7, 9)],
        "what is committed"
    );
    assert_eq!(b.hear(C, request(2, 9, 12)), []);
    b.step(damaged(5, 7));
    assert_eq!(b.hear(C, request(2, 3, 9)), [serve(3, 5)], "what is sound");
    assert_eq!(b.hear(C, request(2, 5, 9)), []);
    assert_eq!(b.hear(C, request(2, 7, 9)), [serve(7, 9)]);
}

#[test]
fn two_replicas_with_the_same_damage_do_not_echo_it() {
    let mut b = follower();
    b.step(damaged(3, 7));
    let request = Message::RequestRepair {
        epoch: Epoch(2),
        from: Offset(3),
        to: Offset(7),
        compacted: Offset(0),
    };
    assert_eq!(b.hear(C, request), []);
}

/// A leads epoch 1, has 0..9 and has sent nothing to B yet; C has all of it.
fn leader_before_sending() -> Actor {
    let mut a = Actor::leader();
    a.append(3);
    a.append(3);
    a.append(3);
    a.log_durable(9);
    a.send_records(C, 0, 9);
    assert!(a.hear(C, holds(1, 9)).contains(&committed(9)));
    a
}

#[test]
fn a_leader_sends_nothing_that_is_damaged() {
    let mut a = leader_before_sending();
    // The read that was wished for finds it.
    a.step(damaged(0, 3));
    assert_eq!(a.replica.records_head(B, Epoch(1), Offset(0)), None);
    assert!(!a.append(1).contains(&send_records(B, 1, 0)));
    a.step(repair(&[(1, 0)], 3));
    assert!(a.step(repaired(0, 3)).contains(&send_records(B, 1, 0)));
}

#[test]
fn a_leader_sends_up_to_the_damage_and_waits() {
    let mut a = leader_before_sending();
    a.step(damaged(3, 6));
    assert_eq!(a.send_records(B, 0, 3), [], "it goes no further");
    a.hear(B, holds(1, 3));
    let effects = a.step(repaired(3, 6));
    assert!(effects.contains(&send_records(B, 1, 3)));
}

#[test]
fn a_leader_that_lost_what_is_not_committed_resigns() {
    let mut a = Actor::leader();
    a.append(3);
    a.append(3);
    a.log_durable(6);
    assert!(a.hear(B, holds(1, 3)).contains(&committed(3)));
    // It may be the only one that ever had 3..6, so it can neither send it nor drop it.
    let effects = a.step(damaged(3, 6));
    assert!(effects.contains(&Effect::SteppedDown));
    assert!(effects.contains(&Effect::Resigned { epoch: Epoch(1) }));
    assert!(effects.contains(&Effect::PersistFacts(lost_once(1, 1, 3))));
    assert!(a.replica.append(1, &mut Vec::new()).is_err());
    assert_eq!(a.facts_durable(), [Effect::Truncate { to: Offset(3) }]);
    a.step(Event::Truncated {
        next_offset: Offset(3),
    });
    a.assign(2, B);
    a.hear(B, Message::RequestPromise { epoch: Epoch(2) });
    let said = a.facts_durable();
    let [(B, Message::Promise(promise))] = messages(&said)[..] else {
        panic!("no promise: {said:?}");
    };
    assert!(promise.is_uncertain && promise.next_offset == Offset(3));
}

fn lost_once(promised: u32, log_epoch: u32, high_watermark: u64) -> Facts {
    facts(promised, log_epoch, high_watermark).with_loss()
}

#[test]
fn a_follower_gives_up_what_is_damaged_and_not_known_to_be_committed() {
    let mut b = follower();
    let effects = b.step(damaged(10, 11));
    assert_eq!(effects, [Effect::PersistFacts(lost_once(2, 2, 9))]);
    assert_eq!(b.records(A, 2, 12, 13, 9), [], "nothing may hide it");
    let effects = b.facts_durable();
    assert_eq!(effects[0], Effect::Truncate { to: Offset(10) });
    let lost = Message::Lost {
        epoch: Epoch(2),
        loss: 1,
    };
    assert_eq!(messages(&effects), [(A, &lost)], "it had acknowledged it");
    b.step(Event::Truncated {
        next_offset: Offset(10),
    });
    let effects = b.hear(A, adopt_after(1, adopt(2, 12, 9, &[(1, 0), (2, 5)])));
    let mut answer = ack(2, 10, 10);
    (answer.rewind, answer.high_watermark) = (true, Offset(9));
    answer.losses = 1;
    assert_eq!(messages(&effects), [(A, &Message::Ack(answer))]);
}

#[test]
fn damage_across_the_high_watermark_is_half_repaired_and_half_given_up() {
    let mut b = follower();
    let effects = b.step(damaged(8, 11));
    assert!(effects.contains(&ask(A, 8, 9)));
    assert!(effects.contains(&Effect::PersistFacts(lost_once(2, 2, 9))));
    assert!(
        b.facts_durable()
            .contains(&Effect::Truncate { to: Offset(9) })
    );
    assert_eq!(b.replica.damaged(), [(Offset(8), Offset(9))]);
}

#[test]
fn an_end_is_given_up_only_when_no_flush_is_in_flight() {
    let mut b = follower();
    assert_eq!(b.records(A, 2, 12, 14, 9), [Effect::Accept]);
    b.step(damaged(10, 11));
    assert!(
        !b.facts_durable()
            .contains(&Effect::Truncate { to: Offset(10) })
    );
    assert!(
        b.log_durable(14)
            .contains(&Effect::Truncate { to: Offset(10) })
    );
}

#[test]
fn damage_found_while_it_is_pulled_makes_the_promise_uncertain() {
    let mut b = Actor::restarted(B, facts(2, 2, 9), 12, &[(1, 0), (2, 5)]);
    let ask = || Message::RequestPromise { epoch: Epoch(3) };
    b.hear(A, ask());
    b.facts_durable();
    let pull = Message::Pull {
        epoch: Epoch(3),
        from: Offset(10),
    };
    assert_eq!(b.hear(A, pull.clone()), [send_records(A, 3, 10)]);
    b.step(damaged(10, 11));
    assert_eq!(b.replica.records_head(A, Epoch(3), Offset(10)), None);
    assert_eq!(b.hear(A, pull), []);
    // The leader gets no answer and asks again.
    b.hear(A, ask());
    b.facts_durable();
    let effects = b.step(Event::Truncated {
        next_offset: Offset(10),
    });
    let expected = match uncertain(3, 2, 10, &[(1, 0), (2, 5)]) {
        Message::Promise(promise) => quorate_vsr::partition::Promise {
            high_watermark: Offset(9),
            ..promise
        },
        other => panic!("{other} is no promise"),
    };
    assert_eq!(messages(&effects), [(A, &Message::Promise(expected))]);
}

#[test]
fn damage_below_the_high_watermark_is_not_served_to_a_new_leader() {
    let mut b = Actor::restarted(B, facts(2, 2, 9), 12, &[(1, 0), (2, 5)]);
    b.hear(A, Message::RequestPromise { epoch: Epoch(3) });
    b.facts_durable();
    b.step(damaged(5, 7));
    let pull = |from| Message::Pull {
        epoch: Epoch(3),
        from: Offset(from),
    };
    assert_eq!(b.hear(A, pull(5)), []);
    assert_eq!(
        b.hear(A, pull(3)),
        [send_records(A, 3, 3)],
        "what comes before is"
    );
    b.step(repaired(5, 7));
    assert_eq!(b.hear(A, pull(5)), [send_records(A, 3, 5)]);
}

#[test]
fn a_leader_that_finds_damage_while_it_chooses_begins_anew() {
    let mut a = Actor::restarted(A, facts(1, 1, 4), 9, &[(1, 0)]);
    a.assign(2, A);
    a.facts_durable();
    a.hear(B, promise(2, 1, 12, &[(1, 0)]));
    // It was about to fetch what it lacks; now it lacks more, and its own promise is void.
    let effects = a.step(damaged(6, 9));
    assert!(effects.contains(&Effect::PersistFacts(lost_once(2, 1, 4))));
    a.hear(B, promise(2, 1, 12, &[(1, 0)]));
    assert!(
        a.facts_durable()
            .contains(&Effect::Truncate { to: Offset(6) })
    );
    a.hear(C, promise(2, 1, 12, &[(1, 0)]));
    let effects = a.step(Event::Truncated {
        next_offset: Offset(6),
    });
    let (epoch, from) = (Epoch(2), Offset(6));
    let pull = Message::Pull { epoch, from };
    assert_eq!(messages(&effects), [(C, &pull)]);
}

#[test]
fn a_range_that_is_damaged_is_not_cut() {
    let mut b = follower();
    b.step(damaged(5, 7));
    b.assign(3, C);
    b.facts_durable();
    assert_eq!(
        b.hear(C, adopt(3, 10, 9, &[(1, 0), (2, 5), (3, 9)])),
        [Effect::Truncate { to: Offset(9) }]
    );
    b.step(Event::Truncated {
        next_offset: Offset(9),
    });
    assert_eq!(b.replica.damaged(), [(Offset(5), Offset(7))]);
}
