use std::cell::Cell;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::rc::Rc;

use quorate_platform::{Disk, File, OpenMode};

use super::PartitionLog;
use super::resync::Place;
use super::walk::{FoundBatch, KnownEpochs, batch_at};
use crate::chain::Chain;
use crate::error::LogError;
use crate::frame::HEAD_BYTES;
use crate::segment::batches_path;
use crate::window::Window;

/// Reads a part of a log to find out whether it is still sound; see
/// [`PartitionLog::begin_scrub`].
#[must_use = "nothing is looked at before the job has run"]
pub struct ScrubJob<D: Disk> {
    disk: D,
    path: PathBuf,
    segment: u64,
    /// Where to begin: at or before the first batch to look at.
    start: Place,
    /// Where what is durable in the segment ends.
    end: Place,
    bytes_max: u64,
    epochs: KnownEpochs,
    generation: Rc<Cell<u64>>,
    generation_at_begin: u64,
}

/// A place that a scrub has come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ScrubPlace {
    /// The offset of the batch there.
    pub offset: u64,
    /// Where the last batch before it ends, in which segment, and as of which cut.
    known: Option<(u64, u64, u64)>,
}

impl ScrubPlace {
    /// The place of the batch with this offset.
    pub const fn at(offset: u64) -> Self {
        let known = None;
        Self { offset, known }
    }
}

/// What a [`ScrubJob`] has found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scrubbed {
    /// Where to go on: behind the last sound batch. Not ahead of where it began if the log was cut
    /// meanwhile.
    pub next: ScrubPlace,
    /// The bytes that were looked at.
    pub bytes: u64,
    /// Frames that are damaged, though no batch is.
    pub frames_damaged: u32,
    /// Whether the batch at `next` is damaged.
    pub is_damaged: bool,
}

impl<D: Disk> ScrubJob<D> {
    pub(super) fn new(log: &PartitionLog<D>, place: ScrubPlace, bytes_max: u64) -> Self {
        let from = place.offset;
        let segment = log.segment_of(from);
        let here = (segment.base_offset, log.generation.get());
        // The index knows where batches are, and passes over the frames before them.
        let start = match place.known {
            Some((base_offset, position, cut)) if (base_offset, cut) == here => Place {
                offset: from,
                position,
            },
            _ if segment.base_offset == from => Place {
                offset: from,
                position: 0,
            },
            _ => log.start_of_read(segment, from),
        };
        // What is known to be damaged is not looked at again.
        let known = log.damage.first_behind(from).map(|range| Place {
            offset: range.from,
            position: range.position,
        });
        let end = log.durable_end_of(segment);
        Self {
            disk: log.disk.clone(),
            path: batches_path(&log.folder, segment.base_offset),
            segment: segment.base_offset,
            start,
            end: known
                .filter(|known| known.offset < end.offset)
                .unwrap_or(end),
            bytes_max,
            epochs: log.known_epochs(),
            generation: log.generation.clone(),
            generation_at_begin: log.generation.get(),
        }
    }

    /// Reads and compares.
    pub async fn run(self) -> Result<Scrubbed, LogError> {
        let generation = self.generation.clone();
        let generation_at_begin = self.generation_at_begin;
        let unchanged = Scrubbed {
            next: ScrubPlace::at(self.start.offset),
            ..Scrubbed::default()
        };
        let result = self.scrub().await;
        match generation.get() == generation_at_begin {
            true => result,
            false => Ok(unchanged),
        }
    }

    async fn scrub(self) -> Result<Scrubbed, LogError> {
        let mut scrubbed = Scrubbed {
            next: ScrubPlace::at(self.start.offset),
            ..Scrubbed::default()
        };
        let file = match self.disk.open(&self.path, OpenMode::Read.direct()).await {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                scrubbed.is_damaged = true;
                return Ok(scrubbed);
            }
            Err(source) => return Err(LogError::io("open", &self.path, source)),
        };
        let piece_bytes = usize::try_from(self.bytes_max).unwrap_or(usize::MAX);
        let path = self.path.clone();
        let mut window = Window::new(file, path, self.segment, self.end.position, piece_bytes);
        let mut chain = Chain {
            next_offset: self.start.offset,
            epoch: 0,
        };
        let mut position = self.start.position;
        while chain.next_offset < self.end.offset && scrubbed.bytes < self.bytes_max {
            let Ok(found) = batch_at(&mut window, position, chain, &self.epochs).await? else {
                scrubbed.is_damaged = true;
                break;
            };
            if found.is_frame_damaged || !is_frame_sound(&mut window, &found).await? {
                scrubbed.frames_damaged += 1;
            }
            chain.follow(&found.header);
            position = found.end();
            scrubbed.bytes = position - self.start.position;
            scrubbed.next = ScrubPlace {
                offset: chain.next_offset,
                known: Some((self.segment, position, self.generation_at_begin)),
            };
        }
        Ok(scrubbed)
    }
}

/// Whether the checksums of the frame before a batch, if one was passed, are what they were.
async fn is_frame_sound<F: File>(
    window: &mut Window<F>,
    found: &FoundBatch,
) -> Result<bool, LogError> {
    let Some(frame) = found.frame else {
        return Ok(true);
    };
    let position = frame.position + HEAD_BYTES;
    let checksums = window.peek(position, (frame.bytes - HEAD_BYTES) as usize);
    Ok(frame.sectors(&checksums.await?).is_some())
}

impl<D: Disk> fmt::Debug for ScrubJob<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScrubJob")
            .field("path", &self.path)
            .field("start", &self.start)
            .field("end", &self.end)
            .finish_non_exhaustive()
    }
}
