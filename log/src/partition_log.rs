mod anchor;
mod compact;
mod extent;
mod flush;
mod image;
mod inspection;
mod lookup;
mod pending;
mod producers;
mod read;
mod recovery;
mod reframe;
mod replacement;
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

use self::compact::Compaction;
use self::pending::{Pending, Roll};
use self::walk::KnownEpochs;
use crate::closed_segment::ClosedSegment;
use crate::damage::{Damage, DamagedRange};
use crate::epoch_history::EpochHistory;
use crate::error::LogError;
use crate::frontier::Frontier;
use crate::index_cache::{IndexCache, LogIndexes};
use crate::readers::{LogReaders, Readers};
use crate::spares::{Spare, Spares};
use crate::tail::Tail;

pub use compact::{Cleaning, CompactJob, CompactLimits, CompactStep, Compacted};
pub use extent::IndexJob;
pub use flush::{FlushJob, Flushed};
pub use inspection::{
    BatchPiece, DamageKind, DamagedPiece, Ending, Finding, FramePiece, IndexState, Inspection,
    Piece, Plan, Repair, Scope, WrongBytes,
};
pub use lookup::{Found, Lookup, LookupJob, Sighting};
pub use read::{Read, ReadJob};
pub use recovery::{Inspected, Known, Recovery};
pub use reframe::{BrokenFrames, ReframeJob, Reframed};
pub use reset::{Reset, ResetJob};
pub use retire::{RetireJob, Retired};
pub use rewrite::{Misfit, RewriteJob, Rewriting, Rewritten};
pub use scrub::{ScrubJob, ScrubPlace, Scrubbed};
pub use survey::{SurveyJob, Surveyed};
pub use truncate::{TruncateJob, Truncated};

/// What an idle log keeps in memory of the index of its last segment, in bytes: that of about
/// 8 MiB.
const RESTING_INDEX_BYTES_MAX: usize = 8 << 10;

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
    closed: Vec<ClosedSegment>,
    /// The indexes of those that were used lately.
    indexes: LogIndexes,
    readers: Rc<LogReaders<D>>,
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
    /// Something is known that the next flush is to keep.
    is_checkpoint_due: bool,
    busy: Busy,
    is_retiring: bool,
    compaction: Compaction<D>,
    poison: Option<String>,
    /// Counts what changes bytes that were readable. A job that reads compares.
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

    /// Has the indexes of closed segments kept in `cache` from now on, with those of other logs.
    pub fn use_indexes(&mut self, cache: &IndexCache) {
        self.indexes = cache.of_new_log();
    }

    /// Has those who read old batches noted in `readers` from now on, with those of other logs.
    pub fn use_readers(&mut self, readers: &Readers<D>) {
        self.readers = readers.of_new_log();
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

    /// Batches that are known to be damaged, in order. They cannot be read.
    pub fn damaged(&self) -> &[DamagedRange] {
        self.damage.ranges()
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

    /// Gives up what only serves those who write and read the newest records: they are not expected
    /// any time soon.
    ///
    /// A segment that was written in advance, or has a large index, is closed, if nothing waits for
    /// a flush; the next flush makes that durable.
    pub fn rest(&mut self) {
        self.shrink_tail(0);
        self.close_file();
        self.readers.clear();
        let is_costly =
            self.room.is_some() || self.end.segment.index.bytes() > RESTING_INDEX_BYTES_MAX;
        if is_costly && self.busy == Busy::Idle && self.pending.is_empty() {
            self.roll();
        }
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
            !self.is_being_cut(),
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

    /// Whether the end of the log is not known before a job has finished.
    fn is_being_cut(&self) -> bool {
        matches!(self.busy, Busy::Truncating | Busy::Resetting)
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
        let spares = self.spares.as_ref();
        let spares = spares.filter(|spares| bytes <= spares.bytes());
        let spare = spares.and_then(Spares::take);
        self.begin_segment_in(spare);
    }

    /// The same, in this file; in one that grows if there is none.
    fn begin_segment_in(&mut self, spare: Option<Spare<D>>) {
        self.close_group();
        let checkpoint = (!self.damage.has_missed()).then(|| self.end.encode(true));
        let closed = match checkpoint {
            Some(_) if !self.damage.is_in(self.end.segment.base_offset) => ClosedSegment::unwritten,
            Some(_) | None => ClosedSegment::in_memory,
        };
        self.closed.push(closed(self.end.roll()));
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
        self.leave_indexes_to_files();
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
    /// They begin where a damaged range begins, and are what stood there, compacted more or less:
    /// the caller has checked them. If they do not fit into the bytes that were damaged, the
    /// segment is written anew. `Err` tells that they do not belong there: then nothing is written.
    /// `Ok(None)` if another job is under way: its `finish_…` comes first.
    pub fn begin_rewrite(&mut self, batches: &[Bytes]) -> Result<Option<RewriteJob<D>>, Misfit> {
        rewrite::begin(self, batches)
    }

    /// Takes the outcome of a rewrite: what was written can be read again, or there is another job
    /// that has to run first.
    ///
    /// An error is final: the log is poisoned.
    pub fn finish_rewrite(&mut self, rewritten: Rewritten<D>) -> Result<Rewriting<D>, LogError> {
        assert_eq!(self.busy, Busy::Rewriting, "a rewrite is under way");
        // Whoever reads meanwhile may have read what was damaged.
        self.change_generation();
        let result = rewrite::finish(self, rewritten);
        let rewriting = self.poison_on_error(result)?;
        self.busy = match rewriting {
            Rewriting::Done(_) => Busy::Idle,
            Rewriting::Next(_) => Busy::Rewriting,
        };
        Ok(rewriting)
    }

    /// Looks for the first record from `from` up to `until` with a timestamp of `timestamp` or
    /// later.
    ///
    /// `from` is 0, or where an earlier look has ended with [`Sighting::Behind`].
    pub fn begin_lookup(&self, timestamp: i64, from: u64, until: u64) -> Lookup<D> {
        lookup::begin(self, timestamp, from, until)
    }

    /// Cuts everything at `to` and above; an end that is lower already stays where it is.
    ///
    /// From here on [`PartitionLog::next_offset`] is `to`, and nothing may be appended before the
    /// job, which makes the cut durable, has finished. `None` if another job is under way: its
    /// `finish_…` comes first.
    pub fn begin_truncate(&mut self, to: u64) -> Result<Option<TruncateJob<D>>, LogError> {
        self.check_poison()?;
        if self.busy != Busy::Idle || self.is_retiring || self.is_replacing() {
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

    /// The file of a segment, if it is open.
    fn open_file_of(&self, base_offset: u64) -> Option<D::File> {
        let written = self.written.file.clone();
        let written = written.filter(|_| base_offset == self.written.base_offset);
        written.or_else(|| self.compaction.file_of(base_offset))
    }

    /// Has jobs that read begin again, since the bytes may have changed under them.
    fn change_generation(&self) {
        self.generation.set(self.generation.get() + 1);
        self.readers.clear();
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

    /// One past the last offset that has a place in a segment.
    fn placed_offset(&self) -> u64 {
        let group = self.pending.group_base_offset();
        group.unwrap_or(self.end.next_offset)
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
