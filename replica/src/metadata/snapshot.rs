//! The catalog as bytes, for checkpoints and for nodes that lag behind.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use quorate_vsr::{Epoch, NodeId};
use quorate_wire::{Compaction, Retention};
use rkyv::{Archive, Deserialize, Serialize};

use super::operation::NotUnderstood;
use super::{Catalog, MemberRecord, NodeRecord, PartitionRecord, TopicRecord};

/// The version of the snapshot's shape; it stands before the bytes.
const VERSION: u16 = 5;

#[derive(Archive, Serialize, Deserialize)]
struct Snapshot {
    version: u64,
    next_partition: u64,
    members: Vec<Member>,
    nodes: Vec<Node>,
    topics: Vec<Topic>,
}

#[derive(Archive, Serialize, Deserialize)]
struct Member {
    id: u16,
    control_address: String,
    is_leaving: bool,
    disk: Option<u64>,
    given_up: Vec<u64>,
}

#[derive(Archive, Serialize, Deserialize)]
struct Node {
    id: u16,
    incarnation: u64,
    is_alive: bool,
    control_address: String,
    shard_addresses: Vec<String>,
}

#[derive(Archive, Serialize, Deserialize)]
struct Topic {
    name: String,
    retention: Retention,
    compaction: Option<Compaction>,
    partitions: Vec<Partition>,
}

#[derive(Archive, Serialize, Deserialize)]
struct Partition {
    id: u64,
    leader: u16,
    epoch: u32,
    voters: Vec<u16>,
    previous: Vec<u16>,
    learners: Vec<u16>,
    replicas: Vec<u16>,
    absent: Vec<u16>,
    /// Of each node in any of the first three lists, in the order of their ids.
    since: Vec<u32>,
}

impl Catalog {
    /// The whole catalog as bytes.
    pub fn encode(&self) -> Vec<u8> {
        let members = self.members.iter().map(|(id, member)| Member {
            id: id.0,
            control_address: member.control_address.to_string(),
            is_leaving: member.is_leaving,
            disk: member.disk,
            given_up: member.given_up.clone(),
        });
        let nodes = self.nodes.values().map(|node| Node {
            id: node.id.0,
            incarnation: node.incarnation,
            is_alive: node.is_alive,
            control_address: node.control_address.to_string(),
            shard_addresses: node
                .shard_addresses
                .iter()
                .map(SocketAddr::to_string)
                .collect(),
        });
        let topics = self.topics.values().map(|topic| Topic {
            name: topic.name.clone(),
            retention: topic.retention,
            compaction: topic.compaction,
            partitions: topic
                .partitions
                .iter()
                .map(|id| self.encode_partition(*id))
                .collect(),
        });
        let snapshot = Snapshot {
            version: self.version,
            next_partition: self.next_partition,
            members: members.collect(),
            nodes: nodes.collect(),
            topics: topics.collect(),
        };
        let mut bytes = VERSION.to_le_bytes().to_vec();
        bytes.extend_from_slice(&quorate_wire::encode(&snapshot));
        bytes
    }

    fn encode_partition(&self, id: u64) -> Partition {
        let partition = &self.partitions[&id];
        let is_told = partition.since.keys().eq(partition.named().iter());
        assert!(
            is_told,
            "of partition {id} it is not known who holds it since when"
        );
        Partition {
            id,
            leader: partition.leader.0,
            epoch: partition.epoch.0,
            voters: ids(&partition.voters),
            previous: ids(&partition.previous),
            learners: ids(&partition.learners),
            replicas: ids(&partition.replicas),
            absent: ids(&partition.absent),
            since: partition.since.values().map(|epoch| epoch.0).collect(),
        }
    }

    /// Reads what [`encode`](Self::encode) wrote.
    pub fn decode(bytes: &[u8]) -> Result<Self, NotUnderstood> {
        let (version, body) = bytes
            .split_first_chunk()
            .ok_or(NotUnderstood::of_version(None))?;
        let version = u16::from_le_bytes(*version);
        let not_understood = NotUnderstood::of_version(Some(version));
        if version != VERSION {
            return Err(not_understood);
        }
        let snapshot: Snapshot = quorate_wire::decode(body).map_err(|_| not_understood)?;
        let mut catalog = Self {
            version: snapshot.version,
            next_partition: snapshot.next_partition,
            ..Self::default()
        };
        for member in snapshot.members {
            let id = NodeId(member.id);
            let record = member.decode().map_err(|_| not_understood)?;
            catalog.members.insert(id, record);
        }
        for node in snapshot.nodes {
            let record = node.decode().map_err(|_| not_understood)?;
            catalog.nodes.insert(record.id, record);
        }
        for topic in snapshot.topics {
            catalog.insert_topic(topic).ok_or(not_understood)?;
        }
        Ok(catalog)
    }

    /// `None` if it is not told of everybody since when it holds a partition.
    fn insert_topic(&mut self, topic: Topic) -> Option<()> {
        let partitions = topic
            .partitions
            .iter()
            .map(|partition| partition.id)
            .collect();
        for (index, partition) in (0..).zip(topic.partitions) {
            let mut record = PartitionRecord {
                id: partition.id,
                topic: topic.name.clone(),
                index,
                leader: NodeId(partition.leader),
                epoch: Epoch(partition.epoch),
                voters: nodes(partition.voters),
                previous: nodes(partition.previous),
                learners: nodes(partition.learners),
                replicas: nodes(partition.replicas),
                absent: nodes(partition.absent),
                since: BTreeMap::new(),
            };
            let named = record.named();
            if named.len() != partition.since.len() {
                return None;
            }
            let since = partition.since.into_iter().map(Epoch);
            record.since = named.into_iter().zip(since).collect();
            self.partitions.insert(record.id, record);
        }
        let record = TopicRecord {
            name: topic.name.clone(),
            retention: topic.retention,
            compaction: topic.compaction,
            partitions,
        };
        self.topics.insert(topic.name, record);
        Some(())
    }
}

fn ids(nodes: &[NodeId]) -> Vec<u16> {
    nodes.iter().map(|node| node.0).collect()
}

fn nodes(ids: Vec<u16>) -> Vec<NodeId> {
    ids.into_iter().map(NodeId).collect()
}

impl Member {
    fn decode(self) -> Result<MemberRecord, std::net::AddrParseError> {
        Ok(MemberRecord {
            control_address: self.control_address.parse()?,
            is_leaving: self.is_leaving,
            disk: self.disk,
            given_up: self.given_up,
        })
    }
}

impl Node {
    fn decode(self) -> Result<NodeRecord, std::net::AddrParseError> {
        let shards = self.shard_addresses.iter().map(|address| address.parse());
        Ok(NodeRecord {
            id: NodeId(self.id),
            incarnation: self.incarnation,
            is_alive: self.is_alive,
            control_address: self.control_address.parse()?,
            shard_addresses: shards.collect::<Result<_, _>>()?,
        })
    }
}
