//! Writes of facts, flushes and cuts begin and end, each at its own time.

use quorate_vsr::partition::Event;

use super::node::Idle;
use super::sometimes::Sometimes;
use super::world::World;

impl World {
    pub(crate) fn work_disk(&mut self, at: usize) -> bool {
        if !self.nodes[at].is_up() {
            return false;
        }
        let Idle { facts, log } = self.nodes[at].idle;
        let is_facts_first = self.dice.flip();
        if is_facts_first && !self.dice.happens(facts) && self.work_facts(at) {
            return true;
        }
        if !self.dice.happens(log) && self.work_log(at) {
            return true;
        }
        !is_facts_first && !self.dice.happens(facts) && self.work_facts(at)
    }

    fn work_facts(&mut self, at: usize) -> bool {
        let node = &mut self.nodes[at];
        if let Some(facts) = node.facts_writing.take() {
            let is_late = facts.log_epoch > node.facts_on_disk.log_epoch
                && facts.log_epoch == self.ledger.last_epoch();
            self.tally.saw_if(is_late, Sometimes::AdoptedLate);
            node.facts_on_disk = facts;
            self.step(at, Event::FactsDurable(facts), &[]);
        } else if node.facts_pending.is_some() {
            node.facts_writing = node.facts_pending.take();
        } else {
            return false;
        }
        true
    }

    fn work_log(&mut self, at: usize) -> bool {
        let node = &mut self.nodes[at];
        if let Some(to) = node.cutting_to.take() {
            node.truncate_log(to);
            node.log_on_disk = to;
            self.step(at, Event::Truncated { next_offset: to }, &[]);
            self.ledger.check_majority_holds(&self.nodes);
        } else if let Some(next_offset) = node.flushing_to.take() {
            node.log_on_disk = next_offset;
            self.step(at, Event::LogDurable { next_offset }, &[]);
        } else if node.log_on_disk < node.next_offset() {
            node.flushing_to = Some(node.next_offset());
        } else {
            return false;
        }
        true
    }

    /// A disk becomes faster or slower.
    pub(crate) fn change_disk(&mut self, at: usize) {
        let often = [0, 500, 990];
        self.nodes[at].idle = Idle {
            facts: self.dice.pick(&often),
            log: self.dice.pick(&often),
        };
    }
}
