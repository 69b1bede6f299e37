use std::collections::BTreeSet;

use quorate_vsr::group::{Checkpoint, DiskId, Prepare, Recovered, Superblock};
use quorate_vsr::{OpNumber, ViewNumber};

/// What a crash leaves.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Disk {
    /// The number of the disk; 0 for those who founded the group.
    pub(crate) id: DiskId,
    pub(crate) superblock: Option<Superblock>,
    pub(crate) journal: Vec<Prepare>,
    /// Which entries of the journal cannot be read.
    pub(crate) damaged: BTreeSet<OpNumber>,
    /// Whether something that cannot be read follows the end of the journal.
    pub(crate) is_doubtful: bool,
    /// The checkpoint that the superblock names, and the one that may follow it.
    pub(crate) checkpoints: Vec<Checkpoint>,
}

impl Disk {
    /// A prepare takes the place of whatever stands at its number or above.
    pub(crate) fn write(&mut self, prepare: Prepare) {
        self.cut(prepare.op);
        self.journal.push(prepare);
    }

    /// A prepare takes the place of what cannot be read at its number.
    pub(crate) fn mend(&mut self, prepare: Prepare) {
        self.damaged.remove(&prepare.op);
        let place = self.journal.iter_mut().find(|old| old.op == prepare.op);
        if let Some(place) = place {
            *place = prepare;
        }
    }

    fn cut(&mut self, from: OpNumber) {
        self.journal.retain(|old| old.op < from);
        self.damaged.retain(|op| *op < from);
    }

    pub(crate) fn trim(&mut self, below: OpNumber) {
        self.journal.retain(|old| old.op >= below);
        self.damaged.retain(|op| *op >= below);
    }

    /// A superblock takes the place of the one before it. If it says that the end of the journal is
    /// uncertain, the remains of that end are not needed any more.
    pub(crate) fn put(&mut self, superblock: Superblock) {
        let named = superblock.checkpoint.op;
        self.checkpoints
            .retain(|checkpoint| checkpoint.op() >= named);
        if superblock.is_tail_uncertain {
            self.is_doubtful = false;
            while let Some(last) = self.unreadable_end() {
                self.cut(last);
            }
        }
        self.superblock = Some(superblock);
    }

    /// The last entry, if it cannot be read: nobody knows of it which number it had, or whether
    /// there was more than one.
    fn unreadable_end(&self) -> Option<OpNumber> {
        let last = self.journal.last()?.op;
        self.damaged.contains(&last).then_some(last)
    }

    /// What recovery reads.
    pub(crate) fn recovered(&self) -> Recovered {
        let named = self
            .superblock
            .as_ref()
            .map(|superblock| superblock.checkpoint);
        let is_named = |checkpoint: &&Checkpoint| Some(checkpoint.head()) == named;
        let is_readable = |prepare: &&Prepare| !self.damaged.contains(&prepare.op);
        Recovered {
            superblock: self.superblock.clone(),
            checkpoint: self.checkpoints.iter().find(is_named).cloned(),
            journal: self.journal.iter().filter(is_readable).cloned().collect(),
            is_tail_uncertain: self.is_doubtful || self.unreadable_end().is_some(),
        }
    }

    /// Whether this disk holds the prepare, or a checkpoint that covers it.
    pub(crate) fn holds(&self, prepare: &Prepare) -> bool {
        let named = self
            .superblock
            .as_ref()
            .map_or(0, |superblock| superblock.checkpoint.op.0);
        let is_damaged = self.damaged.contains(&prepare.op);
        prepare.op.0 <= named || !is_damaged && self.journal.contains(prepare)
    }

    /// The view that this disk promises to obey none before.
    pub(crate) fn promised(&self) -> ViewNumber {
        let view = self.superblock.as_ref().map(|superblock| superblock.view);
        view.unwrap_or_default()
    }
}
