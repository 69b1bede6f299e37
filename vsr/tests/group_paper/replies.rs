//! Section 4.1, steps 3 to 7: what a prepare carries, what counts towards a commit, and who replies
//! when.

use quorate_vsr::OpNumber;
use quorate_vsr::group::{Effect, Limits, Message, Prepare};

use crate::group::{Group, node};

/// The prepares that the primary has sent since a mark, with the commit numbers they carried.
fn prepares(group: &Group, mark: usize) -> Vec<(Prepare, OpNumber)> {
    let sent = group.sent_by(group.primary(), mark);
    let prepares = sent.into_iter().filter_map(|message| match message {
        Message::Prepare {
            prepare,
            commit_number,
            ..
        } => Some((prepare.clone(), *commit_number)),
        _ => None,
    });
    prepares.collect()
}

/// "Then it sends a <PREPARE v, m, n, k> message to the other replicas, where v is the current
/// view-number, m is the message it received from the client, n is the op-number it assigned to the
/// request, and k is the commit-number."
#[test]
fn prepare_carries_the_view_the_operation_its_number_and_the_commit_number() {
    let mut group = Group::of_three();
    let view = group.replica(group.primary()).view();
    group.propose("a");
    group.run();
    let mark = group.sent.len();
    group.propose("b");
    let prepares = prepares(&group, mark);
    assert_eq!(prepares.len(), 2, "one for each of the others");
    for (prepare, commit_number) in prepares {
        assert_eq!((prepare.op, prepare.view), (OpNumber(2), view));
        assert!(prepare.is_sound());
        assert_eq!(commit_number, OpNumber(1));
    }
}

/// "The primary waits for f PREPAREOK messages from *different* backups."
#[test]
fn an_acknowledgement_that_arrives_twice_counts_once() {
    let mut group = Group::new(5, 0, Limits::default());
    group.run();
    let primary = group.primary();
    let backups = group.backups();
    group.cut.extend(&backups[1..]);
    let committed = group.replica(primary).commit_number();
    group.propose("a");
    group.run();
    for _ in 0..3 {
        group.fire(primary, quorate_vsr::group::Timer::Prepare);
        group.run();
    }
    let acknowledged = |message: &&Message| matches!(message, Message::PrepareOk { .. });
    let count = group
        .sent_by(backups[0], 0)
        .into_iter()
        .filter(acknowledged)
        .count();
    assert!(count > 2, "{count} acknowledgements of one backup");
    assert_eq!(group.replica(primary).commit_number(), committed);
}

/// "Then, after it has executed all earlier operations (those assigned smaller op-numbers), the
/// primary executes the operation by making an up-call to the service code, and sends a <REPLY v,
/// s, x> message to the client."
#[test]
fn operations_are_executed_and_replied_to_in_order() {
    let mut group = Group::of_three();
    let session = group.register(7);
    let primary = group.primary();
    let before = group.answers(primary).len();
    group.slow.insert(primary);
    group.slow.extend(group.backups());
    for (number, text) in [(1, "a"), (2, "b"), (3, "c")] {
        group.request(7, session, number, text);
    }
    group.run();
    assert_eq!(
        group.answers(primary).len(),
        before,
        "nothing is durable yet"
    );
    group.slow.clear();
    group.run();
    assert_eq!(group.executed(primary), ["a", "b", "c"]);
    let replies = group.answers(primary)[before..]
        .iter()
        .map(|answer| match answer {
            Effect::Reply { request_number, .. } => *request_number,
            other => panic!("{other:?}"),
        });
    assert_eq!(replies.collect::<Vec<_>>(), [1, 2, 3]);
}

/// "The primary also updates the client's entry in the client-table to contain the result."
#[test]
fn result_is_in_the_client_table_of_every_replica() {
    let mut group = Group::of_three();
    let session = group.register(7);
    group.request(7, session, 1, "a");
    group.run();
    group.settle();
    for id in [1, 2, 3] {
        let table = group.replica(node(id)).client_table();
        let entry = table.get(7).expect("the client has a session");
        assert_eq!(
            (entry.request_number, entry.reply.as_slice()),
            (1, &b"did a"[..])
        );
    }
}

/// "When a backup learns of a commit, it waits until it has the request in its log (which may
/// require state transfer) and until it has executed all earlier operations. Then it executes the
/// operation by performing the up-call to the service code, increments its commit-number, updates
/// the client's entry in the client-table, but does not send the reply to the client."
#[test]
fn backup_executes_what_it_has_and_replies_to_nobody() {
    let mut group = Group::of_three();
    let session = group.register(7);
    let late = group.backups()[0];
    group.cut.insert(late);
    group.request(7, session, 1, "a");
    group.run();
    group.request(7, session, 2, "b");
    group.run();
    assert_eq!(group.executed(late), [""; 0], "it has not heard of them");
    group.cut.clear();
    group.settle();
    assert_eq!(group.executed(late), ["a", "b"]);
    assert!(group.replica(late).commit_number() >= OpNumber(3));
    assert!(group.answers(late).is_empty());
}
