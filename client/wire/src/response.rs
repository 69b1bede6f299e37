use rkyv::{Archive, Deserialize, Serialize};

use crate::{ClusterMetadata, Refusal, TopicInfo};

/// What a node answers.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub enum Response {
    /// To any request: no, and why.
    Refused(Refusal),
    /// To [`Request::Metadata`](crate::Request::Metadata).
    Metadata(ClusterMetadata),
    /// To [`Request::Status`](crate::Request::Status).
    Status(NodeStatus),
    /// To [`Request::Register`](crate::Request::Register).
    Registered {
        /// The session; unique in the cluster for ever, and so also good as a producer id.
        session: u64,
    },
    /// To [`Request::Control`](crate::Request::Control).
    Control(ControlReply),
    /// To [`Request::Transfer`](crate::Request::Transfer).
    TransferBegun,
    /// To [`Request::Produce`](crate::Request::Produce).
    Produced {
        /// The offset that the batch's first record got.
        base_offset: u64,
    },
    /// To [`Request::Fetch`](crate::Request::Fetch); the batches are the payload.
    Fetched {
        /// The base offset of the first batch in the payload; the others follow without a gap.
        base_offset: u64,
        /// The first offset that is not yet committed.
        high_watermark: u64,
        /// The first offset that is still there.
        log_start_offset: u64,
    },
    /// To [`Request::DeleteRecords`](crate::Request::DeleteRecords).
    RecordsDeleted {
        /// The first offset that is still there.
        log_start_offset: u64,
    },
    /// To [`Request::Describe`](crate::Request::Describe).
    Partition(PartitionStatus),
    /// To [`Request::Lookup`](crate::Request::Lookup).
    Found {
        /// The epoch in which the answering node leads.
        epoch: u32,
        /// The record's offset, or the high watermark if there is no such record. Of a compressed
        /// batch: its first offset.
        offset: u64,
        /// The record's timestamp, in milliseconds since 1970; `None` if there is none. Of a
        /// compressed batch: its greatest timestamp.
        timestamp: Option<i64>,
    },
}

/// What came of a [`ControlOperation`](crate::ControlOperation).
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq, Hash)]
pub enum ControlReply {
    /// The topic was created, and has these partitions; it has none if it has been deleted since,
    /// before this late answer to a request that was repeated.
    TopicCreated(TopicInfo),
    /// The topic is gone.
    TopicDeleted,
    /// The wish is known to the cluster, which fulfils it step by step.
    Accepted,
    /// The operation was refused by the state that it met; nothing has changed.
    Refused(Refusal),
}

/// A node as it sees itself.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct NodeStatus {
    /// The node's id.
    pub node: u16,
    /// Which of the node's disks it runs on.
    pub disk: u64,
    /// Its part in the control-plane group.
    pub role: Role,
    /// The group's view.
    pub view: u64,
    /// The highest op in the node's journal.
    pub op_number: u64,
    /// The highest op that it knows to be committed.
    pub commit_number: u64,
    /// Partitions of which it holds a replica.
    pub replicas: u32,
    /// Partitions that it leads, open for appends.
    pub leaderships: u32,
    /// Of those: how many lack a replica that has everything up to the opening.
    pub under_replicated: u32,
    /// Ranges of records that are damaged on its disk and not put back yet.
    pub damaged_ranges: u32,
    /// Records that it has appended as a leader since it started.
    pub appended_records: u64,
    /// Bytes of record batches that it has appended as a leader since it started.
    pub appended_bytes: u64,
    /// Milliseconds since it started.
    pub uptime_ms: u64,
}

/// A node's part in the control-plane group.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Orders the operations.
    Primary,
    /// Votes and stands by.
    Backup,
    /// Follows without a vote.
    Standby,
    /// Its folder was empty when it started, and the cluster has not taken it in.
    Blank,
    /// Between two views.
    ViewChange,
    /// Catching up after a restart.
    Recovering,
}

/// A partition as one replica sees it.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct PartitionStatus {
    /// [`PartitionInfo::id`](crate::PartitionInfo::id).
    pub partition: u64,
    /// The node that answers.
    pub node: u16,
    /// The leader, as the answering node knows it.
    pub leader: u16,
    /// The leader's epoch.
    pub epoch: u32,
    /// Whether the answering node leads and takes appends.
    pub is_open: bool,
    /// The first offset that is still there.
    pub log_start_offset: u64,
    /// The first offset that is not yet committed.
    pub high_watermark: u64,
    /// The bytes of record batches on the disk of the answering node.
    pub bytes: u64,
    /// What the leader knows of everybody who takes part, learners too; of a follower only itself.
    pub replicas: Vec<ReplicaStatus>,
    /// Ranges of records that are damaged on the disk of the answering node and not put back yet.
    pub damaged_ranges: u32,
    /// What the answering node waits for, if it shall lead and cannot yet.
    pub waits_for: Option<String>,
}

/// One replica of a partition.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct ReplicaStatus {
    /// The node that holds it.
    pub node: u16,
    /// One past its last durable record.
    pub next_offset: u64,
    /// Whether it has adopted the leader's log of this epoch.
    pub in_sync: bool,
}
