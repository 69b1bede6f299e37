//! The journal in memory, and what of it is on stable storage.
//!
//! Appending to it also asks the driver to write; cutting its end does not. What was cut stays on
//! the disk until something is appended in its place, and is recognised after a crash by
//! [`Superblock::log_view_op`](super::Superblock::log_view_op).
//!
//! Each number has a *slot*. It holds a prepare, or it is faulty: something stood there, was
//! perhaps acknowledged, and cannot be read any more. A faulty slot is not an empty one. It is
//! mended with the very prepare that stood there, which its successor names by its checksum, and
//! nothing else ever takes its place but the log of a later view (see `repair` and `choice`). Only
//! a restart can find faulty slots.

mod memberships;

use std::collections::{BTreeMap, VecDeque};

pub(crate) use memberships::Memberships;

use super::{Checksum, Effect, Head, Membership, Prepare};
use crate::OpNumber;

/// A chain of prepares that begins after `base`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Journal {
    /// What comes before the first slot: nothing, or prepares that a checkpoint made
    /// superfluous.
    base: Head,
    /// `None` if the slot is faulty.
    slots: VecDeque<Option<Prepare>>,
    /// The faulty slots, with the checksums of what stood there, where their successors name them.
    faulty: BTreeMap<OpNumber, Option<Checksum>>,
    /// What the sound slots say of who belongs to the group.
    memberships: Memberships,
    /// What the driver was asked to write and has not reported yet, in the order of asking.
    ///
    /// A number may occur twice, when a prepare was replaced before it was written. That is
    /// why the order counts, and not only the greatest number reported.
    writing: VecDeque<Head>,
}

/// What was found at a number of the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Slot {
    Sound(Prepare),
    /// A prepare that cannot be read any more. Its checksum is known if its successor is sound.
    Faulty(Option<Checksum>),
}

impl Slot {
    pub(crate) fn checksum(&self) -> Option<Checksum> {
        match self {
            Self::Sound(prepare) => Some(prepare.checksum),
            Self::Faulty(checksum) => *checksum,
        }
    }
}

/// A run of faulty slots, from the first one to the last one, whose checksum is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Gap {
    pub(crate) from: OpNumber,
    pub(crate) until: Head,
}

impl Journal {
    /// A journal as it was found on the disk; the slots follow each other and `base`, where
    /// `membership` is in force.
    pub(crate) fn recovered(base: Head, membership: Membership, found: Vec<Slot>) -> Self {
        let mut journal = Self {
            base,
            memberships: Memberships::new(membership),
            ..Self::default()
        };
        for slot in found {
            match slot {
                Slot::Sound(prepare) => {
                    journal.memberships.note(&prepare);
                    journal.slots.push_back(Some(prepare));
                }
                Slot::Faulty(checksum) => {
                    journal.slots.push_back(None);
                    journal.faulty.insert(journal.last_op(), checksum);
                }
            }
        }
        journal
    }

    /// Who belongs to the group. A faulty slot may hide that it is not so.
    pub(crate) fn memberships(&self) -> &Memberships {
        &self.memberships
    }

    pub(crate) fn base(&self) -> Head {
        self.base
    }

    pub(crate) fn head(&self) -> Head {
        let op = self.last_op();
        Head {
            op,
            checksum: self
                .checksum_at(op)
                .expect("it is known where a journal ends"),
        }
    }

    fn last_op(&self) -> OpNumber {
        let length = u64::try_from(self.slots.len()).expect("a journal fits into memory");
        OpNumber(self.base.op.0 + length)
    }

    /// The checksum of what stands or stood at `op`, or of the base.
    fn checksum_at(&self, op: OpNumber) -> Option<Checksum> {
        let sound = self.head_at(op).map(|head| head.checksum);
        sound.or_else(|| *self.faulty.get(&op)?)
    }

    /// The end of the part before the first faulty slot.
    pub(crate) fn sound_head(&self) -> Head {
        match self.faulty.keys().next() {
            None => self.head(),
            Some(op) => self
                .head_at(OpNumber(op.0 - 1))
                .expect("no earlier slot is faulty"),
        }
    }

    /// The numbers of the faulty slots.
    pub(crate) fn faulty(&self) -> impl Iterator<Item = OpNumber> {
        self.faulty.keys().copied()
    }

    pub(crate) fn is_whole(&self) -> bool {
        self.faulty.is_empty()
    }

    /// The last faulty slots, of which it is known what stood there.
    pub(crate) fn last_gap(&self) -> Option<Gap> {
        let (last, checksum) = self.faulty.last_key_value()?;
        let mut from = *last;
        while self.faulty.contains_key(&OpNumber(from.0 - 1)) {
            from = OpNumber(from.0 - 1);
        }
        Some(Gap {
            from,
            until: Head {
                op: *last,
                checksum: checksum.expect("its successor names it"),
            },
        })
    }

    pub(crate) fn get(&self, op: OpNumber) -> Option<&Prepare> {
        self.slots.get(self.place(op)?)?.as_ref()
    }

    /// The head of the journal as it was when `op` was its last prepare; `None` if that is not
    /// here.
    pub(crate) fn head_at(&self, op: OpNumber) -> Option<Head> {
        if op == self.base.op {
            Some(self.base)
        } else {
            self.get(op).map(Prepare::head)
        }
    }

    /// Whether the last prepare of a journal with this head is here. Then the two journals do not
    /// differ up to there, but one before it may be faulty here.
    pub(crate) fn has(&self, head: Head) -> bool {
        self.head_at(head.op) == Some(head)
    }

    /// Whether this journal holds all that a journal with this head holds (or a checkpoint of it).
    pub(crate) fn holds(&self, head: Head) -> bool {
        self.has(head) && head.op <= self.sound_head().op
    }

    /// The prepares above `op`, which the journal must reach back to, up to a faulty one.
    pub(crate) fn after(&self, op: OpNumber) -> impl Iterator<Item = &Prepare> {
        assert!(
            op >= self.base.op,
            "the journal begins after {}, not after {op}",
            self.base.op
        );
        let skipped = usize::try_from(op.0 - self.base.op.0).expect("a journal fits into memory");
        self.slots.iter().skip(skipped).map_while(Option::as_ref)
    }

    /// The prepares from `from` to `until`, or the last of them: as many as `bytes_max` allows, and
    /// one in any case. None if `until` is not here.
    pub(crate) fn chain(&self, from: OpNumber, until: Head, bytes_max: usize) -> Vec<Prepare> {
        let mut chain = VecDeque::new();
        if !self.has(until) {
            return chain.into();
        }
        let mut bytes = 0;
        let mut op = until.op;
        while let Some(prepare) = self.get(op).filter(|_| op >= from) {
            bytes += prepare.bytes();
            if bytes > bytes_max && !chain.is_empty() {
                break;
            }
            chain.push_front(prepare.clone());
            op = OpNumber(op.0 - 1);
        }
        chain.into()
    }

    pub(crate) fn append(&mut self, prepare: Prepare, effects: &mut Vec<Effect>) {
        assert!(
            prepare.follows(self.head()),
            "only what continues the chain is appended"
        );
        self.memberships.note(&prepare);
        self.writing.push_back(prepare.head());
        self.slots.push_back(Some(prepare.clone()));
        effects.push(Effect::Append(prepare));
    }

    /// Whether the slot of `prepare` is faulty, and this is what stood there, as far as is known.
    pub(crate) fn may_mend(&self, prepare: &Prepare) -> bool {
        let faulty = self.faulty.get(&prepare.op);
        faulty.is_some_and(|known| known.is_none_or(|checksum| checksum == prepare.checksum))
    }

    /// Whether this is known to be what stood in a faulty slot.
    pub(crate) fn is_awaited(&self, head: Head) -> bool {
        self.faulty.get(&head.op) == Some(&Some(head.checksum))
    }

    /// Puts back what stood in a faulty slot; so it becomes known what stood before it.
    ///
    /// If that is not what the base says, the journal is a fork of what is committed, and is cut
    /// down to the base.
    pub(crate) fn mend(&mut self, prepare: Prepare, effects: &mut Vec<Effect>) {
        assert!(self.may_mend(&prepare), "only what is faulty is mended");
        let (op, before) = (prepare.op, OpNumber(prepare.op.0 - 1));
        if before == self.base.op && prepare.parent != self.base.checksum {
            self.cut(self.base.op);
            return;
        }
        if self.checksum_at(before) != Some(prepare.parent) {
            let place = self.place(before).expect("it comes after the base");
            self.slots[place] = None;
            self.memberships.forget(before);
            self.faulty.insert(before, Some(prepare.parent));
        }
        self.memberships.note(&prepare);
        self.writing.push_back(prepare.head());
        self.faulty.remove(&op);
        let place = self.place(op).expect("it has a slot");
        self.slots[place] = Some(prepare.clone());
        effects.push(Effect::Mend(prepare));
    }

    /// Cuts everything above `op`.
    pub(crate) fn cut(&mut self, op: OpNumber) {
        assert!(op >= self.base.op, "what a checkpoint covers is never cut");
        let kept = usize::try_from(op.0 - self.base.op.0).expect("a journal fits into memory");
        self.slots.truncate(kept);
        self.faulty.retain(|faulty, _| *faulty <= op);
        self.memberships.cut(op);
    }

    /// Forgets everything up to `base`, where `membership` is in force, and everything else as well
    /// if it does not continue it.
    pub(crate) fn rebase(&mut self, base: Head, membership: Membership) {
        assert!(base.op >= self.base.op, "a journal never grows backwards");
        let may_continue = self.may_continue(base);
        self.memberships.rebase(base.op, membership, may_continue);
        if may_continue {
            let covered = usize::try_from(base.op.0 - self.base.op.0).expect("it fits into memory");
            self.slots.drain(..covered);
            self.faulty.retain(|faulty, _| *faulty > base.op);
        } else {
            self.slots.clear();
            self.faulty.clear();
        }
        self.base = base;
    }

    /// Whether it is known that the slots above `base` continue it, or there are none.
    pub(crate) fn continues(&self, base: Head) -> bool {
        base.op >= self.last_op() || self.checksum_at(base.op) == Some(base.checksum)
    }

    /// Whether the slots above `base` continue it, as far as is known.
    fn may_continue(&self, base: Head) -> bool {
        let is_unknown = self.faulty.get(&base.op) == Some(&None);
        is_unknown || self.checksum_at(base.op) == Some(base.checksum)
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

    /// The last prepare up to which everything is on stable storage, and can be read.
    pub(crate) fn durable(&self) -> OpNumber {
        let end = self.sound_head().op;
        let lowest = self.writing.iter().map(|head| head.op).min();
        let durable = lowest.map_or(end, |op| OpNumber(op.0 - 1));
        durable.clamp(self.base.op, end)
    }

    /// Places in the journal by which another member finds where the two part: close to each
    /// other at the end, sparser towards the start, always with the base and with `certain` ones.
    /// The end is where the first faulty slot is, so that the answer fills it.
    ///
    /// What is committed has to be among these, and makes the search succeed: a member with the log
    /// of the view has that prepare too, or has a checkpoint that covers it.
    pub(crate) fn places(&self, certain: [OpNumber; 2]) -> Vec<Head> {
        let end = self.sound_head().op;
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
        journal.rebase(middle, Membership::default());
        assert_eq!(journal.head().op, OpNumber(5));
        assert_eq!(journal.base(), middle);

        let foreign = Head {
            op: OpNumber(4),
            checksum: Checksum(1),
        };
        journal.rebase(foreign, Membership::default());
        assert_eq!(journal.head(), foreign);
    }

    /// A journal of ten in which some cannot be read, and its prepares.
    fn damaged(faulty: &[u64]) -> (Journal, Vec<Prepare>) {
        let prepares: Vec<_> = filled(10).after(OpNumber(0)).cloned().collect();
        let mut slots = Vec::new();
        let mut checksum = None;
        for prepare in prepares.iter().rev() {
            if faulty.contains(&prepare.op.0) {
                slots.insert(0, Slot::Faulty(checksum));
                checksum = None;
            } else {
                slots.insert(0, Slot::Sound(prepare.clone()));
                checksum = Some(prepare.parent);
            }
        }
        let nobody = Membership::default();
        (Journal::recovered(Head::default(), nobody, slots), prepares)
    }

    #[test]
    fn what_stood_in_a_faulty_slot_is_known_from_behind() {
        let (mut journal, prepares) = damaged(&[3, 4, 7]);
        assert_eq!(journal.sound_head(), prepares[1].head());
        assert_eq!(journal.head(), prepares[9].head());
        let mut mended = Vec::new();
        while let Some(gap) = journal.last_gap() {
            let prepare = prepares[gap.until.op.0 as usize - 1].clone();
            assert_eq!(gap.until, prepare.head());
            mended.push((gap.from.0, gap.until.op.0));
            let mut effects = Vec::new();
            journal.mend(prepare.clone(), &mut effects);
            assert_eq!(effects, [Effect::Mend(prepare)]);
        }
        assert_eq!(mended, [(7, 7), (3, 4), (3, 3)]);
        assert_eq!(journal.sound_head(), journal.head());
        assert_eq!(
            journal.durable(),
            OpNumber(2),
            "the writes are on their way"
        );
        for op in [7, 4, 3] {
            let prepare = &prepares[op - 1];
            journal.written(prepare.op, prepare.checksum);
        }
        assert_eq!(journal.durable(), OpNumber(10));
    }

    #[test]
    fn only_what_stood_in_a_faulty_slot_mends_it() {
        let (journal, prepares) = damaged(&[3, 4]);
        let fork = |op: usize| {
            let content = Content::Proposal { operation: vec![8] };
            Prepare::new(prepares[op - 2].head(), ViewNumber(2), content)
        };
        assert!(
            !journal.may_mend(&fork(4)),
            "the successor names another one"
        );
        assert!(
            !journal.may_mend(&prepares[4]),
            "nothing is to be mended there"
        );
        assert!(journal.may_mend(&prepares[3]));
    }

    #[test]
    fn faulty_slots_end_what_is_offered_to_others() {
        let (journal, prepares) = damaged(&[6]);
        assert_eq!(journal.after(OpNumber(2)).count(), 3);
        assert!(journal.has(prepares[7].head()) && !journal.holds(prepares[7].head()));
        assert!(journal.holds(prepares[4].head()));
        let places = journal.places([OpNumber(2), OpNumber(9)]);
        assert_eq!(places[0], prepares[4].head());
        let chain = |from, until: usize, bytes_max| {
            let chain = journal.chain(OpNumber(from), prepares[until - 1].head(), bytes_max);
            chain.iter().map(|prepare| prepare.op.0).collect::<Vec<_>>()
        };
        assert_eq!(chain(2, 4, 1 << 20), [2, 3, 4]);
        assert_eq!(chain(2, 4, 1), [4]);
        assert_eq!(chain(2, 8, 1 << 20), [7, 8]);
        assert!(chain(2, 6, 1 << 20).is_empty());
    }

    #[test]
    fn a_checkpoint_covers_faulty_slots_and_shows_a_fork() {
        let (mut journal, prepares) = damaged(&[3, 4, 8]);
        // What stood at 3 is not known, so nothing speaks against it.
        journal.rebase(prepares[2].head(), Membership::default());
        assert_eq!(
            journal.faulty().collect::<Vec<_>>(),
            [OpNumber(4), OpNumber(8)]
        );
        let foreign = Head {
            op: OpNumber(4),
            checksum: Checksum(1),
        };
        let mut fork = journal.clone();
        fork.rebase(foreign, Membership::default());
        assert_eq!((fork.head(), fork.is_whole()), (foreign, true));

        let fork = Head {
            op: OpNumber(3),
            checksum: Checksum(1),
        };
        let (mut journal, _) = damaged(&[3, 4]);
        journal.rebase(fork, Membership::default());
        journal.mend(prepares[3].clone(), &mut Vec::new());
        assert_eq!((journal.head(), journal.is_whole()), (fork, true));
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
