use quorate_vsr::group::{Checkpoint, Prepare, Recovered, Superblock};

/// What a crash leaves.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Disk {
    pub(crate) superblock: Option<Superblock>,
    pub(crate) journal: Vec<Prepare>,
    /// The checkpoint that the superblock names, and the one that may follow it.
    pub(crate) checkpoints: Vec<Checkpoint>,
}

impl Disk {
    /// A prepare takes the place of whatever stands at its number or above.
    pub(crate) fn write(&mut self, prepare: Prepare) {
        self.journal.retain(|other| other.op < prepare.op);
        self.journal.push(prepare);
    }

    /// What recovery reads.
    pub(crate) fn recovered(&self) -> Recovered {
        let named = self
            .superblock
            .as_ref()
            .map(|superblock| superblock.checkpoint);
        let is_named = |checkpoint: &&Checkpoint| Some(checkpoint.head()) == named;
        Recovered {
            superblock: self.superblock.clone(),
            checkpoint: self.checkpoints.iter().find(is_named).cloned(),
            journal: self.journal.clone(),
            is_tail_uncertain: false,
        }
    }

    /// Whether this disk holds the prepare, or a checkpoint that covers it.
    pub(crate) fn holds(&self, prepare: &Prepare) -> bool {
        let named = self
            .superblock
            .as_ref()
            .map_or(0, |superblock| superblock.checkpoint.op.0);
        prepare.op.0 <= named || self.journal.contains(prepare)
    }
}
