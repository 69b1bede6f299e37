//! What clients are told of the metadata.

use std::net::SocketAddr;

use quorate_wire::{ClusterMetadata, NodeInfo, PartitionInfo, TopicInfo};

use super::{Catalog, Metadata, NodeRecord, PartitionRecord, TopicRecord};

impl Metadata {
    /// What a client is told that asked for `topics`: `None` stands for all. Topics that do not
    /// exist are left out.
    pub fn tell(&self, topics: Option<&[String]>) -> ClusterMetadata {
        let catalog = &self.catalog;
        let topics = match topics {
            None => catalog
                .topics
                .values()
                .map(|topic| catalog.topic_info(topic))
                .collect(),
            Some(names) => {
                let mut names: Vec<_> = names.iter().collect();
                names.sort_unstable();
                names.dedup();
                let asked = names
                    .into_iter()
                    .filter_map(|name| catalog.topics.get(name));
                asked.map(|topic| catalog.topic_info(topic)).collect()
            }
        };
        ClusterMetadata {
            cluster: self.cluster.0,
            version: catalog.version,
            view: self.view.0,
            primary: self.primary.0,
            nodes: catalog.nodes.values().map(NodeRecord::info).collect(),
            topics,
        }
    }
}

impl Catalog {
    pub(super) fn topic_info(&self, topic: &TopicRecord) -> TopicInfo {
        let partitions = topic
            .partitions
            .iter()
            .map(|id| self.partitions[id].info())
            .collect();
        TopicInfo {
            name: topic.name.clone(),
            partitions,
        }
    }
}

impl NodeRecord {
    fn info(&self) -> NodeInfo {
        NodeInfo {
            id: self.id.0,
            alive: self.is_alive,
            control_address: self.control_address.to_string(),
            shard_addresses: self
                .shard_addresses
                .iter()
                .map(SocketAddr::to_string)
                .collect(),
        }
    }
}

impl PartitionRecord {
    fn info(&self) -> PartitionInfo {
        PartitionInfo {
            id: self.id,
            index: self.index,
            leader: self.leader.0,
            epoch: self.epoch.0,
            voters: self.voters.iter().map(|voter| voter.0).collect(),
        }
    }
}
