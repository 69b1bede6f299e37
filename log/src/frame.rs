//! Frames: what every write to a segment begins with, so that a torn one is told from damage.
//!
//! A flush that a power cut interrupts leaves its sectors as they were, zero or behind the end of
//! the file, or as they should be. It was never acknowledged. A flush that was acknowledged and has
//! rotted since looks much the same to whoever has only the batches. So each flush writes a frame
//! before them, which holds a checksum of every sector that it covers:
//!
//! ```text
//! bytes  0..4   magic, no byte of it zero
//!        4..8   bytes of the frame, checksums included
//!        8..12  bytes that it covers, right behind it; 0 if it only fills room
//!       12..16  CRC-32C of the checksums
//!       16..20  CRC-32C of all before, the base offset of the segment and the frame's position
//!       20..    for each sector of 512 bytes that the covered bytes touch, counted from the start
//!               of the file: the CRC-32C of those of its bytes that are covered. One of them is
//!               spare: how many sectors are touched depends on where the frame ends.
//! ```
//!
//! All numbers are little-endian. A sector that is zero where the frame knows that it was not, is
//! missing: the flush was torn, whatever its other sectors look like. If none is missing and one is
//! wrong, the flush was complete once, and that one is damaged. The segment and the position in the
//! checksum keep bytes of another place from being taken for a frame.
//!
//! Readers pass over frames. Where one is damaged, no record is lost by it.

use bytes::Bytes;

/// The least that any disk writes as a whole.
pub(crate) const SECTOR_BYTES: u64 = 512;
/// The size of a frame that covers nothing.
pub(crate) const HEAD_BYTES: u64 = 20;

const MAGIC: [u8; 4] = *b"QFR1";
const CHECKSUM_BYTES: u64 = 4;

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

/// The part of a sector that a frame covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sector {
    pub(crate) position: u64,
    pub(crate) bytes: usize,
    pub(crate) crc: u32,
}

impl Sector {
    /// Whether `bytes`, which stand there, were never written.
    pub(crate) fn is_missing(&self, bytes: &[u8]) -> bool {
        let is_zero = bytes.iter().all(|byte| *byte == 0);
        bytes.len() < self.bytes || (is_zero && crc32c::crc32c(bytes) != self.crc)
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

    /// The sectors that it covers, if `checksums`, which stand behind its head, are sound.
    pub(crate) fn sectors(&self, checksums: &[u8]) -> Option<Vec<Sector>> {
        let is_sound = checksums.len() as u64 == self.bytes - HEAD_BYTES
            && crc32c::crc32c(checksums) == self.checksums_crc;
        if !is_sound {
            return None;
        }
        let mut crcs = checksums.chunks_exact(CHECKSUM_BYTES as usize);
        let mut position = self.start();
        let mut sectors = Vec::new();
        while position < self.end() {
            let end = sector_end(position).min(self.end());
            let crc = crcs.next()?.try_into().expect("four bytes");
            sectors.push(Sector {
                position,
                bytes: (end - position) as usize,
                crc: u32::from_le_bytes(crc),
            });
            position = end;
        }
        Some(sectors)
    }
}

/// The size of a frame that covers so many bytes.
pub(crate) fn frame_bytes(covered_bytes: u64) -> u64 {
    match covered_bytes {
        0 => HEAD_BYTES,
        covered => HEAD_BYTES + CHECKSUM_BYTES * (covered.div_ceil(SECTOR_BYTES) + 1),
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
    let bytes = frame_bytes(covered_bytes);
    let mut frame = Vec::with_capacity(bytes as usize);
    frame.resize(HEAD_BYTES as usize, 0);
    let mut at = position + bytes;
    let mut crc = 0;
    for batch in batches {
        let mut rest = &batch[..];
        while !rest.is_empty() {
            let room = (sector_end(at) - at) as usize;
            let (part, behind) = rest.split_at(room.min(rest.len()));
            crc = crc32c::crc32c_append(crc, part);
            at += part.len() as u64;
            if at.is_multiple_of(SECTOR_BYTES) {
                frame.extend_from_slice(&crc.to_le_bytes());
                crc = 0;
            }
            rest = behind;
        }
    }
    if !at.is_multiple_of(SECTOR_BYTES) {
        frame.extend_from_slice(&crc.to_le_bytes());
    }
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
        assert_eq!((frame.bytes, frame.covered_bytes), (20 + 4 * 5, 1727));
        assert_eq!(frame.bytes as usize, bytes.len());
        assert_eq!((frame.start(), frame.end()), (1040, 2767));
        assert!(frame.covers(1040) && frame.covers(2766) && !frame.covers(2767));
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
    fn every_sector_has_its_checksum() {
        let bytes = encode(7, 1000, &batches());
        let frame = Frame::parse(&bytes, 7, 1000).unwrap();
        let sectors = frame.sectors(&bytes[20..]).unwrap();
        let lens: Vec<_> = sectors.iter().map(|sector| sector.bytes).collect();
        assert_eq!(lens, [496, 512, 512, 207]);
        let all = batches().concat();
        for sector in sectors {
            let at = (sector.position - frame.start()) as usize;
            let bytes = &all[at..at + sector.bytes];
            assert_eq!(crc32c::crc32c(bytes), sector.crc);
            assert!(!sector.is_missing(bytes));
            assert!(sector.is_missing(&vec![0; sector.bytes]));
            assert!(sector.is_missing(&bytes[1..]));
        }
        for at in 20..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1;
            assert_eq!(frame.sectors(&flipped[20..]), None, "byte {at}");
        }
    }

    #[test]
    fn zeros_that_were_written_are_not_missing() {
        let bytes = encode(0, 0, &[Bytes::from(vec![0; 2000])]);
        let frame = Frame::parse(&bytes, 0, 0).unwrap();
        let sectors = frame.sectors(&bytes[20..]).unwrap();
        assert!(sectors.iter().all(|it| !it.is_missing(&vec![0; it.bytes])));
    }

    #[test]
    fn a_filler_takes_the_room_that_it_is_given() {
        for bytes in [20, 21, 1000] {
            let filler = encode_filler(3, 50, bytes);
            let frame = Frame::parse(&filler, 3, 50).unwrap();
            assert_eq!((frame.bytes, frame.covered_bytes), (bytes, 0));
            assert_eq!((frame.start(), frame.end()), (50 + bytes, 50 + bytes));
            assert_eq!(frame.sectors(&filler[20..]), Some(Vec::new()));
        }
    }
}
