//! Runs of batches that cannot be read.

/// Whole batches whose bytes are not what they were, in one segment.
///
/// They are part of the log, and which epochs wrote them is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DamagedRange {
    /// The offset of the first record.
    pub from: u64,
    /// One past the offset of the last one.
    pub to: u64,
    /// The base offset of the segment.
    pub segment: u64,
    /// Where in the segment's file they begin, in bytes.
    pub position: u64,
    /// Where they end; `None` if they are the last ones of a segment and their length is not known.
    pub end: Option<u64>,
    /// Whether what is derived from batches had to be derived without these.
    pub(crate) is_missed: bool,
}

/// All damaged ranges of a log: in order, and none overlaps another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Damage {
    ranges: Vec<DamagedRange>,
}

impl Damage {
    pub(crate) fn ranges(&self) -> &[DamagedRange] {
        &self.ranges
    }

    /// The first range that reaches beyond `offset`.
    pub(crate) fn first_behind(&self, offset: u64) -> Option<&DamagedRange> {
        let before = self.ranges.partition_point(|range| range.to <= offset);
        self.ranges.get(before)
    }

    /// The last range that ends at or before `offset`.
    pub(crate) fn last_before(&self, offset: u64) -> Option<&DamagedRange> {
        let before = self.ranges.partition_point(|range| range.to <= offset);
        self.ranges[..before].last()
    }

    /// Whether anything in the segment with this base offset is damaged.
    pub(crate) fn is_in(&self, segment: u64) -> bool {
        self.ranges.iter().any(|range| range.segment == segment)
    }

    pub(crate) fn has_missed(&self) -> bool {
        self.ranges.iter().any(|range| range.is_missed)
    }

    /// What is derived from batches is known from elsewhere.
    pub(crate) fn miss_nothing(&mut self) {
        self.ranges
            .iter_mut()
            .for_each(|range| range.is_missed = false);
    }

    /// Adds `range`, which may overlap others of its segment.
    pub(crate) fn insert(&mut self, range: DamagedRange) {
        let meets = |other: &DamagedRange| {
            other.segment == range.segment && other.from <= range.to && range.from <= other.to
        };
        let mut joined = range;
        for other in self.ranges.iter().filter(|other| meets(other)) {
            joined.is_missed |= other.is_missed;
            if other.from < joined.from {
                (joined.from, joined.position) = (other.from, other.position);
            }
            if other.to > joined.to {
                (joined.to, joined.end) = (other.to, other.end);
            }
        }
        self.ranges.retain(|other| !meets(other));
        let at = self
            .ranges
            .partition_point(|other| other.from < joined.from);
        self.ranges.insert(at, joined);
    }

    /// The batches up to `next_offset`, which take the bytes up to `position`, are good again.
    pub(crate) fn mend(&mut self, from: u64, next_offset: u64, position: u64) {
        self.ranges.retain_mut(|range| {
            if range.from == from {
                (range.from, range.position) = (next_offset, position);
            }
            range.from < range.to
        });
    }

    /// The segment was written anew, with `left` still damaged in it.
    pub(crate) fn replace_in(&mut self, segment: u64, left: &[DamagedRange]) {
        self.ranges.retain(|range| range.segment != segment);
        let at = self.ranges.partition_point(|range| range.segment < segment);
        self.ranges.splice(at..at, left.iter().copied());
    }

    /// Nothing before `log_start` is needed any more. What reaches beyond it stays whole: where its
    /// parts are in the file is not known.
    pub(crate) fn forget_before(&mut self, log_start: u64) {
        self.ranges.retain(|range| range.to > log_start);
    }

    /// Everything at `to` and above is gone. How many bytes are left of a range that reached beyond
    /// is not known.
    pub(crate) fn truncate(&mut self, to: u64) {
        self.ranges.retain(|range| range.from < to);
        if let Some(last) = self.ranges.last_mut().filter(|last| last.to > to) {
            (last.to, last.end) = (to, None);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(from: u64, to: u64) -> DamagedRange {
        DamagedRange {
            from,
            to,
            segment: from / 100,
            position: from * 10,
            end: Some(to * 10),
            is_missed: false,
        }
    }

    fn damage(ranges: &[(u64, u64)]) -> Damage {
        let mut damage = Damage::default();
        for (from, to) in ranges {
            damage.insert(range(*from, *to));
        }
        damage
    }

    #[test]
    fn ranges_of_a_segment_that_meet_become_one() {
        let joined = damage(&[(5, 7), (1, 2), (6, 9), (2, 3)]);
        assert_eq!(joined.ranges(), [range(1, 3), range(5, 9)]);
        let apart = damage(&[(90, 100), (100, 110)]);
        assert_eq!(apart.ranges(), [range(90, 100), range(100, 110)]);
    }

    #[test]
    fn a_range_is_mended_from_its_front() {
        let mut damage = damage(&[(1, 9), (20, 30)]);
        damage.mend(1, 4, 40);
        assert_eq!(damage.ranges(), [range(4, 9), range(20, 30)]);
        damage.mend(20, 30, 300);
        assert_eq!(damage.ranges(), [range(4, 9)]);
        assert_eq!(damage.first_behind(8), Some(&range(4, 9)));
        assert_eq!(damage.first_behind(9), None);
        assert_eq!(damage.last_before(9), Some(&range(4, 9)));
        assert_eq!(damage.last_before(8), None);
    }

    #[test]
    fn a_cut_leaves_what_is_before_it() {
        let mut damage = damage(&[(1, 4), (6, 9), (20, 30)]);
        damage.truncate(8);
        let end = None;
        let left = DamagedRange { end, ..range(6, 8) };
        assert_eq!(damage.ranges(), [range(1, 4), left]);
        damage.truncate(6);
        assert_eq!(damage.ranges(), [range(1, 4)]);
    }
}
