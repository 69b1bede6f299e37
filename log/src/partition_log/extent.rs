//! Where in which segment something is to be looked for.
//!
//! The indexes of closed segments are on disk (see [`ClosedSegment`](crate::closed_segment)), so
//! the job that looks reads its index first, unless that is in the cache.

use std::cell::Cell;
use std::fmt;
use std::path::Path;
use std::rc::Rc;

use quorate_platform::Disk;

use super::PartitionLog;
use super::resync::Place;
use super::walk::{self, KnownEpochs};
#[cfg(test)]
use crate::closed_segment::ClosedSegment;
use crate::damage::Damage;
use crate::error::LogError;
use crate::frontier::Frontier;
use crate::index_cache::LogIndexes;
use crate::segment::Segment;
use crate::segment_index::SegmentIndex;

/// A segment, closed or not, as far as it is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Extent {
    pub(super) base_offset: u64,
    /// Where what is durable of it ends.
    pub(super) end: Place,
}

/// The index of a segment.
pub(super) enum Index<D: Disk> {
    AtHand(Rc<SegmentIndex>),
    OnDisk(IndexJob<D>),
}

/// Where to begin to walk over a segment in search of an offset.
pub(super) enum Start<D: Disk> {
    Known(Place),
    /// With the position behind the last batch of the stretch.
    InStretch(Place, u64),
    Sought(Box<Sought<D>>),
}

/// What it takes to find a [`Start`].
pub(super) struct Sought<D: Disk> {
    index: IndexJob<D>,
    offset: u64,
    /// Where the last damage before the offset ends, if that is in the same segment.
    behind: Option<Place>,
}

/// Reads the index of a segment into the cache; see [`Lookup::Index`](super::Lookup::Index).
#[must_use = "nothing is read before the job has run"]
pub struct IndexJob<D: Disk> {
    disk: D,
    folder: Rc<Path>,
    base_offset: u64,
    end: Place,
    epochs: KnownEpochs,
    index_step_bytes: u64,
    indexes: LogIndexes,
    generation: Rc<Cell<u64>>,
    generation_at_begin: u64,
}

impl<D: Disk> PartitionLog<D> {
    /// The base offsets of all segments, in order.
    pub(super) fn base_offsets(&self) -> impl Iterator<Item = u64> {
        let closed = self.closed.iter().map(|segment| segment.base_offset);
        closed.chain([self.end.segment.base_offset])
    }

    #[cfg(test)]
    pub(crate) fn closed_segments(&self) -> &[ClosedSegment] {
        &self.closed
    }

    #[cfg(test)]
    pub(crate) fn segment_index_bytes(&self) -> usize {
        self.end.segment.index.bytes()
    }

    /// The segment that holds `offset`, or would.
    pub(super) fn segment_of(&self, offset: u64) -> Extent {
        let behind = self
            .closed
            .partition_point(|segment| segment.base_offset <= offset);
        match behind.checked_sub(1) {
            Some(at) if offset < self.end.segment.base_offset => self.extent_of_closed(at),
            _ => Extent {
                base_offset: self.end.segment.base_offset,
                end: Place {
                    offset: self.durable_offset(),
                    position: self.written_bytes(self.end.segment.base_offset, u64::MAX),
                },
            },
        }
    }

    pub(super) fn extent_of_closed(&self, at: usize) -> Extent {
        let segment = &self.closed[at];
        let next = self.closed.get(at + 1);
        let offset = next.map_or(self.end.segment.base_offset, |next| next.base_offset);
        Extent {
            base_offset: segment.base_offset,
            end: Place {
                offset,
                position: self.written_bytes(segment.base_offset, segment.bytes),
            },
        }
    }

    /// The bytes of a segment that are on stable storage; `bytes` if it is complete.
    fn written_bytes(&self, base_offset: u64, bytes: u64) -> u64 {
        match base_offset.cmp(&self.written.base_offset) {
            std::cmp::Ordering::Less => bytes,
            std::cmp::Ordering::Equal => self.written.bytes,
            std::cmp::Ordering::Greater => 0,
        }
    }

    /// Where to begin to walk over `segment` in search of `offset`: at the last place before it
    /// that is known and has nothing damaged behind it.
    pub(super) fn start_of_read(&self, segment: Extent, offset: u64) -> Start<D> {
        let damage = self.damage.last_before(offset);
        let behind = damage.filter(|range| range.segment == segment.base_offset);
        let behind = behind.and_then(|range| {
            Some(Place {
                offset: range.to,
                position: range.end?,
            })
        });
        let base_offset = segment.base_offset;
        let start = |index: &SegmentIndex| start_in(index, base_offset, offset, behind);
        match self.with_index(base_offset, start) {
            Some((place, Some(end))) => Start::InStretch(place, end),
            Some((place, None)) => Start::Known(place),
            None => Start::Sought(Box::new(Sought {
                index: self.index_job(segment),
                offset,
                behind,
            })),
        }
    }

    /// What `look` finds in the index of a segment; `None` if that has to be read first.
    pub(super) fn with_index<T>(
        &self,
        base_offset: u64,
        look: impl FnOnce(&SegmentIndex) -> T,
    ) -> Option<T> {
        match self.index_in_memory(base_offset) {
            Some(index) => Some(look(index)),
            None => self.indexes.get(base_offset).map(|index| look(&index)),
        }
    }

    /// The index of a segment, whether it is in memory or not.
    pub(super) fn index_of(&self, segment: Extent) -> Index<D> {
        let base_offset = segment.base_offset;
        if base_offset == self.end.segment.base_offset {
            return Index::AtHand(Rc::new(self.end.segment.index.clone()));
        }
        let closed = self.closed_at(base_offset);
        let at_hand = closed.and_then(|at| self.closed[at].index().cloned());
        match at_hand.or_else(|| self.indexes.get(base_offset)) {
            Some(index) => Index::AtHand(index),
            None => Index::OnDisk(self.index_job(segment)),
        }
    }

    /// The index of a segment, if it has to be in memory.
    pub(super) fn index_in_memory(&self, base_offset: u64) -> Option<&SegmentIndex> {
        if base_offset == self.end.segment.base_offset {
            return Some(&self.end.segment.index);
        }
        let at = self.closed_at(base_offset)?;
        self.closed[at].index().map(Rc::as_ref)
    }

    /// Has the index of a segment stay in memory, since something is damaged there.
    pub(super) fn keep_index(&mut self, base_offset: u64, index: Rc<SegmentIndex>) {
        if let Some(at) = self.closed_at(base_offset) {
            self.closed[at].keep(index);
        }
    }

    /// The place among the closed segments of the one with this base offset.
    pub(super) fn closed_at(&self, base_offset: u64) -> Option<usize> {
        let closed = &self.closed;
        closed
            .binary_search_by_key(&base_offset, |segment| segment.base_offset)
            .ok()
    }

    /// The index files of the segments that were closed are written: what they hold need not stay
    /// in memory.
    pub(super) fn leave_indexes_to_files(&mut self) {
        let written = self.written.base_offset;
        let behind = self
            .closed
            .partition_point(|segment| segment.base_offset < written);
        let closed = self.closed[..behind].iter_mut().rev();
        for segment in closed.take_while(|segment| segment.index().is_some()) {
            if let Some(index) = segment.on_written() {
                self.indexes.insert(segment.base_offset, index);
            }
        }
    }

    pub(super) fn index_job(&self, segment: Extent) -> IndexJob<D> {
        IndexJob {
            disk: self.disk.clone(),
            folder: self.folder.clone(),
            base_offset: segment.base_offset,
            end: segment.end,
            epochs: self.known_epochs(),
            index_step_bytes: self.settings.index_step_bytes,
            indexes: self.indexes.clone(),
            generation: self.generation.clone(),
            generation_at_begin: self.generation.get(),
        }
    }
}

/// Where to begin to look for `offset` in the segment of `index`, and where its stretch ends.
fn start_in(
    index: &SegmentIndex,
    base_offset: u64,
    offset: u64,
    behind: Option<Place>,
) -> (Place, Option<u64>) {
    let stretch = index.stretch_of(offset);
    // One that was derived anew from a file with damage may begin later.
    let first = Place {
        offset: base_offset,
        position: 0,
    };
    let stretch = stretch.map_or(first, Place::from);
    let place = behind
        .filter(|behind| behind.offset > stretch.offset)
        .unwrap_or(stretch);
    let next = index.entry_behind(place.position);
    (place, next.map(|next| next.position))
}

impl<D: Disk> Start<D> {
    /// The place. Reads the index, if it takes that.
    pub(super) async fn find(self) -> Result<Place, LogError> {
        self.find_stretch().await.map(|(place, _)| place)
    }

    /// The same, and where the stretch ends, if it has an end that is known.
    pub(super) async fn find_stretch(self) -> Result<(Place, Option<u64>), LogError> {
        let sought = match self {
            Self::Known(place) => return Ok((place, None)),
            Self::InStretch(place, end) => return Ok((place, Some(end))),
            Self::Sought(sought) => sought,
        };
        let base_offset = sought.index.base_offset;
        let index = sought.index.read().await?;
        Ok(start_in(&index, base_offset, sought.offset, sought.behind))
    }
}

impl<D: Disk> Index<D> {
    /// Reads the index, unless it is at hand.
    pub(super) async fn get(self) -> Result<Rc<SegmentIndex>, LogError> {
        match self {
            Self::AtHand(index) => Ok(index),
            Self::OnDisk(job) => job.read().await,
        }
    }
}

impl<D: Disk> IndexJob<D> {
    /// Reads the index file. What that lacks is derived from the batches once more: the file may
    /// have been damaged since the log was opened.
    pub async fn run(self) -> Result<(), LogError> {
        self.read().await.map(|_| ())
    }

    async fn read(self) -> Result<Rc<SegmentIndex>, LogError> {
        let Self {
            disk,
            folder,
            base_offset,
            end,
            epochs,
            index_step_bytes: step_bytes,
            indexes,
            generation,
            generation_at_begin,
        } = self;
        let index = read_index(&disk, &folder, base_offset, end, &epochs, step_bytes).await?;
        // If the log was cut meanwhile, the segment may be another one.
        if generation.get() == generation_at_begin {
            indexes.insert(base_offset, Rc::clone(&index));
        }
        Ok(index)
    }
}

impl<D: Disk> fmt::Debug for IndexJob<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IndexJob")
            .field("folder", &self.folder)
            .field("base_offset", &self.base_offset)
            .finish_non_exhaustive()
    }
}

/// The index of the segment that begins at `base_offset` and ends at `end`.
pub(super) async fn read_index<D: Disk>(
    disk: &D,
    folder: &Path,
    base_offset: u64,
    end: Place,
    epochs: &KnownEpochs,
    step_bytes: u64,
) -> Result<Rc<SegmentIndex>, LogError> {
    let checkpoint = walk::read_checkpoint(disk, folder, base_offset).await?;
    let is_of_it = |frontier: &Frontier| {
        frontier.next_offset <= end.offset && frontier.segment.bytes <= end.position
    };
    let frontier = checkpoint.map(|checkpoint| checkpoint.frontier);
    let mut frontier = frontier
        .filter(is_of_it)
        .unwrap_or_else(|| Frontier::new(base_offset));
    if frontier.next_offset < end.offset {
        let mut window = walk::open_window(disk, folder, base_offset).await?;
        let mut damage = Damage::default();
        let (to, damage) = (end.offset, &mut damage);
        walk::walk_over(&mut window, &mut frontier, to, epochs, step_bytes, damage).await?;
    }
    if frontier.next_offset < end.offset {
        let Segment { index, bytes, .. } = &mut frontier.segment;
        index.pass_over(frontier.next_offset, end.offset, *bytes);
    }
    Ok(Rc::new(frontier.segment.index))
}
