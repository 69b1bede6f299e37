//! The two replication protocols of Quorate, without IO.
//!
//! [`group`] is the control plane: Viewstamped Replication (Liskov & Cowling, "Viewstamped
//! Replication Revisited", 2012) with stable storage. It orders a small number of opaque operations
//! and is the one place where the cluster decides anything. [`partition`] replicates records inside
//! an epoch that the control plane assigned: the same normal case and the same choice of a log, but
//! it never elects anybody.
//!
//! Both are state machines and nothing else. An event goes in, effects come out; the driver carries
//! the effects out in the order in which they were given, and reports completions as further
//! events. There is no clock (only named timers, whose deadlines the driver owns), no randomness,
//! no IO, no thread and no await in this crate, and every collection is ordered. So the very same
//! code runs in production, under simulation and inside a model checker, and a replica can be
//! cloned, compared and hashed.
//!
//! This crate will never know what an operation or a record means, how bytes reach a disk or a
//! peer, or how long anything takes.

#![deny(missing_docs)]
#![expect(
    missing_debug_implementations,
    reason = "rkyv derives twins and resolvers of our types that have no Debug; ours have it"
)]

mod format;
pub mod group;
mod number;
pub mod partition;
pub mod quorum;
pub mod sabotage;
mod shared_bytes;

pub use format::Damaged;
pub use number::{Epoch, NodeId, Offset, OpNumber, ViewNumber};
