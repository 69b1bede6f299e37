//! Random histories of a partition: messages lost, repeated and overtaken, nodes crashed and cut
//! off, epochs assigned at the worst moment; judged after every step, and healed at the end.
//!
//! `QUORATE_SEEDS=5000` runs that many histories, `QUORATE_SEED=17` replays one and tells it.

mod ledger;
mod node;
mod world;

use world::{Seen, World};

const SEEDS: u64 = 2000;
const STEPS: usize = 6000;

/// Says which history went wrong.
struct Told(u64);

impl Drop for Told {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("replay this history with QUORATE_SEED={}", self.0);
        }
    }
}

fn number_from_environment(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{name} must be a number, not {text:?}")),
    )
}

fn run(seed: u64, is_traced: bool) -> Seen {
    let _told = Told(seed);
    let mut world = World::new(seed);
    world.is_traced = is_traced;
    world.live(STEPS);
    world.heal();
    world.seen
}

#[test]
fn acknowledged_records_survive_every_random_history() {
    if let Some(seed) = number_from_environment("QUORATE_SEED") {
        println!("{:?}", run(seed, true));
        return;
    }
    let seeds = number_from_environment("QUORATE_SEEDS").unwrap_or(SEEDS);
    let mut total = Seen::default();
    for seed in 0..seeds {
        let seen = run(seed, false);
        total.opened += seen.opened;
        total.acknowledged += seen.acknowledged;
        total.cuts += seen.cuts;
        total.crashes += seen.crashes;
        total.pulls += seen.pulls;
    }
    println!("{seeds} histories: {total:?}");
    // A simulation in which nothing happens proves nothing.
    assert!(total.opened as u64 > 2 * seeds, "leaders open");
    assert!(
        total.acknowledged as u64 > 10 * seeds,
        "records are acknowledged"
    );
    assert!(total.cuts as u64 > seeds / 4, "logs diverge and are cut");
    assert!(
        total.pulls as u64 > seeds / 4,
        "leaders need records of others"
    );
}
