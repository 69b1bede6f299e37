use quorate_vsr::OpNumber;

use super::super::block::{BLOCK_BYTES, Kind, encode_write};
use super::super::file_header::FileHeader;
use super::*;

const NOTHING_KNOWN: Known = Known::Last { durable: 0 };

fn entry(op: u64, bytes: usize) -> Entry {
    Entry {
        op: OpNumber(op),
        kind: Kind::Next,
        turns: 0,
        body: vec![op as u8; bytes],
    }
}

/// Three writes: an entry of one block, two entries of one and three blocks, and the same again.
/// Also where each of them ends.
fn file() -> (Vec<u8>, [usize; 4]) {
    let mut bytes = FileHeader::default().encode();
    let mut ends = [bytes.len(); 4];
    let writes = [
        vec![entry(1, 70)],
        vec![entry(2, 5), entry(3, 1000)],
        vec![entry(4, 1000), entry(5, 0)],
    ];
    for (write, entries) in writes.iter().enumerate() {
        bytes.extend(encode_write(write as u64 + 7, entries));
        ends[write + 1] = bytes.len();
    }
    (bytes, ends)
}

fn ops(content: &Content) -> Vec<u64> {
    let entries = content.entries.iter();
    entries.map(|(entry, _)| entry.op.0).collect()
}

/// The ops of the entries that have a byte in `range`.
fn ops_in(range: Range<usize>) -> Vec<u64> {
    let (bytes, _) = file();
    let mut start = BLOCK_BYTES;
    let mut ops = Vec::new();
    for (entry, end) in read(&bytes, NOTHING_KNOWN).entries {
        if start < range.end && range.start < end as usize {
            ops.push(entry.op.0);
        }
        start = end as usize;
    }
    ops
}

#[test]
fn a_whole_file_reads_back() {
    let (bytes, ends) = file();
    for durable in [0, 512, ends[2], ends[3]] {
        let durable = durable as u64;
        let content = read(&bytes, Known::Last { durable });
        assert_eq!(ops(&content), [1, 2, 3, 4, 5]);
        assert_eq!(content.entries[2].0, entry(3, 1000));
        assert_eq!((content.tail, content.last_write), (Tail::Clean, 9));
        assert_eq!((content.end, content.damaged), (ends[3] as u64, vec![]));
    }
}

#[test]
fn a_file_cut_anywhere_ends_with_its_last_whole_write() {
    let (bytes, ends) = file();
    for length in BLOCK_BYTES..bytes.len() {
        let content = read(&bytes[..length], NOTHING_KNOWN);
        let expected = match ends.contains(&length) {
            true => Tail::Clean,
            false => Tail::Torn,
        };
        let whole = ends.iter().filter(|end| **end <= length).max().unwrap();
        assert_eq!(content.tail, expected, "cut to {length}");
        assert_eq!(content.end, *whole as u64, "cut to {length}");
        assert_eq!(ops(&content), ops_in(BLOCK_BYTES..*whole));
        assert_eq!(content.damaged, [], "cut to {length}");
    }
}

#[test]
fn a_last_write_of_which_any_blocks_are_missing_is_torn() {
    let (bytes, ends) = file();
    let blocks = (ends[3] - ends[2]) / BLOCK_BYTES;
    assert_eq!(blocks, 4);
    for present in 0..(1 << blocks) - 1 {
        let mut torn = bytes.clone();
        for block in (0..blocks).filter(|block| present & (1 << block) == 0) {
            let start = ends[2] + block * BLOCK_BYTES;
            torn[start..start + BLOCK_BYTES].fill(0);
        }
        let content = read(&torn, NOTHING_KNOWN);
        assert_eq!(content.tail, Tail::Torn, "{present:b}");
        assert_eq!(content.end, ends[2] as u64, "{present:b}");
        assert_eq!(ops(&content), [1, 2, 3]);
        // Unless it is known that it was not.
        let durable = ends[3] as u64;
        let content = read(&torn, Known::Last { durable });
        assert_ne!(content.tail, Tail::Torn, "{present:b}");
        assert_ne!(content.damaged, [], "{present:b}");
    }
}

#[test]
fn a_file_that_was_longer_once_is_uncertain() {
    let (bytes, ends) = file();
    for length in BLOCK_BYTES..bytes.len() {
        let durable = ends[3] as u64;
        let content = read(&bytes[..length], Known::Last { durable });
        assert_eq!(content.tail, Tail::Uncertain, "cut to {length}");
        assert_eq!(content.damaged.last().unwrap().end, durable);
    }
}

#[test]
fn a_flipped_bit_costs_its_entry_and_no_other_and_is_never_torn() {
    let (bytes, ends) = file();
    for position in BLOCK_BYTES..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[position] ^= 0x10;
        let content = read(&damaged, NOTHING_KNOWN);
        let lost = ops_in(position..position + 1);
        let left: Vec<_> = (1..=5).filter(|op| !lost.contains(op)).collect();
        assert_eq!(ops(&content), left, "position {position}");
        let expected = match lost == [5] {
            true => Tail::Uncertain,
            false => Tail::Clean,
        };
        assert_eq!(content.tail, expected, "position {position}");
        let block = position as u64 / 512 * 512;
        let covers = |range: &Range<u64>| range.contains(&block);
        assert!(content.damaged.iter().any(covers), "position {position}");
        // With a later file, it is damage in any case.
        let counts = Some(ends[3] as u64);
        let content = read(&damaged, Known::Followed { counts });
        assert_eq!(ops(&content), left, "position {position}");
    }
}

#[test]
fn what_was_durable_and_is_zero_now_is_damaged() {
    let (bytes, ends) = file();
    let blocks = (BLOCK_BYTES..ends[2]).step_by(BLOCK_BYTES);
    for start in blocks {
        let mut damaged = bytes.clone();
        damaged[start..start + BLOCK_BYTES].fill(0);
        let content = read(&damaged, NOTHING_KNOWN);
        let lost = ops_in(start..start + BLOCK_BYTES);
        assert!(ops(&content).iter().all(|op| !lost.contains(op)));
        assert_eq!(ops(&content).len() + lost.len(), 5, "block at {start}");
        assert_ne!(content.damaged, []);
    }
}

#[test]
fn what_stands_behind_the_place_where_the_next_file_goes_on_does_not_count() {
    let (bytes, ends) = file();
    let counts = Some(ends[2] as u64);
    let content = read(&bytes, Known::Followed { counts });
    assert_eq!(ops(&content), [1, 2, 3]);
    assert_eq!((content.end, content.damaged), (ends[2] as u64, vec![]));
    assert_eq!(content.tail, Tail::Uncertain);
    // And if nobody knows the place, all of it does.
    let content = read(&bytes, Known::Followed { counts: None });
    assert_eq!(ops(&content), [1, 2, 3, 4, 5]);
}

#[test]
fn a_block_of_an_earlier_write_is_damage() {
    let (mut bytes, ends) = file();
    let first: Vec<u8> = bytes[ends[0]..ends[1]].to_vec();
    bytes[ends[2]..ends[2] + BLOCK_BYTES].copy_from_slice(&first);
    let content = read(&bytes, NOTHING_KNOWN);
    assert_eq!(ops(&content), [1, 2, 3, 5]);
    assert_eq!(content.tail, Tail::Clean);
    let damaged = ends[2] as u64..ends[3] as u64 - 512;
    assert!(content.damaged.iter().eq([&damaged]));
}
