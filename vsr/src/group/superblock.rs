//! The promises of a replica, on stable storage.

use rkyv::{Archive, Deserialize, Serialize};

use super::{Checksum, DiskId, Head, Membership};
use crate::format::{Damaged, Seal};
use crate::{OpNumber, ViewNumber};

const SEAL: Seal = Seal {
    magic: *b"QGSB",
    version: 4,
};

/// What a replica must not forget, besides its journal and its checkpoint.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Superblock {
    /// Counts the superblocks of this replica; of two whole copies the greater one is valid.
    pub sequence: u64,
    /// Which of its node's disks it is on.
    pub disk: DiskId,
    /// The view that was promised: the replica takes no part in any earlier one.
    pub view: ViewNumber,
    /// The last view whose log the journal is (the paper's last normal view).
    pub log_view: ViewNumber,
    /// How far the log of `log_view` reached when the journal became it.
    ///
    /// What follows in that log was prepared in `log_view` or later. A prepare above this number
    /// from an earlier view is therefore no part of the log: it stood in the journal before, and is
    /// cut.
    pub log_view_op: OpNumber,
    /// The checksum of the last prepare of that log. It tells what stood there if it is damaged and
    /// everything behind it is cut.
    pub log_view_checksum: Checksum,
    /// An operation up to which everything in the journal is known to be committed.
    pub commit_number: OpNumber,
    /// The checkpoint that is valid; its number is 0 if there is none.
    pub checkpoint: Head,
    /// Who belonged to the group as of the checkpoint, or when it was founded; nobody on a disk
    /// that was not there.
    pub membership: Membership,
    /// Whether what is in the journal behind the checkpoint may be no continuation of it.
    ///
    /// So if the checkpoint came from another member, on the way into a view, and the journal was
    /// not seen to have part in it; until the log of that view is settled.
    pub may_be_fork: bool,
    /// Whether prepares that this replica may have acknowledged are missing after the end of the
    /// journal.
    ///
    /// Such a replica acknowledges nothing, and what it promises is no evidence of what there was,
    /// until it has brought its journal to the log of a primary.
    pub is_tail_uncertain: bool,
}

impl Superblock {
    /// The bytes for the disk.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        SEAL.encode(self)
    }

    /// Reads back what [`encode`](Self::encode) gave.
    ///
    /// # Errors
    ///
    /// Says in which way the bytes are not a superblock.
    pub fn decode(bytes: &[u8]) -> Result<Self, Damaged> {
        let superblock: Self = SEAL.decode(bytes)?;
        if superblock.membership.is_sound() {
            Ok(superblock)
        } else {
            Err(Damaged::Body)
        }
    }
}

/// Which superblocks are written and which are on stable storage.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Superblocks {
    /// The last one handed to the driver.
    pub(crate) sequence: u64,
    /// The last one known to be durable.
    pub(crate) durable: u64,
    /// The one that has to be durable before the journal may be changed.
    ///
    /// It marks a disk as used, and a damaged journal as damaged, before anything hides that.
    pub(crate) first: u64,
    /// The first one with the replica's present view; `None` while there is none.
    pub(crate) view_sequence: Option<u64>,
    /// The greatest view on stable storage.
    pub(crate) promised: ViewNumber,
}

impl Superblocks {
    pub(crate) fn recovered(superblock: &Superblock) -> Self {
        Self {
            sequence: superblock.sequence,
            durable: superblock.sequence,
            first: superblock.sequence,
            view_sequence: Some(superblock.sequence),
            promised: superblock.view,
        }
    }
}
