//! The bytes of a journal file, and what can be told from them after a crash.
//!
//! A file starts with a header that names the first write in it. A *write* is what was handed to
//! the disk and made durable in one go: one or more entries. Each entry says to which write it
//! belongs and how many entries follow it in the same write.
//!
//! So what stands behind the last good entry can be judged. Writes are made one after the other,
//! each only when the one before is durable. If a good entry of a *later* write follows bytes that
//! make no sense, these bytes were durable once, perhaps acknowledged, and have been damaged since:
//! nothing may be cut. If nothing good follows, or only entries of the same write, then that write
//! was under way when the power went. It was never reported as durable, and is cut, all of it.

use bytes::{Buf, BufMut};
use quorate_vsr::OpNumber;

/// Magic (4), format version (2), reserved (2), number of the first write (8), checksum (4).
pub(super) const FILE_HEADER_BYTES: usize = 20;
/// Magic (4), checksum of all that follows (4), body length (4), entries of the same write that
/// follow (4), write (8), op (8).
pub(super) const ENTRY_HEADER_BYTES: usize = 32;

const FILE_MAGIC: [u8; 4] = *b"QRJF";
const ENTRY_MAGIC: [u8; 4] = *b"QRJE";
const VERSION: u16 = 1;

/// One entry as read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) op: OpNumber,
    pub(super) body: Vec<u8>,
    write: u64,
    following: u32,
}

/// What a file holds.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Content {
    pub(super) entries: Vec<Entry>,
    /// Where the last whole write ends.
    pub(super) end: usize,
    /// Where the last good entry ends.
    pub(super) damaged_at: usize,
    /// The number that the next write gets.
    pub(super) next_write: u64,
    pub(super) tail: Tail,
}

/// What stands behind the last good entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tail {
    /// Nothing, and the last write is whole.
    Clean,
    /// Remains of a write that never became durable.
    Torn,
    /// Bytes that were durable once: a good entry of a later write stands at this position.
    Damaged { later: usize },
}

/// Why a file cannot be read at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BadFile {
    /// The header is not whole: the file was being created.
    Unfinished,
    /// The header is damaged.
    Header,
    /// Written in a format that this program does not know.
    Version(u16),
}

pub(super) fn encode_file_header(first_write: u64) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(FILE_HEADER_BYTES);
    bytes.put_slice(&FILE_MAGIC);
    bytes.put_u16_le(VERSION);
    bytes.put_u16_le(0);
    bytes.put_u64_le(first_write);
    bytes.put_u32_le(crc32c::crc32c(&bytes));
    bytes
}

/// The bytes of one write.
pub(super) fn encode_write(write: u64, entries: &[(OpNumber, Vec<u8>)]) -> Vec<u8> {
    let body_bytes: usize = entries.iter().map(|(_, body)| body.len()).sum();
    let mut bytes = Vec::with_capacity(entries.len() * ENTRY_HEADER_BYTES + body_bytes);
    for ((op, body), following) in entries.iter().zip((0..entries.len()).rev()) {
        let start = bytes.len();
        bytes.put_slice(&ENTRY_MAGIC);
        bytes.put_u32_le(0);
        bytes.put_u32_le(u32::try_from(body.len()).expect("a prepare is far below 4 GiB"));
        bytes.put_u32_le(u32::try_from(following).expect("a write has few entries"));
        bytes.put_u64_le(write);
        bytes.put_u64_le(op.0);
        bytes.put_slice(body);
        let checksum = crc32c::crc32c(&bytes[start + 8..]);
        bytes[start + 4..start + 8].copy_from_slice(&checksum.to_le_bytes());
    }
    bytes
}

/// Reads a whole file.
pub(super) fn read(bytes: &[u8]) -> Result<Content, BadFile> {
    let first_write = read_file_header(bytes)?;
    let mut entries: Vec<Entry> = Vec::new();
    let mut end = FILE_HEADER_BYTES;
    // Where the last whole write ends, and how many entries there are up to there.
    let (mut whole_end, mut whole_entries) = (end, 0);
    while let Some((entry, length)) = entry_at(bytes, end) {
        end += length;
        let is_last_of_write = entry.following == 0;
        entries.push(entry);
        if is_last_of_write {
            (whole_end, whole_entries) = (end, entries.len());
        }
    }
    // The write that was under way if what follows is torn.
    let next_write = match entries[..whole_entries].last() {
        Some(last) => last.write + 1,
        None => first_write,
    };
    let later = (end..bytes.len())
        .find(|at| entry_at(bytes, *at).is_some_and(|(entry, _)| entry.write > next_write));
    let tail = match later {
        Some(later) => Tail::Damaged { later },
        None if whole_end == bytes.len() => Tail::Clean,
        None => Tail::Torn,
    };
    let damaged_at = end;
    entries.truncate(whole_entries);
    Ok(Content {
        entries,
        end: whole_end,
        damaged_at,
        next_write,
        tail,
    })
}

fn read_file_header(bytes: &[u8]) -> Result<u64, BadFile> {
    let Some((mut header, _)) = bytes.split_at_checked(FILE_HEADER_BYTES) else {
        return Err(BadFile::Unfinished);
    };
    // The header is written and made durable before the first entry.
    if bytes.iter().all(|byte| *byte == 0) {
        return Err(BadFile::Unfinished);
    }
    let checksum = crc32c::crc32c(&header[..FILE_HEADER_BYTES - 4]);
    if header[..4] != FILE_MAGIC || header[FILE_HEADER_BYTES - 4..] != checksum.to_le_bytes() {
        return Err(BadFile::Header);
    }
    header.advance(4);
    let version = header.get_u16_le();
    if version != VERSION {
        return Err(BadFile::Version(version));
    }
    header.advance(2);
    Ok(header.get_u64_le())
}

/// The entry that starts at `at`, if a good one does, and its length in bytes.
fn entry_at(bytes: &[u8], at: usize) -> Option<(Entry, usize)> {
    let bytes = &bytes[at..];
    let (mut header, rest) = bytes.split_at_checked(ENTRY_HEADER_BYTES)?;
    if header[..4] != ENTRY_MAGIC {
        return None;
    }
    header.advance(4);
    let checksum = header.get_u32_le();
    let body_len = header.get_u32_le() as usize;
    let body = rest.get(..body_len)?;
    if crc32c::crc32c(&bytes[8..ENTRY_HEADER_BYTES + body_len]) != checksum {
        return None;
    }
    let following = header.get_u32_le();
    let write = header.get_u64_le();
    let op = OpNumber(header.get_u64_le());
    Some((
        Entry {
            op,
            body: body.to_vec(),
            write,
            following,
        },
        ENTRY_HEADER_BYTES + body_len,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bodies(ops: std::ops::Range<u64>) -> Vec<(OpNumber, Vec<u8>)> {
        ops.map(|op| (OpNumber(op), format!("operation {op}").into_bytes()))
            .collect()
    }

    /// Three writes, of one, two and one entries, and where each ends.
    fn file() -> (Vec<u8>, [usize; 4]) {
        let mut bytes = encode_file_header(7);
        let mut ends = [bytes.len(); 4];
        for (write, ops) in [(7, 1..2), (8, 2..4), (9, 4..5)] {
            bytes.extend(encode_write(write, &bodies(ops)));
            ends[write as usize - 6] = bytes.len();
        }
        (bytes, ends)
    }

    fn ops(content: &Content) -> Vec<u64> {
        content.entries.iter().map(|entry| entry.op.0).collect()
    }

    #[test]
    fn a_whole_file_reads_back() {
        let (bytes, ends) = file();
        let content = read(&bytes).unwrap();
        assert_eq!(
            (ops(&content), content.tail),
            (vec![1, 2, 3, 4], Tail::Clean)
        );
        assert_eq!((content.end, content.next_write), (ends[3], 10));
    }

    #[test]
    fn a_file_cut_anywhere_ends_with_its_last_whole_write() {
        let (bytes, ends) = file();
        for length in FILE_HEADER_BYTES..bytes.len() {
            let content = read(&bytes[..length]).unwrap();
            let expected = if ends.contains(&length) {
                Tail::Clean
            } else {
                Tail::Torn
            };
            assert_eq!(content.tail, expected, "cut to {length}");
            let whole = ends.iter().filter(|end| **end <= length).max();
            assert_eq!(Some(&content.end), whole, "cut to {length}");
            assert_eq!(
                ops(&content),
                (1..=content.entries.len() as u64).collect::<Vec<_>>()
            );
            assert_eq!(read(&bytes[..content.end]).unwrap().tail, Tail::Clean);
        }
        for length in 0..FILE_HEADER_BYTES {
            assert_eq!(read(&bytes[..length]), Err(BadFile::Unfinished));
        }
    }

    #[test]
    fn damage_before_a_later_write_is_never_called_torn() {
        let (bytes, ends) = file();
        for position in FILE_HEADER_BYTES..ends[2] {
            let mut damaged = bytes.clone();
            damaged[position] ^= 0x10;
            let content = read(&damaged).unwrap();
            let is_damaged = matches!(content.tail, Tail::Damaged { .. });
            assert!(is_damaged, "position {position}: {:?}", content.tail);
        }
    }

    #[test]
    fn a_hole_within_the_last_write_is_torn() {
        let (bytes, ends) = file();
        let mut torn = bytes[..ends[2]].to_vec();
        torn[ends[1] + 5] ^= 0xff;
        let content = read(&torn).unwrap();
        assert_eq!((ops(&content), content.tail), (vec![1], Tail::Torn));
        assert_eq!(content.end, ends[1]);
    }

    #[test]
    fn a_newer_format_is_named() {
        let mut bytes = encode_file_header(1);
        bytes[4] = 2;
        let checksum = crc32c::crc32c(&bytes[..16]).to_le_bytes();
        bytes[16..].copy_from_slice(&checksum);
        assert_eq!(read(&bytes), Err(BadFile::Version(2)));
    }
}
