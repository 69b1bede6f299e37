use std::collections::{BTreeMap, BTreeSet, VecDeque};

use quorate_vsr::partition::{Facts, Message, RecordsHead, Replica, Timer};
use quorate_vsr::{Epoch, NodeId, Offset};

use super::disk::{Disk, Record};

/// What goes over the wire.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Wire {
    Message(Message),
    Records {
        head: RecordsHead,
        records: Vec<Record>,
    },
}

impl Wire {
    pub(crate) fn epoch(&self) -> Epoch {
        match self {
            Self::Message(message) => message.epoch(),
            Self::Records { head, .. } => head.epoch,
        }
    }
}

/// A node, running or not.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Node {
    Down(Disk),
    Up(Box<Process>),
}

/// A running node: the replica and the duties that its driver has not yet done.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Process {
    pub(crate) replica: Replica,
    pub(crate) disk: Disk,
    /// The log as it is read, with what is not on the disk yet.
    pub(crate) log: Vec<Record>,
    /// Facts on their way to the disk, oldest first.
    pub(crate) facts: VecDeque<Facts>,
    /// The cut that is under way.
    pub(crate) cut: Option<Offset>,
    /// What is to be sent to whom as soon as there is room.
    pub(crate) wishes: BTreeMap<NodeId, (Epoch, Offset)>,
    pub(crate) timers: BTreeSet<Timer>,
    /// The newest epoch that the control plane has told this process of.
    pub(crate) told: Epoch,
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
            log: disk.log.clone(),
            disk,
            facts: VecDeque::new(),
            cut: None,
            wishes: BTreeMap::new(),
            timers: BTreeSet::new(),
            told: Epoch(0),
        }
    }

    /// Whether records wait for the disk.
    pub(crate) fn has_unsynced(&self) -> bool {
        self.disk.log.len() < self.log.len()
    }
}
