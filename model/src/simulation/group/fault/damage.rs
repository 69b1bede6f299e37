//! Disks that do not give back what they were given, as is found at a start.

use super::super::sometimes::Sometimes;
use super::super::world::World;

/// How much may be damaged in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extent {
    /// One disk at a time.
    OneDisk,
    /// Disks of any members, as long as all together still hold what was acknowledged.
    AllButOneCopy,
    /// Anything but the promises. Then the group may have to wait for ever.
    Anything,
}

impl World {
    /// Damages a disk now and then, before its node starts from it.
    pub(crate) fn damage(&mut self, at: usize) {
        let is_due = !self.is_calm() && self.dice.happens(self.swarm.damage);
        if !is_due || !self.nodes[at].disk.is_used() {
            return;
        }
        let before = self.nodes[at].disk.clone();
        let dice = &mut self.dice;
        let disk = &mut self.nodes[at].disk;
        let loses_checkpoint = dice.happens(400) && disk.lose_checkpoint();
        let loses_entries = dice.happens(700) && disk.lose_entries(dice);
        let loses_end = dice.happens(300);
        if loses_end {
            disk.lose_end(dice);
        }
        if !self.is_within_extent(at) {
            self.nodes[at].disk = before;
            return;
        }
        let (now, id) = (self.calendar.now(), self.nodes[at].id);
        self.timeline.note(now, || format!("{id:?} is damaged"));
        let tally = &mut self.tally;
        tally.saw_if(loses_entries, Sometimes::EntriesDamaged);
        tally.saw_if(loses_end, Sometimes::EndDamaged);
        tally.saw_if(loses_checkpoint, Sometimes::CheckpointDamaged);
        let damaged = self.nodes.iter().filter(|node| !node.disk.is_whole());
        let tally = &mut self.tally;
        tally.saw_if(damaged.count() > 1, Sometimes::SeveralDamaged);
    }

    fn is_within_extent(&self, at: usize) -> bool {
        let everybody = (1 << self.nodes.len()) - 1;
        match self.swarm.extent {
            Extent::OneDisk => {
                let mut others = (0..self.nodes.len()).filter(|other| *other != at);
                self.is_recoverable(everybody)
                    && others.all(|other| self.nodes[other].disk.is_whole())
            }
            Extent::AllButOneCopy => self.is_recoverable(everybody),
            Extent::Anything => true,
        }
    }
}
