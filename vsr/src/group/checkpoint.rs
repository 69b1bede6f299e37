//! The state after an operation, which takes the place of the journal up to it.

use rkyv::{Archive, Deserialize, Serialize};

use super::Head;
use super::client_table::ClientTable;
use crate::OpNumber;
use crate::format::{Damaged, Seal};

const SEAL: Seal = Seal {
    magic: *b"QGCP",
    version: 1,
};

/// Everything that the operations up to one of them have brought about.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq, Hash)]
pub struct Checkpoint {
    /// The last operation that it covers.
    pub head: Head,
    /// The sessions of the clients, with their latest replies.
    pub client_table: ClientTable,
    /// The state machine's state, opaque to the group.
    pub state: Vec<u8>,
}

impl Checkpoint {
    /// The number of the last operation that it covers.
    #[must_use]
    pub fn op(&self) -> OpNumber {
        self.head.op
    }

    /// The bytes for the disk.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        SEAL.encode(self)
    }

    /// Reads back what [`encode`](Self::encode) gave.
    ///
    /// # Errors
    ///
    /// Says in which way the bytes are not a checkpoint.
    pub fn decode(bytes: &[u8]) -> Result<Self, Damaged> {
        SEAL.decode(bytes)
    }
}
