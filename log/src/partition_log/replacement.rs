//! Segments of which one new file takes the place.
//!
//! The new file is written under a name of its own, and synced. The rename that says so is the
//! point from which on it counts: whatever happens then, the old files go and it takes the name of
//! the first of them.
//!
//! ```text
//! 00000000000000000000-00000000000000531000.compacting    being written: counts for nothing
//! 00000000000000000000-00000000000000531000.compacted     the batches of these offsets, whatever
//!                                                         else tells of them
//! ```
//!
//! Opening a log removes the one and carries the other to its end. Both ends of it are ends of
//! batches in the old files and stay such, so that nothing but positions changes for anybody.

mod writer;

use std::path::Path;

use quorate_platform::Disk;

use super::walk;
use crate::error::LogError;
use crate::segment::{
    Name, Segment, batches_path, checkpoint_path, compacted_path, compacting_path, start_path,
};
use crate::spares::Spares;

pub(super) use writer::Writer;

/// A file that is complete and durable, and shall take the place of segments.
pub(super) struct Replacement<D: Disk> {
    pub(super) file: D::File,
    pub(super) segment: Segment,
    /// One past the last offset in it.
    pub(super) next_offset: u64,
    /// The base offsets of the segments whose place it takes; its own is the first.
    pub(super) base_offsets: Vec<u64>,
    /// What its index file shall hold, if that is known.
    pub(super) checkpoint: Option<Vec<u8>>,
}

/// The offsets that a replacement spans, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) base_offset: u64,
    pub(super) next_offset: u64,
}

impl<D: Disk> Replacement<D> {
    /// Has the file take its place, durably.
    pub(super) async fn take_place(
        self,
        disk: &D,
        folder: &Path,
        spares: Option<&Spares<D>>,
    ) -> Result<(), LogError> {
        let span = Span {
            base_offset: self.segment.base_offset,
            next_offset: self.next_offset,
        };
        let from = compacting_path(folder, span.base_offset, span.next_offset);
        let to = compacted_path(folder, span.base_offset, span.next_offset);
        let renamed = disk.rename(&from, &to).await;
        renamed.map_err(|source| LogError::io("rename", &from, source))?;
        walk::sync_folder(disk, folder).await?;
        carry_out(disk, folder, span, &self.base_offsets, spares).await?;
        match self.checkpoint {
            Some(checkpoint) => {
                walk::write_checkpoint(disk, folder, span.base_offset, checkpoint).await
            }
            None => Ok(()),
        }
    }
}

/// Removes the old files, and gives the new one its name. The old ones are gone for certain before:
/// a crash must not leave two files with the same batches under names that count.
async fn carry_out<D: Disk>(
    disk: &D,
    folder: &Path,
    span: Span,
    base_offsets: &[u64],
    spares: Option<&Spares<D>>,
) -> Result<(), LogError> {
    let first = span.base_offset;
    for &base_offset in base_offsets {
        // What is known before the first segment stays right.
        if base_offset != first {
            walk::remove_file(disk, &start_path(folder, base_offset)).await?;
        }
        walk::remove_file(disk, &checkpoint_path(folder, base_offset)).await?;
        let path = batches_path(folder, base_offset);
        match spares {
            Some(spares) => spares.recycle(&path).await?,
            None => walk::remove_file(disk, &path).await?,
        }
    }
    walk::sync_folder(disk, folder).await?;
    let from = compacted_path(folder, first, span.next_offset);
    let renamed = disk.rename(&from, &batches_path(folder, first)).await;
    renamed.map_err(|source| LogError::io("rename", &from, source))?;
    walk::sync_folder(disk, folder).await
}

/// Finishes what a crash has interrupted: of the files in `folder` these are the `names`. False if
/// there was nothing of the kind.
pub(super) async fn recover<D: Disk>(
    disk: &D,
    folder: &Path,
    names: &[Name],
) -> Result<bool, LogError> {
    let mut is_any = false;
    for name in names {
        match *name {
            Name::Compacting(base_offset, next_offset) => {
                is_any = true;
                let path = compacting_path(folder, base_offset, next_offset);
                walk::remove_file(disk, &path).await?;
            }
            Name::Compacted(base_offset, next_offset) => {
                is_any = true;
                let span = Span {
                    base_offset,
                    next_offset,
                };
                let base_offsets = span.base_offsets(names);
                carry_out(disk, folder, span, &base_offsets, None).await?;
            }
            Name::Batches(_) | Name::Checkpoint(_) | Name::Start(_) | Name::Other => {}
        }
    }
    Ok(is_any)
}

/// Removes what passes have left that were not carried to their end.
pub(super) async fn clear<D: Disk>(disk: &D, folder: &Path) -> Result<(), LogError> {
    let entries = disk.list(folder).await;
    let entries = entries.map_err(|source| LogError::io("list", folder, source))?;
    for entry in entries {
        if let Name::Compacting(..) = Name::parse(&entry.name) {
            walk::remove_file(disk, &folder.join(&entry.name)).await?;
        }
    }
    Ok(())
}

impl Span {
    /// The base offsets of all segments in it of which some file is left.
    pub(super) fn base_offsets(&self, names: &[Name]) -> Vec<u64> {
        let inside = self.base_offset..self.next_offset;
        let mut base_offsets: Vec<_> = names
            .iter()
            .filter_map(|name| match *name {
                Name::Batches(base) | Name::Checkpoint(base) | Name::Start(base) => Some(base),
                Name::Compacting(..) | Name::Compacted(..) | Name::Other => None,
            })
            .filter(|base| inside.contains(base))
            .collect();
        base_offsets.sort_unstable();
        base_offsets.dedup();
        base_offsets
    }
}
