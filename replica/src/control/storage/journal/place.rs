//! How far the journal had got at some moment.

use bytes::{Buf, BufMut};
use quorate_vsr::OpNumber;

/// A place in the journal, with what is known of all that was written up to there.
///
/// It is kept in every header of a journal file and beside every superblock. So files, or the ends
/// of files, that were durable once cannot vanish without a trace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(in super::super) struct Place {
    /// The number of the file; 0 if nothing was written yet.
    pub(super) file: u64,
    /// The position in the file, in bytes.
    pub(super) end: u64,
    /// The number of the last write.
    pub(super) write: u64,
    /// How many entries took the place of others.
    pub(super) turns: u64,
    /// The number of the last entry that counts.
    pub(super) highest_op: OpNumber,
}

impl Place {
    pub(in super::super) const BYTES: usize = 40;

    pub(in super::super) fn encode(self, bytes: &mut Vec<u8>) {
        for number in [
            self.file,
            self.end,
            self.write,
            self.turns,
            self.highest_op.0,
        ] {
            bytes.put_u64_le(number);
        }
    }

    pub(in super::super) fn decode(bytes: &[u8; Self::BYTES]) -> Self {
        let mut bytes = bytes.as_slice();
        let [file, end, write, turns, highest_op] = std::array::from_fn(|_| bytes.get_u64_le());
        Self {
            file,
            end,
            write,
            turns,
            highest_op: OpNumber(highest_op),
        }
    }
}
