//! Benchmarks of a partition's log, on a real disk.
//!
//! ```sh
//! cargo bench -p quorate-log                            # all tables
//! cargo bench -p quorate-log -- --quick                 # all, in less than a minute
//! cargo bench -p quorate-log -- flush cold --data-dir /mnt/disk
//! cargo bench -p quorate-log -- recovery --gigabytes 20
//! ```
//!
//! A figure of the log stands beside its *raw floor*: what plain io_uring does with the same bytes
//! in the same run, where the two take turns. So what counts is the ratio, which another machine or
//! another hour changes much less than the figures.
//!
//! Only what the log offers to everybody is used here, so that two states of it can be compared.

#![expect(
    clippy::unwrap_used,
    reason = "a benchmark that cannot go on has failed"
)]

#[path = "partition_log/allocation.rs"]
mod allocation;
#[path = "partition_log/options.rs"]
mod options;
#[path = "partition_log/ring.rs"]
mod ring;
#[path = "partition_log/scene.rs"]
mod scene;
#[path = "partition_log/series.rs"]
mod series;
#[path = "partition_log/table.rs"]
mod table;

#[path = "partition_log/buffers.rs"]
mod buffers;
#[path = "partition_log/checksum.rs"]
mod checksum;
#[path = "partition_log/flush.rs"]
mod flush;
#[path = "partition_log/partitions.rs"]
mod partitions;
#[path = "partition_log/read.rs"]
mod read;
#[path = "partition_log/recovery.rs"]
mod recovery;
#[path = "partition_log/sync.rs"]
mod sync;
#[path = "partition_log/zeros.rs"]
mod zeros;

use clap::Parser;

use crate::options::{Options, Table};
use crate::scene::Scene;

#[global_allocator]
static ALLOCATOR: allocation::Counting = allocation::Counting;

fn main() {
    let options = Options::parse();
    let scene = Scene::new(&options);
    println!("{}", scene.description());
    scene::runtime().block_on(async {
        for table in options.tables() {
            run(table, &scene).await;
        }
    });
}

async fn run(table: Table, scene: &Scene) {
    match table {
        Table::Flush => flush::one_by_one(scene).await,
        Table::Group => flush::in_groups(scene).await,
        Table::Partitions => partitions::run(scene).await,
        Table::Tail => read::tail(scene).await,
        Table::Cold => read::cold(scene).await,
        Table::Random => read::random(scene).await,
        Table::Recovery => recovery::run(scene).await,
        Table::Checksum => checksum::run(scene),
        Table::Allocations => allocation::run(scene).await,
        Table::Sync => sync::run(scene).await,
        Table::InFlight => zeros::in_flight(scene),
        Table::Zeros => zeros::run(scene),
        Table::Buffers => buffers::run(scene),
    }
}
