//! The group in a bad world: lost, repeated and late messages, crashes that keep only what was
//! durable, damaged and lost disks, nodes and disks that stand still, cuts in one or both
//! directions, and somebody who changes the members all the while.
//!
//! `swarm` draws the world of a run, `world` lives through it; a kind of fault lies in `fault`, a
//! check in `checker`, what has to happen sometimes in `sometimes`, who changes the members in
//! `operator`. After the storm `calm` heals a
//! quorum for good and expects that it goes on.

mod atlas;
mod calm;
mod checker;
mod client;
mod clock;
mod disk;
mod fault;
mod glance;
mod machine;
mod network;
mod node;
mod operator;
mod reading;
mod service;
mod sometimes;
mod swarm;
mod world;

use super::Outcome;
use super::timeline::Timeline;
pub(super) use sometimes::Sometimes;
use world::World;

/// A run of more steps is a long one.
const LONG: u64 = 1000;

/// The storm is over when so much time has passed for each step that it may have: nobody who could
/// take one is left standing.
const STEP_TIME_MAX: u64 = 20;

/// Lives through one run.
pub(super) fn run(seed: u64, timeline: Timeline) -> Outcome {
    let mut world = World::new(seed, timeline);
    let steps = world.swarm.steps;
    while world.steps < steps && world.happen(steps * STEP_TIME_MAX) {}
    world.come_to_rest(steps > LONG);
    Outcome {
        steps: world.steps,
        trace: world.trace.value(),
        tally: world.tally,
    }
}
