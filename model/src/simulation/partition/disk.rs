//! Writes of facts, flushes and cuts begin and end, each at its own time.

use quorate_vsr::partition::Event;

use super::batch::Batch;
use super::node::Idle;
use super::sometimes::Sometimes;
use super::world::World;
use crate::thinned::Thinned;

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
            let is_healed = node.facts_on_disk.is_uncertain() && !facts.is_uncertain();
            self.tally.saw_if(is_healed, Sometimes::Healed);
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
            node.finish_cut(to);
            self.step(at, Event::Truncated { next_offset: to }, &[]);
            self.check_majority_holds();
        } else if let Some(at_offset) = node.beginning.take() {
            node.begin_log_anew(self.ledger.expired(at_offset));
            self.tally.saw(Sometimes::BegunAnew);
            self.step(at, Event::BegunAnew { at: at_offset }, &[]);
            self.check_majority_holds();
        } else if let Some((batches, thinned)) = node.rewriting.take() {
            self.rewrite(at, &batches, &thinned);
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

    /// What was fetched is put in its place, and has to be what was there.
    fn rewrite(&mut self, at: usize, batches: &[Batch], thinned: &Thinned) {
        let node = &mut self.nodes[at];
        let (from, to) = (batches[0].base, batches[batches.len() - 1].end());
        let start = node.log.partition_point(|batch| batch.base < from);
        let before = node.log.get(start..start + batches.len());
        assert_eq!(
            before,
            Some(batches),
            "{:?} repairs its log with something else",
            node.id
        );
        for batch in batches {
            node.rotten.remove(&batch.base);
        }
        node.thinned.replace(from, to, thinned);
        self.tally.saw(Sometimes::Repaired);
        self.step(at, Event::Repaired { from, to }, &[]);
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
