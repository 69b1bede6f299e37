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
    /// A view of the group; the view alone tells who its primary is.
    ViewNumber(u64),
    "view"
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
