use std::fmt;

use bytes::Bytes;
use quorate_batch::{BatchHeader, records};
use quorate_platform::Disk;

use super::{IndexJob, PartitionLog, Read, ReadJob};
use crate::LogError;
use crate::closed_segment::ClosedSegment;
use crate::damage::DamagedRange;
use crate::segment_index::SegmentIndex;

/// A record that was looked for by time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// The record's offset. If its batch is compressed: the first offset of the batch.
    pub offset: u64,
    /// The record's timestamp. If its batch is compressed: the greatest of the batch.
    pub timestamp: i64,
}

/// What a look into some batches has given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sighting {
    /// The record.
    Found(Found),
    /// It is not before this offset: ask again from there on. Compaction has taken out what was
    /// late enough, or what could not be read can be read again.
    Behind(u64),
    /// There is none.
    Nothing,
}

/// The answer to [`PartitionLog::begin_lookup`].
#[derive(Debug)]
pub enum Lookup<D: Disk> {
    /// What is known already.
    Ready(Sighting),
    /// It takes a look at the disk: run the job.
    Job(LookupJob<D>),
    /// It takes an index that is on disk: run the job, and ask again.
    Index(IndexJob<D>),
    /// The record may be among those that are damaged, as is known.
    Damaged(DamagedRange),
}

/// Looks for a record on disk; see [`PartitionLog::begin_lookup`].
#[must_use = "nothing is found before the job has run"]
pub struct LookupJob<D: Disk> {
    read: ReadJob<D>,
    /// Batches of the same stretch that are still in memory only.
    rest: Vec<Bytes>,
    timestamp: i64,
    /// Where the stretch ends, or what may be found.
    end: End,
}

/// Up to where a look goes.
#[derive(Clone, Copy, Debug)]
struct End {
    offset: u64,
    /// Whether nothing behind it may be found.
    is_last: bool,
}

/// A run of batches that one stretch of an index stands for.
struct Stretch {
    offset: u64,
    next_offset: u64,
    bytes: u64,
}

pub(super) fn begin<D: Disk>(
    log: &PartitionLog<D>,
    timestamp: i64,
    from: u64,
    until: u64,
) -> Lookup<D> {
    let stretch = match stretch_since(log, timestamp, from.max(log.log_start)) {
        Ok(Some(stretch)) => stretch,
        Ok(None) => {
            // Batches that have no place yet are in no index.
            let found = find(log.pending.group(), timestamp);
            let found = found.filter(|found| found.offset < until);
            return Lookup::Ready(found.map_or(Sighting::Nothing, Sighting::Found));
        }
        Err(index) => return Lookup::Index(index),
    };
    let end = End {
        offset: stretch.next_offset.min(until),
        is_last: until <= stretch.next_offset,
    };
    let until = end.offset;
    if let Some(range) = log.damage.first_behind(stretch.offset)
        && range.from < until
    {
        return Lookup::Damaged(*range);
    }
    let bytes_max = usize::try_from(stretch.bytes).unwrap_or(usize::MAX);
    match log.begin_read(stretch.offset, bytes_max, until) {
        Read::Ready(batches) => Lookup::Ready(end.sighting(&batches, timestamp)),
        Read::Job(read) => {
            let durable = log.durable_offset();
            let rest = if durable < until {
                log.tail.read(durable, bytes_max, until)
            } else {
                None
            };
            let rest = rest.unwrap_or_default();
            Lookup::Job(LookupJob {
                read,
                rest,
                timestamp,
                end,
            })
        }
        Read::Damaged(range) => Lookup::Damaged(range),
        Read::OutOfRange => Lookup::Ready(Sighting::Nothing),
    }
}

/// The first stretch that reaches beyond `from` and has, or may have, a record of `timestamp` or
/// later; what has to be read to find it is the error.
fn stretch_since<D: Disk>(
    log: &PartitionLog<D>,
    timestamp: i64,
    from: u64,
) -> Result<Option<Stretch>, IndexJob<D>> {
    let mut segments = log.base_offsets().zip(0..).peekable();
    while let Some((base_offset, at)) = segments.next() {
        let next = segments.peek().map(|(next, _)| *next);
        if next.is_some_and(|next| next <= from) {
            continue;
        }
        let closed = log.closed.get(at).map(ClosedSegment::span);
        let span = closed.unwrap_or_else(|| log.end.segment.span());
        let is_complete = log.index_in_memory(base_offset);
        let is_complete = is_complete.is_none_or(|index| index.is_complete_from(from));
        if is_complete && span.newest.is_none_or(|newest| newest < timestamp) {
            continue;
        }
        let since = |index: &SegmentIndex| index.stretch_since(timestamp, from);
        let Some(found) = log.with_index(base_offset, since) else {
            return Err(log.index_job(log.extent_of_closed(at)));
        };
        let Some((first, behind)) = found else {
            continue;
        };
        let segment_end = next.unwrap_or(log.placed_offset());
        let next_offset = behind.map_or(segment_end, |behind| behind.offset);
        if next_offset <= from {
            continue;
        }
        let end = behind.map_or(span.bytes, |behind| behind.position);
        return Ok(Some(Stretch {
            offset: first.offset.max(from),
            next_offset,
            bytes: end - first.position,
        }));
    }
    Ok(None)
}

/// The first record of `timestamp` or later in `batches`.
fn find(batches: &[Bytes], timestamp: i64) -> Option<Found> {
    batches.iter().find_map(|batch| {
        let header = BatchHeader::parse(batch).ok()?;
        if header.max_timestamp < timestamp {
            return None;
        }
        let mut records = records(batch).into_iter().flatten().map_while(Result::ok);
        let record = records.find(|record| record.timestamp >= timestamp);
        let is_whole = header.records_count > header.last_offset_delta;
        match record {
            Some(record) => Some(Found {
                offset: record.offset,
                timestamp: record.timestamp,
            }),
            // Records that cannot be looked into stand for themselves as a batch.
            None if is_whole => Some(Found {
                offset: header.base_offset,
                timestamp: header.max_timestamp,
            }),
            None => None,
        }
    })
}

/// The offset behind the last one of `batches`.
fn next_offset(batches: &[Bytes]) -> Option<u64> {
    let header = BatchHeader::parse(batches.last()?).ok();
    header.map(|header| header.next_offset())
}

impl End {
    /// What is in `batches`, which begin where the look does.
    fn sighting(self, batches: &[Bytes], timestamp: i64) -> Sighting {
        match (find(batches, timestamp), next_offset(batches)) {
            (Some(found), _) => Sighting::Found(found),
            // A read ends before what it cannot read: that is where to look next.
            (None, Some(reached)) if reached < self.offset => Sighting::Behind(reached),
            (None, _) if self.is_last => Sighting::Nothing,
            (None, _) => Sighting::Behind(self.offset),
        }
    }
}

impl<D: Disk> LookupJob<D> {
    /// Looks, on disk first. [`LogError::Superseded`] if the log was cut meanwhile.
    pub async fn run(self) -> Result<Sighting, LogError> {
        let Self {
            read,
            rest,
            timestamp,
            end,
        } = self;
        let mut batches = read.run().await?;
        let goes_on = |batch: &Bytes| {
            let header = BatchHeader::parse(batch).ok();
            header.map(|header| header.base_offset) == next_offset(&batches)
        };
        if rest.first().is_some_and(goes_on) {
            batches.extend(rest);
        }
        Ok(end.sighting(&batches, timestamp))
    }
}

impl<D: Disk> fmt::Debug for LookupJob<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LookupJob")
            .field("read", &self.read)
            .field("timestamp", &self.timestamp)
            .finish_non_exhaustive()
    }
}
