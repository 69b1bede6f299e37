//! From an assignment to an open leader.

use quorate_vsr::partition::{Effect, EpochHistory, Event, Message, Replica, Role, Timer, Unsound};
use quorate_vsr::{Epoch, NodeId, Offset};

use crate::stage::*;

#[test]
fn a_leader_asks_for_promises_when_its_own_is_durable() {
    let mut a = Actor::new(A);
    assert_eq!(a.assign(1, A), [Effect::PersistFacts(facts(1, 0, 0))]);
    let ask = |to| Effect::Send {
        to,
        message: Message::RequestPromise { epoch: Epoch(1) },
    };
    assert_eq!(
        a.facts_durable(),
        [ask(B), ask(C), Effect::Arm(Timer::Resend)]
    );
}

#[test]
fn a_majority_of_promises_opens_once_the_adoption_is_durable() {
    let mut a = Actor::new(A);
    a.assign(1, A);
    a.facts_durable();
    assert_eq!(
        a.hear(B, promise(1, 0, 0, &[])),
        [Effect::PersistFacts(facts(1, 1, 0))]
    );
    assert!(!a.replica.is_open());
    let effects = a.facts_durable();
    assert_eq!(effects[0], Effect::Opened { epoch: Epoch(1) });
    let adopt = adopt(1, 0, 0, &[]);
    assert_eq!(messages(&effects), [(B, &adopt), (C, &adopt)]);
    assert!(a.replica.is_open());
}

#[test]
fn a_single_replica_commits_by_its_own_disk() {
    let mut a = Actor::new(A);
    a.step(Event::Assign {
        epoch: Epoch(1),
        leader: A,
        voters: vec![A],
        previous: Vec::new(),
        learners: Vec::new(),
    });
    assert_eq!(a.facts_durable(), [Effect::PersistFacts(facts(1, 1, 0))]);
    assert_eq!(a.facts_durable(), [Effect::Opened { epoch: Epoch(1) }]);
    assert_eq!(a.append(5), []);
    assert_eq!(
        a.log_durable(5),
        [committed(5), Effect::Arm(Timer::SaveWatermark)]
    );
    assert_eq!(
        a.timeout(Timer::SaveWatermark),
        [Effect::PersistFacts(facts(1, 1, 5))]
    );
}

#[test]
fn promises_of_strangers_do_not_count() {
    let mut a = Actor::new(A);
    a.assign(1, A);
    a.facts_durable();
    assert_eq!(a.hear(NodeId(9), promise(1, 0, 0, &[])), []);
}

#[test]
fn an_unanswered_request_is_repeated_to_the_silent() {
    let mut a = Actor::new(A);
    a.assign(1, A);
    a.facts_durable();
    let ask = |to| Effect::Send {
        to,
        message: Message::RequestPromise { epoch: Epoch(1) },
    };
    assert_eq!(
        a.timeout(Timer::Resend),
        [ask(B), ask(C), Effect::Arm(Timer::Resend)]
    );
}

/// A was in epoch 2 and has a tail of its own from offset 6; B went on to epoch 3.
fn leader_with_a_worse_log() -> Actor {
    let mut a = Actor::restarted(A, facts(2, 2, 4), 8, &[(1, 0), (2, 6)]);
    a.assign(4, A);
    a.facts_durable();
    a
}

#[test]
fn a_leader_makes_a_better_log_its_own_before_it_opens() {
    let mut a = leader_with_a_worse_log();
    let better = promise(4, 3, 9, &[(1, 0), (3, 5)]);
    assert_eq!(a.hear(B, better), [Effect::Truncate { to: Offset(5) }]);
    let pull = |from| Message::Pull {
        epoch: Epoch(4),
        from: Offset(from),
    };
    let effects = a.step(Event::Truncated {
        next_offset: Offset(5),
    });
    assert_eq!(messages(&effects), [(B, &pull(5))]);

    let records = |base, next| Event::Records {
        from: B,
        head: head(4, base, 0),
        next_offset: Offset(next),
        epochs: vec![(Epoch(3), Offset(base))],
    };
    let effects = a.step(records(5, 7));
    assert_eq!(effects[0], Effect::Accept);
    assert_eq!(messages(&effects), [(B, &pull(7))]);
    assert_eq!(a.step(records(7, 9)), [Effect::Accept]);
    // Complete, but not durable: `log_epoch` has to wait.
    assert_eq!(a.log_durable(7), []);
    assert_eq!(a.log_durable(9), [Effect::PersistFacts(facts(4, 4, 4))]);
    assert!(
        a.facts_durable()
            .contains(&Effect::Opened { epoch: Epoch(4) })
    );
    assert_eq!(a.replica.history(), &history(&[(1, 0), (3, 5)]));
}

#[test]
fn a_leader_chooses_again_when_the_better_voter_falls_silent() {
    let mut a = leader_with_a_worse_log();
    a.hear(B, promise(4, 3, 9, &[(1, 0), (3, 5)]));
    a.step(Event::Truncated {
        next_offset: Offset(5),
    });
    let effects = a.timeout(Timer::Resend);
    let ask = Message::RequestPromise { epoch: Epoch(4) };
    assert_eq!(messages(&effects), [(B, &ask), (C, &ask)]);
    // C has no more than A has by now; what B alone had was never committed.
    let effects = a.hear(C, promise(4, 2, 5, &[(1, 0)]));
    assert_eq!(effects, [Effect::PersistFacts(facts(4, 4, 4))]);
    assert!(
        a.facts_durable()
            .contains(&Effect::Opened { epoch: Epoch(4) })
    );
}

#[test]
fn pulled_records_are_taken_from_the_chosen_voter_only() {
    let mut a = leader_with_a_worse_log();
    a.hear(B, promise(4, 3, 9, &[(1, 0), (3, 5)]));
    a.step(Event::Truncated {
        next_offset: Offset(5),
    });
    let records = |from, base: u64, next: u64, epoch: u32| Event::Records {
        from,
        head: head(4, base, 0),
        next_offset: Offset(next),
        epochs: vec![(Epoch(epoch), Offset(base))],
    };
    assert_eq!(a.step(records(C, 5, 7, 3)), [], "from another");
    assert_eq!(a.step(records(B, 6, 7, 3)), [], "with a gap");
    assert_eq!(a.step(records(B, 5, 10, 3)), [], "more than it promised");
    assert_eq!(
        a.step(records(B, 5, 7, 5)),
        [],
        "of an epoch that does not exist yet"
    );
    assert_eq!(a.step(records(B, 5, 9, 3)), [Effect::Accept]);
}

#[test]
fn a_leader_that_hears_of_a_later_epoch_steps_down() {
    let mut a = Actor::leader();
    let effects = a.hear(B, Message::RequestPromise { epoch: Epoch(2) });
    assert!(effects.contains(&Effect::SteppedDown));
    assert!(effects.contains(&Effect::PersistFacts(facts(2, 1, 0))));
    assert_eq!(a.replica.role(), Role::Follower);
    assert!(a.replica.append(1, &mut Vec::new()).is_err());
}

#[test]
fn a_leader_that_is_no_voter_any_more_steps_down() {
    let mut a = Actor::leader();
    let event = Event::Assign {
        epoch: Epoch(2),
        leader: B,
        voters: vec![B, C],
        previous: Vec::new(),
        learners: Vec::new(),
    };
    assert!(a.step(event).contains(&Effect::SteppedDown));
    assert_eq!(a.replica.role(), Role::Idle);
}

#[test]
fn the_same_assignment_again_changes_nothing() {
    let mut a = Actor::leader();
    let before = a.replica.clone();
    assert_eq!(a.assign(1, A), []);
    assert_eq!(a.replica, before);
    a.assign(3, B);
    let before = a.replica.clone();
    assert_eq!(a.assign(2, A), [], "an assignment that was overtaken");
    assert_eq!(a.replica, before);
}

#[test]
fn a_restarted_leader_does_not_go_on_in_its_epoch() {
    let mut a = Actor::restarted(A, facts(1, 1, 0), 3, &[(1, 0)]);
    assert_eq!(a.assign(1, A), []);
    assert_eq!(a.replica.role(), Role::Idle);
    assert_eq!(a.assign(2, A), [Effect::PersistFacts(facts(2, 1, 0))]);
    assert_eq!(a.replica.role(), Role::Leader);
}

#[test]
fn a_disk_that_lost_committed_records_or_promises_is_refused() {
    let history = history(&[(3, 0)]);
    let too_short = Replica::new(A, facts(3, 3, 9), Offset(8), history.clone());
    let (next_offset, high_watermark) = (Offset(8), Offset(9));
    assert_eq!(
        too_short,
        Err(Unsound::LogTooShort {
            next_offset,
            high_watermark
        })
    );
    let too_old = Replica::new(A, facts(2, 2, 0), Offset(8), history);
    let (last_epoch, promised) = (Epoch(3), Epoch(2));
    assert_eq!(
        too_old,
        Err(Unsound::FactsTooOld {
            last_epoch,
            promised
        })
    );
    assert!(Replica::new(A, facts(0, 0, 0), Offset(0), EpochHistory::default()).is_ok());
}
