use std::fmt;

use bytes::Bytes;
use quorate_batch::{BatchHeader, records};
use quorate_platform::Disk;

use super::{PartitionLog, Read, ReadJob};
use crate::LogError;
use crate::damage::DamagedRange;
use crate::segment::Segment;

/// A record that was looked for by time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// The record's offset. If its batch is compressed: the first offset of the batch.
    pub offset: u64,
    /// The record's timestamp. If its batch is compressed: the greatest of the batch.
    pub timestamp: i64,
}

/// The answer to [`PartitionLog::begin_lookup`].
#[derive(Debug)]
pub enum Lookup<D: Disk> {
    /// The record, or that there is none.
    Ready(Option<Found>),
    /// It takes a look at the disk: run the job.
    Job(LookupJob<D>),
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
}

/// A run of batches that one stretch of an index stands for.
struct Stretch {
    offset: u64,
    next_offset: u64,
    bytes: u64,
}

pub(super) fn begin<D: Disk>(log: &PartitionLog<D>, timestamp: i64, until: u64) -> Lookup<D> {
    let Some(stretch) = stretch_since(log, timestamp) else {
        // Batches that have no place yet are in no index.
        let found = find(log.pending.group(), timestamp);
        return Lookup::Ready(found.filter(|found| found.offset < until));
    };
    let until = stretch.next_offset.min(until);
    if let Some(range) = log.damage.first_behind(stretch.offset)
        && range.from < until
    {
        return Lookup::Damaged(*range);
    }
    let bytes_max = usize::try_from(stretch.bytes).unwrap_or(usize::MAX);
    match log.begin_read(stretch.offset, bytes_max, until) {
        Read::Ready(batches) => Lookup::Ready(find(&batches, timestamp)),
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
            })
        }
        Read::Damaged(range) => Lookup::Damaged(range),
        Read::OutOfRange => Lookup::Ready(None),
    }
}

fn stretch_since<D: Disk>(log: &PartitionLog<D>, timestamp: i64) -> Option<Stretch> {
    let mut segments = log.closed.iter().chain([&log.end.segment]).peekable();
    while let Some(segment) = segments.next() {
        let is_expired = |next: &&Segment| next.base_offset <= log.log_start;
        if segments
            .peek()
            .copied()
            .is_some_and(|next| is_expired(&next))
        {
            continue;
        }
        let Some((first, behind)) = segment.index.stretch_since(timestamp, log.log_start) else {
            continue;
        };
        let segment_end = segments
            .peek()
            .map_or(log.placed_offset(), |next| next.base_offset);
        let end = behind.map_or(segment.bytes, |behind| behind.position);
        return Some(Stretch {
            offset: first.offset.max(log.log_start),
            next_offset: behind.map_or(segment_end, |behind| behind.offset),
            bytes: end - first.position,
        });
    }
    None
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
        // Records that cannot be looked into stand for themselves as a batch.
        Some(record.map_or(
            Found {
                offset: header.base_offset,
                timestamp: header.max_timestamp,
            },
            |record| Found {
                offset: record.offset,
                timestamp: record.timestamp,
            },
        ))
    })
}

impl<D: Disk> LookupJob<D> {
    /// Looks, on disk first. [`LogError::Superseded`] if the log was cut meanwhile.
    pub async fn run(self) -> Result<Option<Found>, LogError> {
        let Self {
            read,
            rest,
            timestamp,
        } = self;
        let mut batches = read.run().await?;
        batches.extend(rest);
        Ok(find(&batches, timestamp))
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
