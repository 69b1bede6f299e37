//! Runs the checker and reports: what was looked at, how far, and what was found.

use std::fmt::Debug;
use std::hash::Hash;
use std::time::{Duration, Instant};

use stateright::{Checker, Expectation, HasDiscoveries, Model, Path};

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
    /// Time ran out before every state was looked at; no violation so far.
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
    let mut is_violated = false;
    for property in model.properties() {
        let discovery = checker.discovery(property.name);
        match (property.expectation, discovery) {
            (Expectation::Always, Some(path)) => {
                is_violated = true;
                println!("  VIOLATED: {}", property.name);
                print_path(path);
            }
            (Expectation::Always | Expectation::Eventually, None) => {}
            (Expectation::Sometimes, Some(_)) => {}
            (Expectation::Sometimes, None) | (Expectation::Eventually, Some(_)) => {
                is_violated = true;
                println!("  NEVER SEEN: {}", property.name);
            }
        }
    }
    let finding = match (is_violated, begin.elapsed() >= patience) {
        (true, _) => Finding::Violated,
        (false, true) => Finding::Unfinished,
        (false, false) => Finding::Holds,
    };
    println!("  {}", words(finding, patience));
    finding
}

fn words(finding: Finding, patience: Duration) -> String {
    match finding {
        Finding::Holds => String::from("holds: every state within the bounds was looked at"),
        Finding::Violated => String::from("does not hold"),
        Finding::Unfinished => {
            let seconds = patience.as_secs();
            format!("no violation in {seconds} s, but the states within the bounds are more")
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
