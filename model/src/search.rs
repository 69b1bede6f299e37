//! Looks at every state within bounds.

use std::thread;
use std::time::{Duration, Instant};

use stateright::{Checker, CheckerBuilder, Expectation, HasDiscoveries};

use crate::report::{End, Report};
use crate::rule::{Judged, Rule};
use crate::story::tell;

/// How often a long search says how far it is.
const PROGRESS: Duration = Duration::from_secs(5);
/// How often it is seen whether a search is over.
const GLANCE: Duration = Duration::from_millis(20);

/// When a search is given up.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// After this time.
    pub patience: Duration,
    /// After this many states have been generated, repetitions included.
    pub states_max: usize,
}

/// In which order states are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// As far as possible first: fast, and takes little memory. The way to a violation is long.
    Deep,
    /// What is near first: what leads to a violation is nearly the shortest way.
    Broad,
}

/// Looks at all states of a model, or as many as the limits allow.
///
/// `progress` is told now and then how many different states there have been.
pub fn search<P: Judged>(
    model: &P,
    direction: Direction,
    limits: Limits,
    progress: &dyn Fn(usize),
) -> Report {
    match direction {
        Direction::Deep => follow(model, builder(model, limits).spawn_dfs(), limits, progress),
        Direction::Broad => follow(model, builder(model, limits).spawn_bfs(), limits, progress),
    }
}

fn builder<P: Judged>(model: &P, limits: Limits) -> CheckerBuilder<P> {
    // With a single thread the checker does not notice that its time is up.
    let threads = thread::available_parallelism()
        .map_or(2, usize::from)
        .max(2);
    model
        .clone()
        .checker()
        .threads(threads)
        .finish_when(HasDiscoveries::AnyFailures)
        .timeout(limits.patience)
        .target_state_count(limits.states_max)
}

fn follow<P: Judged>(
    model: &P,
    mut checker: impl Checker<P>,
    limits: Limits,
    progress: &dyn Fn(usize),
) -> Report {
    let begin = Instant::now();
    let handles = checker.handles();
    let mut said = begin;
    while handles.iter().any(|handle| !handle.is_finished()) {
        thread::sleep(GLANCE);
        if said.elapsed() > PROGRESS {
            said = Instant::now();
            progress(checker.unique_state_count());
        }
    }
    let has_failed = handles.into_iter().any(|handle| handle.join().is_err());
    assert!(!has_failed, "the checker itself has panicked");
    let duration = begin.elapsed();
    let states = checker.state_count();
    let mut rules = model.rules().into_iter();
    let found = |rule: &Rule<P>| checker.discovery(rule.name);
    let violated = rules.find_map(|rule| match rule.expectation {
        Expectation::Always => found(&rule).map(|path| tell(model, &rule, path.into_actions())),
        Expectation::Sometimes | Expectation::Eventually => None,
    });
    let wanted = model
        .rules()
        .into_iter()
        .filter(|rule| matches!(rule.expectation, Expectation::Sometimes) && found(rule).is_none());
    Report {
        unique: checker.unique_state_count(),
        states,
        depth: checker.max_depth(),
        duration,
        end: match &violated {
            Some(_) => End::Violation,
            None if duration >= limits.patience => End::Time,
            None if states >= limits.states_max => End::States,
            None => End::All,
        },
        violation: violated,
        missing: wanted.map(|rule| rule.name).collect(),
    }
}
