//! The first block of a journal file.

use bytes::{Buf, BufMut};

use super::block::BLOCK_BYTES;
use super::place::Place;

const MAGIC: [u8; 4] = *b"QRJF";
const VERSION: u16 = 2;
/// Magic (4), version (2), whether the end is uncertain (2), place (40), checksum (4).
const HEADER_BYTES: usize = 8 + Place::BYTES + 4;

/// What a file says of the ones before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct FileHeader {
    /// Up to where they counted when this one was begun.
    ///
    /// What stands behind that place in the older file was given up for lost, and this one builds
    /// upon what is left.
    pub(super) before: Place,
    /// Whether that was given up for lost without knowing what to do without it.
    ///
    /// It holds until something is written to this file: whoever writes has asked the others.
    pub(super) is_uncertain: bool,
}

/// The first block as it was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FoundHeader {
    Good(FileHeader),
    /// The file holds nothing yet: it was being created. The header is made durable before anything
    /// follows it.
    Unfinished,
    Damaged,
    /// Written in a format that this program does not know.
    Version(u16),
}

impl FileHeader {
    /// The first block of a file.
    pub(super) fn encode(self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(BLOCK_BYTES);
        bytes.put_slice(&MAGIC);
        bytes.put_u16_le(VERSION);
        bytes.put_u16_le(u16::from(self.is_uncertain));
        self.before.encode(&mut bytes);
        bytes.put_u32_le(crc32c::crc32c(&bytes));
        bytes.resize(BLOCK_BYTES, 0);
        bytes
    }

    /// The header of the file with these bytes.
    pub(super) fn read(bytes: &[u8]) -> FoundHeader {
        let (first, rest) = bytes.split_at(bytes.len().min(BLOCK_BYTES));
        let is_empty = |bytes: &[u8]| bytes.iter().all(|byte| *byte == 0);
        if is_empty(rest) && (first.len() < BLOCK_BYTES || is_empty(first)) {
            return FoundHeader::Unfinished;
        }
        if first.len() < BLOCK_BYTES || !is_empty(&first[HEADER_BYTES..]) {
            return FoundHeader::Damaged;
        }
        let (checked, mut checksum) = first[..HEADER_BYTES].split_at(HEADER_BYTES - 4);
        if checked[..4] != MAGIC || crc32c::crc32c(checked) != checksum.get_u32_le() {
            return FoundHeader::Damaged;
        }
        let version = (&checked[4..]).get_u16_le();
        let is_uncertain = (&checked[6..]).get_u16_le() != 0;
        let before = checked.last_chunk().expect("it is longer than a place");
        let found = Self {
            before: Place::decode(before),
            is_uncertain,
        };
        match version {
            VERSION => FoundHeader::Good(found),
            version => FoundHeader::Version(version),
        }
    }
}

/// The position of the block with this number behind the header.
pub(super) fn position_of(block: usize) -> u64 {
    ((block + 1) * BLOCK_BYTES) as u64
}

/// The number of the block that begins at this position, or behind it.
pub(super) fn block_at(position: u64) -> usize {
    let block = position.div_ceil(BLOCK_BYTES as u64).saturating_sub(1);
    usize::try_from(block).unwrap_or(usize::MAX)
}

/// The whole blocks behind the header.
pub(super) fn blocks(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.chunks_exact(BLOCK_BYTES).skip(1)
}

#[cfg(test)]
mod tests {
    use quorate_vsr::OpNumber;

    use super::*;

    const HEADER: FileHeader = FileHeader {
        before: Place {
            file: 3,
            end: 1024,
            write: 9,
            turns: 1,
            highest_op: OpNumber(17),
        },
        is_uncertain: true,
    };

    #[test]
    fn a_header_reads_back_and_no_flipped_bit_goes_unnoticed() {
        let bytes = HEADER.encode();
        assert_eq!(FileHeader::read(&bytes), FoundHeader::Good(HEADER));
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(FileHeader::read(&damaged), FoundHeader::Damaged, "{bit}");
        }
    }

    #[test]
    fn a_header_that_was_never_written_whole_is_unfinished_unless_something_follows() {
        let bytes = HEADER.encode();
        for length in 0..BLOCK_BYTES {
            let found = FileHeader::read(&bytes[..length]);
            assert_eq!(found, FoundHeader::Unfinished, "{length}");
        }
        let mut zeros = vec![0; 2 * BLOCK_BYTES];
        assert_eq!(FileHeader::read(&zeros), FoundHeader::Unfinished);
        zeros[BLOCK_BYTES + 9] = 1;
        assert_eq!(FileHeader::read(&zeros), FoundHeader::Damaged);
    }

    #[test]
    fn a_newer_format_is_named() {
        let mut bytes = HEADER.encode();
        bytes[4] = 7;
        let checksum = crc32c::crc32c(&bytes[..HEADER_BYTES - 4]).to_le_bytes();
        bytes[HEADER_BYTES - 4..HEADER_BYTES].copy_from_slice(&checksum);
        assert_eq!(FileHeader::read(&bytes), FoundHeader::Version(7));
    }
}
