//! Who belongs to the group, as far as anybody outside can tell.

use quorate_vsr::OpNumber;
use quorate_vsr::group::{Checksum, Content, Membership, Prepare};

/// The members that are committed, and those that may become so.
#[derive(Debug, Default)]
pub(crate) struct Members {
    committed: Membership,
    /// The last operation that is committed, a change or not.
    last: OpNumber,
    /// In the order in which they were prepared.
    open: Vec<(OpNumber, Checksum, Membership)>,
}

/// What a commit means for the members.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Change {
    /// Nothing.
    None,
    /// They could have become others, and did not.
    Lost,
    /// They are others now.
    Made,
}

impl Members {
    pub(crate) fn found(&mut self, genesis: Membership) {
        self.committed = genesis;
    }

    /// The members that are committed.
    pub(crate) fn committed(&self) -> &Membership {
        &self.committed
    }

    /// All members that count now, or may count without anybody knowing it.
    pub(crate) fn live(&self) -> impl Iterator<Item = &Membership> {
        let open = self.open.iter().map(|(_, _, membership)| membership);
        std::iter::once(&self.committed).chain(open)
    }

    /// A prepare is written somewhere.
    pub(crate) fn prepared(&mut self, prepare: &Prepare) {
        if let Content::Reconfigure { membership } = &prepare.content {
            let is_known = self.open.iter().any(|known| known.1 == prepare.checksum);
            // What stands where something is committed is that, or nothing that counts.
            if !is_known && prepare.op > self.last {
                let change = (prepare.op, prepare.checksum, membership.clone());
                self.open.push(change);
            }
        }
    }

    /// A prepare is committed, and with it nothing else at its number or before.
    pub(crate) fn on_committed(&mut self, prepare: &Prepare) -> Change {
        self.last = prepare.op;
        if self.open.is_empty() {
            return Change::None;
        }
        let before = self.open.len();
        self.open.retain(|change| change.0 > prepare.op);
        if let Content::Reconfigure { membership } = &prepare.content {
            self.committed = membership.clone();
            Change::Made
        } else if self.open.len() < before {
            Change::Lost
        } else {
            Change::None
        }
    }
}
