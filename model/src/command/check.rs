use std::time::Duration;

use clap::Args;
use quorate_model::{Direction, End, Limits, Report, Scope};

/// Looks at every state within the bounds of some scopes, and walks through the widest ones.
///
/// Exit code 1: a rule is violated, or something that must be possible is not.
#[derive(Args)]
pub(super) struct Check {
    /// A preset (seconds, minutes, hour), or the name of one scope.
    #[arg(value_name = "PRESET|SCOPE", value_parser = super::scopes)]
    scopes: std::vec::Vec<Scope>,
    /// Give up each scope after this many seconds; without it, after as many as its preset allows.
    #[arg(long)]
    seconds: Option<u64>,
    /// Give up each scope after this many states, repetitions included.
    #[arg(long, default_value_t = 2_000_000_000)]
    states: usize,
    /// Look at what is near first, which takes more time and memory.
    #[arg(long)]
    broad: bool,
}

impl Check {
    /// Whether no rule is violated.
    pub(super) fn run(self) -> bool {
        print_rules(&self.scopes);
        let direction = if self.broad {
            Direction::Broad
        } else {
            Direction::Deep
        };
        let mut unique = 0;
        let mut is_good = true;
        for scope in &self.scopes {
            let patience = self.seconds.map(Duration::from_secs);
            let limits = Limits {
                patience: patience.unwrap_or_else(|| scope.preset.patience()),
                states_max: self.states,
            };
            let report = check(scope, direction, limits);
            unique += report.unique;
            is_good &= report.is_good();
        }
        println!("{unique} unique states in all");
        is_good
    }
}

fn print_rules(scopes: &[Scope]) {
    for protocol in ["partition", "group"] {
        if let Some(scope) = scopes.iter().find(|scope| scope.protocol() == protocol) {
            println!("what must hold in a {protocol}:");
            for (rule, meaning) in scope.rules() {
                println!("  {rule}:\n      {meaning}");
            }
        }
    }
}

fn check(scope: &Scope, direction: Direction, limits: Limits) -> Report {
    println!("\n{scope}");
    if scope.is_walked() {
        return walk(scope, limits);
    }
    let report = scope.search(direction, limits, &|unique| {
        eprintln!("  ... {}: {unique} unique states so far", scope.name);
    });
    println!(
        "  {} unique states of {}, depth {}, {:.1} s, {:.0} states/s: {}",
        report.unique,
        report.states,
        report.depth,
        report.duration.as_secs_f64(),
        report.pace(),
        report.end
    );
    if report.end == End::All {
        for missing in &report.missing {
            println!("  NEVER SEEN: {missing}");
        }
    }
    tell_violation(&report);
    report
}

fn walk(scope: &Scope, limits: Limits) -> Report {
    let report = scope.walk(1, limits);
    println!(
        "  {} steps at random, the longest walk {}, {:.1} s, {:.0} steps/s: {}",
        report.states,
        report.depth,
        report.duration.as_secs_f64(),
        report.pace(),
        report.end
    );
    for missing in &report.missing {
        println!("  not come across: {missing}");
    }
    tell_violation(&report);
    report
}

fn tell_violation(report: &Report) {
    if let Some(violation) = &report.violation {
        println!("{violation}");
    }
}
