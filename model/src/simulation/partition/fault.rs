//! Crashes and cuts.

use quorate_vsr::partition::Facts;
use quorate_vsr::{NodeId, quorum};

use super::sometimes::Sometimes;
use super::world::World;

impl World {
    pub(crate) fn crash_or_start(&mut self, at: usize) {
        if self.nodes[at].is_up() {
            self.crash(at);
            if !self.is_calm() && self.dice.flip() {
                self.start(at);
            }
        } else {
            self.start(at);
        }
    }

    pub(crate) fn start(&mut self, at: usize) {
        let id = self.nodes[at].id;
        self.timeline.note(self.now, || format!("{id:?} starts"));
        let node = &mut self.nodes[at];
        if node.facts_on_disk.begins_anew {
            node.begin_log_anew(self.ledger.expired(node.facts_on_disk.log_start));
            node.facts_on_disk = node.facts_on_disk.begun_anew();
            self.tally.saw(Sometimes::BegunAnewAtStart);
        } else if !node.continues_start() {
            node.begin_log_anew(self.ledger.expired(node.facts_on_disk.log_start));
            node.facts_on_disk = node.facts_on_disk.with_loss();
            self.tally.saw(Sometimes::StartLost);
        }
        // What a crash has left of a removal.
        node.retire(node.facts_on_disk.log_start);
        node.start();
        self.ledger.check_node(at, &self.nodes[at]);
        let node = &self.nodes[at];
        if node.has_begun_anew && node.facts_on_disk == Facts::default() {
            // It hears of the newest epoch before anything else.
            self.hear(at, self.assignments.len() - 1);
        }
    }

    pub(crate) fn crash(&mut self, at: usize) {
        let node = &mut self.nodes[at];
        let id = node.id;
        self.timeline.note(self.now, || format!("{id:?} crashes"));
        self.tally.saw(Sometimes::Crashed);
        self.tally
            .saw_if(node.cutting_to.is_some(), Sometimes::CrashedInCut);
        if let Some(to) = node.cutting_to
            && self.dice.flip()
        {
            node.finish_cut(to);
        }
        if let Some(begin) = node.beginning
            && self.dice.flip()
        {
            node.begin_log_anew(self.ledger.expired(begin));
        }
        let uncertain = node.log.len() - node.batches_on_disk();
        let kept = self.dice.below(uncertain + 1);
        node.crash(kept, self.dice.flip());
        node.heard = node.heard.saturating_sub(self.dice.below(4));
        if self.dice.happens(self.swarm.lose_end) && !self.is_calm() && self.may_fail(at) {
            self.lose_end(at);
        }
        self.check_majority_holds();
        self.ledger.check_node(at, &self.nodes[at]);
    }

    /// Whether a majority of every set of voters is sound even without the disk of this node.
    ///
    /// More damage than that may lose what was committed, whatever the protocol does.
    fn may_fail(&self, at: usize) -> bool {
        if self.swarm.is_reckless {
            return true;
        }
        let id = self.nodes[at].id;
        let is_sound = |node: &&NodeId| {
            let other = &self.nodes[usize::from(node.0) - 1];
            **node != id && !other.is_faulty()
        };
        let electorate = &self.last_assignment().electorate;
        let mut sets = electorate.sets();
        sets.all(|set| set.iter().filter(is_sound).count() >= quorum::majority(set.len()))
    }

    /// The disk of a node that is down has lost some of its durable records, the last ones, and
    /// that is noticed before anything hides it.
    fn lose_end(&mut self, at: usize) {
        let node = &mut self.nodes[at];
        let most = node.log.len().min(5);
        let lost = if most > 0 && self.dice.happens(900) {
            1 + self.dice.below(most)
        } else {
            // A false alarm.
            0
        };
        let id = node.id;
        self.timeline
            .note(self.now, || format!("{id:?} loses its last {lost} batches"));
        node.lose_last(lost);
        node.facts_on_disk = node.facts_on_disk.with_loss();
        self.tally.saw_if(lost > 0, Sometimes::EndLost);
    }

    /// Some of a node's durable records are no longer what they were. It will notice.
    pub(crate) fn rot(&mut self, at: usize) {
        let count = self.nodes[at].batches_on_disk();
        if count == 0 || !self.may_fail(at) {
            return;
        }
        // Mostly new records, for they are the ones that anything depends on.
        let expired = self.nodes[at].batches_below(self.nodes[at].begin);
        if count <= expired {
            return;
        }
        let from = count - 1 - self.dice.below((count - expired).min(5));
        let to = (from + 1 + self.dice.below(2)).min(count);
        let node = &mut self.nodes[at];
        let id = node.id;
        for batch in &node.log[from..to] {
            node.rotten.insert(batch.base);
        }
        let rotten = &node.log[from..to];
        self.timeline
            .note(self.now, || format!("in the log of {id:?} rot {rotten:?}"));
        self.tally.saw(Sometimes::Rotten);
    }

    /// Cuts a node off from all others, or one node from another in one direction; or heals that.
    pub(crate) fn change_links(&mut self, at: usize) {
        let count = self.nodes.len();
        let other = self.dice.below(count);
        let is_cut = !self.network.is_cut(at, other);
        let others = if self.dice.flip() {
            other..other + 1
        } else {
            0..count
        };
        let is_both_ways = others.len() > 1;
        self.timeline.note(self.now, || {
            let verb = if is_cut { "cut" } else { "healed" };
            format!("the links of {at} to {others:?} are {verb}")
        });
        for other in others {
            self.network.set_cut(at, other, is_cut);
            if is_both_ways {
                self.network.set_cut(other, at, is_cut);
            }
        }
    }
}
