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
        self.of_node(member.node) == Some(member)
    }

    /// The member that a node is, with whatever disk.
    #[must_use]
    pub fn of_node(&self, node: NodeId) -> Option<Member> {
        of_node(&self.voters, node).or_else(|| of_node(&self.standbys, node))
    }

    /// Whether nobody belongs to it: the group is not known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.voters.is_empty()
    }

    /// These members and one more, who follows without a vote.
    ///
    /// `None` if the node is a member already.
    #[must_use]
    pub fn adding(&self, standby: Member) -> Option<Self> {
        let is_new = self.of_node(standby.node).is_none();
        is_new.then(|| self.changed(|_, standbys| standbys.push(standby)))
    }

    /// These members without a standby.
    ///
    /// `None` if the node is none: a voter is demoted first.
    #[must_use]
    pub fn dropping(&self, node: NodeId) -> Option<Self> {
        let standby = of_node(&self.standbys, node)?;
        Some(self.changed(|_, standbys| standbys.retain(|it| *it != standby)))
    }

    /// These members with another disk of a standby.
    ///
    /// `None` if the node is none, or has that disk already.
    #[must_use]
    pub fn replacing_disk(&self, standby: Member) -> Option<Self> {
        let before = of_node(&self.standbys, standby.node).filter(|it| *it != standby)?;
        Some(self.changed(|_, standbys| {
            standbys.retain(|it| *it != before);
            standbys.push(standby);
        }))
    }

    /// These members, a standby among them being a voter.
    ///
    /// `None` if the node is no standby.
    #[must_use]
    pub fn promoting(&self, node: NodeId) -> Option<Self> {
        let standby = of_node(&self.standbys, node)?;
        Some(self.changed(|voters, standbys| {
            standbys.retain(|it| *it != standby);
            voters.push(standby);
        }))
    }

    /// These members, a voter among them being a standby.
    ///
    /// `None` if the node is no voter, or the only one.
    #[must_use]
    pub fn demoting(&self, node: NodeId) -> Option<Self> {
        let has_others = self.voters.len() > 1;
        let voter = of_node(&self.voters, node).filter(|_| has_others)?;
        Some(self.changed(|voters, standbys| {
            voters.retain(|it| *it != voter);
            standbys.push(voter);
        }))
    }

    fn changed(&self, change: impl FnOnce(&mut Vec<Member>, &mut Vec<Member>)) -> Self {
        let (mut voters, mut standbys) = (self.voters.clone(), self.standbys.clone());
        change(&mut voters, &mut standbys);
        Self::new(voters, standbys)
    }

    /// Whether one of the steps above leads from here to `next`.
    pub(crate) fn is_step_to(&self, next: &Self) -> bool {
        let is = |reached: Option<Self>| reached.as_ref() == Some(next);
        let by_new = |it: Member| is(self.adding(it)) || is(self.replacing_disk(it));
        let by_known = |it: Member| {
            let is_standby = is(self.promoting(it.node)) || is(self.dropping(it.node));
            is_standby || is(self.demoting(it.node))
        };
        next.members().any(by_new) || self.members().any(by_known)
    }

    /// Whether it is in order and names no node twice; to be asked of what comes from outside.
    pub(crate) fn is_sound(&self) -> bool {
        let rises = |members: &[Member]| members.windows(2).all(|two| two[0].node < two[1].node);
        let is_standby = |voter: &Member| self.standbys.iter().any(|it| it.node == voter.node);
        rises(&self.voters) && rises(&self.standbys) && !self.voters.iter().any(is_standby)
    }
}

fn of_node(members: &[Member], node: NodeId) -> Option<Member> {
    members.iter().copied().find(|member| member.node == node)
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

    #[test]
    fn a_lost_disk_is_replaced_step_by_step() {
        let founded = Membership::founded_by(&[NodeId(1), NodeId(2), NodeId(3)]);
        let blank = member(3, 7);
        let demoted = founded.demoting(NodeId(3)).unwrap();
        let replaced = demoted.replacing_disk(blank).unwrap();
        let promoted = replaced.promoting(NodeId(3)).unwrap();
        let voters = [member(1, 0), member(2, 0), blank];
        assert_eq!(promoted, Membership::new(voters.to_vec(), Vec::new()));
        let all = [&founded, &demoted, &replaced, &promoted];
        for (place, before) in all.iter().enumerate() {
            for (other, after) in all.iter().enumerate() {
                let is_step =
                    place + 1 == other || (place, other) == (1, 0) || (place, other) == (3, 2);
                // The old disk could be put back as well as it was replaced.
                let is_step = is_step || (place, other) == (2, 1);
                assert_eq!(before.is_step_to(after), is_step, "{place} to {other}");
            }
        }
    }

    #[test]
    fn a_step_that_makes_no_sense_is_none() {
        let founded = Membership::founded_by(&[NodeId(1)]);
        assert_eq!(founded.demoting(NodeId(1)), None, "the only voter");
        assert_eq!(founded.dropping(NodeId(1)), None, "a voter");
        assert_eq!(founded.replacing_disk(member(1, 7)), None, "a voter");
        assert_eq!(founded.adding(member(1, 7)), None, "a member");
        assert_eq!(founded.promoting(NodeId(2)), None, "a stranger");
        let grown = founded.adding(member(2, 7)).unwrap();
        assert_eq!(grown.replacing_disk(member(2, 7)), None, "its disk");
        assert!(!founded.is_step_to(&founded));
        assert!(!founded.is_step_to(&grown.adding(member(3, 8)).unwrap()));
    }
}
