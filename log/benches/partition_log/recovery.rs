//! Opening many partitions at once, as a node does when it starts, and looking things up in them.

use std::path::{Path, PathBuf};
use std::time::Instant;

use quorate_log::{Lookup, PartitionLog, Settings, Sighting};
use quorate_platform::Compio;
use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};

use crate::ring::{self, Ring};
use crate::scene::{self, Scene};
use crate::series::{Round, Series};
use crate::table;

const PARTITIONS: u64 = 100;
const BATCH_BYTES: usize = 64 << 10;
const PIECE_BYTES: usize = 1 << 20;
const LOOKUPS: usize = 500;

pub(crate) async fn run(scene: &Scene) {
    let folder = scene.clear();
    let bytes = (scene.gigabytes * 1e9) as u64 / PARTITIONS;
    let folders: Vec<PathBuf> = (0..PARTITIONS)
        .map(|partition| folder.join(partition.to_string()))
        .collect();
    for folder in &folders {
        scene::write_log(folder, BATCH_BYTES, bytes).await;
    }
    let mut ring = Ring::new();
    let [mut cold, mut warm, mut floor] = [(); 3].map(|()| Series::default());
    let mut walked = 0;
    for _ in 0..scene.rounds() {
        scene::forget(folder);
        let (logs, round) = open_all(&folders).await;
        walked = logs.iter().map(|log| log.recovery().walked_bytes).sum();
        drop(logs);
        cold.push(round);
        warm.push(open_all(&folders).await.1);
        floor.push(read_ends(&mut ring, &folders, walked / PARTITIONS));
    }
    let title = format!(
        "Opening {PARTITIONS} partitions of {:.1} GB, {} of them behind the last checkpoints",
        scene.gigabytes,
        table::size(walked as usize)
    );
    let row = [
        PARTITIONS.to_string(),
        table::time(cold.median()),
        table::time(warm.median()),
        table::time(floor.median()),
        table::ratio(cold.median().as_secs_f64(), floor.median().as_secs_f64()),
    ];
    let header = [
        "partitions",
        "log, nothing cached",
        "log, again",
        "raw read of those ends",
        "log : raw",
    ];
    table::print(&title, header, vec![row]);
    look_up(scene, &folders).await;
}

async fn open_all(folders: &[PathBuf]) -> (Vec<PartitionLog<Compio>>, Round) {
    let begun = Instant::now();
    let mut logs = Vec::new();
    for folder in folders {
        logs.push(scene::open(folder, Settings::default()).await);
    }
    let bytes = logs.iter().map(PartitionLog::bytes).sum();
    (logs, Round::once(begun.elapsed(), bytes))
}

/// Reads the last bytes of each partition's last segment.
fn read_ends(ring: &mut Ring, folders: &[PathBuf], bytes: u64) -> Round {
    let begun = Instant::now();
    let mut total = 0;
    for folder in folders {
        let file = ring::open(&last_segment(folder), true);
        let end = file.metadata().unwrap().len();
        let from = end.saturating_sub(bytes) / PIECE_BYTES as u64;
        let to = end.div_ceil(PIECE_BYTES as u64);
        let pieces: Vec<_> = (from..to)
            .map(|piece| (0, piece * PIECE_BYTES as u64))
            .collect();
        total += ring.read(&[file], &pieces, PIECE_BYTES, 1).bytes;
    }
    Round::once(begun.elapsed(), total)
}

fn last_segment(folder: &Path) -> PathBuf {
    let files = scene::files(folder).into_iter().rev();
    let mut segments = files.filter(|path| path.extension().is_some_and(|kind| kind == "log"));
    segments.next().expect("a log has a segment")
}

async fn look_up(scene: &Scene, folders: &[PathBuf]) {
    let (logs, _) = open_all(folders).await;
    let mut random = ChaCha8Rng::seed_from_u64(11);
    let [mut offsets, mut times, mut raw] = [(); 3].map(|()| Series::default());
    let mut ring = Ring::new();
    let files: Vec<_> = folders
        .iter()
        .map(|folder| ring::open(&last_segment(folder), true))
        .collect();
    for _ in 0..scene.rounds() {
        let [mut by_offset, mut by_time] = [(); 2].map(|()| Round::default());
        let mut pieces = Vec::new();
        for _ in 0..LOOKUPS {
            let at = random.random_range(0..logs.len());
            let log = &logs[at];
            let offset = random.random_range(0..log.next_offset());
            let begun = Instant::now();
            let batches = scene::read(log, offset, 1).await;
            by_offset.latencies.push(begun.elapsed());
            by_offset.bytes += scene::bytes_of(&batches) as u64;
            // Each batch is one record, a millisecond later than the one before.
            let begun = Instant::now();
            let found = loop {
                match log.begin_lookup(offset as i64, 0, u64::MAX) {
                    Lookup::Ready(found) => break found,
                    Lookup::Job(job) => break job.run().await.unwrap(),
                    Lookup::Index(job) => job.run().await.unwrap(),
                    Lookup::Damaged(_) => panic!("nothing is damaged"),
                }
            };
            by_time.latencies.push(begun.elapsed());
            by_time.bytes += BATCH_BYTES as u64;
            assert!(matches!(found, Sighting::Found(found) if found.offset == offset));
            let count = files[at].metadata().unwrap().len() / BATCH_BYTES as u64;
            let piece = random.random_range(0..count);
            pieces.push((at, piece * BATCH_BYTES as u64));
        }
        for round in [&mut by_offset, &mut by_time] {
            round.elapsed = round.latencies.iter().sum();
        }
        offsets.push(by_offset);
        times.push(by_time);
        raw.push(ring.read(&files, &pieces, BATCH_BYTES, 1));
    }
    let row = [
        table::size(BATCH_BYTES),
        offsets.cell(),
        times.cell(),
        raw.cell(),
        table::ratio(offsets.median().as_secs_f64(), raw.median().as_secs_f64()),
    ];
    let header = [
        "batches of",
        "by offset",
        "by time",
        "raw read",
        "by offset : raw time",
    ];
    let title = "Finding a record in one of the partitions (median / p99 / rate)";
    table::print(title, header, vec![row]);
}
