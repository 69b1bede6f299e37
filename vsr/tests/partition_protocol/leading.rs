//! An open leader: replication, commits, repairs.

use quorate_vsr::partition::{
    Ack, Effect, Event, MemberStatus, Message, RecordsHead, Standing, Timer,
};
use quorate_vsr::{Epoch, NodeId, Offset};

use crate::stage::*;

#[test]
fn an_append_goes_to_all_followers_at_once() {
    let mut a = Actor::leader();
    let effects = a.append(3);
    assert_eq!(effects[..2], [send_records(B, 1, 0), send_records(C, 1, 0)]);
    assert_eq!(
        a.replica.records_head(B, Epoch(1), Offset(0)),
        Some(head(1, 0, 0))
    );
}

#[test]
fn a_record_is_committed_when_a_majority_has_it_on_disk() {
    let mut a = Actor::leader();
    a.append(3);
    assert_eq!(a.log_durable(3), []);
    assert!(a.hear(B, holds(1, 3)).contains(&committed(3)));
}

#[test]
fn two_followers_commit_without_the_leaders_disk() {
    let mut a = Actor::leader();
    a.append(3);
    assert!(!a.hear(B, holds(1, 3)).contains(&committed(3)));
    assert!(a.hear(C, holds(1, 3)).contains(&committed(3)));
}

#[test]
fn who_has_not_adopted_the_epoch_does_not_count() {
    let mut a = Actor::restarted(A, facts(1, 1, 0), 5, &[(1, 0)]);
    a.assign(2, A);
    a.facts_durable();
    a.hear(B, promise(2, 1, 5, &[(1, 0)]));
    a.facts_durable();
    assert!(
        !a.hear(B, Message::Ack(ack(2, 5, 5)))
            .contains(&committed(5))
    );
    assert!(
        a.hear(B, holds(2, 5)).contains(&committed(5)),
        "an older epoch's records as well"
    );
}

#[test]
fn what_a_follower_had_before_its_adoption_does_not_count_afterwards() {
    let mut a = Actor::restarted(A, facts(1, 1, 0), 5, &[(1, 0)]);
    a.assign(2, A);
    a.facts_durable();
    a.hear(B, promise(2, 1, 5, &[(1, 0)]));
    a.facts_durable();
    a.append(2);
    a.log_durable(7);
    a.hear(B, Message::Ack(ack(2, 7, 7)));
    // B was restarted before its adoption was durable, was told again, and cut back to 5.
    assert!(a.hear(B, holds(2, 5)).contains(&committed(5)));
    assert_eq!(a.replica.high_watermark(), Offset(5));
}

#[test]
fn many_messages_are_in_flight_and_no_more_than_the_pipeline_holds() {
    let mut a = Actor::leader();
    a.append(1);
    let mut sent = 0;
    while a.replica.records_head(B, Epoch(1), Offset(sent)).is_some() {
        a.send_records(B, sent, sent + 1);
        sent += 1;
        a.append(1);
    }
    assert_eq!(sent, 16);
    let effects = a.hear(B, holds(1, 1));
    assert!(
        effects.contains(&send_records(B, 1, 16)),
        "an answer makes room: {effects:?}"
    );
}

#[test]
fn a_dead_follower_is_not_felt() {
    let mut a = Actor::leader();
    for base in 0..1000 {
        let effects = a.append(1);
        assert!(
            !effects.contains(&send_records(C, 1, base)) || base == 0,
            "one wish is enough"
        );
        a.send_records(B, base, base + 1);
        a.log_durable(base + 1);
        assert!(a.hear(B, holds(1, base + 1)).contains(&committed(base + 1)));
    }
    a.timeout(Timer::Resend);
    a.timeout(Timer::Resend);
    assert_eq!(a.replica.lagging().collect::<Vec<_>>(), [C]);
    let status = |node, next, in_sync| MemberStatus {
        node,
        standing: Standing::Voter,
        next_offset: Offset(next),
        in_sync,
    };
    let expected = [
        status(A, 1000, true),
        status(B, 1000, true),
        status(C, 0, false),
    ];
    assert_eq!(a.replica.member_statuses(), expected);
}

#[test]
fn a_lost_message_is_sent_again_once_however_many_complain() {
    let mut a = Actor::leader();
    a.append(1);
    for base in 0..3 {
        a.append(1);
        a.send_records(B, base, base + 1);
    }
    let mut complaint = ack(1, 0, 0);
    complaint.adopted = true;
    complaint.rewind = true;
    let effects = a.hear(B, Message::Ack(complaint.clone()));
    assert!(effects.contains(&send_records(B, 1, 0)));
    a.send_records(B, 0, 4);
    assert_eq!(
        a.hear(B, Message::Ack(complaint.clone())),
        [],
        "an echo of the same complaint"
    );
    a.timeout(Timer::Resend);
    let effects = a.hear(B, Message::Ack(complaint));
    assert!(
        effects.contains(&send_records(B, 1, 0)),
        "unless that was lost as well"
    );
}

#[test]
fn a_silent_follower_is_asked_what_it_lacks() {
    let mut a = Actor::leader();
    a.append(2);
    a.send_records(B, 0, 2);
    a.timeout(Timer::Resend);
    let effects = a.timeout(Timer::Resend);
    let (epoch, sent) = (Epoch(1), Offset(2));
    let marks = marks(0, 0);
    let ask = Message::Commit { epoch, sent, marks };
    assert!(messages(&effects).contains(&(B, &ask)));
    assert!(effects.contains(&Effect::Arm(Timer::Resend)));
}

#[test]
fn a_wish_that_was_lost_with_its_connection_is_wished_again() {
    let mut a = Actor::leader();
    assert!(a.append(2).contains(&send_records(B, 1, 0)));
    a.timeout(Timer::Resend);
    assert!(a.timeout(Timer::Resend).contains(&send_records(B, 1, 0)));
}

#[test]
fn a_follower_that_has_not_answered_is_told_again_what_to_adopt() {
    let mut a = Actor::new(A);
    a.assign(1, A);
    a.facts_durable();
    a.hear(B, promise(1, 0, 0, &[]));
    a.facts_durable();
    let effects = a.timeout(Timer::Resend);
    let adopt = adopt(1, 0, 0, &[]);
    assert_eq!(messages(&effects), [(B, &adopt), (C, &adopt)]);
}

#[test]
fn an_idle_partition_tells_its_last_commit_and_falls_silent() {
    let mut a = Actor::leader();
    assert_eq!(
        a.timeout(Timer::Resend),
        [],
        "it ran since the opening, and nothing is awaited"
    );
    assert!(a.append(2).contains(&Effect::Arm(Timer::Resend)));
    for follower in [B, C] {
        a.send_records(follower, 0, 2);
    }
    a.log_durable(2);
    assert!(a.hear(B, holds(1, 2)).contains(&Effect::Arm(Timer::Commit)));
    a.hear(C, holds(1, 2));
    let effects = a.timeout(Timer::Commit);
    let (epoch, sent) = (Epoch(1), Offset(2));
    let marks = marks(2, 0);
    let commit = Message::Commit { epoch, sent, marks };
    assert_eq!(messages(&effects), [(B, &commit), (C, &commit)]);
    for follower in [B, C] {
        let mut answer = ack(1, 2, 2);
        answer.adopted = true;
        answer.high_watermark = Offset(2);
        assert_eq!(a.hear(follower, Message::Ack(answer)), []);
    }
    assert_eq!(a.timeout(Timer::Resend), [], "nothing is armed any more");
}

#[test]
fn the_next_records_carry_the_high_watermark() {
    let mut a = Actor::leader();
    a.append(2);
    a.send_records(B, 0, 2);
    a.log_durable(2);
    a.hear(B, holds(1, 2));
    a.append(1);
    assert_eq!(
        a.replica.records_head(B, Epoch(1), Offset(2)),
        Some(head(1, 2, 2))
    );
}

#[test]
fn records_that_were_read_in_an_older_epoch_get_no_head() {
    let mut a = Actor::leader();
    a.append(2);
    let old = a.replica.epoch();
    a.assign(2, B);
    assert_eq!(a.replica.records_head(B, old, Offset(0)), None);
    let head = RecordsHead {
        epoch: old,
        base_offset: Offset(0),
        marks: marks(0, 0),
    };
    let before = a.replica.clone();
    let late = Event::RecordsSent {
        to: B,
        head,
        next_offset: Offset(2),
    };
    assert_eq!(a.step(late), []);
    assert_eq!(a.replica, before);
}

#[test]
fn impossible_answers_are_ignored() {
    let mut a = Actor::leader();
    a.append(2);
    let before = a.replica.clone();
    assert_eq!(a.hear(B, holds(1, 3)), [], "more than there is");
    let upside_down = Ack {
        adopted: true,
        ..ack(1, 1, 2)
    };
    assert_eq!(
        a.hear(B, Message::Ack(upside_down)),
        [],
        "durable before received"
    );
    assert_eq!(a.hear(NodeId(9), holds(1, 2)), [], "from a stranger");
    assert_eq!(a.replica, before);
}

#[test]
fn answers_that_overtake_the_pump_are_believed() {
    let mut a = Actor::leader();
    a.append(2);
    let head = a.replica.records_head(B, Epoch(1), Offset(0)).unwrap();
    a.hear(B, holds(1, 2));
    let sent = Event::RecordsSent {
        to: B,
        head,
        next_offset: Offset(2),
    };
    a.step(sent);
    let effects = a.append(1);
    assert!(effects.contains(&send_records(B, 1, 2)), "{effects:?}");
}

/// Runs `Timer::Resend` out so often that a leader whom nobody answers knows it.
fn resend_in_vain(leader: &mut Actor) {
    for _ in 0..10 {
        leader.timeout(Timer::Resend);
    }
}

#[test]
fn a_leader_that_no_majority_answers_says_so_and_goes_on() {
    let mut a = Actor::leader();
    a.append(3);
    a.log_durable(3);
    for round in 0..4 {
        assert!(!a.replica.is_unheard(), "after {round} rounds");
        a.timeout(Timer::Resend);
        // Both have answered before the first of them.
        if round == 0 {
            a.timeout(Timer::Resend);
        }
    }
    assert!(a.replica.is_unheard());
    assert!(a.replica.is_open());
    assert!(a.hear(B, holds(1, 3)).contains(&committed(3)));
    assert!(!a.replica.is_unheard(), "it was heard");
    a.append(1);
    assert!(!a.replica.is_unheard(), "B has not had time to answer");
}

#[test]
fn a_leader_whom_one_of_two_followers_answers_is_heard() {
    let mut a = Actor::leader();
    a.append(3);
    for _ in 0..10 {
        // B's disk is slow, but B lives.
        a.hear(
            B,
            Message::Ack(Ack {
                adopted: true,
                ..ack(1, 3, 0)
            }),
        );
        a.timeout(Timer::Resend);
    }
    assert!(!a.replica.is_unheard());
    resend_in_vain(&mut a);
    assert!(a.replica.is_unheard(), "now B is silent as well");
}

#[test]
fn a_leader_with_nothing_to_commit_is_not_unheard() {
    let mut a = Actor::leader();
    resend_in_vain(&mut a);
    assert!(!a.replica.is_unheard());
    a.append(3);
    a.log_durable(3);
    a.hear(B, holds(1, 3));
    resend_in_vain(&mut a);
    assert!(!a.replica.is_unheard(), "C is away, and is not needed");
}

#[test]
fn a_follower_that_talks_and_gets_nowhere_is_told_what_was_sent() {
    let mut a = Actor::leader();
    a.append(3);
    a.log_durable(3);
    a.send_records(B, 0, 3);
    a.timeout(Timer::Resend);
    // The records are lost with the link. B does not know of them, and says again and again how far
    // its log is compacted.
    a.hear(B, holds(1, 0));
    let said = a.timeout(Timer::Resend);
    let is_told = |(to, message): (NodeId, &Message)| {
        to == B && matches!(message, Message::Commit { sent, .. } if *sent == Offset(3))
    };
    assert!(messages(&said).into_iter().any(is_told), "{said:?}");
    let rewound = Message::Ack(Ack {
        rewind: true,
        adopted: true,
        ..ack(1, 0, 0)
    });
    assert!(a.hear(B, rewound).contains(&send_records(B, 1, 0)));
}
