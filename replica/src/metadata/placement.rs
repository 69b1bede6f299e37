//! Where a new topic's partitions go: a pure function from the catalog to a choice.
//!
//! Each partition is held by the live nodes with the fewest replicas; nodes that are down are taken
//! only when there are not enough others. Each is led by the live one of its nodes with the fewest
//! leaderships. Ties go to the lower id. Partitions placed earlier in the same call count.

use std::collections::BTreeMap;

use quorate_vsr::NodeId;

use super::Catalog;

/// Which nodes hold a partition, and which of them leads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    /// The nodes that hold the partition, sorted.
    pub voters: Vec<NodeId>,
    /// The node that leads it.
    pub leader: NodeId,
}

#[derive(Default)]
struct Load {
    is_down: bool,
    replicas: u32,
    leaderships: u32,
}

/// Places `partitions` new partitions on `replication` nodes each.
///
/// The caller has made sure that so many nodes are registered and shall stay.
pub fn place(catalog: &Catalog, partitions: u32, replication: u16) -> Vec<Placement> {
    let mut loads = loads(catalog);
    assert!(
        usize::from(replication) <= loads.len(),
        "more replicas than nodes"
    );
    (0..partitions)
        .map(|_| place_one(&mut loads, usize::from(replication)))
        .collect()
}

fn loads(catalog: &Catalog) -> BTreeMap<NodeId, Load> {
    let nodes = catalog.nodes.values();
    let staying = nodes.filter(|node| catalog.is_staying(node.id));
    let load = |is_down| Load {
        is_down,
        ..Load::default()
    };
    let mut loads: BTreeMap<_, _> = staying
        .map(|node| (node.id, load(!node.is_alive)))
        .collect();
    for partition in catalog.partitions.values() {
        // A change under way is as good as done.
        for replica in &partition.replicas {
            loads.entry(*replica).and_modify(|load| load.replicas += 1);
        }
        let leader = loads.entry(partition.leader);
        leader.and_modify(|load| load.leaderships += 1);
    }
    loads
}

fn place_one(loads: &mut BTreeMap<NodeId, Load>, replication: usize) -> Placement {
    let mut candidates: Vec<_> = loads
        .iter()
        .map(|(id, load)| (load.is_down, load.replicas, *id))
        .collect();
    candidates.sort_unstable();
    let mut voters: Vec<_> = candidates[..replication]
        .iter()
        .map(|(_, _, id)| *id)
        .collect();
    voters.sort_unstable();
    let leader = *voters
        .iter()
        .min_by_key(|id| (loads[*id].is_down, loads[*id].leaderships, **id))
        .expect("a partition is held by at least one node");
    for voter in &voters {
        loads.entry(*voter).or_default().replicas += 1;
    }
    loads.entry(leader).or_default().leaderships += 1;
    Placement { voters, leader }
}

#[cfg(test)]
mod tests {
    use super::super::tests::catalog_of;
    use super::*;

    #[test]
    fn replicas_and_leaderships_are_spread_evenly() {
        let catalog = catalog_of(4);
        let placements = place(&catalog, 8, 2);
        for node in 1..=4 {
            let held = placements
                .iter()
                .filter(|p| p.voters.contains(&NodeId(node)))
                .count();
            let led = placements
                .iter()
                .filter(|p| p.leader == NodeId(node))
                .count();
            assert_eq!((held, led), (4, 2), "node {node}");
        }
    }

    #[test]
    fn dead_nodes_are_taken_last_and_never_lead() {
        let mut catalog = catalog_of(3);
        catalog.nodes.get_mut(&NodeId(1)).unwrap().is_alive = false;
        for placement in place(&catalog, 6, 2) {
            assert_eq!(placement.voters, [NodeId(2), NodeId(3)]);
        }
        for placement in place(&catalog, 6, 3) {
            assert_eq!(placement.voters, [NodeId(1), NodeId(2), NodeId(3)]);
            assert_ne!(placement.leader, NodeId(1));
        }
    }
}
