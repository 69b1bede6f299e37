use std::fmt;
use std::io;
use std::path::PathBuf;

use quorate_platform::{Disk, OpenMode};

use super::PartitionLog;
use super::resync::{self, Place};
use super::walk::{KnownEpochs, batch_at, pass_frames};
use crate::chain::Chain;
use crate::damage::DamagedRange;
use crate::error::LogError;
use crate::segment::batches_path;
use crate::window::Window;

const PIECE_BYTES: usize = 1 << 20;

/// Looks how far damage reaches; see [`PartitionLog::begin_survey`].
///
/// The index knows where sound batches begin, so it reaches no further than to the next of those.
#[must_use = "nothing is found before the job has run"]
pub struct SurveyJob<D: Disk> {
    disk: D,
    path: PathBuf,
    segment: u64,
    /// Where to begin: at or before the damage.
    start: Place,
    /// Where something sound begins, or the log ends.
    bound: Place,
    epochs: KnownEpochs,
    generation: u64,
}

/// The outcome of a [`SurveyJob`], for [`PartitionLog::finish_survey`].
#[derive(Debug)]
#[must_use = "the log does not know of the outcome before it is given to it"]
pub struct Surveyed {
    result: Result<Option<DamagedRange>, LogError>,
    generation: u64,
}

impl<D: Disk> SurveyJob<D> {
    pub(super) fn new(log: &PartitionLog<D>, offset: u64) -> Self {
        let segment = log.segment_of(offset);
        let start = log.start_of_read(segment, offset);
        let end = log.durable_end_of(segment);
        let bound = segment.index.entry_behind(start.position).map(Place::from);
        Self {
            disk: log.disk.clone(),
            path: batches_path(&log.folder, segment.base_offset),
            segment: segment.base_offset,
            start,
            bound: bound
                .filter(|bound| bound.offset < end.offset)
                .unwrap_or(end),
            epochs: log.known_epochs(),
            generation: log.generation.get(),
        }
    }

    /// Reads and compares.
    pub async fn run(self) -> Surveyed {
        let generation = self.generation;
        let result = self.survey().await;
        Surveyed { result, generation }
    }

    async fn survey(self) -> Result<Option<DamagedRange>, LogError> {
        let Self { start, bound, .. } = self;
        let range = |from: Place, to: u64, end: u64| DamagedRange {
            from: from.offset,
            to,
            segment: self.segment,
            position: from.position,
            end: Some(end),
            is_missed: false,
        };
        let file = match self.disk.open(&self.path, OpenMode::Read).await {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Some(range(start, bound.offset, bound.position)));
            }
            Err(source) => return Err(LogError::io("open", &self.path, source)),
        };
        let mut window = Window::new(
            file,
            self.path.clone(),
            self.segment,
            bound.position,
            PIECE_BYTES,
        );
        let mut chain = Chain {
            next_offset: start.offset,
            epoch: 0,
        };
        let mut position = start.position;
        while position < bound.position {
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
                    let sound = resync::find(&mut window, from, chain.epoch, &self.epochs).await?;
                    let (to, end) = match sound {
                        Some(found) => (found.header.base_offset, found.position),
                        None => {
                            let end = bound.position;
                            let end = resync::frame_before(&mut window, from.position, end).await?;
                            (bound.offset, end)
                        }
                    };
                    return Ok(Some(range(from, to, end)));
                }
            }
        }
        Ok(None)
    }
}

pub(super) fn finish<D: Disk>(
    log: &mut PartitionLog<D>,
    surveyed: Surveyed,
) -> Result<Option<DamagedRange>, LogError> {
    let Surveyed { result, generation } = surveyed;
    // If the log was cut meanwhile, what was found may be there no more.
    let found = result?.filter(|_| generation == log.generation.get());
    if let Some(range) = found {
        log.damage.insert(range);
    }
    Ok(found)
}

impl<D: Disk> fmt::Debug for SurveyJob<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SurveyJob")
            .field("path", &self.path)
            .field("start", &self.start)
            .field("bound", &self.bound)
            .finish_non_exhaustive()
    }
}
