use rkyv::{Archive, Deserialize, Serialize};

use crate::format::Seal;
use crate::{Damaged, Epoch, Offset};

const SEAL: Seal = Seal {
    magic: *b"QPFA",
    version: 4,
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
    /// The first offset that can be read: everything below was committed, and may be removed. It
    /// never exceeds `high_watermark`.
    pub log_start: Offset,
    /// The epoch of the record right before `log_start`; 0 if there is none.
    pub log_start_epoch: Epoch,
    /// The log is to be dropped, and to begin anew at `log_start`. Whoever opens it does that
    /// first; see [`Facts::begun_anew`].
    pub begins_anew: bool,
    /// How often the end of the log was found to be uncertain: records that had been acknowledged
    /// may have been lost behind it.
    pub losses: u32,
    /// How many of these losses an adoption has made good since. It never exceeds `losses`.
    pub healed: u32,
    /// The log holds no record below this offset that a record below it shadows, be that there or
    /// gone. It never exceeds `high_watermark`.
    pub compacted: Offset,
}

impl Facts {
    /// Whether records that were acknowledged may be missing at the end of the log.
    ///
    /// Such a log is no evidence that what it does not hold was never committed, so it is told with
    /// every [`Promise`](super::Promise), until an adoption has made good for it.
    #[must_use]
    pub fn is_uncertain(&self) -> bool {
        self.healed < self.losses
    }

    /// These facts, after the end of the log was found to be uncertain.
    ///
    /// The driver makes them durable *before* anything hides that: before the log's remains are
    /// cut, and before anything is appended. Only then it starts the [`Replica`](super::Replica)
    /// with them. A log that merely ends with a write that was interrupted, and so was never
    /// acknowledged, is not uncertain.
    #[must_use]
    pub fn with_loss(self) -> Self {
        let losses = self.losses.checked_add(1);
        Self {
            losses: losses.expect("no disk lives to its last loss"),
            // What will be fetched in the place of what is lost may be compacted less.
            compacted: Offset(0),
            ..self
        }
    }

    /// These facts, after the log was dropped and begins at `log_start`.
    ///
    /// The driver drops the log when it opens it and [`Facts::begins_anew`], makes these facts
    /// durable, and only then starts the [`Replica`](super::Replica) with them. The log has lost
    /// nothing by that.
    #[must_use]
    pub fn begun_anew(self) -> Self {
        Self {
            begins_anew: false,
            ..self
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
            log_start: Offset(1 << 39),
            log_start_epoch: Epoch(4),
            begins_anew: true,
            losses: 3,
            healed: 2,
            compacted: Offset(1 << 38),
        };
        assert_eq!(Facts::decode(&facts.encode()), Ok(facts));
    }

    #[test]
    fn damaged_facts_are_refused() {
        let mut bytes = Facts::default().encode();
        bytes[20] ^= 1;
        assert_eq!(Facts::decode(&bytes), Err(Damaged::Checksum));
    }

    #[test]
    fn a_loss_is_uncertain_until_it_is_healed() {
        let facts = Facts::default();
        assert!(!facts.is_uncertain());
        let lost = facts.with_loss();
        assert!(lost.is_uncertain());
        let healed = Facts {
            healed: lost.losses,
            ..lost
        };
        assert!(!healed.is_uncertain());
        assert!(healed.with_loss().is_uncertain());
    }
}
