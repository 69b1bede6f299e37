//! The numbers of both protocols, each a type of its own so that none is taken for another.

use std::fmt;

use rkyv::{Archive, Deserialize, Serialize};

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty), $word:literal) => {
        $(#[$doc])*
        #[derive(
            Archive, Serialize, Deserialize, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord,
            Hash,
        )]
        pub struct $name(pub $inner);

        impl $name {
            /// The number after this one.
            #[must_use]
            pub fn next(self) -> Self {
                Self(self.0.checked_add(1).expect(concat!("no cluster lives to its last ", $word)))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($word, " {}"), self.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number!(
    /// A node of the cluster; identities start at 1 and are never given twice.
    NodeId(u16),
    "node"
);

number!(
    /// The place of an operation in the group's journal.
    ///
    /// The first operation is number 1; 0 stands for the empty journal.
    OpNumber(u64),
    "op"
);

number!(
    /// A leader's epoch in a partition, given out by the control plane.
    ///
    /// The first is 1; 0 stands for "none yet".
    Epoch(u32),
    "epoch"
);

number!(
    /// The place of a record in its partition.
    Offset(u64),
    "offset"
);

/// A view of the group; the view alone tells who its primary is.
///
/// It is a round and a node, and the node is the primary. The voters take turns: the view after
/// this one has the next voter for its primary, and when all had their turn there is another round.
/// 0 stands for "none yet"; nobody is its primary.
#[derive(
    Archive, Serialize, Deserialize, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash,
)]
pub struct ViewNumber(pub u64);

impl ViewNumber {
    /// The view of a round in which `primary` is the primary.
    #[must_use]
    pub fn of(round: u64, primary: NodeId) -> Self {
        assert!(round < 1 << 48, "no cluster lives to its last round");
        Self(round << 16 | u64::from(primary.0))
    }

    /// How often all voters have had their turn.
    #[must_use]
    pub fn round(self) -> u64 {
        self.0 >> 16
    }

    /// The node whose turn it is.
    #[must_use]
    pub fn primary(self) -> NodeId {
        let [.., high, low] = self.0.to_be_bytes();
        NodeId(u16::from_be_bytes([high, low]))
    }

    /// The first view after this one whose primary is one of `voters`.
    ///
    /// # Panics
    ///
    /// If there are no voters.
    #[must_use]
    pub fn next_among(self, voters: &[NodeId]) -> Self {
        let turns = voters.iter().map(|voter| self.next_of(*voter));
        turns.min().expect("a group has voters")
    }

    /// The first view after this one whose primary is `node`.
    #[must_use]
    pub fn next_of(self, node: NodeId) -> Self {
        let is_later = node > self.primary();
        Self::of(self.round() + u64::from(!is_later), node)
    }
}

impl fmt::Debug for ViewNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "view {self}")
    }
}

impl fmt::Display for ViewNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.round(), self.primary())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn voters_take_turns_and_then_there_is_another_round() {
        let voters = [NodeId(2), NodeId(3), NodeId(7)];
        let mut view = ViewNumber::default();
        let mut views = Vec::new();
        for _ in 0..5 {
            let next = view.next_among(&voters);
            assert!(next > view);
            view = next;
            views.push(view.to_string());
        }
        assert_eq!(views, ["0.2", "0.3", "0.7", "1.2", "1.3"]);
    }

    #[test]
    fn the_view_after_that_of_a_stranger_is_the_turn_of_the_next_voter() {
        let next = |round, primary| {
            ViewNumber::of(round, NodeId(primary)).next_among(&[NodeId(2), NodeId(4)])
        };
        assert_eq!(next(5, 3), ViewNumber::of(5, NodeId(4)));
        assert_eq!(next(5, u16::MAX), ViewNumber::of(6, NodeId(2)));
    }
}
