//! Many partitions of one shard against a single one.

use std::time::{Duration, Instant};

use futures_util::future::join_all;

use crate::ring::{self, Lane, Ring, Sync};
use crate::scene::{Scene, SpareFiles, Writer};
use crate::series::{Round, Series};
use crate::table;

const PARTITIONS: usize = 64;
/// As many as a shard makes durable at once.
const AT_ONCE: usize = 32;
const FILE_BYTES: u64 = 1 << 20;
/// Each partition writes little of it.
const SPARE_FILES: SpareFiles = SpareFiles {
    count: 1,
    bytes: 32 << 20,
};

pub(crate) async fn run(scene: &Scene) {
    let mut rows = Vec::new();
    for len in [4 << 10, 64 << 10] {
        rows.extend(rows_of(scene, len).await);
    }
    let header = [
        "append",
        "log",
        "raw RWF_DSYNC",
        "raw write, then sync",
        "log : best raw",
    ];
    let title = "Appends made durable, one after the other or 32 at once (median / p99 / rate)";
    table::print(title, header, rows);
}

async fn rows_of(scene: &Scene, len: usize) -> Vec<[String; 5]> {
    let folder = scene.clear();
    let mut ring = Ring::new();
    let mut lanes = Vec::new();
    let mut writers = Vec::new();
    for partition in 0..PARTITIONS {
        let path = folder.join(format!("written-{partition}"));
        let file = ring::prewritten(&mut ring, &path, FILE_BYTES);
        lanes.push(Lane::new(file, len, Some(FILE_BYTES)));
        let log = folder.join(format!("log-{partition}"));
        writers.push(Writer::new(&log, len, SPARE_FILES).await);
    }
    // One partition, all in turn, all together.
    let mut log = [(); 3].map(|()| Series::default());
    let mut itself = [(); 3].map(|()| Series::default());
    let mut after = [(); 3].map(|()| Series::default());
    for _ in 0..scene.rounds() {
        log[0].push(append_in_turn(&mut writers[..1], scene.turn()).await);
        log[1].push(append_in_turn(&mut writers, scene.turn()).await);
        log[2].push(append_at_once(&mut writers, scene.turn()).await);
        for (sync, series) in [(Sync::Itself, &mut itself), (Sync::After, &mut after)] {
            series[0].push(ring.write(&mut lanes[..1], sync, scene.turn()));
            series[1].push(write_in_turn(&mut ring, &mut lanes, sync, scene.turn()));
            series[2].push(ring.write(&mut lanes[..AT_ONCE], sync, scene.turn()));
        }
    }
    let labels = ["to one partition", "to 64 in turn", "to 64, 32 at once"];
    let row = |at: usize| {
        let best = itself[at].rate().max(after[at].rate());
        [
            format!("{} {}", table::size(len), labels[at]),
            log[at].cell(),
            itself[at].cell(),
            after[at].cell(),
            table::ratio(log[at].rate(), best),
        ]
    };
    (0..3).map(row).collect()
}

async fn append_in_turn(writers: &mut [Writer], time: Duration) -> Round {
    let begun = Instant::now();
    let mut round = Round::default();
    for at in (0..writers.len()).cycle() {
        let (len, latency) = writers[at].append_durably().await;
        round.bytes += len as u64;
        round.latencies.push(latency);
        if begun.elapsed() >= time {
            break;
        }
    }
    round.elapsed = round.latencies.iter().sum();
    round
}

async fn append_at_once(writers: &mut [Writer], time: Duration) -> Round {
    let begun = Instant::now();
    let mut round = Round::default();
    while begun.elapsed() < time {
        for group in writers.chunks_mut(AT_ONCE) {
            let started = Instant::now();
            round.bytes += group.iter_mut().map(Writer::append).sum::<usize>() as u64;
            join_all(group.iter_mut().map(Writer::flush)).await;
            round.latencies.push(started.elapsed());
        }
    }
    round.elapsed = begun.elapsed();
    round
}

fn write_in_turn(ring: &mut Ring, lanes: &mut [Lane], sync: Sync, time: Duration) -> Round {
    let begun = Instant::now();
    let mut round = Round::default();
    for at in (0..lanes.len()).cycle() {
        // No time at all is time for one write.
        let one = ring.write(&mut lanes[at..=at], sync, Duration::ZERO);
        round.bytes += one.bytes;
        round.latencies.extend(one.latencies);
        if begun.elapsed() >= time {
            break;
        }
    }
    round.elapsed = round.latencies.iter().sum();
    round
}
