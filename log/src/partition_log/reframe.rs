//! Putting sound frames in the place of damaged ones.

use std::path::Path;

use bytes::Bytes;
use quorate_batch::{BatchHeader, HEADER_BYTES};
use quorate_platform::{BufResult, Disk, File, OpenMode};

use super::walk;
use crate::error::LogError;
use crate::frame::{self, HEAD_BYTES, frame_bytes};
use crate::window::Window;

/// A damaged frame between sound batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BrokenFrame {
    pub(super) segment: u64,
    pub(super) position: u64,
    /// Where the batch behind it begins.
    pub(super) end: u64,
}

/// Writes the frame anew, durably: the same one if the batches behind it take the room that it says
/// so, and otherwise one that covers nothing.
pub(super) async fn reframe<D: Disk>(
    disk: &D,
    folder: &Path,
    broken: BrokenFrame,
) -> Result<(), LogError> {
    let BrokenFrame {
        segment,
        position,
        end,
    } = broken;
    let mut window = walk::open_window(disk, folder, segment).await?;
    let batches = covered(&mut window, end).await?;
    let covered_bytes = batches.iter().map(|batch| batch.len() as u64).sum();
    let room = end - position;
    let bytes = if frame_bytes(covered_bytes) == room {
        frame::encode(segment, position, &batches)
    } else if room >= HEAD_BYTES {
        frame::encode_filler(segment, position, room)
    } else {
        return Ok(());
    };
    let path = window.path();
    let write = async {
        let file = disk.open(path, OpenMode::Write).await?;
        let BufResult(result, _) = file.write_all_at(bytes, position).await;
        result?;
        file.sync_data().await
    };
    write
        .await
        .map_err(|source| LogError::io("rewrite", path, source))
}

/// The batches from `position` to the next frame or the end.
async fn covered<F: File>(window: &mut Window<F>, position: u64) -> Result<Vec<Bytes>, LogError> {
    let mut batches = Vec::new();
    let mut position = position;
    while window.frame_at(position).await?.is_none() {
        let head = window.bytes(position, HEADER_BYTES).await?;
        let Ok(header) = BatchHeader::parse(&head) else {
            break;
        };
        if header.batch_bytes as u64 > window.end() - position {
            break;
        }
        let batch = window.bytes(position, header.batch_bytes).await?;
        position += batch.len() as u64;
        batches.push(batch);
    }
    Ok(batches)
}
