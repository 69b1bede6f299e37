//! Which records and segments of a log compaction does away with.
//!
//! Pure: from what is known of the segments to whether it is time, and to the segments that are
//! written anew. Which records go the key map knows.
//!
//! * A pass learns the keys of what was appended since the last one: the *dirty* part. It is time
//!   once that is half of all, so that every byte that is appended costs about two that are read
//!   and at most two that are written.
//! * It is also time when tombstones may go that the last pass had to leave.
//! * Only closed segments are touched, and of these only what is committed, durable and sound.
//! * A segment is written anew if it loses records, whatever their number: what a pass has cleaned
//!   holds no record that a later one shadows. Small ones become one.

mod key_map;

use std::ops::Range;

use crate::retention::SegmentSpan;

pub(crate) use key_map::KeyMap;

/// The most segments that become one at once, so that they are replaced in a bounded time.
const MERGED_MAX: usize = 64;

/// A segment, and what a pass would leave of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Weighed {
    pub(crate) base_offset: u64,
    /// One past the last offset.
    pub(crate) next_offset: u64,
    /// The bytes of its file.
    pub(crate) bytes: u64,
    /// About the bytes that a file has with what is left.
    pub(crate) kept_bytes: u64,
    /// The records that go.
    pub(crate) gone: u64,
}

/// How many of the segments, from the first on, a pass may touch: those that are closed and have
/// nothing at `until` or above.
pub(crate) fn eligible(segments: &[SegmentSpan], until: u64) -> usize {
    let ends = segments.iter().skip(1).map(|next| next.base_offset);
    ends.take_while(|end| *end <= until).count()
}

/// Whether enough has been appended since the log was `cleaned` up to an offset.
pub(crate) fn is_due(segments: &[SegmentSpan], until: u64, cleaned: u64) -> bool {
    let count = eligible(segments, until);
    let ends = segments.iter().skip(1).map(|next| next.base_offset);
    let closed = segments[..count].iter().zip(ends);
    let (mut dirty, mut all) = (0, 0);
    for (segment, end) in closed {
        all += segment.bytes;
        if end > cleaned {
            dirty += segment.bytes;
        }
    }
    dirty > 0 && dirty >= all - dirty
}

/// The runs of segments of which each becomes one file, of about `bytes_max` bytes at most.
///
/// What is large stays by itself. Small neighbours become one if some of them are written anyway,
/// or if the result is so much larger than each of them that no byte is copied too often.
pub(crate) fn groups(segments: &[Weighed], bytes_max: u64) -> Vec<Range<usize>> {
    let is_small = |segment: &Weighed| segment.kept_bytes <= bytes_max / 2;
    let mut groups = Vec::new();
    let mut from = 0;
    while from < segments.len() {
        let mut to = from + 1;
        let mut bytes = segments[from].kept_bytes;
        while let Some(next) = segments.get(to)
            && is_small(&segments[from])
            && is_small(next)
            && bytes + next.kept_bytes <= bytes_max
            && to - from < MERGED_MAX
        {
            bytes += next.kept_bytes;
            to += 1;
        }
        let group = &segments[from..to];
        let is_changed = group.iter().any(|segment| segment.gone > 0);
        let largest = group.iter().map(|segment| segment.kept_bytes).max();
        let is_worth_it = group.len() > 1 && largest.is_some_and(|largest| largest <= bytes / 2);
        if is_changed || is_worth_it {
            groups.push(from..to);
        }
        from = to;
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Segments of ten records each, with so many bytes.
    fn spans(bytes: &[u64]) -> Vec<SegmentSpan> {
        let span = |(at, bytes): (u64, &u64)| SegmentSpan {
            base_offset: at * 10,
            bytes: *bytes,
            newest: None,
            oldest: None,
        };
        (0..).zip(bytes).map(span).collect()
    }

    fn weighed(segments: &[(u64, u64)]) -> Vec<Weighed> {
        let weigh = |(at, (kept_bytes, gone)): (u64, &(u64, u64))| Weighed {
            base_offset: at * 10,
            next_offset: at * 10 + 10,
            bytes: 100,
            kept_bytes: *kept_bytes,
            gone: *gone,
        };
        (0..).zip(segments).map(weigh).collect()
    }

    fn groups_of(segments: &[(u64, u64)], bytes_max: u64) -> Vec<(usize, usize)> {
        let groups = groups(&weighed(segments), bytes_max).into_iter();
        groups.map(|range| (range.start, range.end)).collect()
    }

    #[test]
    fn the_last_segment_and_what_is_not_committed_stay_as_they_are() {
        let spans = spans(&[5, 5, 5]);
        assert_eq!(eligible(&spans, u64::MAX), 2);
        assert_eq!(eligible(&spans, 20), 2);
        assert_eq!(eligible(&spans, 19), 1);
        assert_eq!(eligible(&spans, 9), 0);
        assert_eq!(eligible(&[], u64::MAX), 0);
    }

    #[test]
    fn it_is_time_once_half_of_what_is_closed_is_dirty() {
        let spans = spans(&[30, 10, 20, 99]);
        let due = |until, cleaned| is_due(&spans, until, cleaned);
        assert!(due(u64::MAX, 0) && due(u64::MAX, 10));
        assert!(
            due(u64::MAX, 9),
            "a segment that was cleaned in part is dirty"
        );
        assert!(!due(u64::MAX, 20), "20 of 60 bytes");
        assert!(!due(u64::MAX, 30), "nothing that is closed is dirty");
        assert!(!due(20, 10), "10 of 40 bytes");
        assert!(!due(9, 0), "nothing is committed");
        assert!(!is_due(&[], u64::MAX, 0));
    }

    #[test]
    fn segments_that_lose_nothing_and_are_large_are_left_alone() {
        assert_eq!(groups_of(&[(100, 0), (60, 0), (51, 0)], 100), []);
        let some = groups_of(&[(100, 0), (99, 1), (51, 0)], 100);
        assert_eq!(some, [(1, 2)]);
        assert_eq!(groups_of(&[], 100), []);
    }

    #[test]
    fn small_neighbours_become_one_as_far_as_there_is_room() {
        let some = groups_of(&[(30, 1), (40, 0), (30, 0), (1, 0), (1, 0)], 100);
        assert_eq!(some, [(0, 3), (3, 5)]);
        let some = groups_of(&[(0, 9), (80, 0), (10, 1), (10, 0)], 100);
        assert_eq!(some, [(0, 1), (2, 4)]);
    }

    #[test]
    fn a_large_part_is_not_copied_again_for_a_few_small_ones() {
        assert_eq!(groups_of(&[(40, 0), (5, 0), (5, 0)], 100), []);
        assert_eq!(groups_of(&[(40, 0), (20, 0), (20, 0)], 100), [(0, 3)]);
        assert_eq!(groups_of(&[(40, 0), (5, 1), (5, 0)], 100), [(0, 3)]);
    }

    #[test]
    fn no_more_segments_become_one_than_can_be_replaced_soon() {
        let some = groups_of(&[(1, 0); 2 * MERGED_MAX + 1], 1 << 20);
        assert_eq!(some, [(0, MERGED_MAX), (MERGED_MAX, 2 * MERGED_MAX)]);
    }
}
