use std::fmt;
use std::mem::MaybeUninit;
use std::ops::{Deref, DerefMut};
use std::slice;

use bytes::Bytes;
use compio_buf::{IoBuf, IoBufMut, ReserveError, SetLen};

use crate::kept_memory::{self, Blocks};

/// Positions, lengths and memory of direct I/O are multiples of this. Also, a disk loses no less.
pub const BLOCK_BYTES: usize = 4096;

/// A growable buffer for files that are open for direct I/O, and as good for all others.
///
/// It begins at a multiple of [`BLOCK_BYTES`] in memory, and so does its end: a read into it reads
/// whole blocks. It becomes [`Bytes`] without a copy.
///
/// The memory of a large one is kept by the thread that drops it, for the next one.
pub struct AlignedBuffer {
    /// At least as many as there is room for.
    blocks: Blocks,
    /// The bytes that there is room for: whole blocks.
    room: usize,
    /// The bytes that are initialized, from the first block's start on.
    len: usize,
}

/// Lends the buffer its alignment. Blocks lie next to each other without a gap.
#[repr(C, align(4096))]
pub(crate) struct Block([u8; BLOCK_BYTES]);

impl AlignedBuffer {
    /// An empty buffer with room for `capacity` bytes, rounded up to whole blocks.
    pub fn with_capacity(capacity: usize) -> Self {
        let blocks = capacity.div_ceil(BLOCK_BYTES);
        Self {
            blocks: kept_memory::take(blocks),
            room: blocks * BLOCK_BYTES,
            len: 0,
        }
    }

    /// Appends a copy of `bytes`.
    pub fn extend_from_slice(&mut self, bytes: &[u8]) {
        IoBufMut::extend_from_slice(self, bytes).expect("room is made, or the process ends");
    }

    /// Forgets the content, and keeps the memory.
    pub const fn clear(&mut self) {
        self.len = 0;
    }

    /// Appends so many zeros.
    pub fn extend_zeros(&mut self, count: usize) {
        let mut left = count;
        while left > 0 {
            let now = left.min(BLOCK_BYTES);
            self.extend_from_slice(&[0; BLOCK_BYTES][..now]);
            left -= now;
        }
    }

    /// Appends zeros up to the end of the last block that was begun.
    pub fn pad(&mut self) {
        self.extend_zeros(self.len.next_multiple_of(BLOCK_BYTES) - self.len);
    }
}

impl IoBuf for AlignedBuffer {
    fn as_init(&self) -> &[u8] {
        // SAFETY: the first `len` bytes of the blocks are initialized.
        unsafe { slice::from_raw_parts(self.blocks.as_ptr().cast(), self.len) }
    }
}

impl IoBufMut for AlignedBuffer {
    fn as_uninit(&mut self) -> &mut [MaybeUninit<u8>] {
        // SAFETY: these are bytes of the blocks, and nobody else has them meanwhile.
        unsafe { slice::from_raw_parts_mut(self.blocks.as_mut_ptr().cast(), self.room) }
    }

    fn reserve(&mut self, additional: usize) -> Result<(), ReserveError> {
        let needed = self.len + additional;
        let capacity = self.buf_capacity();
        if needed > capacity {
            let mut grown = Self::with_capacity(needed.max(2 * capacity));
            grown.extend_from_slice(self);
            *self = grown;
        }
        Ok(())
    }
}

impl SetLen for AlignedBuffer {
    unsafe fn set_len(&mut self, len: usize) {
        assert!(len <= self.buf_capacity(), "a buffer ends inside of itself");
        self.len = len;
    }
}

impl Drop for AlignedBuffer {
    fn drop(&mut self) {
        kept_memory::give_back(std::mem::take(&mut self.blocks));
    }
}

impl Deref for AlignedBuffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.as_init()
    }
}

impl DerefMut for AlignedBuffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: the first `len` bytes of the blocks are initialized, and nobody else has them.
        unsafe { slice::from_raw_parts_mut(self.blocks.as_mut_ptr().cast(), self.len) }
    }
}

impl AsRef<[u8]> for AlignedBuffer {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl From<AlignedBuffer> for Bytes {
    fn from(buffer: AlignedBuffer) -> Self {
        Self::from_owner(buffer)
    }
}

impl fmt::Debug for AlignedBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AlignedBuffer")
            .field("len", &self.len)
            .field("room", &self.room)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_aligned(buffer: &AlignedBuffer) -> bool {
        buffer.as_ptr().addr().is_multiple_of(BLOCK_BYTES)
    }

    #[test]
    fn it_is_aligned_however_large_it_is_and_grows() {
        let pattern: Vec<u8> = (0..70_000u32).map(|at| (at % 251) as u8).collect();
        for capacity in [0, 1, 4095, 4096, 4097, 300_000] {
            let mut buffer = AlignedBuffer::with_capacity(capacity);
            assert!(is_aligned(&buffer) && buffer.is_empty());
            assert!(buffer.buf_capacity() >= capacity);
            let mut expected = Vec::new();
            for len in [0, 1, 5000, 70_000, 3] {
                buffer.extend_from_slice(&pattern[..len]);
                expected.extend_from_slice(&pattern[..len]);
                assert!(is_aligned(&buffer));
                assert!(buffer.buf_capacity().is_multiple_of(BLOCK_BYTES));
                assert!(*buffer == expected[..], "{len} bytes into {capacity}");
            }
        }
    }

    #[test]
    fn padding_fills_the_block_that_was_begun_and_begins_none() {
        for (len, padded) in [(0, 0), (1, 4096), (4095, 4096), (4096, 4096), (4097, 8192)] {
            let mut buffer = AlignedBuffer::with_capacity(0);
            buffer.extend_from_slice(&vec![7; len]);
            buffer.pad();
            assert_eq!(buffer.len(), padded);
            assert!(buffer[..len].iter().all(|byte| *byte == 7));
            assert!(buffer[len..].iter().all(|byte| *byte == 0));
        }
    }

    #[test]
    fn what_is_in_it_can_be_changed_and_zeros_appended() {
        let mut buffer = AlignedBuffer::with_capacity(1);
        buffer.extend_from_slice(b"abc");
        buffer.extend_zeros(9000);
        buffer[1..3].copy_from_slice(b"xy");
        assert_eq!((&buffer[..3], buffer.len()), (&b"axy"[..], 9003));
        assert!(buffer[3..].iter().all(|byte| *byte == 0));
    }

    #[test]
    fn it_becomes_bytes_without_a_copy() {
        let mut buffer = AlignedBuffer::with_capacity(10);
        buffer.extend_from_slice(b"some bytes");
        let address = buffer.as_ptr();
        let bytes = Bytes::from(buffer);
        let part = Bytes::slice(&bytes, 5..);
        assert_eq!(bytes.as_ptr(), address);
        drop(bytes);
        assert_eq!(part, "bytes");
        assert!(Bytes::from(AlignedBuffer::with_capacity(0)).is_empty());
    }

    #[test]
    #[should_panic(expected = "a buffer ends inside of itself")]
    fn it_does_not_end_behind_its_room() {
        let mut buffer = AlignedBuffer::with_capacity(1);
        // SAFETY: none; that it is refused is what is tested.
        unsafe { buffer.set_len(4097) };
    }
}
