use crate::Offset;

/// Ranges of a log whose bytes are not what they were.
///
/// Half-open, in order, and never next to each other.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Damage {
    ranges: Vec<(Offset, Offset)>,
}

impl Damage {
    pub(super) fn ranges(&self) -> &[(Offset, Offset)] {
        &self.ranges
    }

    /// The first range that reaches beyond `offset`.
    pub(super) fn first_behind(&self, offset: Offset) -> Option<(Offset, Offset)> {
        let before = self.ranges.partition_point(|range| range.1 <= offset);
        self.ranges.get(before).copied()
    }

    pub(super) fn contains(&self, offset: Offset) -> bool {
        self.first_behind(offset)
            .is_some_and(|range| range.0 <= offset)
    }

    /// What is in `from..to` is damaged as well.
    pub(super) fn insert(&mut self, from: Offset, to: Offset) {
        if from >= to {
            return;
        }
        let first = self.ranges.partition_point(|range| range.1 < from);
        let end = self.ranges.partition_point(|range| range.0 <= to);
        let joined = &self.ranges[first..end];
        let from = joined.first().map_or(from, |range| range.0.min(from));
        let to = joined.last().map_or(to, |range| range.1.max(to));
        self.ranges.splice(first..end, [(from, to)]);
    }

    /// What is in `from..to` is no longer damaged.
    pub(super) fn remove(&mut self, from: Offset, to: Offset) {
        if from >= to {
            return;
        }
        let ranges = std::mem::take(&mut self.ranges);
        let left = ranges.into_iter().flat_map(|range| {
            let before = (range.0, range.1.min(from));
            let behind = (range.0.max(to), range.1);
            [before, behind]
        });
        self.ranges = left.filter(|range| range.0 < range.1).collect();
    }

    /// Everything at `to` and above is gone.
    pub(super) fn truncate(&mut self, to: Offset) {
        self.remove(to, Offset(u64::MAX));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn damage(ranges: &[(u64, u64)]) -> Damage {
        let mut damage = Damage::default();
        for (from, to) in ranges {
            damage.insert(Offset(*from), Offset(*to));
        }
        damage
    }

    fn told(damage: &Damage) -> Vec<(u64, u64)> {
        let ranges = damage.ranges().iter();
        ranges.map(|range| (range.0.0, range.1.0)).collect()
    }

    #[test]
    fn ranges_that_meet_become_one() {
        assert_eq!(told(&damage(&[(5, 7), (1, 2), (9, 9)])), [(1, 2), (5, 7)]);
        assert_eq!(told(&damage(&[(1, 3), (5, 7), (3, 5)])), [(1, 7)]);
        assert_eq!(told(&damage(&[(1, 3), (5, 7), (2, 6)])), [(1, 7)]);
        assert_eq!(told(&damage(&[(3, 4), (1, 9)])), [(1, 9)]);
        assert_eq!(told(&damage(&[(1, 9), (3, 4)])), [(1, 9)]);
    }

    #[test]
    fn a_repair_in_the_middle_leaves_both_ends() {
        let mut damage = damage(&[(1, 9), (20, 30)]);
        damage.remove(Offset(3), Offset(5));
        assert_eq!(told(&damage), [(1, 3), (5, 9), (20, 30)]);
        damage.remove(Offset(8), Offset(25));
        assert_eq!(told(&damage), [(1, 3), (5, 8), (25, 30)]);
        damage.truncate(Offset(27));
        assert_eq!(told(&damage), [(1, 3), (5, 8), (25, 27)]);
        damage.truncate(Offset(0));
        assert_eq!(damage.ranges(), []);
    }

    /// Every short sequence of changes, against one flag for each offset.
    #[test]
    fn it_is_the_set_of_the_offsets_in_it() {
        let ranges = || (0..5u64).flat_map(|from| (from..=5).map(move |to| (from, to)));
        for (first, second) in ranges().flat_map(|a| ranges().map(move |b| (a, b))) {
            for (third, is_repair) in ranges().flat_map(|a| [(a, false), (a, true)]) {
                let mut all = damage(&[first, second]);
                let mut flags = [false; 6];
                for at in (first.0..first.1).chain(second.0..second.1) {
                    flags[at as usize] = true;
                }
                if is_repair {
                    all.remove(Offset(third.0), Offset(third.1));
                } else {
                    all.insert(Offset(third.0), Offset(third.1));
                }
                (third.0..third.1).for_each(|at| flags[at as usize] = !is_repair);
                for (at, flag) in (0..).zip(flags) {
                    assert_eq!(all.contains(Offset(at)), flag, "{all:?} at {at}");
                }
                let mut pairs = all.ranges().windows(2);
                assert!(pairs.all(|pair| pair[0].1 < pair[1].0), "{all:?}");
            }
        }
    }

    #[test]
    fn the_next_range_is_the_one_that_reaches_beyond() {
        let damage = damage(&[(2, 4), (7, 9)]);
        let next = |offset| damage.first_behind(Offset(offset)).map(|range| range.0.0);
        assert_eq!(next(0), Some(2));
        assert_eq!(next(3), Some(2));
        assert_eq!(next(4), Some(7));
        assert_eq!(next(9), None);
    }
}
