//! Putting sound frames in the place of damaged ones.

use std::fmt;
use std::path::Path;
use std::rc::Rc;

use bytes::Bytes;
use quorate_batch::{BatchHeader, HEADER_BYTES};
use quorate_platform::{BufResult, Disk, File, OpenMode};

use super::{Busy, PartitionLog, walk};
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
    /// How much it covers, if its head is sound and only its checksums are not.
    pub(super) covered_bytes: Option<u64>,
}

/// Damaged frames that a [`ScrubJob`](super::ScrubJob) has met, for
/// [`PartitionLog::begin_reframe`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BrokenFrames {
    pub(super) frames: Vec<BrokenFrame>,
    /// As of which cut.
    pub(super) generation: u64,
}

/// Writes frames over damaged ones; see [`PartitionLog::begin_reframe`].
#[must_use = "nothing is written before the job has run"]
pub struct ReframeJob<D: Disk> {
    disk: D,
    folder: Rc<Path>,
    frames: Vec<BrokenFrame>,
    /// The bytes of the segment that flushes write to, and its base offset.
    written: (u64, u64),
}

/// The outcome of a [`ReframeJob`], for [`PartitionLog::finish_reframe`].
#[derive(Debug)]
#[must_use = "the log does not know of the outcome before it is given to it"]
pub struct Reframed(Result<(u32, Bytes), LogError>);

impl BrokenFrames {
    /// How many there are.
    pub fn count(&self) -> u32 {
        u32::try_from(self.frames.len()).unwrap_or(u32::MAX)
    }
}

impl<D: Disk> PartitionLog<D> {
    /// Puts sound frames in the place of damaged ones. The job makes that durable.
    ///
    /// `None` if there are none, if the log was cut since they were met, so that something else may
    /// stand there, or if another job is under way. A later scrub meets again what is left.
    pub fn begin_reframe(&mut self, broken: BrokenFrames) -> Option<ReframeJob<D>> {
        let is_current = broken.generation == self.generation.get() && !broken.frames.is_empty();
        let is_free = self.busy == Busy::Idle && !self.is_replacing();
        if !is_current || !is_free || self.poison.is_some() {
            return None;
        }
        self.busy = Busy::Rewriting;
        Some(ReframeJob {
            disk: self.disk.clone(),
            folder: self.folder.clone(),
            frames: broken.frames,
            written: (self.written.base_offset, self.written.bytes),
        })
    }

    /// Takes the outcome of a reframe; answers with how many frames are good again. The others
    /// cover batches that are damaged, and stay for as long as those do.
    ///
    /// An error is final: the log is poisoned.
    pub fn finish_reframe(&mut self, reframed: Reframed) -> Result<u32, LogError> {
        assert_eq!(self.busy, Busy::Rewriting, "a reframe is under way");
        self.busy = Busy::Idle;
        let (count, last_block) = self.poison_on_error(reframed.0)?;
        self.written.last_block = last_block;
        Ok(count)
    }
}

impl<D: Disk> ReframeJob<D> {
    /// Writes and syncs. Once begun it has to run to its end, whoever waits for it.
    pub async fn run(self) -> Reframed {
        Reframed(self.write().await)
    }

    async fn write(self) -> Result<(u32, Bytes), LogError> {
        let Self {
            disk,
            folder,
            frames,
            written: (last, bytes),
        } = self;
        let mut count = 0;
        for broken in frames {
            count += u32::from(reframe(&disk, &folder, broken).await?);
        }
        // A frame may lie in the block that the next flush writes again.
        let last_block = walk::open_last_block(&disk, &folder, last, bytes).await?;
        Ok((count, last_block))
    }
}

/// Writes the frame anew, durably: the same one if the batches behind it take the room that it says
/// so, and otherwise one that covers nothing. False if that would be to lose what it says.
pub(super) async fn reframe<D: Disk>(
    disk: &D,
    folder: &Path,
    broken: BrokenFrame,
) -> Result<bool, LogError> {
    let BrokenFrame {
        segment,
        position,
        end,
        covered_bytes: says,
    } = broken;
    let mut window = walk::open_window(disk, folder, segment).await?;
    let batches = match says {
        Some(0) => Vec::new(),
        Some(_) | None => covered(&mut window, end).await?,
    };
    let covered_bytes = batches.iter().map(|batch| batch.len() as u64).sum();
    let room = end - position;
    let bytes = if says.is_some_and(|says| says != covered_bytes) {
        return Ok(false);
    } else if frame_bytes(covered_bytes) == room {
        frame::encode(segment, position, &batches)
    } else if room >= HEAD_BYTES {
        frame::encode_filler(segment, position, room)
    } else {
        return Ok(false);
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
        .map(|()| true)
        .map_err(|source| LogError::io("rewrite", path, source))
}

/// The sound batches from `position` to the next frame or the end.
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
        if walk::check_crc(window, position, &header).await?.is_err() {
            break;
        }
        let batch = window.bytes(position, header.batch_bytes).await?;
        position += batch.len() as u64;
        batches.push(batch);
    }
    Ok(batches)
}

impl<D: Disk> fmt::Debug for ReframeJob<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReframeJob")
            .field("folder", &self.folder)
            .field("frames", &self.frames)
            .finish_non_exhaustive()
    }
}
