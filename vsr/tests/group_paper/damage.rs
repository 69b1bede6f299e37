//! What a disk gives back is not always what it was given. Nothing that was committed gets lost by
//! that as long as one sound copy of it is left, and whoever can go on does.

#[path = "damage/checkpoint.rs"]
mod checkpoint;
#[path = "damage/entry.rs"]
mod entry;
#[path = "damage/membership.rs"]
mod membership;
#[path = "damage/uncertain_end.rs"]
mod uncertain_end;

use quorate_vsr::NodeId;
use quorate_vsr::group::Timer;

use crate::group::{Group, node};

impl Group {
    fn entries(&self, node: NodeId) -> Vec<u64> {
        let journal = &self.members[&node].disk.journal;
        journal.iter().map(|entry| entry.op.0).collect()
    }

    fn faulty(&self, node: NodeId) -> Vec<u64> {
        self.replica(node).faulty_ops().map(|op| op.0).collect()
    }

    fn running(&self) -> Vec<NodeId> {
        let running = self.members.iter().filter(|(_, it)| it.replica.is_some());
        running.map(|(node, _)| *node).collect()
    }

    /// Lets so many timers run out that a group that can go on does.
    fn persevere(&mut self) {
        for _ in 0..8 {
            for node in self.running() {
                if !self.cut.contains(&node) {
                    self.fire(node, Timer::PrimarySilent);
                    self.fire(node, Timer::ViewChangeStalled);
                }
            }
            self.settle();
            let is_led = |node: &NodeId| self.replica(*node).is_primary();
            if self.running().iter().any(is_led) {
                return;
            }
        }
    }

    fn has_primary(&self) -> bool {
        let mut running = self.running().into_iter();
        running.any(|node| self.replica(node).is_primary())
    }

    /// Everybody who runs has executed the same, is whole, and takes part.
    fn assert_whole(&mut self, expected: &[&str]) {
        self.settle();
        for node in self.running() {
            assert_eq!(self.executed(node), expected, "{node:?}");
            assert!(!self.replica(node).is_damaged(), "{node:?}");
        }
    }
}

/// Three voters that have agreed on "a" to "d", and are down.
fn of_three_at_rest() -> (Group, NodeId, Vec<NodeId>) {
    let mut group = Group::of_three();
    let (primary, backups) = (group.primary(), group.backups());
    for text in ["a", "b", "c", "d"] {
        group.propose(text);
        group.run();
    }
    group.settle();
    for id in 1..=3 {
        assert_eq!(group.entries(node(id)), [1, 2, 3, 4]);
        group.crash(node(id));
    }
    (group, primary, backups)
}
