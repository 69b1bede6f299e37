mod add;
mod node_row;
mod recover;
mod remove;
mod status;
mod transfer;

use clap::Subcommand;

use super::{Failure, Global, block_on};

pub(crate) use node_row::role_name;

/// Ask how the cluster is, and change who belongs to it.
///
/// A change goes on by itself once the cluster has taken note of it. The commands wait until it is
/// done; they may be interrupted, and given again.
#[derive(Debug, Subcommand)]
pub(crate) enum Cluster {
    /// Show every node: whether it is alive, its role, view and leaderships
    Status,
    Add(add::Add),
    Remove(remove::Remove),
    Recover(recover::Recover),
    Transfer(transfer::Transfer),
}

impl Cluster {
    pub(crate) fn run(self, global: &Global) -> Result<(), Failure> {
        super::logging::start(global, "warn", None)?;
        block_on(async {
            match self {
                Self::Status => status::run(global).await,
                Self::Add(add) => add.run(global).await,
                Self::Remove(remove) => remove.run(global).await,
                Self::Recover(recover) => recover.run(global).await,
                Self::Transfer(transfer) => transfer.run(global).await,
            }
        })
    }
}
