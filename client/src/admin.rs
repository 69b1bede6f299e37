use std::net::SocketAddr;

use bytes::Bytes;
use futures_util::future::join_all;
use quorate_platform::Platform;
use quorate_wire::{
    ClusterMetadata, Compaction, ControlOperation, ControlReply, Limit, MemberInfo, NodeInfo,
    NodeStatus, PartitionInfo, PartitionStatus, Request, Response, Retention, TopicInfo,
};

use crate::backoff::Backoff;
use crate::client::Inner;
use crate::{Certainty, Client, Error};

/// A topic, and how its partitions are.
#[derive(Clone, Debug)]
pub struct TopicDescription {
    /// The topic's name.
    pub name: String,
    /// How much of its records is kept.
    pub retention: Retention,
    /// Whether it is compacted, and how.
    pub compaction: Option<Compaction>,
    /// Its partitions, by index.
    pub partitions: Vec<PartitionDescription>,
}

/// A partition, as the control plane placed it and as its leader sees it.
#[derive(Clone, Debug)]
pub struct PartitionDescription {
    /// Where it is and who leads it.
    pub info: PartitionInfo,
    /// How it is: told by the leader, or by a follower if the leader does not answer.
    pub status: Result<PartitionStatus, Error>,
}

/// A node, as the control plane knows it and as it sees itself.
#[derive(Clone, Debug)]
pub struct NodeDescription {
    /// Its place in the cluster.
    pub member: MemberInfo,
    /// Its addresses, and whether it is held to be alive; `None` if it has never registered.
    pub info: Option<NodeInfo>,
    /// How it is, if it answers.
    pub status: Result<NodeStatus, Error>,
}

/// All members of a cluster.
#[derive(Clone, Debug)]
pub struct ClusterDescription {
    /// The members, by id.
    pub nodes: Vec<NodeDescription>,
    /// Why the list may be out of date: no primary has confirmed it in time.
    pub doubt: Option<Error>,
}

/// What can be read of a partition: `log_start..high_watermark`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offsets {
    /// The first offset that is there.
    pub log_start: u64,
    /// The first offset that is not committed yet.
    pub high_watermark: u64,
}

/// What is asked for, for people.
const READING_NODES: &str = "reading the list of nodes";

impl<P: Platform> Client<P> {
    /// Creates a topic. Done at most once; retried until
    /// [`operation_timeout`](crate::ClientConfig::operation_timeout).
    ///
    /// The answer tells how the topic is by then. If it comes late, others may have changed the
    /// topic; one that they have deleted has no partitions.
    pub async fn create_topic(
        &self,
        name: &str,
        partitions: u32,
        replication: u16,
    ) -> Result<TopicInfo, Error> {
        self.create(name, partitions, replication, None).await
    }

    /// Creates a topic that keeps the last record of every key. Like
    /// [`create_topic`](Self::create_topic) otherwise.
    ///
    /// It takes records with keys only. A record without a value deletes its key.
    pub async fn create_compacted_topic(
        &self,
        name: &str,
        partitions: u32,
        replication: u16,
        compaction: Compaction,
    ) -> Result<TopicInfo, Error> {
        self.create(name, partitions, replication, Some(compaction))
            .await
    }

    async fn create(
        &self,
        name: &str,
        partitions: u32,
        replication: u16,
        compaction: Option<Compaction>,
    ) -> Result<TopicInfo, Error> {
        let what = format!("creating topic \"{}\"", name.escape_debug());
        let name = name.to_owned();
        let operation = ControlOperation::CreateTopic {
            name,
            partitions,
            replication,
            compaction,
        };
        match self.inner.control(operation, &what).await? {
            ControlReply::TopicCreated(topic) => Ok(topic),
            other => Err(self.inner.unexpected_reply(&other)),
        }
    }

    /// Changes which nodes shall hold a topic, or one partition of it.
    ///
    /// The cluster takes note of the wish and fulfils it by and by: the records are brought to the
    /// new nodes first, and all the while everything is as safe as before.
    /// [`topic_info`](Self::topic_info) tells how far it is.
    pub async fn alter_topic(
        &self,
        name: &str,
        partition: Option<u32>,
        replicas: &[u16],
    ) -> Result<(), Error> {
        let what = format!("changing the nodes of topic \"{}\"", name.escape_debug());
        let operation = ControlOperation::AlterTopic {
            name: name.to_owned(),
            partition,
            replicas: replicas.to_vec(),
        };
        self.wish(operation, &what).await
    }

    /// Changes for how long, and how many bytes of each partition, a topic's records are kept.
    ///
    /// The leaders look every now and then, and remove whole segments; see `retention_check_ms` and
    /// `segment_bytes` of a node's configuration.
    pub async fn retain_topic(&self, name: &str, ms: Limit, bytes: Limit) -> Result<(), Error> {
        let what = format!(
            "changing the retention of topic \"{}\"",
            name.escape_debug()
        );
        let name = name.to_owned();
        self.wish(ControlOperation::RetainTopic { name, ms, bytes }, &what)
            .await
    }

    /// Changes for how long a compacted topic keeps what says that a key is deleted. Refused for
    /// any other topic: that a topic is compacted is decided when it is created.
    pub async fn keep_tombstones(&self, name: &str, ms: u64) -> Result<(), Error> {
        let what = format!(
            "changing the compaction of topic \"{}\"",
            name.escape_debug()
        );
        let name = name.to_owned();
        self.wish(ControlOperation::KeepTombstones { name, ms }, &what)
            .await
    }

    pub(crate) async fn wish(&self, operation: ControlOperation, what: &str) -> Result<(), Error> {
        match self.inner.control(operation, what).await? {
            ControlReply::Accepted => Ok(()),
            other => Err(self.inner.unexpected_reply(&other)),
        }
    }

    /// Where the partitions of a topic are and who leads them, with every change that anybody was
    /// told of before. Needs a primary.
    pub async fn topic_info(&self, name: &str) -> Result<TopicInfo, Error> {
        let what = format!("reading topic \"{}\"", name.escape_debug());
        let topics = Some(vec![name.to_owned()]);
        let metadata = self.inner.read(topics, &what).await?;
        let topic = metadata.topic(name);
        let topic = topic.map_err(|refusal| Error::Refused { what, refusal })?;
        Ok(topic.clone())
    }

    /// Deletes a topic and its records. Done at most once.
    pub async fn delete_topic(&self, name: &str) -> Result<(), Error> {
        let what = format!("deleting topic \"{}\"", name.escape_debug());
        let operation = ControlOperation::DeleteTopic {
            name: name.to_owned(),
        };
        match self.inner.control(operation, &what).await? {
            ControlReply::TopicDeleted => Ok(()),
            other => Err(self.inner.unexpected_reply(&other)),
        }
    }

    /// All topics, by name, with every change that anybody was told of before. Needs a primary.
    pub async fn list_topics(&self) -> Result<Vec<TopicInfo>, Error> {
        let metadata = self.inner.read(None, "reading the list of topics").await?;
        Ok(metadata.topics)
    }

    /// A topic, as in [`topic_info`](Self::topic_info), and the state of its partitions, asked of
    /// their leaders, all at the same time.
    pub async fn describe_topic(&self, name: &str) -> Result<TopicDescription, Error> {
        let topic = self.topic_info(name).await?;
        let describe = async |info: &PartitionInfo| {
            let status = self.inner.describe_once(info).await;
            PartitionDescription {
                info: info.clone(),
                status,
            }
        };
        let partitions = join_all(topic.partitions.iter().map(describe)).await;
        Ok(TopicDescription {
            name: name.to_owned(),
            retention: topic.retention,
            compaction: topic.compaction,
            partitions,
        })
    }

    /// Nodes and all topics: from the primary, or from another node if the primary is silent.
    pub async fn cluster_metadata(&self) -> Result<ClusterMetadata, Error> {
        self.inner.metadata.all_at_primary().await
    }

    /// All members, with every change that anybody was told of before, and what each says of
    /// itself, asked at the same time. Needs a primary.
    pub async fn describe_nodes(&self) -> Result<Vec<NodeDescription>, Error> {
        let metadata = self.inner.read(Some(Vec::new()), READING_NODES).await?;
        Ok(self.describe_members(&metadata).await)
    }

    /// Like [`describe_nodes`](Self::describe_nodes); if no primary answers within
    /// [`request_timeout`](crate::ClientConfig::request_timeout), as some node knows it.
    pub async fn describe_cluster(&self) -> Result<ClusterDescription, Error> {
        let inner = &self.inner;
        let after = inner.config.request_timeout;
        let reading = inner.read(Some(Vec::new()), READING_NODES);
        let doubt = match inner.platform.timeout(after, reading).await {
            Ok(Ok(metadata)) => {
                let nodes = self.describe_members(&metadata).await;
                return Ok(ClusterDescription { nodes, doubt: None });
            }
            Ok(Err(error)) => error,
            Err(_) => Error::Deadline {
                what: READING_NODES.to_owned(),
                after,
                certainty: Certainty::Definite,
                last: None,
            },
        };
        let metadata = inner.metadata.ask_around(Some(Vec::new())).await?;
        let nodes = self.describe_members(&metadata).await;
        let doubt = Some(doubt);
        Ok(ClusterDescription { nodes, doubt })
    }

    async fn describe_members(&self, metadata: &ClusterMetadata) -> Vec<NodeDescription> {
        let describe = async |member: &MemberInfo| {
            let info = metadata.node(member.id).cloned();
            let address = info.as_ref().map(|info| &info.control_address);
            let address = address.unwrap_or(&member.control_address);
            let status = self.inner.status(member.id, address).await;
            let member = member.clone();
            NodeDescription {
                member,
                info,
                status,
            }
        };
        join_all(metadata.members.iter().map(describe)).await
    }

    /// What can be read of a partition now.
    ///
    /// Asks the leader, and waits for one that has settled. While there is none, a follower
    /// answers after [`operation_timeout`](crate::ClientConfig::operation_timeout) has half
    /// passed; its high watermark may be a little behind.
    pub async fn offsets(&self, topic: &str, partition: u32) -> Result<Offsets, Error> {
        let patience = self.inner.config.operation_timeout / 2;
        self.inner.offsets(topic, partition, patience).await
    }
}

impl<P: Platform> Inner<P> {
    pub(crate) async fn offsets(
        &self,
        topic: &str,
        index: u32,
        leader_patience: std::time::Duration,
    ) -> Result<Offsets, Error> {
        let started = self.platform.now();
        let mut backoff = Backoff::new();
        loop {
            let known = self.metadata.topic(topic).await?;
            let info = known.partition(index).map_err(|refusal| Error::Refused {
                what: format!("topic \"{}\" partition {index}", topic.escape_debug()),
                refusal,
            })?;
            let is_patient = self.platform.now().since(started) < leader_patience;
            let status = if is_patient {
                self.describe_at(info.leader, info.id).await
            } else {
                self.describe_once(info).await
            };
            let failure = match status {
                Ok(status) if is_settled(info, &status) || !is_patient => {
                    let (log_start, high_watermark) =
                        (status.log_start_offset, status.high_watermark);
                    return Ok(Offsets {
                        log_start,
                        high_watermark,
                    });
                }
                Ok(_) => None,
                Err(failure) => Some(failure),
            };
            self.check_deadline(started, failure, || {
                format!("asking for the offsets of topic \"{topic}\" partition {index}")
            })?;
            self.before_next_try(&mut backoff).await;
        }
    }

    /// The state of a partition as its leader tells it, or else any other replica; no retry.
    async fn describe_once(&self, info: &PartitionInfo) -> Result<PartitionStatus, Error> {
        let failure = match self.describe_at(info.leader, info.id).await {
            Ok(status) => return Ok(status),
            Err(failure) => failure,
        };
        for voter in info
            .holders()
            .into_iter()
            .filter(|voter| *voter != info.leader)
        {
            if let Ok(status) = self.describe_at(voter, info.id).await {
                return Ok(status);
            }
        }
        Err(failure)
    }

    pub(crate) async fn describe_at(
        &self,
        node: u16,
        partition: u64,
    ) -> Result<PartitionStatus, Error> {
        let address = self.metadata.shard_address(node, partition)?;
        let answer = self
            .call(address, &Request::Describe { partition }, Bytes::new())
            .await?;
        let what = || format!("asking node-{node} for the state of partition {partition}");
        match answer.response {
            Response::Partition(status) => Ok(status),
            Response::Refused(refusal) => Err(Error::Refused {
                what: what(),
                refusal,
            }),
            other => Err(Error::unexpected(address, &other)),
        }
    }

    async fn status(&self, node: u16, address: &str) -> Result<NodeStatus, Error> {
        let what = || format!("asking node-{node} for its status");
        let address: SocketAddr = address.parse().map_err(|_| Error::Resolve {
            host: format!("node-{node}"),
            reason: format!("it has no control address: {address:?}"),
        })?;
        match self
            .call(address, &Request::Status, Bytes::new())
            .await?
            .response
        {
            Response::Status(status) => Ok(status),
            Response::Refused(refusal) => Err(Error::Refused {
                what: what(),
                refusal,
            }),
            other => Err(Error::unexpected(address, &other)),
        }
    }

    fn unexpected_reply(&self, reply: &ControlReply) -> Error {
        let address = self.metadata.primary_address();
        let address = address.unwrap_or_else(|| SocketAddr::from(([0, 0, 0, 0], 0)));
        Error::Protocol {
            address,
            reason: format!("an answer to another operation: {reply:?}"),
        }
    }
}

/// Whether the leader knows how far the log is committed: it is open, and a majority has adopted
/// its log. Before that its high watermark may lie below what earlier leaders have acknowledged.
fn is_settled(info: &PartitionInfo, status: &PartitionStatus) -> bool {
    let in_sync = status.replicas.iter().filter(|replica| replica.in_sync);
    let adopted: Vec<_> = in_sync.map(|replica| replica.node).collect();
    let has_majority = |set: &Vec<u16>| {
        let count = set.iter().filter(|node| adopted.contains(node)).count();
        set.is_empty() || count > set.len() / 2
    };
    // Who counts differs from epoch to epoch while the voters change.
    let is_same = status.epoch == info.epoch;
    let mut sets = [&info.voters, &info.previous].into_iter();
    status.is_open && is_same && sets.all(has_majority)
}
