//! `quorate-model`: checks the protocols within bounds, state by state, and far beyond on walks.

mod scope;

use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use quorate_model::{Finding, GroupModel, PartitionModel, check, explain_aborts, walk};
use scope::Depth;

#[derive(Parser)]
#[command(about = "Checks the protocols within bounds, state by state, and beyond on walks.")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Looks at every state within narrow bounds, and walks at random within wide ones. Exit code
    /// 0: no violation.
    Check {
        /// How far to go.
        depth: Depth,
        /// Give an exhaustive search up after this many seconds.
        #[arg(long, default_value_t = 3600)]
        seconds: u64,
        /// Where the walks start from; the same seed walks the same ways.
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
}

fn main() -> ExitCode {
    let Command::Check {
        depth,
        seconds,
        seed,
    } = Arguments::parse().command;
    explain_aborts();
    let patience = Duration::from_secs(seconds);
    let walking = depth.walking();
    let mut findings = Vec::new();
    for bounds in depth.partition() {
        findings.push(check(
            "partition",
            &bounds,
            PartitionModel { bounds },
            patience,
        ));
    }
    for bounds in depth.group() {
        findings.push(check("group", &bounds, GroupModel { bounds }, patience));
    }
    let bounds = scope::PARTITION_WIDE;
    findings.push(walk(
        "partition",
        &bounds,
        &PartitionModel { bounds },
        seed,
        walking,
    ));
    let bounds = scope::GROUP_WIDE;
    findings.push(walk(
        "group",
        &bounds,
        &GroupModel { bounds },
        seed,
        walking,
    ));
    match findings.contains(&Finding::Violated) {
        true => ExitCode::FAILURE,
        false => ExitCode::SUCCESS,
    }
}
