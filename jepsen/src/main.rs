//! `quorate-jepsen`: breaks a cluster of real processes and judges what its clients saw.

use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use quorate_jepsen::{Fault, Options, Shape, Trial, Verdict, run};

#[derive(Parser)]
#[command(about = "Breaks a cluster of real processes and judges what its clients saw.")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs one trial and prints the verdict: exit code 0 is a pass, 1 a failure, 2 unknown.
    Run(Run),
}

#[derive(clap::Args)]
struct Run {
    /// How long things break, in seconds.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// How many nodes the cluster has.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=9))]
    nodes: u16,
    /// How many shards each node has.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=16))]
    shards: u16,
    /// On how many nodes each partition is held.
    #[arg(long, default_value_t = 3)]
    replication: u16,
    /// How many partitions are written.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=64))]
    partitions: u32,
    /// How many writers each partition has.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=64))]
    writers: u32,
    /// How many records each writer sends in a second.
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..))]
    rate: u32,
    /// Where all that is random comes from; drawn and printed if not given.
    #[arg(long)]
    seed: Option<u64>,
    /// What may break: kill, pause, restart, kill-all.
    #[arg(long, value_delimiter = ',', default_value = "kill,pause,restart")]
    faults: Vec<Fault>,
    /// When a record counts as acknowledged; with `leader`, kills may lose records, and the judge
    /// should notice.
    #[arg(long, default_value = "quorum", value_parser = ["quorum", "leader"])]
    acks: String,
    /// A run without faults, for comparison.
    #[arg(long, conflicts_with = "faults")]
    no_faults: bool,
}

fn main() -> ExitCode {
    let Command::Run(arguments) = Arguments::parse().command;
    let seed = arguments.seed.unwrap_or_else(rand::random);
    println!("seed {seed}");
    let mut shape = Shape::new("trial", arguments.partitions);
    shape.writers = arguments.writers;
    shape.rate = arguments.rate;
    shape.produce = vec![String::from("--acks"), arguments.acks];
    let trial = Trial {
        options: Options {
            nodes: arguments.nodes,
            shards: arguments.shards,
            ..Options::default()
        },
        replication: arguments.replication.min(arguments.nodes),
        shape,
        faults: if arguments.no_faults {
            Vec::new()
        } else {
            arguments.faults
        },
        lasting: Duration::from_secs(arguments.seconds),
        seed,
    };
    match run(trial, &mut |what| println!("{what}")) {
        Err(failure) => {
            eprintln!("the trial could not be carried out: {failure}");
            ExitCode::from(2)
        }
        Ok((history, verdict)) => {
            let effective = history.faults.iter().filter(|fault| fault.took_effect);
            println!(
                "{} appends acknowledged, {} in doubt, {} readings, {} faults; the longest silence \
                 of a partition was {:.3} s",
                history.acknowledged(),
                history.indeterminate(),
                history.reads.len(),
                effective.count(),
                history.longest_silence().as_secs_f64(),
            );
            println!("{verdict}");
            match verdict {
                Verdict::Pass => ExitCode::SUCCESS,
                Verdict::Fail(_) => ExitCode::from(1),
                Verdict::Unknown(_) => ExitCode::from(2),
            }
        }
    }
}
