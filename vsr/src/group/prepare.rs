//! One entry of the journal.
//!
//! Prepares are chained: each carries the checksum of its predecessor, and its own checksum covers
//! that. Two journals that hold the same prepare at one number therefore hold the same ones at all
//! smaller numbers, and a single [`Head`] stands for a whole journal.

use std::fmt;

use rkyv::{Archive, Deserialize, Serialize};

use super::{Member, Membership};
use crate::format::{Damaged, Seal};
use crate::{OpNumber, ViewNumber};

const SEAL: Seal = Seal {
    magic: *b"QGPR",
    version: 3,
};

/// A fingerprint of a prepare and of all before it.
///
/// It tells apart what honest members produce; it is no defence against an attacker.
#[derive(
    Archive, Serialize, Deserialize, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash,
)]
pub struct Checksum(pub u64);

impl fmt::Debug for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// The last entry of a journal, which stands for all of it.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Head {
    /// The number of the last prepare; 0 if there is none.
    pub op: OpNumber,
    /// Its checksum; 0 if there is none.
    pub checksum: Checksum,
}

/// An operation with its place in the journal.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq, Hash)]
pub struct Prepare {
    /// Its number.
    pub op: OpNumber,
    /// The view whose primary gave it its number. It keeps it in later views.
    pub view: ViewNumber,
    /// The checksum of the prepare before it.
    pub parent: Checksum,
    /// Its own checksum, over everything else here.
    pub checksum: Checksum,
    /// What to do.
    pub content: Content,
}

/// What a prepare asks for.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq, Hash)]
pub enum Content {
    /// Give a client a session, whose number is that of this prepare.
    Register {
        /// The client.
        client: u128,
    },
    /// Execute a client's operation, once.
    Request {
        /// The client.
        client: u128,
        /// Its session.
        session: u64,
        /// Counts the client's requests.
        request_number: u64,
        /// What to do.
        operation: Vec<u8>,
    },
    /// Execute an operation that the primary itself asked for.
    Proposal {
        /// What to do.
        operation: Vec<u8>,
    },
    /// From here on other members belong to the group.
    Reconfigure {
        /// All of them.
        membership: Membership,
    },
}

impl Prepare {
    /// The prepare that follows `parent`.
    #[must_use]
    pub fn new(parent: Head, view: ViewNumber, content: Content) -> Self {
        let mut prepare = Self {
            op: parent.op.next(),
            view,
            parent: parent.checksum,
            checksum: Checksum::default(),
            content,
        };
        prepare.checksum = prepare.sum();
        prepare
    }

    /// The head of a journal that ends with this prepare.
    #[must_use]
    pub fn head(&self) -> Head {
        Head {
            op: self.op,
            checksum: self.checksum,
        }
    }

    /// Whether it may stand after `parent` in a journal.
    #[must_use]
    pub fn follows(&self, parent: Head) -> bool {
        self.op.0 == parent.op.0 + 1 && self.parent == parent.checksum
    }

    /// Whether its checksum is the right one, and its content makes sense.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.checksum == self.sum() && self.content.is_sound()
    }

    /// About how many bytes it takes on the wire.
    pub(crate) fn bytes(&self) -> usize {
        const FIXED: usize = 96;
        FIXED
            + match &self.content {
                Content::Register { .. } => 0,
                Content::Reconfigure { membership } => {
                    size_of::<Member>() * membership.members().count()
                }
                Content::Request { operation, .. } | Content::Proposal { operation } => {
                    operation.len()
                }
            }
    }

    /// The bytes for the journal.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        SEAL.encode(self)
    }

    /// Reads back what [`encode`](Self::encode) gave.
    ///
    /// # Errors
    ///
    /// Says in which way the bytes are not a prepare.
    pub fn decode(bytes: &[u8]) -> Result<Self, Damaged> {
        let prepare: Self = SEAL.decode(bytes)?;
        if prepare.is_sound() {
            Ok(prepare)
        } else {
            Err(Damaged::Body)
        }
    }

    fn sum(&self) -> Checksum {
        let mut sum = Sum::new();
        sum.add(&self.op.0.to_le_bytes());
        sum.add(&self.view.0.to_le_bytes());
        sum.add(&self.parent.0.to_le_bytes());
        match &self.content {
            Content::Register { client } => {
                sum.add(&[1]);
                sum.add(&client.to_le_bytes());
            }
            Content::Request {
                client,
                session,
                request_number,
                operation,
            } => {
                sum.add(&[2]);
                sum.add(&client.to_le_bytes());
                sum.add(&session.to_le_bytes());
                sum.add(&request_number.to_le_bytes());
                sum.add(operation);
            }
            Content::Proposal { operation } => {
                sum.add(&[3]);
                sum.add(operation);
            }
            Content::Reconfigure { membership } => {
                sum.add(&[4]);
                for members in [membership.voters(), membership.standbys()] {
                    sum.add(&(members.len() as u64).to_le_bytes());
                    for Member { node, disk } in members {
                        sum.add(&node.0.to_le_bytes());
                        sum.add(&disk.0.to_le_bytes());
                    }
                }
            }
        }
        Checksum(sum.0)
    }
}

impl Content {
    fn is_sound(&self) -> bool {
        match self {
            Self::Register { .. } | Self::Request { .. } | Self::Proposal { .. } => true,
            Self::Reconfigure { membership } => membership.is_sound() && !membership.is_empty(),
        }
    }
}

/// FNV-1a in 64 bits. A CRC would not do: it is linear, and so adds nothing to the CRC of the seal.
struct Sum(u64);

impl Sum {
    fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
}
