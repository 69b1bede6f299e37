//! The memory of large buffers, used again and again.
//!
//! A large allocation is new memory each time, and each of its pages is cleared when it is first
//! touched. That may take longer than to read or write them, most of all in a virtual machine whose
//! host takes unused memory back. So every thread keeps what large buffers leave to it, up to a
//! limit. What is smaller the allocator keeps by itself.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::mem::MaybeUninit;

use crate::aligned_buffer::{BLOCK_BYTES, Block};

/// Uninitialized blocks.
pub(crate) type Blocks = Box<[MaybeUninit<Block>]>;

/// Buffers of so many blocks, and smaller ones, are left to the allocator.
const SMALL_BLOCKS_MAX: usize = (64 << 10) / BLOCK_BYTES;
/// Buffers of more blocks are too rare to be kept.
const LARGE_BLOCKS_MAX: usize = (8 << 20) / BLOCK_BYTES;
/// What a thread keeps.
const KEPT_BLOCKS_MAX: usize = (32 << 20) / BLOCK_BYTES;

/// In the order in which they came back.
#[derive(Default)]
struct Kept {
    buffers: VecDeque<Blocks>,
    blocks: usize,
}

thread_local! {
    static KEPT: RefCell<Kept> = RefCell::default();
}

/// Memory of at least so many blocks.
pub(crate) fn take(blocks: usize) -> Blocks {
    let Some(size) = size_for(blocks) else {
        return Box::new_uninit_slice(blocks);
    };
    let kept = KEPT.try_with(|kept| kept.borrow_mut().take(size));
    kept.ok()
        .flatten()
        .unwrap_or_else(|| Box::new_uninit_slice(size))
}

/// Takes back what nobody needs any more.
pub(crate) fn give_back(blocks: Blocks) {
    if size_for(blocks.len()) == Some(blocks.len()) {
        // A thread that ends keeps nothing.
        KEPT.try_with(|kept| kept.borrow_mut().put(blocks)).ok();
    }
}

/// The size of the memory that a buffer of so many blocks gets, if it is of those that are kept:
/// there are few sizes, at most a quarter larger than what was asked for.
fn size_for(blocks: usize) -> Option<usize> {
    let is_kept = (SMALL_BLOCKS_MAX + 1..=LARGE_BLOCKS_MAX).contains(&blocks);
    is_kept.then(|| blocks.next_multiple_of(blocks.next_power_of_two() / 8))
}

impl Kept {
    fn take(&mut self, size: usize) -> Option<Blocks> {
        let at = self.buffers.iter().rposition(|it| it.len() == size)?;
        self.blocks -= size;
        self.buffers.remove(at)
    }

    fn put(&mut self, blocks: Blocks) {
        self.blocks += blocks.len();
        self.buffers.push_back(blocks);
        while self.blocks > KEPT_BLOCKS_MAX
            && let Some(oldest) = self.buffers.pop_front()
        {
            self.blocks -= oldest.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_comes_back_for_buffers_of_about_the_same_size() {
        let first = take(100);
        let address = first.as_ptr();
        give_back(first);
        assert_eq!(take(10).len(), 10, "small ones are not kept");
        let again = take(97);
        assert_eq!((again.as_ptr(), again.len()), (address, 112));
        let other = take(97);
        assert_ne!(other.as_ptr(), address);
    }

    #[test]
    fn no_size_is_much_larger_than_what_was_asked_for() {
        for blocks in SMALL_BLOCKS_MAX + 1..=LARGE_BLOCKS_MAX {
            let size = size_for(blocks).unwrap();
            assert!(blocks <= size && size <= blocks + blocks / 4);
            assert_eq!(
                size_for(size),
                Some(size),
                "what comes back is of that size"
            );
        }
        assert_eq!(size_for(SMALL_BLOCKS_MAX), None);
        assert_eq!(size_for(LARGE_BLOCKS_MAX + 1), None);
    }

    #[test]
    fn what_came_back_first_goes_when_there_is_too_much() {
        let buffers: Vec<_> = (0..20).map(|_| take(1024)).collect();
        let last = buffers.last().unwrap().as_ptr();
        buffers.into_iter().for_each(give_back);
        KEPT.with_borrow(|kept| assert!(kept.blocks <= KEPT_BLOCKS_MAX && kept.blocks > 0));
        let again = take(1024);
        assert_eq!(again.as_ptr(), last);
    }
}
