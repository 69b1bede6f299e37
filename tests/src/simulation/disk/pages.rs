//! The bytes of a file: sparse, and shared by copies until one of them is changed.

use std::collections::BTreeMap;
use std::ops::Range;
use std::rc::Rc;

pub(super) const PAGE_BYTES: u64 = 4096;

type Page = [u8; PAGE_BYTES as usize];

/// What is in no page is zero.
#[derive(Clone, Debug, Default)]
pub(super) struct Pages {
    len: u64,
    pages: BTreeMap<u64, Rc<Page>>,
}

impl Pages {
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// The ranges in which something was written.
    pub(super) fn written(&self) -> Vec<Range<u64>> {
        let starts = self.pages.keys().map(|number| number * PAGE_BYTES);
        let ranges = starts.map(|start| start..self.len.min(start + PAGE_BYTES));
        ranges.filter(|range| !range.is_empty()).collect()
    }

    /// Copies what is there from `position` on, as far as the file and `into` reach.
    pub(super) fn read(&self, position: u64, into: &mut [u8]) -> usize {
        let end = self.len.min(position + into.len() as u64);
        let mut at = position;
        while at < end {
            let (page, inside) = (at / PAGE_BYTES, (at % PAGE_BYTES) as usize);
            let count = (PAGE_BYTES - at % PAGE_BYTES).min(end - at) as usize;
            let target = &mut into[(at - position) as usize..][..count];
            match self.pages.get(&page) {
                Some(page) => target.copy_from_slice(&page[inside..inside + count]),
                None => target.fill(0),
            }
            at += count as u64;
        }
        at.saturating_sub(position) as usize
    }

    pub(super) fn write(&mut self, position: u64, bytes: &[u8]) {
        let mut at = position;
        let mut left = bytes;
        while !left.is_empty() {
            let inside = (at % PAGE_BYTES) as usize;
            let count = (PAGE_BYTES as usize - inside).min(left.len());
            let page = self.pages.entry(at / PAGE_BYTES);
            let page = page.or_insert_with(|| Rc::new([0; PAGE_BYTES as usize]));
            Rc::make_mut(page)[inside..inside + count].copy_from_slice(&left[..count]);
            left = &left[count..];
            at += count as u64;
        }
        self.reach(at, bytes.is_empty());
    }

    pub(super) fn write_zeros(&mut self, range: Range<u64>) {
        self.clear(range.clone());
        self.reach(range.end, range.is_empty());
    }

    pub(super) fn set_len(&mut self, len: u64) {
        if len < self.len {
            self.clear(len..self.len);
        }
        self.len = len;
    }

    fn reach(&mut self, end: u64, is_nothing: bool) {
        if !is_nothing {
            self.len = self.len.max(end);
        }
    }

    fn clear(&mut self, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        let touched = range.start / PAGE_BYTES..range.end.div_ceil(PAGE_BYTES);
        let numbers: Vec<u64> = self
            .pages
            .range(touched)
            .map(|(number, _)| *number)
            .collect();
        for number in numbers {
            let start = number * PAGE_BYTES;
            let from = range.start.max(start) - start;
            let to = range.end.min(start + PAGE_BYTES) - start;
            if (from, to) == (0, PAGE_BYTES) {
                self.pages.remove(&number);
            } else if let Some(page) = self.pages.get_mut(&number) {
                Rc::make_mut(page)[from as usize..to as usize].fill(0);
            }
        }
    }
}
