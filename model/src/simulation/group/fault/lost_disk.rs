//! Nodes that come back with another disk than the one that they had.

use std::mem;

use super::super::disk::Disk;
use super::super::sometimes::Sometimes;
use super::super::world::World;

impl World {
    /// A node comes back with a blank disk: it is another member from now on, and none of the group
    /// until an operator makes it one.
    pub(crate) fn lose_disk(&mut self, at: usize) {
        let stranger = self.stranger(self.nodes[at].id);
        let node = &mut self.nodes[at];
        let config = mem::replace(&mut node.config, stranger);
        let disk = mem::take(&mut node.disk);
        let is_borne = self.is_within_extent(at);
        let node = &mut self.nodes[at];
        let stranger = mem::replace(&mut node.config, config);
        node.disk = disk;
        if !is_borne {
            return;
        }
        self.crash(at);
        let node = &mut self.nodes[at];
        node.config = stranger;
        node.disk = Disk::default();
        let (now, id) = (self.calendar.now(), node.id);
        self.timeline
            .note(now, || format!("{id:?} has lost its disk"));
        self.checker.promises.forget(at);
        self.tally.saw(Sometimes::DiskLost);
    }
}
