use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use quorate_platform::Instant;
use quorate_vsr::NodeId;
use quorate_wire::{ClusterId, Frame, Kind};
use rkyv::{Archive, Deserialize, Serialize};

use crate::shard::ShardStatus;

/// What a node tells every other node of itself, over and over.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub(super) struct Heartbeat {
    /// Drawn when the node's process started.
    pub(super) incarnation: u64,
    /// Which of its disks the node has, as a member of the group.
    pub(super) disk: u64,
    /// Where its control thread listens.
    pub(super) control_address: String,
    /// Where each of its shards listens.
    pub(super) shard_addresses: Vec<String>,
    /// Whether all its shards have opened what they hold.
    pub(super) is_ready: bool,
    /// Whether it is about to end and wants to be relieved of its leaderships.
    pub(super) is_stopping: bool,
    /// Whether one of its shards has stood still for long.
    pub(super) is_stalled: bool,
    /// Partitions that it leads, open for appends.
    pub(super) leaderships: u32,
    /// Nodes that are behind in some partition that it leads.
    pub(super) lagging: Vec<u16>,
    /// Partitions that it leads and whose voters change, with their epochs, where the stage of that
    /// change has done its work.
    pub(super) done: Vec<(u64, u32)>,
    /// Partitions whose leadership it has given up of its own accord, or would rather give up, with
    /// their epochs.
    pub(super) resigned: Vec<(u64, u32)>,
}

/// The most entries of [`Heartbeat::done`] and of [`Heartbeat::resigned`]: more than the primary
/// lets change at once.
pub(super) const DONE_MAX: usize = 256;

impl Heartbeat {
    /// The frame that carries it.
    pub(super) fn frame(&self, cluster: ClusterId) -> Bytes {
        Frame::head(Kind::Heartbeat, cluster, 0, &quorate_wire::encode(self), 0)
    }

    /// Reads the frame's body; `None` if it is not a heartbeat or its addresses are none.
    pub(super) fn read(body: &[u8]) -> Option<Self> {
        let heartbeat: Self = quorate_wire::decode(body).ok()?;
        let addresses = std::iter::once(&heartbeat.control_address);
        let mut addresses = addresses.chain(&heartbeat.shard_addresses);
        addresses
            .all(|address| address.parse::<SocketAddr>().is_ok())
            .then_some(heartbeat)
    }
}

/// Sums up the node's shards, and notices when one of them stands still.
#[derive(Debug)]
pub(super) struct ShardsWatch {
    shards: Vec<Watched>,
}

#[derive(Debug)]
struct Watched {
    status: Arc<ShardStatus>,
    progress: u64,
    since: Instant,
}

/// A shard counts its progress several times a second. A disk that makes it wait for seconds is
/// slow but may come back, and moving all leaderships costs more than a short wait.
const STALL: std::time::Duration = std::time::Duration::from_secs(5);

/// What all shards of the node tell, added up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Summary {
    pub(super) replicas: u32,
    pub(super) leaderships: u32,
    pub(super) under_replicated: u32,
    pub(super) damaged_ranges: u32,
    pub(super) lagging: std::collections::BTreeSet<NodeId>,
    pub(super) done: Vec<(u64, u32)>,
    pub(super) resigned: Vec<(u64, u32)>,
    pub(super) appended_records: u64,
    pub(super) appended_bytes: u64,
}

impl ShardsWatch {
    pub(super) fn new(statuses: Vec<Arc<ShardStatus>>, now: Instant) -> Self {
        let watched = |status: Arc<ShardStatus>| Watched {
            progress: status.progress(),
            status,
            since: now,
        };
        Self {
            shards: statuses.into_iter().map(watched).collect(),
        }
    }

    /// Whether a shard has made no progress for long. To be asked regularly.
    pub(super) fn is_stalled(&mut self, now: Instant) -> bool {
        for shard in &mut self.shards {
            let progress = shard.status.progress();
            if progress != shard.progress {
                (shard.progress, shard.since) = (progress, now);
            }
        }
        self.shards.iter().any(|shard| now - shard.since > STALL)
    }

    /// Whether every shard has begun to make progress, which it does once it has opened its files.
    pub(super) fn is_ready(&self) -> bool {
        self.shards.iter().all(|shard| shard.status.progress() > 0)
    }

    pub(super) fn summary(&self) -> Summary {
        let mut sum = Summary::default();
        for shard in &self.shards {
            let summary = shard.status.summary();
            sum.replicas += summary.replicas;
            sum.leaderships += summary.leaderships;
            sum.under_replicated += summary.under_replicated;
            sum.damaged_ranges += summary.damaged_ranges;
            sum.lagging.extend(&summary.lagging);
            let done = summary.done.iter().map(|(id, epoch)| (*id, epoch.0));
            sum.done.extend(done.take(DONE_MAX - sum.done.len()));
            let resigned = summary.resigned.iter().map(|(id, epoch)| (*id, epoch.0));
            let room = DONE_MAX - sum.resigned.len();
            sum.resigned.extend(resigned.take(room));
            sum.appended_records += shard.status.appended_records();
            sum.appended_bytes += shard.status.appended_bytes();
        }
        sum
    }
}
