//! Who belongs to a group.
//!
//! A member is a node with its disk. A node whose disk was lost comes back with another one, and
//! has forgotten what it promised and acknowledged; as it is another member then, nothing that it
//! does counts for the one that it was.

use std::fmt;

use rkyv::{Archive, Deserialize, Serialize};

use crate::NodeId;

/// Tells the disks of a node apart, of which it has one after the other.
///
/// Those who found a group have number 0. Every later disk draws its number at random, so that no
/// two disks of a node ever have the same.
#[derive(
    Archive, Serialize, Deserialize, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash,
)]
pub struct DiskId(pub u64);

impl fmt::Debug for DiskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "disk {self}")
    }
}

impl fmt::Display for DiskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}", self.0)
    }
}

/// A node with its disk.
#[derive(
    Archive, Serialize, Deserialize, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash,
)]
pub struct Member {
    /// The node.
    pub node: NodeId,
    /// Its disk.
    pub disk: DiskId,
}

impl fmt::Debug for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} with {:?}", self.node, self.disk)
    }
}

impl fmt::Display for Member {
    /// The node alone, as long as it has the disk with which it founded the group.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.disk == DiskId(0) {
            self.node.fmt(f)
        } else {
            write!(f, "{}/{}", self.node, self.disk)
        }
    }
}

/// The members of a group. A node is among them at most once.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Membership {
    voters: Vec<Member>,
    standbys: Vec<Member>,
}

impl Membership {
    /// These voters and standbys, in whatever order.
    ///
    /// # Panics
    ///
    /// If a node is named twice.
    #[must_use]
    pub fn new(mut voters: Vec<Member>, mut standbys: Vec<Member>) -> Self {
        voters.sort_unstable();
        standbys.sort_unstable();
        let membership = Self { voters, standbys };
        assert!(membership.is_sound(), "a node is a member once");
        membership
    }

    /// The members of a group that these nodes found: all of them vote.
    ///
    /// # Panics
    ///
    /// If a node is named twice.
    #[must_use]
    pub fn founded_by(nodes: &[NodeId]) -> Self {
        let founder = |node: &NodeId| Member {
            node: *node,
            disk: DiskId(0),
        };
        Self::new(nodes.iter().map(founder).collect(), Vec::new())
    }

    /// The members whose durable copies and promises count, in the order of their nodes.
    #[must_use]
    pub fn voters(&self) -> &[Member] {
        &self.voters
    }

    /// The members that follow without a vote, in the order of their nodes.
    #[must_use]
    pub fn standbys(&self) -> &[Member] {
        &self.standbys
    }

    /// The nodes that take turns as primary.
    #[must_use]
    pub fn voting_nodes(&self) -> Vec<NodeId> {
        self.voters.iter().map(|member| member.node).collect()
    }

    /// All members, the voters first.
    pub fn members(&self) -> impl Iterator<Item = Member> {
        self.voters.iter().chain(&self.standbys).copied()
    }

    /// Whether this node with this very disk has a vote.
    #[must_use]
    pub fn is_voter(&self, member: Member) -> bool {
        self.voters.contains(&member)
    }

    /// Whether this node with this very disk is a member.
    #[must_use]
    pub fn contains(&self, member: Member) -> bool {
        self.members().any(|it| it == member)
    }

    /// Whether it is in order and names no node twice; to be asked of what comes from outside.
    pub(crate) fn is_sound(&self) -> bool {
        let rises = |members: &[Member]| members.windows(2).all(|two| two[0].node < two[1].node);
        let is_standby = |voter: &Member| self.standbys.iter().any(|it| it.node == voter.node);
        rises(&self.voters) && rises(&self.standbys) && !self.voters.iter().any(is_standby)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(node: u16, disk: u64) -> Member {
        Member {
            node: NodeId(node),
            disk: DiskId(disk),
        }
    }

    #[test]
    fn a_node_with_another_disk_is_another_member() {
        let membership = Membership::founded_by(&[NodeId(2), NodeId(1)]);
        assert_eq!(membership.voters(), [member(1, 0), member(2, 0)]);
        assert!(membership.is_voter(member(2, 0)));
        assert!(!membership.contains(member(2, 7)));
    }

    #[test]
    fn a_membership_from_outside_may_be_unsound() {
        let unordered = Membership {
            voters: vec![member(2, 0), member(1, 0)],
            standbys: Vec::new(),
        };
        let twice = Membership {
            voters: vec![member(1, 0), member(2, 0)],
            standbys: vec![member(2, 7)],
        };
        assert!(!unordered.is_sound() && !twice.is_sound());
        assert!(Membership::new(vec![member(2, 0), member(1, 0)], vec![member(3, 9)]).is_sound());
    }
}
