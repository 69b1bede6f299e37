use rkyv::{Archive, Deserialize, Serialize};

use crate::{Epoch, Offset};

/// Which epoch wrote which part of a log: for every epoch that left records, its first offset.
///
/// Together with the log's next offset this is the identity of its content. Within an epoch only
/// one leader writes, and only at the end of its log; so two logs that hold the same epoch at the
/// same offset are equal up to and including it. An epoch that left no record does not appear.
///
/// The history is always that of the records that are really there: it grows with every accepted
/// batch and shrinks with every cut, never ahead of either.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct EpochHistory {
    starts: Vec<(Epoch, Offset)>,
}

impl EpochHistory {
    /// The history with these starts; `None` unless both epochs and offsets strictly increase.
    #[must_use]
    pub fn from_starts(starts: Vec<(Epoch, Offset)>) -> Option<Self> {
        let history = Self { starts };
        history.is_of_a_log().then_some(history)
    }

    /// Whether a log can have this history. One that came from a peer may be made up.
    fn is_of_a_log(&self) -> bool {
        self.starts.is_sorted_by(|a, b| a.0 < b.0 && a.1 < b.1)
    }

    /// Whether a log that ends at `next`, with records of no later epoch than `newest`, can have
    /// this history.
    pub(super) fn is_of_log_up_to(&self, next: Offset, newest: Epoch) -> bool {
        let ends_below = self.starts.last().is_none_or(|start| start.1 < next);
        self.is_of_a_log() && ends_below && self.last_epoch() <= newest
    }

    /// Whether it tells who wrote the last record before `start` of a log that ends at `next`.
    pub(super) fn is_of_log_from(&self, start: Offset, next: Offset) -> bool {
        start <= next && (start == Offset(0) || self.epoch_before(start).is_some())
    }

    /// Every epoch that left records, with its first offset, oldest first.
    #[must_use]
    pub fn starts(&self) -> &[(Epoch, Offset)] {
        &self.starts
    }

    /// The epoch of the last record, or `Epoch(0)` for an empty log.
    #[must_use]
    pub fn last_epoch(&self) -> Epoch {
        self.starts.last().map_or(Epoch(0), |start| start.0)
    }

    /// Whether batches of these epochs are those that the log has from the first of them to `next`,
    /// as far as the history can tell: each of the epoch that wrote there, and no batch across the
    /// beginning of an epoch.
    pub(crate) fn are_ours(&self, epochs: &[(Epoch, Offset)], next: Offset) -> bool {
        let Some(base) = epochs.first().map(|batch| batch.1) else {
            return false;
        };
        let in_order = epochs.is_sorted_by(|a, b| a.1 < b.1);
        let inside = |start: &&(Epoch, Offset)| base < start.1 && start.1 < next;
        let mut starts = self.starts.iter().filter(inside);
        in_order
            && epochs.last().is_some_and(|batch| batch.1 < next)
            && epochs
                .iter()
                .all(|batch| self.epoch_at(batch.1) == Some(batch.0))
            && starts.all(|start| epochs.contains(start))
    }

    /// The epoch that wrote the record at `offset`, if the log reaches there.
    fn epoch_at(&self, offset: Offset) -> Option<Epoch> {
        let behind = self.starts.partition_point(|start| start.1 <= offset);
        let at = behind.checked_sub(1)?;
        self.starts.get(at).map(|start| start.0)
    }

    /// The epoch that wrote the record right before `at`, if there is one that is known.
    pub(crate) fn epoch_before(&self, at: Offset) -> Option<Epoch> {
        self.epoch_at(Offset(at.0.checked_sub(1)?))
    }

    /// Forgets everything below `at`, except which epoch wrote the record right before it: from
    /// here on that is the first start.
    pub(crate) fn begin_at(&mut self, at: Offset) {
        let before = self.starts.partition_point(|start| start.1 < at);
        if let Some(first) = before.checked_sub(1) {
            self.starts.drain(..first);
            self.starts[0].1 = Offset(at.0 - 1);
        }
    }

    /// Notes that `epoch` wrote the record right before `at`, where the log begins. False if the
    /// history says otherwise.
    pub(crate) fn found(&mut self, at: Offset, epoch: Epoch) -> bool {
        let Some(before) = at.0.checked_sub(1).map(Offset) else {
            return true;
        };
        self.begin_at(at);
        match self.starts.first_mut() {
            Some(first) if first.1 < at || first.0 == epoch => {
                first.1 = before;
                first.0 == epoch
            }
            Some(first) if first.0 < epoch => false,
            Some(_) | None => {
                self.starts.insert(0, (epoch, before));
                true
            }
        }
    }

    /// Whether records of these epochs may follow at `base_offset`.
    ///
    /// `epochs` lists, in the order of the records, an epoch and where it begins; the same epoch
    /// may be listed again for every batch. It comes from batch headers that a peer sent.
    pub(crate) fn may_continue(&self, base_offset: Offset, epochs: &[(Epoch, Offset)]) -> bool {
        let Some(first) = epochs.first() else {
            return false;
        };
        first.1 == base_offset
            && first.0 >= self.last_epoch()
            && epochs.is_sorted_by(|a, b| a.0 <= b.0 && a.1 < b.1)
    }

    /// Notes that records of `epoch` follow at `offset`.
    pub(crate) fn extend(&mut self, epoch: Epoch, offset: Offset) {
        if epoch == self.last_epoch() {
            return;
        }
        if let Some(last) = self.starts.last() {
            assert!(last.0 < epoch, "{epoch:?} cannot write after {:?}", last.0);
            assert!(
                last.1 < offset,
                "{epoch:?} begins at {offset:?}, inside {:?}",
                last.0
            );
        }
        self.starts.push((epoch, offset));
    }

    /// Forgets everything at `to` and above.
    pub(crate) fn truncate(&mut self, to: Offset) {
        let kept = self.starts.partition_point(|start| start.1 < to);
        self.starts.truncate(kept);
    }

    /// The first offset at which two logs part; each is given by its history and its next offset.
    ///
    /// Below the result they are equal. Where one merely ends before the other, that end is the
    /// result.
    #[must_use]
    pub fn parting(&self, next: Offset, other: &Self, other_next: Offset) -> Offset {
        let shorter = next.min(other_next);
        let pairs = self.starts.iter().zip(&other.starts);
        let equal = pairs.take_while(|(a, b)| a == b).count();
        // The runs before are the same in both. The next run of one begins where the other still
        // goes on with the run before it, or begins another, or has already ended.
        let ours = self.starts.get(equal).map_or(shorter, |start| start.1);
        let theirs = other.starts.get(equal).map_or(shorter, |start| start.1);
        shorter.min(ours).min(theirs)
    }
}

impl EpochHistory {
    /// As [`parting`](Self::parting), for logs of which one begins at `begin`, and the other there
    /// or before. What is below counts as equal if the records right before it are of the same
    /// epoch; `None` if they are not, or if one of the logs ends before `begin`.
    #[must_use]
    pub fn parting_behind(
        &self,
        begin: Offset,
        next: Offset,
        other: &Self,
        other_next: Offset,
    ) -> Option<Offset> {
        let is_told = begin <= next && begin <= other_next;
        if !is_told || self.epoch_before(begin) != other.epoch_before(begin) {
            return None;
        }
        let (mut ours, mut theirs) = (self.clone(), other.clone());
        ours.begin_at(begin);
        theirs.begin_at(begin);
        Some(ours.parting(next, &theirs, other_next))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history(starts: &[(u32, u64)]) -> EpochHistory {
        let starts = starts
            .iter()
            .map(|&(epoch, offset)| (Epoch(epoch), Offset(offset)));
        EpochHistory::from_starts(starts.collect()).unwrap()
    }

    fn parting(a: &[(u32, u64)], a_next: u64, b: &[(u32, u64)], b_next: u64) -> u64 {
        let (a, b) = (history(a), history(b));
        let there = a.parting(Offset(a_next), &b, Offset(b_next));
        assert_eq!(
            there,
            b.parting(Offset(b_next), &a, Offset(a_next)),
            "must not depend on sides"
        );
        there.0
    }

    #[test]
    fn equal_logs_part_at_their_end() {
        assert_eq!(parting(&[], 0, &[], 0), 0);
        assert_eq!(parting(&[(1, 0), (4, 7)], 9, &[(1, 0), (4, 7)], 9), 9);
    }

    #[test]
    fn a_prefix_parts_at_its_end() {
        assert_eq!(parting(&[(1, 0)], 5, &[(1, 0)], 9), 5);
        assert_eq!(parting(&[(1, 0)], 5, &[(1, 0), (2, 5)], 9), 5);
        assert_eq!(parting(&[(1, 0)], 3, &[(1, 0), (2, 5)], 9), 3);
        assert_eq!(parting(&[], 0, &[(1, 0)], 9), 0);
    }

    #[test]
    fn diverged_logs_part_where_the_first_of_them_changes_epoch() {
        assert_eq!(parting(&[(1, 0)], 10, &[(1, 0), (2, 5)], 8), 5);
        assert_eq!(parting(&[(1, 0), (2, 6)], 10, &[(1, 0), (3, 4)], 10), 4);
        assert_eq!(parting(&[(1, 0), (2, 6)], 10, &[(1, 0), (3, 6)], 10), 6);
        assert_eq!(parting(&[(2, 0)], 10, &[(3, 0)], 10), 0);
        assert_eq!(
            parting(&[(1, 0), (3, 4), (4, 6)], 9, &[(1, 0), (4, 6)], 9),
            4
        );
    }

    #[test]
    fn the_history_follows_what_is_appended_and_cut() {
        let mut log = EpochHistory::default();
        log.extend(Epoch(1), Offset(0));
        log.extend(Epoch(1), Offset(3));
        log.extend(Epoch(4), Offset(7));
        assert_eq!(log, history(&[(1, 0), (4, 7)]));
        log.truncate(Offset(8));
        assert_eq!(log.last_epoch(), Epoch(4));
        log.truncate(Offset(7));
        assert_eq!(log, history(&[(1, 0)]));
        log.truncate(Offset(0));
        assert_eq!(log, EpochHistory::default());
    }

    #[test]
    fn every_offset_was_written_by_the_last_epoch_that_began_before() {
        let log = history(&[(1, 2), (4, 7)]);
        let written_by = |offset| log.epoch_at(Offset(offset)).map(|epoch| epoch.0);
        assert_eq!(written_by(1), None);
        assert_eq!(written_by(2), Some(1));
        assert_eq!(written_by(6), Some(1));
        assert_eq!(written_by(7), Some(4));
    }

    #[test]
    fn batches_are_ours_if_they_are_of_the_epochs_that_wrote_there() {
        let log = history(&[(1, 0), (4, 7)]);
        let at = |epoch, offset| (Epoch(epoch), Offset(offset));
        assert!(log.are_ours(&[at(1, 3), at(1, 5), at(4, 7), at(4, 8)], Offset(9)));
        assert!(log.are_ours(&[at(4, 7)], Offset(9)));
        assert!(
            !log.are_ours(&[at(1, 3), at(4, 8)], Offset(9)),
            "a batch across the beginning"
        );
        assert!(!log.are_ours(&[at(1, 3), at(1, 7)], Offset(9)));
        assert!(!log.are_ours(&[at(1, 3), at(1, 3)], Offset(5)));
        assert!(!log.are_ours(&[at(1, 3)], Offset(3)));
        assert!(!log.are_ours(&[], Offset(3)));
    }

    #[test]
    fn a_log_that_begins_later_keeps_the_epoch_of_the_record_before() {
        let begun_at = |at| {
            let mut log = history(&[(1, 0), (4, 7), (6, 9)]);
            log.begin_at(Offset(at));
            log
        };
        assert_eq!(begun_at(0), history(&[(1, 0), (4, 7), (6, 9)]));
        assert_eq!(begun_at(7), history(&[(1, 6), (4, 7), (6, 9)]));
        assert_eq!(begun_at(8), history(&[(4, 7), (6, 9)]));
        assert_eq!(begun_at(20), history(&[(6, 19)]));
    }

    #[test]
    fn a_beginning_that_is_known_from_elsewhere_fits_or_does_not() {
        let found = |starts: &[(u32, u64)], at, epoch| {
            let mut log = history(starts);
            log.found(Offset(at), Epoch(epoch)).then_some(log)
        };
        assert_eq!(found(&[], 5, 3), Some(history(&[(3, 4)])));
        assert_eq!(found(&[(3, 5)], 5, 3), Some(history(&[(3, 4)])));
        assert_eq!(found(&[(4, 5)], 5, 3), Some(history(&[(3, 4), (4, 5)])));
        assert_eq!(
            found(&[(3, 0), (4, 5)], 5, 3),
            Some(history(&[(3, 4), (4, 5)]))
        );
        assert_eq!(found(&[(2, 0), (4, 5)], 5, 3), None);
        assert_eq!(found(&[(2, 5)], 5, 3), None);
        assert_eq!(found(&[(2, 0)], 0, 0), Some(history(&[(2, 0)])));
    }

    #[test]
    fn logs_part_behind_the_later_of_their_beginnings_or_nowhere_that_is_known() {
        let parting = |begin, a: &[(u32, u64)], a_next, b: &[(u32, u64)], b_next| {
            let (a, b) = (history(a), history(b));
            let next = (Offset(a_next), Offset(b_next));
            let there = a.parting_behind(Offset(begin), next.0, &b, next.1);
            let back = b.parting_behind(Offset(begin), next.1, &a, next.0);
            assert_eq!(there, back, "must not depend on sides");
            there.map(|offset| offset.0)
        };
        let whole: &[_] = &[(1, 0), (4, 7)];
        assert_eq!(parting(5, whole, 9, &[(1, 4), (4, 7)], 12), Some(9));
        assert_eq!(parting(5, whole, 9, &[(1, 4), (3, 6)], 12), Some(6));
        assert_eq!(parting(8, whole, 9, &[(4, 7)], 8), Some(8));
        assert_eq!(parting(9, whole, 9, &[(4, 8)], 9), Some(9));
        assert_eq!(parting(9, whole, 9, &[(5, 8)], 9), None);
        assert_eq!(parting(10, whole, 9, &[(4, 9)], 12), None);
        assert_eq!(parting(0, &[], 0, whole, 9), Some(0));
    }

    #[test]
    fn starts_that_do_not_increase_are_refused() {
        let refused = |starts: &[(Epoch, Offset)]| EpochHistory::from_starts(starts.to_vec());
        assert_eq!(
            refused(&[(Epoch(2), Offset(0)), (Epoch(1), Offset(5))]),
            None
        );
        assert_eq!(
            refused(&[(Epoch(1), Offset(5)), (Epoch(2), Offset(5))]),
            None
        );
    }

    #[test]
    fn only_later_epochs_may_continue_a_log() {
        let log = history(&[(2, 0)]);
        let at = |epoch, offset| (Epoch(epoch), Offset(offset));
        assert!(log.may_continue(Offset(9), &[at(2, 9), at(2, 11), at(5, 12)]));
        assert!(!log.may_continue(Offset(9), &[at(1, 9)]));
        assert!(!log.may_continue(Offset(9), &[at(3, 10)]));
        assert!(!log.may_continue(Offset(9), &[at(3, 9), at(2, 10)]));
        assert!(!log.may_continue(Offset(9), &[at(3, 9), at(4, 9)]));
        assert!(!log.may_continue(Offset(9), &[]));
    }
}
