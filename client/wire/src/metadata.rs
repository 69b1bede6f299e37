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
    /// The nodes that shall belong to the cluster, by id.
    pub members: Vec<MemberInfo>,
    /// Those of them that have ever registered, by id.
    pub nodes: Vec<NodeInfo>,
    /// The topics that were asked for, by name.
    pub topics: Vec<TopicInfo>,
}

impl ClusterMetadata {
    /// The cluster's id.
    pub fn cluster_id(&self) -> ClusterId {
        ClusterId(self.cluster)
    }

    /// The member of that id.
    pub fn member(&self, id: u16) -> Option<&MemberInfo> {
        self.members.iter().find(|member| member.id == id)
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

/// A node that shall belong to the cluster.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct MemberInfo {
    /// The node's id.
    pub id: u16,
    /// Where its control thread listens, as `IP:PORT`.
    pub control_address: String,
    /// Whether it shall leave.
    pub is_leaving: bool,
    /// The disk that counts as the node's, once it was heard with one. A node that says that it
    /// has another one has lost everything, and takes part in nothing.
    pub disk: Option<u64>,
    /// What the node is in the control plane's group now.
    pub part: Part,
    /// Whether it shall vote in the group in the end.
    pub shall_vote: bool,
}

/// What a node is in the control plane's group.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Nothing yet, or nothing any more.
    None,
    /// It follows without a vote.
    Standby,
    /// It votes.
    Voter,
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
    /// How much of its records is kept.
    pub retention: Retention,
    /// Whether it is compacted, and how.
    pub compaction: Option<Compaction>,
    /// Its partitions, by index.
    pub partitions: Vec<PartitionInfo>,
}

/// A compacted topic keeps the last record of every key; the ones before it go, at leisure.
///
/// So every record of it has a key, and none is compressed by its producer.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Compaction {
    /// A record without a value says that its key is deleted. It goes itself at the earliest so
    /// many milliseconds after what was before it, so that readers come by it.
    pub tombstone_ms: u64,
}

impl Compaction {
    /// The longest that deletions can be kept: ten years.
    pub const TOMBSTONE_MS_MAX: u64 = 10 * 365 * 86_400_000;
}

impl Default for Compaction {
    /// Deletions are kept for a day.
    fn default() -> Self {
        Self {
            tombstone_ms: 86_400_000,
        }
    }
}

/// How much of a topic's records is kept; what goes first is what is oldest. Without any limit
/// nothing goes.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Retention {
    /// Records older than so many milliseconds go.
    pub ms: Option<u64>,
    /// At least so many bytes of each partition stay, and not much more.
    pub bytes: Option<u64>,
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
    /// The nodes whose majority commits.
    pub voters: Vec<u16>,
    /// While the voters change: those before the change, of whom a majority is needed as well.
    pub previous: Vec<u16>,
    /// While the voters change: nodes that are sent the records to become voters.
    pub learners: Vec<u16>,
    /// The nodes that shall hold it; the voters, unless these change or are about to.
    pub replicas: Vec<u16>,
    /// Those of the voters whose disk is lost.
    pub absent: Vec<u16>,
}

impl PartitionInfo {
    /// Whether the nodes that shall hold it do, and nobody else.
    pub fn is_settled(&self) -> bool {
        let lists = [&self.previous, &self.learners, &self.absent];
        self.voters == self.replicas && lists.iter().all(|list| list.is_empty())
    }

    /// The nodes that have what is committed, but for what they have not heard of yet.
    pub fn readers(&self) -> Vec<u16> {
        let mut readers = self.holders();
        let is_without = |node: &u16| self.learners.contains(node) || self.absent.contains(node);
        readers.retain(|node| !is_without(node));
        readers
    }

    /// The nodes that hold it or are sent it, in the order of their ids.
    pub fn holders(&self) -> Vec<u16> {
        let lists = [&self.voters, &self.previous, &self.learners];
        let mut holders: Vec<u16> = lists.into_iter().flatten().copied().collect();
        holders.sort_unstable();
        holders.dedup();
        holders
    }
}
