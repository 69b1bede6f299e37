//! Section 4.1, normal operation.

use quorate_vsr::group::{Effect, Event, Limits, Message, Rejection, Timer};
use quorate_vsr::{NodeId, OpNumber};

use crate::group::{Group, founder, node};

/// "The primary advances op-number, adds the request to the end of the log [...]. Then it sends a
/// PREPARE message to the other replicas."
#[test]
fn primary_numbers_an_operation_and_sends_it_to_everybody_while_it_writes() {
    let mut group = Group::of_three();
    let primary = group.primary();
    let mark = group.sent.len();
    group.propose("a");

    assert_eq!(group.replica(primary).op_number(), OpNumber(1));
    let sent = group.sent_by(primary, mark);
    assert_eq!(sent.len(), 2);
    assert!(
        sent.iter()
            .all(|message| matches!(message, Message::Prepare { prepare, .. }
        if prepare.op == OpNumber(1)))
    );
    assert!(
        matches!(group.writes(primary)[0], Effect::Append(_)),
        "the write is under way"
    );
}

/// "It adds the request to the end of its log [...] and sends a PREPAREOK to the primary": here,
/// the end of the log is the disk.
#[test]
fn backup_acknowledges_only_what_is_on_stable_storage() {
    let mut group = Group::of_three();
    let backup = group.backups()[0];
    group.slow.insert(backup);
    group.propose("a");
    let mark = group.sent.len();
    group.run();
    assert_eq!(group.replica(backup).op_number(), OpNumber(1));
    let has_acknowledged = |group: &Group| {
        let sent = group.sent_by(backup, mark);
        sent.iter().any(|message| {
            matches!(
                message,
                Message::PrepareOk {
                    op: OpNumber(1),
                    ..
                }
            )
        })
    };
    assert!(!has_acknowledged(&group));

    group.slow.clear();
    group.run();
    assert!(has_acknowledged(&group));
}

/// "Backups process PREPARE messages in order: a backup won't accept a prepare with op-number n
/// until it has entries for all earlier requests in its log."
#[test]
fn backup_asks_for_what_it_missed_instead_of_leaving_a_gap() {
    let mut group = Group::of_three();
    let (primary, backup) = (group.primary(), group.backups()[0]);
    group.cut.insert(backup);
    group.propose("a");
    group.run();
    group.cut.clear();
    let mark = group.sent.len();
    group.propose("b");
    group.run();

    let asked = group.sent_by(backup, mark);
    assert!(
        asked
            .iter()
            .any(|message| matches!(message, Message::GetState { .. }))
    );
    assert_eq!(group.replica(backup).op_number(), OpNumber(2));
    assert_eq!(
        group.replica(primary).prepare(OpNumber(1)),
        group.replica(backup).prepare(OpNumber(1))
    );
}

/// "The primary waits for f PREPAREOK messages from different backups; at this point it considers
/// the operation (and all earlier ones) to be committed."
#[test]
fn primary_commits_with_a_majority_and_not_before() {
    let mut group = Group::of_three();
    let (primary, backups) = (group.primary(), group.backups());
    group.cut.extend(&backups);
    group.propose("a");
    group.run();
    assert_eq!(
        group.replica(primary).commit_number(),
        OpNumber(0),
        "one of three is no majority"
    );

    group.cut.remove(&backups[1]);
    group.settle();
    assert_eq!(group.replica(primary).commit_number(), OpNumber(1));
    assert_eq!(group.executed(primary), ["a"]);
}

#[test]
fn primary_does_not_count_itself_before_its_own_write_is_done() {
    let mut group = Group::of_three();
    let (primary, backups) = (group.primary(), group.backups());
    group.slow.insert(primary);
    group.cut.insert(backups[0]);
    group.propose("a");
    group.run();
    assert_eq!(
        group.replica(primary).commit_number(),
        OpNumber(0),
        "only one disk has it"
    );

    group.slow.clear();
    group.run();
    assert_eq!(group.replica(primary).commit_number(), OpNumber(1));
}

#[test]
fn a_majority_of_backups_commits_while_the_disk_of_the_primary_is_slow() {
    let mut group = Group::of_three();
    let primary = group.primary();
    group.slow.insert(primary);
    group.propose("a");
    group.run();
    assert_eq!(group.replica(primary).commit_number(), OpNumber(1));
}

/// "Normally the primary informs backups about the commit when it sends the next PREPARE message
/// [...]. However, if the primary does not receive a new client request in a timely way, it instead
/// informs the backups of the latest commit by sending them a COMMIT message."
#[test]
fn backups_learn_of_the_commit_from_the_next_message() {
    let mut group = Group::of_three();
    let backups = group.backups();
    group.propose("a");
    group.propose("b");
    group.run();
    for backup in backups {
        assert_eq!(group.executed(backup), ["a", "b"]);
    }
}

#[test]
fn idle_primary_says_that_it_is_there() {
    let mut group = Group::of_three();
    let primary = group.primary();
    let mark = group.sent.len();
    group.fire(primary, Timer::Commit);
    let sent = group.sent_by(primary, mark);
    assert_eq!(sent.len(), 2);
    assert!(
        sent.iter()
            .all(|message| matches!(message, Message::Commit { .. }))
    );
    assert!(
        group.members[&primary].armed.contains(&Timer::Commit),
        "and will say it again"
    );
}

/// "Replicas only process normal protocol messages containing a view-number that matches the
/// view-number they know."
#[test]
fn backup_ignores_prepare_from_old_view() {
    let mut group = Group::of_three();
    let old_primary = group.primary();
    group.cut.insert(old_primary);
    group.propose("old");
    let old = group.sent.iter().rev().find(|(from, _, message)| {
        *from == old_primary && matches!(message, Message::Prepare { .. })
    });
    let (from, _, message) = old.unwrap().clone();
    group.change_view();
    let primary = group.primary_beside(old_primary);
    let is_backup = |node: &&NodeId| **node != old_primary && **node != primary;
    let backup = *group.members.keys().find(is_backup).unwrap();

    group.step(
        backup,
        Event::Message {
            from: founder(from),
            message,
        },
    );
    assert_eq!(group.replica(backup).op_number(), OpNumber(0));
}

#[test]
fn lost_prepares_and_lost_acknowledgements_are_made_good() {
    let mut group = Group::of_three();
    let primary = group.primary();
    group.propose("a");
    group.lose_messages();
    group.propose("b");
    group.run();
    group.lose_messages();
    group.settle();
    assert_eq!(group.replica(primary).commit_number(), OpNumber(2));
}

#[test]
fn operations_are_pipelined_up_to_the_limit() {
    let limits = Limits {
        pipeline_max: 2,
        ..Limits::default()
    };
    let mut group = Group::new(3, 0, limits);
    group.run();
    let primary = group.primary();
    for text in ["a", "b", "c"] {
        group.propose(text);
    }
    assert_eq!(group.replica(primary).op_number(), OpNumber(2));
    assert!(!group.replica(primary).has_room());
    group.step(primary, Event::Register { client: 1 });
    let reason = Rejection::Busy;
    let refused = Effect::RejectRequest {
        client: 1,
        request_number: 0,
        reason,
    };
    assert_eq!(group.answers(primary), [refused]);

    group.run();
    assert_eq!(group.executed(primary), ["a", "b"]);
    assert!(group.replica(primary).has_room());
}

#[test]
fn backup_refuses_requests() {
    let mut group = Group::of_three();
    let backup = group.backups()[0];
    group.step(backup, Event::Register { client: 1 });
    let reason = Rejection::NotPrimary;
    let refused = Effect::RejectRequest {
        client: 1,
        request_number: 0,
        reason,
    };
    assert_eq!(group.answers(backup), [refused]);
    group.step(
        backup,
        Event::Propose {
            operation: b"a".to_vec(),
        },
    );
    assert_eq!(group.replica(backup).op_number(), OpNumber(0));
}

#[test]
fn standby_follows_without_a_vote() {
    let mut group = Group::new(3, 1, Limits::default());
    group.run();
    let standby = node(4);
    let mark = group.sent.len();
    let backups = group.backups();
    group.cut.extend(&backups);
    group.propose("a");
    group.run();
    assert_eq!(group.replica(standby).op_number(), OpNumber(1));
    let said = group.sent_by(standby, mark);
    let acknowledges = |message: &&Message| matches!(message, Message::PrepareOk { .. });
    assert!(said.iter().all(acknowledges), "{said:?}");
    let primary = group.primary();
    assert_eq!(
        group.replica(primary).commit_number(),
        OpNumber(0),
        "its copy does not count"
    );

    group.cut.clear();
    group.settle();
    assert_eq!(group.executed(standby), ["a"]);
}
