use std::path::PathBuf;

use clap::Args;
use rustix::process::{Pid, Signal};

use super::{Failure, Global, doctor, logging, signals};
use crate::config::Config;
use crate::stop::Stop;

/// Run one node.
///
/// SIGINT or SIGTERM stops it cleanly, a second one at once.
#[derive(Debug, Args)]
pub(crate) struct Node {
    /// The node's configuration, such as `up` writes it to DIR/node-N/quorate.toml
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Found a new cluster, together with the other nodes of the configuration
    ///
    /// For the first start of the first nodes of a cluster, and never again: a node whose folder
    /// was emptied and that founds once more would deny what it told the others.
    #[arg(long)]
    new_cluster: bool,
    /// Append the log to this file instead of stderr
    #[arg(long, value_name = "FILE")]
    log_file: Option<PathBuf>,
    /// Stop when the process of this id, which started this one, ends
    #[arg(long, value_name = "PID", hide = true)]
    parent: Option<i32>,
}

impl Node {
    pub(crate) fn run(self, global: &Global) -> Result<(), Failure> {
        logging::start(global, "info", self.log_file.as_deref())?;
        if let Some(parent) = self.parent {
            end_with(parent)?;
        }
        let config = Config::read(&self.config)?;
        // Before anything else needs what may be missing, the listener for signals too.
        let outcome = doctor::check_start(&config.data_dir, config.shard_addresses.len())
            .and_then(|()| run_until_signal(config, self.new_cluster));
        if let (Err(error), Some(_)) = (&outcome, &self.log_file) {
            // stderr, where the error is told, may lead nowhere.
            tracing::error!(%error, "the node has failed");
        }
        outcome
    }
}

fn run_until_signal(config: Config, founds: bool) -> Result<(), Failure> {
    let stop = Stop::new();
    let stopping = stop.clone();
    signals::stop_on_signal(move || {
        tracing::info!("stopping");
        stopping.set();
    })?;
    Ok(crate::node::run(config, founds, stop)?)
}

/// Asks the kernel for a SIGTERM when the parent ends, however it ends.
fn end_with(parent: i32) -> Result<(), Failure> {
    let asked = rustix::process::set_parent_process_death_signal(Some(Signal::TERM));
    asked.map_err(|error| Failure::failed(format!("cannot be tied to the parent: {error}")))?;
    // The parent may have ended before the kernel was asked.
    if rustix::process::getppid().map(Pid::as_raw_pid) != Some(parent) {
        return Err(Failure::failed(
            "the process that started this node has already ended",
        ));
    }
    Ok(())
}
