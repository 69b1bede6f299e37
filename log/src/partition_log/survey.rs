use std::fmt;
use std::io;
use std::path::PathBuf;
use std::rc::Rc;

use quorate_platform::{Disk, OpenMode};

use super::PartitionLog;
use super::extent::{Index, Start};
use super::resync::{self, Place};
use super::walk::{KnownEpochs, batch_at, pass_frames};
use crate::chain::Chain;
use crate::damage::DamagedRange;
use crate::error::LogError;
use crate::segment::batches_path;
use crate::segment_index::SegmentIndex;
use crate::window::Window;

const PIECE_BYTES: usize = 1 << 20;

/// Looks how far damage reaches; see [`PartitionLog::begin_survey`].
///
/// The index knows where sound batches begin, so it reaches no further than to the next of those.
/// It sees as much of the segment as a read does: what is sound for the one is so for the other,
/// and a read that has met damage finds it known when it is tried again.
#[must_use = "nothing is found before the job has run"]
pub struct SurveyJob<D: Disk> {
    disk: D,
    /// The file, if it is one that has no name to rely on.
    file: Option<D::File>,
    path: PathBuf,
    segment: u64,
    index: Index<D>,
    /// Where to begin: at or before the damage.
    start: Start<D>,
    /// Where what is durable of the segment ends.
    end: Place,
    epochs: KnownEpochs,
    generation: u64,
}

/// The outcome of a [`SurveyJob`], for [`PartitionLog::finish_survey`].
#[derive(Debug)]
#[must_use = "the log does not know of the outcome before it is given to it"]
pub struct Surveyed {
    /// With the index of the segment in which it is.
    result: Result<Option<(DamagedRange, Rc<SegmentIndex>)>, LogError>,
    generation: u64,
}

impl<D: Disk> SurveyJob<D> {
    pub(super) fn new(log: &PartitionLog<D>, offset: u64) -> Self {
        let segment = log.segment_of(offset);
        let start = log.start_of_read(segment, offset);
        Self {
            disk: log.disk.clone(),
            file: log.compaction.file_of(segment.base_offset),
            path: batches_path(&log.folder, segment.base_offset),
            segment: segment.base_offset,
            index: log.index_of(segment),
            start,
            end: segment.end,
            epochs: log.known_epochs(),
            generation: log.generation.get(),
        }
    }

    /// Reads and compares.
    pub async fn run(self) -> Surveyed {
        let generation = self.generation;
        let result = self.look().await;
        Surveyed { result, generation }
    }

    async fn look(self) -> Result<Option<(DamagedRange, Rc<SegmentIndex>)>, LogError> {
        let Self {
            disk,
            file,
            path,
            segment,
            index,
            start,
            end,
            epochs,
            ..
        } = self;
        let index = index.get().await?;
        let start = start.find().await?;
        let bound = index.entry_behind(start.position).map(Place::from);
        let bound = bound.filter(|bound| bound.offset < end.offset);
        let survey = Survey {
            disk,
            file,
            path,
            segment,
            start,
            bound: bound.unwrap_or(end),
            end: end.position,
            epochs,
        };
        let found = survey.run().await?;
        Ok(found.map(|range| (range, index)))
    }
}

/// The same, once it is known between which places to look.
struct Survey<D: Disk> {
    disk: D,
    file: Option<D::File>,
    path: PathBuf,
    segment: u64,
    start: Place,
    /// Where something sound begins, or the log ends.
    bound: Place,
    /// The bytes of the file that are durable.
    end: u64,
    epochs: KnownEpochs,
}

impl<D: Disk> Survey<D> {
    async fn run(mut self) -> Result<Option<DamagedRange>, LogError> {
        let Self { start, bound, .. } = self;
        let range = |from: Place, to: u64, end: u64| DamagedRange {
            from: from.offset,
            to,
            segment: self.segment,
            position: from.position,
            end: Some(end),
            is_missed: false,
        };
        let opened = match self.file.take() {
            Some(file) => Ok(file),
            None => self.disk.open(&self.path, OpenMode::Read).await,
        };
        let file = match opened {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Some(range(start, bound.offset, bound.position)));
            }
            Err(source) => return Err(LogError::io("open", &self.path, source)),
        };
        let mut window = Window::new(file, self.path.clone(), self.segment, self.end, PIECE_BYTES);
        let mut chain = Chain {
            next_offset: start.offset,
            epoch: 0,
        };
        let mut position = start.position;
        while position < self.end && chain.next_offset < bound.offset {
            match batch_at(&mut window, position, chain, &self.epochs).await? {
                Ok(found) => {
                    chain.follow(&found.header);
                    position = found.end();
                }
                Err(_) => {
                    let from = Place {
                        offset: chain.next_offset,
                        position: pass_frames(&mut window, position).await?.0,
                    };
                    let (to, end) = self.resume(&mut window, from, chain.epoch).await?;
                    return Ok(Some(range(from, to, end)));
                }
            }
        }
        Ok(None)
    }

    /// Where the log goes on behind the damage at `from`.
    async fn resume(
        &self,
        window: &mut Window<D::File>,
        from: Place,
        epoch: u32,
    ) -> Result<(u64, u64), LogError> {
        let bound = self.bound;
        if from.position >= bound.position {
            // Nothing is left of it: bytes have been put in before, or a batch is too short.
            return Ok((bound.offset, from.position));
        }
        let sound = resync::find(window, from, bound.position, epoch, &self.epochs);
        Ok(match sound.await? {
            Some(found) => (found.header.base_offset, found.position),
            None => {
                let end = resync::frame_before(window, from.position, bound.position).await?;
                (bound.offset, end)
            }
        })
    }
}

pub(super) fn finish<D: Disk>(
    log: &mut PartitionLog<D>,
    surveyed: Surveyed,
) -> Result<Option<DamagedRange>, LogError> {
    let Surveyed { result, generation } = surveyed;
    // If the log was cut meanwhile, what was found may be there no more.
    let found = result?.filter(|_| generation == log.generation.get());
    Ok(found.map(|(range, index)| {
        log.damage.insert(range);
        log.keep_index(range.segment, index);
        range
    }))
}

impl<D: Disk> fmt::Debug for SurveyJob<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SurveyJob")
            .field("path", &self.path)
            .field("end", &self.end)
            .finish_non_exhaustive()
    }
}
