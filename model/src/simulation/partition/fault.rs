//! Crashes and cuts.

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
        self.nodes[at].start();
        self.ledger.check_node(at, &self.nodes[at]);
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
            node.truncate_log(to);
            node.log_on_disk = to;
        }
        let uncertain = node.log.len() - node.batches_on_disk();
        let kept = self.dice.below(uncertain + 1);
        node.crash(kept, self.dice.flip());
        node.heard = node.heard.saturating_sub(self.dice.below(4));
        self.ledger.check_majority_holds(&self.nodes);
        self.ledger.check_node(at, &self.nodes[at]);
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
