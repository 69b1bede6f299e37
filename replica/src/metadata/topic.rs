//! Topics come and go.

use quorate_vsr::Epoch;
use quorate_wire::{Code, Compaction, Limit, Refusal, Retention, is_valid_topic_name};

use super::outcome::Outcome;
use super::placement::place;
use super::{Catalog, PartitionRecord, TopicRecord};

/// The most partitions of one topic.
pub const TOPIC_PARTITIONS_MAX: u32 = 10_000;
/// The most partitions of all topics, and the most topics. Together they keep the whole catalog
/// (some 80 bytes a partition, 300 a topic) below the longest body of a frame, in which it travels
/// to a client that asks for everything.
pub const PARTITIONS_MAX: usize = 50_000;
/// See [`PARTITIONS_MAX`].
pub const TOPICS_MAX: usize = 10_000;

impl Catalog {
    pub(super) fn create_topic(
        &mut self,
        name: &str,
        partitions: u32,
        replication: u16,
        compaction: Option<Compaction>,
    ) -> Outcome {
        let checked = self.check_new_topic(name, partitions, replication);
        let checked = checked.and_then(|()| compaction.map_or(Ok(()), check_compaction));
        if let Err(refusal) = checked {
            return Outcome::Refused(refusal);
        }
        let placements = place(self, partitions, replication);
        let mut ids = Vec::with_capacity(placements.len());
        for (index, placement) in (0..).zip(placements) {
            let id = self.next_partition;
            self.next_partition += 1;
            ids.push(id);
            let record = PartitionRecord {
                id,
                topic: name.to_owned(),
                index,
                leader: placement.leader,
                epoch: Epoch(1),
                since: placement.voters.iter().map(|it| (*it, Epoch(1))).collect(),
                replicas: placement.voters.clone(),
                voters: placement.voters,
                previous: Vec::new(),
                learners: Vec::new(),
                absent: Vec::new(),
            };
            self.partitions.insert(id, record);
        }
        let first_partition = ids[0];
        let topic = TopicRecord {
            name: name.to_owned(),
            retention: Retention::default(),
            compaction,
            partitions: ids,
        };
        self.topics.insert(name.to_owned(), topic);
        self.version += 1;
        Outcome::TopicCreated {
            name: name.to_owned(),
            first_partition,
        }
    }

    pub(super) fn delete_topic(&mut self, name: &str) -> Outcome {
        let Some(topic) = self.topics.remove(name) else {
            return Outcome::Refused(Refusal::unknown_topic(name));
        };
        for id in topic.partitions {
            self.partitions.remove(&id);
        }
        self.version += 1;
        Outcome::TopicDeleted
    }

    pub(super) fn retain_topic(&mut self, name: &str, ms: Limit, bytes: Limit) -> Outcome {
        let Some(topic) = self.topics.get_mut(name) else {
            return Outcome::Refused(Refusal::unknown_topic(name));
        };
        let before = topic.retention;
        let retention = Retention {
            ms: ms.apply(before.ms),
            bytes: bytes.apply(before.bytes),
        };
        if retention != before {
            topic.retention = retention;
            self.version += 1;
        }
        Outcome::Accepted
    }

    pub(super) fn keep_tombstones(&mut self, name: &str, tombstone_ms: u64) -> Outcome {
        let Some(topic) = self.topics.get_mut(name) else {
            return Outcome::Refused(Refusal::unknown_topic(name));
        };
        let Some(before) = topic.compaction else {
            return Outcome::Refused(not_compacted(name));
        };
        let compaction = Compaction { tombstone_ms };
        if let Err(refusal) = check_compaction(compaction) {
            return Outcome::Refused(refusal);
        }
        if compaction != before {
            topic.compaction = Some(compaction);
            self.version += 1;
        }
        Outcome::Accepted
    }

    /// Whether a partition is compacted, and how; not if it is not known.
    pub fn compaction_of(&self, partition: u64) -> Option<Compaction> {
        let record = self.partitions.get(&partition)?;
        self.topics.get(&record.topic)?.compaction
    }

    /// How much of a partition is kept; all of it if it is not known.
    pub fn retention_of(&self, partition: u64) -> Retention {
        let record = self.partitions.get(&partition);
        let topic = record.and_then(|record| self.topics.get(&record.topic));
        topic.map_or_else(Retention::default, |topic| topic.retention)
    }

    fn check_new_topic(
        &self,
        name: &str,
        partitions: u32,
        replication: u16,
    ) -> Result<(), Refusal> {
        if !is_valid_topic_name(name) {
            return Err(Refusal::invalid_topic_name(name));
        }
        if self.topics.contains_key(name) {
            return Err(Refusal::new(
                Code::TopicExists,
                format!("topic \"{name}\" exists"),
            ));
        }
        if partitions == 0 || partitions > TOPIC_PARTITIONS_MAX {
            return Err(Refusal::new(
                Code::InvalidPartitions,
                format!("{partitions} partitions: a topic has 1 to {TOPIC_PARTITIONS_MAX}"),
            ));
        }
        let held = self.partitions.len();
        if held + partitions as usize > PARTITIONS_MAX || self.topics.len() == TOPICS_MAX {
            return Err(Refusal::new(
                Code::InvalidPartitions,
                format!(
                    "the cluster holds {held} partitions in {} topics; with this topic it would \
                     hold more than {PARTITIONS_MAX} in {TOPICS_MAX}: delete a topic first",
                    self.topics.len()
                ),
            ));
        }
        let nodes = self.nodes.keys().filter(|id| self.is_staying(**id)).count();
        if replication == 0 || usize::from(replication) > nodes {
            return Err(Refusal::new(
                Code::InvalidReplication,
                format!(
                    "replication {replication}: the cluster has {nodes} nodes, so 1 to {nodes} \
                     are possible"
                ),
            ));
        }
        Ok(())
    }
}

fn check_compaction(compaction: Compaction) -> Result<(), Refusal> {
    let (ms, max) = (compaction.tombstone_ms, Compaction::TOMBSTONE_MS_MAX);
    if (1..=max).contains(&ms) {
        return Ok(());
    }
    let detail = format!("deletions are kept for 1 to {max} milliseconds, not for {ms}");
    Err(Refusal::new(Code::InvalidCompaction, detail))
}

fn not_compacted(name: &str) -> Refusal {
    let detail = format!(
        "topic \"{name}\" is not compacted, and a topic cannot become it: its older records may \
         have no keys, or be compressed; create another one with `quorate topic create --compact`"
    );
    Refusal::new(Code::InvalidCompaction, detail)
}
