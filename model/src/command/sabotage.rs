use std::collections::BTreeMap;
use std::time::Duration;

use clap::Args;
use quorate_model::{Direction, End, Limits, Report, Scope};
use quorate_model_sabotaged as sabotaged;
use quorate_vsr_sabotaged::sabotage::{self, Sabotage};

/// Breaks the rules of the protocols one by one, and sees whether each time the check notices.
///
/// Exit code 0: it does, and with the rules kept it has nothing to say against the same scopes.
#[derive(Args)]
pub(super) struct Sabotages {
    /// Only the rows in whose rule or scope one of these occurs.
    filters: Vec<String>,
    /// Tell how each rule came to be violated.
    #[arg(long)]
    stories: bool,
}

/// A rule that is broken, and where that must be noticed.
const ROWS: &[(Sabotage, &str)] = &[
    (Sabotage::CommitWithoutQuorum, "partition-slow-disk"),
    (Sabotage::CommitWithoutQuorum, "group-slow-disk"),
    (Sabotage::PrepareOkBeforeDurable, "partition-slow-disk"),
    (Sabotage::PrepareOkBeforeDurable, "group-slow-disk"),
    (Sabotage::ViewNotDurable, "partition-slow-disk"),
    (Sabotage::ViewNotDurable, "group-promise-crash"),
    (Sabotage::LongestLogWins, "partition-older-log"),
    (Sabotage::LongestLogWins, "group-older-log"),
    (Sabotage::AdoptedTooEarly, "partition-half-filled"),
    (Sabotage::TruncatedBelowWatermark, "partition-diverged"),
    (Sabotage::NackOfFaulty, "partition-lost-end"),
    (Sabotage::NackOfFaulty, "group-damaged-entry"),
    (Sabotage::LostDiskVotes, "group-lost-disk"),
    (Sabotage::StaleLeaderAcknowledges, "partition-deposed"),
    (Sabotage::StaleLeaderAcknowledges, "group-deposed"),
    (Sabotage::DedupForgotten, "group-repeated-request"),
    (Sabotage::LeaseTooLong, "group-lease"),
    (Sabotage::ExpiredBeforeDurable, "partition-log-start-crash"),
    (Sabotage::RepairedUncompacted, "partition-compacted-repair"),
    (Sabotage::CompactedAtMajority, "partition-compacted-learner"),
    (Sabotage::ReconfiguredWithoutOldMajority, "partition-joint"),
    (
        Sabotage::ReconfiguredWithoutOldMajority,
        "group-hasty-change",
    ),
];

/// No violation takes this long to find.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long it is seen whether the rules hold if they are kept. The widest of these scopes would
/// take longer: `check minutes` and `check hour` give them more time.
const PATIENCE_KEPT: Duration = Duration::from_secs(15);
/// Nor are there as many states in any of the scopes.
const STATES_MAX: usize = 20_000_000;

impl Sabotages {
    /// Whether everything is noticed, and nothing that is not there.
    pub(super) fn run(self) -> bool {
        println!(
            "{:30} {:22} {:5} {:>7} {:>5}  {:58}  the rules kept",
            "broken on purpose", "scope", "found", "states", "steps", "violated"
        );
        let mut kept = BTreeMap::new();
        let (mut rows, mut good) = (0, 0);
        for (sabotage, scope) in ROWS {
            if self.is_wanted(*sabotage, scope) {
                let kept = kept.entry(scope).or_insert_with(|| search_kept(scope));
                rows += 1;
                good += usize::from(self.run_row(*sabotage, scope, kept));
            }
        }
        println!("{good} of {rows} are as they should be");
        good == rows && rows > 0
    }

    fn is_wanted(&self, sabotage: Sabotage, scope: &str) -> bool {
        let row = format!("{sabotage:?} {scope}");
        let mut filters = self.filters.iter();
        self.filters.is_empty() || filters.any(|filter| row.contains(filter))
    }

    fn run_row(&self, sabotage: Sabotage, scope: &str, kept: &Report) -> bool {
        let broken = search_broken(sabotage, scope);
        let found = broken.violation.as_ref();
        println!(
            "{:30} {scope:22} {:5} {:>7} {:>5}  {:58}  {}",
            format!("{sabotage:?}"),
            if found.is_some() { "yes" } else { "NO" },
            broken.unique,
            found.map_or(0, |violation| violation.steps.len()),
            found.map_or("", |violation| violation.rule),
            verdict(kept)
        );
        if let Some(violation) = found.filter(|_| self.stories) {
            println!("{violation}");
        }
        if let Some(violation) = &kept.violation {
            println!("{violation}");
        }
        found.is_some() && kept.violation.is_none()
    }
}

fn search_broken(sabotage: Sabotage, scope: &str) -> sabotaged::Report {
    let scope = sabotaged::Scope::named(scope).expect("rows name scopes that exist");
    let limits = sabotaged::Limits {
        patience: PATIENCE,
        states_max: STATES_MAX,
    };
    sabotage::choose(Some(sabotage));
    let report = scope.search(sabotaged::Direction::Broad, limits, &|_| {});
    sabotage::choose(None);
    report
}

fn search_kept(scope: &str) -> Report {
    let scope = Scope::named(scope).expect("both packages have the same scopes");
    let limits = Limits {
        patience: PATIENCE_KEPT,
        states_max: STATES_MAX,
    };
    scope.search(Direction::Deep, limits, &|_| {})
}

fn verdict(kept: &Report) -> String {
    match kept.end {
        End::All => format!("hold in all {} states", kept.unique),
        End::Time | End::States => format!("hold in {} states and more", kept.unique),
        End::Violation => "VIOLATED AS WELL".to_owned(),
    }
}
