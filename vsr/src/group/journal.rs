//! The journal in memory, and what of it is on stable storage.
//!
//! Appending to it also asks the driver to write; cutting its end does not. What was cut stays on
//! the disk until something is appended in its place, and is recognised after a crash by
//! [`Superblock::log_view_op`](super::Superblock::log_view_op).

use std::collections::VecDeque;

use super::{Checksum, Effect, Head, Prepare};
use crate::OpNumber;

/// A chain of prepares that begins after `base`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Journal {
    /// What comes before the first prepare: nothing, or prepares that a checkpoint made
    /// superfluous.
    base: Head,
    entries: VecDeque<Prepare>,
    /// What the driver was asked to write and has not reported yet, in the order of asking.
    ///
    /// A number may occur twice, when a prepare was replaced before it was written. That is
    /// why the order counts, and not only the greatest number reported.
    writing: VecDeque<Head>,
}

impl Journal {
    /// A journal as it was found on the disk; the entries are a chain that begins after `base`.
    pub(crate) fn recovered(base: Head, entries: Vec<Prepare>) -> Self {
        Self {
            base,
            entries: entries.into(),
            writing: VecDeque::new(),
        }
    }

    pub(crate) fn base(&self) -> Head {
        self.base
    }

    pub(crate) fn head(&self) -> Head {
        self.entries.back().map_or(self.base, Prepare::head)
    }

    pub(crate) fn get(&self, op: OpNumber) -> Option<&Prepare> {
        self.entries.get(self.place(op)?)
    }

    /// The head of the journal as it was when `op` was its last prepare.
    pub(crate) fn head_at(&self, op: OpNumber) -> Option<Head> {
        if op == self.base.op {
            Some(self.base)
        } else {
            self.get(op).map(Prepare::head)
        }
    }

    /// Whether this journal holds all that a journal with this head holds (or a checkpoint of it).
    pub(crate) fn has(&self, head: Head) -> bool {
        self.head_at(head.op) == Some(head)
    }

    /// The prepares above `op`, which the journal must reach back to.
    pub(crate) fn after(&self, op: OpNumber) -> impl Iterator<Item = &Prepare> {
        assert!(
            op >= self.base.op,
            "the journal begins after {}, not after {op}",
            self.base.op
        );
        let skipped = usize::try_from(op.0 - self.base.op.0).expect("a journal fits into memory");
        self.entries.iter().skip(skipped)
    }

    pub(crate) fn append(&mut self, prepare: Prepare, effects: &mut Vec<Effect>) {
        assert!(
            prepare.follows(self.head()),
            "only what continues the chain is appended"
        );
        self.writing.push_back(prepare.head());
        self.entries.push_back(prepare.clone());
        effects.push(Effect::Append(prepare));
    }

    /// Cuts everything above `op`.
    pub(crate) fn cut(&mut self, op: OpNumber) {
        assert!(op >= self.base.op, "what a checkpoint covers is never cut");
        let kept = usize::try_from(op.0 - self.base.op.0).expect("a journal fits into memory");
        self.entries.truncate(kept);
    }

    /// Forgets everything up to `base`, and everything else as well if it does not continue it.
    pub(crate) fn rebase(&mut self, base: Head) {
        assert!(base.op >= self.base.op, "a journal never grows backwards");
        if self.has(base) {
            while self
                .entries
                .front()
                .is_some_and(|prepare| prepare.op <= base.op)
            {
                self.entries.pop_front();
            }
        } else {
            self.entries.clear();
        }
        self.base = base;
    }

    /// Notes that the driver has written a prepare, and with it all that it was asked for earlier.
    pub(crate) fn written(&mut self, op: OpNumber, checksum: Checksum) {
        let place = self
            .writing
            .iter()
            .position(|head| *head == Head { op, checksum });
        if let Some(place) = place {
            self.writing.drain(..=place);
        }
    }

    /// Whether nothing is being written.
    pub(crate) fn is_durable(&self) -> bool {
        self.writing.is_empty()
    }

    /// The last prepare up to which everything is on stable storage.
    pub(crate) fn durable(&self) -> OpNumber {
        let lowest = self.writing.iter().map(|head| head.op).min();
        let durable = lowest.map_or(self.head().op, |op| OpNumber(op.0 - 1));
        durable.clamp(self.base.op, self.head().op)
    }

    /// Places in the journal by which another member finds where the two part: close to each
    /// other at the end, sparser towards the start, always with the base and with `certain` ones.
    ///
    /// What is committed has to be among these, and makes the search succeed: a member with the log
    /// of the view has that prepare too, or has a checkpoint that covers it.
    pub(crate) fn places(&self, certain: [OpNumber; 2]) -> Vec<Head> {
        let end = self.head().op;
        let mut ops = vec![end, self.base.op];
        ops.extend(certain.map(|op| op.clamp(self.base.op, end)));
        let mut step = 1;
        while end.0 >= self.base.op.0 + step {
            ops.push(OpNumber(end.0 - step));
            step *= 2;
        }
        ops.sort_unstable_by(|a, b| b.cmp(a));
        ops.dedup();
        ops.into_iter().filter_map(|op| self.head_at(op)).collect()
    }

    fn place(&self, op: OpNumber) -> Option<usize> {
        usize::try_from(op.0.checked_sub(self.base.op.0)?.checked_sub(1)?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::super::Content;
    use super::*;
    use crate::ViewNumber;

    fn next(journal: &Journal, view: u64) -> Prepare {
        let content = Content::Proposal { operation: vec![7] };
        Prepare::new(journal.head(), ViewNumber(view), content)
    }

    fn filled(count: u64) -> Journal {
        let mut journal = Journal::default();
        for _ in 0..count {
            journal.append(next(&journal, 1), &mut Vec::new());
        }
        journal
    }

    #[test]
    fn a_replaced_prepare_is_durable_only_when_its_own_write_is() {
        let mut journal = filled(3);
        let first = journal.get(OpNumber(3)).cloned().expect("appended");
        journal.cut(OpNumber(2));
        journal.append(next(&journal, 2), &mut Vec::new());
        journal.cut(OpNumber(2));
        journal.append(first.clone(), &mut Vec::new());

        journal.written(first.op, first.checksum);
        assert_eq!(
            journal.durable(),
            OpNumber(2),
            "the write of another prepare is on its way"
        );
        let second = journal.writing[0];
        journal.written(second.op, second.checksum);
        assert_eq!(journal.durable(), OpNumber(2));
        journal.written(first.op, first.checksum);
        assert_eq!(journal.durable(), OpNumber(3));
        assert!(journal.is_durable());
    }

    #[test]
    fn rebasing_keeps_what_continues_the_checkpoint_and_drops_a_fork() {
        let mut journal = filled(5);
        let middle = journal.head_at(OpNumber(3)).expect("appended");
        journal.rebase(middle);
        assert_eq!(journal.head().op, OpNumber(5));
        assert_eq!(journal.base(), middle);

        let foreign = Head {
            op: OpNumber(4),
            checksum: Checksum(1),
        };
        journal.rebase(foreign);
        assert_eq!(journal.head(), foreign);
    }

    #[test]
    fn places_hold_the_end_the_certain_prepares_and_the_base() {
        let journal = filled(20);
        let places = journal.places([OpNumber(7), OpNumber(13)]);
        let ops: Vec<u64> = places.iter().map(|head| head.op.0).collect();
        assert_eq!(ops, [20, 19, 18, 16, 13, 12, 7, 4, 0]);
        assert!(places.iter().all(|head| journal.has(*head)));
    }
}
