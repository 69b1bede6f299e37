//! Opening a log, after an orderly stop or a crash.
//!
//! It is done in two steps. To *inspect* a log changes nothing of what it holds. To *settle* it
//! cuts what does not count. In between the caller can make durable what the cut would hide: that
//! the end of the log is uncertain.
//!
//! A segment that has a successor was made durable before the successor was created. So what is
//! damaged in it was durable, and is noted as a damaged range between what is sound before and
//! behind it. The same holds in the last segment for what is followed by sound batches, unless both
//! belong to a flush that a crash may have interrupted. What ends the last segment is judged by
//! [`torn`]: cut without further ado if it was torn, and otherwise the end of the log is uncertain.
//!
//! Which epochs wrote a damaged range must be known, since the log is told from others by its
//! epochs. A later checkpoint knows, and the batches on both sides do if they are of the same
//! epoch. Otherwise the log ends before the range, and its end is uncertain. What a damaged header
//! says of its epoch is no help: the checksum leaves it out, and the range may be of several
//! epochs. A guess would be worse than an uncertain end, for which the others make up: a log that
//! names the wrong epoch for an offset looks like another one that has other records there, and
//! may be chosen in the place of the right one.

use std::fmt;
use std::path::Path;
use std::rc::Rc;

use quorate_platform::Disk;

use super::reframe::BrokenFrame;
use super::walk::{self, KnownEpochs};
use super::{PartitionLog, Settings, anchor, replacement};
use crate::chain::Flaw;
use crate::closed_segment::ClosedSegment;
use crate::damage::Damage;
use crate::epoch_history::EpochHistory;
use crate::error::LogError;
use crate::frame::Frame;
use crate::frontier::Frontier;
use crate::segment::Name;

use self::crossing::Rise;

mod beginning;
mod crossing;
mod settling;

/// What the caller knows of a log from elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    /// The log begins at this offset.
    pub log_start_offset: u64,
    /// The epoch of the record before that; 0 if there is none.
    pub log_start_epoch: u32,
    /// Everything below this offset was durable.
    pub durable_offset: u64,
    /// No batch is of a greater epoch.
    pub epoch_max: u32,
    /// The log was opened before, and so it has a segment that lasts.
    pub is_old: bool,
}

impl Default for Known {
    fn default() -> Self {
        Self {
            log_start_offset: 0,
            log_start_epoch: 0,
            durable_offset: 0,
            epoch_max: u32::MAX,
            is_old: false,
        }
    }
}

/// What opening a log found and did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Bytes of an interrupted write that were cut off.
    pub torn_bytes: u64,
    /// Bytes at the end of the log that may have been durable, and were put aside.
    pub uncertain_bytes: u64,
    /// Bytes of batches that were walked over because no checkpoint covered them.
    pub walked_bytes: u64,
    /// Damaged frames that were put back. No record is lost by them.
    pub frames_damaged: u32,
    /// Index files of complete segments that were missing or damaged and were written again.
    pub indexes_rebuilt: u32,
}

/// A log whose files were looked at; nothing that it may hold was changed.
#[must_use = "the log is not open before it is settled"]
pub struct Inspected<D: Disk> {
    opening: Opening<D>,
    base_offsets: Vec<u64>,
    /// Segments before the log start, of which something is left.
    expired: Vec<u64>,
    end: End,
}

/// How the bytes of a log end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// With the last batch, or with room behind it that no flush has reached.
    Clean,
    /// With the remains of a write that was never acknowledged.
    Torn,
    /// With what may have been durable, or without it.
    Uncertain,
}

impl<D: Disk> Inspected<D> {
    /// Whether batches that were durable may be missing at the end.
    ///
    /// Settling the log hides that. So whoever has to remember it makes it durable before.
    pub fn is_uncertain(&self) -> bool {
        match self.end {
            End::Uncertain => true,
            End::Clean | End::Torn => false,
        }
    }

    /// One past the last offset that the log will have.
    pub fn next_offset(&self) -> u64 {
        self.opening.frontier.next_offset
    }

    pub(super) fn end(&self) -> End {
        self.end
    }

    /// What the log will be up to its end.
    pub(super) fn frontier(&self) -> &Frontier {
        &self.opening.frontier
    }

    /// Cuts what does not count, puts aside what may have counted, and opens the log.
    pub async fn settle(self) -> Result<PartitionLog<D>, LogError> {
        settling::settle(self).await
    }
}

impl<D: Disk> fmt::Debug for Inspected<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inspected")
            .field("folder", &self.opening.folder)
            .field("next_offset", &self.next_offset())
            .field("damaged", &self.opening.damage.ranges())
            .field("end", &self.end)
            .finish_non_exhaustive()
    }
}

pub(super) async fn inspect<D: Disk>(
    disk: D,
    folder: &Path,
    settings: Settings,
    known: Known,
) -> Result<Inspected<D>, LogError> {
    let mut base_offsets = find_segments(&disk, folder).await?;
    let expired = beginning::split_off_expired(&mut base_offsets, known.log_start_offset);
    let epochs = known_epochs(&disk, folder, &base_offsets, known.epoch_max).await?;
    let frontier = anchor::read(&disk, folder, base_offsets[0]).await?;
    let mut opening = Opening {
        disk,
        folder: folder.into(),
        settings,
        known,
        epochs,
        closed: Vec::new(),
        frontier,
        damage: Damage::default(),
        doubt: None,
        rise: None,
        covered: 0,
        frame: None,
        broken_frames: Vec::new(),
        recovery: Recovery::default(),
    };
    let mut end = None;
    for (at, base_offset) in base_offsets.iter().enumerate() {
        let next = base_offsets.get(at + 1).copied();
        end = opening.enter(*base_offset, next).await?;
        if end.is_some() {
            break;
        }
    }
    let mut end = end.expect("the last segment has an end");
    if !opening.continues_start() {
        opening.begin_anew();
        end = End::Uncertain;
    }
    Ok(Inspected {
        opening,
        base_offsets,
        expired,
        end,
    })
}

/// The base offsets of the segments in `folder`, ascending. A segment that is missing although
/// something tells of it is one of them.
async fn find_segments<D: Disk>(disk: &D, folder: &Path) -> Result<Vec<u64>, LogError> {
    let created = disk.create_folder(folder).await;
    created.map_err(|source| LogError::io("create", folder, source))?;
    let mut names = list_names(disk, folder).await?;
    if replacement::recover(disk, folder, &names).await? {
        names = list_names(disk, folder).await?;
    }
    let mut base_offsets = Vec::new();
    for name in names {
        match name {
            // An index file goes before its segment and comes after it.
            Name::Batches(base) | Name::Checkpoint(base) | Name::Start(base) => {
                base_offsets.push(base);
            }
            Name::Compacting(..) | Name::Compacted(..) | Name::Other => {}
        }
    }
    base_offsets.sort_unstable();
    base_offsets.dedup();
    // The crash may have come before the names were durable.
    walk::sync_folder(disk, folder).await?;
    Ok(base_offsets)
}

pub(super) async fn list_names<D: Disk>(disk: &D, folder: &Path) -> Result<Vec<Name>, LogError> {
    let entries = disk.list(folder).await;
    let entries = entries.map_err(|source| LogError::io("list", folder, source))?;
    let names = entries.iter().map(|entry| Name::parse(&entry.name));
    Ok(names.collect())
}

/// What the newest checkpoint knows of the epochs.
pub(super) async fn known_epochs<D: Disk>(
    disk: &D,
    folder: &Path,
    base_offsets: &[u64],
    max: u32,
) -> Result<KnownEpochs, LogError> {
    for base_offset in base_offsets.iter().rev() {
        if let Some(newest) = walk::read_checkpoint(disk, folder, *base_offset).await? {
            return Ok(KnownEpochs {
                history: newest.frontier.epochs,
                end: newest.frontier.next_offset,
                max,
            });
        }
    }
    Ok(KnownEpochs {
        history: EpochHistory::default(),
        end: 0,
        max,
    })
}

struct Opening<D: Disk> {
    disk: D,
    folder: Rc<Path>,
    settings: Settings,
    known: Known,
    epochs: KnownEpochs,
    closed: Vec<ClosedSegment>,
    /// The end of what was walked so far.
    frontier: Frontier,
    damage: Damage,
    /// Where the log ends if the next sound batch does not tell which epochs wrote the last damaged
    /// range.
    doubt: Option<Before>,
    /// The last rise of the epoch, if no checkpoint vouches for it.
    rise: Option<Rise>,
    /// The bytes of the segment that its checkpoint covers.
    covered: u64,
    /// The last frame that was passed in the segment.
    frame: Option<Frame>,
    broken_frames: Vec<BrokenFrame>,
    recovery: Recovery,
}

/// An earlier state of [`Opening`].
struct Before {
    frontier: Frontier,
    closed: usize,
    damage: Damage,
}

impl<D: Disk> Opening<D> {
    fn before(&self) -> Before {
        Before {
            frontier: self.frontier.clone(),
            closed: self.closed.len(),
            damage: self.damage.clone(),
        }
    }

    /// The log ends where it was `before`.
    fn end_before(&mut self, before: Before) -> End {
        self.frontier = before.frontier;
        self.closed.truncate(before.closed);
        self.damage = before.damage;
        End::Uncertain
    }

    fn damaged(&self, path: &Path, flaw: Flaw) -> LogError {
        walk::damaged(path.to_owned(), &self.frontier, flaw)
    }
}
