//! The command line of `quorate`: one file per command.
//!
//! What people and scripts may rely on: results go to stdout, everything else to stderr; listings
//! are tables, or JSON with `--output json`; the exit codes are told by `quorate help`.

mod bench;
mod bootstrap;
mod cluster;
mod connection;
mod consume;
mod doctor;
mod duration;
mod failure;
mod latency;
mod line;
mod log;
mod logging;
mod node;
mod output;
mod produce;
mod signals;
mod topic;
mod up;
mod wait;

use std::ffi::OsString;
use std::io::Write as _;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use bootstrap::Bootstrap;
use failure::Failure;
use logging::LogFormat;
use output::Output;

const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  failed: a file, the network, a deadline; certainly not (or not wholly) done
  2  the command line or a configuration is wrong
  3  refused by the cluster: an unknown topic, a name that is taken, ...
  4  it is not known whether it was done
  5  damage was found";

/// A replicated, durable, append-only log service.
#[derive(Debug, Parser)]
#[command(name = "quorate", version, propagate_version = true, after_help = EXIT_CODES)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

const GLOBAL: &str = "Options of every command";

/// Options of every command.
#[derive(Debug, Args)]
struct Global {
    /// Addresses of one or more nodes to start from, HOST:PORT[,HOST:PORT...]
    #[arg(
        long,
        global = true,
        help_heading = GLOBAL,
        env = "QUORATE_BOOTSTRAP",
        value_name = "HOST:PORT",
        default_value = "127.0.0.1:7400,127.0.0.1:7401,127.0.0.1:7402"
    )]
    bootstrap: Bootstrap,
    /// How results are printed
    #[arg(
        long,
        global = true,
        help_heading = GLOBAL,
        value_enum,
        value_name = "FORMAT",
        default_value = "table"
    )]
    output: Output,
    /// What is logged: error, warn, info, debug, trace, off, or a filter such as
    /// "info,quorate_client=debug" [default: info for nodes, warn otherwise]
    #[arg(long, global = true, help_heading = GLOBAL, env = "QUORATE_LOG", value_name = "FILTER")]
    log: Option<String>,
    /// How log lines look
    #[arg(
        long,
        global = true,
        help_heading = GLOBAL,
        value_enum,
        value_name = "FORMAT",
        default_value = "human"
    )]
    log_format: LogFormat,
}

// The help of each command stands on its type, so that all of it is shown.
#[derive(Debug, Subcommand)]
enum Command {
    Up(up::Up),
    Node(node::Node),
    Doctor(doctor::Doctor),
    #[command(subcommand)]
    Topic(topic::Topic),
    Produce(produce::Produce),
    Consume(consume::Consume),
    #[command(subcommand)]
    Cluster(cluster::Cluster),
    #[command(subcommand)]
    Log(log::Log),
    #[command(subcommand)]
    Bench(bench::Bench),
}

/// Runs the command that the process was started with.
pub fn main() -> ExitCode {
    run(std::env::args_os())
}

fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            // A closed terminal leaves nobody to tell.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    match cli.command.run(&cli.global) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) if failure.is_closed_pipe() => ExitCode::SUCCESS,
        Err(failure) => {
            let _ = writeln!(std::io::stderr(), "error: {failure}");
            failure.exit_code()
        }
    }
}

impl Command {
    fn run(self, global: &Global) -> Result<(), Failure> {
        match self {
            Self::Up(up) => up.run(global),
            Self::Node(node) => node.run(global),
            Self::Doctor(doctor) => doctor.run(global),
            Self::Topic(topic) => topic.run(global),
            Self::Produce(produce) => produce.run(global),
            Self::Consume(consume) => consume.run(global),
            Self::Cluster(cluster) => cluster.run(global),
            Self::Log(log) => log.run(global),
            Self::Bench(bench) => bench.run(global),
        }
    }
}

/// Runs `command` on a runtime of its own, on this thread.
fn block_on<T>(command: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = compio::runtime::Runtime::new().map_err(|error| {
        Failure::failed(format!(
            "io_uring cannot be used: {error}; `quorate doctor` tells why, and what to do"
        ))
    })?;
    runtime.block_on(command)
}

#[cfg(test)]
mod tests;
