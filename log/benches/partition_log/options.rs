use std::path::PathBuf;

use clap::{Parser, ValueEnum};

/// Benchmarks of a partition's log, each figure beside its raw floor.
#[derive(Debug, Parser)]
pub(crate) struct Options {
    /// The tables to make; all if none is named
    #[arg(value_enum)]
    chosen: Vec<Table>,
    /// Measure for a short time, and little data
    #[arg(long)]
    pub(crate) quick: bool,
    /// Where to write, instead of a folder of the build
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// What the partitions hold that are opened in the table of the recovery
    #[arg(long, value_name = "N")]
    pub(crate) gigabytes: Option<f64>,
    /// Measure only appends of this size
    #[arg(long, value_name = "N")]
    pub(crate) bytes: Option<usize>,
    /// Said by cargo
    #[arg(long = "bench", hide = true)]
    _bench: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Table {
    /// Appends made durable one after the other
    Flush,
    /// Appends made durable together, while others arrive
    Group,
    /// Many partitions against one
    Partitions,
    /// The newest batches, from memory
    Tail,
    /// Old batches one after the other, from the disk
    Cold,
    /// Old batches here and there, from the disk
    Random,
    /// Opening many partitions, and looking up offsets and times
    Recovery,
    /// Checking batches
    Checksum,
    /// Heap allocations by batch and by record
    Allocations,
    /// Ways to make a write durable
    Sync,
    /// Several writes at once before they are made durable
    InFlight,
    /// Writing files in advance
    Zeros,
    /// New buffers against old ones
    Buffers,
}

impl Options {
    pub(crate) fn tables(&self) -> Vec<Table> {
        match self.chosen.is_empty() {
            true => Table::value_variants().to_vec(),
            false => self.chosen.clone(),
        }
    }
}
