use std::time::Duration;

use clap::Args;
use quorate_model_sabotaged as sabotaged;
use quorate_vsr_sabotaged::sabotage::{self, Sabotage};

/// Breaks the rules of the protocols one by one, and sees whether each time the check notices.
///
/// Exit code 0: it does, and with the rules kept it has nothing to say against the same scopes.
#[derive(Args)]
pub(super) struct Sabotages {
    /// Only the rows in whose name this occurs.
    #[arg(default_value = "")]
    filter: String,
    /// Tell how each rule came to be violated.
    #[arg(long)]
    stories: bool,
}

/// A rule that is broken, and where that must be noticed.
struct Row {
    sabotage: Sabotage,
    scope: &'static str,
    way: Way,
}

#[derive(Clone, Copy)]
enum Way {
    /// By looking at all states, near the start first, until there are this many.
    Search { states_max: usize },
    /// By walking at random, for at most so many steps.
    Walk { steps_max: usize },
}

/// No row takes this long.
const PATIENCE: Duration = Duration::from_secs(300);

const fn search(sabotage: Sabotage, scope: &'static str, states_max: usize) -> Row {
    Row {
        sabotage,
        scope,
        way: Way::Search { states_max },
    }
}

const fn walk(sabotage: Sabotage, scope: &'static str, steps_max: usize) -> Row {
    Row {
        sabotage,
        scope,
        way: Way::Walk { steps_max },
    }
}

const ROWS: &[Row] = &[
    search(
        Sabotage::CommitWithoutQuorum,
        "partition-record-crash",
        1_000_000,
    ),
    search(
        Sabotage::CommitWithoutQuorum,
        "group-prepare-crash",
        1_000_000,
    ),
    search(
        Sabotage::PrepareOkBeforeDurable,
        "partition-record-crash",
        1_000_000,
    ),
    search(
        Sabotage::PrepareOkBeforeDurable,
        "group-prepare-crash",
        1_000_000,
    ),
    search(
        Sabotage::ViewNotDurable,
        "partition-promise-crash",
        1_000_000,
    ),
    walk(Sabotage::ViewNotDurable, "group-wide", 1_000_000),
    search(Sabotage::LongestLogWins, "partition-takeover", 1_000_000),
    walk(Sabotage::LongestLogWins, "partition-wide", 10_000_000),
    walk(Sabotage::LongestLogWins, "group-wide", 10_000_000),
    walk(Sabotage::AdoptedTooEarly, "partition-wide", 10_000_000),
    search(
        Sabotage::TruncatedBelowWatermark,
        "partition-takeover",
        1_000_000,
    ),
    walk(
        Sabotage::TruncatedBelowWatermark,
        "partition-wide",
        1_000_000,
    ),
    walk(
        Sabotage::StaleLeaderAcknowledges,
        "partition-wide",
        1_000_000,
    ),
    walk(Sabotage::StaleLeaderAcknowledges, "group-wide", 1_000_000),
    walk(Sabotage::DedupForgotten, "group-wide", 1_000_000),
    search(Sabotage::NackOfFaulty, "partition-loss", 10_000_000),
];

impl Row {
    fn limits(&self) -> sabotaged::Limits {
        let states_max = match self.way {
            Way::Search { states_max } => states_max,
            Way::Walk { steps_max } => steps_max,
        };
        sabotaged::Limits {
            patience: PATIENCE,
            states_max,
        }
    }

    fn run(&self) -> sabotaged::Report {
        let scope = sabotaged::Scope::named(self.scope).expect("rows name scopes that exist");
        sabotage::choose(Some(self.sabotage));
        let report = match self.way {
            Way::Search { .. } => scope.search(sabotaged::Direction::Broad, self.limits(), &|_| {}),
            Way::Walk { .. } => scope.walk(1, self.limits()),
        };
        sabotage::choose(None);
        report
    }
}

impl Sabotages {
    /// Whether everything is noticed, and nothing that is not there.
    pub(super) fn run(self) -> bool {
        let mut is_good = true;
        println!(
            "{:30} {:24} {:>8} {:>10} {:>6} {:>7}  violated",
            "broken on purpose", "scope", "found by", "states", "steps", "seconds"
        );
        for row in ROWS {
            let name = format!("{:?}", row.sabotage);
            if !format!("{name} {}", row.scope).contains(&self.filter) {
                continue;
            }
            let report = row.run();
            let way = match row.way {
                Way::Search { .. } => "search",
                Way::Walk { .. } => "walk",
            };
            let found = report.violation.as_ref();
            println!(
                "{name:30} {:24} {way:>8} {:>10} {:>6} {:>7.1}  {}",
                row.scope,
                report.states,
                found.map_or(0, |violation| violation.steps.len()),
                report.duration.as_secs_f64(),
                found.map_or("NOT FOUND", |violation| violation.rule),
            );
            if let Some(violation) = found.filter(|_| self.stories) {
                println!("{violation}");
            }
            is_good &= found.is_some();
        }
        is_good
    }
}
