use quorate_platform::Platform;
use quorate_wire::{
    ClusterMetadata, NodeInfo, NodeStatus, PartitionInfo, PartitionStatus, TopicInfo,
};

use crate::{Client, Error};

/// A topic, and how its partitions are.
#[derive(Clone, Debug)]
pub struct TopicDescription {
    /// The topic's name.
    pub name: String,
    /// Its partitions, by index.
    pub partitions: Vec<PartitionDescription>,
}

/// A partition, as the control plane placed it and as its leader sees it.
#[derive(Clone, Debug)]
pub struct PartitionDescription {
    /// Where it is and who leads it.
    pub info: PartitionInfo,
    /// How it is: told by the leader, or by a follower if the leader is silent.
    pub status: Result<PartitionStatus, Error>,
}

/// A node, as the control plane knows it and as it sees itself.
#[derive(Clone, Debug)]
pub struct NodeDescription {
    /// Its id, its addresses, and whether it is held to be alive.
    pub info: NodeInfo,
    /// How it is, if it answers.
    pub status: Result<NodeStatus, Error>,
}

/// What can be read of a partition: `log_start..high_watermark`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offsets {
    /// The first offset that is there.
    pub log_start: u64,
    /// The first offset that is not committed yet.
    pub high_watermark: u64,
}

impl<P: Platform> Client<P> {
    /// Creates a topic. Done at most once; retried until
    /// [`operation_timeout`](crate::ClientConfig::operation_timeout).
    pub async fn create_topic(
        &self,
        name: &str,
        partitions: u32,
        replication: u16,
    ) -> Result<TopicInfo, Error> {
        let _ = (name, partitions, replication);
        todo!()
    }

    /// Deletes a topic and its records. Done at most once.
    pub async fn delete_topic(&self, name: &str) -> Result<(), Error> {
        let _ = name;
        todo!()
    }

    /// All topics, by name.
    pub async fn list_topics(&self) -> Result<Vec<TopicInfo>, Error> {
        todo!()
    }

    /// A topic and the state of its partitions, asked of their leaders, all at the same time.
    pub async fn describe_topic(&self, name: &str) -> Result<TopicDescription, Error> {
        let _ = name;
        todo!()
    }

    /// Nodes and all topics, fresh from a node that answers.
    pub async fn cluster_metadata(&self) -> Result<ClusterMetadata, Error> {
        todo!()
    }

    /// All nodes and what each says of itself, asked at the same time.
    pub async fn describe_nodes(&self) -> Result<Vec<NodeDescription>, Error> {
        todo!()
    }

    /// How node `node` sees itself.
    pub async fn node_status(&self, node: u16) -> Result<NodeStatus, Error> {
        let _ = node;
        todo!()
    }

    /// What can be read of a partition now.
    pub async fn offsets(&self, topic: &str, partition: u32) -> Result<Offsets, Error> {
        let _ = (topic, partition);
        todo!()
    }
}
