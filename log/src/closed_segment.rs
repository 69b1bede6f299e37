//! A segment that another one follows: nothing is appended to it any more.
//!
//! An idle partition shall cost little memory, however long its log is. So the index of a closed
//! segment is left to its index file, from where it is read when somebody looks for something (see
//! [`IndexCache`](crate::IndexCache)). It stays in memory where no file holds all of it, and where
//! something is damaged: what is put in that place has to fit it.

use std::rc::Rc;

use quorate_batch::BatchHeader;

use crate::retention::SegmentSpan;
use crate::segment::Segment;
use crate::segment_index::SegmentIndex;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ClosedSegment {
    pub(crate) base_offset: u64,
    /// The bytes of all batches in it, whether written yet or not.
    pub(crate) bytes: u64,
    newest: Option<i64>,
    oldest: Option<i64>,
    index: Kept,
}

/// Where the index of a closed segment is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Kept {
    InMemory(Rc<SegmentIndex>),
    /// In memory until the flush has ended that writes it to its file.
    Unwritten(Rc<SegmentIndex>),
    OnDisk,
}

impl ClosedSegment {
    /// One whose index is in no file.
    pub(crate) fn in_memory(segment: Segment) -> Self {
        Self::new(segment, Kept::InMemory)
    }

    /// One whose index goes to its file with the next flush.
    pub(crate) fn unwritten(segment: Segment) -> Self {
        Self::new(segment, Kept::Unwritten)
    }

    /// One whose index is in its file.
    pub(crate) fn on_disk(segment: Segment) -> Self {
        Self::new(segment, |_| Kept::OnDisk)
    }

    fn new(segment: Segment, keep: impl FnOnce(Rc<SegmentIndex>) -> Kept) -> Self {
        let SegmentSpan { newest, oldest, .. } = segment.span();
        Self {
            base_offset: segment.base_offset,
            bytes: segment.bytes,
            newest,
            oldest,
            index: keep(Rc::new(segment.index)),
        }
    }

    pub(crate) fn span(&self) -> SegmentSpan {
        SegmentSpan {
            base_offset: self.base_offset,
            bytes: self.bytes,
            newest: self.newest,
            oldest: self.oldest,
        }
    }

    /// The index, if it is in memory.
    pub(crate) fn index(&self) -> Option<&Rc<SegmentIndex>> {
        match &self.index {
            Kept::InMemory(index) | Kept::Unwritten(index) => Some(index),
            Kept::OnDisk => None,
        }
    }

    /// Has the index, which is `index`, stay in memory.
    pub(crate) fn keep(&mut self, index: Rc<SegmentIndex>) {
        self.index = Kept::InMemory(self.index().cloned().unwrap_or(index));
    }

    /// The index file is written: gives the index, if that is why it was in memory.
    pub(crate) fn on_written(&mut self) -> Option<Rc<SegmentIndex>> {
        match std::mem::replace(&mut self.index, Kept::OnDisk) {
            Kept::Unwritten(index) => Some(index),
            kept @ (Kept::InMemory(_) | Kept::OnDisk) => {
                self.index = kept;
                None
            }
        }
    }

    /// The index file holds all of the index: gives it, if it was in memory.
    pub(crate) fn leave(&mut self) -> Option<Rc<SegmentIndex>> {
        match std::mem::replace(&mut self.index, Kept::OnDisk) {
            Kept::InMemory(index) | Kept::Unwritten(index) => Some(index),
            Kept::OnDisk => None,
        }
    }

    /// Takes in a batch that was passed over and can be read again.
    ///
    /// # Panics
    ///
    /// If the index is not in memory: it is where something is damaged.
    pub(crate) fn observe_late(&mut self, header: &BatchHeader) {
        match &mut self.index {
            Kept::InMemory(index) | Kept::Unwritten(index) => {
                Rc::make_mut(index).observe_late(header);
                // An index that was derived once more may know of less than the first one.
                self.newest = self.newest.max(index.newest());
                self.oldest = index.oldest();
            }
            Kept::OnDisk => panic!("the index of a segment with damage is in memory"),
        }
    }
}
