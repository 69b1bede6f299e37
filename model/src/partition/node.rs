use std::collections::{BTreeMap, BTreeSet, VecDeque};

use quorate_vsr::partition::{Facts, Message, RecordsHead, Replica, Timer};
use quorate_vsr::{Epoch, NodeId, Offset};

use super::disk::{Disk, Record};
use crate::interned::Interned;
use crate::thinned::Thinned;

/// What goes over the wire.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Wire {
    Message(Message),
    Records {
        head: RecordsHead,
        records: Vec<Record>,
        thinned: Thinned,
    },
    /// Records that take the place of damaged ones.
    Repair {
        base: Offset,
        records: Vec<Record>,
        thinned: Thinned,
        /// What the sender had claimed.
        compacted: Offset,
    },
}

impl Wire {
    /// The epoch before whose end this has to arrive, or it is not listened to.
    pub(crate) fn epoch(&self) -> Option<Epoch> {
        match self {
            Self::Message(Message::RequestRepair { .. }) | Self::Repair { .. } => None,
            Self::Message(message) => Some(message.epoch()),
            Self::Records { head, .. } => Some(head.epoch),
        }
    }
}

/// A node, running or not.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Node {
    pub(crate) disk: Interned<Disk>,
    pub(crate) process: Option<Process>,
    /// The latest epoch that others may take it to have promised to. Nothing of the node itself
    /// knows.
    pub(crate) vowed: Epoch,
}

/// A running node: the replica and the duties that its driver has not yet done.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Process {
    pub(crate) replica: Interned<Replica>,
    /// The log as it is read, with what is not on the disk yet.
    pub(crate) log: Vec<Record>,
    /// Facts on their way to the disk, oldest first.
    pub(crate) facts: VecDeque<Facts>,
    /// What is being written in the place of damaged records.
    pub(crate) rewriting: Option<(Offset, Vec<Record>, Thinned)>,
    /// The cut that is under way.
    pub(crate) cut: Option<Offset>,
    /// Where the log is to begin anew.
    pub(crate) anew: Option<Offset>,
    /// What is to be sent to whom as soon as there is room.
    pub(crate) wishes: BTreeMap<NodeId, (Epoch, Offset)>,
    pub(crate) timers: BTreeSet<Timer>,
    /// The newest epoch that the control plane has told this process of.
    pub(crate) told: Epoch,
}

impl Node {
    /// Whether records wait for the disk.
    pub(crate) fn has_unsynced(&self) -> bool {
        let process = self.process.as_ref();
        process.is_some_and(|process| self.disk.log.len() < process.log.len())
    }
}

impl Process {
    pub(crate) fn new(replica: Replica, disk: &Disk) -> Self {
        Self {
            replica: Interned::new(replica),
            log: disk.log.clone(),
            facts: VecDeque::new(),
            rewriting: None,
            cut: None,
            anew: None,
            wishes: BTreeMap::new(),
            timers: BTreeSet::new(),
            told: Epoch(0),
        }
    }
}
