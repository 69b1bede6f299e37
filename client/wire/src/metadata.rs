use rkyv::{Archive, Deserialize, Serialize};

use crate::{ClusterId, Refusal};

/// What a client needs to find its way: nodes, topics, and who leads what.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct ClusterMetadata {
    /// The cluster's id, as in [`ClusterId`].
    pub cluster: u128,
    /// Grows with every change; the greater of two is the newer.
    pub version: u64,
    /// The view of the control-plane group, as far as this node knows.
    pub view: u64,
    /// The primary of that view.
    pub primary: u16,
    /// All nodes, by id.
    pub nodes: Vec<NodeInfo>,
    /// The topics that were asked for, by name.
    pub topics: Vec<TopicInfo>,
}

impl ClusterMetadata {
    /// The cluster's id.
    pub fn cluster_id(&self) -> ClusterId {
        ClusterId(self.cluster)
    }

    /// The node of that id.
    pub fn node(&self, id: u16) -> Option<&NodeInfo> {
        self.nodes.iter().find(|node| node.id == id)
    }

    /// The topic of that name.
    pub fn topic(&self, name: &str) -> Result<&TopicInfo, Refusal> {
        let topic = self.topics.iter().find(|topic| topic.name == name);
        topic.ok_or_else(|| Refusal::unknown_topic(name))
    }
}

/// A node and its addresses, each written as `IP:PORT`.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct NodeInfo {
    /// The node's id.
    pub id: u16,
    /// Whether the control plane holds it to be alive.
    pub alive: bool,
    /// Where its control thread listens.
    pub control_address: String,
    /// Where each of its shards listens. Partition `p` lives on shard `p % shards`.
    pub shard_addresses: Vec<String>,
}

impl NodeInfo {
    /// The address of the shard that holds `partition` on this node; `None` before the node has
    /// told its addresses.
    pub fn address_of(&self, partition: u64) -> Option<&str> {
        let shards = self.shard_addresses.len() as u64;
        let shard = partition.checked_rem(shards)?;
        Some(&self.shard_addresses[shard as usize])
    }
}

/// A topic and its partitions.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq, Hash)]
pub struct TopicInfo {
    /// The topic's name.
    pub name: String,
    /// Its partitions, by index.
    pub partitions: Vec<PartitionInfo>,
}

impl TopicInfo {
    /// The partition of that index.
    pub fn partition(&self, index: u32) -> Result<&PartitionInfo, Refusal> {
        let partition = self.partitions.get(index as usize);
        partition
            .ok_or_else(|| Refusal::unknown_partition(&self.name, index, self.partitions.len()))
    }
}

/// A partition and who leads it.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq, Hash)]
pub struct PartitionInfo {
    /// Unique in the cluster and never used again.
    pub id: u64,
    /// Its place in the topic, from 0.
    pub index: u32,
    /// The node that leads it.
    pub leader: u16,
    /// The leader's epoch.
    pub epoch: u32,
    /// The nodes that hold it.
    pub voters: Vec<u16>,
}
