//! A primary that others replace while it takes itself for the primary.
//!
//! Who starts anew asks for the next view at once, without waiting until the primary has been
//! silent for long. So the primary may still have a lease when the next view begins.

use super::super::sometimes::Sometimes;
use super::super::world::{Happening, World};

/// How long the others are down at most.
const DOWN_MAX: u64 = 6;

impl World {
    pub(crate) fn depose(&mut self) {
        let Some(primary) = self.nodes.iter().position(|node| node.is_primary()) else {
            return;
        };
        self.tally.saw(Sometimes::Deposed);
        self.isolate(primary);
        for at in (0..self.nodes.len()).filter(|at| *at != primary) {
            self.crash(at);
            let delay = self.dice.between(1..=DOWN_MAX);
            self.calendar.plan(delay, Happening::Start { at: at as u8 });
        }
    }
}
