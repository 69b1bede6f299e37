use std::collections::BTreeMap;

use quorate_vsr::Offset;

/// What compaction has made of one copy of a log, if everything is as bad as it can be: every
/// record is of one key, and says that it is deleted.
///
/// So each record shadows all before it, and goes from a copy as soon as it may. Nothing of the
/// protocol knows. A copy in which a record is still there, and what shadows it is gone, has
/// brought back what was deleted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Thinned {
    /// Up to where it is seen to, for each place in the log, that nothing is there which something
    /// below shadows. Of other places that was never looked at.
    seen_to: BTreeMap<Offset, Offset>,
    /// What says that something is deleted is gone below.
    gone: Offset,
}

impl Thinned {
    /// A pass over the log up to `to`, in which batches begin at these offsets.
    pub(crate) fn compact(&mut self, places: impl Iterator<Item = Offset>, to: Offset) {
        for place in places.filter(|place| *place < to) {
            let seen_to = self.seen_to.entry(place).or_default();
            *seen_to = to.max(*seen_to);
        }
    }

    /// Whatever says that something is deleted goes below `to`.
    pub(crate) fn drop_deletions(&mut self, to: Offset) {
        self.gone = self.gone.max(to);
    }

    /// What stands at `from..until` of this copy.
    pub(crate) fn part(&self, from: Offset, until: Offset) -> Self {
        let seen_to = self.seen_to.range(from..until.max(from));
        Self {
            seen_to: seen_to.map(|(place, to)| (*place, *to)).collect(),
            gone: self.gone.min(until),
        }
    }

    /// A part of another copy takes the place of whatever stood at `from..until`.
    pub(crate) fn replace(&mut self, from: Offset, until: Offset, part: &Self) {
        self.seen_to
            .retain(|place, _| !(from..until).contains(place));
        let part = part.part(from, until);
        self.seen_to.extend(part.seen_to);
        self.gone = self.gone.max(part.gone);
    }

    /// The copy ends at `to`.
    pub(crate) fn truncate(&mut self, to: Offset) {
        self.seen_to.retain(|place, _| *place < to);
        self.gone = self.gone.min(to);
    }

    /// Whether one of the batches that begin at these offsets is there again.
    pub(crate) fn brings_back(&self, mut places: impl Iterator<Item = Offset>) -> bool {
        let seen_to = |place| self.seen_to.get(&place).copied().unwrap_or(Offset(0));
        places.any(|place| place < self.gone && seen_to(place) < self.gone)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places() -> impl Iterator<Item = Offset> {
        (0..9).map(Offset)
    }

    #[test]
    fn what_was_not_compacted_is_back_once_the_rest_is_gone() {
        let mut copy = Thinned::default();
        copy.compact(places(), Offset(5));
        copy.drop_deletions(Offset(5));
        assert!(!copy.brings_back(places()));
        let mut other = Thinned::default();
        other.replace(Offset(0), Offset(9), &copy.part(Offset(0), Offset(9)));
        assert_eq!(other, copy);
        copy.replace(Offset(2), Offset(3), &Thinned::default());
        assert!(copy.brings_back(places()));
        copy.compact(places(), Offset(5));
        assert!(!copy.brings_back(places()));
        copy.drop_deletions(Offset(6));
        assert!(copy.brings_back(places()), "not looked at up to there");
        copy.truncate(Offset(5));
        assert!(!copy.brings_back(places()));
    }
}
