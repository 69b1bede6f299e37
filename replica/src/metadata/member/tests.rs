use super::super::Operation;
use super::super::tests::{
    accepted, add, catalog_of, down, node_up, node_up_with, refused, with_topic,
};
use super::*;
use crate::metadata::catalog::GIVEN_UP_MAX;

fn remove(node: u16) -> Operation {
    let may_shrink = false;
    Operation::RemoveNode { node, may_shrink }
}

fn shrink(node: u16) -> Operation {
    let may_shrink = true;
    Operation::RemoveNode { node, may_shrink }
}

fn recover(node: u16, disk: u64) -> Operation {
    Operation::RecoverNode { node, disk }
}

fn member(catalog: &Catalog, node: u16) -> &MemberRecord {
    &catalog.members[&NodeId(node)]
}

#[test]
fn a_cluster_is_founded_once() {
    let mut catalog = catalog_of(3);
    let before = catalog.clone();
    let stranger = Founder {
        node: 9,
        control_address: "127.0.0.1:1".to_owned(),
        disk: None,
    };
    catalog.apply(&Operation::Found {
        members: vec![stranger],
    });
    assert_eq!(catalog, before);
}

#[test]
fn a_node_is_added_once_and_registers_only_then() {
    let mut catalog = catalog_of(3);
    let before = catalog.clone();
    catalog.apply(&node_up_with(4, 1, 77));
    assert_eq!(catalog, before, "a stranger registers");
    accepted(&mut catalog, &add(4));
    let added = catalog.clone();
    accepted(&mut catalog, &add(4));
    assert_eq!(catalog, added, "added twice");
    catalog.apply(&node_up_with(4, 1, 77));
    assert_eq!(member(&catalog, 4).disk, Some(77));
    assert!(catalog.is_registered(NodeId(4), 1) && catalog.is_disk_of(NodeId(4), 77));
}

#[test]
fn addresses_are_checked_when_a_node_is_added() {
    let mut catalog = catalog_of(3);
    let add_at = |node, address: &str| Operation::AddNode {
        node,
        control_address: address.to_owned(),
    };
    let taken = refused(&mut catalog, &add_at(4, "127.0.0.1:7010"));
    assert!(taken.detail.contains("node 1 has"), "{taken}");
    let nonsense = refused(&mut catalog, &add_at(4, "nowhere"));
    assert_eq!(nonsense.code, Code::InvalidNode);
    assert_eq!(
        refused(&mut catalog, &add_at(0, "127.0.0.1:1")).code,
        Code::InvalidNode
    );
    let moved = refused(&mut catalog, &add_at(1, "127.0.0.1:1"));
    assert!(moved.detail.contains("127.0.0.1:7010"), "{moved}");
    // Before it has ever been up, a wrong address can be put right.
    accepted(&mut catalog, &add_at(4, "127.0.0.1:1"));
    accepted(&mut catalog, &add_at(4, "127.0.0.1:2"));
    assert_eq!(member(&catalog, 4).control_address.port(), 2);
    for node in 5..=NODES_MAX as u16 {
        accepted(&mut catalog, &add_at(node, &format!("127.0.0.2:{node}")));
    }
    assert_eq!(
        refused(&mut catalog, &add_at(99, "127.0.0.1:99")).code,
        Code::InvalidNode
    );
}

#[test]
fn a_node_with_another_disk_does_not_register_while_its_old_one_counts() {
    let mut catalog = with_topic(catalog_of(3), 1, 3);
    let before = catalog.clone();
    catalog.apply(&node_up_with(2, 2, 77));
    assert_eq!(catalog, before);
    accepted(&mut catalog, &recover(2, 77));
    assert!(!catalog.nodes[&NodeId(2)].is_alive);
    catalog.apply(&node_up(2, 1));
    assert!(
        !catalog.nodes[&NodeId(2)].is_alive,
        "the lost disk has come back"
    );
    catalog.apply(&node_up_with(2, 2, 77));
    assert!(catalog.nodes[&NodeId(2)].is_alive);
    let recovered = catalog.clone();
    accepted(&mut catalog, &recover(2, 77));
    assert_eq!(catalog, recovered, "recovered twice");
}

#[test]
fn a_node_that_holds_nothing_may_come_with_another_disk() {
    let mut catalog = with_topic(catalog_of(3), 1, 1);
    let holder = catalog.partitions[&1].voters[0];
    let other = (1..=3).find(|node| NodeId(*node) != holder).unwrap();
    catalog.apply(&node_up_with(other, 2, 77));
    assert!(catalog.is_registered(NodeId(other), 2));
    assert_eq!(member(&catalog, other).disk, Some(77));
}

#[test]
fn a_disk_that_was_given_up_never_counts_again() {
    let mut catalog = with_topic(catalog_of(3), 1, 3);
    accepted(&mut catalog, &recover(2, 77));
    catalog.apply(&node_up_with(2, 2, 77));
    accepted(&mut catalog, &recover(2, 78));
    for restored in [catalog.clone(), Catalog::decode(&catalog.encode()).unwrap()] {
        for old in [0, 77] {
            let mut catalog = restored.clone();
            let refusal = refused(&mut catalog, &recover(2, old));
            assert_eq!(refusal.code, Code::InvalidNode);
            assert!(refusal.detail.contains("empty data folder"), "{refusal}");
            assert_eq!(catalog, restored, "disk {old} was refused");
        }
    }
    // An operation that says what is so already is not refused.
    accepted(&mut catalog, &recover(2, 78));
    // The disks of others are others, even if they have the same id.
    accepted(&mut catalog, &recover(3, 77));
}

#[test]
fn a_disk_that_was_given_up_stays_so_when_its_node_is_added_again_or_holds_nothing() {
    let mut catalog = catalog_of(3);
    accepted(&mut catalog, &recover(2, 77));
    accepted(&mut catalog, &remove(2));
    accepted(&mut catalog, &add(2));
    let before = catalog.clone();
    catalog.apply(&node_up(2, 5));
    assert_eq!(catalog, before, "it has registered");
    catalog.apply(&node_up_with(2, 5, 77));
    assert!(catalog.is_registered(NodeId(2), 5));
}

#[test]
fn the_disks_that_are_remembered_are_bounded() {
    let mut catalog = catalog_of(3);
    for disk in 1..=2 * GIVEN_UP_MAX as u64 {
        accepted(&mut catalog, &recover(2, disk));
    }
    let remembered = &member(&catalog, 2).given_up;
    assert_eq!(remembered.len(), GIVEN_UP_MAX);
    assert_eq!(remembered.last(), Some(&(2 * GIVEN_UP_MAX as u64 - 1)));
}

#[test]
fn a_lost_disk_leads_nothing_and_is_counted_but_absent() {
    let mut catalog = with_topic(catalog_of(3), 6, 3);
    accepted(&mut catalog, &recover(2, 77));
    for partition in catalog.partitions.values() {
        assert_ne!(partition.leader, NodeId(2));
        assert_eq!(partition.absent, [NodeId(2)]);
        assert_eq!(partition.voters.len(), 3);
        assert!(!partition.is_held_by(NodeId(2)));
    }
    // Not even if nobody else is left.
    catalog.apply(&node_up_with(2, 2, 77));
    catalog.apply(&down(1, 1));
    catalog.apply(&down(3, 1));
    assert!(
        catalog
            .partitions
            .values()
            .all(|partition| partition.leader != NodeId(2))
    );
}

#[test]
fn the_replicas_of_a_node_that_leaves_go_to_those_with_the_fewest() {
    let mut catalog = with_topic(catalog_of(5), 10, 3);
    accepted(&mut catalog, &remove(2));
    assert!(member(&catalog, 2).is_leaving);
    let held = |node| {
        let partitions = catalog.partitions.values();
        partitions
            .filter(|it| it.is_wanted_at(NodeId(node)))
            .count()
    };
    let counts: Vec<_> = (1..=5).map(held).collect();
    assert_eq!(counts.iter().sum::<usize>(), 30);
    assert_eq!(counts[1], 0);
    assert!(
        counts.iter().all(|count| [0, 7, 8].contains(count)),
        "{counts:?}"
    );
    assert!(
        catalog
            .partitions
            .values()
            .all(|it| it.replicas.is_sorted())
    );
    assert!(
        catalog.partitions.values().all(|it| it.voters.len() == 3),
        "nothing has moved yet"
    );
    let before = catalog.clone();
    accepted(&mut catalog, &remove(2));
    assert_eq!(catalog, before, "asked twice");
    // What is created meanwhile goes elsewhere.
    catalog.apply(&Operation::CreateTopic {
        name: "new".to_owned(),
        partitions: 5,
        replication: 4,
        compaction: None,
    });
    let new = catalog.partitions.values().filter(|it| it.topic == "new");
    assert!(new.clone().count() == 5 && new.clone().all(|it| !it.names(NodeId(2))));
}

#[test]
fn a_node_leaves_only_if_others_can_take_its_place() {
    let mut catalog = with_topic(catalog_of(3), 2, 3);
    let refusal = refused(&mut catalog, &remove(3));
    assert_eq!(refusal.code, Code::InvalidReplicas);
    assert!(refusal.detail.contains("--force-shrink"), "{refusal}");
    accepted(&mut catalog, &shrink(3));
    let replicas = &catalog.partitions[&1].replicas;
    assert_eq!(*replicas, [NodeId(1), NodeId(2)]);
    // It may stay after all; what was moved does not come back by itself.
    accepted(&mut catalog, &add(3));
    assert!(catalog.is_staying(NodeId(3)));
}

#[test]
fn the_last_node_and_the_last_copy_stay() {
    let mut catalog = catalog_of(1);
    let refusal = refused(&mut catalog, &shrink(1));
    assert!(refusal.detail.contains("the last one"), "{refusal}");
    assert_eq!(refused(&mut catalog, &remove(9)).code, Code::UnknownNode);
    assert_eq!(
        refused(&mut catalog, &recover(9, 1)).code,
        Code::UnknownNode
    );
    let mut catalog = with_topic(catalog_of(2), 2, 1);
    // Node 1 votes alone; node 2 is down and could not take its partition.
    catalog.apply(&down(2, 1));
    let refusal = refused(&mut catalog, &shrink(1));
    assert!(refusal.detail.contains("2 are down"), "{refusal}");
}

#[test]
fn too_few_live_voters_keep_a_node_from_leaving() {
    let mut catalog = catalog_of(4);
    catalog.apply(&down(2, 1));
    accepted(&mut catalog.clone(), &remove(1));
    catalog.apply(&down(4, 1));
    let refusal = refused(&mut catalog, &remove(1));
    assert!(refusal.detail.contains("nodes 2, 3, 4"), "{refusal}");
    assert!(refusal.detail.contains("2, 4 are down"), "{refusal}");
}

#[test]
fn a_node_is_dropped_once_nothing_is_left_there() {
    let mut catalog = with_topic(catalog_of(4), 4, 3);
    let drop = Operation::DropNode { node: 3 };
    let before = catalog.clone();
    catalog.apply(&drop);
    assert_eq!(catalog, before, "it does not even leave");
    accepted(&mut catalog, &remove(3));
    let leaving = catalog.clone();
    catalog.apply(&drop);
    assert_eq!(catalog, leaving, "it still holds something");
    for partition in catalog.partitions.values_mut() {
        partition.voters.clone_from(&partition.replicas);
    }
    catalog.apply(&drop);
    assert!(!catalog.members.contains_key(&NodeId(3)));
    assert!(!catalog.nodes.contains_key(&NodeId(3)));
    assert_eq!(refused(&mut catalog, &remove(3)).code, Code::UnknownNode);
}
