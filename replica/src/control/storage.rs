//! What the group keeps on disk, in the folder `control`: superblock, journal, checkpoints.
//!
//! One task owns the files and carries out the group's writes strictly in the order in which they
//! were given, so what is durable after a crash is always a beginning of what was asked for.
//! Prepares that wait together are made durable together. A write that fails is the end of the
//! node: nothing that was written since the last success may be believed.

mod checkpoint;
mod journal;
mod superblock;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use quorate_platform::{Disk, File, OpenMode, Platform, read_around};
use quorate_vsr::group::{Checkpoint, Event, Prepare, Recovered, Superblock};
use quorate_vsr::{Damaged, NodeId, OpNumber};

use self::journal::{Change, Journal, NumberedEntry};
use self::superblock::{Forgotten, SuperblockFile};
use crate::error::NodeError;

/// The most prepares of one write. The group allows about as many under way.
const PREPARES_MAX: usize = 64;

/// A write that the group asked for.
#[derive(Debug)]
pub(super) enum Job {
    Append(Prepare),
    Mend(Prepare),
    Persist(Superblock),
    PersistCheckpoint(Checkpoint),
    TrimJournal { below: OpNumber },
}

/// The files, open for writing.
#[derive(Debug)]
pub(super) struct Storage<D: Disk> {
    disk: D,
    folder: PathBuf,
    superblock: SuperblockFile<D::File>,
    journal: Journal<D>,
}

impl<D: Disk> Storage<D> {
    /// Opens the files of the node `me` in `folder`, creating what is not there, and gives what
    /// they hold.
    ///
    /// Damage that the other members can make up for is given as such. Only a node that has lost
    /// its promises cannot go on.
    pub(super) async fn open(
        disk: D,
        folder: &Path,
        me: NodeId,
    ) -> Result<(Self, Recovered), NodeError> {
        let created = disk.create_folder(folder).await;
        created.map_err(|error| NodeError::file("create", folder, error))?;
        let (superblock_file, found) = SuperblockFile::open(&disk, folder).await?;
        let found =
            found.map_err(|Forgotten| forgotten(folder, me, "none of its copies is good"))?;
        let durable = found.as_ref().map(|found| found.journal);
        let superblock = found.map(|found| read_superblock(folder, me, &found.body));
        let superblock = superblock.transpose()?;
        let named = superblock
            .as_ref()
            .map(|superblock| superblock.checkpoint.op);
        let covered = named.unwrap_or_default();
        let checkpoint = checkpoint::find(&disk, folder, covered).await?;
        let durable = durable.unwrap_or_default();
        let (journal, found) = Journal::open(disk.clone(), folder, durable, covered).await?;
        if superblock.is_none() && (found.is_used || checkpoint::is_any(&disk, folder).await?) {
            return Err(forgotten(folder, me, "it is empty although it was used"));
        }
        let (prepares, is_last_bad) = decode(folder, found.entries)?;
        let is_tail_uncertain = (found.is_tail_uncertain || is_last_bad) && superblock.is_some();
        report(&prepares, covered, is_tail_uncertain);
        let recovered = Recovered {
            superblock,
            checkpoint,
            journal: prepares,
            is_tail_uncertain,
        };
        let folder = folder.to_owned();
        Ok((
            Self {
                disk,
                folder,
                superblock: superblock_file,
                journal,
            },
            recovered,
        ))
    }

    /// Carries out `jobs`, in order, and reports what has become durable.
    pub(super) async fn run(
        mut self,
        jobs: flume::Receiver<Job>,
        done: flume::Sender<Result<Event, NodeError>>,
    ) {
        let mut waiting = None;
        loop {
            let job = match waiting.take() {
                Some(job) => job,
                None => match jobs.recv_async().await {
                    Ok(job) => job,
                    Err(flume::RecvError::Disconnected) => return,
                },
            };
            let result = match job {
                Job::Append(first) => {
                    let mut prepares = vec![first];
                    while prepares.len() < PREPARES_MAX && waiting.is_none() {
                        match jobs.try_recv() {
                            Ok(Job::Append(prepare)) => prepares.push(prepare),
                            Ok(other) => waiting = Some(other),
                            Err(_) => break,
                        }
                    }
                    self.write(Change::Append, &prepares).await
                }
                Job::Mend(prepare) => self.write(Change::Mend, &[prepare]).await,
                Job::Persist(superblock) => self.persist(&superblock).await,
                Job::PersistCheckpoint(checkpoint) => self.persist_checkpoint(&checkpoint).await,
                Job::TrimJournal { below } => self.trim(below).await.map(|()| Vec::new()),
            };
            let (events, failure) = match result {
                Ok(events) => (events, None),
                Err(error) => (Vec::new(), Some(error)),
            };
            let has_failed = failure.is_some();
            for report in events.into_iter().map(Ok).chain(failure.map(Err)) {
                // Nobody listens any more: the node ends.
                let _ = done.send(report);
            }
            if has_failed {
                return;
            }
        }
    }

    async fn write(
        &mut self,
        change: Change,
        prepares: &[Prepare],
    ) -> Result<Vec<Event>, NodeError> {
        let entries: Vec<_> = prepares
            .iter()
            .map(|prepare| (prepare.op, prepare.encode()))
            .collect();
        self.journal.write(change, entries).await?;
        let durable = |prepare: &Prepare| Event::PrepareDurable {
            op: prepare.op,
            checksum: prepare.checksum,
        };
        Ok(prepares.iter().map(durable).collect())
    }

    async fn persist(&mut self, superblock: &Superblock) -> Result<Vec<Event>, NodeError> {
        let place = self.journal.place();
        self.superblock.write(superblock.encode(), place).await?;
        checkpoint::remove_before(&self.disk, &self.folder, superblock.checkpoint.op).await?;
        Ok(vec![Event::SuperblockDurable {
            sequence: superblock.sequence,
        }])
    }

    async fn persist_checkpoint(&mut self, new: &Checkpoint) -> Result<Vec<Event>, NodeError> {
        checkpoint::write(&self.disk, &self.folder, new.op(), new.bytes().to_vec()).await?;
        Ok(vec![Event::CheckpointDurable { op: new.op() }])
    }

    async fn trim(&mut self, below: OpNumber) -> Result<(), NodeError> {
        let place = self.journal.place();
        self.journal.trim(below).await?;
        match self.journal.place() == place {
            true => Ok(()),
            // A new file that holds nothing yet must not get lost unnoticed either.
            false => self.superblock.note(self.journal.place()).await,
        }
    }
}

fn forgotten(folder: &Path, me: NodeId, problem: &str) -> NodeError {
    NodeError::forgotten(&folder.join("superblock"), me, problem)
}

fn read_superblock(folder: &Path, me: NodeId, bytes: &[u8]) -> Result<Superblock, NodeError> {
    Superblock::decode(bytes).map_err(|error| match error {
        Damaged::Version(version) => NodeError::version(&folder.join("superblock"), version),
        Damaged::Length | Damaged::Magic | Damaged::Checksum | Damaged::Body => {
            forgotten(folder, me, &error.to_string())
        }
    })
}

/// The prepares that can be read, and whether the last one cannot.
fn decode(folder: &Path, entries: Vec<NumberedEntry>) -> Result<(Vec<Prepare>, bool), NodeError> {
    let mut prepares = Vec::with_capacity(entries.len());
    let mut is_last_bad = false;
    for (op, bytes) in entries {
        is_last_bad = false;
        match Prepare::decode(&bytes) {
            Ok(prepare) => prepares.push(prepare),
            Err(Damaged::Version(version)) => return Err(NodeError::version(folder, version)),
            Err(
                problem @ (Damaged::Length | Damaged::Magic | Damaged::Checksum | Damaged::Body),
            ) => {
                tracing::warn!(%op, %problem, "an entry of the journal cannot be read");
                is_last_bad = true;
            }
        }
    }
    Ok((prepares, is_last_bad))
}

/// Says what of the journal is missing behind the checkpoint.
fn report(prepares: &[Prepare], covered: OpNumber, is_tail_uncertain: bool) {
    let mut expected = covered.next();
    for prepare in prepares.iter().filter(|prepare| prepare.op > covered) {
        if prepare.op > expected {
            let (from, until) = (expected, prepare.op);
            tracing::warn!(%from, %until, "entries of the journal are damaged: asking the others");
        }
        expected = prepare.op.next();
    }
    if is_tail_uncertain {
        let from = expected;
        tracing::warn!(%from, "the end of the journal may be missing: asking the others");
    }
}

/// Opens the existing file at `path` for writing, and reads all of it.
async fn read_whole<D: Disk>(disk: &D, path: &Path) -> Result<(D::File, Vec<u8>), NodeError> {
    let read = async {
        let file = disk.open(path, OpenMode::Write).await?;
        let length = file.len().await?;
        let capacity = usize::try_from(length).map_err(|_| std::io::ErrorKind::FileTooLarge)?;
        let mut bytes = Vec::with_capacity(capacity);
        while bytes.len() < capacity {
            // One read gives at most two gigabytes, and fewer bytes only at the end.
            let position = bytes.len() as u64;
            let wanted = CHUNK_BYTES.min(capacity - bytes.len());
            let chunk = read_around(&file, position, wanted).await?;
            if chunk.is_empty() {
                break;
            }
            bytes.extend_from_slice(&chunk);
        }
        std::io::Result::Ok((file, bytes))
    };
    read.await
        .map_err(|error| NodeError::file("read", path, error))
}

const CHUNK_BYTES: usize = 1 << 20;

/// Starts the task that owns `storage`; gives where to put jobs and where their completions come.
pub(super) fn start<P: Platform>(
    platform: &P,
    storage: Storage<P>,
) -> (
    flume::Sender<Job>,
    flume::Receiver<Result<Event, NodeError>>,
) {
    // Both queues are bounded by the group: its journal, and so what it appends, stops growing
    // when no checkpoint gets durable, and it writes one checkpoint and a few superblocks at once.
    let (jobs_sender, jobs) = flume::unbounded();
    let (done, done_receiver) = flume::unbounded();
    platform.spawn(storage.run(jobs, done));
    (jobs_sender, done_receiver)
}
