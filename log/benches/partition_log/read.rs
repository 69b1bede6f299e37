//! Reads: the newest batches from memory, older ones from the disk, in order or here and there.

use std::hint::black_box;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use quorate_log::{PartitionLog, Settings};
use quorate_platform::Compio;
use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};

use crate::ring::{self, Ring};
use crate::scene::{self, Scene, SpareFiles, Writer};
use crate::series::{Round, Series};
use crate::table;

/// What a consumer asks for at a time.
const FETCHES: [usize; 3] = [64 << 10, 256 << 10, 1 << 20];
const BATCH_BYTES: usize = 16 << 10;

pub(crate) async fn tail(scene: &Scene) {
    let mut writer = Writer::new(&scene.clear().join("log"), BATCH_BYTES, SpareFiles::MANY).await;
    for _ in 0..(2 << 20) / BATCH_BYTES {
        writer.append();
    }
    writer.flush().await;
    let mut rows = Vec::new();
    for len in FETCHES {
        let from = writer.log.next_offset() - (len / BATCH_BYTES) as u64;
        let source = ring::filled(len);
        let mut target = ring::filled(len);
        let [mut log, mut copy] = [(); 2].map(|()| Series::default());
        for _ in 0..scene.rounds() {
            log.push(read_in_memory(&writer.log, from, len, scene.turn()).await);
            copy.push(Round::repeat(scene.turn(), || {
                target.clear();
                target.extend_from_slice(black_box(&source));
                black_box(&target).len()
            }));
        }
        rows.push([
            table::size(len),
            table::time(log.median()),
            table::time(copy.median()),
            table::ratio(log.median().as_secs_f64(), copy.median().as_secs_f64()),
        ]);
    }
    let title = "Reads of the newest batches (16 KiB each), from memory";
    table::print(title, ["read", "log", "memcpy", "log : memcpy"], rows);
}

async fn read_in_memory(
    log: &PartitionLog<Compio>,
    from: u64,
    len: usize,
    time: Duration,
) -> Round {
    let begun = Instant::now();
    let mut round = Round::default();
    while round.latencies.is_empty() || begun.elapsed() < time {
        let started = Instant::now();
        let batches = black_box(scene::read(log, from, len).await);
        round.latencies.push(started.elapsed());
        round.bytes += scene::bytes_of(&batches) as u64;
    }
    round.elapsed = begun.elapsed();
    round
}

/// A log that was written, and is opened without anything of it in memory.
struct Old {
    folder: PathBuf,
    offsets: u64,
    segments: Vec<std::fs::File>,
    bytes: u64,
}

impl Old {
    async fn write(scene: &Scene, batch_bytes: usize) -> Self {
        let folder = scene.clear().join("log");
        let bytes = if scene.is_quick { 64 << 20 } else { 512 << 20 };
        let offsets = scene::write_log(&folder, batch_bytes, bytes).await;
        let is_segment = |path: &PathBuf| path.extension().is_some_and(|kind| kind == "log");
        let paths = scene::files(&folder).into_iter().filter(is_segment);
        let segments = paths.map(|path| ring::open(&path, true)).collect();
        Self {
            folder,
            offsets,
            segments,
            bytes,
        }
    }

    async fn open(&self) -> PartitionLog<Compio> {
        scene::forget(&self.folder);
        let settings = Settings {
            tail_bytes_max: 0,
            ..Settings::default()
        };
        let log = scene::open(&self.folder, settings).await;
        // To open it was to read the end of it.
        scene::forget(&self.folder);
        log
    }

    /// Whole pieces of the segments, in order, as far as records may reach.
    fn pieces(&self, len: usize) -> Vec<(usize, u64)> {
        let mut pieces = Vec::new();
        for (at, segment) in self.segments.iter().enumerate() {
            let end = segment.metadata().unwrap().len();
            let count = end / len as u64;
            pieces.extend((0..count).map(|piece| (at, piece * len as u64)));
        }
        pieces.truncate((self.bytes / len as u64) as usize);
        pieces
    }
}

pub(crate) async fn cold(scene: &Scene) {
    let old = Old::write(scene, BATCH_BYTES).await;
    let mut ring = Ring::new();
    let mut rows = Vec::new();
    for len in FETCHES {
        let in_flight = [1, 2, 4];
        let mut raw = in_flight.map(|_| Series::default());
        let mut log = Series::default();
        let pieces = old.pieces(len);
        for _ in 0..scene.rounds() {
            for (in_flight, series) in in_flight.into_iter().zip(&mut raw) {
                series.push(ring.read(&old.segments, &pieces, len, in_flight));
            }
            log.push(read_through(&old, len).await);
        }
        let best = raw.iter().map(Series::rate).fold(0.0, f64::max);
        let [one, two, four] = raw.map(|series| series.cell());
        rows.push([
            table::size(len),
            log.cell(),
            one,
            two,
            four,
            table::ratio(log.rate(), best),
        ]);
    }
    let header = [
        "read",
        "log",
        "raw",
        "raw, 2 at once",
        "raw, 4 at once",
        "log : best raw",
    ];
    let title = "Reads of a whole log from front to back, nothing cached (median / p99 / rate)";
    table::print(title, header, rows);
}

async fn read_through(old: &Old, len: usize) -> Round {
    let log = old.open().await;
    let mut round = Round::default();
    let mut from = log.log_start_offset();
    let begun = Instant::now();
    while from < log.next_offset() {
        let started = Instant::now();
        let batches = scene::read(&log, from, len).await;
        round.latencies.push(started.elapsed());
        round.bytes += scene::bytes_of(&batches) as u64;
        from = scene::next_offset(&batches);
    }
    round.elapsed = begun.elapsed();
    round
}

pub(crate) async fn random(scene: &Scene) {
    let mut rows = Vec::new();
    for batch_bytes in [4 << 10, 64 << 10] {
        let old = Old::write(scene, batch_bytes).await;
        let mut ring = Ring::new();
        let mut random = ChaCha8Rng::seed_from_u64(7);
        let [mut log, mut raw] = [(); 2].map(|()| Series::default());
        let pieces = old.pieces(batch_bytes);
        let count = if scene.is_quick { 200 } else { 1000 };
        for _ in 0..scene.rounds() {
            let chosen: Vec<_> = (0..count)
                .map(|_| pieces[random.random_range(0..pieces.len())])
                .collect();
            raw.push(ring.read(&old.segments, &chosen, batch_bytes, 1));
            log.push(read_here_and_there(&old, count, &mut random).await);
        }
        rows.push([
            table::size(batch_bytes),
            log.cell(),
            raw.cell(),
            table::ratio(log.median().as_secs_f64(), raw.median().as_secs_f64()),
        ]);
    }
    let header = ["batch", "log", "raw", "log : raw time"];
    let title = "Reads of one batch at a random offset, nothing cached (median / p99 / rate)";
    table::print(title, header, rows);
}

async fn read_here_and_there(old: &Old, count: usize, random: &mut ChaCha8Rng) -> Round {
    let log = old.open().await;
    let mut round = Round::default();
    for _ in 0..count {
        let from = random.random_range(0..old.offsets);
        let started = Instant::now();
        let batches = scene::read(&log, from, 1).await;
        round.latencies.push(started.elapsed());
        round.bytes += scene::bytes_of(&batches) as u64;
    }
    round.elapsed = round.latencies.iter().sum();
    round
}
