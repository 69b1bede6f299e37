//! Random histories of a partition: messages lost, repeated and overtaken, nodes crashed and cut
//! off, epochs assigned at the worst moment; judged after every step, and healed at the end.

mod ledger;
mod node;
mod world;

use world::World;

pub use world::Seen;

const STEPS: usize = 6000;

/// Lives through one random history of a partition.
///
/// # Panics
///
/// If something acknowledged is lost, or the healed partition does not go on.
pub fn simulate_partition(seed: u64, is_traced: bool) -> Seen {
    let mut world = World::new(seed);
    world.is_traced = is_traced;
    world.live(STEPS);
    world.heal();
    world.seen
}
