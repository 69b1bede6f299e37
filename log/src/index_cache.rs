use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;

use crate::segment_index::SegmentIndex;

/// What an index takes besides its entries, in bytes; about so much.
const OVERHEAD_BYTES: usize = 256;

/// The indexes of closed segments that were used last, of many logs; clones share it.
///
/// Whoever opens many logs gives them one, so that their memory is bounded together. An index that
/// is not in it is read from its file.
#[derive(Clone)]
pub struct IndexCache(Rc<RefCell<State>>);

struct State {
    bytes_max: usize,
    bytes: usize,
    next_use: u64,
    next_log: u64,
    by_segment: BTreeMap<Key, Cached>,
    /// By the number of its last use.
    by_use: BTreeMap<u64, Key>,
}

struct Cached {
    last_use: u64,
    index: Rc<SegmentIndex>,
}

/// A segment of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    log: u64,
    base_offset: u64,
}

/// One log's view of an [`IndexCache`].
#[derive(Clone)]
pub(crate) struct LogIndexes {
    cache: IndexCache,
    log: u64,
}

impl IndexCache {
    /// An empty cache with room for indexes of `bytes_max` bytes. The last one that was used is
    /// kept even if it is larger.
    pub fn new(bytes_max: usize) -> Self {
        Self(Rc::new(RefCell::new(State {
            bytes_max,
            bytes: 0,
            next_use: 0,
            next_log: 0,
            by_segment: BTreeMap::new(),
            by_use: BTreeMap::new(),
        })))
    }

    /// The view of a log that has none yet.
    pub(crate) fn of_new_log(&self) -> LogIndexes {
        let mut state = self.0.borrow_mut();
        let log = state.next_log;
        state.next_log += 1;
        LogIndexes {
            cache: self.clone(),
            log,
        }
    }
}

impl LogIndexes {
    pub(crate) fn get(&self, base_offset: u64) -> Option<Rc<SegmentIndex>> {
        self.cache.0.borrow_mut().get(self.key(base_offset))
    }

    pub(crate) fn insert(&self, base_offset: u64, index: Rc<SegmentIndex>) {
        let mut state = self.cache.0.borrow_mut();
        let key = self.key(base_offset);
        state.remove(key);
        state.bytes += bytes_of(&index);
        let last_use = state.use_number();
        state.by_use.insert(last_use, key);
        state.by_segment.insert(key, Cached { last_use, index });
        state.shrink();
    }

    /// Forgets one of the log's segments.
    pub(crate) fn forget(&self, base_offset: u64) {
        self.cache.0.borrow_mut().remove(self.key(base_offset));
    }

    /// Forgets the log's segments from the one at `base_offset` on.
    pub(crate) fn forget_from(&self, base_offset: u64) {
        let mut state = self.cache.0.borrow_mut();
        let keys = state.by_segment.range(self.key(base_offset)..);
        let ours = keys.map(|(key, _)| *key);
        let ours: Vec<_> = ours.take_while(|key| key.log == self.log).collect();
        for key in ours {
            state.remove(key);
        }
    }

    fn key(&self, base_offset: u64) -> Key {
        Key {
            log: self.log,
            base_offset,
        }
    }
}

impl State {
    fn use_number(&mut self) -> u64 {
        let number = self.next_use;
        self.next_use += 1;
        number
    }

    fn get(&mut self, key: Key) -> Option<Rc<SegmentIndex>> {
        let number = self.use_number();
        let cached = self.by_segment.get_mut(&key)?;
        self.by_use.remove(&cached.last_use);
        self.by_use.insert(number, key);
        cached.last_use = number;
        Some(Rc::clone(&cached.index))
    }

    fn remove(&mut self, key: Key) {
        if let Some(cached) = self.by_segment.remove(&key) {
            self.by_use.remove(&cached.last_use);
            self.bytes -= bytes_of(&cached.index);
        }
    }

    /// Lets those go that were not used for longest.
    fn shrink(&mut self) {
        while self.bytes > self.bytes_max && self.by_use.len() > 1 {
            if let Some((_, oldest)) = self.by_use.pop_first() {
                self.remove(oldest);
            }
        }
    }
}

fn bytes_of(index: &SegmentIndex) -> usize {
    index.bytes() + OVERHEAD_BYTES
}

impl fmt::Debug for IndexCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.0.borrow();
        f.debug_struct("IndexCache")
            .field("bytes_max", &state.bytes_max)
            .field("bytes", &state.bytes)
            .field("indexes", &state.by_segment.len())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index() -> Rc<SegmentIndex> {
        Rc::default()
    }

    fn has(indexes: &LogIndexes, base_offset: u64) -> bool {
        let state = indexes.cache.0.borrow();
        state.by_segment.contains_key(&indexes.key(base_offset))
    }

    #[test]
    fn the_index_that_was_used_least_lately_goes_first() {
        let cache = IndexCache::new(2 * OVERHEAD_BYTES);
        let (one, other) = (cache.of_new_log(), cache.of_new_log());
        one.insert(0, index());
        other.insert(0, index());
        assert!(one.get(0).is_some());
        one.insert(10, index());
        assert!(has(&one, 0) && has(&one, 10) && !has(&other, 0));
        other.insert(0, index());
        assert!(!has(&one, 0) && has(&one, 10) && has(&other, 0));
        assert_eq!(cache.0.borrow().bytes, 2 * OVERHEAD_BYTES);
    }

    #[test]
    fn one_index_is_kept_however_large() {
        let cache = IndexCache::new(0);
        let indexes = cache.of_new_log();
        indexes.insert(0, index());
        indexes.insert(10, index());
        assert!(!has(&indexes, 0) && has(&indexes, 10));
    }

    #[test]
    fn what_is_cut_off_one_log_stays_of_the_others() {
        let cache = IndexCache::new(1 << 20);
        let (one, other) = (cache.of_new_log(), cache.of_new_log());
        for base_offset in [0, 10, 20] {
            one.insert(base_offset, index());
            other.insert(base_offset, index());
        }
        one.forget_from(10);
        assert!(has(&one, 0) && !has(&one, 10) && !has(&one, 20));
        assert!(has(&other, 0) && has(&other, 10) && has(&other, 20));
        assert_eq!(cache.0.borrow().bytes, 4 * OVERHEAD_BYTES);
        assert_eq!(cache.0.borrow().by_use.len(), 4);
    }
}
