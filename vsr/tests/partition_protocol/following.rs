//! A follower: its promises, its adoption, its answers.

use quorate_vsr::partition::{Effect, Event, Message};
use quorate_vsr::{Epoch, Offset};

use crate::stage::*;

fn ask(epoch: u32) -> Message {
    Message::RequestPromise {
        epoch: Epoch(epoch),
    }
}

/// B follows A in epoch 1, has adopted it, and holds nothing yet.
fn follower() -> Actor {
    let mut b = Actor::new(B);
    b.hear(A, adopt(1, 0, 0, &[]));
    b.facts_durable();
    b.facts_durable();
    b
}

#[test]
fn a_promise_leaves_only_when_it_is_durable() {
    let mut b = Actor::restarted(B, facts(1, 1, 0), 7, &[(1, 0)]);
    assert_eq!(b.hear(C, ask(2)), [Effect::PersistFacts(facts(2, 1, 0))]);
    let effects = b.facts_durable();
    assert_eq!(messages(&effects), [(C, &promise(2, 1, 7, &[(1, 0)]))]);
}

#[test]
fn a_promise_leaves_only_when_every_record_is_durable() {
    let mut b = follower();
    assert_eq!(b.records(A, 1, 0, 5, 0), [Effect::Accept]);
    b.hear(C, ask(2));
    assert_eq!(b.facts_durable(), []);
    assert_eq!(
        messages(&b.log_durable(5)),
        [(C, &promise(2, 1, 5, &[(1, 0)]))]
    );
}

#[test]
fn a_repeated_request_gets_the_promise_again() {
    let mut b = Actor::new(B);
    b.hear(A, ask(1));
    b.facts_durable();
    assert_eq!(messages(&b.hear(A, ask(1))), [(A, &promise(1, 0, 0, &[]))]);
}

#[test]
fn who_has_promised_does_not_listen_to_older_leaders() {
    let mut b = follower();
    b.hear(C, ask(2));
    b.facts_durable();
    let before = b.replica.clone();
    assert_eq!(b.records(A, 1, 0, 5, 0), []);
    let commit = Message::Commit {
        epoch: Epoch(1),
        sent: Offset(5),
        marks: marks(5, 0),
    };
    assert_eq!(b.hear(A, commit), []);
    assert_eq!(b.hear(A, adopt(1, 0, 0, &[])), []);
    assert_eq!(b.hear(A, ask(1)), []);
    let pull = Message::Pull {
        epoch: Epoch(1),
        from: Offset(0),
    };
    assert_eq!(b.hear(A, pull), []);
    assert_eq!(b.replica, before);
}

#[test]
fn old_records_of_the_same_node_are_not_taken_for_new_ones() {
    let mut b = follower();
    b.assign(3, A);
    b.facts_durable();
    b.hear(A, adopt(3, 0, 0, &[]));
    // They would continue the log, and they come from the leader; but they were sent in epoch 1.
    assert_eq!(b.records(A, 1, 0, 5, 0), []);
    assert_eq!(b.records(A, 3, 0, 5, 0), [Effect::Accept]);
}

#[test]
fn an_epoch_has_one_leader() {
    let mut b = follower();
    let before = b.replica.clone();
    assert_eq!(b.hear(C, ask(1)), []);
    assert_eq!(b.hear(C, adopt(1, 9, 9, &[(1, 0)])), []);
    assert_eq!(b.records(C, 1, 0, 5, 0), []);
    assert_eq!(b.replica, before);
}

#[test]
fn adoption_waits_until_the_log_is_complete_and_durable() {
    let mut b = Actor::new(B);
    b.hear(A, adopt(2, 6, 0, &[(1, 0)]));
    let effects = b.facts_durable();
    let mut answer = ack(2, 0, 0);
    answer.rewind = true;
    assert_eq!(messages(&effects), [(A, &Message::Ack(answer))]);

    let records = |base, next| Event::Records {
        from: A,
        head: head(2, base, 0),
        next_offset: Offset(next),
        epochs: vec![(Epoch(1), Offset(base))],
    };
    assert_eq!(b.step(records(0, 4)), [Effect::Accept]);
    assert_eq!(
        messages(&b.log_durable(4)),
        [(A, &Message::Ack(ack(2, 4, 4)))]
    );
    assert_eq!(
        b.step(records(4, 6)),
        [Effect::Accept],
        "complete in memory only"
    );
    assert!(
        b.log_durable(6)
            .contains(&Effect::PersistFacts(facts(2, 2, 0)))
    );
    assert_eq!(
        messages(&b.facts_durable()),
        [(A, &holds(2, 6))],
        "only now does it count"
    );
}

#[test]
fn a_diverged_tail_is_cut_when_no_flush_is_in_flight() {
    let mut b = follower();
    b.records(A, 1, 0, 5, 0);
    b.log_durable(5);
    b.records(A, 1, 5, 9, 0);
    b.assign(2, C);
    b.facts_durable();
    assert_eq!(
        b.hear(C, adopt(2, 7, 0, &[(1, 0), (2, 5)])),
        [],
        "a flush may be under way"
    );
    assert_eq!(b.log_durable(9), [Effect::Truncate { to: Offset(5) }]);
    assert_eq!(
        b.records(C, 2, 5, 7, 0),
        [],
        "nothing is appended during a cut"
    );
    let effects = b.step(Event::Truncated {
        next_offset: Offset(5),
    });
    let mut answer = ack(2, 5, 5);
    answer.rewind = true;
    assert_eq!(messages(&effects), [(C, &Message::Ack(answer))]);
    assert_eq!(b.records(C, 2, 5, 7, 0), [Effect::Accept]);
}

#[test]
fn a_cut_outlives_the_epoch_that_wanted_it() {
    let mut b = Actor::restarted(B, facts(1, 1, 0), 9, &[(1, 0)]);
    b.assign(2, C);
    b.facts_durable();
    b.hear(C, adopt(2, 7, 0, &[(1, 0), (2, 5)]));
    b.assign(3, A);
    b.hear(A, ask(3));
    assert_eq!(
        b.facts_durable(),
        [],
        "no promise while the log is changing"
    );
    let effects = b.step(Event::Truncated {
        next_offset: Offset(5),
    });
    assert_eq!(messages(&effects), [(A, &promise(3, 1, 5, &[(1, 0)]))]);
}

#[test]
fn nothing_below_the_high_watermark_is_ever_cut() {
    let mut b = Actor::restarted(B, facts(1, 1, 6), 9, &[(1, 0)]);
    let effects = b.hear(A, adopt(2, 7, 0, &[(1, 0), (2, 5)]));
    let distrusts = |effect: &Effect| matches!(effect, Effect::Distrust { from: A, .. });
    assert!(effects.iter().any(distrusts), "{effects:?}");
    let effects = b.facts_durable();
    let cuts = |effect: &Effect| matches!(effect, Effect::Truncate { .. });
    assert!(!effects.iter().any(cuts), "{effects:?}");
    assert_eq!(b.replica.next_offset(), Offset(9));
}

#[test]
fn the_high_watermark_stays_within_what_is_durable_here() {
    let mut b = follower();
    assert_eq!(b.records(A, 1, 0, 5, 0), [Effect::Accept]);
    assert_eq!(b.records(A, 1, 5, 8, 8), [Effect::Accept]);
    assert_eq!(b.log_durable(5)[0], committed(5));
    assert_eq!(b.log_durable(8)[0], committed(8));
}

#[test]
fn a_gap_and_an_echo_are_answered_and_not_accepted() {
    let mut b = follower();
    b.records(A, 1, 0, 5, 0);
    let answer = |rewind| {
        let mut answer = ack(1, 5, 0);
        answer.adopted = true;
        answer.rewind = rewind;
        Message::Ack(answer)
    };
    assert_eq!(messages(&b.records(A, 1, 7, 9, 0)), [(A, &answer(true))]);
    assert_eq!(messages(&b.records(A, 1, 0, 5, 0)), [(A, &answer(false))]);
    assert_eq!(messages(&b.records(A, 1, 3, 9, 0)), [(A, &answer(true))]);
    assert_eq!(b.replica.next_offset(), Offset(5));
}

#[test]
fn records_that_no_log_could_hold_are_not_accepted() {
    let mut b = follower();
    b.records(A, 1, 0, 5, 0);
    let offered = |epochs: &[(u32, u64)]| Event::Records {
        from: A,
        head: head(1, 5, 0),
        next_offset: Offset(7),
        epochs: epochs
            .iter()
            .map(|&(epoch, base)| (Epoch(epoch), Offset(base)))
            .collect(),
    };
    for epochs in [&[][..], &[(2, 5)], &[(0, 5)], &[(1, 6)], &[(1, 5), (1, 7)]] {
        assert!(
            !b.step(offered(epochs)).contains(&Effect::Accept),
            "{epochs:?}"
        );
    }
    assert!(b.step(offered(&[(1, 5), (1, 6)])).contains(&Effect::Accept));
}

#[test]
fn a_follower_restarted_after_its_adoption_goes_on_where_it_was() {
    let mut b = Actor::restarted(B, facts(1, 1, 0), 5, &[(1, 0)]);
    assert_eq!(b.assign(1, A), []);
    assert_eq!(b.records(A, 1, 5, 7, 0), [Effect::Accept]);
    assert_eq!(messages(&b.log_durable(7)), [(A, &holds(1, 7))]);
}

#[test]
fn a_follower_restarted_before_its_adoption_waits_to_be_told_again() {
    let mut b = Actor::restarted(B, facts(2, 1, 0), 5, &[(1, 0)]);
    b.assign(2, A);
    assert_eq!(b.records(A, 2, 5, 7, 0), []);
    b.hear(A, adopt(2, 5, 0, &[(1, 0)]));
    assert_eq!(b.records(A, 2, 5, 7, 0), [Effect::Accept]);
}

#[test]
fn a_voter_serves_the_leader_until_the_leader_is_open() {
    let mut b = Actor::restarted(B, facts(1, 1, 0), 5, &[(1, 0)]);
    b.hear(A, ask(2));
    b.facts_durable();
    let pull = Message::Pull {
        epoch: Epoch(2),
        from: Offset(3),
    };
    assert_eq!(b.hear(A, pull.clone()), [send_records(A, 2, 3)]);
    assert_eq!(
        b.replica.records_head(A, Epoch(2), Offset(3)),
        Some(head(2, 3, 0))
    );
    assert_eq!(
        b.replica.records_head(C, Epoch(2), Offset(3)),
        None,
        "not the leader"
    );
    b.hear(A, adopt(2, 5, 0, &[(1, 0)]));
    assert_eq!(
        b.replica.records_head(A, Epoch(2), Offset(3)),
        None,
        "the leader is open"
    );
    assert_eq!(b.hear(A, pull), []);
}

#[test]
fn late_completions_of_the_disk_take_nothing_back() {
    let mut b = Actor::new(B);
    b.assign(1, A);
    b.assign(2, C);
    b.hear(C, ask(2));
    assert_eq!(
        b.step(Event::FactsDurable(facts(1, 0, 0))),
        [],
        "an older promise"
    );
    assert_eq!(messages(&b.facts_durable()), [(C, &promise(2, 0, 0, &[]))]);
    assert_eq!(b.step(Event::FactsDurable(facts(1, 0, 0))), []);
    assert_eq!(b.log_durable(0), []);
}
