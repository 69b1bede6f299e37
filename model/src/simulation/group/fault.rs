//! What goes wrong, and where.
//!
//! A kind of fault is a variant here and a file below. How often each comes is drawn for each run.

mod crash;
mod cut;
mod damage;
mod depose;
mod lost_disk;
mod pause;

use super::world::{Happening, World};

pub(crate) use damage::Extent;

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// A node loses everything that is not on its disk, and starts again later.
    Crash,
    /// All nodes do.
    CrashAll,
    /// Nothing of one node reaches another one.
    Cut,
    /// Nothing reaches a node, and nothing leaves it.
    Isolate,
    /// The nodes fall into two halves.
    Halve,
    /// A node is heard, and hears nobody.
    Deafen,
    /// The primary is isolated, and the others start anew and go on without it at once.
    Depose,
    /// All links are whole again.
    Mend,
    /// A node does nothing for a while, and does not notice.
    Pause,
    /// A disk writes nothing for a while.
    Hang,
    /// A node comes back with a blank disk.
    LoseDisk,
}

impl Fault {
    pub(crate) const ALL: [Self; 11] = [
        Self::Crash,
        Self::CrashAll,
        Self::Cut,
        Self::Isolate,
        Self::Halve,
        Self::Deafen,
        Self::Depose,
        Self::Mend,
        Self::Pause,
        Self::Hang,
        Self::LoseDisk,
    ];
}

impl World {
    /// One fault, and the next one later.
    pub(crate) fn fault(&mut self) {
        if self.is_calm() {
            return;
        }
        if let Some(fault) = self.draw_fault() {
            let at = self.target();
            match fault {
                Fault::Crash => self.crash(at),
                Fault::CrashAll => self.crash_all(),
                Fault::Cut => self.cut(at),
                Fault::Isolate => self.isolate(at),
                Fault::Halve => self.halve(),
                Fault::Deafen => self.deafen(at),
                Fault::Depose => self.depose(),
                Fault::Mend => self.mend_links(),
                Fault::Pause => self.pause(at),
                Fault::Hang => self.hang(at),
                Fault::LoseDisk => self.lose_disk(at),
            }
        }
        let gap = self.dice.between(1..=self.swarm.fault_gap);
        self.calendar.plan(gap, Happening::Fault);
    }

    fn draw_fault(&mut self) -> Option<Fault> {
        if !self.network.is_whole() && self.dice.happens(400) {
            return Some(Fault::Mend);
        }
        let total: u32 = self.swarm.faults.iter().sum();
        if total == 0 {
            return None;
        }
        let mut drawn = self.dice.below(total as usize) as u32;
        let weights = self.swarm.faults.iter().zip(Fault::ALL);
        for (weight, fault) in weights {
            if drawn < *weight {
                return Some(fault);
            }
            drawn -= weight;
        }
        None
    }

    /// Where something goes wrong: often where it hurts.
    fn target(&mut self) -> usize {
        let any = self.dice.below(self.nodes.len());
        let views = self.nodes.iter().enumerate().filter_map(|(at, node)| {
            let replica = node.replica.as_ref()?;
            Some((replica.view(), replica.is_primary(), at))
        });
        let Some((_, _, latest)) = views.max() else {
            return any;
        };
        match self.dice.below(8) {
            0..4 => any,
            4..7 => latest,
            _ => (latest + 1) % self.nodes.len(),
        }
    }
}
