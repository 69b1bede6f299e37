//! Breaks the nodes of whole clusters on purpose, and sees whether the simulation notices.

mod breach;
mod search;

use std::process::ExitCode;

use clap::Parser;
use quorate_tests_sabotaged::simulation::campaign::cores;

use self::breach::{BREACHES, Breach};
use self::search::{Search, Shown};

/// Breaks one rule after the other, in all nodes of simulated clusters, until a run fails.
///
/// Exit code 0: each was noticed, by a run that has nothing to say if the rule is kept.
#[derive(Parser)]
#[command(version)]
struct Command {
    /// Only those in whose name one of these occurs.
    filters: Vec<String>,
    /// How many runs a broken rule may live through.
    #[arg(long, default_value_t = 200)]
    seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// How many threads run them; all cores unless given.
    #[arg(long)]
    threads: Option<usize>,
    /// Tell the last that happened in the runs that failed.
    #[arg(long)]
    stories: bool,
    /// Break nothing, and see whether these runs are clean: then none should be caught.
    #[arg(long)]
    kept: bool,
}

fn main() -> ExitCode {
    match Command::parse().run() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

impl Command {
    /// Whether everything was noticed, and nothing that is not there.
    fn run(self) -> bool {
        let search = Search {
            first: self.seed,
            seeds: self.seeds,
            threads: self.threads.unwrap_or_else(cores),
            is_kept: self.kept,
        };
        println!("{}", Shown::HEAD);
        let (mut rows, mut good) = (0, 0);
        for breach in BREACHES.iter().filter(|breach| self.is_wanted(breach)) {
            let shown = search.run(breach);
            println!("{shown}");
            if self.stories {
                println!("{}", shown.story());
            }
            rows += 1;
            good += usize::from(shown.is_good());
        }
        println!("{good} of {rows} are as they should be");
        good == rows && rows > 0
    }

    fn is_wanted(&self, breach: &Breach) -> bool {
        let mut filters = self.filters.iter();
        self.filters.is_empty() || filters.any(|filter| breach.name().contains(filter))
    }
}
