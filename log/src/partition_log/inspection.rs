//! Looking at a log that nobody has opened: everything in it, from the first byte to the last.
//!
//! An [`Inspection`] changes nothing. It asks the code that opens logs what it would make of this
//! one, index files included, and so where the log ends and whether that end was torn. Then it
//! walks over all segments, whatever their index files cover, and gives what stands there piece by
//! piece. On the way it compares what frames and index files say with the batches.
//!
//! What can be done about damage without other replicas is a [`Repair`].

mod coverage;
mod index_check;
mod passage;
mod piece;
mod plan;
mod repair;

use std::fmt;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use quorate_platform::Disk;

use self::index_check::IndexCheck;
use self::passage::{Border, Passage, Passport, Tail};
use super::Settings;
use super::recovery::{self, End, Known};
use super::walk::{self, KnownEpochs};
use crate::epoch_history::EpochHistory;
use crate::error::LogError;
use crate::frontier::Frontier;
use crate::onlooker::{Onlooker, Seen};
use crate::segment::{Name, batches_path, checkpoint_path, start_path};

pub use self::piece::{
    BatchPiece, DamageKind, DamagedPiece, FramePiece, IndexState, Piece, WrongBytes,
};
pub use self::plan::Plan;
pub use self::repair::Repair;

/// Which segments are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// All of them.
    All,
    /// The one that holds this offset and all behind it.
    From(u64),
    /// The one of this base offset.
    Segment(u64),
}

/// What a node would make of the end of the log.
#[derive(Debug)]
pub enum Ending {
    /// It is the last batch.
    Whole,
    /// Behind the last batch are the remains of a flush that was interrupted: they are cut off.
    Torn,
    /// Batches that were durable may be missing: the node puts what is there aside, and takes part
    /// in no decision about them before it has caught up with a leader.
    Uncertain,
    /// It does not open the log.
    Refused(LogError),
}

/// One thing that an [`Inspection`] finds, in the order of the files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// A segment begins.
    Segment {
        /// Its first offset.
        base_offset: u64,
        /// Its file.
        path: PathBuf,
        /// The size of the file; `None` if it is missing.
        bytes: Option<u64>,
    },
    /// Something stands in it.
    Piece(Piece),
    /// What the file says that tells of the log before its first segment, if there is one or
    /// should be. It follows that segment's [`Finding::Segment`].
    Start {
        /// The file.
        path: PathBuf,
        /// What is known of it.
        state: IndexState,
    },
    /// What its index file is, when all of it has been walked over.
    Index {
        /// The file.
        path: PathBuf,
        /// What is known of it.
        state: IndexState,
    },
    /// A compaction had begun to write this file and was interrupted, or is under way. It counts
    /// for nothing, and whoever opens the log removes it. Told of behind all segments.
    Leftover {
        /// The file.
        path: PathBuf,
        /// Its size.
        bytes: u64,
    },
}

/// A look at the log in a folder; see [`Inspection::next`].
pub struct Inspection<D: Disk> {
    disk: Onlooker<D>,
    folder: PathBuf,
    index_step_bytes: u64,
    epochs: KnownEpochs,
    /// The segments of the log, and those that will be looked at.
    base_offsets: Vec<u64>,
    at: usize,
    until: usize,
    ending: Ending,
    judged: Option<Judged>,
    frontier: Frontier,
    is_complete: bool,
    /// What is told of next.
    start: Option<Finding>,
    /// What is told of at the end, the last one first.
    leftovers: Vec<PathBuf>,
    passage: Option<Passage<Seen<D::File>>>,
    /// Everything in the passage has been told of.
    is_told: bool,
    passed_bytes: u64,
}

/// Where the log ends, and what stands behind it.
#[derive(Clone, Copy, Debug)]
struct Judged {
    segment: u64,
    offset: u64,
    position: u64,
    tail: Tail,
}

impl<D: Disk> Inspection<D> {
    /// Looks at the log in `folder` as a node would that opens it, and so knows how it ends.
    ///
    /// `settings` are those of the log, and `known` is what the node knows of it from elsewhere.
    pub async fn begin(
        disk: D,
        folder: &Path,
        settings: Settings,
        known: Known,
        scope: Scope,
    ) -> Result<Self, LogError> {
        let onlooker = Onlooker::of_log(disk, folder).await;
        let disk = onlooker.map_err(|source| LogError::io("list", folder, source))?;
        let base_offsets = list_segments(&disk, folder, known.log_start_offset).await?;
        let (epochs, ending, judged) = judge(&disk, folder, settings, known, &base_offsets).await?;
        let (at, until) = match scope {
            Scope::All => (0, base_offsets.len()),
            Scope::From(offset) => {
                let behind = base_offsets.partition_point(|base| *base <= offset);
                (behind.saturating_sub(1), base_offsets.len())
            }
            Scope::Segment(base_offset) => {
                let at = base_offsets.partition_point(|base| *base < base_offset);
                let is_there = base_offsets.get(at) == Some(&base_offset);
                (at, at + usize::from(is_there))
            }
        };
        let leftovers = match scope {
            Scope::All | Scope::From(_) => disk.leftovers(),
            Scope::Segment(_) => Vec::new(),
        };
        let first = base_offsets.get(at).copied().unwrap_or_default();
        Ok(Self {
            disk,
            folder: folder.to_owned(),
            index_step_bytes: settings.index_step_bytes,
            epochs,
            base_offsets,
            at,
            until,
            ending,
            judged,
            frontier: Frontier::new(first),
            is_complete: first == 0,
            start: None,
            leftovers,
            passage: None,
            is_told: false,
            passed_bytes: 0,
        })
    }

    /// What a node would make of the end of the log.
    pub fn ending(&self) -> &Ending {
        &self.ending
    }

    /// The bytes of segments that have been looked at so far.
    pub fn passed_bytes(&self) -> u64 {
        let passage = self.passage.as_ref();
        self.passed_bytes + passage.map_or(0, Passage::position)
    }

    /// The next thing that is found; `None` if everything has been looked at.
    pub async fn next(&mut self) -> Result<Option<Finding>, LogError> {
        if let Some(start) = self.start.take() {
            return Ok(Some(start));
        }
        if let Some(passage) = self.passage.as_mut().filter(|_| !self.is_told) {
            if let Some(piece) = passage.next().await? {
                return Ok(Some(Finding::Piece(piece)));
            }
            self.is_told = true;
            return Ok(Some(Finding::Index {
                path: checkpoint_path(&self.folder, self.base_offsets[self.at]),
                state: passage.index().clone(),
            }));
        }
        self.leave();
        if self.at >= self.until {
            return self.leftover().await;
        }
        self.enter(self.base_offsets[self.at]).await.map(Some)
    }

    /// The bytes of a batch that was found in the segment which is being looked at.
    ///
    /// They are empty once the next segment is asked for.
    pub async fn read(&mut self, batch: &BatchPiece) -> Result<Bytes, LogError> {
        match &mut self.passage {
            Some(passage) => passage.read(batch).await,
            None => Ok(Bytes::new()),
        }
    }

    /// Begins with the segment.
    async fn enter(&mut self, base_offset: u64) -> Result<Finding, LogError> {
        let next = self.base_offsets.get(self.at + 1).copied();
        let judged = self.judged.filter(|judged| judged.segment <= base_offset);
        let (border, tail) = match (judged, next) {
            (Some(judged), _) if judged.segment == base_offset => {
                let Judged {
                    offset, position, ..
                } = judged;
                (Border::End { offset, position }, judged.tail)
            }
            // The log ends before it.
            (Some(judged), _) => {
                let (offset, position) = (base_offset, 0);
                (Border::End { offset, position }, judged.tail)
            }
            (None, Some(next)) => (Border::Segment(next), Tail::Room),
            (None, None) => (Border::Unknown, Tail::Room),
        };
        let (check, index) = self.read_index(base_offset).await?;
        if self.at == 0 {
            self.start = self.read_start(base_offset).await?;
        }
        let window = walk::open_window(&self.disk, &self.folder, base_offset).await?;
        let bytes = (!window.is_missing()).then(|| window.end());
        let mut frontier = std::mem::replace(&mut self.frontier, Frontier::new(base_offset));
        if frontier.next_offset != base_offset {
            self.is_complete = false;
        }
        frontier.next_offset = base_offset;
        frontier.roll();
        self.passage = Some(Passage::new(Passport {
            window,
            epochs: self.epochs.clone(),
            index_step_bytes: self.index_step_bytes,
            border,
            tail,
            frontier,
            is_complete: self.is_complete,
            check,
            index,
        }));
        Ok(Finding::Segment {
            base_offset,
            path: batches_path(&self.folder, base_offset),
            bytes,
        })
    }

    /// Done with the segment, if there is one.
    fn leave(&mut self) {
        self.is_told = false;
        if let Some(passage) = self.passage.take() {
            self.passed_bytes += passage.position();
            (self.frontier, self.is_complete) = passage.leave();
            self.at += 1;
        }
    }

    /// The next file that is not of the log; `None` if all have been told of.
    async fn leftover(&mut self) -> Result<Option<Finding>, LogError> {
        while let Some(path) = self.leftovers.pop() {
            let measured = self.disk.leftover_bytes(&path).await;
            let measured = measured.map_err(|source| LogError::io("measure", &path, source))?;
            // A compaction that is under way may have come to its end meanwhile.
            if let Some(bytes) = measured {
                return Ok(Some(Finding::Leftover { path, bytes }));
            }
        }
        Ok(None)
    }

    /// What the file of the log's beginning is; `None` if there is none where none is needed.
    async fn read_start(&self, base_offset: u64) -> Result<Option<Finding>, LogError> {
        let is_there = self.is_there(Name::Start(base_offset)).await?;
        let Some(before) = base_offset.checked_sub(1).or(is_there.then_some(0)) else {
            return Ok(None);
        };
        let path = start_path(&self.folder, base_offset);
        let epoch = self.epochs.history.epoch_at(before);
        let is_other = |frontier: &Frontier| {
            let told = frontier.epochs.epoch_at(before);
            told.is_some() && epoch.is_some() && told != epoch
        };
        let found = walk::read_checkpoint_at(&self.disk, path.clone(), base_offset).await;
        let state = match found.map(|found| found.map(|checkpoint| checkpoint.frontier)) {
            _ if !is_there => IndexState::Missing,
            Ok(None) => IndexState::Damaged,
            Ok(Some(frontier)) if frontier.next_offset != base_offset => IndexState::Wrong {
                what: "it does not end where the segment begins",
            },
            Ok(Some(frontier)) if is_other(&frontier) => IndexState::Wrong {
                what: "it names another epoch for the record before the log",
            },
            Ok(Some(frontier)) => IndexState::Sound {
                next_offset: frontier.next_offset,
                bytes: 0,
            },
            Err(LogError::Version { got, .. }) => IndexState::Newer { version: got },
            Err(error) => return Err(error),
        };
        Ok(Some(Finding::Start { path, state }))
    }

    async fn is_there(&self, name: Name) -> Result<bool, LogError> {
        let listed = self.disk.list(&self.folder).await;
        let listed = listed.map_err(|source| LogError::io("list", &self.folder, source))?;
        Ok(listed.iter().any(|entry| Name::parse(&entry.name) == name))
    }

    async fn read_index(
        &self,
        base_offset: u64,
    ) -> Result<(Option<IndexCheck>, IndexState), LogError> {
        if !self.is_there(Name::Checkpoint(base_offset)).await? {
            return Ok((None, IndexState::Missing));
        }
        match walk::read_checkpoint(&self.disk, &self.folder, base_offset).await {
            Ok(Some(checkpoint)) => Ok((Some(IndexCheck::new(checkpoint)), IndexState::Damaged)),
            Ok(None) => Ok((None, IndexState::Damaged)),
            Err(LogError::Version { got, .. }) => Ok((None, IndexState::Newer { version: got })),
            Err(error) => Err(error),
        }
    }
}

/// The base offsets of the segments in `folder`, ascending, and of such as only their index files
/// tell of: from the one on that holds `log_start_offset`, where the log begins, whether it is
/// there or not.
async fn list_segments<D: Disk>(
    disk: &Onlooker<D>,
    folder: &Path,
    log_start_offset: u64,
) -> Result<Vec<u64>, LogError> {
    let entries = disk.list(folder).await;
    let entries = entries.map_err(|source| LogError::io("list", folder, source))?;
    let named = entries
        .iter()
        .filter_map(|entry| match Name::parse(&entry.name) {
            Name::Batches(base_offset)
            | Name::Checkpoint(base_offset)
            | Name::Start(base_offset) => Some(base_offset),
            Name::Compacting(..) | Name::Compacted(..) | Name::Other => None,
        });
    let mut base_offsets: Vec<_> = named.collect();
    base_offsets.sort_unstable();
    base_offsets.dedup();
    let behind = base_offsets.partition_point(|base| *base <= log_start_offset);
    match behind.checked_sub(1) {
        Some(first) => drop(base_offsets.drain(..first)),
        None => base_offsets.insert(0, log_start_offset),
    }
    Ok(base_offsets)
}

/// Asks the code that opens logs.
async fn judge<D: Disk>(
    disk: &Onlooker<D>,
    folder: &Path,
    settings: Settings,
    known: Known,
    base_offsets: &[u64],
) -> Result<(KnownEpochs, Ending, Option<Judged>), LogError> {
    let max = known.epoch_max;
    let nothing = KnownEpochs {
        history: EpochHistory::default(),
        end: 0,
        max,
    };
    let epochs = match recovery::known_epochs(disk, folder, base_offsets, max).await {
        Ok(epochs) => epochs,
        Err(error @ LogError::Version { .. }) => {
            return Ok((nothing, Ending::Refused(error), None));
        }
        Err(error) => return Err(error),
    };
    let inspected = match recovery::inspect(disk.clone(), folder, settings, known).await {
        Ok(inspected) => inspected,
        Err(error @ (LogError::Damaged { .. } | LogError::Version { .. })) => {
            return Ok((epochs, Ending::Refused(error), None));
        }
        Err(error) => return Err(error),
    };
    let (ending, tail) = match inspected.end() {
        End::Clean => (Ending::Whole, Tail::Room),
        End::Torn => (Ending::Torn, Tail::Torn),
        End::Uncertain => (Ending::Uncertain, Tail::Uncertain),
    };
    let frontier = inspected.frontier();
    let judged = Judged {
        segment: frontier.segment.base_offset,
        offset: frontier.next_offset,
        position: frontier.segment.bytes,
        tail,
    };
    Ok((epochs, ending, Some(judged)))
}

impl<D: Disk> fmt::Debug for Inspection<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inspection")
            .field("folder", &self.folder)
            .field("ending", &self.ending)
            .field("passed_bytes", &self.passed_bytes())
            .finish_non_exhaustive()
    }
}
