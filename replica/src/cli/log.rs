//! Looking at what a node has on disk, and mending what can be mended without other nodes.

mod copy;
mod inspect;
mod line;
mod place;
mod progress;
mod reading;
mod repair;
mod shown;
mod verify;
mod wording;

use clap::Subcommand;

use super::{Failure, Global, block_on};

/// Look into the files of a node's log, verify and repair them.
///
/// PATH is a segment file, the folder of a partition, that of a shard, or a node's data folder.
#[derive(Debug, Subcommand)]
pub(crate) enum Log {
    Inspect(inspect::Inspect),
    Verify(verify::Verify),
    Repair(repair::Repair),
}

impl Log {
    pub(crate) fn run(self, global: &Global) -> Result<(), Failure> {
        super::logging::start(global, "warn", None)?;
        block_on(async {
            match self {
                Self::Inspect(inspect) => inspect.run(global).await,
                Self::Verify(verify) => verify.run(global).await,
                Self::Repair(repair) => repair.run(global).await,
            }
        })
    }
}
