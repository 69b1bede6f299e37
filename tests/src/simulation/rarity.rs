//! The paths of the node that are hardly ever taken, and that a simulation takes without need.
//!
//! Each has a point in the node's code with a name ([`Tasks::rarely`](quorate_platform::Tasks)).
//! A run knows only some of the points, some of them more than others: all at once would keep each
//! other from happening.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use rand::rngs::ChaCha8Rng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};

/// How many points a run knows, of all that there are.
const KNOWN: f64 = 0.4;
/// How often a rare path is taken where it is known.
const CHANCES: [f64; 3] = [0.001, 0.01, 0.1];

/// Which rare paths the nodes of a run take, and how often.
#[derive(Debug)]
pub(super) struct Rarities {
    seed: u64,
    are_taken: Cell<bool>,
    /// Of all points that somebody has come to.
    chances: RefCell<BTreeMap<&'static str, f64>>,
}

impl Rarities {
    pub(super) fn new(seed: u64, are_taken: bool) -> Self {
        Self {
            seed,
            are_taken: Cell::new(are_taken),
            chances: RefCell::default(),
        }
    }

    /// None is taken any more.
    pub(super) fn end(&self) {
        self.are_taken.set(false);
    }

    /// Whether the path at `point` is taken; `drawn` is a random number.
    pub(super) fn is_taken(&self, point: &'static str, drawn: impl FnOnce() -> u64) -> bool {
        if !self.are_taken.get() {
            return false;
        }
        let mut chances = self.chances.borrow_mut();
        let chance = *chances
            .entry(point)
            .or_insert_with(|| chance(self.seed, point));
        let is_taken = chance > 0.0 && ((drawn() >> 11) as f64) < chance * (1u64 << 53) as f64;
        if is_taken {
            tracing::debug!(point, "a rare path is taken");
        }
        is_taken
    }
}

fn chance(seed: u64, point: &str) -> f64 {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    random.set_stream(u64::MAX - 2 - u64::from(crc32c::crc32c(point.as_bytes())));
    match random.random_bool(KNOWN) {
        true => *CHANCES.choose(&mut random).expect("there are some"),
        false => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_knows_some_points_and_no_more_after_its_end() {
        let points = ["one", "two", "three", "four", "five", "six"];
        let known = |seed: u64| points.map(|point| chance(seed, point) > 0.0);
        assert_eq!(known(1), known(1));
        let all: std::collections::BTreeSet<_> = (0..100).map(known).collect();
        assert!(all.len() > 20, "{}", all.len());

        let seed = (0..).find(|seed| known(*seed)[0]).unwrap();
        let rarities = Rarities::new(seed, true);
        assert!(rarities.is_taken("one", || 0));
        assert!(!rarities.is_taken("one", || u64::MAX));
        rarities.end();
        assert!(!rarities.is_taken("one", || 0));
        assert!(!Rarities::new(seed, false).is_taken("one", || 0));
    }
}
