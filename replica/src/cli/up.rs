//! A local cluster: one process per node, all of them children of this one.
//!
//! The folder belongs to one `up` at a time ([`folder`]); what is in it decides the shape of the
//! cluster from its second start on ([`shape`]). The [`supervisor`] starts the children, waits for
//! the cluster, watches it and stops it; what it sees goes to the [`view`].

mod child;
mod cluster_file;
mod folder;
mod probe;
mod shape;
mod sight;
mod supervisor;
mod view;

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::{Failure, Global, block_on, duration};
use folder::Folder;
use shape::{Asked, Shape};
use supervisor::Supervisor;

/// Run a local cluster of real processes, with a live status.
///
/// Writes DIR/cluster.json (id, pid, addresses, data folder, log file of every node) and, for each
/// node, DIR/node-N/quorate.toml and DIR/node-N/node.log. Prints `ready bootstrap=HOST:PORT` on
/// stdout once the cluster takes writes; then a live status: on a terminal a table, otherwise a
/// line per change. SIGINT or SIGTERM stops every node cleanly; a second one kills them.
///
/// A node that dies is shown as dead. `quorate node --config DIR/node-N/quorate.toml` starts it
/// again by hand; --restart does so by itself.
///
/// A folder that already holds a cluster is started again with all its data. The number of its
/// nodes and shards cannot change any more; its ports can.
#[derive(Debug, Args)]
pub(crate) struct Up {
    /// How many nodes [default: those of the folder, or 3]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=7))]
    nodes: Option<u16>,
    /// Shards per node [default: those of the folder, or the cores divided by the nodes]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=128))]
    shards: Option<u16>,
    /// The folder of the cluster
    #[arg(long, value_name = "DIR", default_value = "quorate-data")]
    data_dir: PathBuf,
    /// The first of the ports, of which each node needs one and one more per shard [default: that
    /// of the folder, or 7400]
    #[arg(long, value_name = "P", value_parser = clap::value_parser!(u16).range(1..))]
    base_port: Option<u16>,
    /// Start a node again that has died
    #[arg(long)]
    restart: bool,
    /// How long the cluster may take until it is ready
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = duration::parse)]
    ready_timeout: Duration,
}

impl Up {
    pub(crate) fn run(self, global: &Global) -> Result<(), Failure> {
        super::logging::start(global, "warn", None)?;
        let folder = Folder::open(&self.data_dir)?;
        let asked = Asked {
            nodes: self.nodes,
            shards: self.shards,
            base_port: self.base_port,
        };
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let shape = Shape::decide(folder.existing(), asked, cores)
            .map_err(|problem| Failure::usage(folder.named(&problem)))?;
        folder.check_nodes_are_stopped(shape.nodes)?;
        block_on(shape.check_ports_are_free())?;
        let founds = folder.is_unused(shape.nodes);
        if founds {
            folder.check_room()?;
        }
        let cluster = folder.write(&shape)?;
        let supervisor = Supervisor::new(folder, cluster, &self, global);
        block_on(supervisor.run(founds))
    }
}
