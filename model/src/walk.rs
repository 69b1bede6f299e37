//! Random walks through a model whose states are too many to look at all of them.
//!
//! A search looks at everything near the start and at nothing far away. A walk goes far: it takes
//! any possible step, again and again, and judges every state on its way. It proves nothing, but it
//! gets to where three things have gone wrong one after the other.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use stateright::Expectation;

use crate::report::{End, Report, Violation};
use crate::rule::{Judged, Rule, Taken};
use crate::search::Limits;
use crate::story::tell;

/// Longer than a walk needs until nothing new can happen any more.
const STEPS_MAX: usize = 2000;
/// A rare action is taken about once in so many steps.
const RARE_ONE_IN: usize = 25;

/// Walks on every core, until the limits are reached or a rule is violated.
///
/// The same seed takes the same walks, though on several cores not the same one is the first to
/// find something.
pub fn walk<P: Judged>(model: &P, seed: u64, limits: Limits) -> Report {
    let begin = Instant::now();
    let threads = thread::available_parallelism().map_or(1, usize::from) as u64;
    let tally = Tally::default();
    let is_over = || {
        tally.is_over.load(Ordering::Relaxed)
            || begin.elapsed() >= limits.patience
            || tally.steps.load(Ordering::Relaxed) >= limits.states_max
    };
    thread::scope(|scope| {
        for number in 0..threads {
            let (tally, is_over) = (&tally, &is_over);
            scope.spawn(move || {
                let mut walk_seed = seed.wrapping_add(number);
                while !is_over() {
                    walk_once(model, walk_seed, tally);
                    walk_seed = walk_seed.wrapping_add(threads);
                }
            });
        }
    });
    let duration = begin.elapsed();
    let states = tally.steps.into_inner();
    let violation = tally.violation.into_inner().unwrap_or_default();
    let seen = tally.seen.into_inner().unwrap_or_default();
    let wanted = model.rules().into_iter().filter(|rule| {
        matches!(rule.expectation, Expectation::Sometimes) && !seen.contains(rule.name)
    });
    Report {
        unique: 0,
        states,
        depth: tally.depth.into_inner(),
        duration,
        end: match violation {
            Some(_) => End::Violation,
            None if duration >= limits.patience => End::Time,
            None => End::States,
        },
        violation,
        missing: wanted.map(|rule| rule.name).collect(),
    }
}

#[derive(Default)]
struct Tally {
    steps: AtomicUsize,
    depth: AtomicUsize,
    is_over: AtomicBool,
    seen: Mutex<BTreeSet<&'static str>>,
    violation: Mutex<Option<Violation>>,
}

fn walk_once<P: Judged>(model: &P, seed: u64, tally: &Tally) {
    let mut random = Random(seed);
    let rules = model.rules();
    let mut taken: Vec<P::Action> = Vec::new();
    let mut state = model.init_states().swap_remove(0);
    let mut actions = Vec::new();
    for _ in 0..STEPS_MAX {
        if let Some(rule) = judge(model, &rules, &state, tally) {
            tally.is_over.store(true, Ordering::Relaxed);
            let violation = tell(model, rule, taken);
            let mut first = tally.violation.lock().expect("no walk panics with it");
            first.get_or_insert(violation);
            return;
        }
        actions.clear();
        model.actions(&state, &mut actions);
        let Some((action, next)) = step(model, &state, &mut actions, &mut random) else {
            return;
        };
        tally.steps.fetch_add(1, Ordering::Relaxed);
        taken.push(action);
        tally.depth.fetch_max(taken.len(), Ordering::Relaxed);
        state = next;
    }
}

/// Any action that changes something.
fn step<P: Judged>(
    model: &P,
    state: &P::State,
    actions: &mut Vec<P::Action>,
    random: &mut Random,
) -> Option<(P::Action, P::State)> {
    let prefers_rare = random.below(RARE_ONE_IN) == 0;
    let is_preferred = |action: &mut P::Action| action.is_rare() == prefers_rare;
    let mut preferred: Vec<_> = actions.extract_if(.., is_preferred).collect();
    while let Some(action) = random.take(&mut preferred).or_else(|| random.take(actions)) {
        if let Some(next) = model.next_state(state, action.clone()) {
            return Some((action, next));
        }
    }
    None
}

/// The rule that does not hold in this state.
fn judge<'a, P: Judged>(
    model: &P,
    rules: &'a [Rule<P>],
    state: &P::State,
    tally: &Tally,
) -> Option<&'a Rule<P>> {
    for rule in rules {
        let holds = (rule.condition)(model, state);
        match rule.expectation {
            Expectation::Always if !holds => return Some(rule),
            Expectation::Sometimes if holds => {
                let mut seen = tally.seen.lock().expect("no walk panics with it");
                seen.insert(rule.name);
            }
            Expectation::Always | Expectation::Sometimes | Expectation::Eventually => {}
        }
    }
    None
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) as usize % bound
    }

    fn take<T>(&mut self, from: &mut Vec<T>) -> Option<T> {
        (!from.is_empty()).then(|| from.swap_remove(self.below(from.len())))
    }
}
