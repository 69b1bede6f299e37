use std::collections::{BTreeMap, BTreeSet, VecDeque};

use quorate_vsr::ViewNumber;
use quorate_vsr::group::{Checkpoint, DiskId, Prepare, Replica, Superblock, Timer};

use super::disk::Disk;
use crate::interned::Interned;
use crate::order::Begun;

/// A node, running or not.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Node {
    pub(crate) disk: Interned<Disk>,
    pub(crate) process: Option<Process>,
    /// How often it was started again.
    pub(crate) restarts: u8,
    /// The latest view that others may take it to have promised. Nothing of the node itself knows.
    pub(crate) vowed: ViewNumber,
}

/// A running node: the replica, its state machine, and the writes that are under way.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Process {
    pub(crate) replica: Interned<Replica>,
    /// The operations that were executed.
    pub(crate) machine: Vec<u8>,
    /// Writes that were asked for and not confirmed, oldest first.
    pub(crate) prepares: VecDeque<Write>,
    pub(crate) superblocks: VecDeque<Superblock>,
    pub(crate) checkpoints: VecDeque<Checkpoint>,
    pub(crate) timers: BTreeSet<Timer>,
    /// The reads that were not answered, and when they began.
    pub(crate) reads: BTreeMap<u64, Begun>,
}

/// A write to the journal.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Write {
    /// At the end of what is there.
    Append(Prepare),
    /// In the place of what cannot be read.
    Mend(Prepare),
}

impl Write {
    pub(crate) fn prepare(&self) -> &Prepare {
        match self {
            Self::Append(prepare) | Self::Mend(prepare) => prepare,
        }
    }

    pub(crate) fn reach(self, disk: &mut Disk) {
        match self {
            Self::Append(prepare) => disk.write(prepare),
            Self::Mend(prepare) => disk.mend(prepare),
        }
    }
}

impl Node {
    /// A node that has never been started, with a blank disk of this number.
    pub(crate) fn with_disk(id: DiskId) -> Self {
        let disk = Disk {
            id,
            ..Disk::default()
        };
        Self {
            disk: Interned::new(disk),
            ..Self::default()
        }
    }
}

impl Process {
    pub(crate) fn new(replica: Interned<Replica>) -> Self {
        Self {
            replica,
            machine: Vec::new(),
            prepares: VecDeque::new(),
            superblocks: VecDeque::new(),
            checkpoints: VecDeque::new(),
            timers: BTreeSet::new(),
            reads: BTreeMap::new(),
        }
    }

    pub(crate) fn is_writing(&self) -> bool {
        !self.prepares.is_empty() || !self.superblocks.is_empty() || !self.checkpoints.is_empty()
    }
}
