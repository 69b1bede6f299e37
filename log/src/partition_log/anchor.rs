//! What is known of a log before its first segment, after the segments before have been removed.
//!
//! Epochs and producers are derived by walking over all batches, and the first ones are gone. So
//! before a segment becomes the first one, the frontier at its beginning is written down in a file
//! of its own beside it. Without that file the log is just as good; it merely does not know of
//! producers whose last batches are gone.

use std::path::Path;

use quorate_platform::Disk;

use super::walk;
use crate::epoch_history::EpochHistory;
use crate::error::LogError;
use crate::frontier::Frontier;
use crate::segment::start_path;

/// The frontier at the beginning of the segment `base_offset`, which is the first one.
pub(super) async fn read<D: Disk>(
    disk: &D,
    folder: &Path,
    base_offset: u64,
) -> Result<Frontier, LogError> {
    let path = start_path(folder, base_offset);
    let found = walk::read_checkpoint_at(disk, path, base_offset).await?;
    let found = found.map(|checkpoint| checkpoint.frontier);
    let is_start = |frontier: &Frontier| frontier.next_offset == base_offset;
    Ok(found
        .filter(is_start)
        .unwrap_or_else(|| Frontier::new(base_offset)))
}

/// Makes the frontier at the beginning of a segment durable.
pub(super) async fn write<D: Disk>(
    disk: &D,
    folder: &Path,
    frontier: &Frontier,
) -> Result<(), LogError> {
    let path = start_path(folder, frontier.segment.base_offset);
    walk::write_checkpoint_at(disk, &path, frontier.encode(false)).await?;
    walk::sync_folder(disk, folder).await
}

/// The frontier of a log that begins at `at` with nothing in it. `epoch` wrote the record before.
pub(super) fn found(at: u64, epoch: u32) -> Frontier {
    let starts = at.checked_sub(1).map(|before| (epoch, before));
    let epochs = EpochHistory::from_starts(starts.into_iter().collect());
    Frontier {
        epochs: epochs.expect("a single epoch ascends"),
        ..Frontier::new(at)
    }
}
