//! How an operation changes the catalog. Total and deterministic: whatever the operation says,
//! every node that applies it to the same catalog ends with the same catalog and the same outcome.

use std::net::SocketAddr;

use quorate_vsr::{Epoch, NodeId};
use quorate_wire::{Code, Refusal, is_valid_topic_name};

use super::balance::fill_vacancies;
use super::operation::{Move, Operation};
use super::outcome::Outcome;
use super::placement::place;
use super::{Catalog, NodeRecord, PartitionRecord, TopicRecord};

/// The most partitions of one topic.
pub const TOPIC_PARTITIONS_MAX: u32 = 10_000;
/// The most partitions of all topics, and the most topics. Together they keep the whole catalog
/// (some 40 bytes a partition, 300 a topic) well below the longest body of a frame, in which it
/// travels to a node that lags behind and to a client that asks for everything.
pub const PARTITIONS_MAX: usize = 50_000;
/// See [`PARTITIONS_MAX`].
pub const TOPICS_MAX: usize = 10_000;

impl Catalog {
    /// Applies `operation`; the outcome is for the client that asked for it, if one did.
    pub fn apply(&mut self, operation: &Operation) -> Option<Outcome> {
        match operation {
            Operation::CreateTopic {
                name,
                partitions,
                replication,
            } => {
                let outcome = match self.check_new_topic(name, *partitions, *replication) {
                    Ok(()) => self.create_topic(name, *partitions, *replication),
                    Err(refusal) => Outcome::Refused(refusal),
                };
                Some(outcome)
            }
            Operation::DeleteTopic { name } => Some(self.delete_topic(name)),
            Operation::NodeUp {
                node,
                incarnation,
                control_address,
                shard_addresses,
            } => {
                let shards = shard_addresses.iter().map(|address| address.parse());
                let addresses = (control_address.parse(), shards.collect());
                // Checked before it was proposed; an address that nobody can read changes nothing.
                if let (Ok(control_address), Ok(shard_addresses)) = addresses {
                    self.node_up(
                        NodeId(*node),
                        *incarnation,
                        control_address,
                        shard_addresses,
                    );
                }
                None
            }
            Operation::NodeDown { node, incarnation } => {
                self.node_down(NodeId(*node), *incarnation);
                None
            }
            Operation::MoveLeaders { moves } => {
                self.move_leaders(moves);
                None
            }
        }
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
        let nodes = self.nodes.len();
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

    fn create_topic(&mut self, name: &str, partitions: u32, replication: u16) -> Outcome {
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
                voters: placement.voters,
            };
            self.partitions.insert(id, record);
        }
        let topic = TopicRecord {
            name: name.to_owned(),
            partitions: ids,
        };
        self.topics.insert(name.to_owned(), topic);
        self.version += 1;
        Outcome::TopicCreated {
            name: name.to_owned(),
        }
    }

    fn delete_topic(&mut self, name: &str) -> Outcome {
        let Some(topic) = self.topics.remove(name) else {
            return Outcome::Refused(Refusal::unknown_topic(name));
        };
        for id in topic.partitions {
            self.partitions.remove(&id);
        }
        self.version += 1;
        Outcome::TopicDeleted
    }

    fn node_up(
        &mut self,
        id: NodeId,
        incarnation: u64,
        control_address: SocketAddr,
        shard_addresses: Vec<SocketAddr>,
    ) {
        let is_alive = true;
        let record = NodeRecord {
            id,
            incarnation,
            is_alive,
            control_address,
            shard_addresses,
        };
        let before = self.nodes.insert(id, record);
        if before.as_ref() == self.nodes.get(&id) {
            return;
        }
        self.version += 1;
        // The earlier run of the node may have left appends behind that nobody knows of any more.
        // Its leaderships end here even if it gets them back, so that the present run never opens
        // a partition in an epoch that it cannot remember.
        let is_new = before.is_none_or(|before| before.incarnation != incarnation);
        let is_alive = self.alive();
        let moves = fill_vacancies(self, |partition| {
            !is_alive.contains(&partition.leader) || (is_new && partition.leader == id)
        });
        self.carry_out(&moves);
    }

    fn node_down(&mut self, id: NodeId, incarnation: u64) {
        let Some(record) = self.nodes.get_mut(&id) else {
            return;
        };
        if !record.is_alive || record.incarnation != incarnation {
            return;
        }
        record.is_alive = false;
        self.version += 1;
        let is_alive = self.alive();
        let moves = fill_vacancies(self, |partition| !is_alive.contains(&partition.leader));
        self.carry_out(&moves);
    }

    fn move_leaders(&mut self, moves: &[Move]) {
        let is_alive = self.alive();
        let still_fits: Vec<_> = moves
            .iter()
            .filter(|step| {
                let leader = NodeId(step.leader);
                self.partitions
                    .get(&step.partition)
                    .is_some_and(|partition| {
                        partition.epoch.0 == step.epoch
                            && partition.leader != leader
                            && partition.voters.contains(&leader)
                            && is_alive.contains(&leader)
                    })
            })
            .copied()
            .collect();
        if !still_fits.is_empty() {
            self.version += 1;
            self.carry_out(&still_fits);
        }
    }

    fn carry_out(&mut self, moves: &[Move]) {
        for step in moves {
            if let Some(partition) = self.partitions.get_mut(&step.partition) {
                partition.leader = NodeId(step.leader);
                partition.epoch = partition.epoch.next();
            }
        }
    }

    fn alive(&self) -> std::collections::BTreeSet<NodeId> {
        self.nodes
            .values()
            .filter(|node| node.is_alive)
            .map(|node| node.id)
            .collect()
    }
}
