use std::time::Duration;

use clap::Args;
use quorate_model::{Direction, End, Limits, Report, Scope};

/// Looks at every state within the bounds of some scopes.
#[derive(Args)]
pub(super) struct Check {
    /// A preset (seconds, minutes, hour), or the name of one scope.
    #[arg(value_name = "PRESET|SCOPE", value_parser = super::scopes)]
    scopes: std::vec::Vec<Scope>,
    /// Give up each scope after this many seconds.
    #[arg(long, default_value_t = 3600)]
    seconds: u64,
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
        let limits = Limits {
            patience: Duration::from_secs(self.seconds),
            states_max: self.states,
        };
        let mut unique = 0;
        let mut is_good = true;
        for scope in &self.scopes {
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
    if let Some(violation) = &report.violation {
        println!("{violation}");
    }
    report
}
