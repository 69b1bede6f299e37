//! No way back: what a replica has reached it does not leave.

use quorate_vsr::group::Replica;
use quorate_vsr::{NodeId, OpNumber, ViewNumber};

/// How far each replica was, since its last start.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    reached: Vec<Reached>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Reached {
    view: ViewNumber,
    log_view: ViewNumber,
    commit_number: OpNumber,
    executed: OpNumber,
}

impl Progress {
    pub(crate) fn started(&mut self, at: usize) {
        if self.reached.len() <= at {
            self.reached.resize(at + 1, Reached::default());
        }
        self.reached[at] = Reached::default();
    }

    /// A replica has made a step; the first operation that it calls committed only now.
    pub(crate) fn stepped(&mut self, at: usize, id: NodeId, replica: &Replica) -> OpNumber {
        let before = &mut self.reached[at];
        let now = Reached {
            view: replica.view(),
            log_view: replica.log_view(),
            commit_number: replica.commit_number(),
            executed: replica.executed(),
        };
        assert!(now.view >= before.view, "{id:?} went to an earlier view");
        assert!(
            now.log_view >= before.log_view,
            "{id:?} went to an earlier log"
        );
        assert!(
            now.commit_number >= before.commit_number,
            "{id:?} commits backwards"
        );
        assert!(now.executed >= before.executed, "{id:?} executes backwards");
        let first = before.commit_number.next();
        *before = now;
        first
    }
}
