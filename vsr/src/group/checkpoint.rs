//! The state after an operation, which takes the place of the journal up to it.

use rkyv::{Archive, Deserialize, Serialize};

use super::client_table::ClientTable;
use super::{Head, Membership};
use crate::OpNumber;
use crate::format::{Damaged, Seal};
use crate::shared_bytes::SharedBytes;

const SEAL: Seal = Seal {
    magic: *b"QGCP",
    version: 2,
};

/// A checkpoint as it stands on the disk and goes over the wire: the bytes, sealed once.
///
/// It is cheap to clone however large it is. The bytes are read only when the checkpoint is put
/// into force.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Checkpoint {
    head: Head,
    bytes: SharedBytes,
}

/// Everything that the operations up to one of them have brought about.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq, Hash)]
pub struct Contents {
    /// The last operation that it covers.
    pub head: Head,
    /// Who belongs to the group as of it.
    pub membership: Membership,
    /// The sessions of the clients, with their latest replies.
    pub client_table: ClientTable,
    /// The state machine's state, opaque to the group.
    pub state: Vec<u8>,
}

impl Checkpoint {
    /// Seals `contents`.
    #[must_use]
    pub fn new(contents: &Contents) -> Self {
        Self {
            head: contents.head,
            bytes: SharedBytes::new(SEAL.encode(contents)),
        }
    }

    /// The last operation that it covers, which stands for all of them.
    #[must_use]
    pub fn head(&self) -> Head {
        self.head
    }

    /// The number of the last operation that it covers.
    #[must_use]
    pub fn op(&self) -> OpNumber {
        self.head.op
    }

    /// The bytes for the disk.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// What it holds.
    #[must_use]
    pub fn contents(&self) -> Contents {
        SEAL.decode(&self.bytes)
            .expect("the bytes were sealed or read before they became a checkpoint")
    }

    /// Takes back the [`bytes`](Self::bytes) of a checkpoint.
    ///
    /// # Errors
    ///
    /// Says in which way the bytes are not a checkpoint.
    pub fn decode(bytes: &[u8]) -> Result<Self, Damaged> {
        let contents: Contents = SEAL.decode(bytes)?;
        if contents.membership.is_empty() || !contents.membership.is_sound() {
            return Err(Damaged::Body);
        }
        Ok(Self {
            head: contents.head,
            bytes: SharedBytes::new(bytes),
        })
    }
}
