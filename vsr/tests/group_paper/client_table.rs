//! The client table of section 4.1 (steps 1, 2 and 6), with sessions.

use quorate_vsr::group::{Effect, Event, Limits, Rejection};

use crate::group::Group;

fn reply(client: u128, request_number: u64, text: &str) -> Effect {
    Effect::Reply {
        client,
        request_number,
        reply: text.as_bytes().to_vec(),
    }
}

fn rejection(client: u128, request_number: u64, reason: Rejection) -> Effect {
    Effect::RejectRequest {
        client,
        request_number,
        reason,
    }
}

#[test]
fn session_is_the_number_of_its_registration() {
    let mut group = Group::of_three();
    group.propose("a");
    assert_eq!(group.register(7), 2);
    assert_eq!(group.register(8), 3);
}

/// "If the request-number isn't bigger than the information in the table it drops the request, but
/// it will re-send the response if the request is the most recent one from this client."
#[test]
fn repeated_request_is_answered_from_the_table() {
    let mut group = Group::of_three();
    let (primary, session) = (group.primary(), group.register(7));
    group.request(7, session, 1, "a");
    group.run();
    group.request(7, session, 1, "a");
    group.run();

    assert_eq!(group.executed(primary), ["a"]);
    let answers = &group.answers(primary)[1..];
    assert_eq!(answers, [reply(7, 1, "did a"), reply(7, 1, "did a")]);
}

#[test]
fn request_that_is_under_way_is_not_taken_twice() {
    let mut group = Group::of_three();
    let (primary, session) = (group.primary(), group.register(7));
    group.request(7, session, 1, "a");
    group.request(7, session, 1, "a");
    group.run();
    assert_eq!(group.executed(primary), ["a"]);
    assert_eq!(group.answers(primary)[1..], [reply(7, 1, "did a")]);
}

#[test]
fn older_request_is_stale() {
    let mut group = Group::of_three();
    let (primary, session) = (group.primary(), group.register(7));
    group.request(7, session, 5, "five");
    group.request(7, session, 4, "four");
    assert_eq!(
        group.answers(primary)[1..],
        [rejection(7, 4, Rejection::Stale)]
    );
    group.run();
    group.request(7, session, 4, "four");
    assert_eq!(
        group.answers(primary).last(),
        Some(&rejection(7, 4, Rejection::Stale))
    );
    assert_eq!(group.executed(primary), ["five"]);
}

#[test]
fn unknown_session_is_named_as_such() {
    let mut group = Group::of_three();
    let (primary, session) = (group.primary(), group.register(7));
    group.request(7, session + 1, 1, "a");
    group.request(8, session, 1, "a");
    let expected = [
        rejection(7, 1, Rejection::UnknownSession),
        rejection(8, 1, Rejection::UnknownSession),
    ];
    assert_eq!(group.answers(primary)[1..], expected);
}

#[test]
fn session_that_was_idle_longest_is_evicted_everywhere() {
    let limits = Limits {
        clients_max: 2,
        ..Limits::default()
    };
    let mut group = Group::new(3, 0, limits);
    group.run();
    let first = group.register(1);
    let second = group.register(2);
    group.request(1, first, 1, "a");
    group.run();
    group.register(3);

    let primary = group.primary();
    group.request(2, second, 1, "b");
    let evicted = rejection(2, 1, Rejection::UnknownSession);
    assert_eq!(group.answers(primary).last(), Some(&evicted));
    for backup in group.backups() {
        assert_eq!(
            group.replica(backup).client_table(),
            group.replica(primary).client_table()
        );
        assert!(group.replica(backup).client_table().get(2).is_none());
    }
}

/// A request that was taken in before its session was evicted is not executed.
#[test]
fn eviction_counts_at_execution() {
    let limits = Limits {
        clients_max: 1,
        ..Limits::default()
    };
    let mut group = Group::new(3, 0, limits);
    group.run();
    let (primary, session) = (group.primary(), group.register(1));
    group.step(primary, Event::Register { client: 2 });
    group.request(1, session, 1, "too late");
    group.run();
    assert!(group.executed(primary).is_empty());
    let refused = rejection(1, 1, Rejection::UnknownSession);
    assert_eq!(group.answers(primary).last(), Some(&refused));
}

/// The first flaw of the paper's table: a client that has lost count of its requests uses a number
/// again, and is answered with another request's reply.
#[test]
fn client_that_registers_again_leaves_its_old_session_behind() {
    let mut group = Group::of_three();
    let (primary, old) = (group.primary(), group.register(7));
    group.request(7, old, 1, "a");
    group.run();
    let new = group.register(7);
    assert_ne!(old, new);
    group.request(7, new, 1, "b");
    group.run();
    assert_eq!(group.answers(primary).last(), Some(&reply(7, 1, "did b")));
    group.request(7, old, 2, "c");
    let refused = rejection(7, 2, Rejection::UnknownSession);
    assert_eq!(group.answers(primary).last(), Some(&refused));
}

#[test]
fn registration_that_arrives_twice_gives_one_session() {
    let mut group = Group::of_three();
    let session = group.register(7);
    assert_eq!(group.register(7), session);
}

#[test]
fn new_primary_knows_what_was_answered() {
    let mut group = Group::of_three();
    let (old_primary, session) = (group.primary(), group.register(7));
    group.request(7, session, 1, "a");
    group.run();
    group.cut.insert(old_primary);
    group.change_view();
    let primary = group.primary_beside(old_primary);
    let operation = b"a".to_vec();
    group.step(
        primary,
        Event::Request {
            client: 7,
            session,
            request_number: 1,
            operation,
        },
    );
    assert_eq!(group.answers(primary), [reply(7, 1, "did a")]);
}
