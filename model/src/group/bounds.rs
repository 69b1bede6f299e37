use std::fmt;

use quorate_vsr::group::{Config, DiskId, Limits, Timer};
use quorate_vsr::{NodeId, ViewNumber};

use super::change::Change;

/// How much may happen.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// How many nodes found the group; all of them vote.
    pub voters: u16,
    /// How many nodes there are; those behind the voters are strangers with disks of their own.
    pub nodes: u16,
    /// How many operations the primaries propose by themselves, in all.
    pub proposals: u8,
    /// How many operations the client asks for, one after the other, each again and again.
    pub requests: u8,
    /// Whether the client has its session from the start, or must register.
    pub is_registered: bool,
    /// How many reads there are in all. Without any, leases are over as soon as they begin.
    pub reads: u8,
    /// How many timers run out in all, leaving out those of leases.
    pub timeouts: u8,
    /// Which timers may.
    pub timers: &'static [Timer],
    /// How many crashes there are in all.
    pub crashes: u8,
    /// Which nodes may crash; all of them, if none is named.
    pub mortals: &'static [u16],
    /// How many disks of nodes that are down are lost, with all that was on them.
    pub lost_disks: u8,
    /// How many entries of journals become unreadable in all, on nodes that are down.
    pub damages: u8,
    /// By which steps the members may change.
    pub changes: &'static [Change],
    /// How many such steps the primaries take in all.
    pub steps: u8,
    /// How often a primary is asked to hand over, in all.
    pub transfers: u8,
    /// Who neither hears nor is heard in the first view, in the second one, and so on.
    pub cut: &'static [&'static [u16]],
    /// Whether what was said in the first view, before anything is explored, may arrive again.
    pub echoes: bool,
    /// Whether a node that has crashed comes back.
    pub restarts: bool,
    /// Whether the disk takes its time, so that anything may happen between a write and its
    /// confirmation. If not, every write is confirmed in the step that asks for it.
    pub slow_disk: bool,
    /// Every how many operations there is a checkpoint.
    pub checkpoint_interval: u64,
    /// How many messages a walk keeps in mind; a search keeps all of them.
    pub room: Option<usize>,
}

/// What may still happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Left {
    pub(super) proposals: u8,
    pub(super) reads: u8,
    pub(super) timeouts: u8,
    pub(super) crashes: u8,
    pub(super) lost_disks: u8,
    pub(super) damages: u8,
    pub(super) steps: u8,
    pub(super) transfers: u8,
}

impl Bounds {
    /// Three voters, to whom nothing happens.
    pub const NOTHING: Self = Self {
        voters: 3,
        nodes: 3,
        proposals: 0,
        requests: 0,
        is_registered: true,
        reads: 0,
        timeouts: 0,
        timers: &[Timer::PrimarySilent],
        crashes: 0,
        mortals: &[],
        lost_disks: 0,
        damages: 0,
        changes: &[],
        steps: 0,
        transfers: 0,
        cut: &[],
        echoes: false,
        restarts: true,
        slow_disk: false,
        checkpoint_interval: 1000,
        room: None,
    };

    pub(super) fn left(&self) -> Left {
        Left {
            proposals: self.proposals,
            reads: self.reads,
            timeouts: self.timeouts,
            crashes: self.crashes,
            lost_disks: self.lost_disks,
            damages: self.damages,
            steps: self.steps,
            transfers: self.transfers,
        }
    }

    /// Whether it matters how long leases last.
    pub(super) fn has_leases(&self) -> bool {
        self.reads > 0
    }

    /// Whether there is room for a change of views.
    pub(super) fn elects(&self) -> bool {
        let by_silence = self.timeouts > 1 && self.timers.contains(&Timer::PrimarySilent);
        by_silence || self.transfers > 0
    }

    /// Whether this node may crash.
    pub(super) fn is_mortal(&self, node: NodeId) -> bool {
        self.mortals.is_empty() || self.mortals.contains(&node.0)
    }

    /// Whether what one node says to the other in a view is lost for certain.
    pub(super) fn is_cut(&self, view: ViewNumber, from: NodeId, to: NodeId) -> bool {
        let turn = view.round() * u64::from(self.nodes) + u64::from(view.primary().0);
        let place = usize::try_from(turn)
            .ok()
            .and_then(|turn| turn.checked_sub(1));
        let cut = place.and_then(|place| self.cut.get(place));
        cut.is_some_and(|cut| cut.contains(&from.0) || cut.contains(&to.0))
    }

    /// What a node is told that starts with this disk.
    pub(super) fn config(&self, me: NodeId, disk: DiskId) -> Config {
        let limits = Limits {
            checkpoint_interval: self.checkpoint_interval,
            ..Limits::default()
        };
        Config {
            me,
            disk,
            founders: if disk == DiskId(0) {
                (1..=self.voters).map(NodeId).collect()
            } else {
                Vec::new()
            },
            limits,
        }
    }
}

impl fmt::Display for Left {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            proposals,
            reads,
            timeouts,
            crashes,
            lost_disks,
            damages,
            steps,
            transfers,
        } = self;
        write!(
            f,
            "{proposals} proposals, {reads} reads, {timeouts} timeouts, {crashes} crashes, \
             {lost_disks} lost disks, {damages} damages, {steps} changes of the members, \
             {transfers} transfers"
        )
    }
}
