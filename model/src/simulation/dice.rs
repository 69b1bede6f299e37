//! The one source of chance of a run.

use std::ops::RangeInclusive;

use rand::rngs::Xoshiro256PlusPlus;
use rand::{Rng, SeedableRng};

/// Draws numbers; the same seed draws the same ones, on every machine and in every build.
#[derive(Clone, Debug)]
pub(crate) struct Dice(Xoshiro256PlusPlus);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Xoshiro256PlusPlus::seed_from_u64(seed))
    }

    /// A number less than `end`, which is not zero.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        // As far from uniform as a billionth, and without a division.
        let end = u32::try_from(end).expect("a run counts nothing beyond four billions");
        let wide = u64::from(self.0.next_u32()) * u64::from(end);
        (wide >> 32) as usize
    }

    pub(crate) fn between(&mut self, range: RangeInclusive<u64>) -> u64 {
        let width = range.end() - range.start() + 1;
        let width = usize::try_from(width).expect("a 64-bit machine");
        range.start() + self.below(width) as u64
    }

    pub(crate) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    /// Whether something happens that happens so many times in a thousand.
    pub(crate) fn happens(&mut self, in_thousand: u32) -> bool {
        in_thousand > 0 && self.below(1000) < in_thousand as usize
    }

    /// Heads or tails.
    pub(crate) fn flip(&mut self) -> bool {
        self.0.next_u32() & 1 == 0
    }

    /// Draws how often something happens: never in half of the runs, so that what hides behind
    /// something else is seen as well.
    pub(crate) fn maybe<T: Copy + Default>(&mut self, from: &[T]) -> T {
        if self.flip() {
            T::default()
        } else {
            self.pick(from)
        }
    }
}
