//! The client library of Quorate.
//!
//! A [`Client`] is given one reachable node and finds the rest by itself. From it come the
//! administration of topics, [`Producer`]s and [`Consumer`]s. Everything runs on the thread that
//! made it: nothing here is `Send`, nothing is locked, and a program that wants more threads makes
//! a client per thread.
//!
//! ```no_run
//! use quorate_client::{Client, ClientConfig, Compio, ConsumerConfig, ProducerConfig, Record};
//!
//! # async fn example() -> Result<(), quorate_client::Error> {
//! let client = Client::connect(Compio, ClientConfig::new(["127.0.0.1:7400"])).await?;
//! client.create_topic("greetings", 1, 3).await?;
//!
//! let producer = client.producer(ProducerConfig::default()).await?;
//! let delivery = producer.send("greetings", Record::new("hello")).await?;
//! let ack = delivery.await?;
//! println!("stored as record {} of partition {}", ack.offset.unwrap_or(0), ack.partition);
//!
//! let mut consumer = client.consumer("greetings", ConsumerConfig::default()).await?;
//! while let Some(record) = consumer.next().await? {
//!     println!("{}: {:?}", record.offset, record.value);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! What the parts promise:
//!
//! * A [`Producer`] writes each record at most once and in the order of sending per partition, also
//!   when leaders die on the way. A delivery that fails says whether the record is certainly not
//!   written or whether that is unknown ([`Certainty`]).
//! * A [`Consumer`] gives every committed record of a partition once, in order, checksums verified.
//! * Memory is bounded: a producer makes its callers wait ([`ProducerConfig::buffer_bytes_max`]),
//!   a consumer reads at most one response per partition ahead.
//!
//! The library knows the wire and the record batches. It reaches network, clock and randomness
//! through a [`Platform`] only; it knows no server code.

#![deny(missing_docs)]

mod admin;
mod backoff;
mod client;
mod connection;
mod consumer;
mod deleting;
mod error;
mod lookup;
mod membership;
mod metadata;
mod pool;
mod producer;
mod read;
mod record;
mod session;
mod signal;

pub use admin::{
    ClusterDescription, NodeDescription, Offsets, PartitionDescription, TopicDescription,
};
pub use client::{Client, ClientConfig};
pub use consumer::{Consumer, ConsumerConfig, Start, Until};
pub use error::{Certainty, Error, ProduceError};
pub use lookup::Since;
pub use producer::{Ack, Acknowledged, Delivery, Producer, ProducerConfig};
pub use quorate_platform::{Compio, Platform};
pub use quorate_wire::{
    Acks, ClusterId, ClusterMetadata, Code, Compaction, Limit, MemberInfo, NodeInfo, NodeStatus,
    Part, PartitionInfo, PartitionStatus, Refusal, ReplicaStatus, Retention, Role, TopicInfo,
};
pub use record::{ConsumedRecord, Header, Record};

/// A [`Client`] on compio.
pub type CompioClient = Client<Compio>;
