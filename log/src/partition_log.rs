mod anchor;
mod buffers;
mod flush;
mod inspection;
mod lookup;
mod pending;
mod read;
mod recovery;
mod reframe;
mod reset;
mod resync;
mod retire;
mod rewrite;
mod scrub;
mod survey;
mod torn;
mod truncate;
mod walk;

use std::cell::Cell;
use std::fmt;
use std::path::Path;
use std::rc::Rc;

use bytes::Bytes;
use quorate_batch::BatchHeader;
use quorate_platform::Disk;

use self::pending::{Pending, Roll};
use self::resync::Place;
use self::walk::KnownEpochs;
use crate::damage::{Damage, DamagedRange};
use crate::epoch_history::EpochHistory;
use crate::error::LogError;
use crate::frontier::Frontier;
use crate::producer_table::ProducerTable;
use crate::segment::Segment;
use crate::spares::{Spare, Spares};
use crate::tail::Tail;

pub use flush::{FlushJob, Flushed};
pub use inspection::{
    BatchPiece, DamageKind, DamagedPiece, Ending, Finding, FramePiece, IndexState, Inspection,
    Piece, Plan, Repair, Scope, WrongBytes,
};
pub use lookup::{Found, Lookup, LookupJob};
pub use read::{Read, ReadJob};
pub use recovery::{Inspected, Known, Recovery};
pub use reset::{Reset, ResetJob};
pub use retire::{RetireJob, Retired};
pub use rewrite::{Misfit, RewriteJob, Rewritten};
pub use scrub::{ScrubJob, ScrubPlace, Scrubbed};
pub use survey::{SurveyJob, Surveyed};
pub use truncate::{TruncateJob, Truncated};

/// The sizes of a [`PartitionLog`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// A segment that would grow beyond this is closed and the next one begun. A batch that is
    /// larger has a segment of its own.
    pub segment_bytes_max: u64,
    /// A segment that grows is closed at this size already, if a spare can follow it.
    pub growing_bytes_max: u64,
    /// The newest batches that are kept in memory, in bytes. What is not durable yet is kept
    /// whatever its size: the caller bounds it by not appending.
    pub tail_bytes_max: usize,
    /// A read may have to pass over this many bytes before it finds its offset.
    pub index_step_bytes: u64,
    /// The bytes between two checkpoints of the last segment, and so about the most that opening
    /// has to walk over.
    pub checkpoint_bytes: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            segment_bytes_max: 256 << 20,
            growing_bytes_max: 8 << 20,
            tail_bytes_max: 4 << 20,
            index_step_bytes: 32 << 10,
            checkpoint_bytes: 16 << 20,
        }
    }
}

/// The log of one partition on one node.
///
/// Readers see what was appended at once, durable or not: the caller decides by `until` how far a
/// read may go.
pub struct PartitionLog<D: Disk> {
    disk: D,
    folder: Rc<Path>,
    settings: Settings,
    /// The first offset that can be read; in the first segment, or at its beginning.
    log_start: u64,
    /// All segments but the last, in order.
    closed: Vec<Segment>,
    /// The end of the log in memory; holds the last segment.
    end: Frontier,
    damage: Damage,
    written: Written<D>,
    /// Where files come from that were written in advance.
    spares: Option<Spares<D>>,
    /// The bytes that were written in advance for the last segment; none if it grows.
    room: Option<u64>,
    /// What is appended and not yet part of a flush.
    pending: Pending<D>,
    tail: Tail,
    busy: Busy,
    is_retiring: bool,
    poison: Option<String>,
    /// Counts what takes batches away. A job that reads compares: the bytes may change under it.
    generation: Rc<Cell<u64>>,
    recovery: Recovery,
}

/// How far the disk has got: all of it is durable.
struct Written<D: Disk> {
    /// The file of the segment that is being written, if it is open.
    file: Option<D::File>,
    /// Whether it was written in advance, so that it pays to pass by the page cache.
    is_spare: bool,
    /// The base offset of that segment.
    base_offset: u64,
    /// The bytes of that file that were written.
    bytes: u64,
    /// Those of them that lie in a block that is not full: it is written again with what follows.
    last_block: Bytes,
    /// The bytes of that file that its checkpoint covers.
    checkpoint_bytes: u64,
    /// One past the last offset.
    next_offset: u64,
}

/// The job that has been handed out; there is one at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Busy {
    Idle,
    Flushing,
    Truncating,
    Rewriting,
    Resetting,
}

impl<D: Disk> PartitionLog<D> {
    /// Looks at the log in `folder`, which is created if it is missing, and changes nothing of what
    /// it holds.
    ///
    /// Walks over the batches behind the last checkpoint. What is damaged there is passed over, if
    /// something sound comes behind it; otherwise the end of the log is uncertain, unless it was
    /// torn. Damage before the last checkpoint is found when it is read.
    pub async fn inspect(
        disk: D,
        folder: &Path,
        settings: Settings,
        known: Known,
    ) -> Result<Inspected<D>, LogError> {
        recovery::inspect(disk, folder, settings, known).await
    }

    /// Opens the log in `folder`, of which nothing is known and whose end nobody will ask about.
    pub async fn open(disk: D, folder: &Path, settings: Settings) -> Result<Self, LogError> {
        let inspected = Self::inspect(disk, folder, settings, Known::default()).await?;
        inspected.settle().await
    }

    /// Removes the log in `folder` with all its files, durably. A missing one is fine.
    pub async fn remove(disk: &D, folder: &Path) -> Result<(), LogError> {
        match disk.remove_folder(folder).await {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(LogError::io("remove", folder, error)),
        }
        let Some(parent) = folder.parent() else {
            return Ok(());
        };
        disk.sync_folder(parent)
            .await
            .map_err(|error| LogError::io("sync", parent, error))
    }

    /// Has segments take their files from `spares` from now on.
    pub fn use_spares(&mut self, spares: Spares<D>) {
        self.spares = Some(spares);
    }

    /// One past the last offset that was appended.
    pub fn next_offset(&self) -> u64 {
        self.end.next_offset
    }

    /// One past the last offset that is on stable storage.
    pub fn durable_offset(&self) -> u64 {
        // While the log is being cut, the disk may still hold more than the log.
        self.written.next_offset.min(self.end.next_offset)
    }

    /// The first offset that can be read.
    pub fn log_start_offset(&self) -> u64 {
        self.log_start
    }

    /// Which epochs wrote which offsets, up to [`PartitionLog::next_offset`].
    pub fn epochs(&self) -> &EpochHistory {
        &self.end.epochs
    }

    /// The idempotent producers, up to [`PartitionLog::next_offset`].
    pub fn producers(&self) -> &ProducerTable {
        &self.end.producers
    }

    /// Batches that are known to be damaged, in order. They cannot be read.
    pub fn damaged(&self) -> &[DamagedRange] {
        self.damage.ranges()
    }

    /// Whether [`PartitionLog::producers`] lacks what damaged batches would tell of them.
    pub fn lacks_producers(&self) -> bool {
        self.damage.has_missed()
    }

    /// The bytes of all segments, written or not.
    pub fn bytes(&self) -> u64 {
        let closed: u64 = self.closed.iter().map(|segment| segment.bytes).sum();
        closed + self.end.segment.bytes + self.pending.group_bytes()
    }

    /// Whether anything waits for the next flush.
    pub fn has_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    /// The bytes of the batches in memory.
    pub fn tail_bytes(&self) -> usize {
        self.tail.bytes()
    }

    /// Drops the oldest batches from memory until `bytes_max` are left, except what is not durable.
    pub fn shrink_tail(&mut self, bytes_max: usize) {
        self.tail.shrink(bytes_max, self.written.next_offset);
    }

    /// Closes the file that flushes write to. The next one opens it again.
    pub fn close_file(&mut self) {
        self.written.file = None;
    }

    /// What opening the log found.
    pub fn recovery(&self) -> Recovery {
        self.recovery
    }

    /// Appends one stamped batch, in memory: it can be read at once, and is durable once a flush
    /// that began after this has finished.
    ///
    /// # Panics
    ///
    /// If `batch` is not one batch whose base offset is [`PartitionLog::next_offset`], if its
    /// epoch is lower than the one before, or while the log is being cut: the caller has validated
    /// the batch and stamped it for this place.
    pub fn append(&mut self, batch: Bytes) {
        assert!(
            !matches!(self.busy, Busy::Truncating | Busy::Resetting),
            "nothing is appended to a log that is being cut"
        );
        let header = self
            .end
            .chain()
            .check_header(&batch, batch.len() as u64)
            .unwrap_or_else(|flaw| panic!("a batch that cannot be appended: {flaw}"));
        assert_eq!(
            header.batch_bytes,
            batch.len(),
            "exactly one batch is appended"
        );
        self.append_checked(&header, batch);
    }

    fn append_checked(&mut self, header: &BatchHeader, batch: Bytes) {
        let segment = &self.end.segment;
        let has_batches = segment.base_offset < header.base_offset;
        let group_bytes = self.pending.group_bytes_with(header);
        if has_batches && segment.bytes + group_bytes > self.segment_bytes_max() {
            self.begin_segment(group_bytes);
        } else if self.pending.is_full(header.batch_bytes) {
            self.close_group();
        }
        self.end.accept(header);
        self.tail
            .push(header.base_offset, header.next_offset(), batch.clone());
        self.pending.push(header, batch);
    }

    /// How large the last segment may become. One that grows makes way for a spare, if it has grown
    /// for a while.
    fn segment_bytes_max(&self) -> u64 {
        let Settings {
            segment_bytes_max,
            growing_bytes_max,
            ..
        } = self.settings;
        let has_spare = self.spares.as_ref().is_some_and(Spares::is_ready);
        match self.room {
            Some(room) => room,
            None if has_spare => growing_bytes_max.min(segment_bytes_max),
            None => segment_bytes_max,
        }
    }

    /// Closes the last segment, which is not empty, and begins the next one, which shall take so
    /// many bytes at once.
    fn begin_segment(&mut self, bytes: u64) {
        self.close_group();
        let checkpoint = (!self.damage.has_missed()).then(|| self.end.encode(true));
        self.closed.push(self.end.roll());
        let spares = self.spares.as_ref();
        let spares = spares.filter(|spares| bytes <= spares.bytes());
        let spare = spares.and_then(Spares::take);
        self.room = spare.as_ref().map(Spare::bytes);
        self.pending.roll(Roll {
            checkpoint,
            base_offset: self.end.segment.base_offset,
            spare,
        });
    }

    fn close_group(&mut self) {
        let step_bytes = self.settings.index_step_bytes;
        self.pending.close(&mut self.end, step_bytes);
    }

    /// Takes everything that is pending into a job that makes it durable.
    ///
    /// `None` if nothing is pending or another job is under way: its `finish_…` comes first.
    pub fn begin_flush(&mut self) -> Result<Option<FlushJob<D>>, LogError> {
        self.check_poison()?;
        if self.busy != Busy::Idle || self.pending.is_empty() {
            return Ok(None);
        }
        self.busy = Busy::Flushing;
        let job = FlushJob::new(self);
        if let Some(spares) = &self.spares
            && self.end.segment.bytes >= self.settings.growing_bytes_max / 2
        {
            spares.wish();
        }
        Ok(Some(job))
    }

    /// Takes the outcome of a flush; answers with [`PartitionLog::durable_offset`].
    ///
    /// An error is final: the log is poisoned.
    pub fn finish_flush(&mut self, flushed: Flushed<D>) -> Result<u64, LogError> {
        assert_eq!(self.busy, Busy::Flushing, "a flush is under way");
        self.busy = Busy::Idle;
        self.written = self.poison_on_error(flushed.into_result())?;
        self.shrink_tail(self.settings.tail_bytes_max);
        Ok(self.durable_offset())
    }

    /// Reads whole batches, the first of which holds `from`: as many as fit into `bytes_max`, but
    /// one at least, and none at `until` or above, nor behind damaged ones.
    ///
    /// `until` is the end of a batch, the high watermark say; beyond the end of the log it means
    /// the end. From the end of the log on there is nothing to read, which is not an error, but
    /// behind it and before the start is [`Read::OutOfRange`].
    pub fn begin_read(&self, from: u64, bytes_max: usize, until: u64) -> Read<D> {
        if from < self.log_start_offset() || from > self.next_offset() {
            return Read::OutOfRange;
        }
        if from >= until || from == self.next_offset() {
            return Read::Ready(Vec::new());
        }
        let mut until = until.min(self.next_offset());
        if let Some(range) = self.damage.first_behind(from) {
            if range.from <= from {
                return Read::Damaged(*range);
            }
            until = until.min(range.from);
        }
        match self.tail.read(from, bytes_max, until) {
            Some(batches) => Read::Ready(batches),
            None => Read::Job(ReadJob::new(self, from, bytes_max, until)),
        }
    }

    /// Looks whether the batches from the one at `from` on are still sound on disk, until about
    /// `bytes_max` bytes are looked at, their segment ends, or something damaged is met. `None` if
    /// nothing durable is there, or it is known to be damaged.
    pub fn begin_scrub(&self, from: ScrubPlace, bytes_max: u64) -> Option<ScrubJob<D>> {
        let start = self.log_start_offset();
        let from = if from.offset < start {
            ScrubPlace::at(start)
        } else {
            from
        };
        let known = self.damage.first_behind(from.offset);
        let is_known = known.is_some_and(|range| range.from <= from.offset);
        let is_there = from.offset < self.durable_offset();
        (is_there && !is_known).then(|| ScrubJob::new(self, from, bytes_max))
    }

    /// Looks how far the damage at `offset` reaches, which a read has met.
    pub fn begin_survey(&self, offset: u64) -> SurveyJob<D> {
        SurveyJob::new(self, offset)
    }

    /// Takes the outcome of a survey; answers with the damaged range, from now on one of
    /// [`PartitionLog::damaged`]. `None` if nothing is damaged there (any more).
    pub fn finish_survey(&mut self, surveyed: Surveyed) -> Result<Option<DamagedRange>, LogError> {
        survey::finish(self, surveyed)
    }

    /// Puts `batches` in the place of damaged ones. The job makes that durable.
    ///
    /// They begin where a damaged range begins, and are what stood there: the caller has checked
    /// them. `Err` tells that they do not fit into the bytes that were damaged: then nothing is
    /// written. `Ok(None)` if another job is under way: its `finish_…` comes first.
    pub fn begin_rewrite(&mut self, batches: &[Bytes]) -> Result<Option<RewriteJob<D>>, Misfit> {
        rewrite::begin(self, batches)
    }

    /// Takes the outcome of a rewrite: what was written can be read again.
    ///
    /// An error is final: the log is poisoned.
    pub fn finish_rewrite(&mut self, rewritten: Rewritten) -> Result<(), LogError> {
        assert_eq!(self.busy, Busy::Rewriting, "a rewrite is under way");
        self.busy = Busy::Idle;
        let result = rewrite::finish(self, rewritten);
        self.poison_on_error(result)
    }

    /// Looks for the first record below `until` with a timestamp of `timestamp` or later.
    pub fn begin_lookup(&self, timestamp: i64, until: u64) -> Lookup<D> {
        lookup::begin(self, timestamp, until)
    }

    /// Cuts everything at `to` and above; an end that is lower already stays where it is.
    ///
    /// From here on [`PartitionLog::next_offset`] is `to`, and nothing may be appended before the
    /// job, which makes the cut durable, has finished. `None` if another job is under way: its
    /// `finish_…` comes first.
    pub fn begin_truncate(&mut self, to: u64) -> Result<Option<TruncateJob<D>>, LogError> {
        self.check_poison()?;
        if self.busy != Busy::Idle || self.is_retiring {
            return Ok(None);
        }
        self.busy = Busy::Truncating;
        Ok(Some(TruncateJob::new(self, to)))
    }

    /// Takes the outcome of a truncation; answers with [`PartitionLog::next_offset`].
    ///
    /// What was below the cut but not durable yet is pending again. An error is final: the log is
    /// poisoned. [`LogError::NotABoundary`] says that `to` lies inside of a batch.
    pub fn finish_truncate(&mut self, truncated: Truncated<D>) -> Result<u64, LogError> {
        assert_eq!(self.busy, Busy::Truncating, "a truncation is under way");
        self.busy = Busy::Idle;
        let result = truncate::finish(self, truncated);
        self.poison_on_error(result)?;
        Ok(self.next_offset())
    }

    /// The epochs of the whole log: it has them in memory.
    fn known_epochs(&self) -> KnownEpochs {
        KnownEpochs {
            history: self.end.epochs.clone(),
            end: self.end.next_offset,
            max: u32::MAX,
        }
    }

    fn check_poison(&self) -> Result<(), LogError> {
        match &self.poison {
            Some(first) => Err(LogError::Poisoned {
                first: first.clone(),
            }),
            None => Ok(()),
        }
    }

    fn poison_on_error<T>(&mut self, result: Result<T, LogError>) -> Result<T, LogError> {
        if let Err(error) = &result {
            self.poison = Some(error.to_string());
        }
        result
    }

    /// The bytes of a segment that are on stable storage.
    fn written_bytes(&self, segment: &Segment) -> u64 {
        match segment.base_offset.cmp(&self.written.base_offset) {
            std::cmp::Ordering::Less => segment.bytes,
            std::cmp::Ordering::Equal => self.written.bytes,
            std::cmp::Ordering::Greater => 0,
        }
    }

    /// Where what is durable of a segment ends.
    fn durable_end_of(&self, segment: &Segment) -> Place {
        let mut segments = self.closed.iter().chain([&self.end.segment]);
        let next = segments.find(|other| other.base_offset > segment.base_offset);
        Place {
            offset: next.map_or(self.durable_offset(), |next| next.base_offset),
            position: self.written_bytes(segment),
        }
    }

    /// Where to begin to walk over `segment` in search of `offset`: at the last place before it
    /// that is known and has nothing damaged behind it.
    fn start_of_read(&self, segment: &Segment, offset: u64) -> Place {
        let stretch = segment.index.stretch_of(offset);
        let stretch = stretch.expect("an offset below the end lies in a stretch of its segment");
        let damage = self.damage.last_before(offset);
        let behind = damage
            .filter(|range| range.segment == segment.base_offset && range.to > stretch.offset)
            .and_then(|range| {
                Some(Place {
                    offset: range.to,
                    position: range.end?,
                })
            });
        behind.unwrap_or(stretch.into())
    }

    /// The segment with this base offset, which there is.
    fn segment(&self, base_offset: u64) -> &Segment {
        let mut closed = self.closed.iter();
        let found = closed.find(|segment| segment.base_offset == base_offset);
        found.unwrap_or(&self.end.segment)
    }

    /// One past the last offset that has a place in a segment.
    fn placed_offset(&self) -> u64 {
        let group = self.pending.group_base_offset();
        group.unwrap_or(self.end.next_offset)
    }

    /// The segment that holds `offset`, or would.
    fn segment_of(&self, offset: u64) -> &Segment {
        let behind = self
            .closed
            .partition_point(|segment| segment.base_offset <= offset);
        match behind.checked_sub(1) {
            Some(index) if offset < self.end.segment.base_offset => &self.closed[index],
            _ => &self.end.segment,
        }
    }
}

impl<D: Disk> fmt::Debug for PartitionLog<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PartitionLog")
            .field("folder", &self.folder)
            .field("log_start_offset", &self.log_start_offset())
            .field("durable_offset", &self.durable_offset())
            .field("next_offset", &self.next_offset())
            .field("busy", &self.busy)
            .field("poison", &self.poison)
            .finish_non_exhaustive()
    }
}
