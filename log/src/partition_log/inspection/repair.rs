//! Changes to the files of a log that nobody has opened.

use std::fmt;
use std::path::{Path, PathBuf};

use quorate_platform::{Disk, File, OpenMode};

use super::super::reframe::{BrokenFrame, reframe};
use super::super::{recovery, replacement, walk};
use crate::error::LogError;
use crate::segment::{Segment, batches_path, checkpoint_path};

/// One change to the files of a log. After a crash it is done, or can be done again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Repair {
    /// Writes a damaged frame anew, from the batches behind it.
    Frame {
        /// The base offset of the segment.
        segment: u64,
        /// Where the frame begins.
        position: u64,
        /// Where the batches behind it begin.
        end: u64,
    },
    /// Removes an index file that says nothing or nothing right; it is derived anew.
    Index {
        /// The base offset of the segment.
        segment: u64,
    },
    /// Cuts off what an interrupted flush has left.
    Torn {
        /// The base offset of the segment, the last one.
        segment: u64,
        /// Where the log ends.
        position: u64,
        /// Where the file ends.
        end: u64,
    },
    /// Ends the log before a damaged batch, and loses all that is behind.
    Cut {
        /// The base offset of the segment that is the last one from then on.
        segment: u64,
        /// Where the log ends from then on.
        position: u64,
        /// The first offset that is lost.
        offset: u64,
        /// The segments behind, which are removed.
        behind: Vec<u64>,
    },
}

impl Repair {
    /// The files in `folder` that it changes or removes, as far as they are there.
    pub fn paths(&self, folder: &Path) -> Vec<PathBuf> {
        match self {
            Self::Frame { segment, .. } => vec![batches_path(folder, *segment)],
            Self::Torn { segment, .. } => vec![batches_path(folder, *segment)],
            Self::Index { segment } => vec![checkpoint_path(folder, *segment)],
            Self::Cut {
                segment, behind, ..
            } => {
                let segments = behind.iter().chain([segment]);
                let paths =
                    |base: &u64| [checkpoint_path(folder, *base), batches_path(folder, *base)];
                segments.flat_map(paths).collect()
            }
        }
    }

    /// Whether `other` is still to be done where this is done as well: a cut leaves nothing to be
    /// repaired behind it.
    pub fn keeps(&self, other: &Self) -> bool {
        let Self::Cut {
            segment, position, ..
        } = *self
        else {
            return true;
        };
        match *other {
            Self::Frame {
                segment: its, end, ..
            } => its < segment || (its == segment && end <= position),
            Self::Index { segment: its } => its < segment,
            Self::Torn { .. } | Self::Cut { .. } => false,
        }
    }

    /// Does it, durably. What was about to take a place takes it before: that is where it was seen.
    pub async fn run<D: Disk>(&self, disk: &D, folder: &Path) -> Result<(), LogError> {
        let names = recovery::list_names(disk, folder).await?;
        replacement::recover(disk, folder, &names).await?;
        match *self {
            Self::Frame {
                segment,
                position,
                end,
            } => {
                let broken = BrokenFrame {
                    segment,
                    position,
                    end,
                    covered_bytes: None,
                };
                reframe(disk, folder, broken).await.map(drop)
            }
            Self::Index { segment } => {
                walk::remove_file(disk, &checkpoint_path(folder, segment)).await?;
                walk::sync_folder(disk, folder).await
            }
            Self::Torn {
                segment, position, ..
            } => cut(disk, folder, segment, position).await,
            Self::Cut {
                segment,
                position,
                ref behind,
                ..
            } => {
                // What vouches for bytes goes before them, and no gap can be left.
                for base in behind.iter().chain([&segment]) {
                    walk::remove_file(disk, &checkpoint_path(folder, *base)).await?;
                }
                walk::sync_folder(disk, folder).await?;
                for base in behind.iter().rev() {
                    walk::remove_file(disk, &batches_path(folder, *base)).await?;
                    walk::sync_folder(disk, folder).await?;
                }
                cut(disk, folder, segment, position).await
            }
        }
    }
}

/// Ends the segment at `position`.
async fn cut<D: Disk>(
    disk: &D,
    folder: &Path,
    segment: u64,
    position: u64,
) -> Result<(), LogError> {
    let path = batches_path(folder, segment);
    let opened = disk.open(&path, OpenMode::CreateOrWrite).await;
    let file = opened.map_err(|source| LogError::io("open", &path, source))?;
    let cut = file.set_len(position).await;
    cut.map_err(|source| LogError::io("cut", &path, source))?;
    let mut segment = Segment::new(segment);
    segment.bytes = position;
    walk::mark_end(&file, &path, &mut segment).await?;
    let synced = file.sync_data().await;
    synced.map_err(|source| LogError::io("sync", &path, source))?;
    walk::sync_folder(disk, folder).await
}

impl fmt::Display for Repair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Frame {
                segment,
                position,
                end,
            } => write!(
                f,
                "write the frame anew in bytes {position} to {end} of {segment:020}.log, from the \
                 sound batches behind it"
            ),
            Self::Index { segment } => write!(
                f,
                "remove {segment:020}.index, which the node derives anew from the batches"
            ),
            Self::Torn {
                segment,
                position,
                end,
            } => write!(
                f,
                "cut bytes {position} to {end} off {segment:020}.log: a write that was interrupted \
                 and never acknowledged"
            ),
            Self::Cut {
                segment,
                position,
                offset,
                behind,
            } => write!(
                f,
                "END THE LOG AT OFFSET {offset}, LOSING EVERY RECORD FROM THERE ON IN THIS COPY: \
                 cut {segment:020}.log at byte {position}, and remove the {} segments behind it",
                behind.len()
            ),
        }
    }
}
