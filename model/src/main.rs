//! `quorate-model`: checks the protocols within bounds, state by state.

use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand, ValueEnum};
use quorate_model::{Finding, PartitionBounds, PartitionModel, check, explain_aborts};

#[derive(Parser)]
#[command(about = "Checks the protocols within bounds, state by state.")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Looks at every state within the bounds. Exit code 0: every property holds.
    Check {
        /// How far to go.
        depth: Depth,
        /// Give each model up after this many seconds.
        #[arg(long, default_value_t = 300)]
        seconds: u64,
    },
}

#[derive(Clone, Copy, ValueEnum)]
enum Depth {
    /// Under a minute on two cores.
    Quick,
    /// Minutes to hours.
    Deep,
}

fn main() -> ExitCode {
    let Command::Check { depth, seconds } = Arguments::parse().command;
    explain_aborts();
    let patience = Duration::from_secs(seconds);
    let mut worst = ExitCode::SUCCESS;
    for bounds in partition_bounds(depth) {
        let model = PartitionModel { bounds };
        if check("partition", &bounds, model, patience) == Finding::Violated {
            worst = ExitCode::FAILURE;
        }
    }
    worst
}

fn partition_bounds(depth: Depth) -> Vec<PartitionBounds> {
    let base = PartitionBounds {
        leaders: &[1, 2],
        appends: 2,
        crashes: 0,
        timeouts: 0,
        slow_disk: false,
        slow_links: false,
        followers_are_told: false,
        lie: None,
    };
    let n = |k: &str| {
        std::env::var(k)
            .ok()
            .and_then(|v| v.parse().ok())
            .unwrap_or(0u8)
    };
    if n("A") > 0 {
        return vec![PartitionBounds {
            appends: n("A") - 1,
            crashes: n("C"),
            timeouts: n("T"),
            slow_disk: n("D") > 0,
            slow_links: n("L") > 0,
            followers_are_told: n("F") > 0,
            ..base
        }];
    }
    match depth {
        Depth::Quick => vec![base],
        Depth::Deep => vec![PartitionBounds { crashes: 1, ..base }],
    }
}
