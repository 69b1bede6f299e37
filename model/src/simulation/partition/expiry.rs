//! Old records expire.

use quorate_vsr::Offset;
use quorate_vsr::partition::Event;

use super::batch::Batch;
use super::sometimes::Sometimes;
use super::world::World;

impl World {
    /// Some leader lets some of its records expire: those before a batch that it may choose, or all
    /// that is committed.
    pub(crate) fn expire_anywhere(&mut self, at: usize) {
        let Some(at) = self.open_near(at) else {
            return;
        };
        let node = &self.nodes[at];
        let Some(replica) = &node.replica else {
            return;
        };
        let before = replica.log_start();
        let committed = node.batches_below(replica.high_watermark());
        let kept = self.dice.below(committed.min(6) + 1);
        let last = (committed - kept).checked_sub(1);
        let to = last.map_or(Offset(0), |place| Batch::end(&node.log[place]));
        self.ledger.on_expired(to);
        self.step(at, Event::Expire { before: to }, &[]);
        let is_raised = self.nodes[at]
            .replica
            .as_ref()
            .is_some_and(|replica| replica.log_start() > before);
        self.tally.saw_if(is_raised, Sometimes::Expired);
        let is_settled = self.ledger.is_anything_settled();
        self.tally.saw_if(is_settled, Sometimes::Settled);
    }
}
