//! Appends made durable: one after the other, and in groups while others arrive.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::ring::{self, Lane, Ring, Sync};
use crate::scene::{Scene, SpareFiles, Writer};
use crate::series::{Round, Series};
use crate::table;

pub(crate) const SIZES: [usize; 6] = [1 << 10, 4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20];
/// The size of a file that is written in advance.
const FILE_BYTES: u64 = 64 << 20;
/// The batches that a flush takes, as many as arrive while the one before it runs, and their bytes.
const GROUP: usize = 16;
const GROUP_BYTES_MAX: usize = 4 << 20;
/// How long a log is written to before it counts: until it has all the memory that it uses again.
const WARM_UP: Duration = Duration::from_millis(300);
const BLOCK_BYTES: usize = quorate_platform::BLOCK_BYTES;

/// Raw writes of one size, and the same through a file that grows.
pub(crate) struct Floor {
    ring: Ring,
    written: [Lane; 1],
    growing: [Lane; 1],
    pub(crate) after: Series,
    pub(crate) linked: Series,
    pub(crate) itself: Series,
    /// The first of them, where the records are copied before each write.
    copied: Series,
    pub(crate) grown: Series,
}

impl Floor {
    /// What cannot be written in whole blocks is rounded up to them.
    pub(crate) fn new(folder: &Path, len: usize) -> Self {
        let mut ring = Ring::new();
        let block_len = len.next_multiple_of(BLOCK_BYTES);
        let file = ring::prewritten(&mut ring, &folder.join("written"), FILE_BYTES);
        let growing = ring::open(&folder.join("growing"), false);
        Self {
            ring,
            written: [Lane::new(file, block_len, Some(FILE_BYTES))],
            growing: [Lane::new(growing, len, None)],
            after: Series::default(),
            linked: Series::default(),
            itself: Series::default(),
            copied: Series::default(),
            grown: Series::default(),
        }
    }

    pub(crate) fn turn(&mut self, time: Duration) {
        let Self { ring, written, .. } = self;
        self.after.push(ring.write(written, Sync::After, time));
        self.linked.push(ring.write(written, Sync::Linked, time));
        self.itself.push(ring.write(written, Sync::Itself, time));
        written[0].copy_records(true);
        self.copied.push(ring.write(written, Sync::After, time));
        written[0].copy_records(false);
        self.growing[0].restart();
        let grown = ring.write(&mut self.growing, Sync::After, time);
        self.grown.push(grown);
    }

    /// The best of the raw ways.
    fn best(&self) -> &Series {
        let ways = [&self.after, &self.linked, &self.itself];
        let best = ways.into_iter().min_by_key(|way| way.median());
        best.expect("there are three")
    }

    fn best_rate(&self) -> f64 {
        let ways = [&self.after, &self.linked, &self.itself];
        ways.into_iter().map(Series::rate).fold(0.0, f64::max)
    }
}

pub(crate) async fn one_by_one(scene: &Scene) {
    let mut rows = Vec::new();
    for len in scene.chosen(&SIZES) {
        let folder = scene.clear();
        let mut floor = Floor::new(folder, len);
        let mut writer = Writer::new(&folder.join("log"), len, SpareFiles::MANY).await;
        let mut log = Series::default();
        append_durably(&mut writer, WARM_UP).await;
        for _ in 0..scene.rounds() {
            floor.turn(scene.turn());
            log.push(append_durably(&mut writer, scene.turn()).await);
        }
        let best = floor.best().median().as_secs_f64();
        rows.push([
            table::size(len),
            log.cell(),
            floor.after.cell(),
            floor.linked.cell(),
            floor.itself.cell(),
            floor.copied.cell(),
            floor.grown.cell(),
            table::ratio(log.median().as_secs_f64(), best),
        ]);
    }
    let header = [
        "append",
        "log",
        "raw write, then sync",
        "raw linked sync",
        "raw RWF_DSYNC",
        "raw, copied before",
        "raw growing file",
        "log : best raw time",
    ];
    let title = "Appends, each made durable before the next; raw writes are of whole blocks \
                 (median / p99 / rate)";
    table::print(title, header, rows);
}

async fn append_durably(writer: &mut Writer, time: Duration) -> Round {
    let begun = Instant::now();
    let mut round = Round::default();
    while begun.elapsed() < time {
        let (len, latency) = writer.append_durably().await;
        round.bytes += len as u64;
        round.latencies.push(latency);
    }
    round.elapsed = round.latencies.iter().sum();
    round
}

pub(crate) async fn in_groups(scene: &Scene) {
    let mut rows = Vec::new();
    for len in scene.chosen(&SIZES) {
        let folder = scene.clear();
        let group = GROUP.min(GROUP_BYTES_MAX / len);
        let mut floor = Floor::new(folder, group * len);
        let mut writer = Writer::new(&folder.join("log"), len, SpareFiles::MANY).await;
        let mut log = Series::default();
        append_in_groups(&mut writer, group, WARM_UP).await;
        for _ in 0..scene.rounds() {
            floor.turn(scene.turn());
            log.push(append_in_groups(&mut writer, group, scene.turn()).await);
        }
        rows.push([
            format!("{group} × {}", table::size(len)),
            log.cell(),
            floor.after.cell(),
            floor.linked.cell(),
            floor.itself.cell(),
            floor.grown.cell(),
            table::ratio(log.rate(), floor.best_rate()),
        ]);
    }
    let header = [
        "group",
        "log",
        "raw write, then sync",
        "raw linked sync",
        "raw RWF_DSYNC",
        "raw growing file",
        "log : best raw rate",
    ];
    let title = "Groups of appends, the next group arriving while one is made durable \
                 (of the group: median / p99 / rate)";
    table::print(title, header, rows);
}

async fn append_in_groups(writer: &mut Writer, group: usize, time: Duration) -> Round {
    let begun = Instant::now();
    let mut round = Round::default();
    append_group(writer, group);
    while begun.elapsed() < time {
        let started = Instant::now();
        let job = writer.log.begin_flush().unwrap();
        let job = job.expect("a group is pending");
        round.bytes += job.bytes();
        append_group(writer, group);
        writer.log.finish_flush(job.run().await).unwrap();
        round.latencies.push(started.elapsed());
    }
    round.elapsed = begun.elapsed();
    writer.flush().await;
    round
}

fn append_group(writer: &mut Writer, group: usize) {
    for _ in 0..group {
        writer.append();
    }
}
