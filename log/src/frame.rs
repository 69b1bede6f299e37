//! Frames: what every write to a segment begins with, so that a torn one is told from damage.
//!
//! A flush that a power cut interrupts leaves its sectors as they were, zero or behind the end of
//! the file, or as they should be. It was never acknowledged. A flush that was acknowledged and has
//! rotted since looks much the same to whoever has only the batches. So each flush writes a frame
//! before them, which tells of every block that it covers what was written there:
//!
//! ```text
//! bytes  0..4   magic, no byte of it zero
//!        4..8   bytes of the frame, checksums included
//!        8..12  bytes that it covers, right behind it; 0 if it only fills room
//!       12..16  CRC-32C of the checksums
//!       16..20  CRC-32C of all before, the base offset of the segment and the frame's position
//!       20..    for each block of 4 KiB that the covered bytes touch, counted from the start of
//!               the file, five bytes: a bit for each of its eight sectors, the lowest for the
//!               first, set if the covered bytes of the sector are not all zero; and the CRC-32C
//!               of the covered bytes of the block. One entry is spare: how many blocks are
//!               touched depends on where the frame ends.
//! ```
//!
//! All numbers are little-endian. A sector that is zero where the frame knows that it was not, is
//! missing: the flush was torn, whatever its other sectors look like. If none is missing and a
//! block is wrong, the flush was complete once, and that block is damaged. The segment and the
//! position in the checksum keep bytes of another place from being taken for a frame.
//!
//! A sector is the least that a disk writes as a whole, so what is missing is told of sectors. But
//! a checksum of its own for each would cost more than copying what it covers: a checksum of 512
//! bytes takes twice as long per byte as one of 4 KiB.
//!
//! Readers pass over frames. Where one is damaged, no record is lost by it.

use bytes::Bytes;

/// The least that any disk writes as a whole.
pub(crate) const SECTOR_BYTES: u64 = 512;
/// The size of a frame that covers nothing.
pub(crate) const HEAD_BYTES: u64 = 20;

const MAGIC: [u8; 4] = *b"QFR2";
const BLOCK_BYTES: u64 = 8 * SECTOR_BYTES;
/// Which sectors are not zero, and the checksum.
const ENTRY_BYTES: u64 = 5;
const ZEROS: [u8; SECTOR_BYTES as usize] = [0; SECTOR_BYTES as usize];

/// A frame that was found in a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    /// Where in the file it begins.
    pub(crate) position: u64,
    /// Its size.
    pub(crate) bytes: u64,
    /// How much it covers.
    pub(crate) covered_bytes: u64,
    /// The checksum of what stands between its head and what it covers.
    pub(crate) checksums_crc: u32,
}

/// The part of a block that a frame covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Block {
    pub(crate) position: u64,
    pub(crate) bytes: usize,
    crc: u32,
    /// Which of its sectors have something in them.
    filled: u8,
}

impl Block {
    /// Whether `bytes`, which stand there, are what was written.
    pub(crate) fn is_sound(&self, bytes: &[u8]) -> bool {
        bytes.len() == self.bytes && crc32c::crc32c(bytes) == self.crc
    }

    /// Whether some of `bytes`, which stand there, were never written.
    pub(crate) fn is_missing(&self, bytes: &[u8]) -> bool {
        bytes.len() < self.bytes || self.filled & !filled(self.position, bytes) != 0
    }
}

/// Which sectors of their block have something in them, where `bytes` stand at `position` and no
/// others do.
fn filled(position: u64, bytes: &[u8]) -> u8 {
    let mut bits = 0;
    let (mut at, mut rest) = (position, bytes);
    while !rest.is_empty() {
        let room = (sector_end(at) - at) as usize;
        let (part, behind) = rest.split_at(room.min(rest.len()));
        let is_filled = part != &ZEROS[..part.len()];
        bits |= u8::from(is_filled) << (at % BLOCK_BYTES / SECTOR_BYTES);
        at += part.len() as u64;
        rest = behind;
    }
    bits
}

/// Entries of a frame, one behind the other, made while what they are of passes by.
#[derive(Debug)]
pub(crate) struct Entries {
    bytes: Vec<u8>,
    start: u64,
    /// How far what is covered has passed.
    at: u64,
    crc: u32,
    filled: u8,
}

impl Entries {
    /// Of what is covered from `start` of the file on.
    pub(crate) fn new(start: u64) -> Self {
        Self {
            bytes: Vec::new(),
            start,
            at: start,
            crc: 0,
            filled: 0,
        }
    }

    /// Takes in the next of the covered bytes.
    pub(crate) fn pass(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let room = (block_end(self.at) - self.at) as usize;
            let (part, behind) = rest.split_at(room.min(rest.len()));
            self.crc = crc32c::crc32c_append(self.crc, part);
            self.filled |= filled(self.at, part);
            self.at += part.len() as u64;
            if self.at.is_multiple_of(BLOCK_BYTES) {
                self.end_block();
            }
            rest = behind;
        }
    }

    fn end_block(&mut self) {
        self.bytes.push(std::mem::take(&mut self.filled));
        let crc = std::mem::take(&mut self.crc);
        self.bytes.extend_from_slice(&crc.to_le_bytes());
    }
}

impl Frame {
    /// The frame at the start of `bytes`, which stand at `position` of the segment that begins at
    /// `segment`.
    pub(crate) fn parse(bytes: &[u8], segment: u64, position: u64) -> Option<Self> {
        let head: &[u8; HEAD_BYTES as usize] = bytes.first_chunk()?;
        let field = |at: usize| {
            let field = head[at..at + 4].try_into();
            u32::from_le_bytes(field.expect("four bytes"))
        };
        if head[..4] != MAGIC || head_crc(&head[..16], segment, position) != field(16) {
            return None;
        }
        let (bytes, covered_bytes) = (u64::from(field(4)), u64::from(field(8)));
        let is_possible = match covered_bytes {
            0 => bytes >= HEAD_BYTES,
            covered => bytes == frame_bytes(covered),
        };
        is_possible.then_some(Self {
            position,
            bytes,
            covered_bytes,
            checksums_crc: field(12),
        })
    }

    /// Where what it covers begins.
    pub(crate) fn start(&self) -> u64 {
        self.position + self.bytes
    }

    /// Where what it covers ends.
    pub(crate) fn end(&self) -> u64 {
        self.start() + self.covered_bytes
    }

    /// Whether it covers the byte at `position`.
    pub(crate) fn covers(&self, position: u64) -> bool {
        (self.start()..self.end()).contains(&position)
    }

    /// The blocks that it covers, if `checksums`, which stand behind its head, are sound.
    pub(crate) fn blocks(&self, checksums: &[u8]) -> Option<Vec<Block>> {
        let is_sound = checksums.len() as u64 == self.bytes - HEAD_BYTES
            && crc32c::crc32c(checksums) == self.checksums_crc;
        if !is_sound {
            return None;
        }
        let mut entries = checksums.chunks_exact(ENTRY_BYTES as usize);
        let mut position = self.start();
        let mut blocks = Vec::new();
        while position < self.end() {
            let end = block_end(position).min(self.end());
            let (filled, crc) = entries.next()?.split_first()?;
            let crc = crc.try_into().expect("four bytes are left of an entry");
            blocks.push(Block {
                position,
                bytes: (end - position) as usize,
                crc: u32::from_le_bytes(crc),
                filled: *filled,
            });
            position = end;
        }
        Some(blocks)
    }
}

/// The size of a frame that covers so many bytes.
pub(crate) fn frame_bytes(covered_bytes: u64) -> u64 {
    match covered_bytes {
        0 => HEAD_BYTES,
        covered => HEAD_BYTES + ENTRY_BYTES * (covered.div_ceil(BLOCK_BYTES) + 1),
    }
}

/// The frame of `batches`, which shall stand behind it, at `position` of the segment that begins at
/// `segment`.
///
/// # Panics
///
/// If the batches have 4 GiB or more.
pub(crate) fn encode(segment: u64, position: u64, batches: &[Bytes]) -> Vec<u8> {
    let covered_bytes = batches.iter().map(|batch| batch.len() as u64).sum();
    let mut entries = Entries::new(position + frame_bytes(covered_bytes));
    for batch in batches {
        entries.pass(batch);
    }
    assemble(segment, position, covered_bytes, [entries])
}

/// The frame at `position` of the segment that begins at `segment`, of entries of all that it
/// covers. Where the parts meet, a block ends.
///
/// # Panics
///
/// If they are of more or less than `covered_bytes` behind the frame, or that is 4 GiB or more.
pub(crate) fn assemble<const PARTS: usize>(
    segment: u64,
    position: u64,
    covered_bytes: u64,
    parts: [Entries; PARTS],
) -> Vec<u8> {
    let bytes = frame_bytes(covered_bytes);
    let mut frame = Vec::with_capacity(bytes as usize);
    frame.resize(HEAD_BYTES as usize, 0);
    let mut at = position + bytes;
    for mut part in parts {
        assert_eq!(part.start, at, "a part begins where the one before ends");
        at = part.at;
        if !at.is_multiple_of(BLOCK_BYTES) {
            part.end_block();
        }
        frame.extend_from_slice(&part.bytes);
    }
    let passed = at - position - bytes;
    assert_eq!(passed, covered_bytes, "everything has passed by");
    // Not zero, for zeros are what was never written.
    frame.resize(bytes as usize, 0xff);
    write_head(&mut frame, segment, position, covered_bytes);
    frame
}

/// A frame of `bytes` bytes that covers nothing, to fill room.
///
/// # Panics
///
/// If it is smaller than [`HEAD_BYTES`] or has 4 GiB or more.
pub(crate) fn encode_filler(segment: u64, position: u64, bytes: u64) -> Vec<u8> {
    assert!(bytes >= HEAD_BYTES, "there is room for the head");
    let mut frame = vec![0; usize::try_from(bytes).expect("a frame fits into memory")];
    write_head(&mut frame, segment, position, 0);
    frame
}

fn write_head(frame: &mut [u8], segment: u64, position: u64, covered_bytes: u64) {
    let number = |number: u64| {
        let number = u32::try_from(number);
        number
            .expect("a frame covers less than 4 GiB")
            .to_le_bytes()
    };
    let bytes = number(frame.len() as u64);
    let (head, checksums) = frame.split_at_mut(HEAD_BYTES as usize);
    head[..4].copy_from_slice(&MAGIC);
    head[4..8].copy_from_slice(&bytes);
    head[8..12].copy_from_slice(&number(covered_bytes));
    head[12..16].copy_from_slice(&crc32c::crc32c(checksums).to_le_bytes());
    let crc = head_crc(&head[..16], segment, position);
    head[16..].copy_from_slice(&crc.to_le_bytes());
}

fn head_crc(head: &[u8], segment: u64, position: u64) -> u32 {
    let crc = crc32c::crc32c(head);
    let crc = crc32c::crc32c_append(crc, &segment.to_le_bytes());
    crc32c::crc32c_append(crc, &position.to_le_bytes())
}

/// Where the block that holds `position` ends.
fn block_end(position: u64) -> u64 {
    (position / BLOCK_BYTES + 1) * BLOCK_BYTES
}

/// Where the sector that holds `position` ends.
pub(crate) fn sector_end(position: u64) -> u64 {
    (position / SECTOR_BYTES + 1) * SECTOR_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batches() -> Vec<Bytes> {
        let of = |len: usize| Bytes::from((1..=len).map(|at| at as u8 | 1).collect::<Vec<_>>());
        vec![of(700), of(3), of(1024)]
    }

    #[test]
    fn a_frame_is_found_where_it_was_put_and_nowhere_else() {
        let bytes = encode(7, 1000, &batches());
        let frame = Frame::parse(&bytes, 7, 1000).unwrap();
        assert_eq!((frame.bytes, frame.covered_bytes), (20 + 5 * 2, 1727));
        assert_eq!(frame.bytes as usize, bytes.len());
        assert_eq!((frame.start(), frame.end()), (1030, 2757));
        assert!(frame.covers(1030) && frame.covers(2756) && !frame.covers(2757));
        assert_eq!(Frame::parse(&bytes, 7, 1001), None);
        assert_eq!(Frame::parse(&bytes, 8, 1000), None);
        assert_eq!(Frame::parse(&bytes[..19], 7, 1000), None);
        for at in 0..HEAD_BYTES as usize {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1;
            assert_eq!(Frame::parse(&flipped, 7, 1000), None, "byte {at}");
        }
    }

    #[test]
    fn every_block_has_its_checksum_and_every_sector_its_bit() {
        let bytes = encode(7, 3000, &batches());
        let frame = Frame::parse(&bytes, 7, 3000).unwrap();
        assert_eq!(frame.start(), 3030);
        let blocks = frame.blocks(&bytes[20..]).unwrap();
        let lens: Vec<_> = blocks.iter().map(|block| block.bytes).collect();
        assert_eq!(lens, [1066, 661]);
        let all = batches().concat();
        for block in blocks {
            let at = (block.position - frame.start()) as usize;
            let bytes = &all[at..at + block.bytes];
            assert!(block.is_sound(bytes) && !block.is_missing(bytes));
            assert!(block.is_missing(&vec![0; block.bytes]) && block.is_missing(&bytes[1..]));
            let mut sector = block.position;
            while sector < block.position + block.bytes as u64 {
                let end = sector_end(sector).min(block.position + block.bytes as u64);
                let part = (sector - block.position) as usize..(end - block.position) as usize;
                let mut torn = bytes.to_vec();
                torn[part.clone()].fill(0);
                assert!(block.is_missing(&torn) && !block.is_sound(&torn));
                torn[part.start] = 1;
                assert!(!block.is_missing(&torn) && !block.is_sound(&torn));
                sector = end;
            }
        }
        for at in 20..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1;
            assert_eq!(frame.blocks(&flipped[20..]), None, "byte {at}");
        }
    }

    #[test]
    fn it_is_the_same_frame_however_what_it_covers_passes() {
        let whole = encode(9, 3000, &batches());
        let all = batches().concat();
        for step in [1, 3, 511, 512, 4096] {
            let mut entries = Entries::new(3030);
            all.chunks(step).for_each(|part| entries.pass(part));
            let frame = assemble(9, 3000, all.len() as u64, [entries]);
            assert!(frame == whole, "{step} bytes at once");
        }
        let (head, behind) = all.split_at(4096 - 3030);
        let mut parts = [Entries::new(3030), Entries::new(4096)];
        parts[1].pass(behind);
        parts[0].pass(head);
        assert!(assemble(9, 3000, all.len() as u64, parts) == whole);
    }

    #[test]
    #[should_panic(expected = "everything has passed by")]
    fn no_frame_is_made_of_less_than_it_covers() {
        let mut entries = Entries::new(30);
        entries.pass(&[1]);
        assemble(0, 0, 2, [entries]);
    }

    #[test]
    fn zeros_that_were_written_are_not_missing() {
        let bytes = encode(0, 0, &[Bytes::from(vec![0; 6000])]);
        let frame = Frame::parse(&bytes, 0, 0).unwrap();
        let blocks = frame.blocks(&bytes[20..]).unwrap();
        assert!(blocks.iter().all(|it| !it.is_missing(&vec![0; it.bytes])));
    }

    #[test]
    fn a_filler_takes_the_room_that_it_is_given() {
        for bytes in [20, 21, 1000] {
            let filler = encode_filler(3, 50, bytes);
            let frame = Frame::parse(&filler, 3, 50).unwrap();
            assert_eq!((frame.bytes, frame.covered_bytes), (bytes, 0));
            assert_eq!((frame.start(), frame.end()), (50 + bytes, 50 + bytes));
            assert_eq!(frame.blocks(&filler[20..]), Some(Vec::new()));
        }
    }
}
