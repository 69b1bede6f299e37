//! What a nemesis does to the wall clocks of nodes.

use rand::RngExt;

use super::super::Cluster;
use super::{Nemesis, both};

/// The furthest that a clock is set, in milliseconds.
const JUMP_MS_MAX: i64 = 60_000;
/// The furthest that it is set back when its node is cut off, which lasts about as long.
const BACK_MS_MAX: i64 = 10_000;

impl Nemesis {
    /// A wrong clock stays wrong until it is set again.
    pub(super) fn turn_clock(&mut self, cluster: &mut Cluster) {
        let node = self.any_node();
        let clock = cluster.wall_clock(node);
        match self.random.random_range(0..3) {
            0 => clock
                .offset_ms
                .set(self.random.random_range(-JUMP_MS_MAX..=JUMP_MS_MAX)),
            1 => clock
                .drift_ppm
                .set(self.random.random_range(-50_000..=50_000)),
            _ => {
                clock.offset_ms.set(0);
                clock.drift_ppm.set(0);
            }
        }
        let set = (clock.offset_ms.get(), clock.drift_ppm.get());
        cluster.note(node, format!("has a clock that is wrong by {set:?}"));
    }

    /// Whoever had the word has it still by such a clock, and does not hear that it has not. Its
    /// clients reach it as before.
    pub(super) fn mistime(&mut self, cluster: &mut Cluster) {
        let node = self.any_node();
        let others = self.nodes.iter().copied().filter(|other| *other != node);
        let ways = both(&[node], &others.collect::<Vec<_>>());
        let back = self.random.random_range(1000..=BACK_MS_MAX);
        let offset = &cluster.wall_clock(node).offset_ms;
        offset.set(offset.get() - back);
        cluster.note(node, format!("has a clock that was set back by {back} ms"));
        self.cut(cluster, ways);
    }
}
