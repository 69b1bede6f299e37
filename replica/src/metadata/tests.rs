use super::*;
use quorate_vsr::Epoch;
use quorate_wire::{Code, Compaction, Limit, Part, Refusal, Retention, TOPIC_NAME_BYTES_MAX};

fn control_address(node: u16) -> String {
    format!("127.0.0.1:{}", 7000 + 10 * node)
}

pub(super) fn node_up(node: u16, incarnation: u64) -> Operation {
    node_up_with(node, incarnation, 0)
}

pub(super) fn node_up_with(node: u16, incarnation: u64, disk: u64) -> Operation {
    Operation::NodeUp {
        node,
        incarnation,
        disk,
        control_address: control_address(node),
        shard_addresses: vec![format!("127.0.0.1:{}", 7001 + 10 * node)],
    }
}

pub(super) fn add(node: u16) -> Operation {
    Operation::AddNode {
        node,
        control_address: control_address(node),
    }
}

pub(super) fn catalog_of(nodes: u16) -> Catalog {
    let mut catalog = Catalog::default();
    let founder = |node| Founder {
        node,
        control_address: control_address(node),
        disk: Some(0),
    };
    catalog.apply(&Operation::Found {
        members: (1..=nodes).map(founder).collect(),
    });
    for node in 1..=nodes {
        catalog.apply(&node_up(node, 1));
    }
    catalog
}

fn create(name: &str, partitions: u32, replication: u16) -> Operation {
    Operation::CreateTopic {
        name: name.to_owned(),
        partitions,
        replication,
        compaction: None,
    }
}

pub(super) fn with_topic(mut catalog: Catalog, partitions: u32, replication: u16) -> Catalog {
    let reply = catalog.apply(&create("events", partitions, replication));
    assert!(
        matches!(reply, Some(Outcome::TopicCreated { .. })),
        "{reply:?}"
    );
    catalog
}

/// Why the catalog refuses `operation`, which changes nothing.
pub(super) fn refused(catalog: &mut Catalog, operation: &Operation) -> Refusal {
    let before = catalog.clone();
    let Some(Outcome::Refused(refusal)) = catalog.apply(operation) else {
        panic!("{operation:?} was not refused");
    };
    assert_eq!(*catalog, before);
    refusal
}

fn refusal(catalog: &mut Catalog, operation: &Operation) -> Code {
    refused(catalog, operation).code
}

/// Applies what nothing speaks against.
pub(super) fn accepted(catalog: &mut Catalog, operation: &Operation) {
    assert_eq!(catalog.apply(operation), Some(Outcome::Accepted));
}

pub(super) fn down(node: u16, incarnation: u64) -> Operation {
    Operation::NodeDown { node, incarnation }
}

#[test]
fn a_bad_topic_is_refused_and_changes_nothing() {
    let mut catalog = with_topic(catalog_of(3), 1, 1);
    let long = "x".repeat(TOPIC_NAME_BYTES_MAX + 1);
    for name in ["", ".", "..", "a b", "ä", "a/b", long.as_str()] {
        assert_eq!(
            refusal(&mut catalog, &create(name, 1, 1)),
            Code::InvalidTopicName
        );
    }
    assert_eq!(
        refusal(&mut catalog, &create("events", 1, 1)),
        Code::TopicExists
    );
    assert_eq!(
        refusal(&mut catalog, &create("t", 0, 1)),
        Code::InvalidPartitions
    );
    assert_eq!(
        refusal(&mut catalog, &create("t", 10_001, 1)),
        Code::InvalidPartitions
    );
    assert_eq!(
        refusal(&mut catalog, &create("t", 1, 0)),
        Code::InvalidReplication
    );
    assert_eq!(
        refusal(&mut catalog, &create("t", 1, 4)),
        Code::InvalidReplication
    );
    let unknown = Operation::DeleteTopic {
        name: "t".to_owned(),
    };
    assert_eq!(refusal(&mut catalog, &unknown), Code::UnknownTopic);
}

#[test]
fn partitions_have_a_limit_in_all() {
    let mut catalog = catalog_of(1);
    for topic in 0..5 {
        catalog.apply(&create(&format!("t{topic}"), 10_000, 1));
    }
    assert_eq!(catalog.partitions.len(), PARTITIONS_MAX);
    assert_eq!(
        refusal(&mut catalog, &create("more", 1, 1)),
        Code::InvalidPartitions
    );
}

#[test]
fn ids_of_deleted_partitions_are_never_used_again() {
    let mut catalog = with_topic(catalog_of(1), 2, 1);
    catalog.apply(&Operation::DeleteTopic {
        name: "events".to_owned(),
    });
    assert!(catalog.partitions.is_empty());
    assert!(catalog.is_deleted(1) && catalog.is_deleted(2) && !catalog.is_deleted(3));
    let catalog = with_topic(catalog, 1, 1);
    assert_eq!(catalog.partitions.keys().copied().collect::<Vec<_>>(), [3]);
}

#[test]
fn a_restarted_node_leads_nothing_in_an_epoch_from_before_its_restart() {
    let mut catalog = with_topic(catalog_of(3), 6, 3);
    let led: Vec<_> = catalog
        .partitions
        .values()
        .filter(|p| p.leader == NodeId(2))
        .map(|p| p.id)
        .collect();
    assert_eq!(led.len(), 2);
    catalog.apply(&node_up(2, 99));
    for partition in catalog.partitions.values() {
        let expected = if led.contains(&partition.id) {
            Epoch(2)
        } else {
            Epoch(1)
        };
        assert_eq!(partition.epoch, expected, "{partition:?}");
    }
}

#[test]
fn the_same_node_up_twice_changes_nothing() {
    let mut catalog = with_topic(catalog_of(3), 6, 3);
    let before = catalog.clone();
    catalog.apply(&node_up(2, 1));
    assert_eq!(catalog, before);
}

#[test]
fn a_dead_node_leads_nothing_that_a_live_voter_can_lead() {
    let mut catalog = with_topic(catalog_of(3), 9, 3);
    catalog.apply(&down(1, 1));
    assert!(
        catalog
            .partitions
            .values()
            .all(|partition| partition.leader != NodeId(1))
    );
    catalog.apply(&down(2, 1));
    assert!(
        catalog
            .partitions
            .values()
            .all(|partition| partition.leader == NodeId(3))
    );
    catalog.apply(&down(3, 1));
    catalog.apply(&node_up(1, 2));
    assert!(
        catalog
            .partitions
            .values()
            .all(|partition| partition.leader == NodeId(1))
    );
}

#[test]
fn a_node_that_came_up_again_is_not_taken_down_by_an_old_suspicion() {
    let mut catalog = catalog_of(3);
    catalog.apply(&node_up(1, 2));
    let before = catalog.clone();
    catalog.apply(&down(1, 1));
    assert_eq!(catalog, before);
}

#[test]
fn a_move_decided_on_an_older_epoch_does_nothing() {
    let mut catalog = with_topic(catalog_of(3), 1, 3);
    let step = Move {
        partition: 1,
        epoch: 1,
        leader: 2,
    };
    catalog.apply(&Operation::MoveLeaders { moves: vec![step] });
    assert_eq!(
        (catalog.partitions[&1].leader, catalog.partitions[&1].epoch),
        (NodeId(2), Epoch(2))
    );
    let before = catalog.clone();
    let stale = Move { leader: 3, ..step };
    let foreign = Move {
        epoch: 2,
        leader: 9,
        ..step
    };
    catalog.apply(&Operation::MoveLeaders {
        moves: vec![stale, foreign],
    });
    assert_eq!(catalog, before);
}

#[test]
fn a_snapshot_gives_back_the_same_catalog() {
    let mut catalog = with_topic(catalog_of(3), 9, 2);
    let leaving = Operation::RemoveNode {
        node: 3,
        may_shrink: true,
    };
    accepted(&mut catalog, &leaving);
    catalog.apply(&down(1, 1));
    accepted(&mut catalog, &add(4));
    for (partition, epoch) in catalog.partitions.values_mut().zip(2..) {
        partition.epoch = Epoch(epoch);
        partition.previous = vec![NodeId(1)];
        partition.learners = vec![NodeId(2), NodeId(4)];
        partition.absent = vec![NodeId(3)];
        let named = partition.named().into_iter();
        partition.since = named.zip((1..).map(Epoch)).collect();
    }
    assert_eq!(Catalog::decode(&catalog.encode()), Ok(catalog));
    assert!(Catalog::decode(b"").is_err());
    assert!(Catalog::decode(b"\x01\x00nonsense").is_err());
}

#[test]
fn clients_are_told_what_they_asked_for() {
    let catalog = with_topic(catalog_of(2), 2, 2);
    let metadata = Metadata {
        catalog: Arc::new(catalog),
        membership: Membership::founded_by(&[NodeId(1)]),
        ..Metadata::empty(ClusterId(5), NodeId(1))
    };
    let all = metadata.tell(None);
    assert_eq!(all.topics.len(), 1);
    assert_eq!(all.nodes[1].address_of(1), Some("127.0.0.1:7021"));
    assert_eq!(all.topics[0].partitions[1].voters, [1, 2]);
    let parts: Vec<_> = all.members.iter().map(|member| member.part).collect();
    assert_eq!(parts, [Part::Voter, Part::None]);
    assert!(all.members[0].shall_vote && !all.members[1].shall_vote);
    assert!(
        metadata
            .tell(Some(&["nothing".to_owned()]))
            .topics
            .is_empty()
    );
    assert_eq!(
        metadata.tell(Some(&["events".to_owned(), "events".to_owned()])),
        all
    );
}

#[test]
fn a_topic_is_compacted_from_its_creation_or_never() {
    let mut catalog = with_topic(catalog_of(3), 2, 3);
    let compacted = |tombstone_ms| Operation::CreateTopic {
        name: "users".to_owned(),
        partitions: 1,
        replication: 3,
        compaction: Some(Compaction { tombstone_ms }),
    };
    let code = |outcome| match outcome {
        Some(Outcome::Refused(refusal)) => refusal.code,
        other => panic!("{other:?} is no refusal"),
    };
    for ms in [0, Compaction::TOMBSTONE_MS_MAX + 1, u64::MAX] {
        let outcome = catalog.apply(&compacted(ms));
        assert_eq!(code(outcome), Code::InvalidCompaction);
    }
    let outcome = catalog.apply(&compacted(5));
    assert!(matches!(outcome, Some(Outcome::TopicCreated { .. })));
    let id = catalog.topics["users"].partitions[0];
    assert_eq!(
        catalog.compaction_of(id),
        Some(Compaction { tombstone_ms: 5 })
    );
    assert_eq!(Catalog::decode(&catalog.encode()).as_ref(), Ok(&catalog));

    let keep = |name: &str, ms| Operation::KeepTombstones {
        name: name.to_owned(),
        ms,
    };
    let before = catalog.version;
    for _ in 0..2 {
        assert_eq!(catalog.apply(&keep("users", 9)), Some(Outcome::Accepted));
    }
    assert_eq!(
        catalog.compaction_of(id),
        Some(Compaction { tombstone_ms: 9 })
    );
    assert_eq!(catalog.version, before + 1, "the same again is no change");
    assert_eq!(
        code(catalog.apply(&keep("users", 0))),
        Code::InvalidCompaction
    );
    assert_eq!(
        code(catalog.apply(&keep("events", 9))),
        Code::InvalidCompaction
    );
    assert_eq!(code(catalog.apply(&keep("others", 9))), Code::UnknownTopic);
    assert_eq!(catalog.version, before + 1);
}

#[test]
fn limits_change_one_by_one_and_are_lifted() {
    let mut catalog = with_topic(catalog_of(3), 2, 3);
    let id = catalog.topics["events"].partitions[1];
    let mut retain = |ms, bytes| {
        let name = "events".to_owned();
        let before = catalog.version;
        let outcome = catalog.apply(&Operation::RetainTopic { name, ms, bytes });
        assert_eq!(outcome, Some(Outcome::Accepted));
        assert_eq!(Catalog::decode(&catalog.encode()).as_ref(), Ok(&catalog));
        let Retention { ms, bytes } = catalog.retention_of(id);
        (ms, bytes, catalog.version - before)
    };
    assert_eq!(retain(Limit::Set(5), Limit::Keep), (Some(5), None, 1));
    assert_eq!(retain(Limit::Keep, Limit::Set(9)), (Some(5), Some(9), 1));
    assert_eq!(retain(Limit::Set(5), Limit::Keep), (Some(5), Some(9), 0));
    assert_eq!(retain(Limit::Lift, Limit::Keep), (None, Some(9), 1));
    let unknown = catalog.apply(&Operation::RetainTopic {
        name: "others".to_owned(),
        ms: Limit::Lift,
        bytes: Limit::Lift,
    });
    assert!(matches!(unknown, Some(Outcome::Refused(_))), "{unknown:?}");
}

#[test]
fn late_answer_to_a_creation_tells_nothing_of_another_topic_of_that_name() {
    let mut catalog = catalog_of(3);
    let partitions = |outcome: Outcome, catalog: &Catalog| match outcome.reply(catalog) {
        quorate_wire::ControlReply::TopicCreated(info) => info.partitions.len(),
        other => panic!("{other:?}"),
    };
    let first = catalog.apply(&create("events", 2, 3)).expect("it answers");
    assert_eq!(partitions(first.clone(), &catalog), 2);
    let name = "events".to_owned();
    catalog.apply(&Operation::DeleteTopic { name });
    assert_eq!(partitions(first.clone(), &catalog), 0);
    let second = catalog.apply(&create("events", 1, 3)).expect("it answers");
    assert_eq!(partitions(first, &catalog), 0);
    assert_eq!(partitions(second, &catalog), 1);
}
