use rkyv::{Archive, Deserialize, Serialize};

use crate::format::Seal;
use crate::{Damaged, Epoch, Offset};

const SEAL: Seal = Seal {
    magic: *b"QPFA",
    version: 1,
};

/// What a replica of a partition must not forget, besides its records.
///
/// The epoch history is not among it: every batch on disk names the epoch that wrote it, so the log
/// itself is the history, and a second copy could only come to disagree with it.
///
/// The default is a partition of which nothing has happened yet.
#[derive(
    Archive,
    Serialize,
    Deserialize,
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
)]
pub struct Facts {
    /// The greatest epoch that this replica has promised to; it obeys no older leader.
    pub promised: Epoch,
    /// The epoch whose leader's log this replica has completely adopted.
    ///
    /// It stands for "my log holds everything that was committed before this epoch".
    pub log_epoch: Epoch,
    /// A lower bound of the high watermark, advanced lazily.
    pub high_watermark: Offset,
}

impl Facts {
    /// What is left of these facts when the records are dropped, because no epoch names this
    /// replica any more.
    ///
    /// The promise is: it keeps a leader from long ago from committing with the help of a replica
    /// that has begun anew, and that would be behind the back of those who count by now.
    #[must_use]
    pub fn without_log(self) -> Self {
        Self {
            promised: self.promised,
            ..Self::default()
        }
    }

    /// The bytes for stable storage, sealed with a checksum.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        SEAL.encode(self)
    }

    /// Reads what [`Facts::encode`] wrote.
    ///
    /// # Errors
    ///
    /// [`Damaged`] says how the bytes differ from any facts.
    pub fn decode(bytes: &[u8]) -> Result<Self, Damaged> {
        SEAL.decode(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_read_back() {
        let facts = Facts {
            promised: Epoch(7),
            log_epoch: Epoch(6),
            high_watermark: Offset(1 << 40),
        };
        assert_eq!(Facts::decode(&facts.encode()), Ok(facts));
    }

    #[test]
    fn damaged_facts_are_refused() {
        let mut bytes = Facts::default().encode();
        bytes[20] ^= 1;
        assert_eq!(Facts::decode(&bytes), Err(Damaged::Checksum));
    }
}
