use std::cell::Cell;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::rc::Rc;

use quorate_platform::{Disk, File, OpenMode};

use super::PartitionLog;
use super::extent::Start;
use super::reframe::{BrokenFrame, BrokenFrames};
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
    /// The file, if it is one that has no name to rely on.
    file: Option<D::File>,
    path: PathBuf,
    segment: u64,
    /// The first batch to look at.
    from: u64,
    /// Where to begin: at or before it.
    start: Start<D>,
    /// The same by the index, if `start` does without.
    start_by_index: Option<Start<D>>,
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
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scrubbed {
    /// Where to go on: behind the last sound batch. Not ahead of where it began if the log was cut
    /// meanwhile.
    pub next: ScrubPlace,
    /// The bytes that were looked at.
    pub bytes: u64,
    /// Frames that are damaged, though no batch is.
    pub broken_frames: BrokenFrames,
    /// Whether the batch at `next` is damaged.
    pub is_damaged: bool,
}

impl<D: Disk> ScrubJob<D> {
    pub(super) fn new(log: &PartitionLog<D>, place: ScrubPlace, bytes_max: u64) -> Self {
        let from = place.offset;
        let segment = log.segment_of(from);
        let here = (segment.base_offset, log.generation.get());
        // The index knows where batches are, and passes over the frames before them.
        let mut start_by_index = None;
        let start = match place.known {
            Some((base_offset, position, cut)) if (base_offset, cut) == here => {
                Start::Known(Place {
                    offset: from,
                    position,
                })
            }
            _ if segment.base_offset == from => {
                start_by_index = Some(log.start_of_read(segment, from));
                Start::Known(Place {
                    offset: from,
                    position: 0,
                })
            }
            _ => log.start_of_read(segment, from),
        };
        // What is known to be damaged is not looked at again.
        let known = log.damage.first_behind(from).map(|range| Place {
            offset: range.from,
            position: range.position,
        });
        let end = segment.end;
        Self {
            disk: log.disk.clone(),
            file: log.compaction.file_of(segment.base_offset),
            path: batches_path(&log.folder, segment.base_offset),
            segment: segment.base_offset,
            from,
            start,
            start_by_index,
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
            next: ScrubPlace::at(self.from),
            ..Scrubbed::default()
        };
        let result = self.scrub().await;
        match generation.get() == generation_at_begin {
            true => result,
            false => Ok(unchanged),
        }
    }

    async fn scrub(mut self) -> Result<Scrubbed, LogError> {
        let mut start_by_index = self.start_by_index.take();
        let start = self.start.find().await?;
        let mut scrubbed = Scrubbed {
            next: ScrubPlace::at(start.offset),
            broken_frames: BrokenFrames {
                frames: Vec::new(),
                generation: self.generation_at_begin,
            },
            ..Scrubbed::default()
        };
        let opened = match self.file.take() {
            Some(file) => Ok(file),
            None => self.disk.open(&self.path, OpenMode::Read.direct()).await,
        };
        let file = match opened {
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
            next_offset: start.offset,
            epoch: 0,
        };
        let mut position = start.position;
        while chain.next_offset < self.end.offset && scrubbed.bytes < self.bytes_max {
            let found = batch_at(&mut window, position, chain, &self.epochs).await?;
            let found = match (found, start_by_index.take()) {
                (Ok(found), _) => Some(found),
                (Err(_), Some(start)) => batch_by_index(&mut window, start, &self.epochs).await?,
                (Err(_), None) => None,
            };
            let Some(found) = found else {
                scrubbed.is_damaged = true;
                break;
            };
            if let Some(broken) = broken_frame(&mut window, position, &found).await? {
                scrubbed.broken_frames.frames.push(broken);
            }
            chain.follow(&found.header);
            position = found.end();
            scrubbed.bytes = position - start.position;
            scrubbed.next = ScrubPlace {
                offset: chain.next_offset,
                known: Some((self.segment, position, self.generation_at_begin)),
            };
        }
        Ok(scrubbed)
    }
}

/// The first batch of a segment, where the index says that it is: what is damaged is the frame
/// before it.
async fn batch_by_index<D: Disk>(
    window: &mut Window<D::File>,
    start: Start<D>,
    epochs: &KnownEpochs,
) -> Result<Option<FoundBatch>, LogError> {
    let Place { offset, position } = start.find().await?;
    if position == 0 || offset != window.segment() {
        return Ok(None);
    }
    let chain = Chain {
        next_offset: offset,
        epoch: 0,
    };
    let found = batch_at(window, position, chain, epochs).await?;
    Ok(found.ok().map(|found| FoundBatch {
        is_frame_damaged: true,
        ..found
    }))
}

/// The frame between `position` and the batch behind it, if it is not what it was.
async fn broken_frame<F: File>(
    window: &mut Window<F>,
    position: u64,
    found: &FoundBatch,
) -> Result<Option<BrokenFrame>, LogError> {
    if found.is_frame_damaged {
        return Ok(Some(BrokenFrame {
            segment: window.segment(),
            position,
            end: found.position,
            covered_bytes: None,
        }));
    }
    let Some(frame) = found.frame else {
        return Ok(None);
    };
    let position = frame.position + HEAD_BYTES;
    let checksums = window.peek(position, (frame.bytes - HEAD_BYTES) as usize);
    let is_broken = frame.blocks(&checksums.await?).is_none();
    Ok(is_broken.then_some(BrokenFrame {
        segment: window.segment(),
        position: frame.position,
        end: frame.start(),
        covered_bytes: Some(frame.covered_bytes),
    }))
}

impl<D: Disk> fmt::Debug for ScrubJob<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScrubJob")
            .field("path", &self.path)
            .field("from", &self.from)
            .field("end", &self.end)
            .finish_non_exhaustive()
    }
}
