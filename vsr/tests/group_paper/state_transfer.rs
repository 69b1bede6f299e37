//! Sections 5.1 and 5.2, checkpoints and state transfer.

use quorate_vsr::OpNumber;
use quorate_vsr::group::{Effect, Event, Limits, Message, Status, Timer};

use crate::group::{Group, founder, node};

fn limits() -> Limits {
    Limits {
        checkpoint_interval: 4,
        ..Limits::default()
    }
}

fn work(group: &mut Group, from: u32, to: u32) {
    for number in from..=to {
        group.propose(&format!("op {number}"));
        group.run();
    }
}

#[test]
fn checkpoint_takes_the_place_of_the_journal_before_the_last_one() {
    let mut group = Group::new(3, 0, limits());
    group.run();
    work(&mut group, 1, 9);
    let primary = group.primary();
    assert_eq!(group.replica(primary).checkpoint_op(), OpNumber(8));
    let disk = &group.members[&primary].disk;
    assert_eq!(disk.superblock.as_ref().unwrap().checkpoint.op, OpNumber(8));
    assert_eq!(
        disk.journal.first().unwrap().op,
        OpNumber(5),
        "the first checkpoint covers the rest"
    );
}

#[test]
fn journal_stays_until_the_superblock_names_the_checkpoint() {
    let mut group = Group::new(1, 0, limits());
    group.run();
    work(&mut group, 1, 7);
    group.propose("op 8");
    group.complete(node(1));
    assert!(matches!(
        group.writes(node(1))[0],
        Effect::PersistCheckpoint(_)
    ));
    group.complete(node(1));
    assert!(matches!(group.writes(node(1))[0], Effect::Persist(_)));
    group.crash(node(1));
    group.start(node(1));
    group.settle();
    let expected: Vec<String> = (1..=8).map(|number| format!("op {number}")).collect();
    assert_eq!(group.executed(node(1)), expected);
}

/// "To bring itself up to date, [a lagging replica] sends a GETSTATE message": a little behind
/// means prepares.
#[test]
fn replica_that_is_a_little_behind_gets_prepares() {
    let mut group = Group::new(3, 0, limits());
    group.run();
    let backup = group.backups()[0];
    work(&mut group, 1, 5);
    group.cut.insert(backup);
    work(&mut group, 6, 9);
    group.cut.clear();
    let mark = group.sent.len();
    group.settle();
    assert_eq!(group.replica(backup).executed(), OpNumber(9));
    let primary = group.primary();
    let sent = group.sent_by(primary, mark);
    assert!(
        !sent
            .iter()
            .any(|message| matches!(message, Message::CheckpointPiece { .. }))
    );
}

#[test]
fn large_journals_come_in_pieces() {
    let limits = Limits {
        state_transfer_bytes_max: 1,
        ..Limits::default()
    };
    let mut group = Group::new(3, 0, limits);
    group.run();
    let backup = group.backups()[0];
    group.cut.insert(backup);
    work(&mut group, 1, 6);
    group.cut.clear();
    let mark = group.sent.len();
    let primary = group.primary();
    group.fire(primary, Timer::Commit);
    group.run();
    assert_eq!(group.replica(backup).executed(), OpNumber(6));
    let sent = group.sent_by(primary, mark);
    let pieces = sent.iter().filter_map(|message| match message {
        Message::NewState { prepares, .. } => Some(prepares.len()),
        _ => None,
    });
    assert_eq!(pieces.collect::<Vec<_>>(), [1; 6]);
}

/// The two journals part long after the last place that the question names, and an answer holds one
/// prepare: each brings the next question one place further.
#[test]
fn fork_is_replaced_however_short_the_answers_are() {
    let limits = Limits {
        state_transfer_bytes_max: 1,
        ..Limits::default()
    };
    let mut group = Group::new(3, 0, limits);
    group.run();
    let deposed = group.primary();
    // The prepares reach everybody, and nobody learns that they are committed.
    let is_ok = |message: &Message| matches!(message, Message::PrepareOk { .. });
    for number in 1..=20 {
        group.propose(&format!("shared {number}"));
    }
    group.run_while(|group| !group.is_next(is_ok));
    group.lose_messages();
    group.cut.insert(deposed);
    for number in 1..=7 {
        group.propose_at(deposed, &format!("fork {number}"));
    }
    group.run();
    group.change_view();
    group.settle();
    let primary = group.primary_beside(deposed);
    group.propose_at(primary, "later");
    group.settle();
    group.cut.clear();
    group.settle();
    assert_eq!(group.primary(), primary);
    assert_eq!(group.executed(deposed).len(), 21);
    assert_eq!(group.executed(deposed), group.executed(primary));
}

/// "[...] the application state [is brought up to date] by transferring it": far behind means the
/// state.
#[test]
fn replica_that_is_far_behind_gets_the_checkpoint() {
    let mut group = Group::new(3, 0, limits());
    group.run();
    let session = group.register(7);
    let backup = group.backups()[0];
    group.cut.insert(backup);
    group.request(7, session, 1, "mine");
    work(&mut group, 1, 20);
    group.cut.clear();
    let mark = group.sent.len();
    group.settle();
    let primary = group.primary();
    let sent = group.sent_by(primary, mark);
    assert!(
        sent.iter()
            .any(|message| matches!(message, Message::CheckpointPiece { .. }))
    );
    assert_eq!(
        group.replica(backup).executed(),
        group.replica(primary).executed()
    );
    assert_eq!(group.executed(backup), group.executed(primary));
    assert_eq!(
        group.replica(backup).client_table(),
        group.replica(primary).client_table()
    );
}

/// A foreign checkpoint is installed as a whole or not at all, wherever the crash comes.
#[test]
fn crash_while_a_checkpoint_is_installed_leaves_the_old_state_or_the_new() {
    for writes in 0..3 {
        let mut group = Group::new(3, 0, limits());
        group.run();
        let backup = group.backups()[0];
        work(&mut group, 1, 5);
        group.cut.insert(backup);
        work(&mut group, 6, 20);
        group.cut.clear();
        group.slow.insert(backup);
        group.settle();
        assert!(matches!(
            group.writes(backup)[0],
            Effect::PersistCheckpoint(_)
        ));
        for _ in 0..writes {
            group.complete(backup);
        }
        group.crash(backup);
        group.start(backup);
        let executed = group.replica(backup).executed();
        let expected = if writes < 2 {
            OpNumber(4)
        } else {
            OpNumber(20)
        };
        assert!(executed >= expected, "{executed:?} after {writes} writes");
        assert_eq!(
            group.executed(backup).len(),
            usize::try_from(executed.0).unwrap()
        );

        group.slow.clear();
        group.settle();
        assert_eq!(group.replica(backup).status(), Status::Normal);
        assert_eq!(group.replica(backup).executed(), OpNumber(20));
    }
}

#[test]
fn new_primary_takes_a_checkpoint_when_its_own_journal_is_too_short() {
    let mut group = Group::new(3, 0, limits());
    group.run();
    let old_primary = group.primary();
    let next = group.replica(old_primary).next_view().primary();
    group.cut.insert(next);
    work(&mut group, 1, 20);
    group.cut.clear();
    group.cut.insert(old_primary);
    group.change_view();
    group.settle();
    assert!(group.replica(next).is_primary());
    assert_eq!(group.replica(next).executed(), OpNumber(20));
}

#[test]
fn nobody_is_answered_in_another_view() {
    let mut group = Group::of_three();
    let (primary, backup) = (group.primary(), group.backups()[0]);
    let mark = group.sent.len();
    let view = group.replica(primary).next_view();
    let message = Message::GetState {
        view,
        known: vec![Default::default()],
    };
    group.step(
        primary,
        Event::Message {
            from: founder(backup),
            message,
        },
    );
    assert!(group.sent_by(primary, mark).is_empty());
}

#[test]
fn backup_whose_disk_hangs_holds_a_limited_journal_and_catches_up_later() {
    let limits = Limits {
        checkpoint_interval: 4,
        pipeline_max: 2,
        ..Limits::default()
    };
    let mut group = Group::new(3, 0, limits);
    group.run();
    let (primary, backup) = (group.primary(), group.backups()[0]);
    group.slow.insert(backup);
    for number in 0..50 {
        group.propose(&number.to_string());
        group.settle();
    }
    assert_eq!(group.replica(primary).commit_number(), OpNumber(50));
    assert_eq!(group.replica(backup).op_number(), OpNumber(2 * 4 + 2));

    group.slow.clear();
    group.settle();
    assert_eq!(group.executed(backup), group.executed(primary));
    assert_eq!(group.executed(backup).len(), 50);
}
