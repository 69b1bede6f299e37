use quorate_vsr::Epoch;

use super::*;
use crate::metadata::{MemberRecord, PartitionRecord};

/// A cluster, and a primary that takes every step that it can.
struct Group {
    catalog: Catalog,
    current: Membership,
    heard: BTreeMap<NodeId, DiskId>,
}

fn members(nodes: &[(u16, u64)]) -> Vec<Member> {
    let member = |&(node, disk)| Member {
        node: NodeId(node),
        disk: DiskId(disk),
    };
    nodes.iter().map(member).collect()
}

impl Group {
    /// Founded by nodes 1 to `founders`, all of which are there.
    fn new(founders: u16) -> Self {
        let nodes: Vec<_> = (1..=founders).map(NodeId).collect();
        let mut group = Self {
            catalog: Catalog::default(),
            current: Membership::founded_by(&nodes),
            heard: BTreeMap::new(),
        };
        for node in 1..=founders {
            group.add(node, Some(0));
            group.hear(node, 0);
        }
        group
    }

    fn add(&mut self, node: u16, disk: Option<u64>) {
        let record = MemberRecord {
            control_address: "127.0.0.1:7400".parse().unwrap(),
            is_leaving: false,
            disk,
            given_up: Vec::new(),
        };
        self.catalog.members.insert(NodeId(node), record);
    }

    fn member(&mut self, node: u16) -> &mut MemberRecord {
        self.catalog.members.get_mut(&NodeId(node)).unwrap()
    }

    fn hear(&mut self, node: u16, disk: u64) {
        self.heard.insert(NodeId(node), DiskId(disk));
    }

    fn hold(&mut self, node: u16) {
        let partition = PartitionRecord {
            id: 1,
            topic: "events".to_owned(),
            index: 0,
            leader: NodeId(node),
            epoch: Epoch(1),
            voters: vec![NodeId(node)],
            previous: Vec::new(),
            learners: Vec::new(),
            replicas: vec![NodeId(node)],
            absent: Vec::new(),
            since: [(NodeId(node), Epoch(1))].into(),
        };
        self.catalog.partitions.insert(1, partition);
    }

    /// Takes the first step that the group takes; `may` tells who has caught up.
    fn step(&mut self, may: impl Fn(NodeId) -> bool) -> bool {
        let sight = Sight {
            catalog: &self.catalog,
            heard: &self.heard,
        };
        let is_there = |it: &Membership| {
            let there = it.voters().iter().filter(|it| sight.is_heard(**it));
            there.count() * 2 > it.voters().len()
        };
        if !is_there(&self.current) {
            // Then there is no primary either.
            return false;
        }
        let mut steps = next_steps(&self.current, &sight).into_iter();
        let promoted = |next: &Membership| {
            let voters = next.voters().iter();
            let mut new = voters.filter(|it| !self.current.is_voter(**it));
            new.all(|it| may(it.node))
        };
        let Some(next) = steps.find(promoted) else {
            return false;
        };
        assert_ne!(next, self.current);
        assert!(
            is_single(&self.current, &next),
            "{:?} to {next:?}",
            self.current
        );
        assert!(is_there(&next), "{next:?}");
        self.current = next;
        true
    }

    /// Takes all steps; the numbers of voters on the way.
    fn rest(&mut self) -> Vec<usize> {
        let mut counts = vec![self.current.voters().len()];
        while self.step(|_| true) {
            counts.push(self.current.voters().len());
            // What the catalog learns from the heartbeats of nodes with a new disk.
            assert!(
                counts.len() < 40,
                "it does not come to rest: {:?}",
                self.current
            );
        }
        counts
    }

    fn voters(&self) -> Vec<u16> {
        self.current.voters().iter().map(|it| it.node.0).collect()
    }

    fn standbys(&self) -> Vec<u16> {
        self.current.standbys().iter().map(|it| it.node.0).collect()
    }
}

/// Whether two memberships differ in one member only.
fn is_single(before: &Membership, after: &Membership) -> bool {
    let part = |membership: &Membership, node: NodeId| {
        let standby = membership.standbys().iter().find(|it| it.node == node);
        let voter = membership.voters().iter().find(|it| it.node == node);
        (voter.copied(), standby.copied())
    };
    let nodes = before.members().chain(after.members()).map(|it| it.node);
    let nodes: std::collections::BTreeSet<_> = nodes.collect();
    let changed = nodes
        .iter()
        .filter(|node| part(before, **node) != part(after, **node));
    let voters = |it: &Membership| it.voters().to_vec();
    let both = voters(before)
        .into_iter()
        .filter(|it| after.is_voter(*it))
        .count();
    let is_one_vote = both + 1 >= voters(before).len().max(voters(after).len());
    changed.count() == 1 && is_one_vote
}

#[test]
fn a_membership_that_is_as_it_shall_be_stays() {
    for founders in [1, 3, 5] {
        assert_eq!(Group::new(founders).rest().len(), 1);
    }
}

#[test]
fn a_fourth_node_stands_by_and_with_the_fifth_both_vote() {
    let mut group = Group::new(3);
    group.add(4, None);
    assert!(!group.step(|_| true), "nobody has heard it");
    group.hear(4, 44);
    group.rest();
    assert_eq!((group.voters(), group.standbys()), (vec![1, 2, 3], vec![4]));
    group.add(5, Some(55));
    group.hear(5, 55);
    group.member(4).disk = Some(44);
    assert_eq!(group.rest(), [3, 3, 4, 5]);
    assert_eq!(group.voters(), [1, 2, 3, 4, 5]);
    group.add(6, Some(66));
    group.hear(6, 66);
    group.rest();
    assert_eq!((group.voters().len(), group.standbys()), (5, vec![6]));
}

#[test]
fn nobody_votes_before_it_has_caught_up() {
    let mut group = Group::new(3);
    for node in [4, 5] {
        group.add(node, Some(9));
        group.hear(node, 9);
    }
    while group.step(|_| false) {}
    assert_eq!(
        (group.voters(), group.standbys()),
        (vec![1, 2, 3], vec![4, 5])
    );
    while group.step(|node| node == NodeId(5)) {}
    assert_eq!(group.voters(), [1, 2, 3, 5]);
}

#[test]
fn a_stranger_is_not_taken_in() {
    let mut group = Group::new(3);
    group.hear(9, 9);
    assert!(!group.step(|_| true));
}

#[test]
fn a_node_that_leaves_is_replaced_before_it_loses_its_vote() {
    let mut group = Group::new(3);
    group.add(4, Some(4));
    group.hear(4, 4);
    group.rest();
    group.hold(2);
    group.member(2).is_leaving = true;
    assert_eq!(group.rest(), [3, 4, 3]);
    assert_eq!((group.voters(), group.standbys()), (vec![1, 3, 4], vec![2]));
    // It holds something, so it is still told what happens.
    group.catalog.partitions.clear();
    group.rest();
    assert!(group.standbys().is_empty());
}

#[test]
fn of_two_nodes_one_votes() {
    let mut group = Group::new(3);
    group.member(3).is_leaving = true;
    assert_eq!(group.rest(), [3, 2, 2, 1]);
    assert_eq!((group.voters(), group.standbys()), (vec![1], vec![2]));
}

#[test]
fn without_a_live_replacement_a_node_that_leaves_goes_on_voting() {
    let mut group = Group::new(3);
    group.add(4, Some(4));
    group.hear(4, 4);
    group.rest();
    group.heard.remove(&NodeId(4));
    group.member(2).is_leaving = true;
    assert_eq!(group.rest(), [3]);
    assert_eq!(group.voters(), [1, 2, 3]);
}

#[test]
fn a_lost_disk_loses_its_vote_and_votes_again_when_it_has_caught_up() {
    let mut group = Group::new(3);
    group.hear(3, 77);
    assert!(!group.step(|_| true), "nobody has given the old disk up");
    group.member(3).disk = Some(77);
    assert!(group.step(|_| true));
    assert_eq!(group.current.standbys(), members(&[(3, 0)]));
    assert!(group.step(|_| true));
    assert_eq!(group.current.standbys(), members(&[(3, 77)]));
    assert!(!group.step(|_| false));
    assert!(group.step(|_| true));
    assert_eq!(group.current.voters(), members(&[(1, 0), (2, 0), (3, 77)]));
    assert!(!group.step(|_| true));
}

#[test]
fn no_step_is_taken_after_which_those_who_are_there_decide_nothing() {
    let mut group = Group::new(3);
    group.member(3).is_leaving = true;
    group.heard.remove(&NodeId(1));
    // Nodes 2 and 3 are a majority of three; node 2 would be none of two.
    assert_eq!(group.rest(), [3]);
    group.hear(1, 0);
    assert_eq!(group.rest(), [3, 2, 2, 1]);
}

#[test]
fn whatever_happens_it_comes_to_rest_with_the_wanted_voters() {
    // A small generator of numbers, so that every run walks the same ways.
    let mut seed = 11_u64;
    let mut draw = |below: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (seed >> 33) % below
    };
    for round in 0..300 {
        let mut group = Group::new([1, 3, 5][round % 3]);
        for disk in 100..130 {
            let node = 1 + draw(8) as u16;
            match draw(6) {
                0 if !group.catalog.members.contains_key(&NodeId(node)) => {
                    group.add(node, None);
                    group.hear(node, disk);
                }
                1 if group.catalog.members.contains_key(&NodeId(node)) => {
                    let others = group.catalog.members.iter();
                    let others = others.filter(|(id, it)| **id != NodeId(node) && !it.is_leaving);
                    group.member(node).is_leaving = others.count() > 0;
                }
                2 => {
                    group.heard.remove(&NodeId(node));
                }
                3 if group.catalog.members.contains_key(&NodeId(node)) => {
                    let disk = group.member(node).disk.unwrap_or(disk);
                    group.member(node).disk = Some(disk);
                    group.hear(node, disk);
                }
                _ => {
                    let laggard = NodeId(1 + draw(8) as u16);
                    group.step(|node| node != laggard);
                }
            }
        }
        // All are there again.
        let nodes: Vec<_> = group.catalog.members.keys().copied().collect();
        for NodeId(node) in nodes {
            let disk = group.member(node).disk.unwrap_or(5_000);
            group.member(node).disk = Some(disk);
            group.hear(node, disk);
        }
        group.rest();
        let wanted = wanted_voters(&group.current, &group.catalog);
        assert_eq!(group.current.voting_nodes(), wanted, "{:?}", group.current);
        let members = group.current.members();
        assert!(
            members
                .into_iter()
                .all(|it| group.catalog.is_staying(it.node))
        );
        let staying = group.catalog.members.values().filter(|it| !it.is_leaving);
        assert_eq!(group.current.members().count(), staying.count());
    }
}
