//! Where in a segment to begin to look for an offset or a time.
//!
//! An entry stands for a stretch of batches: it says where the stretch begins, and the greatest
//! timestamp in it. The index is derived from the batches and can be rebuilt from them at any time.
//!
//! Timestamps need not ascend. What ascends is the greatest one so far, and so a time is found by
//! halving like an offset: where that reaches it first, there is a record which is late enough.
//!
//! An index that was derived from damaged batches does not know their timestamps, but where they
//! are: any of them may be late enough.

use std::ops::Range;

use quorate_batch::BatchHeader;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SegmentIndex {
    entries: Vec<Entry>,
    /// For every stretch the greatest timestamp up to its end.
    peaks: Vec<i64>,
    /// The offsets of batches whose timestamps are not known, in order. Each range lies within a
    /// stretch.
    missed: Vec<Range<u64>>,
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

    /// The greatest timestamp; none if nothing could be read.
    pub(crate) fn newest(&self) -> Option<i64> {
        self.peaks.last().copied().filter(|peak| *peak > i64::MIN)
    }

    /// The greatest timestamp of the first stretch.
    pub(crate) fn oldest(&self) -> Option<i64> {
        self.entries.first().map(|entry| entry.max_timestamp)
    }

    /// What it takes in memory, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.entries.capacity() * size_of::<Entry>()
            + self.peaks.capacity() * size_of::<i64>()
            + self.missed.capacity() * size_of::<Range<u64>>()
    }

    /// Notes the batch at `position`, behind all others; a stretch has at least `step_bytes`.
    pub(crate) fn observe(&mut self, header: &BatchHeader, position: u64, step_bytes: u64) {
        let timestamp = header.max_timestamp;
        match (self.entries.last_mut(), self.peaks.last_mut()) {
            (Some(last), Some(peak)) if position - last.position < step_bytes => {
                last.max_timestamp = last.max_timestamp.max(timestamp);
                *peak = timestamp.max(*peak);
            }
            _ => self.push(Entry {
                offset: header.base_offset,
                position,
                max_timestamp: timestamp,
            }),
        }
    }

    /// Notes that what stands at `position`, offsets `offset` to `to`, cannot be read.
    pub(crate) fn pass_over(&mut self, offset: u64, to: u64, position: u64) {
        if self.entries.is_empty() {
            self.push(Entry {
                offset,
                position,
                max_timestamp: i64::MIN,
            });
        }
        self.missed.push(offset..to);
    }

    /// Whether the timestamps of all batches from the offset `from` on are known.
    pub(crate) fn is_complete_from(&self, from: u64) -> bool {
        self.missed.iter().all(|range| range.end <= from)
    }

    fn push(&mut self, entry: Entry) {
        let peak = self.peaks.last().copied().unwrap_or(i64::MIN);
        self.peaks.push(peak.max(entry.max_timestamp));
        self.entries.push(entry);
    }

    /// Takes in a batch that lies in a stretch which was noted without it.
    pub(crate) fn observe_late(&mut self, header: &BatchHeader) {
        let offset = header.base_offset;
        let behind = self.entries.partition_point(|entry| entry.offset <= offset);
        if let Some(at) = behind.checked_sub(1) {
            self.raise(at, header.max_timestamp);
        }
        // They come in order, each range from its front.
        let mut missed = self.missed.iter_mut();
        if let Some(range) = missed.find(|range| range.start == offset) {
            range.start = header.next_offset();
        }
        self.missed.retain(|range| !range.is_empty());
    }

    /// The stretch at `at` has a record of `timestamp`.
    fn raise(&mut self, at: usize, timestamp: i64) {
        let entry = &mut self.entries[at];
        entry.max_timestamp = entry.max_timestamp.max(timestamp);
        for peak in &mut self.peaks[at..] {
            *peak = timestamp.max(*peak);
        }
    }

    /// Takes from `complete`, an index of the same batches, how late at most those are which were
    /// missed.
    pub(crate) fn complete_from(&mut self, complete: &Self) {
        let at = |index: &Self, offset: u64| {
            let behind = index.entries.partition_point(|it| it.offset <= offset);
            behind.saturating_sub(1)
        };
        for range in std::mem::take(&mut self.missed) {
            let others = &complete.entries[at(complete, range.start)..];
            let others = others.iter().take_while(|it| it.offset < range.end);
            match others.map(|it| it.max_timestamp).max() {
                Some(latest) => self.raise(at(self, range.start), latest),
                None => self.missed.push(range),
            }
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

    /// The first stretch that reaches beyond the offset `from` and has, or may have, a record of
    /// `timestamp` or later, and the one behind it.
    pub(crate) fn stretch_since(
        &self,
        timestamp: i64,
        from: u64,
    ) -> Option<(Entry, Option<Entry>)> {
        let behind = self.entries.partition_point(|entry| entry.offset <= from);
        let begin = behind.saturating_sub(1);
        let late = self.peaks.partition_point(|peak| *peak < timestamp);
        // What is late enough may have expired: then nothing is known of those behind it.
        let is_late = |at: &usize| self.entries[*at].max_timestamp >= timestamp;
        let first = match late < begin {
            true => (begin..self.entries.len()).find(is_late),
            false => Some(late),
        };
        let missed = self.missed.iter().find(|range| range.end > from);
        let unknown = missed.map(|range| {
            let entries = &self.entries;
            let behind = entries.partition_point(|entry| entry.offset <= range.start);
            behind.saturating_sub(1).max(begin)
        });
        let first = first.into_iter().chain(unknown).min()?;
        let entry = self.entries.get(first)?;
        Some((*entry, self.entries.get(first + 1).copied()))
    }

    /// The index with these entries; `None` if they do not ascend.
    pub(crate) fn from_entries(entries: Vec<Entry>) -> Option<Self> {
        let ascends =
            |pair: &[Entry]| pair[0].offset < pair[1].offset && pair[0].position < pair[1].position;
        if !entries.windows(2).all(ascends) {
            return None;
        }
        let mut peaks = Vec::with_capacity(entries.len());
        let mut peak = i64::MIN;
        for entry in &entries {
            peak = peak.max(entry.max_timestamp);
            peaks.push(peak);
        }
        Some(Self {
            entries,
            peaks,
            missed: Vec::new(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index(timestamps: &[i64]) -> SegmentIndex {
        let entries = timestamps.iter().zip(0..).map(|(timestamp, at)| Entry {
            offset: 10 * at,
            position: 100 * at,
            max_timestamp: *timestamp,
        });
        SegmentIndex::from_entries(entries.collect()).unwrap()
    }

    #[test]
    fn what_was_missed_is_sought_until_it_is_known() {
        let stretch_of = |index: &SegmentIndex, timestamp, from| {
            let found = index.stretch_since(timestamp, from);
            found.map(|(entry, _)| entry.offset)
        };
        let sound = index(&[5, 8, 9, 20]);
        let mut missing = index(&[5, 6, 9, 20]);
        missing.missed.push(14..18);
        assert_eq!(stretch_of(&missing, 5, 0), Some(0));
        assert_eq!(stretch_of(&missing, 7, 0), Some(10));
        assert_eq!(stretch_of(&missing, 25, 0), Some(10));
        assert_eq!(stretch_of(&missing, 25, 18), None);
        assert_eq!(stretch_of(&missing, 8, 18), Some(20));
        missing.complete_from(&sound);
        assert_eq!(missing, sound);
    }

    #[test]
    fn a_time_is_found_where_it_is_reached_first_behind_what_has_expired() {
        let timestamps = [5, 3, 9, 9, 7, 20, 1];
        let index = index(&timestamps);
        assert_eq!((index.oldest(), index.newest()), (Some(5), Some(20)));
        for timestamp in 0..22 {
            for from in 0..80 {
                let begin = (from / 10).min(6) as usize;
                let late = (begin..7).find(|at| timestamps[*at] >= timestamp);
                let found = index.stretch_since(timestamp, from);
                let offset = found.map(|(entry, _)| entry.offset);
                assert_eq!(offset, late.map(|at| 10 * at as u64), "{timestamp} {from}");
                let behind = found.and_then(|(_, behind)| behind).map(|it| it.offset);
                let next = late.map(|at| 10 * (at as u64 + 1));
                assert_eq!(behind, next.filter(|next| *next < 70));
            }
        }
    }
}
