//! Partitions come from disk, and go from it.
//!
//! A partition is a folder with its log, and a few facts in the file that the whole shard shares. A
//! folder is made before the first facts are written, and is removed after the facts are: so facts
//! without a folder have lost it, and a folder without facts holds no records that count.
//!
//! Damaged records keep no partition from opening. What the facts and the logs have lost between
//! them is told to the protocol, which fetches it from the other replicas. Lost facts are lost
//! promises, and for those there is no remedy but to begin anew.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::rc::Rc;

use futures_util::{StreamExt, TryStreamExt};
use quorate_log::{FactStore, Inspected, Known, LogError, PartitionLog, Settings, Spares};
use quorate_platform::{OpenMode, Platform};
use quorate_vsr::partition::{EpochHistory, Facts, Replica};
use quorate_vsr::{Damaged, Epoch, Offset};

use super::Shard;
use super::partition::Partition;
use super::spares;
use crate::error::NodeError;

/// Partitions that are opened at once.
pub(super) const OPENING_MAX: usize = 16;
/// The newest batches of one partition that are kept in memory, in bytes.
const TAIL_BYTES_MAX: usize = 4 << 20;

/// What was found in the shard's folder besides the partitions that were opened.
pub(super) struct Found<P: Platform> {
    pub(super) store: FactStore<P>,
    pub(super) spares: Spares<P>,
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

    let mut store = open_facts(shard, !folders.is_empty()).await?;
    let spares = spares::open(&shard.platform, &shard.folder, shard.storage.segment_bytes).await?;
    shard.state.borrow_mut().spares = Some(spares.clone());
    let mut facts = BTreeMap::new();
    for (&id, bytes) in store.facts() {
        let decoded = Facts::decode(bytes).map_err(|damaged| match damaged {
            Damaged::Version(version) => NodeError::version(&facts_path(shard), version),
            Damaged::Length | Damaged::Magic | Damaged::Checksum | Damaged::Body => {
                let problem = format!("the facts of partition {id} are {damaged}");
                NodeError::forgotten(&facts_path(shard), shard.node, problem)
            }
        })?;
        folders.remove(&id);
        facts.insert(id, decoded);
    }
    let mut inspected = inspect_all(shard, facts).await?;
    note_losses(&mut store, &mut inspected).await?;
    let opened = inspected
        .into_iter()
        .map(|(id, facts, inspected)| async move {
            let partition = settle(shard, id, facts, inspected).await?;
            Ok::<_, NodeError>((id, partition))
        });
    let mut opened = pin!(futures_util::stream::iter(opened).buffer_unordered(OPENING_MAX));
    while let Some(opened) = opened.next().await {
        let (id, partition) = opened?;
        shard.state.borrow_mut().insert(id, partition);
        shard.state.borrow_mut().tell_damage(id);
    }
    Ok(Found {
        store,
        spares,
        leftover: folders,
    })
}

fn facts_path<P: Platform>(shard: &Shard<P>) -> PathBuf {
    shard.folder.join("facts")
}

/// Opens the facts, or creates them in a folder that was never used.
///
/// An empty file stands beside the shard's folder and says that there were facts once: they must
/// not get lost together with everything that would tell of them.
async fn open_facts<P: Platform>(
    shard: &Shard<P>,
    has_partitions: bool,
) -> Result<FactStore<P>, NodeError> {
    let (path, mark) = (facts_path(shard), shard.folder.with_extension("used"));
    let is_used = has_partitions || exists(shard, &mark).await?;
    if is_used && !exists(shard, &path).await? {
        let problem = "it is missing although it was there";
        return Err(NodeError::forgotten(&path, shard.node, problem));
    }
    let opened = FactStore::open(shard.platform.clone(), &path).await;
    let store = opened.map_err(|error| match error {
        LogError::FactsDamaged { .. } => NodeError::forgotten(&path, shard.node, error),
        error => NodeError::log(error),
    })?;
    let marked = async {
        shard.platform.open(&mark, OpenMode::CreateOrWrite).await?;
        let parent = mark.parent().expect("it stands beside a folder");
        shard.platform.sync_folder(parent).await
    };
    marked
        .await
        .map_err(|error| NodeError::file("create", &mark, error))?;
    Ok(store)
}

async fn exists<P: Platform>(shard: &Shard<P>, path: &Path) -> Result<bool, NodeError> {
    match shard.platform.open(path, OpenMode::Read).await {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(NodeError::file("open", path, error)),
    }
}

type InspectedPartition<P> = (u64, Facts, Inspected<P>);

/// Looks at the logs of all partitions, and changes nothing in them.
async fn inspect_all<P: Platform>(
    shard: &Rc<Shard<P>>,
    facts: BTreeMap<u64, Facts>,
) -> Result<Vec<InspectedPartition<P>>, NodeError> {
    let inspected = facts.into_iter().map(|(id, facts)| async move {
        if facts.begins_anew {
            // It was to be dropped, and the node was interrupted before that was done.
            remove(shard, id).await?;
        }
        let inspected = inspect(shard, id, known_by(&facts)).await?;
        Ok((id, facts, inspected))
    });
    let inspected = futures_util::stream::iter(inspected).buffer_unordered(OPENING_MAX);
    inspected.try_collect().await
}

/// What a node knows of a log that opens it with these facts.
pub(crate) fn known_by(facts: &Facts) -> Known {
    Known {
        log_start_offset: facts.log_start.0,
        log_start_epoch: facts.log_start_epoch.0,
        durable_offset: match facts.begins_anew {
            true => 0,
            false => facts.high_watermark.0,
        },
        epoch_max: facts.promised.0,
        is_old: !facts.begins_anew,
    }
}

/// Makes durable which logs have uncertain ends, before settling them hides it, and which ones do
/// begin anew.
async fn note_losses<P: Platform>(
    store: &mut FactStore<P>,
    inspected: &mut [InspectedPartition<P>],
) -> Result<(), NodeError> {
    for (id, facts, inspected) in inspected {
        if facts.begins_anew {
            *facts = facts.begun_anew();
            store.put(*id, facts.encode());
        }
        if inspected.is_uncertain() {
            tracing::warn!(
                partition = *id,
                next_offset = inspected.next_offset(),
                "the end of the log is damaged: what is missing comes from the other replicas"
            );
            *facts = facts.with_loss();
            store.put(*id, facts.encode());
        }
    }
    flush(store).await
}

async fn flush<P: Platform>(store: &mut FactStore<P>) -> Result<(), NodeError> {
    if let Some(job) = store.begin_flush().map_err(NodeError::log)? {
        let flushed = job.run().await;
        store.finish_flush(flushed).map_err(NodeError::log)?;
    }
    Ok(())
}

/// Opens a partition that the shard has no facts of: a new one.
pub(super) async fn open_new<P: Platform>(
    shard: &Shard<P>,
    id: u64,
) -> Result<Partition<P>, NodeError> {
    let inspected = inspect(shard, id, Known::default()).await?;
    settle(shard, id, Facts::default(), inspected).await
}

async fn inspect<P: Platform>(
    shard: &Shard<P>,
    id: u64,
    known: Known,
) -> Result<Inspected<P>, NodeError> {
    let folder = folder(shard, id);
    let settings = Settings {
        segment_bytes_max: shard.storage.segment_bytes,
        tail_bytes_max: TAIL_BYTES_MAX,
        ..Settings::default()
    };
    let inspected = PartitionLog::inspect(shard.platform.clone(), &folder, settings, known).await;
    inspected.map_err(|error| match error {
        // What bytes that went bad do not explain.
        LogError::Damaged { .. } => NodeError::forgotten(&folder, shard.node, error),
        error => NodeError::log(error),
    })
}

async fn settle<P: Platform>(
    shard: &Shard<P>,
    id: u64,
    facts: Facts,
    inspected: Inspected<P>,
) -> Result<Partition<P>, NodeError> {
    let log = inspected.settle().await.map_err(NodeError::log)?;
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
        .map_err(|unsound| NodeError::forgotten(&folder(shard, id), shard.node, unsound))?;
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
