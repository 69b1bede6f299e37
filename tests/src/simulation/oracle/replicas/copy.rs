use std::collections::BTreeMap;

use super::batch::Batch;

const FRAME_MAGIC: &[u8] = b"QFR2";
/// The size of what begins a frame.
const FRAME_HEAD: usize = 20;

/// What one node has of a partition, by the bytes on its disk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Copy<'a> {
    /// The node.
    pub node: u16,
    /// The partition's id.
    pub partition: u64,
    /// The sound batches, by offset. What is missing between two of them is damaged or gone.
    pub batches: Vec<Batch<'a>>,
}

impl<'a> Copy<'a> {
    /// Reads the files of a partition's folder, by name. Only segments count.
    pub fn read(node: u16, partition: u64, files: &'a BTreeMap<String, Vec<u8>>) -> Self {
        let mut segments: Vec<(u64, &[u8])> = files
            .iter()
            .filter_map(|(name, bytes)| Some((base_offset(name)?, bytes.as_slice())))
            .collect();
        segments.sort_unstable_by_key(|(base, _)| *base);
        let mut batches = Vec::new();
        for (at, (base, bytes)) in segments.iter().enumerate() {
            let until = segments.get(at + 1).map_or(u64::MAX, |(next, _)| *next);
            read_segment(*base, until, bytes, &mut batches);
        }
        Self {
            node,
            partition,
            batches,
        }
    }

    /// One past the last offset that it holds.
    pub fn next_offset(&self) -> u64 {
        self.batches.last().map_or(0, |batch| batch.next_offset)
    }
}

/// The offset that the name of a segment's file states.
fn base_offset(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".log")?;
    digits.parse().ok().filter(|_| digits.len() == 20)
}

fn read_segment<'a>(base: u64, until: u64, bytes: &'a [u8], batches: &mut Vec<Batch<'a>>) {
    let (mut at, mut expected) = (0, base);
    while at < bytes.len() && expected < until {
        if let Some(size) = frame_at(base, bytes, at) {
            at += size;
            continue;
        }
        // What stands in the place of a damaged frame is passed over.
        let Some((found_at, batch)) = find(expected, bytes, at) else {
            return;
        };
        at = found_at + batch.bytes.len();
        expected = batch.next_offset;
        batches.push(batch);
    }
}

/// The size of the frame that stands there, if one does.
fn frame_at(base: u64, bytes: &[u8], at: usize) -> Option<usize> {
    let head = bytes.get(at..at + FRAME_HEAD)?;
    let mut crc = crc32c::crc32c(&head[..16]);
    crc = crc32c::crc32c_append(crc, &base.to_le_bytes());
    crc = crc32c::crc32c_append(crc, &(at as u64).to_le_bytes());
    let number =
        |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    let is_frame = head.starts_with(FRAME_MAGIC) && crc == number(16);
    let size = number(4) as usize;
    (is_frame && size >= FRAME_HEAD).then_some(size)
}

/// The next sound batch at `from` or behind it that begins with the offset `expected`.
fn find<'a>(expected: u64, bytes: &'a [u8], from: usize) -> Option<(usize, Batch<'a>)> {
    let start = expected.to_be_bytes();
    let places = from..bytes.len().saturating_sub(start.len());
    let mut places = places.filter(|at| bytes[*at..].starts_with(&start));
    places.find_map(|at| Some((at, Batch::read(&bytes[at..])?)))
}

#[cfg(test)]
mod tests {
    use super::super::sample::{Segment, batch};
    use super::*;

    fn offsets(files: &BTreeMap<String, Vec<u8>>) -> Vec<u64> {
        let copy = Copy::read(1, 1, files);
        copy.batches.iter().map(|batch| batch.base_offset).collect()
    }

    #[test]
    fn other_files_are_no_segments() {
        let segment = Segment::new(0).put(batch(0, 1).record(0, Some(1)));
        let mut files = segment.files();
        let (_, bytes) = files.pop_first().unwrap();
        for name in [
            "00000000000000000000.index",
            "0.log",
            "00000000000000000000-00000000000000000001.compacting",
            "00000000000000000000.log.new",
        ] {
            files.insert(name.to_owned(), bytes.clone());
        }
        assert!(offsets(&files).is_empty());
        files.insert("00000000000000000000.log".to_owned(), bytes);
        assert_eq!(offsets(&files), [0]);
    }

    #[test]
    fn remains_of_another_place_are_no_batches_of_this_one() {
        let segment = Segment::new(0)
            .put(batch(0, 1).record(0, Some(1)))
            .put(batch(7, 1).record(0, Some(1)));
        assert_eq!(offsets(&segment.files()), [0]);
    }

    #[test]
    fn segments_follow_one_another() {
        let first = Segment::new(0).put(batch(0, 1).record(0, Some(1)));
        let second = Segment::new(1).frame().put(batch(1, 1).record(0, Some(1)));
        let files = first.and(second).files();
        assert_eq!(offsets(&files), [0, 1]);
        assert_eq!(Copy::read(1, 1, &files).next_offset(), 2);
    }
}
