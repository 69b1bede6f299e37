//! Nodes and disks that stand still for a while.

use super::super::sometimes::Sometimes;
use super::super::world::World;

/// How long anything stands still at most.
const PAUSE_MAX: u64 = 250;

impl World {
    pub(crate) fn pause(&mut self, at: usize) {
        let now = self.calendar.now();
        let until = now + self.dice.between(1..=PAUSE_MAX);
        let node = &mut self.nodes[at];
        if node.is_up() {
            let id = node.id;
            self.timeline
                .note(now, || format!("{id:?} stands still until {until}"));
            self.tally.saw(Sometimes::Paused);
            // A pause that began earlier is not made shorter.
            node.paused_until = until.max(node.paused_until);
        }
    }

    pub(crate) fn hang(&mut self, at: usize) {
        let now = self.calendar.now();
        let until = now + self.dice.between(1..=PAUSE_MAX);
        let id = self.nodes[at].id;
        self.timeline
            .note(now, || format!("the disk of {id:?} hangs until {until}"));
        self.tally.saw(Sometimes::Hung);
        let hung_until = &mut self.nodes[at].hung_until;
        *hung_until = until.max(*hung_until);
    }
}
