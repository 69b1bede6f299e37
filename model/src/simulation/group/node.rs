//! One member: the replica under test, its disk, its state machine, its clock.

use quorate_vsr::NodeId;
use quorate_vsr::group::{Config, Member, Replica};

use super::clock::Clock;
use super::disk::Disk;
use super::machine::Machine;

#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) id: NodeId,
    pub(crate) config: Config,
    /// `None` while the node is down.
    pub(crate) replica: Option<Replica>,
    pub(crate) disk: Disk,
    pub(crate) machine: Machine,
    pub(crate) clock: Clock,
    /// Counts crashes, so that completions of an earlier life are not reported in a later one.
    pub(crate) life: u32,
    /// How long a write takes at most.
    pub(crate) write_max: u64,
    /// Until then it does nothing, and its timers have run out when it goes on.
    pub(crate) paused_until: u64,
    /// Until then nothing reaches its disk.
    pub(crate) hung_until: u64,
}

impl Node {
    pub(crate) fn new(config: Config, disk: Disk, clock: Clock, write_max: u64) -> Self {
        Self {
            id: config.me,
            config,
            replica: None,
            disk,
            machine: Machine::default(),
            clock,
            life: 0,
            write_max,
            paused_until: 0,
            hung_until: 0,
        }
    }

    /// The node with the disk that it has now; a disk that was used says which one it is.
    pub(crate) fn member(&self) -> Member {
        let superblock = self.disk.superblock();
        Member {
            node: self.id,
            disk: superblock.map_or(self.config.disk, |superblock| superblock.disk),
        }
    }

    pub(crate) fn is_up(&self) -> bool {
        self.replica.is_some()
    }

    pub(crate) fn is_primary(&self) -> bool {
        self.replica.as_ref().is_some_and(Replica::is_primary)
    }
}
