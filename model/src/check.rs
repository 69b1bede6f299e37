//! Runs the checker and reports: what was looked at, how far, and what was found.

use std::fmt::Debug;
use std::hash::Hash;
use std::time::{Duration, Instant};

use stateright::{Checker, Expectation, HasDiscoveries, Model, Path};

/// States to generate before a search is given up, so that it does not eat the machine: what is
/// waiting to be looked at takes some hundred bytes for each.
const STATES_MAX: usize = 30_000_000;

/// A state that can be shown on a page.
pub trait Picture {
    /// Some lines that say what matters.
    fn picture(&self) -> String;
}

/// What a check found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finding {
    /// Every state within the bounds was looked at, and every property holds.
    Holds,
    /// Time or room ran out before every state was looked at; no violation so far.
    Unfinished,
    /// A property does not hold, or something was never possible that must be.
    Violated,
}

/// Checks a model, for at most `patience`, and prints the outcome.
pub fn check<M>(name: &str, bounds: &dyn Debug, model: M, patience: Duration) -> Finding
where
    M: Model + Send + Sync + Clone + 'static,
    M::State: Hash + Send + Sync + Debug + Clone + PartialEq + Picture,
    M::Action: Clone + Debug + PartialEq + Send + Sync,
{
    let begin = Instant::now();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let checker = model
        .clone()
        .checker()
        .threads(threads)
        .finish_when(HasDiscoveries::AnyFailures)
        .timeout(patience)
        .target_state_count(STATES_MAX)
        .spawn_bfs()
        .join();
    let seconds = begin.elapsed().as_secs_f64();
    let (states, unique) = (checker.state_count(), checker.unique_state_count());
    println!("{name}: {bounds:?}");
    println!(
        "  {unique} unique states of {states}, depth {}, {seconds:.1} s, {:.0} states/s",
        checker.max_depth(),
        states as f64 / seconds
    );
    let is_finished = begin.elapsed() < patience && states < STATES_MAX;
    let mut is_violated = false;
    for property in model.properties() {
        match (property.expectation, checker.discovery(property.name)) {
            (Expectation::Always, Some(path)) => {
                is_violated = true;
                println!("  VIOLATED: {}", property.name);
                print_path(path);
            }
            (Expectation::Sometimes, None) if is_finished => {
                is_violated = true;
                println!("  NEVER SEEN: {}", property.name);
            }
            (Expectation::Always | Expectation::Sometimes | Expectation::Eventually, _) => {}
        }
    }
    let finding = match (is_violated, is_finished) {
        (true, _) => Finding::Violated,
        (false, true) => Finding::Holds,
        (false, false) => Finding::Unfinished,
    };
    println!("  {}", words(finding));
    finding
}

fn words(finding: Finding) -> String {
    match finding {
        Finding::Holds => String::from("holds: every state within the bounds was looked at"),
        Finding::Violated => String::from("does not hold"),
        Finding::Unfinished => {
            String::from("no violation, but the states within the bounds are more than these")
        }
    }
}

fn print_path<S: Picture, A: Debug>(path: Path<S, A>) {
    let steps = path.into_vec();
    for (number, (_, action)) in (1..).zip(&steps) {
        if let Some(action) = action {
            println!("    {number:3}. {action:?}");
        }
    }
    if let Some((last, _)) = steps.last() {
        println!("  which leads to:\n{}", last.picture());
    }
}
