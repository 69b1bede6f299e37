use std::collections::VecDeque;

use bytes::Bytes;
use quorate_platform::{AlignedBuffer, BLOCK_BYTES};

use super::pending::Group;
use crate::frame::{self, Entries};

/// The largest pieces.
const PIECE_BYTES_MAX: usize = 1088 << 10;
/// What is not larger is one piece. A batch of 1 MiB was durable after 500 µs in pieces of this
/// size, where it took 740 µs as one (with 420 µs for a raw write of as much); smaller pieces were
/// no better.
const PIECE_BYTES_MIN: usize = 272 << 10;
/// A flush is about so many pieces, as far as these limits go.
const PIECES: usize = 4;
/// The size of the first piece and of the second one, where there are several.
const SMALL_PIECE_BYTES: usize = 64 << 10;

/// What a flush leaves in a file, in pieces of whole blocks: what stands already in the block that
/// it begins in, a frame and the batches that it covers, and zeros.
///
/// Every byte is copied once, and its checksum made while it is in the processor's cache. What the
/// frame tells is known only in the end, so the first piece comes last. The order does not matter:
/// nothing of a flush counts before all of it is durable. The second piece is small, so that the
/// disk has something to do soon, and the first one, so that it waits for little in the end.
#[derive(Debug)]
pub(super) struct Image {
    segment: u64,
    group: Group,
    /// What the first piece begins with.
    last_block: Bytes,
    /// The batches of the first piece, and those behind it.
    first: VecDeque<Bytes>,
    behind: VecDeque<Bytes>,
    entries_behind: Entries,
    /// Where the next piece begins in the file, and where the last batch ends.
    position: u64,
    end: u64,
    piece_bytes: usize,
    next_bytes: usize,
}

impl Image {
    /// Of `group`, for the segment that begins at `segment`; `last_block` is the part that is in
    /// use of the block in which it begins.
    pub(super) fn new(segment: u64, last_block: Bytes, mut group: Group) -> Self {
        let frame_bytes = frame::frame_bytes(group.bytes);
        let head_bytes = last_block.len() + frame_bytes as usize;
        let bytes = head_bytes + group.bytes as usize;
        let piece_bytes = (bytes / PIECES).next_multiple_of(BLOCK_BYTES);
        let piece_bytes = piece_bytes.clamp(PIECE_BYTES_MIN, PIECE_BYTES_MAX);
        let first_bytes = match bytes <= piece_bytes {
            true => bytes,
            false => head_bytes
                .next_multiple_of(BLOCK_BYTES)
                .max(SMALL_PIECE_BYTES),
        };
        assert!(first_bytes <= piece_bytes, "the first piece has the frame");
        let mut behind = VecDeque::from(std::mem::take(&mut group.batches));
        let first = take(&mut behind, first_bytes - head_bytes);
        let start = group.position - last_block.len() as u64;
        let position = start + first_bytes as u64;
        Self {
            segment,
            end: group.position + frame_bytes + group.bytes,
            group,
            last_block,
            first,
            behind,
            entries_behind: Entries::new(position),
            position,
            piece_bytes,
            next_bytes: SMALL_PIECE_BYTES,
        }
    }

    /// Whether no piece is left but the first.
    pub(super) fn is_complete(&self) -> bool {
        self.behind.is_empty()
    }

    /// The next piece behind the first one, and where it belongs.
    pub(super) fn next_piece(&mut self) -> Option<(u64, Piece)> {
        if self.is_complete() {
            return None;
        }
        let batches = take(&mut self.behind, self.next_bytes);
        let left = (self.end - self.position) as usize;
        let mut buffer = AlignedBuffer::with_capacity(self.next_bytes.min(left));
        copy(&batches, &mut buffer, &mut self.entries_behind);
        let position = self.position;
        self.position += buffer.len() as u64;
        self.next_bytes = self.piece_bytes;
        Some((position, Piece::new(buffer)))
    }

    /// The first piece, once there is no other left, and where the last batch ends in the file.
    pub(super) fn finish(self) -> (Piece, u64) {
        let Group {
            position, bytes, ..
        } = self.group;
        let frame_bytes = frame::frame_bytes(bytes);
        let frame_at = self.last_block.len();
        let first: usize = self.first.iter().map(Bytes::len).sum();
        let mut buffer = AlignedBuffer::with_capacity(frame_at + frame_bytes as usize + first);
        buffer.extend_from_slice(&self.last_block);
        buffer.extend_zeros(frame_bytes as usize);
        let mut entries = Entries::new(position + frame_bytes);
        copy(&self.first, &mut buffer, &mut entries);
        let frame = match bytes == first as u64 {
            true => frame::assemble(self.segment, position, bytes, [entries]),
            false => {
                let parts = [entries, self.entries_behind];
                frame::assemble(self.segment, position, bytes, parts)
            }
        };
        buffer[frame_at..frame_at + frame.len()].copy_from_slice(&frame);
        (Piece::new(buffer), self.end)
    }
}

/// A part of the file, of whole blocks.
#[derive(Debug)]
pub(super) struct Piece {
    pub(super) buffer: AlignedBuffer,
    /// What is in use of the last block; nothing if it is full.
    pub(super) last_block: Bytes,
}

impl Piece {
    /// What is missing of the last block is filled up with zeros.
    fn new(mut buffer: AlignedBuffer) -> Self {
        let begun = buffer.len() - buffer.len() % BLOCK_BYTES;
        let last_block = Bytes::copy_from_slice(&buffer[begun..]);
        buffer.pad();
        Self { buffer, last_block }
    }
}

/// Takes so many bytes from the front, or all.
fn take(batches: &mut VecDeque<Bytes>, bytes: usize) -> VecDeque<Bytes> {
    let mut taken = VecDeque::new();
    let mut left = bytes;
    while left > 0
        && let Some(mut batch) = batches.pop_front()
    {
        if batch.len() > left {
            batches.push_front(batch.split_off(left));
        }
        left -= batch.len();
        taken.push_back(batch);
    }
    taken
}

fn copy(batches: &VecDeque<Bytes>, buffer: &mut AlignedBuffer, entries: &mut Entries) {
    for batch in batches {
        // A few blocks at a time, while they are in the nearest cache.
        for part in batch.chunks(4 * BLOCK_BYTES) {
            buffer.extend_from_slice(part);
            entries.pass(part);
        }
    }
}
