use quorate_vsr::Epoch;

use super::super::tests::{accepted, catalog_of, down, node_up_with, refused, with_topic};
use super::super::{Operation, PartitionRecord, Stage};
use super::*;

fn nodes(ids: &[u16]) -> Vec<NodeId> {
    ids.iter().copied().map(NodeId).collect()
}

fn alter(replicas: &[u16]) -> Operation {
    Operation::AlterTopic {
        name: "events".to_owned(),
        partition: None,
        replicas: replicas.to_vec(),
    }
}

/// Takes the only partition one stage further; false if it is settled.
fn advance(catalog: &mut Catalog) -> bool {
    let (version, epoch) = (catalog.version, partition(catalog).epoch);
    let step = Step {
        partition: 1,
        epoch: epoch.0,
    };
    catalog.apply(&Operation::AdvanceReplicas { steps: vec![step] });
    let is_news = catalog.version > version;
    assert_eq!(partition(catalog).epoch > epoch, is_news);
    is_news
}

fn partition(catalog: &Catalog) -> &PartitionRecord {
    &catalog.partitions[&1]
}

/// Voters, previous voters and learners.
fn lists(catalog: &Catalog) -> [Vec<NodeId>; 3] {
    let partition = partition(catalog);
    [&partition.voters, &partition.previous, &partition.learners].map(Clone::clone)
}

/// One partition on nodes 1 to 3 of six.
fn catalog() -> Catalog {
    let catalog = with_topic(catalog_of(6), 1, 3);
    assert_eq!(partition(&catalog).voters, nodes(&[1, 2, 3]));
    catalog
}

#[test]
fn newcomers_learn_then_both_count_then_the_new_ones_alone() {
    let mut catalog = catalog();
    assert_eq!(partition(&catalog).next_awaits_leader(), None);
    accepted(&mut catalog, &alter(&[4, 2, 5]));
    assert_eq!(partition(&catalog).replicas, nodes(&[2, 4, 5]));
    assert_eq!(partition(&catalog).epoch, Epoch(1), "nothing has moved yet");
    assert_eq!(partition(&catalog).next_awaits_leader(), Some(false));
    assert!(advance(&mut catalog));
    assert_eq!(
        lists(&catalog),
        [nodes(&[1, 2, 3]), nodes(&[]), nodes(&[4, 5])]
    );
    assert_eq!(partition(&catalog).stage(), Stage::Learning);
    assert_eq!(partition(&catalog).next_awaits_leader(), Some(true));
    assert!(advance(&mut catalog));
    assert_eq!(
        lists(&catalog),
        [nodes(&[2, 4, 5]), nodes(&[1, 2, 3]), nodes(&[])]
    );
    assert_eq!(partition(&catalog).stage(), Stage::Joint);
    assert_eq!(partition(&catalog).next_awaits_leader(), Some(true));
    assert_eq!(
        partition(&catalog).leader,
        NodeId(1),
        "a previous voter may go on leading"
    );
    assert!(advance(&mut catalog));
    assert_eq!(lists(&catalog), [nodes(&[2, 4, 5]), nodes(&[]), nodes(&[])]);
    assert_eq!(partition(&catalog).leader, NodeId(2));
    assert_eq!(partition(&catalog).epoch, Epoch(4));
    assert!(!advance(&mut catalog));
}

#[test]
fn fewer_voters_need_no_learners() {
    let mut catalog = catalog();
    accepted(&mut catalog, &alter(&[3]));
    assert!(advance(&mut catalog));
    assert_eq!(
        lists(&catalog),
        [nodes(&[3]), nodes(&[1, 2, 3]), nodes(&[])]
    );
    assert!(advance(&mut catalog));
    assert_eq!(lists(&catalog), [nodes(&[3]), nodes(&[]), nodes(&[])]);
    assert_eq!(partition(&catalog).leader, NodeId(3));
}

#[test]
fn a_new_wish_changes_the_learners_and_takes_back_a_joint_epoch() {
    let mut catalog = catalog();
    accepted(&mut catalog, &alter(&[1, 2, 4]));
    advance(&mut catalog);
    accepted(&mut catalog, &alter(&[1, 2, 5]));
    assert_eq!(partition(&catalog).next_awaits_leader(), Some(false));
    advance(&mut catalog);
    assert_eq!(lists(&catalog)[2], nodes(&[5]));
    advance(&mut catalog);
    assert_eq!(
        lists(&catalog),
        [nodes(&[1, 2, 5]), nodes(&[1, 2, 3]), nodes(&[])]
    );
    accepted(&mut catalog, &alter(&[1, 2, 3]));
    assert_eq!(partition(&catalog).next_awaits_leader(), Some(false));
    advance(&mut catalog);
    assert_eq!(lists(&catalog), [nodes(&[1, 2, 3]), nodes(&[]), nodes(&[])]);
    assert!(!advance(&mut catalog));
    // A wish that is taken back while there are learners.
    accepted(&mut catalog, &alter(&[1, 2, 3, 6]));
    advance(&mut catalog);
    accepted(&mut catalog, &alter(&[1, 2, 3]));
    advance(&mut catalog);
    assert_eq!(lists(&catalog), [nodes(&[1, 2, 3]), nodes(&[]), nodes(&[])]);
}

#[test]
fn a_step_of_another_epoch_does_nothing() {
    let mut catalog = catalog();
    accepted(&mut catalog, &alter(&[4]));
    let before = catalog.clone();
    let steps = [(1, 0), (1, 2), (9, 1)].map(|(partition, epoch)| Step { partition, epoch });
    catalog.apply(&Operation::AdvanceReplicas {
        steps: steps.to_vec(),
    });
    assert_eq!(catalog, before);
}

#[test]
fn a_lost_disk_is_voted_out_before_it_comes_back_empty() {
    let mut catalog = catalog();
    accepted(&mut catalog, &Operation::RecoverNode { node: 3, disk: 77 });
    catalog.apply(&node_up_with(3, 2, 77));
    assert_eq!(partition(&catalog).absent, nodes(&[3]));
    advance(&mut catalog);
    assert_eq!(
        lists(&catalog),
        [nodes(&[1, 2]), nodes(&[1, 2, 3]), nodes(&[])]
    );
    assert!(!partition(&catalog).is_held_by(NodeId(3)));
    advance(&mut catalog);
    assert_eq!(lists(&catalog), [nodes(&[1, 2]), nodes(&[]), nodes(&[])]);
    assert_eq!(partition(&catalog).absent, nodes(&[]));
    advance(&mut catalog);
    assert_eq!(lists(&catalog), [nodes(&[1, 2]), nodes(&[]), nodes(&[3])]);
    assert!(partition(&catalog).is_held_by(NodeId(3)));
    advance(&mut catalog);
    advance(&mut catalog);
    assert_eq!(lists(&catalog), [nodes(&[1, 2, 3]), nodes(&[]), nodes(&[])]);
    assert!(!advance(&mut catalog));
}

#[test]
fn a_lost_disk_that_is_not_wanted_back_is_replaced_by_another_node() {
    let mut catalog = catalog();
    accepted(&mut catalog, &Operation::RecoverNode { node: 3, disk: 77 });
    accepted(&mut catalog, &alter(&[1, 2, 4]));
    advance(&mut catalog);
    assert_eq!(lists(&catalog)[2], nodes(&[4]));
    advance(&mut catalog);
    assert_eq!(
        lists(&catalog),
        [nodes(&[1, 2, 4]), nodes(&[1, 2, 3]), nodes(&[])]
    );
    assert_eq!(partition(&catalog).absent, nodes(&[3]));
    advance(&mut catalog);
    assert_eq!(partition(&catalog).absent, nodes(&[]));
    assert!(!advance(&mut catalog));
}

#[test]
fn a_disk_that_is_lost_while_its_node_learns_or_has_just_become_a_voter_learns_anew() {
    let mut catalog = catalog();
    accepted(&mut catalog, &alter(&[1, 2, 4]));
    advance(&mut catalog);
    let epoch = partition(&catalog).epoch;
    accepted(&mut catalog, &Operation::RecoverNode { node: 4, disk: 7 });
    assert!(
        partition(&catalog).epoch > epoch,
        "what was reported of the old disk is void"
    );
    assert_eq!(lists(&catalog)[2], nodes(&[4]));
    advance(&mut catalog);
    accepted(&mut catalog, &Operation::RecoverNode { node: 4, disk: 8 });
    assert_eq!(partition(&catalog).absent, nodes(&[4]));
    assert_eq!(partition(&catalog).next_awaits_leader(), Some(false));
    advance(&mut catalog);
    assert_eq!(lists(&catalog), [nodes(&[1, 2, 3]), nodes(&[]), nodes(&[])]);
    assert_eq!(partition(&catalog).absent, nodes(&[]));
    for _ in 0..3 {
        assert!(advance(&mut catalog));
    }
    assert_eq!(lists(&catalog), [nodes(&[1, 2, 4]), nodes(&[]), nodes(&[])]);
    assert!(!advance(&mut catalog));
}

/// Since which epoch each node is in one of the lists.
fn since(catalog: &Catalog) -> Vec<(u16, u32)> {
    let since = partition(catalog).since.iter();
    since.map(|(node, epoch)| (node.0, epoch.0)).collect()
}

#[test]
fn who_was_taken_out_and_put_in_again_is_a_member_since_then() {
    let mut catalog = catalog();
    let founded = [(1, 1), (2, 1), (3, 1)];
    assert_eq!(since(&catalog), founded);
    accepted(&mut catalog, &alter(&[1, 2]));
    advance(&mut catalog);
    assert_eq!(since(&catalog), founded, "its voice still counts");
    advance(&mut catalog);
    assert_eq!(since(&catalog), [(1, 1), (2, 1)]);
    accepted(&mut catalog, &alter(&[1, 2, 3]));
    while advance(&mut catalog) {
        assert_eq!(since(&catalog), [(1, 1), (2, 1), (3, 4)]);
    }
    let record = partition(&catalog);
    assert_eq!(record.voters, nodes(&[1, 2, 3]));
    assert!(record.was_without(NodeId(3), Epoch(1)));
    assert!(record.was_without(NodeId(3), Epoch(3)));
    assert!(!record.was_without(NodeId(3), Epoch(4)));
    assert!(!record.was_without(NodeId(1), Epoch(1)));
    assert!(!record.was_without(NodeId(4), Epoch(1)), "it is no member");
    assert_eq!(Catalog::decode(&catalog.encode()), Ok(catalog));
}

#[test]
fn who_is_wanted_again_before_it_was_taken_out_was_never_away() {
    let mut catalog = catalog();
    accepted(&mut catalog, &alter(&[1, 2, 4]));
    advance(&mut catalog);
    advance(&mut catalog);
    assert_eq!(partition(&catalog).stage(), Stage::Joint);
    accepted(&mut catalog, &alter(&[1, 2, 3]));
    advance(&mut catalog);
    assert_eq!(since(&catalog), [(1, 1), (2, 1), (3, 1)]);
    // The newcomer of the joint stage that was given up was taken out with it.
    accepted(&mut catalog, &alter(&[1, 2, 3, 4]));
    advance(&mut catalog);
    assert_eq!(since(&catalog), [(1, 1), (2, 1), (3, 1), (4, 5)]);
}

#[test]
fn without_a_majority_nothing_is_changed() {
    let mut catalog = catalog();
    for node in [2, 3] {
        accepted(&mut catalog, &Operation::RecoverNode { node, disk: 77 });
    }
    assert!(!advance(&mut catalog));
    accepted(&mut catalog, &alter(&[1, 4, 5]));
    assert!(!advance(&mut catalog));
    assert_eq!(partition(&catalog).absent, nodes(&[2, 3]));
}

#[test]
fn a_takeover_prefers_who_counts_before_and_after_the_change() {
    let mut catalog = catalog();
    accepted(&mut catalog, &alter(&[2, 4, 5]));
    advance(&mut catalog);
    catalog.apply(&down(1, 1));
    let leader = partition(&catalog).leader;
    assert!(
        [NodeId(2), NodeId(3)].contains(&leader),
        "a learner leads: {leader:?}"
    );
    advance(&mut catalog);
    for (dead, next) in [(leader.0, None), (2, Some([4, 5])), (4, Some([5, 5]))] {
        catalog.apply(&down(dead, 1));
        let leader = partition(&catalog).leader.0;
        let fit = next.unwrap_or([2, 2]);
        assert!(
            fit.contains(&leader) || dead == 2,
            "{leader} leads after {dead}"
        );
    }
    assert_eq!(partition(&catalog).leader, NodeId(5));
}

#[test]
fn a_wish_that_cannot_be_fulfilled_is_refused_with_its_reason() {
    let mut catalog = catalog();
    let mut reason = |operation: &Operation| refused(&mut catalog, operation);
    assert_eq!(reason(&alter(&[1, 9])).code, Code::UnknownNode);
    assert_eq!(reason(&alter(&[])).code, Code::InvalidReplicas);
    let twice = reason(&alter(&[2, 1, 2]));
    assert!(twice.detail.contains("node 2 is named twice"), "{twice}");
    let wish = |name: &str, partition| Operation::AlterTopic {
        name: name.to_owned(),
        partition,
        replicas: vec![1],
    };
    assert_eq!(reason(&wish("other", None)).code, Code::UnknownTopic);
    assert_eq!(
        reason(&wish("events", Some(1))).code,
        Code::UnknownPartition
    );
    for node in 1..=3 {
        catalog.apply(&down(node, 1));
    }
    let dead = refused(&mut catalog, &alter(&[4]));
    assert!(dead.detail.contains("none of them is up"), "{dead}");
    let leaving = Operation::RemoveNode {
        node: 6,
        may_shrink: false,
    };
    let mut catalog = with_topic(catalog_of(6), 1, 3);
    accepted(&mut catalog, &leaving);
    let leaves = refused(&mut catalog, &alter(&[6]));
    assert!(leaves.detail.contains("node 6 is leaving"), "{leaves}");
}

/// Who held the partition in which epoch.
#[derive(Default)]
struct Past {
    named: Vec<BTreeSet<NodeId>>,
    /// In which epochs learners began anew because their disks were lost.
    anew: BTreeSet<(NodeId, Epoch)>,
}

impl Past {
    fn note(&mut self, catalog: &Catalog) {
        let it = partition(catalog);
        self.named.resize(it.epoch.0 as usize + 1, it.named());
    }

    /// The disk of a node is about to be given up.
    fn note_lost(&mut self, it: &PartitionRecord, node: NodeId) {
        if it.learners.contains(&node) {
            self.anew.insert((node, it.epoch.next()));
        }
    }

    fn check(&self, it: &PartitionRecord) {
        assert!(it.since.keys().eq(&it.named()), "{it:?}");
        for (node, since) in &it.since {
            let mut is_begun = *since == Epoch(1);
            is_begun |= !self.named[since.0 as usize - 1].contains(node);
            is_begun |= self.anew.contains(&(*node, *since));
            assert!(is_begun, "{node:?} was one before: {it:?}");
            let mut since_then = since.0 + 1..=it.epoch.0;
            let is_unbroken = since_then.all(|epoch| {
                let is_anew = self.anew.contains(&(*node, Epoch(epoch)));
                self.named[epoch as usize].contains(node) && !is_anew
            });
            assert!(is_unbroken, "{node:?} was away: {it:?}");
        }
    }
}

#[test]
fn whatever_is_wished_and_lost_the_changes_come_to_rest() {
    // A small generator of numbers, so that every run walks the same ways.
    let mut seed = 7_u64;
    let mut draw = |below: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (seed >> 33) % below
    };
    for _ in 0..500 {
        let mut catalog = catalog();
        let mut past = Past::default();
        past.note(&catalog);
        for disk in 1..20 {
            match draw(4) {
                0 => {
                    let mut wish: Vec<_> = (1..=6).filter(|_| draw(2) == 0).collect();
                    wish.push(1 + draw(6) as u16);
                    wish.sort_unstable();
                    wish.dedup();
                    catalog.apply(&alter(&wish));
                }
                1 if draw(3) == 0 => {
                    let node = 1 + draw(6) as u16;
                    past.note_lost(partition(&catalog), NodeId(node));
                    catalog.apply(&Operation::RecoverNode { node, disk });
                }
                _ => {
                    advance(&mut catalog);
                }
            }
            let it = partition(&catalog);
            assert!(
                it.learners.iter().all(|node| !it.may_be_led_by(*node)),
                "{it:?}"
            );
            let named = it.named();
            assert!(it.absent.iter().all(|node| named.contains(node)), "{it:?}");
            assert!(!it.voters.is_empty() && it.voters.is_sorted(), "{it:?}");
            past.note(&catalog);
            past.check(it);
        }
        let steps = (0..).take_while(|_| advance(&mut catalog)).count();
        assert!(steps <= 8, "{steps} steps to {:?}", partition(&catalog));
        let it = partition(&catalog);
        let present = it.voters.iter().filter(|node| !it.absent.contains(node));
        if present.count() * 2 > it.voters.len() {
            assert_eq!(
                (&it.voters, &it.absent),
                (&it.replicas, &Vec::new()),
                "{it:?}"
            );
        }
    }
}
