mod node_row;
mod status;

use clap::Subcommand;

use super::{Failure, Global, block_on};

pub(crate) use node_row::role_name;

/// Ask how the cluster is.
#[derive(Debug, Subcommand)]
pub(crate) enum Cluster {
    /// Show every node: whether it is alive, its role, view and leaderships
    Status,
}

impl Cluster {
    pub(crate) fn run(self, global: &Global) -> Result<(), Failure> {
        super::logging::start(global, "warn", None)?;
        block_on(async {
            match self {
                Self::Status => status::run(global).await,
            }
        })
    }
}
