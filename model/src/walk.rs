//! Random walks through a model whose states are too many to look at all of them.
//!
//! A search looks at everything near the start and at nothing far away. A walk goes far: it takes
//! any possible step, again and again, and judges every state on its way. It proves nothing, but it
//! gets to where three things have gone wrong one after the other.

use std::fmt::Debug;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use stateright::{Expectation, Model, Property};

use crate::check::{Finding, Picture};

/// Longer than a walk needs until nothing new can happen any more.
const STEPS_MAX: usize = 2000;
/// A rare action is taken about once in so many steps.
const RARE_ONE_IN: usize = 25;

/// How often an action is taken on a walk.
pub trait Pace {
    /// Whether it is used up early if it is taken as often as any other, so that nothing is left
    /// for later.
    fn is_rare(&self) -> bool;
}

/// Walks for `patience` on every core, and prints the outcome.
pub fn walk<M>(name: &str, bounds: &dyn Debug, model: &M, seed: u64, patience: Duration) -> Finding
where
    M: Model + Sync,
    M::State: Picture,
    M::Action: Debug + Clone + Pace,
{
    let begin = Instant::now();
    let threads = thread::available_parallelism().map_or(1, usize::from) as u64;
    let tally = Tally::default();
    thread::scope(|scope| {
        for number in 0..threads {
            let tally = &tally;
            scope.spawn(move || {
                let mut walk_seed = seed.wrapping_add(number);
                while begin.elapsed() < patience && !tally.is_over.load(Ordering::Relaxed) {
                    walk_once(model, walk_seed, tally);
                    walk_seed = walk_seed.wrapping_add(threads);
                }
            });
        }
    });
    let (walks, steps) = (tally.walks.into_inner(), tally.steps.into_inner());
    let seconds = begin.elapsed().as_secs_f64();
    println!("{name}: {bounds:?}");
    println!(
        "  {walks} random walks of {steps} steps in all from seed {seed}, {seconds:.1} s, {:.0} \
         steps/s",
        steps as f64 / seconds
    );
    let violation = tally.violation.into_inner().unwrap_or_default();
    let seen = tally.seen.into_inner().unwrap_or_default();
    for property in model.properties() {
        let is_wanted = matches!(property.expectation, Expectation::Sometimes);
        if is_wanted && violation.is_none() && !seen.contains(&property.name) {
            println!("  not come across: {}", property.name);
        }
    }
    match violation {
        Some(story) => {
            println!("{story}\n  does not hold");
            Finding::Violated
        }
        None => {
            println!("  no violation on these walks");
            Finding::Unfinished
        }
    }
}

#[derive(Default)]
struct Tally {
    walks: AtomicU64,
    steps: AtomicU64,
    is_over: AtomicBool,
    seen: Mutex<Vec<&'static str>>,
    violation: Mutex<Option<String>>,
}

fn walk_once<M>(model: &M, seed: u64, tally: &Tally)
where
    M: Model,
    M::State: Picture,
    M::Action: Debug + Clone + Pace,
{
    let mut random = Random(seed);
    let properties = model.properties();
    let mut taken: Vec<M::Action> = Vec::new();
    let mut state = model.init_states().swap_remove(0);
    let mut actions = Vec::new();
    tally.walks.fetch_add(1, Ordering::Relaxed);
    for _ in 0..STEPS_MAX {
        if let Some(broken) = judge(model, &properties, &state, tally) {
            let story = tell(broken, &taken, &state, seed);
            tally.is_over.store(true, Ordering::Relaxed);
            tally
                .violation
                .lock()
                .expect("no walk panics with it")
                .get_or_insert(story);
            return;
        }
        actions.clear();
        model.actions(&state, &mut actions);
        let Some((action, next)) = step(model, &state, &mut actions, &mut random) else {
            return;
        };
        tally.steps.fetch_add(1, Ordering::Relaxed);
        taken.push(action);
        state = next;
    }
}

/// Any action that changes something.
fn step<M: Model>(
    model: &M,
    state: &M::State,
    actions: &mut Vec<M::Action>,
    random: &mut Random,
) -> Option<(M::Action, M::State)>
where
    M::Action: Clone + Pace,
{
    let prefers_rare = random.below(RARE_ONE_IN) == 0;
    let is_preferred = |action: &mut M::Action| action.is_rare() == prefers_rare;
    let mut preferred: Vec<_> = actions.extract_if(.., is_preferred).collect();
    while let Some(action) = random.take(&mut preferred).or_else(|| random.take(actions)) {
        if let Some(next) = model.next_state(state, action.clone()) {
            return Some((action, next));
        }
    }
    None
}

fn judge<M: Model>(
    model: &M,
    properties: &[Property<M>],
    state: &M::State,
    tally: &Tally,
) -> Option<&'static str> {
    for property in properties {
        let holds = (property.condition)(model, state);
        match property.expectation {
            Expectation::Always if !holds => return Some(property.name),
            Expectation::Sometimes if holds => {
                let mut seen = tally.seen.lock().expect("no walk panics with it");
                if !seen.contains(&property.name) {
                    seen.push(property.name);
                }
            }
            Expectation::Always | Expectation::Sometimes | Expectation::Eventually => {}
        }
    }
    None
}

fn tell<S: Picture, A: Debug>(broken: &str, taken: &[A], last: &S, seed: u64) -> String {
    let mut story = format!("  VIOLATED on the walk of seed {seed}: {broken}");
    for (number, action) in (1..).zip(taken) {
        story += &format!("\n    {number:3}. {action:?}");
    }
    story + "\n  which leads to:\n" + &last.picture()
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
