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

use quorate_platform::{Disk, File, OpenMode, Platform};
use quorate_vsr::OpNumber;
use quorate_vsr::group::{Checkpoint, Event, Prepare, Recovered, Superblock};

use self::journal::Journal;
use self::superblock::SuperblockFile;
use crate::error::NodeError;

/// The most prepares of one write. The group allows about as many under way.
const PREPARES_MAX: usize = 64;

/// A write that the group asked for.
#[derive(Debug)]
pub(super) enum Job {
    Append(Prepare),
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
    /// Opens the files in `folder`, creating what is not there, and gives what they hold.
    pub(super) async fn open(disk: D, folder: &Path) -> Result<(Self, Recovered), NodeError> {
        let created = disk.create_folder(folder).await;
        created.map_err(|error| NodeError::file("create", folder, error))?;
        let (superblock_file, bytes) = SuperblockFile::open(&disk, folder).await?;
        let superblock = bytes.map(|bytes| Superblock::decode(&bytes)).transpose();
        let superblock = superblock
            .map_err(|error| NodeError::damaged(&folder.join("superblock"), error.to_string()))?;
        let checkpoint = match &superblock {
            Some(superblock) if superblock.checkpoint.op > OpNumber(0) => {
                Some(read_checkpoint(&disk, folder, superblock.checkpoint.op).await?)
            }
            Some(_) | None => None,
        };
        let covered = checkpoint.as_ref().map(Checkpoint::op).unwrap_or_default();
        let (journal, entries) = Journal::open(disk.clone(), folder, covered).await?;
        let prepares = entries.iter().map(|(_, bytes)| Prepare::decode(bytes));
        let prepares = prepares.collect::<Result<Vec<_>, _>>().map_err(|error| {
            NodeError::damaged(
                folder,
                format!("an entry of the journal cannot be read: {error}"),
            )
        })?;
        if superblock.is_none() && !prepares.is_empty() {
            let problem = "it is empty although the journal is not. The node has forgotten what it \
                           promised to the others and will not start without it: restore the file";
            return Err(NodeError::damaged(&folder.join("superblock"), problem));
        }
        let recovered = Recovered {
            superblock,
            checkpoint,
            journal: prepares,
            is_tail_uncertain: false,
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
                    self.append(&prepares).await
                }
                Job::Persist(superblock) => self.persist(&superblock).await,
                Job::PersistCheckpoint(checkpoint) => self.persist_checkpoint(&checkpoint).await,
                Job::TrimJournal { below } => self.journal.trim(below).await.map(|()| Vec::new()),
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

    async fn append(&mut self, prepares: &[Prepare]) -> Result<Vec<Event>, NodeError> {
        let entries: Vec<_> = prepares
            .iter()
            .map(|prepare| (prepare.op, prepare.encode()))
            .collect();
        self.journal.append(&entries).await?;
        let durable = |prepare: &Prepare| Event::PrepareDurable {
            op: prepare.op,
            checksum: prepare.checksum,
        };
        Ok(prepares.iter().map(durable).collect())
    }

    async fn persist(&mut self, superblock: &Superblock) -> Result<Vec<Event>, NodeError> {
        self.superblock.write(&superblock.encode()).await?;
        checkpoint::remove_before(&self.disk, &self.folder, superblock.checkpoint.op).await?;
        Ok(vec![Event::SuperblockDurable {
            sequence: superblock.sequence,
        }])
    }

    async fn persist_checkpoint(&mut self, new: &Checkpoint) -> Result<Vec<Event>, NodeError> {
        checkpoint::write(&self.disk, &self.folder, new.op(), new.bytes().to_vec()).await?;
        Ok(vec![Event::CheckpointDurable { op: new.op() }])
    }
}

async fn read_checkpoint<D: Disk>(
    disk: &D,
    folder: &Path,
    op: OpNumber,
) -> Result<Checkpoint, NodeError> {
    let bytes = checkpoint::read(disk, folder, op).await?;
    Checkpoint::decode(&bytes).map_err(|error| {
        let problem = format!("{error}; restore the file");
        NodeError::damaged(&checkpoint::path_of(folder, op), problem)
    })
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
            let chunk = Vec::with_capacity(CHUNK_BYTES.min(capacity - bytes.len()));
            let quorate_platform::BufResult(result, chunk) = file.read_at(chunk, position).await;
            if result? == 0 {
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
