//! Messages that can be read and that no sound member sends: views, numbers and places that are
//! made up. In whatever state a replica is, none of them makes it panic.

use proptest::prelude::*;
use proptest::sample::Index;
use quorate_vsr::NodeId;
use quorate_vsr::group::{DiskId, Effect, Event, Limits, Member, Message, Replica};

use crate::group::Group;
use crate::mutation::{mutations, seal};

/// Replicas in all the states that a run went through, and everything that was said in it.
fn states_and_messages() -> (Vec<Replica>, Vec<Vec<u8>>) {
    let limits = Limits {
        checkpoint_interval: 4,
        ..Limits::default()
    };
    let mut states = Vec::new();
    let mut messages = Vec::new();
    let mut take = |group: &Group| {
        let members = group.members.values();
        states.extend(members.filter_map(|member| member.replica.clone()));
    };
    let mut group = Group::new(3, 1, limits);
    take(&group);
    group.run();
    take(&group);
    group.settle();
    let session = group.register(7);
    let backup = group.backups()[0];
    group.cut.insert(backup);
    for number in 1..=12 {
        group.request(7, session, number, "op");
        take(&group);
        group.run();
        take(&group);
    }
    group.cut.clear();
    group.settle();
    group.slow.extend(group.backups());
    group.propose("slow");
    group.run();
    take(&group);
    group.change_view();
    take(&group);
    while let Some(node) = group
        .members
        .keys()
        .copied()
        .find(|node| !group.writes(*node).is_empty())
    {
        group.complete(node);
        take(&group);
    }
    group.slow.clear();
    group.settle();
    take(&group);
    messages.extend(group.sent.iter().map(|(_, _, message)| message.encode()));
    (states, messages)
}

/// A message in three can be read; all of them are tried.
const CASES: u32 = 60_000;

#[test]
fn no_message_makes_a_replica_panic() {
    let (states, messages) = states_and_messages();
    let case = (any::<Index>(), any::<Index>(), any::<Index>(), mutations());
    let config = ProptestConfig {
        cases: CASES,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let tried = std::cell::Cell::new(0);
    proptest!(config, |((state, sender, message, mutations) in case)| {
        let replica = state.get(&states);
        let mut bytes = message.get(&messages).clone();
        for mutation in &mutations {
            mutation.apply(&mut bytes);
        }
        seal(&mut bytes);
        let Ok(message) = Message::decode(&bytes) else {
            return Ok(());
        };
        tried.set(tried.get() + 1);
        let senders: Vec<_> = (1..=4).map(NodeId).collect();
        let from = Member {
            node: *sender.get(&senders),
            disk: DiskId(0),
        };
        let mut replica = replica.clone();
        let mut effects: Vec<Effect> = Vec::new();
        replica.step(Event::Message { from, message }, &mut effects);
    });
    assert!(
        tried.get() > CASES / 6,
        "{} of {CASES} can be read",
        tried.get()
    );
}
