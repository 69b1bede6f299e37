//! Where in a segment to begin to look for an offset or a time.
//!
//! An entry stands for a stretch of batches: it says where the stretch begins, and the greatest
//! timestamp in it. The index is derived from the batches and can be rebuilt from them at any time.

use quorate_batch::BatchHeader;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SegmentIndex {
    entries: Vec<Entry>,
    /// The greatest timestamp of all stretches.
    newest: Option<i64>,
}

/// A stretch of batches that begins at `position` with the batch that begins at `offset`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) offset: u64,
    pub(crate) position: u64,
    pub(crate) max_timestamp: i64,
}

impl SegmentIndex {
    pub(crate) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    pub(crate) fn newest(&self) -> Option<i64> {
        self.newest
    }

    /// Notes the batch at `position`, behind all others; a stretch has at least `step_bytes`.
    pub(crate) fn observe(&mut self, header: &BatchHeader, position: u64, step_bytes: u64) {
        self.newest = self.newest.max(Some(header.max_timestamp));
        match self.entries.last_mut() {
            Some(last) if position - last.position < step_bytes => {
                last.max_timestamp = last.max_timestamp.max(header.max_timestamp);
            }
            _ => self.entries.push(Entry {
                offset: header.base_offset,
                position,
                max_timestamp: header.max_timestamp,
            }),
        }
    }

    /// Notes that what stands at `position` cannot be read.
    pub(crate) fn pass_over(&mut self, offset: u64, position: u64) {
        if self.entries.is_empty() {
            self.entries.push(Entry {
                offset,
                position,
                max_timestamp: i64::MIN,
            });
        }
    }

    /// Takes in a batch that lies in a stretch which was noted without it.
    pub(crate) fn observe_late(&mut self, header: &BatchHeader) {
        let offset = header.base_offset;
        let behind = self.entries.partition_point(|entry| entry.offset <= offset);
        if let Some(entry) = self.entries[..behind].last_mut() {
            entry.max_timestamp = entry.max_timestamp.max(header.max_timestamp);
            self.newest = self.newest.max(Some(header.max_timestamp));
        }
    }

    /// The stretch that holds `offset`, if the segment begins at or before it.
    pub(crate) fn stretch_of(&self, offset: u64) -> Option<Entry> {
        let behind = self.entries.partition_point(|entry| entry.offset <= offset);
        self.entries[..behind].last().copied()
    }

    /// Where the batch with this base offset stands, if a stretch begins with it.
    pub(crate) fn position_of(&self, offset: u64) -> Option<u64> {
        let stretch = self.stretch_of(offset);
        stretch.and_then(|it| (it.offset == offset).then_some(it.position))
    }

    /// The stretch around `position`.
    pub(crate) fn entry_near(&self, position: u64) -> Option<Entry> {
        let behind = self
            .entries
            .partition_point(|entry| entry.position <= position);
        self.entries[..behind].last().copied()
    }

    /// The first stretch that begins behind `position`.
    pub(crate) fn entry_behind(&self, position: u64) -> Option<Entry> {
        let behind = self
            .entries
            .partition_point(|entry| entry.position <= position);
        self.entries.get(behind).copied()
    }

    /// The first stretch that reaches beyond the offset `from` and has a record of `timestamp` or
    /// later, and the one behind it.
    pub(crate) fn stretch_since(
        &self,
        timestamp: i64,
        from: u64,
    ) -> Option<(Entry, Option<Entry>)> {
        let behind = |at: usize| self.entries.get(at + 1).copied();
        let is_old = |at: usize| behind(at).is_some_and(|next| next.offset <= from);
        let since = |at: &usize| self.entries[*at].max_timestamp >= timestamp && !is_old(*at);
        let first = (0..self.entries.len()).find(since)?;
        Some((self.entries[first], behind(first)))
    }

    /// The index with these entries; `None` if they do not ascend.
    pub(crate) fn from_entries(entries: Vec<Entry>) -> Option<Self> {
        let ascends =
            |pair: &[Entry]| pair[0].offset < pair[1].offset && pair[0].position < pair[1].position;
        let newest = entries.iter().map(|entry| entry.max_timestamp).max();
        let index = Self { entries, newest };
        index.entries.windows(2).all(ascends).then_some(index)
    }
}
