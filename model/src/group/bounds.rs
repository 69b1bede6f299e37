use std::fmt;

use quorate_vsr::NodeId;
use quorate_vsr::group::{Config, DiskId, Limits, Timer};

/// How much may happen.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// How many members there are; all of them vote.
    pub voters: u16,
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
    /// How many entries of journals become unreadable in all, on nodes that are down.
    pub damages: u8,
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
    pub(super) damages: u8,
}

impl Bounds {
    /// Three voters, to whom nothing happens.
    pub const NOTHING: Self = Self {
        voters: 3,
        proposals: 0,
        requests: 0,
        is_registered: true,
        reads: 0,
        timeouts: 0,
        timers: &[Timer::PrimarySilent],
        crashes: 0,
        damages: 0,
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
            damages: self.damages,
        }
    }

    /// Whether it matters how long leases last.
    pub(super) fn has_leases(&self) -> bool {
        self.reads > 0
    }

    /// Whether there is room for a change of views.
    pub(super) fn elects(&self) -> bool {
        self.timeouts > 1 && self.timers.contains(&Timer::PrimarySilent)
    }

    pub(super) fn config(&self, me: NodeId) -> Config {
        let limits = Limits {
            checkpoint_interval: self.checkpoint_interval,
            ..Limits::default()
        };
        Config {
            me,
            disk: DiskId(0),
            founders: (1..=self.voters).map(NodeId).collect(),
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
            damages,
        } = self;
        write!(
            f,
            "{proposals} proposals, {reads} reads, {timeouts} timeouts, {crashes} crashes, \
             {damages} damages"
        )
    }
}
