use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use quorate_vsr::NodeId;
use quorate_wire::{Code, Compaction, Refusal, Retention};

use super::PartitionRecord;

/// The replicated state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Catalog {
    /// Grows by one with every operation that changed something.
    pub version: u64,
    /// The nodes that shall belong to the cluster; empty until the first primary has filled it.
    pub members: BTreeMap<NodeId, MemberRecord>,
    /// The members that have ever registered.
    pub nodes: BTreeMap<NodeId, NodeRecord>,
    /// The topics, by name.
    pub topics: BTreeMap<String, TopicRecord>,
    /// All partitions of all topics, by id.
    pub partitions: BTreeMap<u64, PartitionRecord>,
    /// The id that the next new partition gets. Ids start at 1 and are never used again.
    pub next_partition: u64,
}

/// How many lost disks are remembered of each node: one a week for five years. They travel with
/// every snapshot, and each is a few bytes.
pub(super) const GIVEN_UP_MAX: usize = 260;

/// A node that shall belong to the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberRecord {
    /// Where its control thread listens.
    pub control_address: SocketAddr,
    /// Whether it shall leave: nothing new is given to it, and what it holds goes elsewhere.
    pub is_leaving: bool,
    /// The disk that counts as the node's; `None` until it was heard with one.
    ///
    /// What the node holds and has promised is on that disk. With any other it has forgotten all
    /// of it, and takes part in nothing until the cluster was told that the old one is lost.
    pub disk: Option<u64>,
    /// The disks that were given up, in that order: the last `GIVEN_UP_MAX` of them.
    ///
    /// What is on them is counted as lost, for good: what takes their place is made anew from the
    /// others. None of them is taken back, not even in answer to the question that gave it up,
    /// asked once more while the old disk runs again.
    pub given_up: Vec<u64>,
}

impl MemberRecord {
    /// Gives up the disk that counts now, in favour of `disk`.
    pub(super) fn replace_disk(&mut self, disk: u64) {
        self.given_up.extend(self.disk.replace(disk));
        let surplus = self.given_up.len().saturating_sub(GIVEN_UP_MAX);
        self.given_up.drain(..surplus);
    }

    /// Whether the node may be there with `disk`: with the one that counts, or with any other that
    /// was not given up, unless it `is_bound` to the one that counts by what it holds or has
    /// promised.
    pub fn may_run_on(&self, disk: u64, is_bound: bool) -> bool {
        let is_other = self.disk.is_some_and(|expected| expected != disk);
        !is_other || !(is_bound || self.given_up.contains(&disk))
    }

    /// Refuses a disk that was given up.
    pub fn check_disk(&self, node: NodeId, disk: u64) -> Result<(), Refusal> {
        if !self.given_up.contains(&disk) {
            return Ok(());
        }
        let detail = format!(
            "node {} runs on a disk that was given up before, and what was given up is not taken \
             back: start it with the data folder that took its place or, if that one is lost as \
             well, with an empty data folder, and then use `quorate cluster recover` again",
            node.0
        );
        Err(Refusal::new(Code::InvalidNode, detail))
    }
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
    /// How much of its records is kept.
    pub retention: Retention,
    /// Whether it is compacted, and how. That it is, or is not, never changes: its older batches
    /// may be such that they cannot be compacted.
    pub compaction: Option<Compaction>,
    /// The ids of its partitions, by index.
    pub partitions: Vec<u64>,
}

impl Default for Catalog {
    fn default() -> Self {
        Self {
            version: 0,
            members: BTreeMap::new(),
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

    /// Whether `disk` is the one that counts as the node's.
    ///
    /// While it is not, what this catalog says that the node holds is on another disk. The present
    /// one knows nothing of it, and must not speak in its place.
    pub fn is_disk_of(&self, node: NodeId, disk: u64) -> bool {
        self.members
            .get(&node)
            .is_some_and(|member| member.disk == Some(disk))
    }

    /// The partitions of which `node` shall hold a replica in its shard `index` of `shards`.
    pub fn partitions_of_shard(
        &self,
        node: NodeId,
        index: u32,
        shards: u32,
    ) -> impl Iterator<Item = &PartitionRecord> {
        self.partitions.values().filter(move |partition| {
            partition.id % u64::from(shards) == u64::from(index) && partition.is_held_by(node)
        })
    }

    /// The nodes that are alive.
    pub fn alive(&self) -> BTreeSet<NodeId> {
        let alive = self.nodes.values().filter(|node| node.is_alive);
        alive.map(|node| node.id).collect()
    }

    /// The nodes that are alive and shall stay.
    pub fn staying(&self) -> BTreeSet<NodeId> {
        let mut staying = self.alive();
        staying.retain(|id| self.is_staying(*id));
        staying
    }

    /// Whether `node` shall belong to the cluster and not leave it.
    pub fn is_staying(&self, node: NodeId) -> bool {
        self.members
            .get(&node)
            .is_some_and(|member| !member.is_leaving)
    }

    /// Whether `node` holds a partition, or takes part in a change of one.
    pub fn is_named(&self, node: NodeId) -> bool {
        self.partitions.values().any(|it| it.names(node))
    }

    /// Whether `node` holds a partition, or shall hold one.
    pub fn is_in_use(&self, node: NodeId) -> bool {
        let is_wanted = |it: &PartitionRecord| it.is_wanted_at(node);
        self.is_named(node) || self.partitions.values().any(is_wanted)
    }

    /// Where the shard of `node` that holds `partition` listens; `None` while it is unknown.
    pub fn shard_address(&self, node: NodeId, partition: u64) -> Option<SocketAddr> {
        let addresses = &self.nodes.get(&node)?.shard_addresses;
        let shard = partition.checked_rem(addresses.len() as u64)?;
        Some(addresses[shard as usize])
    }
}
