//! What the tests have in common: batches, a folder, and the steps of a job in one.

use std::path::Path;

use bytes::Bytes;
use quorate_batch::{BatchBuilder, BatchHeader, Producer, stamp};
use quorate_platform::{Compio, Disk};
use tempfile::TempDir;

use super::watched_disk::Watched;
use crate::{
    Cleaning, CompactLimits, Compacted, DamagedRange, Known, LogError, Lookup, PartitionLog, Read,
    Settings, Sighting,
};

pub(super) type Log = PartitionLog<Compio>;

/// Small enough that a few batches fill everything.
pub(super) const SMALL: Settings = Settings {
    segment_bytes_max: 1250,
    growing_bytes_max: 1250,
    tail_bytes_max: 300,
    index_step_bytes: 200,
    checkpoint_bytes: 520,
};

/// A folder for tests that open thousands of small logs and cut no power: in memory, where there is
/// room for it, since nothing of them depends on a disk.
pub(super) fn memory_folder() -> TempDir {
    let memory = Path::new("/dev/shm");
    let room = rustix::fs::statvfs(memory).map_or(0, |it| it.f_bavail * it.f_frsize);
    match room >= 1 << 30 {
        true => tempfile::tempdir_in(memory),
        false => tempfile::tempdir(),
    }
    .unwrap()
}

/// A batch of records with these values, each as late as its offset.
pub(super) fn batch(base_offset: u64, epoch: u32, values: &[&str]) -> Bytes {
    batch_of(base_offset, epoch, values, None)
}

pub(super) fn batch_of(
    base_offset: u64,
    epoch: u32,
    values: &[&str],
    producer: Option<Producer>,
) -> Bytes {
    let mut builder = BatchBuilder::new(1 << 20);
    for (at, value) in values.iter().enumerate() {
        let timestamp = base_offset as i64 + at as i64;
        builder
            .push(timestamp, None, Some(value.as_bytes()), &[])
            .unwrap();
    }
    let mut bytes = builder.finish(producer).to_vec();
    stamp(&mut bytes, base_offset, epoch);
    Bytes::from(bytes)
}

/// A batch of records with these keys and values, each as late as its offset; null is a tombstone.
pub(super) fn keyed(base_offset: u64, epoch: u32, records: &[(&str, Option<&str>)]) -> Bytes {
    let mut builder = BatchBuilder::new(1 << 20);
    for ((key, value), timestamp) in records.iter().zip(base_offset as i64..) {
        let value = value.map(str::as_bytes);
        builder
            .push(timestamp, Some(key.as_bytes()), value, &[])
            .unwrap();
    }
    let mut bytes = builder.finish(None).to_vec();
    stamp(&mut bytes, base_offset, epoch);
    Bytes::from(bytes)
}

/// Does a pass over all that is closed, in small steps.
pub(super) async fn compact<D: Disk>(log: &mut PartitionLog<D>, tombstones_below: u64) -> Cleaning {
    const LIMITS: CompactLimits = CompactLimits {
        keys_max: 10_000,
        step_bytes: 500,
    };
    while let Some(job) = log
        .begin_compact(u64::MAX, tombstones_below, LIMITS)
        .unwrap()
    {
        match log.finish_compact(job.run().await).unwrap() {
            Compacted::Unfinished(_) => {}
            Compacted::Finished(cleaning) => return cleaning,
            other @ (Compacted::Damaged(_) | Compacted::Superseded) => panic!("{other:?}"),
        }
    }
    Cleaning::default()
}

/// `count` batches of two records each, from offset 0 on; all of one size.
pub(super) fn batches(count: u64) -> Vec<Bytes> {
    let value = |offset| format!("value {offset:010}");
    let offsets = (0..count).map(|at| 2 * at);
    offsets
        .map(|offset| batch(offset, 1, &[&value(offset), &value(offset + 1)]))
        .collect()
}

pub(super) async fn open(folder: &Path) -> Log {
    try_open(folder).await.unwrap()
}

pub(super) async fn try_open(folder: &Path) -> Result<Log, LogError> {
    PartitionLog::open(Compio, folder, SMALL).await
}

/// What is known of a log that begins there.
pub(super) fn known(log_start_offset: u64, log_start_epoch: u32) -> Known {
    Known {
        log_start_offset,
        log_start_epoch,
        durable_offset: log_start_offset,
        is_old: true,
        ..Known::default()
    }
}

/// The log, and whether its end is uncertain.
pub(super) async fn open_from(folder: &Path, known: Known) -> (PartitionLog<Watched>, bool) {
    let inspected = PartitionLog::inspect(Watched::default(), folder, SMALL, known).await;
    let inspected = inspected.unwrap();
    let is_uncertain = inspected.is_uncertain();
    (inspected.settle().await.unwrap(), is_uncertain)
}

/// A log with these batches, all durable, that has been closed again.
pub(super) async fn write(folder: &Path, batches: &[Bytes]) {
    let mut log = open(folder).await;
    for batch in batches {
        log.append(batch.clone());
        flush(&mut log).await;
    }
}

pub(super) async fn flush<D: Disk>(log: &mut PartitionLog<D>) -> u64 {
    try_flush(log).await.unwrap()
}

pub(super) async fn try_flush<D: Disk>(log: &mut PartitionLog<D>) -> Result<u64, LogError> {
    match log.begin_flush()? {
        Some(job) => log.finish_flush(job.run().await),
        None => Ok(log.durable_offset()),
    }
}

pub(super) async fn truncate<D: Disk>(log: &mut PartitionLog<D>, to: u64) -> u64 {
    let job = log.begin_truncate(to).unwrap().unwrap();
    log.finish_truncate(job.run().await).unwrap()
}

pub(super) async fn read<D: Disk>(
    log: &PartitionLog<D>,
    from: u64,
    bytes_max: usize,
    until: u64,
) -> Result<Vec<Bytes>, LogError> {
    match log.begin_read(from, bytes_max, until) {
        Read::Ready(batches) => Ok(batches),
        Read::Job(job) => job.run().await,
        Read::Damaged(range) => panic!("{range:?} is damaged in {log:?}"),
        Read::OutOfRange => panic!("offset {from} is out of range in {log:?}"),
    }
}

/// Everything that the log holds, read from front to back.
pub(super) async fn read_all<D: Disk>(log: &PartitionLog<D>) -> Result<Vec<Bytes>, LogError> {
    let mut all: Vec<Bytes> = Vec::new();
    let mut from = log.log_start_offset();
    while from < log.next_offset() {
        let batches = read(log, from, 500, u64::MAX).await?;
        from = header(batches.last().expect("a read below the end gives a batch")).next_offset();
        all.extend(batches);
    }
    Ok(all)
}

pub(super) async fn lookup<D: Disk>(
    log: &PartitionLog<D>,
    timestamp: i64,
    until: u64,
) -> Option<(u64, i64)> {
    let mut from = 0;
    loop {
        let looked = look(log, timestamp, from, until).await;
        let looked = looked.unwrap_or_else(|range| panic!("{range:?} is damaged in {log:?}"));
        match looked.unwrap() {
            Sighting::Found(found) => return Some((found.offset, found.timestamp)),
            Sighting::Behind(offset) => {
                assert!(offset > from, "it comes to an end");
                from = offset;
            }
            Sighting::Nothing => return None,
        }
    }
}

/// One look for a time, from an offset on, with the indexes that it takes; the first error is what
/// is known to be damaged.
pub(super) async fn look<D: Disk>(
    log: &PartitionLog<D>,
    timestamp: i64,
    from: u64,
    until: u64,
) -> Result<Result<Sighting, LogError>, DamagedRange> {
    loop {
        match log.begin_lookup(timestamp, from, until) {
            Lookup::Ready(sighting) => return Ok(Ok(sighting)),
            Lookup::Job(job) => return Ok(job.run().await),
            Lookup::Index(job) => job.run().await.unwrap(),
            Lookup::Damaged(range) => return Err(range),
        }
    }
}

/// Where in the bytes of a segment `batch` stands.
pub(super) fn place(segment: &[u8], batch: &[u8]) -> usize {
    let mut places = segment.windows(batch.len());
    places.position(|bytes| bytes == batch).unwrap()
}

/// The bytes of the frame before a batch that was flushed alone.
pub(super) fn frame_len(batch: &[u8]) -> usize {
    crate::frame::frame_bytes(batch.len() as u64) as usize
}

pub(super) fn header(batch: &[u8]) -> BatchHeader {
    BatchHeader::validate(batch).unwrap()
}

/// The names in a folder, sorted.
pub(super) fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// The base offsets of the segments in a folder.
pub(super) fn segments(folder: &Path) -> Vec<u64> {
    let names = names(folder).into_iter();
    names
        .filter_map(|name| name.strip_suffix(".log").map(|stem| stem.parse().unwrap()))
        .collect()
}

pub(super) fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for name in names(from) {
        std::fs::copy(from.join(&name), to.join(&name)).unwrap();
    }
}

/// Reads from front to back, and looks how far damage reaches where it is met. Gives the batches
/// that can be read.
pub(super) async fn read_around<D: Disk>(log: &mut PartitionLog<D>) -> Vec<Bytes> {
    let mut all = Vec::new();
    let mut from = log.log_start_offset();
    while from < log.next_offset() {
        let read = match log.begin_read(from, 500, u64::MAX) {
            Read::Ready(batches) => Ok(batches),
            Read::Job(job) => job.run().await,
            Read::Damaged(range) => {
                from = range.to;
                continue;
            }
            Read::OutOfRange => panic!("offset {from} is out of range in {log:?}"),
        };
        match read {
            Ok(batches) => {
                from = header(batches.last().unwrap()).next_offset();
                all.extend(batches);
            }
            Err(LogError::Damaged { offset, .. }) => {
                let surveyed = log.begin_survey(offset).run().await;
                let range = log.finish_survey(surveyed).unwrap().expect("it is damaged");
                assert!(range.from <= offset && offset < range.to);
            }
            Err(error) => panic!("{error}"),
        }
    }
    all
}
