use rkyv::{Archive, Deserialize, Serialize};

use crate::Compaction;

/// The longest name of a topic, in bytes.
pub const TOPIC_NAME_BYTES_MAX: usize = 249;

/// The largest record batch, in bytes (Kafka's default of `max.message.bytes`).
pub const BATCH_BYTES_MAX: usize = 1_048_588;

/// Whether `name` may name a topic: 1 to 249 of `a-z A-Z 0-9 . _ -`, but not `.` or `..`.
pub fn is_valid_topic_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    (1..=TOPIC_NAME_BYTES_MAX).contains(&name.len())
        && name.bytes().all(allowed)
        && name != "."
        && name != ".."
}

/// What a client asks of a node.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Nodes and topics. Answered with [`Response::Metadata`](crate::Response::Metadata).
    Metadata {
        /// The topics to tell of: `None` for all, an empty list for none.
        topics: Option<Vec<String>>,
        /// How recent the answer has to be, and so who can give it.
        consistency: Consistency,
    },
    /// How this node is. The control address answers, with
    /// [`Response::Status`](crate::Response::Status).
    Status,
    /// Registers a session for the control operations of one client. The primary's control address
    /// answers, with [`Response::Registered`](crate::Response::Registered). Registering the same
    /// client again gives the same session.
    Register {
        /// Drawn at random by the client.
        client: u128,
    },
    /// A change of the cluster, done at most once. The primary's control address answers, with
    /// [`Response::Control`](crate::Response::Control).
    Control {
        /// The client that registered.
        client: u128,
        /// Its session.
        session: u64,
        /// 1 for the first operation of the session, then one more each; the same again for a
        /// retry, which gets the first try's answer.
        request_number: u64,
        /// What to change.
        operation: ControlOperation,
    },
    /// Has another node become the primary. The primary's control address answers, with
    /// [`Response::TransferBegun`](crate::Response::TransferBegun), before that has happened; it
    /// may not happen, and may be asked for again.
    Transfer {
        /// The node that shall be the primary; one that votes.
        to: u16,
    },
    /// Appends the one record batch in the payload. The leader's shard answers, with
    /// [`Response::Produced`](crate::Response::Produced), unless `acks` is [`Acks::None`].
    Produce {
        /// [`PartitionInfo::id`](crate::PartitionInfo::id).
        partition: u64,
        /// When to answer.
        acks: Acks,
    },
    /// Reads record batches. The shard of a replica answers, with
    /// [`Response::Fetched`](crate::Response::Fetched) and whole batches as payload, the first of
    /// which contains `offset`.
    Fetch {
        /// [`PartitionInfo::id`](crate::PartitionInfo::id).
        partition: u64,
        /// The first offset wanted.
        offset: u64,
        /// Stop before the batch that would exceed this many bytes; the first batch always comes.
        bytes_max: u32,
        /// While there is nothing at `offset`: how long to hold the answer back, in milliseconds.
        wait_ms: u32,
        /// Whether a follower may answer, which may not have heard of the newest commits.
        from_follower: bool,
    },
    /// Deletes the records before an offset. The leader's shard answers, with
    /// [`Response::RecordsDeleted`](crate::Response::RecordsDeleted), once no later leader shows
    /// them again.
    DeleteRecords {
        /// [`PartitionInfo::id`](crate::PartitionInfo::id).
        partition: u64,
        /// The first offset that stays; `None` for all that is committed. Batches go as a whole: of
        /// one that reaches over the offset nothing goes.
        before: Option<u64>,
    },
    /// How a partition is. The shard of a replica answers, with
    /// [`Response::Partition`](crate::Response::Partition).
    Describe {
        /// [`PartitionInfo::id`](crate::PartitionInfo::id).
        partition: u64,
    },
    /// Looks for the first committed record since a time. The leader's shard answers, with
    /// [`Response::Found`](crate::Response::Found), once it knows all that was ever committed.
    Lookup {
        /// [`PartitionInfo::id`](crate::PartitionInfo::id).
        partition: u64,
        /// The least timestamp that the record may have, in milliseconds since 1970.
        timestamp: i64,
    },
}

/// How recent an answer has to be.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Consistency {
    /// What the asked node happens to know, which may be out of date. Any address of any node
    /// answers, and at once.
    #[default]
    AsKnown,
    /// Everything that anybody was told before the question was put, in particular every change of
    /// the cluster that was confirmed by then. Only the primary's control address answers, and
    /// only while it hears a majority.
    Linearizable,
}

/// When the leader answers a [`Request::Produce`].
#[derive(Archive, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Acks {
    /// Once a majority of the replicas has the batch on stable storage. It is never lost again.
    #[default]
    Quorum,
    /// Once the leader alone has it on stable storage. Lost if the leader then fails.
    Leader,
    /// Never. Lost if anything fails.
    None,
}

/// What becomes of a limit.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Limit {
    /// It stays as it is.
    #[default]
    Keep,
    /// There is none any more.
    Lift,
    /// It is this one from now on.
    Set(u64),
}

impl Limit {
    /// What is now, after what was `before`.
    pub fn apply(self, before: Option<u64>) -> Option<u64> {
        match self {
            Self::Keep => before,
            Self::Lift => None,
            Self::Set(limit) => Some(limit),
        }
    }
}

/// A change that the control plane replicates.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq, Hash)]
pub enum ControlOperation {
    /// Creates a topic.
    CreateTopic {
        /// Its name, as in [`is_valid_topic_name`].
        name: String,
        /// How many partitions, from 1.
        partitions: u32,
        /// On how many nodes each is held, from 1.
        replication: u16,
        /// Whether it is compacted, and how.
        compaction: Option<Compaction>,
    },
    /// Deletes a topic and its records.
    DeleteTopic {
        /// Its name.
        name: String,
    },
    /// Changes which nodes shall hold a topic, or one partition of it. The records are brought
    /// there; the metadata tells how far that is.
    AlterTopic {
        /// Its name.
        name: String,
        /// The partition's index; `None` for all.
        partition: Option<u32>,
        /// The nodes, each once.
        replicas: Vec<u16>,
    },
    /// Changes how much of a topic's records is kept.
    RetainTopic {
        /// Its name.
        name: String,
        /// For how many milliseconds.
        ms: Limit,
        /// How many bytes of each partition.
        bytes: Limit,
    },
    /// Changes for how long a compacted topic keeps what says that a key is deleted.
    KeepTombstones {
        /// Its name.
        name: String,
        /// For how many milliseconds, up to [`Compaction::TOMBSTONE_MS_MAX`].
        ms: u64,
    },
    /// Has a node belong to the cluster, and stay if it was to leave.
    AddNode {
        /// Its id, from 1.
        node: u16,
        /// Where its control thread listens, as `IP:PORT`.
        control_address: String,
    },
    /// Has a node leave: what it holds goes elsewhere, then it is dropped. The metadata tells how
    /// far that is.
    RemoveNode {
        /// Its id.
        node: u16,
        /// Whether partitions for which there is no other node are to be held by fewer.
        may_shrink: bool,
    },
    /// Gives up what was on the lost disk of a node, which is there again with an empty one.
    RecoverNode {
        /// Its id.
        node: u16,
    },
}
