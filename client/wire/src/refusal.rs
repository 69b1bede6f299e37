use std::fmt;

use rkyv::{Archive, Deserialize, Serialize};

/// Characters of a name that are shown; the longest that is allowed fits.
const SHOWN_CHARS_MAX: usize = crate::TOPIC_NAME_BYTES_MAX;

/// A request that was not done, or of which it is not known: why, and what to do.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq, Hash)]
pub struct Refusal {
    /// For programs.
    pub code: Code,
    /// For people: names the thing and the remedy.
    pub detail: String,
    /// Where to ask instead, as `IP:PORT`, if the node knows.
    pub instead: Option<String>,
}

/// The reasons of a [`Refusal`].
#[derive(Archive, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Code {
    /// The control operation went to a node that is not the primary.
    NotPrimary,
    /// The partition is led by another node, or its leader is not yet open.
    NotLeader,
    /// The partition lives on another shard of this node, or on another node.
    WrongShard,
    /// The append was under way when the leadership moved: it may or may not survive.
    LeadershipLost,
    /// Too much is under way: come back a little later.
    Overloaded,
    /// The control plane has no primary that can commit.
    Unavailable,
    /// The node is stopping.
    Stopping,
    /// No topic of that name.
    UnknownTopic,
    /// No such partition (any more).
    UnknownPartition,
    /// A topic of that name exists.
    TopicExists,
    /// The name may not name a topic.
    InvalidTopicName,
    /// More or fewer partitions than allowed.
    InvalidPartitions,
    /// More or fewer replicas than the cluster can hold.
    InvalidReplication,
    /// No node of that id belongs to the cluster.
    UnknownNode,
    /// The node cannot be added, removed or recovered as things are.
    InvalidNode,
    /// These nodes cannot hold the partition.
    InvalidReplicas,
    /// The topic cannot be compacted like this, or is not compacted at all.
    InvalidCompaction,
    /// The session is unknown: never registered, or evicted since.
    UnknownSession,
    /// The request number is older than one already answered.
    StaleRequest,
    /// The offset is below the log's start or above its end.
    OffsetOutOfRange,
    /// A record batch over the limit.
    BatchTooLarge,
    /// A record batch that fails its checksum.
    CorruptBatch,
    /// A record batch that breaks a rule of its format.
    InvalidBatch,
    /// The producer's sequence has a gap before this batch.
    OutOfOrderSequence,
    /// A newer incarnation of the producer has written.
    FencedProducer,
    /// The disk is full.
    DiskFull,
    /// The request cannot be understood.
    InvalidRequest,
    /// The frame belongs to another cluster.
    ForeignCluster,
    /// Records are damaged on the node's disk, and it fetches them from the other replicas.
    DamagedRecords,
}

impl Code {
    /// Whether the same request may succeed later, here or elsewhere.
    pub const fn is_retriable(self) -> bool {
        matches!(
            self,
            Self::NotPrimary
                | Self::NotLeader
                | Self::WrongShard
                | Self::LeadershipLost
                | Self::Overloaded
                | Self::Unavailable
                | Self::Stopping
                | Self::DiskFull
                | Self::DamagedRecords
        )
    }

    /// Whether it is certain that this try of the request had and will have no effect.
    pub const fn is_definite(self) -> bool {
        !matches!(
            self,
            Self::LeadershipLost | Self::Unavailable | Self::StaleRequest
        )
    }
}

impl Refusal {
    /// A refusal without an alternative address.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self {
            code,
            detail: detail.into(),
            instead: None,
        }
    }

    /// Nothing can be a topic by the name of `name`.
    pub fn invalid_topic_name(name: &str) -> Self {
        let name = shown(name);
        Self::new(
            Code::InvalidTopicName,
            format!(
                "\"{name}\" cannot name a topic: use 1 to 249 of a-z A-Z 0-9 . _ - (but not \".\" \
                 or \"..\")"
            ),
        )
    }

    /// There is no topic `name`.
    pub fn unknown_topic(name: &str) -> Self {
        let name = shown(name);
        Self::new(
            Code::UnknownTopic,
            format!("there is no topic \"{name}\": create it with `quorate topic create`"),
        )
    }

    /// No node `id` belongs to the cluster.
    pub fn unknown_node(id: u16) -> Self {
        Self::new(
            Code::UnknownNode,
            format!(
                "node {id} does not belong to the cluster: `quorate cluster status` shows the \
                 nodes that do, `quorate cluster add` adds one"
            ),
        )
    }

    /// The topic `name` has no partition `index`.
    pub fn unknown_partition(name: &str, index: u32, partitions: usize) -> Self {
        Self::new(
            Code::UnknownPartition,
            format!(
                "topic \"{}\" has no partition {index}: it has {partitions}, counted from 0",
                shown(name)
            ),
        )
    }
}

/// A name from outside as it may be shown: its first characters, with what is odd escaped.
///
/// Whatever a client sends as a name, what is said about it stays short.
pub fn shown(name: &str) -> String {
    let mut shown: String = name
        .chars()
        .take(SHOWN_CHARS_MAX)
        .flat_map(char::escape_debug)
        .collect();
    if name.chars().nth(SHOWN_CHARS_MAX).is_some() {
        shown.push('…');
    }
    shown
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

impl std::error::Error for Refusal {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_and_odd_name_is_shown_short_and_escaped() {
        let text = Refusal::unknown_topic(&"\u{1}".repeat(1 << 20)).detail;
        assert!(
            text.len() < 4096 && text.contains("\\u{1}"),
            "{} bytes",
            text.len()
        );
        assert_eq!(shown("events"), "events");
    }
}
