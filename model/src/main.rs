//! `quorate-model`: checks the protocols within bounds, state by state, and far beyond on walks.

mod scope;
mod simulate;

use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use quorate_model::{Finding, GroupModel, PartitionModel, check, walk};
use scope::Depth;

#[derive(Parser)]
#[command(about = "Checks the protocols within bounds, state by state, and beyond on walks.")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Looks at every state within narrow bounds, then walks for a while within wide ones. Exit
    /// code 0: no violation.
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
    /// Only walks. Exit code 0: no violation.
    Walk {
        /// How long through each protocol.
        #[arg(long, default_value_t = 60)]
        seconds: u64,
        /// Where the walks start from; the same seed walks the same ways.
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
    /// Thousands of short random runs in bad worlds. Exit code 0: no violation.
    Simulate(simulate::Arguments),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let findings = match arguments.command {
        Command::Check {
            depth,
            seconds,
            seed,
        } => {
            let mut findings = search(depth, Duration::from_secs(seconds));
            findings.extend(stroll(depth.walking(), seed));
            findings
        }
        Command::Walk { seconds, seed } => stroll(Duration::from_secs(seconds), seed).into(),
        Command::Simulate(arguments) => vec![arguments.run()],
    };
    match findings.contains(&Finding::Violated) {
        true => ExitCode::FAILURE,
        false => ExitCode::SUCCESS,
    }
}

fn search(depth: Depth, patience: Duration) -> Vec<Finding> {
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
    findings
}

fn stroll(time: Duration, seed: u64) -> [Finding; 2] {
    let (partition, group) = (scope::PARTITION_WIDE, scope::GROUP_WIDE);
    [
        walk(
            "partition",
            &partition,
            &PartitionModel { bounds: partition },
            seed,
            time,
        ),
        walk("group", &group, &GroupModel { bounds: group }, seed, time),
    ]
}
