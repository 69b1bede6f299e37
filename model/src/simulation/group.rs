//! The group in a bad world: many random runs with lost, repeated and late messages, crashes that
//! keep only what was durable, damaged journals, and cuts in one or both directions.
//!
//! After every step the checker compares all members with all that was ever seen. Then the world
//! heals, and everybody has to come together and go on.
mod checker;
mod client;
mod disk;
mod machine;
mod world;

use world::World;

/// How long the bad times last.
const STORM: u64 = 12_000;
/// Within this time everybody has to be together again.
const CALM: u64 = 6_000;
/// Within this time everybody learns what is committed.
const STEP: u64 = 200;
/// In this time every client has to get answers.
const WORK: u64 = 3_000;

/// A primary that the others hear and that does not hear them cannot commit anything, so they have
/// to replace it.
///
/// # Panics
///
/// If they do not.
pub fn deafen_group(seed: u64) {
    let mut world = World::new(seed);
    world.heal();
    world.run_until(CALM);
    let Some(deaf) = world.deafen_primary() else {
        return;
    };
    world.run_until(2 * CALM);
    assert!(
        world.primary_beside(deaf).is_some(),
        "seed {seed}: {}",
        world.describe()
    );
}

/// Lives through one random run of a group.
///
/// # Panics
///
/// If members disagree, or do not come together again.
pub fn simulate_group(seed: u64, is_verbose: bool) {
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
