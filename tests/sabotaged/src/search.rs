use std::collections::BTreeMap;
use std::fmt;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use quorate_tests_sabotaged::simulation::campaign::run_all;
use quorate_tests_sabotaged::simulation::run::{Outcome, run};

use crate::breach::Breach;

/// A problem is shown up to here.
const PROBLEM_CHARS: usize = 90;

/// In how many runs, and by how many threads, something is to be noticed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Search {
    pub(crate) first: u64,
    pub(crate) seeds: u64,
    pub(crate) threads: usize,
    /// Whether nothing is broken, as if to see that nothing is noticed then.
    pub(crate) is_kept: bool,
}

/// What came of the search for one of them.
#[derive(Debug)]
pub(crate) struct Shown {
    name: String,
    /// How many runs there were up to the one that failed.
    tried: u64,
    /// The run that failed.
    caught: Option<Outcome>,
    /// The same run with nothing broken.
    kept: Option<Outcome>,
    took: Duration,
}

impl Search {
    /// Runs clusters that are broken like this until one of them shows it.
    pub(crate) fn run(&self, breach: &Breach) -> Shown {
        let begun = Instant::now();
        if !self.is_kept {
            breach.begin();
        }
        let caught = self.first_failed(breach);
        Breach::mend();
        let kept = caught
            .as_ref()
            .map(|outcome| run(&breach.plan_kept(outcome.seed)));
        Shown {
            name: breach.name(),
            tried: caught
                .as_ref()
                .map_or(self.seeds, |outcome| outcome.seed - self.first + 1),
            caught,
            kept,
            took: begun.elapsed(),
        }
    }

    /// The run that fails of the least seed: those before it are run to their ends.
    fn first_failed(&self, breach: &Breach) -> Option<Outcome> {
        let plan = |seed| match self.is_kept {
            true => breach.plan_kept(seed),
            false => breach.plan(seed),
        };
        let mut failed = BTreeMap::new();
        let seeds = self.first..self.first + self.seeds;
        run_all(seeds, self.threads, plan, |outcome| {
            if outcome.problems.is_empty() {
                return ControlFlow::Continue(());
            }
            failed.insert(outcome.seed, outcome);
            ControlFlow::Break(())
        });
        failed.into_values().next()
    }
}

impl Shown {
    /// What stands above all of them.
    pub(crate) const HEAD: &str = "broken on purpose           caught    seed  tried  seconds  \
                                   kept   by";

    /// Whether it was noticed, and only because of what was broken.
    pub(crate) fn is_good(&self) -> bool {
        let is_clean = |outcome: &Outcome| outcome.problems.is_empty();
        self.kept.as_ref().is_some_and(is_clean)
    }

    /// The last that happened in the runs that failed.
    pub(crate) fn story(&self) -> String {
        let caught = self.caught.iter();
        let kept = self.kept.iter().filter(|kept| !kept.problems.is_empty());
        let story = |outcome: &Outcome| format!("{}\n{outcome}", outcome.timeline);
        let stories: Vec<_> = caught.chain(kept).map(story).collect();
        stories.join("\n")
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, tried, took) = (&self.name, self.tried, self.took.as_secs_f64());
        let Some(caught) = &self.caught else {
            return write!(f, "{name:27} NO           -  {tried:5}  {took:7.1}");
        };
        let kept = match self.is_good() {
            true => "good",
            false => "WRONG",
        };
        let seed = caught.seed;
        let first = caught.problems.first().map_or("", String::as_str);
        let first = first.split_whitespace().collect::<Vec<_>>().join(" ");
        let by: String = first.chars().take(PROBLEM_CHARS).collect();
        write!(
            f,
            "{name:27} yes    {seed:7}  {tried:5}  {took:7.1}  {kept:5}  {by}"
        )
    }
}
