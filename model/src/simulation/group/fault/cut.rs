//! Links over which nothing arrives, in one direction or both.

use super::super::sometimes::Sometimes;
use super::super::world::World;

impl World {
    pub(crate) fn cut(&mut self, from: usize) {
        let to = self.dice.below(self.nodes.len());
        let now = self.calendar.now();
        self.timeline
            .note(now, || format!("nothing of {from} reaches {to}, from 0"));
        self.network.cut(from, to);
    }

    pub(crate) fn isolate(&mut self, at: usize) {
        let (now, id) = (self.calendar.now(), self.nodes[at].id);
        self.timeline.note(now, || format!("{id:?} is isolated"));
        for other in 0..self.nodes.len() {
            self.network.cut(at, other);
            self.network.cut(other, at);
        }
    }

    pub(crate) fn halve(&mut self) {
        let half = self.dice.below(1 << self.nodes.len());
        let now = self.calendar.now();
        self.timeline
            .note(now, || format!("the nodes part, {half:08b}"));
        let is_in = |at: usize| half & (1 << at) != 0;
        for from in 0..self.nodes.len() {
            for to in (0..self.nodes.len()).filter(|to| is_in(*to) != is_in(from)) {
                self.network.cut(from, to);
            }
        }
    }

    pub(crate) fn deafen(&mut self, at: usize) {
        let (now, id) = (self.calendar.now(), self.nodes[at].id);
        self.timeline.note(now, || format!("{id:?} is deaf"));
        let is_primary = self.nodes[at].is_primary();
        self.tally.saw_if(is_primary, Sometimes::PrimaryDeaf);
        for other in 0..self.nodes.len() {
            self.network.cut(other, at);
        }
    }

    pub(crate) fn mend_links(&mut self) {
        let now = self.calendar.now();
        self.timeline.note(now, || "all links are whole");
        self.network.mend_all();
    }
}
