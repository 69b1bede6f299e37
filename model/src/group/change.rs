use std::fmt;

use quorate_vsr::NodeId;
use quorate_vsr::group::{Member, Membership};

/// A step by which the members may change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Change {
    /// A node becomes a standby.
    Add(u16),
    /// A standby is none any more.
    Drop(u16),
    /// A voter becomes a standby.
    Demote(u16),
    /// A standby becomes a voter.
    Promote(u16),
    /// A standby is known with the disk that it has now.
    ReplaceDisk(u16),
}

impl Change {
    pub(super) fn node(self) -> NodeId {
        match self {
            Self::Add(node)
            | Self::Drop(node)
            | Self::Demote(node)
            | Self::Promote(node)
            | Self::ReplaceDisk(node) => NodeId(node),
        }
    }

    /// The members after the change, if it makes sense; `present` is the node with its disk.
    pub(super) fn of(self, members: &Membership, present: Member) -> Option<Membership> {
        match self {
            Self::Add(_) => members.adding(present),
            Self::Drop(_) => members.dropping(present.node),
            Self::Demote(_) => members.demoting(present.node),
            Self::Promote(_) => members.promoting(present.node),
            Self::ReplaceDisk(_) => members.replacing_disk(present),
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let node = self.node();
        match self {
            Self::Add(_) => write!(f, "adds {node:?} as a standby"),
            Self::Drop(_) => write!(f, "drops {node:?}"),
            Self::Demote(_) => write!(f, "takes the vote of {node:?}"),
            Self::Promote(_) => write!(f, "gives {node:?} a vote"),
            Self::ReplaceDisk(_) => write!(f, "takes {node:?} with the disk that it has now"),
        }
    }
}
