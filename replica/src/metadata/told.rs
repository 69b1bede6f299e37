//! What clients are told of the metadata.

use std::net::SocketAddr;

use quorate_vsr::NodeId;
use quorate_vsr::group::Member;
use quorate_wire::{
    ClusterMetadata, Code, MemberInfo, NodeInfo, Part, PartitionInfo, Refusal, Response, TopicInfo,
};

use super::electorate::wanted_voters;
use super::{Catalog, MemberRecord, Metadata, NodeRecord, PartitionRecord, TopicRecord};

impl Metadata {
    /// The answer of node `me`, in its life `incarnation`, to a client that asks for `topics`.
    ///
    /// Everything that was committed before a node started comes before its registration. Until
    /// the node sees that, it may not have heard of a topic, and does not deny it: it tells
    /// of itself and the other nodes, and of topics nothing.
    pub fn answer(&self, me: NodeId, incarnation: u64, topics: Option<&[String]>) -> Response {
        let asks_for_none = topics.is_some_and(<[String]>::is_empty);
        if asks_for_none || self.catalog.is_registered(me, incarnation) {
            return Response::Metadata(self.tell(topics));
        }
        Response::Refused(Refusal::new(
            Code::Unavailable,
            format!(
                "node {} has started and has not yet heard from a majority of the nodes which \
                 topics there are: try again later, and check that a majority is running",
                me.0
            ),
        ))
    }

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
        let members = catalog.members.iter();
        ClusterMetadata {
            cluster: self.cluster.0,
            version: catalog.version,
            view: self.view.0,
            primary: self.primary.0,
            members: members
                .map(|(id, member)| self.member_info(*id, member))
                .collect(),
            nodes: catalog.nodes.values().map(NodeRecord::info).collect(),
            topics,
        }
    }
}

impl Metadata {
    fn member_info(&self, id: NodeId, member: &MemberRecord) -> MemberInfo {
        let is_in = |part: &[Member]| part.iter().any(|member| member.node == id);
        let part = if is_in(self.membership.voters()) {
            Part::Voter
        } else if is_in(self.membership.standbys()) {
            Part::Standby
        } else {
            Part::None
        };
        MemberInfo {
            id: id.0,
            control_address: member.control_address.to_string(),
            is_leaving: member.is_leaving,
            disk: member.disk,
            part,
            shall_vote: wanted_voters(&self.membership, &self.catalog).contains(&id),
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
            retention: topic.retention,
            compaction: topic.compaction,
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
            voters: ids(&self.voters),
            previous: ids(&self.previous),
            learners: ids(&self.learners),
            replicas: ids(&self.replicas),
            absent: ids(&self.absent),
        }
    }
}

fn ids(nodes: &[NodeId]) -> Vec<u16> {
    nodes.iter().map(|node| node.0).collect()
}
