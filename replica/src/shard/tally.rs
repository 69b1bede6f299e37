use std::collections::{BTreeMap, BTreeSet};

use quorate_vsr::NodeId;

use super::ShardSummary;

/// What one partition adds to the shard's [`ShardSummary`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Standing {
    /// Whether the shard leads the partition, open for appends.
    pub(super) leads: bool,
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
    lagging: BTreeMap<NodeId, u32>,
}

impl Tally {
    pub(super) fn add(&mut self, standing: &Standing) {
        self.replicas += 1;
        self.leaderships += u32::from(standing.leads);
        self.under_replicated += u32::from(!standing.lagging.is_empty());
        for node in &standing.lagging {
            *self.lagging.entry(*node).or_default() += 1;
        }
    }

    pub(super) fn remove(&mut self, standing: &Standing) {
        self.replicas -= 1;
        self.leaderships -= u32::from(standing.leads);
        self.under_replicated -= u32::from(!standing.lagging.is_empty());
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
    }

    pub(super) fn summary(&self) -> ShardSummary {
        ShardSummary {
            replicas: self.replicas,
            leaderships: self.leaderships,
            under_replicated: self.under_replicated,
            lagging: self.lagging.keys().copied().collect::<BTreeSet<_>>(),
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
            lagging: Vec::new(),
        };
        let behind = Standing {
            leads: true,
            lagging: vec![NodeId(2), NodeId(3)],
        };
        let one_behind = Standing {
            leads: true,
            lagging: vec![NodeId(3)],
        };
        tally.add(&leading);
        tally.add(&behind);
        tally.add(&one_behind);
        tally.remove(&behind);
        tally.add(&leading);
        let summary = tally.summary();
        assert_eq!(summary.lagging, BTreeSet::from([NodeId(3)]));
        assert_eq!((summary.leaderships, summary.under_replicated), (3, 1));
        tally.remove(&one_behind);
        assert_eq!(tally.summary().lagging, BTreeSet::new());
        assert_eq!(tally.summary().replicas, 2);
    }
}
