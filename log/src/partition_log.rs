mod flush;
mod lookup;
mod read;
mod recovery;
mod truncate;
mod walk;

use std::cell::Cell;
use std::fmt;
use std::path::Path;
use std::rc::Rc;

use bytes::Bytes;
use quorate_batch::BatchHeader;
use quorate_platform::Disk;

use crate::epoch_history::EpochHistory;
use crate::error::LogError;
use crate::frontier::Frontier;
use crate::producer_table::ProducerTable;
use crate::segment::Segment;
use crate::tail::Tail;

pub use flush::{FlushJob, Flushed};
pub use lookup::{Found, Lookup, LookupJob};
pub use read::{Read, ReadJob};
pub use recovery::Recovery;
pub use truncate::{TruncateJob, Truncated};

/// The sizes of a [`PartitionLog`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// A segment that would grow beyond this is closed and the next one begun. A batch that is
    /// larger has a segment of its own.
    pub segment_bytes_max: u64,
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
    /// All segments but the last, in order.
    closed: Vec<Segment>,
    /// The end of the log in memory; holds the last segment.
    end: Frontier,
    written: Written<D>,
    /// What is appended and not yet part of a flush.
    pending: Vec<Pending>,
    tail: Tail,
    busy: Busy,
    poison: Option<String>,
    /// Counts the truncations. A job that reads compares, for the bytes may change under it.
    generation: Rc<Cell<u64>>,
    recovery: Recovery,
}

/// How far the disk has got: all of it is durable.
struct Written<D: Disk> {
    /// The file of the segment that is being written.
    file: D::File,
    base_offset: u64,
    /// The bytes of that file.
    bytes: u64,
    /// The bytes of that file that its checkpoint covers.
    checkpoint_bytes: u64,
    /// One past the last offset.
    next_offset: u64,
}

/// One step of the next flush.
enum Pending {
    Batch(Bytes),
    /// The segment is complete: checkpoint it, and go on in the one of this base offset.
    Roll {
        checkpoint: Vec<u8>,
        base_offset: u64,
    },
}

/// The job that has been handed out; there is one at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Busy {
    Idle,
    Flushing,
    Truncating,
}

impl<D: Disk> PartitionLog<D> {
    /// Opens the log in `folder`, which is created if it is missing.
    ///
    /// Walks over the batches behind the last checkpoint, cuts off the remains of an interrupted
    /// write, and makes durable what it found: [`PartitionLog::recovery`] says what that was.
    /// Fails with [`LogError::Damaged`] if batches that were durable are damaged or missing.
    pub async fn open(disk: D, folder: &Path, settings: Settings) -> Result<Self, LogError> {
        recovery::open(disk, folder, settings).await
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
        self.closed.first().unwrap_or(&self.end.segment).base_offset
    }

    /// Which epochs wrote which offsets, up to [`PartitionLog::next_offset`].
    pub fn epochs(&self) -> &EpochHistory {
        &self.end.epochs
    }

    /// The idempotent producers, up to [`PartitionLog::next_offset`].
    pub fn producers(&self) -> &ProducerTable {
        &self.end.producers
    }

    /// The bytes of all batches, written or not.
    pub fn bytes(&self) -> u64 {
        let closed: u64 = self.closed.iter().map(|segment| segment.bytes).sum();
        closed + self.end.segment.bytes
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
        assert_ne!(
            self.busy,
            Busy::Truncating,
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
        let segment_bytes = segment.bytes + header.batch_bytes as u64;
        if segment.bytes > 0 && segment_bytes > self.settings.segment_bytes_max {
            let checkpoint = self.end.encode();
            self.closed.push(self.end.roll());
            let base_offset = header.base_offset;
            self.pending.push(Pending::Roll {
                checkpoint,
                base_offset,
            });
        }
        self.end.follow(header, self.settings.index_step_bytes);
        self.tail
            .push(header.base_offset, header.next_offset(), batch.clone());
        self.pending.push(Pending::Batch(batch));
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
        Ok(Some(FlushJob::new(self)))
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
    /// one at least, and none at `until` or above.
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
        let until = until.min(self.next_offset());
        match self.tail.read(from, bytes_max, until) {
            Some(batches) => Read::Ready(batches),
            None => Read::Job(ReadJob::new(self, from, bytes_max, until)),
        }
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
        if self.busy != Busy::Idle {
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
