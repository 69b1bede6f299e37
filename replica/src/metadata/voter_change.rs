//! The voters of partitions change: by whom a partition shall be held, and how it gets there.

use std::collections::BTreeSet;

use quorate_vsr::NodeId;
use quorate_wire::{Code, Refusal};

use super::Catalog;
use super::balance::{choose_leader, leaderships};
use super::member::listed;
use super::operation::Step;
use super::outcome::Outcome;

impl Catalog {
    pub(super) fn alter_topic(
        &mut self,
        name: &str,
        partition: Option<u32>,
        mut replicas: Vec<NodeId>,
    ) -> Outcome {
        replicas.sort_unstable();
        let ids = match self.check_alteration(name, partition, &replicas) {
            Ok(ids) => ids,
            Err(refusal) => return Outcome::Refused(refusal),
        };
        let mut is_news = false;
        for id in ids {
            if let Some(partition) = self.partitions.get_mut(&id)
                && partition.replicas != replicas
            {
                partition.replicas.clone_from(&replicas);
                is_news = true;
            }
        }
        self.version += u64::from(is_news);
        Outcome::Accepted
    }

    /// The partitions that are meant; `replicas` are sorted.
    fn check_alteration(
        &self,
        name: &str,
        partition: Option<u32>,
        replicas: &[NodeId],
    ) -> Result<Vec<u64>, Refusal> {
        let topic = self.topics.get(name);
        let topic = topic.ok_or_else(|| Refusal::unknown_topic(name))?;
        let ids = match partition {
            None => topic.partitions.clone(),
            Some(index) => match topic.partitions.get(index as usize) {
                Some(id) => vec![*id],
                None => {
                    let count = topic.partitions.len();
                    return Err(Refusal::unknown_partition(name, index, count));
                }
            },
        };
        let refused = |detail: String| Err(Refusal::new(Code::InvalidReplicas, detail));
        if replicas.is_empty() {
            return refused("a partition is held by at least one node".to_owned());
        }
        if let Some(twice) = replicas.windows(2).find(|pair| pair[0] == pair[1]) {
            return refused(format!("node {} is named twice", twice[0].0));
        }
        for node in replicas {
            if !self.members.contains_key(node) {
                return Err(Refusal::unknown_node(node.0));
            }
            if !self.is_staying(*node) {
                return refused(format!("node {} is leaving the cluster", node.0));
            }
            if !self.nodes.contains_key(node) {
                return refused(format!("node {} was never up: start it first", node.0));
            }
        }
        let alive = self.alive();
        for id in &ids {
            let partition = &self.partitions[id];
            let mut holders = partition.named().into_iter();
            if !holders.any(|node| alive.contains(&node) && partition.may_be_led_by(node)) {
                return refused(format!(
                    "partition {} is held by nodes {}, and none of them is up: start one first",
                    partition.index,
                    listed(&partition.voters)
                ));
            }
        }
        Ok(ids)
    }

    /// Takes the changes of partitions that are still in the epochs of `steps` one stage further.
    ///
    /// The leader stays if it may lead in the next stage as well.
    pub(super) fn advance_replicas(&mut self, steps: &[Step]) {
        let alive: BTreeSet<_> = self.alive();
        let mut counts = leaderships(self, self.partitions.values());
        let mut is_news = false;
        for step in steps {
            let partition = self.partitions.get_mut(&step.partition);
            let Some(partition) = partition.filter(|it| it.epoch.0 == step.epoch) else {
                continue;
            };
            let Some(next) = partition.next() else {
                continue;
            };
            partition.enter(next);
            is_news = true;
            let before = partition.leader;
            if alive.contains(&before) && partition.may_be_led_by(before) {
                continue;
            }
            let Some(leader) = choose_leader(partition, &counts) else {
                continue;
            };
            partition.leader = leader;
            *counts.entry(leader).or_default() += 1;
            counts
                .entry(before)
                .and_modify(|count| *count = count.saturating_sub(1));
        }
        self.version += u64::from(is_news);
    }
}

#[cfg(test)]
mod tests;
