use clap::{Args, ValueEnum};
use quorate_model::{Campaign, Finding, Protocol, simulate};

/// Thousands of short random runs in bad worlds.
#[derive(Args)]
pub(super) struct Simulate {
    /// How many runs of each protocol; without it one run, all of which is told.
    #[arg(long)]
    seeds: Option<u64>,
    /// The first seed; the same seed gives the same run.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// What is simulated.
    #[arg(long, value_enum, default_value_t = Choice::Both)]
    protocol: Choice,
    /// How many runs may fail before the rest is given up.
    #[arg(long, default_value_t = 1)]
    failures: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Choice {
    /// The control plane's.
    Group,
    /// The data plane's.
    Partition,
    /// Either of them with each seed.
    Both,
}

impl Simulate {
    /// Whether no run has violated anything.
    pub(super) fn run(self) -> bool {
        let protocols = match self.protocol {
            Choice::Group => vec![Protocol::Group],
            Choice::Partition => vec![Protocol::Partition],
            Choice::Both => vec![Protocol::Group, Protocol::Partition],
        };
        let campaign = Campaign {
            protocols,
            first: self.seed,
            seeds: self.seeds.unwrap_or(1),
            failures_max: self.failures,
        };
        let finding = match self.seeds {
            Some(_) => simulate(&campaign),
            None => campaign.replay(),
        };
        finding == Finding::Holds
    }
}
