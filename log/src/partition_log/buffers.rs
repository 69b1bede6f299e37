//! Memory for large writes, used again and again.
//!
//! A large allocation is new memory each time, and each of its pages is cleared when it is first
//! touched. That may take longer than the write, most of all in a virtual machine whose host takes
//! unused memory back. So every thread keeps some buffers.

use std::cell::RefCell;

use quorate_platform::{AlignedBuffer, IoBufMut};

/// The size of a large buffer, and so of one write.
pub(super) const BUFFER_BYTES: usize = 1 << 20;
/// What is smaller the allocator keeps by itself.
const SMALL_BYTES_MAX: usize = 64 << 10;
/// The large buffers that a thread keeps.
const KEPT_MAX: usize = 16;

thread_local! {
    static KEPT: RefCell<Vec<AlignedBuffer>> = const { RefCell::new(Vec::new()) };
}

/// An empty buffer with room for `len` bytes, or for [`BUFFER_BYTES`] if that is less.
pub(super) fn take(len: usize) -> AlignedBuffer {
    if len <= SMALL_BYTES_MAX {
        return AlignedBuffer::with_capacity(len);
    }
    let kept = KEPT.with_borrow_mut(Vec::pop);
    kept.unwrap_or_else(|| AlignedBuffer::with_capacity(BUFFER_BYTES))
}

/// Gives a buffer back that nobody needs any more.
pub(super) fn give_back(mut buffer: AlignedBuffer) {
    if buffer.buf_capacity() != BUFFER_BYTES {
        return;
    }
    buffer.clear();
    KEPT.with_borrow_mut(|kept| {
        if kept.len() < KEPT_MAX {
            kept.push(buffer);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_buffer_comes_back_empty() {
        let mut buffer = take(SMALL_BYTES_MAX + 1);
        buffer.extend_from_slice(b"something");
        let address = buffer.as_ptr();
        give_back(buffer);
        let again = take(BUFFER_BYTES);
        assert_eq!((again.as_ptr(), again.len()), (address, 0));
        assert_ne!(take(BUFFER_BYTES).as_ptr(), address);
        give_back(take(10));
        assert!(KEPT.with_borrow(Vec::is_empty), "small ones are not kept");
    }

    #[test]
    fn no_more_than_some_are_kept() {
        let buffers: Vec<_> = (0..2 * KEPT_MAX).map(|_| take(BUFFER_BYTES)).collect();
        buffers.into_iter().for_each(give_back);
        assert_eq!(KEPT.with_borrow(Vec::len), KEPT_MAX);
    }
}
