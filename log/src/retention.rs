//! Which segments of a log have grown too old, or too many.
//!
//! Pure: from what is known of the segments to the offset at which the log shall begin.
//!
//! * **By time.** A segment goes once the newest of its records is older than the limit.
//! * **By bytes.** The first segment goes as long as those behind it have as many bytes as the
//!   limit. So what is kept is at least the limit, and at most a segment more.
//! * The last segment stays, whatever its age and its size, and so does all that is not committed.
//! * What a follower needs that is alive stays as well, but no more of it than
//!   [`HELD_BACK_BYTES_MAX`]: a follower that does not get on must not fill its leader's disk. It
//!   then begins anew where the log does.
//!
//! Timestamps come from producers, whose clocks may be wrong. One from the future is not believed,
//! and neither is one from before 1970, which stands for none. A segment whose greatest timestamp
//! is not believed counts as old as the next one behind it whose is: it was written before that
//! one. So a single record from the year 3000 does not keep a log for a thousand years.

/// The most that is kept for followers although it has expired, in bytes.
pub const HELD_BACK_BYTES_MAX: u64 = 1 << 30;
/// A segment is closed at this part of the limit in time, so that what is in it can expire.
const ROLLS_PER_LIMIT: u64 = 4;

/// How long and how much of a log is kept; without a limit, for ever and all of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// Milliseconds.
    pub ms: Option<u64>,
    /// Bytes.
    pub bytes: Option<u64>,
}

/// What is known of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentSpan {
    /// The offset of its first record.
    pub base_offset: u64,
    /// The bytes of its batches.
    pub bytes: u64,
    /// The greatest timestamp in it, in milliseconds; `None` if nothing in it can be read.
    pub newest: Option<i64>,
    /// The greatest timestamp of its first batches.
    pub oldest: Option<i64>,
}

/// The offset at which the log shall begin; `None` if nothing of it goes.
///
/// `now` is in milliseconds, `committed` the first offset that has to stay in any case, and
/// `needed_from` the first one that a follower needs, if one does.
pub fn log_start(
    segments: &[SegmentSpan],
    retention: Retention,
    now: i64,
    committed: u64,
    needed_from: Option<u64>,
) -> Option<u64> {
    let by_time = retention.ms.map_or(0, |ms| expired(segments, ms, now));
    let by_bytes = retention.bytes.map_or(0, |bytes| surplus(segments, bytes));
    let count = by_time.max(by_bytes).min(below(segments, committed));
    let count = match needed_from.map(|from| below(segments, from)) {
        Some(needed) if needed < count => held_back(segments, needed, count),
        Some(_) | None => count,
    };
    (count > 0).then(|| segments[count].base_offset)
}

/// Whether the last segment has been open for so long that it shall be closed.
pub fn is_to_be_closed(last: &SegmentSpan, retention: Retention, now: i64) -> bool {
    let Some(ms) = retention.ms else {
        return false;
    };
    let age = last.oldest.and_then(|oldest| age(oldest, now));
    last.bytes > 0 && age.is_some_and(|age| age > ms / ROLLS_PER_LIMIT)
}

/// How long ago a timestamp was, if it can be believed.
fn age(timestamp: i64, now: i64) -> Option<u64> {
    let is_past = 0 <= timestamp && timestamp <= now;
    is_past.then(|| now.abs_diff(timestamp))
}

/// How many segments from the first on are too old. Never the last.
///
/// One whose age is not known goes with the next one whose age is.
fn expired(segments: &[SegmentSpan], ms: u64, now: i64) -> usize {
    let mut count = 0;
    for (at, segment) in segments.iter().enumerate() {
        match segment.newest.and_then(|newest| age(newest, now)) {
            Some(age) if age > ms => count = at + 1,
            Some(_) => break,
            None => {}
        }
    }
    count.min(segments.len().saturating_sub(1))
}

/// How many segments from the first on are more than `bytes`. Never the last.
fn surplus(segments: &[SegmentSpan], bytes: u64) -> usize {
    let mut left: u64 = segments.iter().map(|segment| segment.bytes).sum();
    let mut count = 0;
    for segment in segments {
        left -= segment.bytes;
        if left < bytes {
            break;
        }
        count += 1;
    }
    count.min(segments.len().saturating_sub(1))
}

/// How many segments from the first on have nothing at `offset` or above. Never the last.
fn below(segments: &[SegmentSpan], offset: u64) -> usize {
    let ends = segments.iter().skip(1).map(|next| next.base_offset);
    ends.take_while(|end| *end <= offset).count()
}

/// How many segments go if a follower needs all but the first `needed` ones, and `count` have
/// expired.
fn held_back(segments: &[SegmentSpan], needed: usize, count: usize) -> usize {
    let mut left: u64 = segments[needed..count].iter().map(|it| it.bytes).sum();
    let mut from = needed;
    while left > HELD_BACK_BYTES_MAX {
        left -= segments[from].bytes;
        from += 1;
    }
    from
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_000_000;
    const MIB: u64 = 1 << 20;

    /// Segments of ten records and one MiB each, with these ages; `None` for a timestamp from the
    /// future.
    fn segments(ages: &[Option<i64>]) -> Vec<SegmentSpan> {
        let segment = |(at, age): (u64, &Option<i64>)| {
            let newest = Some(age.map_or(NOW + 500, |age| NOW - age));
            SegmentSpan {
                base_offset: at * 10,
                bytes: MIB,
                newest,
                oldest: newest,
            }
        };
        (0..).zip(ages).map(segment).collect()
    }

    fn by_time(ages: &[Option<i64>]) -> Option<u64> {
        let retention = Retention {
            ms: Some(100),
            bytes: None,
        };
        log_start(&segments(ages), retention, NOW, u64::MAX, None)
    }

    fn by_bytes(count: usize, bytes: u64) -> Option<u64> {
        let retention = Retention {
            ms: None,
            bytes: Some(bytes),
        };
        let segments = segments(&vec![Some(0); count]);
        log_start(&segments, retention, NOW, u64::MAX, None)
    }

    #[test]
    fn without_a_limit_nothing_goes() {
        let segments = segments(&[Some(NOW), Some(NOW), Some(NOW)]);
        let kept = log_start(&segments, Retention::default(), NOW, u64::MAX, None);
        assert_eq!(kept, None);
    }

    #[test]
    fn what_is_older_than_the_limit_goes_from_the_first_segment_on() {
        let some = |ages: &[i64]| by_time(&ages.iter().map(|age| Some(*age)).collect::<Vec<_>>());
        assert_eq!(some(&[]), None);
        assert_eq!(some(&[300]), None, "the last one stays");
        assert_eq!(some(&[300, 200]), Some(10), "the last one stays");
        assert_eq!(some(&[300, 101, 100, 5]), Some(20));
        assert_eq!(some(&[100, 300, 5]), None, "nothing behind what stays goes");
    }

    #[test]
    fn a_segment_from_the_future_goes_with_the_next_one_that_can_be_believed() {
        assert_eq!(by_time(&[None, Some(200), Some(5)]), Some(20));
        assert_eq!(by_time(&[None, Some(50), Some(5)]), None);
        assert_eq!(by_time(&[Some(200), None, None]), Some(10));
        assert_eq!(by_time(&[None, None, None]), None);
    }

    #[test]
    fn a_segment_without_timestamps_goes_with_the_next_one() {
        let mut segments = segments(&[Some(0), Some(200), Some(5)]);
        for newest in [None, Some(-1), Some(i64::MIN)] {
            segments[0].newest = newest;
            let retention = Retention {
                ms: Some(100),
                bytes: None,
            };
            let start = log_start(&segments, retention, NOW, u64::MAX, None);
            assert_eq!(start, Some(20), "{newest:?}");
        }
    }

    #[test]
    fn at_least_as_many_bytes_stay_as_the_limit_says() {
        assert_eq!(by_bytes(4, 4 * MIB), None);
        assert_eq!(by_bytes(4, 4 * MIB - 1), None);
        assert_eq!(by_bytes(4, 3 * MIB), Some(10));
        assert_eq!(by_bytes(4, 2 * MIB + 1), Some(10));
        assert_eq!(by_bytes(4, 0), Some(30), "the last one stays");
        assert_eq!(by_bytes(1, 0), None);
    }

    #[test]
    fn the_stricter_of_two_limits_counts() {
        let retention = |ms, bytes| Retention {
            ms: Some(ms),
            bytes: Some(bytes),
        };
        let segments = segments(&[Some(400), Some(300), Some(200), Some(100)]);
        let start = |retention| log_start(&segments, retention, NOW, u64::MAX, None);
        assert_eq!(start(retention(350, MIB)), Some(30));
        assert_eq!(start(retention(150, 3 * MIB)), Some(30));
        assert_eq!(start(retention(350, 4 * MIB)), Some(10));
    }

    #[test]
    fn what_is_not_committed_stays() {
        let retention = Retention {
            ms: Some(0),
            bytes: None,
        };
        let segments = segments(&[Some(400), Some(300), Some(200), Some(100)]);
        let start = |committed| log_start(&segments, retention, NOW, committed, None);
        assert_eq!(start(9), None);
        assert_eq!(start(10), Some(10));
        assert_eq!(start(29), Some(20));
    }

    #[test]
    fn what_a_follower_needs_stays_up_to_a_limit() {
        let retention = Retention {
            ms: None,
            bytes: Some(0),
        };
        let mut segments = segments(&[Some(0); 5]);
        let start = |segments: &[SegmentSpan], from| {
            log_start(segments, retention, NOW, u64::MAX, Some(from))
        };
        assert_eq!(start(&segments, 0), None);
        assert_eq!(start(&segments, 29), Some(20));
        assert_eq!(start(&segments, 500), Some(40));
        segments[2].bytes = HELD_BACK_BYTES_MAX - MIB;
        assert_eq!(start(&segments, 0), Some(20), "and no more");
        segments[3].bytes = HELD_BACK_BYTES_MAX + 1;
        assert_eq!(start(&segments, 0), Some(40), "not even that");
    }

    #[test]
    fn the_last_segment_is_closed_before_all_that_is_in_it_has_expired() {
        let retention = Retention {
            ms: Some(100),
            bytes: None,
        };
        let last = |age| segments(&[age])[0];
        assert!(!is_to_be_closed(&last(Some(25)), retention, NOW));
        assert!(is_to_be_closed(&last(Some(26)), retention, NOW));
        assert!(!is_to_be_closed(&last(None), retention, NOW));
        let (none, empty) = (
            Retention::default(),
            SegmentSpan {
                bytes: 0,
                ..last(Some(90))
            },
        );
        assert!(!is_to_be_closed(&last(Some(90)), none, NOW));
        assert!(!is_to_be_closed(&empty, retention, NOW));
    }
}
