//! A few random runs of each protocol.
//!
//! `QUORATE_SEEDS=5000` runs that many, `QUORATE_SEED=17` one of them again, and tells it.

use std::ops::Range;

use quorate_model::{Seen, deafen_group, simulate_group, simulate_partition};

/// Says which run went wrong.
struct Told(u64);

impl Drop for Told {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("replay this with QUORATE_SEED={}", self.0);
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

/// The seeds, and whether each run is to be told.
fn seeds(usual: u64) -> (Range<u64>, bool) {
    match number_from_environment("QUORATE_SEED") {
        Some(seed) => (seed..seed + 1, true),
        None => (
            0..number_from_environment("QUORATE_SEEDS").unwrap_or(usual),
            false,
        ),
    }
}

#[test]
fn a_group_in_a_bad_world_stays_consistent_and_recovers() {
    let (seeds, is_told) = seeds(300);
    for seed in seeds {
        let _told = Told(seed);
        simulate_group(seed, is_told);
    }
}

#[test]
fn a_primary_that_goes_deaf_is_replaced_by_the_others() {
    for seed in seeds(30).0 {
        let _told = Told(seed);
        deafen_group(seed);
    }
}

#[test]
fn acknowledged_records_survive_every_random_history() {
    let (seeds, is_told) = seeds(2000);
    let mut total = Seen::default();
    let mut count = 0;
    for seed in seeds {
        let _told = Told(seed);
        let seen = simulate_partition(seed, is_told);
        count += 1;
        total.opened += seen.opened;
        total.acknowledged += seen.acknowledged;
        total.cuts += seen.cuts;
        total.crashes += seen.crashes;
        total.pulls += seen.pulls;
    }
    println!("{count} histories: {total:?}");
    if is_told {
        return;
    }
    // A simulation in which nothing happens proves nothing.
    assert!(total.opened > 2 * count, "leaders open");
    assert!(total.acknowledged > 10 * count, "records are acknowledged");
    assert!(total.cuts > count / 4, "logs diverge and are cut");
    assert!(total.pulls > count / 4, "leaders need records of others");
}
