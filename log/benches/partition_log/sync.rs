//! Ways to make a write durable, for one, four and many who write at once to files of their own.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use quorate_platform::{AlignedBuffer, BufResult, Compio, CompioFile, Disk, File, OpenMode};

use crate::ring::{self, Lane, Ring, Sync};
use crate::scene::Scene;
use crate::series::{Round, Series};
use crate::table;

const SIZES: [usize; 5] = [4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20];
const WRITERS: [usize; 3] = [1, 4, 32];
const FILE_BYTES: u64 = 8 << 20;

pub(crate) async fn run(scene: &Scene) {
    let mut rows = Vec::new();
    for writers in WRITERS {
        for len in SIZES {
            rows.push(row(scene, writers, len).await);
        }
    }
    let header = [
        "writers, write",
        "write, then sync",
        "linked sync",
        "RWF_DSYNC",
        "platform's durable write",
        "growing, then sync",
    ];
    let title = "Ways to make a write durable (median / p99 / rate of all writers)";
    table::print(title, header, rows);
}

async fn row(scene: &Scene, writers: usize, len: usize) -> [String; 6] {
    let folder = scene.clear();
    let mut ring = Ring::new();
    let mut lanes = Vec::new();
    let mut growing = Vec::new();
    let mut files = Vec::new();
    for writer in 0..writers {
        let path = folder.join(format!("written-{writer}"));
        let file = ring::prewritten(&mut ring, &path, FILE_BYTES);
        lanes.push(Lane::new(file, len, Some(FILE_BYTES)));
        let file = Compio.open(&path, OpenMode::Write.direct()).await.unwrap();
        assert!(file.is_direct(), "the raw floor is direct, too");
        files.push(file);
        let file = ring::open(&folder.join(format!("growing-{writer}")), false);
        growing.push(Lane::new(file, len, None));
    }
    let ways = [Sync::After, Sync::Linked, Sync::Itself];
    let mut raw = ways.map(|_| Series::default());
    let (mut platform, mut grown) = (Series::default(), Series::default());
    for _ in 0..scene.rounds() {
        for (way, series) in ways.into_iter().zip(&mut raw) {
            series.push(ring.write(&mut lanes, way, scene.turn()));
        }
        platform.push(write_durably(&files, len, scene.turn()).await);
        growing.iter_mut().for_each(Lane::restart);
        grown.push(ring.write(&mut growing, Sync::After, scene.turn()));
    }
    let [after, linked, itself] = raw.map(|series| series.cell());
    let label = format!("{writers} × {}", table::size(len));
    [label, after, linked, itself, platform.cell(), grown.cell()]
}

async fn write_durably(files: &[CompioFile], len: usize, time: Duration) -> Round {
    let buffers: Vec<_> = files.iter().map(|_| ring::filled(len)).collect();
    let begun = Instant::now();
    let lanes = files
        .iter()
        .zip(buffers)
        .map(|(file, buffer)| write_in_turn(file, buffer, begun, time));
    let mut round = Round::default();
    for latencies in join_all(lanes).await {
        round.bytes += (latencies.len() * len) as u64;
        round.latencies.extend(latencies);
    }
    round.elapsed = begun.elapsed();
    round
}

async fn write_in_turn(
    file: &CompioFile,
    mut buffer: AlignedBuffer,
    begun: Instant,
    time: Duration,
) -> Vec<Duration> {
    let mut latencies = Vec::new();
    let mut position = 0;
    while latencies.is_empty() || begun.elapsed() < time {
        let started = Instant::now();
        let BufResult(result, back) = file.write_durable_at(buffer, position).await;
        result.unwrap();
        latencies.push(started.elapsed());
        buffer = back;
        position = (position + buffer.len() as u64) % FILE_BYTES;
    }
    latencies
}
