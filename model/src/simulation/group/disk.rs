//! A disk of one replica: what is written may be lost in a crash until its completion is reported.

use std::collections::VecDeque;

use quorate_vsr::OpNumber;
use quorate_vsr::group::{Checkpoint, Checksum, Event, Membership, Prepare, Recovered, Superblock};

use super::super::dice::Dice;

/// The three files of a replica. Each completes its writes in order; among each other they do not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum File {
    Journal,
    Superblock,
    Checkpoint,
}

#[derive(Clone, Debug)]
pub(crate) enum Write {
    Append(Prepare),
    Mend(Prepare),
    Trim(OpNumber),
    Persist(Superblock),
    Checkpoint(Checkpoint),
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Disk {
    superblock: Option<Superblock>,
    /// The one that the superblock names, and those that a later one may name.
    checkpoints: Vec<Checkpoint>,
    /// The checkpoint that cannot be read any more.
    lost_checkpoint: Option<OpNumber>,
    /// What can be read, by number.
    journal: VecDeque<Prepare>,
    /// What cannot be read any more, and counted.
    lost: Vec<Prepare>,
    journal_writes: VecDeque<Write>,
    superblock_writes: VecDeque<Write>,
    checkpoint_writes: VecDeque<Write>,
    /// Whether the end of the journal may be gone, and the superblock does not say so yet.
    is_rotten: bool,
}

impl Disk {
    /// A disk that knows who belongs to the group, or a blank one if all are founders of it.
    pub(crate) fn of(genesis: &Membership) -> Self {
        let known = Superblock {
            membership: genesis.clone(),
            ..Superblock::default()
        };
        Self {
            superblock: (!genesis.standbys().is_empty()).then_some(known),
            ..Self::default()
        }
    }

    pub(crate) fn submit(&mut self, write: Write) -> File {
        let file = match &write {
            Write::Append(_) | Write::Mend(_) | Write::Trim(_) => File::Journal,
            Write::Persist(_) => File::Superblock,
            Write::Checkpoint(_) => File::Checkpoint,
        };
        self.queue(file).push_back(write);
        file
    }

    /// Carries out the oldest write of a file and says what there is to report.
    pub(crate) fn complete(&mut self, file: File) -> Option<Event> {
        match self.queue(file).pop_front()? {
            Write::Append(prepare) => {
                let (op, checksum) = (prepare.op, prepare.checksum);
                self.append(prepare);
                Some(Event::PrepareDurable { op, checksum })
            }
            Write::Mend(prepare) => {
                let (op, checksum) = (prepare.op, prepare.checksum);
                self.mend(prepare);
                Some(Event::PrepareDurable { op, checksum })
            }
            Write::Trim(below) => {
                while self.journal.front().is_some_and(|entry| entry.op < below) {
                    self.journal.pop_front();
                }
                self.lost.retain(|entry| entry.op >= below);
                None
            }
            Write::Persist(superblock) => {
                let sequence = superblock.sequence;
                self.persist(superblock);
                Some(Event::SuperblockDurable { sequence })
            }
            Write::Checkpoint(checkpoint) => {
                let op = checkpoint.op();
                self.checkpoints.retain(|other| other.op() != op);
                self.checkpoints.push(checkpoint);
                Some(Event::CheckpointDurable { op })
            }
        }
    }

    fn append(&mut self, prepare: Prepare) {
        while self
            .journal
            .back()
            .is_some_and(|entry| entry.op >= prepare.op)
        {
            self.journal.pop_back();
        }
        self.lost.retain(|entry| entry.op < prepare.op);
        let last = self.lost.iter().chain(self.journal.back()).map(|it| it.op);
        let is_next = last.max().is_none_or(|last| last.next() == prepare.op);
        assert!(is_next, "what is written has no gap");
        self.journal.push_back(prepare);
    }

    fn mend(&mut self, prepare: Prepare) {
        let place = self.journal.partition_point(|entry| entry.op < prepare.op);
        let found = self.journal.get(place);
        assert!(
            found.is_none_or(|entry| entry.op > prepare.op),
            "only what is missing is mended"
        );
        self.lost.retain(|entry| entry.op != prepare.op);
        self.journal.insert(place, prepare);
    }

    fn persist(&mut self, superblock: Superblock) {
        let named = superblock.checkpoint.op;
        let is_there = self.checkpoints.iter().any(|found| found.op() == named);
        let is_lost = self.lost_checkpoint == Some(named);
        assert!(
            named.0 == 0 || is_there || is_lost,
            "a superblock names what is there"
        );
        // What a superblock still to be written may name is newer than what this one names.
        self.checkpoints.retain(|found| found.op() >= named);
        self.lost_checkpoint = self.lost_checkpoint.filter(|_| is_lost);
        if superblock.log_view == superblock.view {
            // The rest was left behind by the log of this view.
            let (log_view, end) = (superblock.log_view, superblock.log_view_op);
            self.lost
                .retain(|entry| entry.op <= end || entry.view >= log_view);
        }
        self.is_rotten &= !superblock.is_tail_uncertain;
        self.superblock = Some(superblock);
    }

    /// Each file keeps some of what was under way, without a report, and loses the rest.
    pub(crate) fn crash(&mut self, dice: &mut Dice) {
        for file in [File::Journal, File::Superblock, File::Checkpoint] {
            let kept = dice.below(self.queue(file).len() + 1);
            for _ in 0..kept {
                self.complete(file);
            }
            self.queue(file).clear();
        }
    }

    /// The entries that can be read, without the last one: what is after the last that can be read
    /// nobody knows.
    pub(crate) fn inner_entries(&self) -> Vec<OpNumber> {
        let inner = self.journal.len().saturating_sub(1);
        let entries = self.journal.iter().take(inner);
        entries.map(|entry| entry.op).collect()
    }

    /// Loses an entry that can be read, although it was durable.
    pub(crate) fn lose_entry(&mut self, op: OpNumber) {
        let place = self.journal.partition_point(|entry| entry.op < op);
        self.lost.extend(self.journal.remove(place));
    }

    /// Puts back what was lost last.
    pub(crate) fn regain_entry(&mut self) {
        if let Some(entry) = self.lost.pop() {
            self.mend(entry);
        }
    }

    /// Loses entries from the end of the journal, perhaps none, and cannot tell.
    pub(crate) fn lose_end(&mut self, dice: &mut Dice) {
        let kept = dice.below(self.journal.len() + 1);
        self.lost.extend(self.journal.drain(kept..));
        self.is_rotten = true;
    }

    /// Loses the checkpoint; false if there is none.
    pub(crate) fn lose_checkpoint(&mut self) -> bool {
        let named = self.superblock.as_ref().map(|block| block.checkpoint.op);
        let before = self.checkpoints.len();
        self.checkpoints.retain(|found| Some(found.op()) != named);
        let is_lost = self.checkpoints.len() < before;
        if is_lost {
            self.lost_checkpoint = named;
        }
        is_lost
    }

    /// Whether it knows where its journal ends.
    pub(crate) fn is_end_certain(&self) -> bool {
        let superblock = self.superblock.as_ref();
        !self.is_rotten && !superblock.is_some_and(|block| block.is_tail_uncertain)
    }

    pub(crate) fn is_whole(&self) -> bool {
        self.is_end_certain() && self.lost.is_empty() && self.lost_checkpoint.is_none()
    }

    /// The entries behind the checkpoint that are lost.
    pub(crate) fn lost(&self) -> impl Iterator<Item = &Prepare> {
        let covered = self.superblock.as_ref().map(|block| block.checkpoint.op);
        let is_needed = move |entry: &&Prepare| Some(entry.op) > covered;
        self.lost.iter().filter(is_needed)
    }

    /// The operations that the state on this disk covers; `None` if it is lost.
    pub(crate) fn state(&self) -> Option<OpNumber> {
        let named = self.superblock.as_ref().map(|block| block.checkpoint.op);
        self.lost_checkpoint
            .is_none()
            .then(|| named.unwrap_or_default())
    }

    /// Where the part of the journal begins that counts: behind the checkpoint, or before it, as
    /// far as everything from there to the checkpoint can be read.
    pub(crate) fn first(&self) -> OpNumber {
        let base = self.superblock.as_ref().map(|block| block.checkpoint);
        let base = base.unwrap_or_default();
        let (mut first, mut checksum) = (base.op.next(), base.checksum);
        let before = self.journal.iter().rev();
        for entry in before.skip_while(|entry| entry.op > base.op) {
            if entry.op.next() != first || entry.checksum != checksum {
                break;
            }
            (first, checksum) = (entry.op, entry.parent);
        }
        first
    }

    pub(crate) fn is_used(&self) -> bool {
        self.superblock.is_some()
    }

    pub(crate) fn superblock(&self) -> Option<&Superblock> {
        self.superblock.as_ref()
    }

    /// Whether a crash now would leave this prepare, in the journal or covered by a checkpoint.
    pub(crate) fn holds(&self, op: OpNumber, checksum: Checksum) -> bool {
        self.covers(op) || self.has(op, checksum)
    }

    /// Whether it did so before it was damaged, or may have done so.
    pub(crate) fn may_have_held(&self, op: OpNumber, checksum: Checksum) -> bool {
        let mut lost = self.lost.iter();
        !self.is_end_certain()
            || self.holds(op, checksum)
            || lost.any(|entry| (entry.op, entry.checksum) == (op, checksum))
    }

    /// Whether this prepare can be read.
    fn has(&self, op: OpNumber, checksum: Checksum) -> bool {
        let place = self.journal.partition_point(|entry| entry.op < op);
        let found = self.journal.get(place);
        found.is_some_and(|entry| (entry.op, entry.checksum) == (op, checksum))
    }

    /// Whether its replica, started anew, could give this prepare to others: it can be read,
    /// counts, and was not left behind by the log of a later view.
    pub(crate) fn can_give(&self, entry: &Prepare) -> bool {
        let is_left_behind = self.superblock.as_ref().is_none_or(|superblock| {
            entry.op > superblock.log_view_op && entry.view < superblock.log_view
        });
        !is_left_behind && entry.op >= self.first() && self.has(entry.op, entry.checksum)
    }

    fn covers(&self, op: OpNumber) -> bool {
        let superblock = self.superblock.as_ref();
        superblock.is_some_and(|block| block.checkpoint.op >= op)
    }

    /// What a driver would read, now and then through its bytes.
    pub(crate) fn recover(&self, through_bytes: bool) -> Recovered {
        const READ: &str = "what was written reads back";
        let superblock = self.superblock.as_ref();
        let named = superblock.and_then(|block| {
            let is_named = |found: &&Checkpoint| found.op() == block.checkpoint.op;
            self.checkpoints.iter().find(is_named)
        });
        if !through_bytes {
            return Recovered {
                superblock: superblock.cloned(),
                checkpoint: named.cloned(),
                journal: self.journal.iter().cloned().collect(),
                is_tail_uncertain: self.is_rotten,
            };
        }
        let read = |prepare: &Prepare| Prepare::decode(&prepare.encode()).expect(READ);
        Recovered {
            superblock: superblock.map(|block| Superblock::decode(&block.encode()).expect(READ)),
            checkpoint: named.map(|found| Checkpoint::decode(found.bytes()).expect(READ)),
            journal: self.journal.iter().map(read).collect(),
            is_tail_uncertain: self.is_rotten,
        }
    }

    fn queue(&mut self, file: File) -> &mut VecDeque<Write> {
        match file {
            File::Journal => &mut self.journal_writes,
            File::Superblock => &mut self.superblock_writes,
            File::Checkpoint => &mut self.checkpoint_writes,
        }
    }
}
