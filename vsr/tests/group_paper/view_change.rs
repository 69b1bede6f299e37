//! Section 4.2, view changes.

use quorate_vsr::group::{
    Content, Effect, Event, Head, Limits, Message, Prepare, Status, Superblock, Timer,
};
use quorate_vsr::{OpNumber, ViewNumber};

use crate::group::{Disk, Group, founder, member, node, view};

/// A chain of prepares with these views and texts.
fn chain(entries: &[(u64, &str)]) -> Vec<Prepare> {
    let mut prepares: Vec<Prepare> = Vec::new();
    for (in_view, text) in entries {
        let parent = prepares.last().map(Prepare::head).unwrap_or_default();
        let content = Content::Proposal {
            operation: text.as_bytes().to_vec(),
        };
        prepares.push(Prepare::new(parent, view(*in_view), content));
    }
    prepares
}

fn disk(in_view: u64, log_view: u64, log_view_op: u64, journal: Vec<Prepare>) -> Disk {
    let superblock = Superblock {
        sequence: 1,
        view: view(in_view),
        log_view: view(log_view),
        log_view_op: OpNumber(log_view_op),
        ..Superblock::default()
    };
    Disk {
        superblock: Some(superblock),
        journal,
        ..Disk::default()
    }
}

/// Starts three members on given disks; the third one is not there.
fn elect(first: Disk, second: Disk) -> Group {
    let disks = [first, second, Disk::default()];
    let mut group = Group::with_disks(3, 0, Limits::default(), |node| {
        disks[usize::from(node.0) - 1].clone()
    });
    group.cut.insert(node(3));
    // The third one may have been the primary of the view that comes first.
    for _ in 0..3 {
        group.settle();
        group.fire(node(1), Timer::ViewChangeStalled);
        group.fire(node(2), Timer::ViewChangeStalled);
    }
    group
}

/// "A replica that notices the need for a view change [...] sends a STARTVIEWCHANGE message." Here
/// it is a question: nothing is given up before a majority asks.
#[test]
fn one_doubter_does_not_disturb_the_others() {
    let mut group = Group::of_three();
    let (primary, backups) = (group.primary(), group.backups());
    let view = group.replica(primary).view();
    for _ in 0..5 {
        group.fire(backups[0], Timer::PrimarySilent);
        group.run();
    }
    group.propose("a");
    group.run();
    assert_eq!(group.primary(), primary);
    assert_eq!(group.replica(primary).view(), view);
    assert_eq!(group.executed(backups[0]), ["a"]);
}

/// "When replica i receives STARTVIEWCHANGE messages for its view-number from f other replicas, it
/// sends a DOVIEWCHANGE message": when the view and everything that the message says is durable.
#[test]
fn promise_waits_for_the_disk() {
    let mut group = Group::of_three();
    let (old_primary, backups) = (group.primary(), group.backups());
    group.cut.insert(old_primary);
    group.slow.extend(&backups);
    let mark = group.sent.len();
    group.change_view();
    for backup in &backups {
        assert_eq!(group.replica(*backup).status(), Status::ViewChange);
        let promises = group.sent_by(*backup, mark);
        assert!(
            !promises
                .iter()
                .any(|message| matches!(message, Message::DoViewChange { .. }))
        );
    }
    group.slow.clear();
    group.run();
    let primary = group.primary_beside(old_primary);
    assert_eq!(group.replica(primary).view(), view(2));
}

#[test]
fn committed_operations_survive_the_primary() {
    let mut group = Group::of_three();
    group.propose("a");
    group.propose("b");
    group.run();
    let old_primary = group.primary();
    group.cut.insert(old_primary);
    group.change_view();

    let primary = group.primary_beside(old_primary);
    assert_ne!(primary, old_primary);
    assert_eq!(group.executed(primary), ["a", "b"]);
}

/// An operation that a backup has, but the primary could not commit, may survive; then it is
/// committed in the new view.
#[test]
fn operation_that_one_backup_has_is_committed_by_the_new_primary() {
    let mut group = Group::of_three();
    let (old_primary, backups) = (group.primary(), group.backups());
    group.cut.insert(backups[0]);
    group.slow.insert(old_primary);
    group.propose("a");
    group.run();
    group.cut.clear();
    group.cut.insert(old_primary);
    group.change_view();
    group.settle();
    for backup in backups {
        assert_eq!(group.executed(backup), ["a"]);
    }
}

/// "[The new primary] selects as the new log the one contained in the message with the largest v'
/// (the last normal view)", even if it is shorter.
#[test]
fn log_of_the_later_view_wins_over_the_longer_one() {
    let group = elect(
        disk(2, 1, 0, chain(&[(1, "a"), (1, "stale"), (1, "staler")])),
        disk(2, 2, 1, chain(&[(1, "a"), (2, "good")])),
    );
    let primary = group.primary_beside(node(3));
    assert_eq!(group.executed(primary), ["a", "good"]);
    assert_eq!(group.executed(node(1)), ["a", "good"]);
    assert_eq!(group.executed(node(2)), ["a", "good"]);
}

/// "If several messages have the same v' it selects the one among them with the largest n."
#[test]
fn longer_log_of_the_same_view_wins() {
    let group = elect(
        disk(1, 1, 0, chain(&[(1, "a"), (1, "b"), (1, "c")])),
        disk(1, 1, 0, chain(&[(1, "a")])),
    );
    assert_eq!(group.executed(node(1)), ["a", "b", "c"]);
    assert_eq!(group.executed(node(2)), ["a", "b", "c"]);
}

#[test]
fn new_primary_serves_only_when_the_log_and_its_view_are_durable() {
    let mut group = Group::of_three();
    let old_primary = group.primary();
    group.cut.insert(old_primary);
    let next = view(2).primary();
    group.slow.insert(next);
    group.change_view();
    // One superblock promises the view, a second one says that the journal is its log.
    for remaining in [1, 0] {
        assert!(!group.replica(next).is_primary());
        assert!(matches!(group.writes(next)[0], Effect::Persist(_)));
        group.complete(next);
        group.run();
        assert_eq!(group.writes(next).len(), remaining);
    }
    assert!(group.replica(next).is_primary());
    let durable = group.members[&next].disk.superblock.clone().unwrap();
    assert_eq!(durable.log_view, view(2));
}

/// It has promised, and now hears nobody who asks for its log. Whatever of that log was
/// acknowledged by a majority, one of the others has as well.
#[test]
fn new_primary_chooses_without_a_member_that_does_not_give_its_log() {
    let mut group = Group::of_three();
    let (old_primary, next) = (group.primary(), view(2).primary());
    let backups = group.backups();
    let third = backups.into_iter().find(|id| *id != next).unwrap();
    group.propose("lost");
    group.lose_messages();
    group.run();
    group.slow.insert(third);
    group.fire(next, Timer::PrimarySilent);
    group.fire(old_primary, Timer::QuorumSilent);
    let is_question = |message: &Message| matches!(message, Message::GetState { .. });
    group.run_while(|group| !group.is_next(is_question));
    assert!(group.is_next(is_question));
    group.lose_messages();
    group.cut.insert(old_primary);
    group.slow.clear();
    group.run();
    assert!(!group.replica(next).is_primary());
    for _ in 0..2 {
        group.fire(next, Timer::GetState);
        group.run();
    }
    assert!(group.replica(next).is_primary());
    assert_eq!(group.replica(next).view(), view(2));
    assert_eq!(group.replica(next).op_number(), OpNumber(0));
}

/// "When other replicas receive the STARTVIEW message, they replace their log with the one in the
/// message."
#[test]
fn fork_of_a_deposed_primary_is_replaced() {
    let mut group = Group::of_three();
    let old_primary = group.primary();
    group.cut.insert(old_primary);
    group.propose("fork");
    group.propose("fork again");
    group.run();
    group.change_view();
    let primary = group.primary_beside(old_primary);
    group.propose_at(primary, "good");
    group.run();
    assert_eq!(group.executed(primary), ["good"]);

    group.cut.clear();
    group.settle();
    assert_eq!(group.executed(old_primary), ["good"]);
    assert_eq!(group.replica(old_primary).op_number(), OpNumber(1));
    assert_eq!(group.primary(), primary);
}

/// After a crash in between, the journal would be one log and the superblock speak of another.
#[test]
fn journal_follows_a_view_only_when_the_view_is_durable() {
    let mut group = Group::of_three();
    let old_primary = group.primary();
    group.cut.insert(old_primary);
    group.propose("fork");
    group.run();
    group.change_view();
    let primary = group.primary_beside(old_primary);
    group.propose_at(primary, "good");
    group.run();

    group.cut.clear();
    group.slow.insert(old_primary);
    group.settle();
    let is_append = |write: &Effect| matches!(write, Effect::Append(_));
    assert!(!group.writes(old_primary).iter().any(is_append));
    group.complete(old_primary);
    group.settle();
    assert!(group.writes(old_primary).iter().any(is_append));
}

#[test]
fn lost_start_view_is_made_good_by_the_next_commit() {
    let mut group = Group::of_three();
    let next = view(2).primary();
    let late = group
        .backups()
        .into_iter()
        .find(|backup| *backup != next)
        .unwrap();
    group.slow.insert(next);
    group.change_view();
    group.cut.insert(late);
    group.slow.clear();
    group.run();
    group.settle();
    assert_eq!(group.replica(late).status(), Status::ViewChange);
    group.cut.clear();
    let primary = group.primary();
    group.fire(primary, Timer::Commit);
    group.run();
    assert_eq!(group.replica(late).status(), Status::Normal);
}

#[test]
fn a_view_whose_primary_is_dead_is_passed_over() {
    let mut group = Group::new(5, 0, Limits::default());
    group.run();
    let (first, second) = (
        group.primary(),
        group.replica(node(1)).next_view().primary(),
    );
    group.cut.extend([first, second]);
    group.change_view();
    for id in 1..=5 {
        group.fire(node(id), Timer::ViewChangeStalled);
    }
    group.run();
    let third = node(3);
    assert!(group.replica(third).is_primary());
}

/// A member that a majority led into a view, and that then remained alone there, takes the others
/// along.
#[test]
fn promised_view_is_followed() {
    let mut group = Group::of_three();
    let (primary, backups) = (group.primary(), group.backups());
    let old_view = group.replica(primary).view();
    group.fire(backups[0], Timer::PrimarySilent);
    group.fire(backups[1], Timer::PrimarySilent);
    // The first backup hears the second; nobody hears the first.
    let heard = group
        .sent
        .iter()
        .rev()
        .find(|(from, to, _)| *from == backups[1] && *to == backups[0]);
    let (from, _, message) = heard.unwrap().clone();
    group.lose_messages();
    group.step(
        backups[0],
        Event::Message {
            from: founder(from),
            message,
        },
    );
    group.fire(primary, Timer::Commit);
    let commits = group
        .sent
        .iter()
        .rev()
        .find(|(from, to, _)| *from == primary && *to == backups[1]);
    let (from, _, message) = commits.unwrap().clone();
    group.step(
        backups[1],
        Event::Message {
            from: founder(from),
            message,
        },
    );
    group.lose_messages();
    group.complete(backups[0]);
    assert!(group.replica(backups[0]).view() > old_view);
    assert_eq!(group.replica(backups[1]).status(), Status::Normal);

    group.settle();
    let views = group.members.keys().map(|node| group.replica(*node).view());
    assert!(
        views.clone().all(|view| view > old_view),
        "{:?}",
        views.collect::<Vec<_>>()
    );
    group.primary();
}

/// A primary that hears nobody stops saying that it is there, so that those who hear it replace it.
#[test]
fn primary_without_a_majority_falls_silent() {
    let mut group = Group::of_three();
    let primary = group.primary();
    group.fire(primary, Timer::QuorumSilent);
    assert!(!group.members[&primary].armed.contains(&Timer::Commit));
    assert!(!group.replica(primary).has_room());

    group.lose_messages();
    let view = group.replica(primary).view();
    for backup in group.backups() {
        let op = OpNumber(0);
        group.hear(backup, primary, Message::PrepareOk { view, op, round: 0 });
    }
    group.settle();
    assert_eq!(group.primary(), primary, "the others are content with it");
    assert!(group.replica(primary).has_room());
}

/// And if it is heard to ask, there is no use in waiting until it has been silent for long.
#[test]
fn primary_that_asks_for_a_later_view_is_relieved_at_once() {
    let mut group = Group::of_three();
    let (primary, next) = (group.primary(), view(2).primary());
    group.fire(primary, Timer::QuorumSilent);
    group.run();
    assert_eq!(group.primary(), next);
}

/// Nor does it repeat its prepares: whoever hears them would go on believing in it.
#[test]
fn primary_without_a_majority_repeats_no_prepare() {
    let mut group = Group::of_three();
    let primary = group.primary();
    group.propose("a");
    group.lose_messages();
    group.fire(primary, Timer::QuorumSilent);
    let mark = group.sent.len();
    group.fire(primary, Timer::Prepare);
    assert!(
        group.sent_by(primary, mark).is_empty(),
        "{:?}",
        group.sent_by(primary, mark)
    );

    group.change_view();
    group.settle();
    assert!(group.replica(group.primary()).has_room());
}

#[test]
fn foreign_statements_of_a_log_are_ignored() {
    let mut group = Group::of_three();
    let backups = group.backups();
    let head = Head {
        op: OpNumber(9),
        ..Head::default()
    };
    let later = view(4);
    let message = Message::StartView {
        round: 0,
        view: later,
        commit_number: OpNumber(9),
        head,
    };
    let from = backups[1];
    assert_ne!(later.primary(), from);
    group.step(
        backups[0],
        Event::Message {
            from: founder(from),
            message,
        },
    );
    assert_eq!(group.replica(backups[0]).status(), Status::Normal);
    assert_eq!(group.replica(backups[0]).view(), view(1));
}

/// What was got back of a damaged journal is on its way to the disk, and a crash would take it away
/// again: so far it was not promised.
#[test]
fn promise_that_is_told_again_does_not_speak_of_what_is_being_mended() {
    let mut group = Group::of_three();
    let (old_primary, next) = (group.primary(), view(2).primary());
    let backups = group.backups();
    let damaged = backups.into_iter().find(|id| *id != next).unwrap();
    for text in ["a", "b", "c"] {
        group.propose(text);
    }
    group.run();
    let lost = group.replica(old_primary).prepare(OpNumber(2)).cloned();
    group.crash(damaged);
    let disk = &mut group.members.get_mut(&damaged).unwrap().disk;
    disk.journal.retain(|prepare| prepare.op != OpNumber(2));
    group.cut.insert(next);
    group.start(damaged);
    let is_question = |message: &Message| matches!(message, Message::GetPrepares { .. });
    group.network().retain(|it| !is_question(&it.2));
    group.fire(old_primary, Timer::QuorumSilent);
    group.run();
    let sound = |group: &Group, mark| {
        let sent = group.sent_by(damaged, mark).into_iter();
        let mut offers = sent.filter_map(|message| match message {
            Message::DoViewChange { promise, .. } => Some(promise.sound.op),
            _ => None,
        });
        offers.next_back()
    };
    assert_eq!(sound(&group, 0), Some(OpNumber(1)));

    group.slow.insert(damaged);
    let message = Message::NewPrepares {
        view: view(2),
        prepares: vec![lost.unwrap()],
    };
    group.hear(old_primary, damaged, message);
    assert!(!group.replica(damaged).is_damaged());
    let mark = group.sent.len();
    group.fire(damaged, Timer::ViewChangeResend);
    assert_eq!(sound(&group, mark), Some(OpNumber(1)));
    group.slow.clear();
    group.run();
    assert_eq!(sound(&group, mark), Some(OpNumber(3)));
}

/// The paper gives each replica its turn as primary; one that is silent gets none, for it would
/// only cost another wait.
#[test]
fn who_is_not_there_gets_no_turn_when_a_view_change_is_stuck() {
    let mut group = Group::of_three();
    let [first, second, absent] = [node(1), node(2), node(3)];
    assert_eq!(group.primary(), first);
    group.crash(absent);
    group.crash(first);
    group.start(first);
    group.slow.insert(second);
    group.run();
    assert_eq!(group.replica(first).view().primary(), second);
    assert_eq!(group.replica(first).status(), Status::ViewChange);
    group.slow.clear();
    group.lose_messages();
    group.fire(first, Timer::ViewChangeStalled);
    group.fire(second, Timer::ViewChangeStalled);
    group.settle();
    assert_eq!(group.primary(), first);
}

/// Otherwise two who are heard and hear only each other could go on naming each other for ever.
#[test]
fn who_hears_no_majority_gives_everybody_a_turn() {
    let mut group = Group::new(5, 0, Limits::default());
    group.run();
    group.change_view();
    assert_eq!(group.primary(), node(2));
    group.crash(node(2));
    for id in [1, 3, 4, 5] {
        group.slow.insert(node(id));
        group.fire(node(id), Timer::PrimarySilent);
    }
    let first = node(1);
    group.run_while(|it| it.replica(first).status() == Status::Normal);
    assert_eq!(group.replica(first).view().primary(), node(3));
    group.lose_messages();
    group.cut.extend([node(4), node(5)]);
    group.settle();
    let mark = group.sent.len();
    group.fire(first, Timer::ViewChangeStalled);
    let mut sent = group.sent_by(first, mark).into_iter();
    let asked = sent.find_map(|message| match message {
        Message::StartViewChange { view, .. } => Some(*view),
        _ => None,
    });
    let next = group.replica(first).next_view();
    assert_eq!((asked, next.primary()), (Some(next), node(4)));
}

/// An answer that begot an answer would beget them for ever, as fast as the network carries them.
#[test]
fn two_who_do_not_know_each_other_as_voters_answer_with_the_next_repetition() {
    let mut group = Group::of_three();
    group.cut.extend([node(1), node(3)]);
    group.fire(node(2), Timer::PrimarySilent);
    group.run();
    let (from, view) = (member(4, 7), group.replica(node(2)).next_view());
    let asks = Message::StartViewChange {
        view,
        promised: ViewNumber::default(),
    };
    let mark = group.sent.len();
    let told = |group: &Group| {
        let sent = group.sent[mark..].iter();
        sent.filter(|(_, to, _)| *to == from.node).count()
    };
    for _ in 0..3 {
        let message = asks.clone();
        group.step(node(2), Event::Message { from, message });
    }
    assert_eq!(told(&group), 0);
    group.fire(node(2), Timer::ViewChangeResend);
    assert_eq!(told(&group), 1);
    group.fire(node(2), Timer::ViewChangeResend);
    assert_eq!(told(&group), 1);
}
