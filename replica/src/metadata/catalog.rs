use std::collections::BTreeMap;
use std::net::SocketAddr;

use quorate_vsr::{Epoch, NodeId};

/// The replicated state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Catalog {
    /// Grows by one with every operation that changed something.
    pub version: u64,
    /// The nodes that have ever registered.
    pub nodes: BTreeMap<NodeId, NodeRecord>,
    /// The topics, by name.
    pub topics: BTreeMap<String, TopicRecord>,
    /// All partitions of all topics, by id.
    pub partitions: BTreeMap<u64, PartitionRecord>,
    /// The id that the next new partition gets. Ids start at 1 and are never used again.
    pub next_partition: u64,
}

/// A node that has registered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeRecord {
    /// The node's id.
    pub id: NodeId,
    /// Drawn by the node's process when it started: tells this run of the node from earlier ones.
    pub incarnation: u64,
    /// Whether the primary holds it to be alive.
    pub is_alive: bool,
    /// Where its control thread listens.
    pub control_address: SocketAddr,
    /// Where each of its shards listens.
    pub shard_addresses: Vec<SocketAddr>,
}

/// A topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicRecord {
    /// Its name.
    pub name: String,
    /// The ids of its partitions, by index.
    pub partitions: Vec<u64>,
}

/// A partition and who leads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionRecord {
    /// Unique in the cluster and never used again.
    pub id: u64,
    /// The topic it belongs to.
    pub topic: String,
    /// Its place in the topic, from 0.
    pub index: u32,
    /// The node that leads it.
    pub leader: NodeId,
    /// The leader's epoch; from 1.
    pub epoch: Epoch,
    /// The nodes that hold it, sorted.
    pub voters: Vec<NodeId>,
}

impl Default for Catalog {
    fn default() -> Self {
        Self {
            version: 0,
            nodes: BTreeMap::new(),
            topics: BTreeMap::new(),
            partitions: BTreeMap::new(),
            next_partition: 1,
        }
    }
}

impl Catalog {
    /// Whether the partition existed once and does not any more.
    ///
    /// False for a partition that this catalog has not heard of yet, because the node that holds it
    /// lags behind: such a partition's files must stay.
    pub fn is_deleted(&self, partition: u64) -> bool {
        partition < self.next_partition && !self.partitions.contains_key(&partition)
    }

    /// Whether `node` is registered with that incarnation.
    ///
    /// While it is not, the leaderships that this catalog still gives to the node belong to an
    /// earlier run of it, and the present one must not take them up.
    pub fn is_registered(&self, node: NodeId, incarnation: u64) -> bool {
        self.nodes
            .get(&node)
            .is_some_and(|record| record.incarnation == incarnation)
    }

    /// The partitions of which `node` holds a replica in its shard `index` of `shards`.
    pub fn partitions_of_shard(
        &self,
        node: NodeId,
        index: u32,
        shards: u32,
    ) -> impl Iterator<Item = &PartitionRecord> {
        self.partitions.values().filter(move |partition| {
            partition.id % u64::from(shards) == u64::from(index) && partition.voters.contains(&node)
        })
    }

    /// Where the shard of `node` that holds `partition` listens; `None` while it is unknown.
    pub fn shard_address(&self, node: NodeId, partition: u64) -> Option<SocketAddr> {
        let addresses = &self.nodes.get(&node)?.shard_addresses;
        let shard = partition.checked_rem(addresses.len() as u64)?;
        Some(addresses[shard as usize])
    }
}
