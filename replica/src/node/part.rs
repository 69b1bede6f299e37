//! The parts of a node: its control part and one part for each shard.
//!
//! In production each runs on a thread of its own, otherwise all of them on one; here is what they
//! are given and what they say to one another, which is the same either way.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use quorate_platform::Platform;
use quorate_vsr::NodeId;

use super::listen;
use crate::config::Config;
use crate::control;
use crate::error::NodeError;
use crate::limits::Limits;
use crate::metadata::{Metadata, Published};
use crate::shard::{self, ShardStatus};
use crate::stop::Stop;

/// One part of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Control,
    Shard(usize),
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Control => f.write_str("control"),
            Self::Shard(index) => write!(f, "shard-{index}"),
        }
    }
}

/// How a part ended.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) part: Part,
    pub(super) result: Result<(), NodeError>,
}

/// What is said to the parts, in this order.
#[derive(Clone, Debug, Default)]
pub(super) struct Signals {
    /// Every address is listened on.
    pub(super) go: Stop,
    /// The shards may end.
    pub(super) handed_over: Stop,
    /// The control part may end.
    pub(super) end: Stop,
}

/// What all parts are started with; each gets a clone.
#[derive(Clone)]
pub(super) struct Starting<P> {
    platform: P,
    config: Config,
    founds: bool,
    incarnation: u64,
    limits: Limits,
    metadata: Arc<Published>,
    statuses: Vec<Arc<ShardStatus>>,
    stop: Stop,
    signals: Signals,
    /// Told by each part once it listens.
    bound: flume::Sender<()>,
}

impl<P: Platform> Starting<P> {
    pub(super) fn new(
        platform: P,
        config: Config,
        limits: Limits,
        founds: bool,
        stop: Stop,
        bound: flume::Sender<()>,
    ) -> Self {
        let me = NodeId(config.node_id);
        let shards = config.shard_addresses.iter();
        Self {
            founds,
            incarnation: platform.random(),
            limits,
            metadata: Arc::new(Published::new(Metadata::empty(config.cluster_id, me))),
            statuses: shards.map(|_| Arc::default()).collect(),
            stop,
            signals: Signals::default(),
            bound,
            platform,
            config,
        }
    }

    pub(super) fn parts(&self) -> impl Iterator<Item = Part> + use<P> {
        let shards = self.statuses.len();
        std::iter::once(Part::Control).chain((0..shards).map(Part::Shard))
    }

    pub(super) fn signals(&self) -> &Signals {
        &self.signals
    }

    /// Runs `part` on the calling thread until its end.
    pub(super) async fn run(self, part: Part) -> Result<(), NodeError> {
        match part {
            Part::Control => self.run_control().await,
            Part::Shard(index) => self.run_shard(index).await,
        }
    }

    async fn run_control(self) -> Result<(), NodeError> {
        let config = self.config;
        let (address, platform) = (config.control_address, self.platform);
        let listener =
            listen_together(&platform, address, "control", self.bound, &self.signals).await?;
        let Some(listener) = listener else {
            return Ok(());
        };
        let setup = control::Setup {
            node: NodeId(config.node_id),
            cluster: config.cluster_id,
            incarnation: self.incarnation,
            folder: config.data_dir.join("control"),
            founds: self.founds,
            limits: self.limits.group,
            listener,
            nodes: config.nodes,
            shard_addresses: config.shard_addresses,
            statuses: self.statuses,
            metadata: self.metadata,
            stop: self.stop,
            handed_over: self.signals.handed_over,
            end: self.signals.end,
        };
        control::run(platform, setup).await
    }

    async fn run_shard(mut self, index: usize) -> Result<(), NodeError> {
        let (config, platform) = (self.config, self.platform);
        let shards = u32::try_from(self.statuses.len());
        let (address, purpose) = (config.shard_addresses[index], format!("shard {index}"));
        let listener =
            listen_together(&platform, address, &purpose, self.bound, &self.signals).await?;
        let Some(listener) = listener else {
            return Ok(());
        };
        let setup = shard::Setup {
            node: NodeId(config.node_id),
            index: u32::try_from(index).expect("the configuration has few shards"),
            shards: shards.expect("the configuration has few shards"),
            cluster: config.cluster_id,
            incarnation: self.incarnation,
            folder: config.data_dir.join(format!("shard-{index}")),
            storage: config.storage,
            limits: self.limits,
            listener,
            metadata: self.metadata,
            status: self.statuses.swap_remove(index),
            stop: self.signals.handed_over,
        };
        shard::run(platform, setup).await
    }
}

/// Listens on `address` and waits until all parts do; `None` if another one cannot.
async fn listen_together<P: Platform>(
    platform: &P,
    address: SocketAddr,
    purpose: &str,
    bound: flume::Sender<()>,
    signals: &Signals,
) -> Result<Option<P::Listener>, NodeError> {
    let listener = listen(platform, address, purpose).await?;
    // The other end counts the parts that listen.
    let _ = bound.send(());
    drop(bound);
    signals.go.wait().await;
    Ok((!signals.end.is_set()).then_some(listener))
}
