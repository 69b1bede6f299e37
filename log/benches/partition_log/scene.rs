//! What the tables have in common: where they write, how long they measure, and a log to measure.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bytes::Bytes;
use compio::driver::ProactorBuilder;
use compio::runtime::{Runtime, RuntimeBuilder};
use quorate_batch::{BatchBuilder, BatchHeader, stamp};
use quorate_log::{PartitionLog, Read, Settings, Spares};
use quorate_platform::Compio;
use rustix::fs::Advice;
use tempfile::TempDir;

use crate::options::Options;

pub(crate) struct Scene {
    folder: TempDir,
    pub(crate) is_quick: bool,
    pub(crate) gigabytes: f64,
    pub(crate) bytes: Option<usize>,
}

impl Scene {
    pub(crate) fn new(options: &Options) -> Self {
        let folder = options.data_dir.clone();
        let folder = folder.unwrap_or_else(|| PathBuf::from(env!("CARGO_TARGET_TMPDIR")));
        let mut builder = tempfile::Builder::new();
        builder.prefix("partition-log-");
        let default = if options.quick { 0.2 } else { 1.0 };
        Self {
            folder: builder.tempdir_in(folder).unwrap(),
            is_quick: options.quick,
            gigabytes: options.gigabytes.unwrap_or(default),
            bytes: options.bytes,
        }
    }

    pub(crate) fn description(&self) -> String {
        let system = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let cores = std::thread::available_parallelism().map_or(0, usize::from);
        let file_system = match rustix::fs::statfs(self.folder.path()).unwrap().f_type {
            0xef53 => "ext4".to_owned(),
            0x5846_5342 => "xfs".to_owned(),
            0x9123_683e => "btrfs".to_owned(),
            0x0102_1994 => "tmpfs, where no figure is worth anything".to_owned(),
            other => format!("{other:#x}"),
        };
        format!(
            "Linux {}, {cores} cores, in {} ({file_system})\n\
             Times are medians of all operations; rates are medians of the rounds.",
            system.trim(),
            self.folder.path().display(),
        )
    }

    /// A new, empty folder. What was in the folders before is gone.
    pub(crate) fn clear(&self) -> &Path {
        for entry in std::fs::read_dir(self.folder.path()).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => std::fs::remove_dir_all(path).unwrap(),
                false => std::fs::remove_file(path).unwrap(),
            }
        }
        self.folder.path()
    }

    /// Those of the `sizes` of appends that are to be measured.
    pub(crate) fn chosen(&self, sizes: &[usize]) -> Vec<usize> {
        match self.bytes {
            Some(bytes) => vec![bytes],
            None => sizes.to_vec(),
        }
    }

    /// How often the variants of a table take turns.
    pub(crate) fn rounds(&self) -> usize {
        if self.is_quick { 3 } else { 7 }
    }

    /// How long a turn lasts.
    pub(crate) fn turn(&self) -> Duration {
        Duration::from_millis(if self.is_quick { 20 } else { 150 })
    }
}

/// A runtime as a shard has it.
pub(crate) fn runtime() -> Runtime {
    let mut proactor = ProactorBuilder::new();
    proactor
        .capacity(1024)
        .single_issuer(true)
        .defer_taskrun(true);
    RuntimeBuilder::new()
        .with_proactor(proactor)
        .build()
        .unwrap()
}

/// A batch of one record, of exactly `len` bytes or hardly less.
pub(crate) fn batch(len: usize, timestamp: i64) -> Bytes {
    batch_of(len, 1, timestamp)
}

/// A batch of `records` of the same size, of exactly `len` bytes or hardly less.
pub(crate) fn batch_of(len: usize, records: usize, timestamp: i64) -> Bytes {
    let value: Vec<u8> = (0..len).map(|at| (at % 251) as u8).collect();
    let empty = BatchBuilder::new(len);
    let record_bytes = |value_len: usize| {
        let value = Some(&value[..value_len]);
        empty.bytes_with(timestamp, None, value, &[]) - empty.bytes()
    };
    let room = (len - empty.bytes()) / records;
    let mut value_len = room;
    while record_bytes(value_len) > room {
        value_len -= 1;
    }
    loop {
        let mut builder = empty.clone();
        let value = Some(&value[..value_len]);
        if (0..records).all(|_| builder.push(timestamp, None, value, &[]).is_ok()) {
            return builder.finish(None);
        }
        // Later records take a byte more.
        value_len -= 1;
    }
}

/// Files that are written in advance: how many are kept, and of what size.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SpareFiles {
    pub(crate) count: usize,
    pub(crate) bytes: u64,
}

impl SpareFiles {
    /// Enough for what one partition appends before somebody has the time to make others.
    pub(crate) const MANY: Self = Self {
        count: 6,
        bytes: 64 << 20,
    };
}

/// A log whose segments are written in advance, and the batch that is appended to it again and
/// again.
pub(crate) struct Writer {
    pub(crate) log: PartitionLog<Compio>,
    spares: Spares<Compio>,
    template: Bytes,
}

impl Writer {
    pub(crate) async fn new(folder: &Path, batch_bytes: usize, files: SpareFiles) -> Self {
        // The first segment grows, and makes way for a spare as soon as there is one.
        let settings = Settings {
            growing_bytes_max: 0,
            ..Settings::default()
        };
        let name = folder.with_extension("spares");
        let spares = Spares::open(Compio, &name, files.bytes, files.count).await;
        let spares = spares.unwrap();
        let mut log = open(folder, settings).await;
        log.use_spares(spares.clone());
        let template = batch(batch_bytes, 0);
        let mut writer = Self {
            log,
            spares,
            template,
        };
        writer.append();
        writer.flush().await;
        writer.make_spares().await;
        // From here on it goes on in a spare.
        writer.append();
        writer.flush().await;
        writer
    }

    /// Does what a shard does in the background.
    async fn make_spares(&mut self) {
        while let Some(job) = self.spares.begin_fill() {
            self.spares.finish_fill(job.run().await).unwrap();
        }
    }

    pub(crate) fn append(&mut self) -> usize {
        let batch = stamped(&self.template, self.log.next_offset());
        let len = batch.len();
        self.log.append(batch);
        len
    }

    pub(crate) async fn flush(&mut self) {
        flush(&mut self.log).await;
    }

    /// Appends one batch and makes it durable. The time that the batch itself took to make does not
    /// count.
    pub(crate) async fn append_durably(&mut self) -> (usize, Duration) {
        let batch = stamped(&self.template, self.log.next_offset());
        let len = batch.len();
        self.make_spares().await;
        let begun = Instant::now();
        self.log.append(batch);
        self.flush().await;
        (len, begun.elapsed())
    }
}

pub(crate) fn stamped(batch: &[u8], base_offset: u64) -> Bytes {
    let mut batch = batch.to_vec();
    stamp(&mut batch, base_offset, 1);
    Bytes::from(batch)
}

pub(crate) async fn open(folder: &Path, settings: Settings) -> PartitionLog<Compio> {
    PartitionLog::open(Compio, folder, settings).await.unwrap()
}

/// Makes durable all that is pending.
pub(crate) async fn flush(log: &mut PartitionLog<Compio>) {
    while let Some(job) = log.begin_flush().unwrap() {
        log.finish_flush(job.run().await).unwrap();
    }
}

/// Writes a log of `bytes` bytes whose batches are each a millisecond later; gives their number.
pub(crate) async fn write_log(folder: &Path, batch_bytes: usize, bytes: u64) -> u64 {
    let mut log = open(folder, Settings::default()).await;
    let count = bytes.div_ceil(batch_bytes as u64);
    for offset in 0..count {
        log.append(stamped(&batch(batch_bytes, offset as i64), offset));
        if (offset + 1) * batch_bytes as u64 % (4 << 20) < batch_bytes as u64 {
            flush(&mut log).await;
        }
    }
    flush(&mut log).await;
    count
}

pub(crate) async fn read(log: &PartitionLog<Compio>, from: u64, bytes_max: usize) -> Vec<Bytes> {
    match log.begin_read(from, bytes_max, u64::MAX) {
        Read::Ready(batches) => batches,
        Read::Job(job) => job.run().await.unwrap(),
        Read::Damaged(_) | Read::OutOfRange => panic!("offset {from} can be read"),
    }
}

pub(crate) fn next_offset(batches: &[Bytes]) -> u64 {
    let last = batches.last().expect("a read below the end gives a batch");
    BatchHeader::parse(last).unwrap().next_offset()
}

pub(crate) fn bytes_of(batches: &[Bytes]) -> usize {
    batches.iter().map(Bytes::len).sum()
}

/// The files below a folder, largest names last.
pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => files.extend(self::files(&path)),
            false => files.push(path),
        }
    }
    files.sort();
    files
}

/// Has the system forget what it has read from or written to the files below a folder.
pub(crate) fn forget(folder: &Path) {
    for path in files(folder) {
        let file = File::open(path).unwrap();
        file.sync_all().unwrap();
        rustix::fs::fadvise(&file, 0, None, Advice::DontNeed).unwrap();
    }
}
