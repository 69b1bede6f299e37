//! Who leads what when nodes come and go: pure functions from the catalog to moves.

use std::collections::{BTreeMap, BTreeSet};

use quorate_vsr::NodeId;

use super::operation::Move;
use super::partition::Stage;
use super::{Catalog, PartitionRecord};

/// The most moves of one operation: each costs its partition a short pause, so a large imbalance is
/// mended in several steps, each of which is reported back before the next.
pub const MOVES_MAX: usize = 256;

/// New leaders for all partitions that `is_vacant` names and that some live node may lead.
///
/// Each goes where `choose_leader` says, counting the leaderships given out earlier in the same
/// call, so that the partitions of a dead node spread over all that remain.
pub fn fill_vacancies(
    catalog: &Catalog,
    is_vacant: impl Fn(&PartitionRecord) -> bool,
) -> Vec<Move> {
    let (vacant, led): (Vec<_>, Vec<_>) = catalog
        .partitions
        .values()
        .partition(|partition| is_vacant(partition));
    let mut counts = leaderships(catalog, led.into_iter());
    let mut moves = Vec::new();
    for partition in vacant {
        let Some(leader) = choose_leader(partition, &counts) else {
            continue;
        };
        *counts.entry(leader).or_default() += 1;
        moves.push(move_to(partition, leader));
    }
    moves
}

/// Moves that give the partitions whose leaders have resigned, in the epochs that are named, to
/// others; those that nobody else could lead stay as they are.
pub fn relieve(catalog: &Catalog, resigned: &BTreeSet<(u64, u32)>) -> Vec<Move> {
    if resigned.is_empty() {
        return Vec::new();
    }
    let mut counts = leaderships(catalog, catalog.partitions.values());
    let mut moves = Vec::new();
    for (id, epoch) in resigned {
        let partition = catalog.partitions.get(id);
        let Some(partition) = partition.filter(|it| it.epoch.0 == *epoch) else {
            continue;
        };
        let others = counts.iter().filter(|(node, _)| **node != partition.leader);
        let others: BTreeMap<_, _> = others.map(|(node, count)| (*node, *count)).collect();
        if let Some(leader) = choose_leader(partition, &others) {
            *counts.entry(leader).or_default() += 1;
            moves.push(move_to(partition, leader));
        }
    }
    moves
}

/// The node among those in `counts`, the live ones with their numbers of leaderships, that leads
/// `partition` from now on: the one with the fewest.
///
/// While its voters change, one that counts both before and after the change is better than one
/// that counts only after it, and that than one that is about to go.
pub(super) fn choose_leader(
    partition: &PartitionRecord,
    counts: &BTreeMap<NodeId, u32>,
) -> Option<NodeId> {
    let rank = |id: &NodeId| {
        let is_target = partition.voters.contains(id);
        let is_both = partition.previous.is_empty() || partition.previous.contains(id);
        match (is_target, is_both) {
            (true, true) => 0,
            (true, false) => 1,
            (false, _) => 2,
        }
    };
    let fit = counts
        .iter()
        .filter(|(id, _)| partition.may_be_led_by(**id));
    let best = fit.min_by_key(|(id, count)| (rank(id), **count, **id));
    best.map(|(id, _)| *id)
}

/// Moves that bring the live nodes' numbers of leaderships as close together as the voters allow.
///
/// A node that is `lagging` gets nothing: it would first have to fetch what it lacks. Neither does
/// one that leaves. Partitions whose voters change are left alone.
pub fn balance(catalog: &Catalog, lagging: &BTreeSet<NodeId>) -> Vec<Move> {
    let mut counts = leaderships(catalog, catalog.partitions.values());
    let staying = catalog.staying();
    let mut leaders = BTreeMap::new();
    loop {
        let moved_before = leaders.len();
        for partition in catalog.partitions.values() {
            if leaders.len() == MOVES_MAX {
                break;
            }
            if leaders.contains_key(&partition.id) || partition.stage() != Stage::Rest {
                continue;
            }
            let Some(leads) = counts.get(&partition.leader).copied() else {
                continue;
            };
            let voters = partition.voters.iter();
            let able = voters.filter(|id| staying.contains(id) && partition.may_be_led_by(**id));
            let fit = able.filter(|id| counts.contains_key(id) && !lagging.contains(id));
            let Some(least) = fit.min_by_key(|id| (counts[id], **id)).copied() else {
                continue;
            };
            // A difference of one is as even as it gets; moving for it would never end.
            if counts[&least] + 2 <= leads {
                *counts.entry(least).or_default() += 1;
                *counts.entry(partition.leader).or_default() -= 1;
                leaders.insert(partition.id, move_to(partition, least));
            }
        }
        // A move changes the counts, which may make another one worth while.
        if leaders.len() == moved_before || leaders.len() == MOVES_MAX {
            return leaders.into_values().collect();
        }
    }
}

/// How many of `partitions` each live node leads.
pub(super) fn leaderships<'a>(
    catalog: &Catalog,
    partitions: impl Iterator<Item = &'a PartitionRecord>,
) -> BTreeMap<NodeId, u32> {
    let alive = catalog.nodes.values().filter(|node| node.is_alive);
    let mut counts: BTreeMap<_, _> = alive.map(|node| (node.id, 0)).collect();
    for partition in partitions {
        if let Some(count) = counts.get_mut(&partition.leader) {
            *count += 1;
        }
    }
    counts
}

fn move_to(partition: &PartitionRecord, leader: NodeId) -> Move {
    Move {
        partition: partition.id,
        epoch: partition.epoch.0,
        leader: leader.0,
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{catalog_of, with_topic};
    use super::*;

    fn led(catalog: &Catalog) -> Vec<usize> {
        let led = |id| {
            catalog
                .partitions
                .values()
                .filter(|p| p.leader == id)
                .count()
        };
        catalog.nodes.keys().map(|id| led(*id)).collect()
    }

    #[test]
    fn who_resigns_is_followed_by_another_voter() {
        let catalog = with_topic(catalog_of(3), 2, 3);
        let partition = catalog.partitions.values().next().unwrap();
        let (id, epoch, leader) = (partition.id, partition.epoch.0, partition.leader);
        let moves = relieve(&catalog, &BTreeSet::from([(id, epoch)]));
        let [Move { leader: next, .. }] = moves[..] else {
            panic!("{moves:?} is not one move");
        };
        assert_ne!(next, leader.0);
        assert!(partition.may_be_led_by(NodeId(next)));
        assert_eq!(
            relieve(&catalog, &BTreeSet::from([(id, epoch - 1)])),
            [],
            "long ago"
        );
        let alone = with_topic(catalog_of(3), 2, 1);
        let partition = alone.partitions.values().next().unwrap();
        let resigned = BTreeSet::from([(partition.id, partition.epoch.0)]);
        assert_eq!(relieve(&alone, &resigned), [], "nobody else could");
    }

    fn apply(catalog: &mut Catalog, moves: &[Move]) {
        for step in moves {
            let partition = catalog.partitions.get_mut(&step.partition).unwrap();
            partition.leader = NodeId(step.leader);
        }
    }

    #[test]
    fn a_dead_nodes_leaderships_are_spread_over_the_others() {
        let mut catalog = with_topic(catalog_of(3), 12, 3);
        catalog.nodes.get_mut(&NodeId(2)).unwrap().is_alive = false;
        let moves = fill_vacancies(&catalog, |partition| partition.leader == NodeId(2));
        assert_eq!(moves.len(), 4);
        apply(&mut catalog, &moves);
        assert_eq!(led(&catalog), [6, 0, 6]);
    }

    #[test]
    fn a_partition_without_a_live_voter_stays_where_it_is() {
        let mut catalog = with_topic(catalog_of(3), 3, 1);
        catalog.nodes.get_mut(&NodeId(1)).unwrap().is_alive = false;
        assert_eq!(
            fill_vacancies(&catalog, |partition| partition.leader == NodeId(1)),
            []
        );
    }

    #[test]
    fn balance_evens_out_and_then_rests() {
        let mut catalog = with_topic(catalog_of(3), 10, 3);
        for partition in catalog.partitions.values_mut() {
            partition.leader = NodeId(3);
        }
        let moves = balance(&catalog, &BTreeSet::new());
        apply(&mut catalog, &moves);
        let mut led = led(&catalog);
        led.sort_unstable();
        assert_eq!(led, [3, 3, 4]);
        assert_eq!(balance(&catalog, &BTreeSet::new()), []);
    }

    #[test]
    fn balance_gives_nothing_to_the_lagging_and_the_dead() {
        let mut catalog = with_topic(catalog_of(4), 12, 4);
        for partition in catalog.partitions.values_mut() {
            partition.leader = NodeId(1);
        }
        catalog.nodes.get_mut(&NodeId(4)).unwrap().is_alive = false;
        let moves = balance(&catalog, &BTreeSet::from([NodeId(2)]));
        assert_eq!(moves.len(), 6);
        assert!(moves.iter().all(|step| step.leader == 3), "{moves:?}");
    }

    #[test]
    fn balance_moves_a_bounded_number_at_a_time() {
        let mut catalog = with_topic(catalog_of(2), 1_000, 2);
        for partition in catalog.partitions.values_mut() {
            partition.leader = NodeId(1);
        }
        assert_eq!(balance(&catalog, &BTreeSet::new()).len(), MOVES_MAX);
    }
}
