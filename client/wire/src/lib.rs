//! What travels between clients and nodes, and between nodes: frames and what they carry.
//!
//! A [`Frame`] is a fixed header, a body and a payload. The header has its own checksum, so its
//! lengths can be trusted before anything is read or allocated by them. The body is one rkyv value
//! ([`Request`], [`Response`], or a message between nodes that only nodes know), validated before
//! use. The payload is raw record batches, which carry their own checksums and are never
//! re-encoded.
//!
//! This crate knows the shapes, and no behaviour: neither what a client does with an answer nor
//! how a node finds it.

mod body;
mod frame;
mod frame_reader;
mod metadata;
mod refusal;
mod request;
mod response;

pub use body::{Invalid, decode, encode};
pub use frame::{
    BODY_BYTES_MAX, ClusterId, Frame, FrameError, HEADER_BYTES, Header, Kind, PAYLOAD_BYTES_MAX,
    PROTOCOL_VERSION,
};
pub use frame_reader::{FrameReader, ReadError};
pub use metadata::{
    ClusterMetadata, Compaction, MemberInfo, NodeInfo, Part, PartitionInfo, Retention, TopicInfo,
};
pub use refusal::{Code, Refusal, shown};
pub use request::{
    Acks, BATCH_BYTES_MAX, Consistency, ControlOperation, Limit, Request, TOPIC_NAME_BYTES_MAX,
    is_valid_topic_name,
};
pub use response::{ControlReply, NodeStatus, PartitionStatus, ReplicaStatus, Response, Role};
