//! What the product says of itself, in JSON.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::Failure;

/// A node, as `cluster.json` has it.
#[derive(Clone, Debug, Deserialize)]
pub struct NodeDescription {
    /// Its id.
    pub id: u16,
    /// Its process, while one runs that `quorate up` has started.
    pub pid: Option<u32>,
    /// Where its control thread listens.
    pub control_address: String,
    /// Where its shards listen.
    pub shard_addresses: Vec<String>,
    /// The folder of everything that it stores.
    pub data_dir: PathBuf,
    /// How it is started again by hand.
    pub config_file: PathBuf,
    /// What it prints.
    pub log_file: PathBuf,
}

/// What `quorate cluster status` says.
#[derive(Clone, Debug, Deserialize)]
pub struct ClusterStatus {
    /// The nodes.
    pub nodes: Vec<NodeStatus>,
}

/// A node, as `quorate cluster status` has it.
#[derive(Clone, Debug, Deserialize)]
pub struct NodeStatus {
    /// Its id.
    pub id: u16,
    /// Whether the control plane holds it to be alive.
    pub alive: bool,
    /// What it is in the control plane's group: "voter" or "standby".
    pub member: Option<String>,
    /// Whether it runs on another disk than the one that counts as its own.
    pub disk_lost: bool,
    /// What it takes itself for, if it could be asked.
    pub role: Option<String>,
    /// The view that it is in, if it could be asked.
    pub view: Option<u64>,
}

impl ClusterStatus {
    /// The primary of the newest view that has one. A node that slept through a view change may
    /// still take itself for the primary of an older one.
    pub fn primary(&self) -> Result<u16, Failure> {
        let is_primary = |node: &&NodeStatus| node.role.as_deref() == Some("primary");
        let newest = self
            .nodes
            .iter()
            .filter(is_primary)
            .max_by_key(|node| node.view);
        newest
            .map(|node| node.id)
            .ok_or_else(|| Failure::new("no node says it is the primary"))
    }
}

/// A topic, as `quorate topic list` has it.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct TopicDescription {
    pub(super) name: String,
}

/// What `quorate topic describe` says.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct TopicDetails {
    pub(super) partitions: Vec<PartitionDescription>,
}

/// A partition, as `quorate topic describe` has it.
#[derive(Clone, Debug, Deserialize)]
pub struct PartitionDescription {
    /// Its place in the topic.
    #[serde(rename = "partition")]
    pub index: u32,
    /// The node that leads it.
    pub leader: u16,
    /// The leader's epoch.
    pub epoch: u32,
    /// Whether the leader takes appends.
    pub open: bool,
    /// The first offset that is not committed, if the leader could be asked.
    pub high_watermark: Option<u64>,
    /// Its replicas.
    pub replicas: Vec<ReplicaDescription>,
}

/// A replica, as `quorate topic describe` has it.
#[derive(Clone, Debug, Deserialize)]
pub struct ReplicaDescription {
    /// The node that holds it.
    pub node: u16,
    /// One past its last durable record, as the leader knows.
    pub next_offset: Option<u64>,
    /// Whether it follows the leader of this epoch, if the leader could be asked.
    pub in_sync: Option<bool>,
}

impl PartitionDescription {
    /// Whether a leader is open and every replica follows it.
    pub fn check_whole(&self) -> Result<(), Failure> {
        let index = self.index;
        if !self.open {
            return Err(Failure::new(format!(
                "partition {index} has no open leader"
            )));
        }
        match self
            .replicas
            .iter()
            .find(|replica| replica.in_sync != Some(true))
        {
            Some(replica) => {
                let node = replica.node;
                Err(Failure::new(format!(
                    "node {node} is not in step with partition {index}"
                )))
            }
            None => Ok(()),
        }
    }
}

#[derive(Deserialize)]
struct ClusterFile {
    nodes: Vec<NodeDescription>,
}

/// Reads `cluster.json`.
pub(super) fn read_cluster_file(path: &Path) -> Result<Vec<NodeDescription>, Failure> {
    let name = path.display();
    let text = fs::read_to_string(path).map_err(Failure::of(format_args!("reading {name}")))?;
    let file: ClusterFile =
        serde_json::from_str(&text).map_err(Failure::of(format_args!("understanding {name}")))?;
    Ok(file.nodes)
}
