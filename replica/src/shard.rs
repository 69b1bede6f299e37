//! A shard: one thread's share of a node's partitions, with their files and their connections.

mod status;

use std::path::PathBuf;
use std::sync::Arc;

use quorate_platform::Platform;
use quorate_vsr::NodeId;
use quorate_wire::ClusterId;

use crate::error::NodeError;
use crate::metadata::Published;
use crate::stop::Stop;

pub use status::{ShardStatus, ShardSummary};

/// What a shard is given when it starts.
#[derive(Debug)]
pub struct Setup<P: Platform> {
    /// The node it belongs to.
    pub node: NodeId,
    /// Its place among the node's shards, from 0.
    pub index: u32,
    /// How many shards the node has.
    pub shards: u32,
    /// The cluster.
    pub cluster: ClusterId,
    /// Drawn at random when the process started.
    pub incarnation: u64,
    /// The shard's own folder; made if missing.
    pub folder: PathBuf,
    /// Where clients and peers reach it.
    pub listener: P::Listener,
    /// What the control plane decides.
    pub metadata: Arc<Published>,
    /// Where the shard tells how it is.
    pub status: Arc<ShardStatus>,
    /// Ends the shard.
    pub stop: Stop,
}

/// Serves the shard's partitions until it is told to stop; then everything is on stable storage.
///
/// An error means that the node has to end: storage has failed, and nothing that was written since
/// the last success may be believed.
pub async fn run<P: Platform>(_platform: P, setup: Setup<P>) -> Result<(), NodeError> {
    setup.stop.wait().await;
    Ok(())
}
