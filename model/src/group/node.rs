use std::collections::{BTreeSet, VecDeque};

use quorate_vsr::group::{Checkpoint, Prepare, Replica, Superblock, Timer};

use super::disk::Disk;

/// A node, running or not.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Node {
    Down(Disk),
    Up(Box<Process>),
}

/// A running node: the replica, its state machine, and the writes that are under way.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Process {
    pub(crate) replica: Replica,
    pub(crate) disk: Disk,
    /// The operations that were executed.
    pub(crate) machine: Vec<u8>,
    /// Writes that were asked for and not confirmed, oldest first.
    pub(crate) prepares: VecDeque<Prepare>,
    pub(crate) superblocks: VecDeque<Superblock>,
    pub(crate) checkpoints: VecDeque<Checkpoint>,
    pub(crate) timers: BTreeSet<Timer>,
}

impl Node {
    pub(crate) fn disk(&self) -> &Disk {
        match self {
            Self::Down(disk) => disk,
            Self::Up(process) => &process.disk,
        }
    }

    pub(crate) fn process(&self) -> Option<&Process> {
        match self {
            Self::Down(_) => None,
            Self::Up(process) => Some(process),
        }
    }
}

impl Process {
    pub(crate) fn new(replica: Replica, disk: Disk) -> Self {
        Self {
            replica,
            disk,
            machine: Vec::new(),
            prepares: VecDeque::new(),
            superblocks: VecDeque::new(),
            checkpoints: VecDeque::new(),
            timers: BTreeSet::new(),
        }
    }
}
