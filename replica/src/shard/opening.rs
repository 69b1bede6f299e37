//! Partitions come from disk, and go from it.
//!
//! A partition is a folder with its log, and a few facts in the file that the whole shard shares. A
//! folder is made before the first facts are written, and is removed after the facts are: so facts
//! always have their folder, and a folder without facts holds no records that count.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::pin::pin;
use std::rc::Rc;

use futures_util::StreamExt;
use quorate_log::{FactStore, PartitionLog, Settings};
use quorate_platform::Platform;
use quorate_vsr::partition::{EpochHistory, Facts, Replica};
use quorate_vsr::{Epoch, Offset};

use super::Shard;
use super::partition::Partition;
use crate::error::NodeError;

/// Partitions that are opened at once.
pub(super) const OPENING_MAX: usize = 16;
/// The newest batches of all partitions that are kept in memory, in bytes.
const TAILS_BYTES_MAX: usize = 256 << 20;
const TAIL_BYTES_MAX: usize = 4 << 20;
const TAIL_BYTES_MIN: usize = 64 << 10;

/// What was found in the shard's folder besides the partitions that were opened.
pub(super) struct Found<P: Platform> {
    pub(super) store: FactStore<P>,
    /// Folders without facts.
    pub(super) leftover: BTreeSet<u64>,
}

/// Opens every partition that the shard has facts of.
pub(super) async fn recover<P: Platform>(shard: &Rc<Shard<P>>) -> Result<Found<P>, NodeError> {
    let partitions = shard.folder.join("partitions");
    let created = shard.platform.create_folder(&partitions).await;
    created.map_err(|error| NodeError::file("create", &partitions, error))?;
    let listed = shard.platform.list(&partitions).await;
    let entries = listed.map_err(|error| NodeError::file("list", &partitions, error))?;
    let folders = entries.iter().filter(|entry| entry.is_folder);
    let mut folders: BTreeSet<u64> = folders
        .filter_map(|entry| entry.name.parse().ok())
        .collect();

    let path = shard.folder.join("facts");
    let store = FactStore::open(shard.platform.clone(), &path)
        .await
        .map_err(NodeError::log)?;
    let mut facts = BTreeMap::new();
    for (&id, bytes) in store.facts() {
        let decoded = Facts::decode(bytes).map_err(|damaged| {
            let problem = format!("the facts of partition {id} are {damaged}; {REMEDY}");
            NodeError::damaged(&path, problem)
        })?;
        if !folders.remove(&id) {
            let problem = format!("it should be there, with the log of partition {id}; {REMEDY}");
            return Err(NodeError::damaged(&folder(shard, id), problem));
        }
        facts.insert(id, decoded);
    }
    let opened = facts.into_iter().map(|(id, facts)| async move {
        open(shard, id, facts)
            .await
            .map(|partition| (id, partition))
    });
    let mut opened = pin!(futures_util::stream::iter(opened).buffer_unordered(OPENING_MAX));
    while let Some(opened) = opened.next().await {
        let (id, partition) = opened?;
        shard.state.borrow_mut().insert(id, partition);
    }
    shard.state.borrow_mut().shrink_tails();
    Ok(Found {
        store,
        leftover: folders,
    })
}

/// An emptied folder is no remedy: the node would have forgotten what it has promised and
/// acknowledged, and its vote could let records be dropped that others were told are safe.
const REMEDY: &str = "restore it from a copy made since the node last ran, or keep this node \
                      stopped: the other replicas go on without it";

/// Opens a partition that the shard has no facts of: a new one.
pub(super) async fn open_new<P: Platform>(
    shard: &Shard<P>,
    id: u64,
) -> Result<Partition<P>, NodeError> {
    let folder = folder(shard, id);
    let created = shard.platform.create_folder(&folder).await;
    created.map_err(|error| NodeError::file("create", &folder, error))?;
    open(shard, id, Facts::default()).await
}

async fn open<P: Platform>(
    shard: &Shard<P>,
    id: u64,
    facts: Facts,
) -> Result<Partition<P>, NodeError> {
    let folder = folder(shard, id);
    let settings = Settings {
        tail_bytes_max: TAIL_BYTES_MAX,
        ..Settings::default()
    };
    let opened = PartitionLog::open(shard.platform.clone(), &folder, settings).await;
    let log = opened.map_err(NodeError::log)?;
    let recovery = log.recovery();
    if recovery.torn_bytes > 0 {
        let bytes = recovery.torn_bytes;
        tracing::info!(
            partition = id,
            bytes,
            "cut off a write that had been interrupted"
        );
    }
    let starts = log.epochs().starts().iter();
    let starts = starts
        .map(|&(epoch, offset)| (Epoch(epoch), Offset(offset)))
        .collect();
    let history = EpochHistory::from_starts(starts).expect("the log keeps its epochs in order");
    let next_offset = Offset(log.next_offset());
    let replica = Replica::new(shard.node, facts, next_offset, history)
        .map_err(|unsound| NodeError::damaged(&folder, format!("{unsound}; {REMEDY}")))?;
    Ok(Partition::new(replica, log, shard.unflushed.take(0)))
}

/// Removes a partition's folder, whose facts are gone.
pub(super) async fn remove<P: Platform>(shard: &Shard<P>, id: u64) -> Result<(), NodeError> {
    let folder = folder(shard, id);
    PartitionLog::remove(&shard.platform, &folder)
        .await
        .map_err(NodeError::log)
}

fn folder<P: Platform>(shard: &Shard<P>, id: u64) -> PathBuf {
    shard.folder.join("partitions").join(id.to_string())
}

impl<P: Platform> super::state::State<P> {
    /// How much of its log a partition may keep in memory, so that all together stay in bounds.
    fn tail_bytes_max(&self) -> usize {
        (TAILS_BYTES_MAX / self.partitions.len().max(1)).clamp(TAIL_BYTES_MIN, TAIL_BYTES_MAX)
    }

    pub(super) fn shrink_tail(&mut self, id: u64) {
        let bytes_max = self.tail_bytes_max();
        if let Some(partition) = self.partitions.get_mut(&id) {
            partition.log.shrink_tail(bytes_max);
        }
    }

    /// There are more partitions than before: each may keep less.
    pub(super) fn shrink_tails(&mut self) {
        let bytes_max = self.tail_bytes_max();
        for partition in self.partitions.values_mut() {
            partition.log.shrink_tail(bytes_max);
        }
    }
}
