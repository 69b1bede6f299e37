//! What must hold of a replica by itself, between any two steps.

use super::{Replica, Status};

impl Replica {
    /// Asserts what must hold of a replica by itself between any two steps.
    ///
    /// It is called after every step, in every build: none of it grows with the journal or the
    /// group.
    ///
    /// # Panics
    ///
    /// If the protocol is broken.
    pub(super) fn assert_invariants(&self) {
        assert!(
            self.log_view <= self.view,
            "a log belongs to a view that was entered"
        );
        assert!(
            self.superblocks.promised <= self.view,
            "the view is what was promised, or later"
        );
        assert!(self.superblocks.durable <= self.superblocks.sequence);

        assert!(
            self.executed <= self.commit_number,
            "only what is committed is executed"
        );
        assert!(
            self.commit_number <= self.journal.sound_head().op,
            "only what is known is committed"
        );
        assert!(self.commit_number <= self.commit_known);
        assert!(
            self.journal.base().op <= self.executed,
            "what was not executed is in the journal"
        );
        assert!(
            self.checkpoint_op() <= self.executed,
            "a checkpoint is never ahead of the state"
        );

        assert_eq!(self.status == Status::ViewChange, self.phase.is_some());
        assert!(self.promises.is_empty() || self.phase.is_some());
        if self.status == Status::Normal {
            assert!(
                self.log_view_op <= self.op_number(),
                "a settled log is not shortened"
            );
            assert_eq!(self.log_view, self.view, "only a settled log is served");
            assert!(
                self.damage.is_none(),
                "a journal with an uncertain end is not served"
            );
            assert!(
                self.superblocks.promised == self.view,
                "a view is durable before it is served"
            );
        }
        if let Some(transfer) = &self.transfer {
            assert!(
                !self.is_superfluous(transfer.op()),
                "a checkpoint that is of no use is forgotten"
            );
        }
        if self.is_primary() {
            assert!(
                self.journal.is_whole(),
                "a primary has all of its view's log"
            );
            assert!(
                self.fetch.is_none(),
                "nobody has more of a view's log than its primary"
            );
        }
        assert!(
            self.is_primary() || (self.reads.is_empty() && self.lease.is_idle()),
            "only a primary answers reads and measures leases"
        );
        assert!(
            self.handover.is_none() || self.is_primary(),
            "only a primary hands over"
        );
    }
}
