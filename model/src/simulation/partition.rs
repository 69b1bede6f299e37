//! A partition in a bad world: packets lost, repeated and overtaken, nodes crashed and cut off,
//! disks that lag behind, that lose the ends of logs and let records rot, epochs assigned at the
//! worst moment, and voters that are changed meanwhile.
//!
//! There is no time here, because the protocol has none: of all that is under way, anything may
//! happen next. `swarm` draws the world of a run, `world` lives through it, `ledger` judges; what
//! goes wrong lies in `fault`, `network`, `disk`, `control` and `change`, what has to happen
//! sometimes in `sometimes`. After the storm `calm` heals a quorum for good and expects that it
//! goes on.

mod batch;
mod calm;
mod change;
mod compaction;
mod control;
mod disk;
mod expiry;
mod fault;
mod ledger;
mod network;
mod node;
mod pump;
mod repair;
mod sometimes;
mod swarm;
mod world;

use super::Outcome;
use super::timeline::Timeline;
pub(super) use sometimes::Sometimes;
use world::World;

/// Lives through one run.
pub(super) fn run(seed: u64, timeline: Timeline) -> Outcome {
    let mut world = World::new(seed, timeline);
    world.storm();
    if !world.swarm.is_reckless {
        world.come_to_rest();
    }
    Outcome {
        steps: world.steps,
        trace: world.trace.value(),
        tally: world.tally,
    }
}
