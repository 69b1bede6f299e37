use std::fmt;

use quorate_vsr::{Epoch, NodeId};

/// How much may happen.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// How many nodes there are.
    pub nodes: u16,
    /// What the control plane decides: epoch 1, epoch 2 and so on.
    pub epochs: &'static [Assignment],
    /// How many records are appended in all.
    pub appends: u8,
    /// How many crashes there are in all.
    pub crashes: u8,
    /// How many disks lose the end of their log, of which they notice no more than that it may have
    /// been longer.
    pub losses: u8,
    /// How many records are damaged on a disk, below the end of its log.
    pub damages: u8,
    /// How often a leader lets records expire.
    pub expiries: u8,
    /// How often a node compacts its log.
    pub compactions: u8,
    /// How many timers run out in all.
    pub timeouts: u8,
    /// Whether a node that has crashed comes back.
    pub restarts: bool,
    /// Whether the disk takes its time, so that anything may happen between a write and its
    /// confirmation. If not, every write is confirmed in the step that asks for it.
    pub slow_disk: bool,
    /// Whether links take their time, so that anything may happen between the wish to send records
    /// and the reading of them.
    pub slow_links: bool,
    /// Whether followers hear from the control plane too, and not from their leader alone.
    pub followers_are_told: bool,
    /// How many messages a walk keeps in mind; a search keeps all of them.
    pub room: Option<usize>,
    /// Whether the driver lies: it confirms cuts that are not on the disk.
    pub lies: bool,
}

/// Who leads an epoch, and whose word counts in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Assignment {
    /// The leader.
    pub leader: u16,
    /// The voters.
    pub voters: &'static [u16],
    /// The voters whose place they take, if the epoch is joint.
    pub previous: &'static [u16],
    /// Who gets the records and counts for nothing.
    pub learners: &'static [u16],
    /// Who neither hears nor is heard in the epoch.
    pub cut: &'static [u16],
}

/// What may still happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Left {
    pub(crate) appends: u8,
    pub(crate) crashes: u8,
    pub(crate) losses: u8,
    pub(crate) damages: u8,
    pub(crate) expiries: u8,
    pub(crate) compactions: u8,
    pub(crate) timeouts: u8,
}

impl Assignment {
    /// An epoch of three voters, led by `leader`.
    #[must_use]
    pub const fn led_by(leader: u16) -> Self {
        Self {
            leader,
            voters: &[1, 2, 3],
            previous: &[],
            learners: &[],
            cut: &[],
        }
    }

    /// The same, with nodes that neither hear nor are heard in it.
    #[must_use]
    pub const fn without(self, cut: &'static [u16]) -> Self {
        Self { cut, ..self }
    }

    /// The voters who count at once when nothing comes of a change.
    fn base(&self) -> &'static [u16] {
        if self.previous.is_empty() {
            self.voters
        } else {
            self.previous
        }
    }
}

impl Bounds {
    /// Three nodes that nothing is asked of.
    pub const NOTHING: Self = Self {
        nodes: 3,
        epochs: &[],
        appends: 0,
        crashes: 0,
        losses: 0,
        damages: 0,
        expiries: 0,
        compactions: 0,
        timeouts: 0,
        restarts: true,
        slow_disk: false,
        slow_links: false,
        followers_are_told: false,
        room: None,
        lies: false,
    };

    pub(crate) fn epochs(&self) -> impl Iterator<Item = (Epoch, &'static Assignment)> + use<> {
        (1..).map(Epoch).zip(self.epochs)
    }

    pub(crate) fn assignment(&self, epoch: Epoch) -> Option<&'static Assignment> {
        self.epochs()
            .find(|(given, _)| *given == epoch)
            .map(|(_, found)| found)
    }

    /// Whether what one node says to the other in an epoch is lost for certain.
    pub(crate) fn is_cut(&self, epoch: Epoch, from: NodeId, to: NodeId) -> bool {
        let cut = self.assignment(epoch).map(|assignment| assignment.cut);
        cut.is_some_and(|cut| cut.contains(&from.0) || cut.contains(&to.0))
    }

    /// The joint epochs of which one must have been reported as adopted before the control plane
    /// gives out `epoch`; `None` if it needs no report.
    ///
    /// That is what it owes when the voters change for good: see the page of
    /// [`quorate_vsr::partition`].
    pub(crate) fn adopted_before(&self, epoch: Epoch) -> Option<Vec<Epoch>> {
        let mut earlier: Vec<_> = self
            .epochs()
            .take_while(|(given, _)| *given < epoch)
            .collect();
        let base = self.assignment(epoch)?.base();
        let (_, last) = earlier.last()?;
        if last.base() == base {
            return None;
        }
        earlier.reverse();
        let joint = earlier
            .into_iter()
            .take_while(|(_, assignment)| assignment.voters == base)
            .filter(|(_, assignment)| !assignment.previous.is_empty());
        Some(joint.map(|(epoch, _)| epoch).collect())
    }

    /// Whether not every node is a voter all the time.
    pub(crate) fn changes_voters(&self) -> bool {
        let is_complete = |assignment: &Assignment| {
            assignment.voters.len() == usize::from(self.nodes) && assignment.previous.is_empty()
        };
        !self.epochs.iter().all(is_complete)
    }

    pub(crate) fn left(&self) -> Left {
        Left {
            appends: self.appends,
            crashes: self.crashes,
            losses: self.losses,
            damages: self.damages,
            expiries: self.expiries,
            compactions: self.compactions,
            timeouts: self.timeouts,
        }
    }
}

/// The nodes of a list.
pub(crate) fn nodes(ids: &[u16]) -> Vec<NodeId> {
    ids.iter().copied().map(NodeId).collect()
}

impl fmt::Display for Left {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            appends,
            crashes,
            losses,
            damages,
            expiries,
            compactions,
            timeouts,
        } = self;
        write!(
            f,
            "{appends} appends, {expiries} expiries, {compactions} compactions, {timeouts} \
             timeouts, {crashes} crashes, {losses} losses, {damages} damages"
        )
    }
}
