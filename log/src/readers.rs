//! Where those stand who read old batches from front to back.
//!
//! Whoever reads on where a read has ended finds the file open, and the next pieces of it read
//! already. This is apart from the newest batches, which stay in memory whatever is read.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::rc::{Rc, Weak};

use quorate_platform::{Disk, File};

use crate::window::Window;

/// Those of many logs that have read last, a limited number of them; clones share it.
///
/// Each holds an open file and at most about 2 MiB of memory.
pub struct Readers<D: Disk>(Rc<RefCell<State<D::File>>>);

struct State<F> {
    max: usize,
    next_log: u64,
    next_use: u64,
    /// By the log and the offset where it goes on.
    by_place: BTreeMap<(u64, u64), Paused<F>>,
    by_use: BTreeMap<u64, (u64, u64)>,
}

/// A read that may go on.
pub(crate) struct Paused<F> {
    last_use: u64,
    /// The cut of the log as of which it was read.
    pub(crate) generation: u64,
    /// Where it goes on in the window; none if it does at the beginning of a segment.
    pub(crate) window: Option<(Window<F>, u64)>,
}

/// One log's view of [`Readers`]; what it has there goes with it.
pub(crate) struct LogReaders<D: Disk> {
    readers: Readers<D>,
    log: u64,
}

impl<D: Disk> Readers<D> {
    /// Nobody, and room for `max`.
    pub fn new(max: usize) -> Self {
        Self(Rc::new(RefCell::new(State {
            max,
            next_log: 0,
            next_use: 0,
            by_place: BTreeMap::new(),
            by_use: BTreeMap::new(),
        })))
    }

    /// The view of a log that has none yet.
    pub(crate) fn of_new_log(&self) -> Rc<LogReaders<D>> {
        let mut state = self.0.borrow_mut();
        let log = state.next_log;
        state.next_log += 1;
        Rc::new(LogReaders {
            readers: self.clone(),
            log,
        })
    }
}

impl<D: Disk> LogReaders<D> {
    /// Takes a read that goes on at `offset`, if there is one.
    pub(crate) fn take(&self, offset: u64) -> Option<Paused<D::File>> {
        self.readers.0.borrow_mut().remove((self.log, offset))
    }

    /// Keeps a read that may go on at `offset`.
    pub(crate) fn put(&self, offset: u64, generation: u64, window: Option<(Window<D::File>, u64)>) {
        let mut state = self.readers.0.borrow_mut();
        let place = (self.log, offset);
        state.remove(place);
        let last_use = state.next_use;
        state.next_use += 1;
        state.by_use.insert(last_use, place);
        let paused = Paused {
            last_use,
            generation,
            window,
        };
        state.by_place.insert(place, paused);
        while state.by_place.len() > state.max
            && let Some((_, oldest)) = state.by_use.pop_first()
        {
            state.by_place.remove(&oldest);
        }
    }

    /// Has nobody go on: what they have read may be there no more.
    pub(crate) fn clear(&self) {
        let mut state = self.readers.0.borrow_mut();
        let ours = state.by_place.range((self.log, 0)..=(self.log, u64::MAX));
        let ours: Vec<_> = ours.map(|(place, _)| *place).collect();
        for place in ours {
            state.remove(place);
        }
    }
}

impl<D: Disk> Drop for LogReaders<D> {
    fn drop(&mut self) {
        self.clear();
    }
}

impl<F: File> State<F> {
    fn remove(&mut self, place: (u64, u64)) -> Option<Paused<F>> {
        let paused = self.by_place.remove(&place)?;
        self.by_use.remove(&paused.last_use);
        Some(paused)
    }
}

/// A log's readers, as a job refers to them that may outlive the log.
pub(crate) type WeakReaders<D> = Weak<LogReaders<D>>;

impl<D: Disk> Clone for Readers<D> {
    fn clone(&self) -> Self {
        Self(Rc::clone(&self.0))
    }
}

impl<D: Disk> fmt::Debug for Readers<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.0.borrow();
        f.debug_struct("Readers")
            .field("max", &state.max)
            .field("count", &state.by_place.len())
            .finish()
    }
}
