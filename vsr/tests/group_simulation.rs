//! The group in a bad world: many random runs with lost, repeated and late messages, crashes that
//! keep only what was durable, damaged journals, and cuts in one or both directions.
//!
//! After every step the checker compares all members with all that was ever seen. Then the world
//! heals, and everybody has to come together and go on.
//!
//! `QUORATE_SEEDS=5000` runs more seeds, `QUORATE_SEED=42` runs one and says how it went.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "group_simulation/checker.rs"]
mod checker;
#[path = "group_simulation/client.rs"]
mod client;
#[path = "group_simulation/disk.rs"]
mod disk;
#[path = "group_simulation/machine.rs"]
mod machine;
#[path = "group_simulation/world.rs"]
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use world::World;

const SEEDS: u64 = 300;
/// How long the bad times last.
const STORM: u64 = 12_000;
/// Within this time everybody has to be together again.
const CALM: u64 = 6_000;
/// Within this time everybody learns what is committed.
const STEP: u64 = 200;
/// In this time every client has to get answers.
const WORK: u64 = 3_000;

#[test]
fn a_group_in_a_bad_world_stays_consistent_and_recovers() {
    if let Some(seed) = number("QUORATE_SEED") {
        run(seed, true);
        return;
    }
    for seed in 0..number("QUORATE_SEEDS").unwrap_or(SEEDS) {
        let run = catch_unwind(AssertUnwindSafe(|| run(seed, false)));
        if let Err(panic) = run {
            eprintln!("replay with QUORATE_SEED={seed}");
            resume_unwind(panic);
        }
    }
}

/// The others hear it and it does not hear them, so it cannot commit anything.
#[test]
fn a_primary_that_goes_deaf_is_replaced_by_the_others() {
    for seed in 0..number("QUORATE_SEEDS").unwrap_or(SEEDS) / 10 {
        let mut world = World::new(seed);
        world.heal();
        world.run_until(CALM);
        let Some(deaf) = world.deafen_primary() else {
            continue;
        };
        world.run_until(2 * CALM);
        assert!(
            world.primary_beside(deaf).is_some(),
            "seed {seed}: {}",
            world.describe()
        );
    }
}

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{name} is a number, not {text:?}")),
    )
}

fn run(seed: u64, is_verbose: bool) {
    let mut world = World::new(seed);
    world.run_until(STORM);
    if is_verbose {
        eprintln!("after the storm {}", world.describe());
    }
    world.heal();
    let deadline = STORM + CALM;
    let mut now = STORM;
    loop {
        let committed = world.checker.committed();
        now += STEP;
        world.run_until(now);
        if world.is_converged(committed) {
            break;
        }
        assert!(now < deadline, "no agreement: {}", world.describe());
    }
    let before = world.answers();
    world.run_until(now + WORK);
    let after = world.answers();
    let is_served = before
        .iter()
        .zip(&after)
        .all(|(before, after)| after > before);
    assert!(
        is_served,
        "{before:?} answers, then {after:?}: {}",
        world.describe()
    );
    let committed = world.checker.committed();
    world.run_until(now + WORK + STEP);
    assert!(
        world.is_converged(committed),
        "agreement was lost: {}",
        world.describe()
    );
    if is_verbose {
        let (steps, crashes) = (world.steps, world.crashes);
        let (committed, views) = (world.checker.committed(), world.checker.views());
        let (damages, transfers) = (world.damages, world.transfers);
        eprintln!("{steps} steps, {crashes} crashes, {damages} damages, {transfers} transfers");
        eprintln!("{committed} operations in {views} views");
        eprintln!("agreed at {now}: {}", world.describe());
    }
}
