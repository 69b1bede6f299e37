//! Who belongs to the group according to a journal.

use std::collections::BTreeMap;

use super::super::{Content, Membership, Prepare};
use crate::OpNumber;

/// The memberships of a journal, each in force from its place on.
///
/// One counts as soon as it stands in the journal, committed or not, and no longer when it is cut.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Memberships {
    /// What was in force at the base.
    base: Membership,
    changes: BTreeMap<OpNumber, Membership>,
}

impl Memberships {
    pub(crate) fn new(base: Membership) -> Self {
        Self {
            base,
            changes: BTreeMap::new(),
        }
    }

    /// The one in force at the end of the journal.
    pub(crate) fn in_force(&self) -> &Membership {
        let last = self.changes.last_key_value();
        last.map_or(&self.base, |(_, membership)| membership)
    }

    /// The one in force at `op`, which is not before the base.
    pub(crate) fn at(&self, op: OpNumber) -> &Membership {
        let last = self.changes.range(..=op).next_back();
        last.map_or(&self.base, |(_, membership)| membership)
    }

    /// Where the one in force stands; 0 if that is not after the base.
    pub(crate) fn last_op(&self) -> OpNumber {
        let last = self.changes.last_key_value();
        last.map_or(OpNumber(0), |(op, _)| *op)
    }

    pub(super) fn note(&mut self, prepare: &Prepare) {
        if let Content::Reconfigure { membership } = &prepare.content {
            self.changes.insert(prepare.op, membership.clone());
        }
    }

    pub(super) fn forget(&mut self, op: OpNumber) {
        self.changes.remove(&op);
    }

    pub(super) fn cut(&mut self, op: OpNumber) {
        self.changes.split_off(&op.next());
    }

    /// Begins anew after `op`, where `base` is in force; keeps the later ones if they follow it.
    pub(super) fn rebase(&mut self, op: OpNumber, base: Membership, do_follow: bool) {
        let later = self.changes.split_off(&op.next());
        self.changes = if do_follow { later } else { BTreeMap::new() };
        self.base = base;
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::{Head, Member};
    use super::*;
    use crate::{NodeId, ViewNumber};

    fn of(count: u16) -> Membership {
        let nodes: Vec<_> = (1..=count).map(NodeId).collect();
        Membership::founded_by(&nodes)
    }

    /// Five operations, of which the second and the fourth make the group larger.
    fn grown() -> Memberships {
        let mut memberships = Memberships::new(of(1));
        let mut head = Head::default();
        for op in 1..=5 {
            let content = match op {
                2 | 4 => Content::Reconfigure { membership: of(op) },
                _ => Content::Register { client: 7 },
            };
            let prepare = Prepare::new(head, ViewNumber(1), content);
            head = prepare.head();
            memberships.note(&prepare);
        }
        memberships
    }

    #[test]
    fn a_membership_is_in_force_from_its_place_on_until_it_is_cut() {
        let mut memberships = grown();
        let sizes = |memberships: &Memberships| {
            let size = |op| memberships.at(OpNumber(op)).voters().len();
            (1..=5).map(size).collect::<Vec<_>>()
        };
        assert_eq!(sizes(&memberships), [1, 2, 2, 4, 4]);
        assert_eq!(memberships.in_force(), &of(4));
        memberships.cut(OpNumber(4));
        assert_eq!(memberships.last_op(), OpNumber(4));
        memberships.cut(OpNumber(3));
        assert_eq!(memberships.in_force(), &of(2));
        memberships.forget(OpNumber(2));
        assert_eq!(memberships.in_force(), &of(1));
        let members: Vec<Member> = memberships.in_force().members().collect();
        assert_eq!(members.len(), 1);
    }

    #[test]
    fn a_checkpoint_takes_the_place_of_what_it_covers() {
        let mut memberships = grown();
        memberships.rebase(OpNumber(3), of(2), true);
        assert_eq!(memberships.at(OpNumber(3)), &of(2));
        assert_eq!(memberships.in_force(), &of(4));
        memberships.rebase(OpNumber(3), of(3), false);
        assert_eq!(memberships.in_force(), &of(3));
        assert_eq!(memberships.last_op(), OpNumber(0));
    }
}
