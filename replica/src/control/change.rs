//! Which changes of partitions' voters go on: a pure function of what the catalog wants and what
//! the leaders have told.
//!
//! It is asked again and again, by whoever is the primary, so nothing has to be remembered and
//! nothing is lost with a primary.

use std::collections::BTreeSet;

use crate::metadata::{Catalog, Stage, Step};

/// The most partitions whose voters change at once.
///
/// Each stage makes a partition's producers wait for a moment, and newcomers are sent whole logs:
/// more at once would be done no earlier, and would be felt by everybody else.
const UNDER_WAY_MAX: usize = 32;

const _: () = assert!(UNDER_WAY_MAX <= super::heartbeat::DONE_MAX);

/// The steps that can be taken now; `done` are the partitions and epochs of which the leader has
/// told that the stage has done its work.
pub(super) fn due(catalog: &Catalog, done: &BTreeSet<(u64, u32)>) -> Vec<Step> {
    let changing = |stage| stage != Stage::Rest;
    let partitions = catalog.partitions.values();
    let mut under_way = partitions.filter(|it| changing(it.stage())).count();
    let mut steps = Vec::new();
    for partition in catalog.partitions.values() {
        let step = Step {
            partition: partition.id,
            epoch: partition.epoch.0,
        };
        let Some(awaits_leader) = partition.next_awaits_leader() else {
            continue;
        };
        if awaits_leader && !done.contains(&(step.partition, step.epoch)) {
            continue;
        }
        if partition.stage() == Stage::Rest {
            if under_way >= UNDER_WAY_MAX {
                continue;
            }
            under_way += 1;
        }
        steps.push(step);
    }
    steps
}

#[cfg(test)]
mod tests {
    use quorate_vsr::{Epoch, NodeId};

    use super::*;
    use crate::metadata::PartitionRecord;

    fn partition(id: u64, voters: &[u16], replicas: &[u16]) -> PartitionRecord {
        let nodes = |ids: &[u16]| ids.iter().copied().map(NodeId).collect();
        PartitionRecord {
            id,
            topic: "events".to_owned(),
            index: 0,
            leader: NodeId(1),
            epoch: Epoch(3),
            voters: nodes(voters),
            previous: Vec::new(),
            learners: Vec::new(),
            replicas: nodes(replicas),
            absent: Vec::new(),
            since: voters.iter().map(|id| (NodeId(*id), Epoch(1))).collect(),
        }
    }

    fn catalog(partitions: impl IntoIterator<Item = PartitionRecord>) -> Catalog {
        let partitions = partitions.into_iter().map(|it| (it.id, it)).collect();
        Catalog {
            partitions,
            ..Catalog::default()
        }
    }

    #[test]
    fn a_wish_is_begun_at_once_and_goes_on_when_the_leader_has_told() {
        let step = |partition| Step {
            partition,
            epoch: 3,
        };
        let mut learning = partition(2, &[1], &[1, 2]);
        learning.learners = vec![NodeId(2)];
        let mut joint = partition(3, &[1, 2], &[1, 2]);
        joint.previous = vec![NodeId(1)];
        let settled = partition(4, &[1], &[1]);
        let catalog = catalog([partition(1, &[1], &[2]), learning, joint, settled]);
        assert_eq!(due(&catalog, &BTreeSet::new()), [step(1)]);
        let told = BTreeSet::from([(2, 3), (3, 2), (4, 3)]);
        assert_eq!(due(&catalog, &told), [step(1), step(2)]);
    }

    #[test]
    fn many_changes_begin_a_few_at_a_time() {
        let mut catalog = catalog((1..100).map(|id| partition(id, &[1], &[2])));
        assert_eq!(due(&catalog, &BTreeSet::new()).len(), UNDER_WAY_MAX);
        for partition in catalog.partitions.values_mut().take(UNDER_WAY_MAX - 1) {
            partition.learners = vec![NodeId(2)];
        }
        assert_eq!(due(&catalog, &BTreeSet::new()).len(), 1);
    }
}
