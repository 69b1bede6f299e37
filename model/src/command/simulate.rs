use clap::{Args, ValueEnum};
use quorate_model::{Campaign, Finding, Protocol, simulate};
use quorate_model_sabotaged as sabotaged;
use quorate_vsr_sabotaged::sabotage::{self, Sabotage};

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
    /// Break the rules in whose names this occurs, one at a time, and see whether a run fails.
    #[arg(long, value_name = "RULE")]
    sabotage: Option<String>,
}

/// Within so many runs of each protocol a rule that is broken has to be noticed.
const SABOTAGED_SEEDS: u64 = 50_000;

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
        if let Some(filter) = &self.sabotage {
            return self.break_rules(filter);
        }
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

    /// Whether each rule that is broken on purpose makes a run fail.
    fn break_rules(&self, filter: &str) -> bool {
        let protocols = match self.protocol {
            Choice::Group => vec![sabotaged::Protocol::Group],
            Choice::Partition => vec![sabotaged::Protocol::Partition],
            Choice::Both => vec![sabotaged::Protocol::Group, sabotaged::Protocol::Partition],
        };
        let campaign = sabotaged::Campaign {
            protocols,
            first: self.seed,
            seeds: self.seeds.unwrap_or(SABOTAGED_SEEDS),
            failures_max: 1,
        };
        let named = |rule: &Sabotage| format!("{rule:?}").contains(filter);
        let rules: Vec<Sabotage> = Sabotage::CORES.into_iter().filter(named).collect();
        let mut is_good = !rules.is_empty();
        for rule in rules {
            let name = format!("{rule:?}");
            sabotage::choose(Some(rule));
            let failure = campaign.hunt();
            sabotage::choose(None);
            match &failure {
                Some(failure) => {
                    let words = failure.words.lines().next().unwrap_or_default();
                    let (protocol, seed) = (failure.protocol, failure.seed);
                    println!("{name:30} {protocol}, seed {seed}: {words}");
                }
                None => println!("{name:30} NOT FOUND"),
            }
            is_good &= failure.is_some();
        }
        is_good
    }
}
