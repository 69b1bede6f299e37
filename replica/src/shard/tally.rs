use std::collections::{BTreeMap, BTreeSet};

use quorate_vsr::{Epoch, NodeId};

use super::ShardSummary;

/// What one partition adds to the shard's [`ShardSummary`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Standing {
    /// Whether the shard leads the partition, open for appends.
    pub(super) leads: bool,
    /// The epoch whose stage in a change of voters has done its work, if this shard leads it.
    pub(super) done: Option<Epoch>,
    /// The epoch whose leadership this shard has given up of its own accord, or would rather give
    /// up because no majority answers it.
    pub(super) resigned: Option<Epoch>,
    /// Ranges of its records that are damaged on this shard's disk.
    pub(super) damaged_ranges: u32,
    /// The followers that lack something from before the opening; sorted.
    pub(super) lagging: Vec<NodeId>,
}

/// The [`ShardSummary`], kept up one partition at a time, so that a change costs the same however
/// many partitions there are.
#[derive(Debug, Default)]
pub(super) struct Tally {
    replicas: u32,
    leaderships: u32,
    under_replicated: u32,
    damaged_ranges: u32,
    lagging: BTreeMap<NodeId, u32>,
    done: BTreeMap<u64, Epoch>,
    resigned: BTreeMap<u64, Epoch>,
}

impl Tally {
    pub(super) fn add(&mut self, partition: u64, standing: &Standing) {
        self.replicas += 1;
        self.leaderships += u32::from(standing.leads);
        self.under_replicated += u32::from(!standing.lagging.is_empty());
        self.damaged_ranges += standing.damaged_ranges;
        for node in &standing.lagging {
            *self.lagging.entry(*node).or_default() += 1;
        }
        if let Some(epoch) = standing.done {
            self.done.insert(partition, epoch);
        }
        if let Some(epoch) = standing.resigned {
            self.resigned.insert(partition, epoch);
        }
    }

    pub(super) fn remove(&mut self, partition: u64, standing: &Standing) {
        self.replicas -= 1;
        self.leaderships -= u32::from(standing.leads);
        self.under_replicated -= u32::from(!standing.lagging.is_empty());
        self.damaged_ranges -= standing.damaged_ranges;
        for node in &standing.lagging {
            let count = self
                .lagging
                .get_mut(node)
                .expect("what is removed was added");
            *count -= 1;
            if *count == 0 {
                self.lagging.remove(node);
            }
        }
        if standing.done.is_some() {
            self.done.remove(&partition);
        }
        if standing.resigned.is_some() {
            self.resigned.remove(&partition);
        }
    }

    pub(super) fn summary(&self) -> ShardSummary {
        ShardSummary {
            replicas: self.replicas,
            leaderships: self.leaderships,
            under_replicated: self.under_replicated,
            damaged_ranges: self.damaged_ranges,
            lagging: self.lagging.keys().copied().collect::<BTreeSet<_>>(),
            done: self.done.clone(),
            resigned: self.resigned.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_lags_until_the_last_partition_says_otherwise() {
        let mut tally = Tally::default();
        let leading = Standing {
            leads: true,
            ..Standing::default()
        };
        let behind = Standing {
            leads: true,
            damaged_ranges: 2,
            lagging: vec![NodeId(2), NodeId(3)],
            ..Standing::default()
        };
        let one_behind = Standing {
            leads: true,
            lagging: vec![NodeId(3)],
            ..Standing::default()
        };
        tally.add(1, &leading);
        tally.add(2, &behind);
        tally.add(3, &one_behind);
        assert_eq!(tally.summary().damaged_ranges, 2);
        tally.remove(2, &behind);
        assert_eq!(tally.summary().damaged_ranges, 0);
        tally.add(2, &leading);
        let summary = tally.summary();
        assert_eq!(summary.lagging, BTreeSet::from([NodeId(3)]));
        assert_eq!((summary.leaderships, summary.under_replicated), (3, 1));
        tally.remove(3, &one_behind);
        assert_eq!(tally.summary().lagging, BTreeSet::new());
        assert_eq!(tally.summary().replicas, 2);
    }

    #[test]
    fn a_stage_that_is_done_is_told_until_the_next_begins() {
        let mut tally = Tally::default();
        let done = Standing {
            leads: true,
            done: Some(Epoch(4)),
            ..Standing::default()
        };
        tally.add(7, &done);
        assert_eq!(tally.summary().done, BTreeMap::from([(7, Epoch(4))]));
        tally.remove(7, &done);
        tally.add(7, &Standing::default());
        assert_eq!(tally.summary().done, BTreeMap::new());
    }

    #[test]
    fn a_resignation_is_told_until_there_is_a_new_epoch() {
        let mut tally = Tally::default();
        let resigned = Standing {
            resigned: Some(Epoch(4)),
            ..Standing::default()
        };
        tally.add(7, &resigned);
        assert_eq!(tally.summary().resigned, BTreeMap::from([(7, Epoch(4))]));
        tally.remove(7, &resigned);
        tally.add(7, &Standing::default());
        assert_eq!(tally.summary().resigned, BTreeMap::new());
    }
}
