//! Disks that do not give back what they were given, as is found at a start.

use quorate_vsr::group::Member;

use super::super::sometimes::Sometimes;
use super::super::world::World;

/// How much may be damaged in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extent {
    /// One disk at a time.
    OneDisk,
    /// Disks of any members, as long as all together still hold what was acknowledged, and a
    /// majority knows what it has promised.
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
        if self.dice.happens(400) {
            self.lose_checkpoint(at);
        }
        if self.dice.happens(700) {
            self.lose_entries(at);
        }
        if self.dice.happens(300) {
            self.lose_end(at);
        }
        let damaged = self.nodes.iter().filter(|node| !node.disk.is_whole());
        let tally = &mut self.tally;
        tally.saw_if(damaged.count() > 1, Sometimes::SeveralDamaged);
    }

    fn lose_checkpoint(&mut self, at: usize) {
        let before = self.nodes[at].disk.clone();
        if !self.nodes[at].disk.lose_checkpoint() {
            return;
        }
        if self.is_within_extent(at) {
            self.saw_damage(at, "its checkpoint", Sometimes::CheckpointDamaged);
        } else {
            self.nodes[at].disk = before;
        }
    }

    /// Loses entries although they were durable: some of them, with others after them.
    fn lose_entries(&mut self, at: usize) {
        let chance = self.dice.pick(&[100, 400, 900]);
        let mut lost = Vec::new();
        for op in self.nodes[at].disk.inner_entries() {
            if !self.dice.happens(chance) {
                continue;
            }
            self.nodes[at].disk.lose_entry(op);
            if self.is_within_extent(at) {
                lost.push(op);
            } else {
                self.nodes[at].disk.regain_entry();
            }
        }
        if !lost.is_empty() {
            self.saw_damage(at, &format!("{lost:?}"), Sometimes::EntriesDamaged);
        }
    }

    fn lose_end(&mut self, at: usize) {
        let before = self.nodes[at].disk.clone();
        self.nodes[at].disk.lose_end(&mut self.dice);
        if self.is_within_extent(at) {
            self.saw_damage(at, "the end of its journal", Sometimes::EndDamaged);
        } else {
            self.nodes[at].disk = before;
        }
    }

    fn saw_damage(&mut self, at: usize, lost: &str, row: Sometimes) {
        let (now, id) = (self.calendar.now(), self.nodes[at].id);
        self.timeline
            .note(now, || format!("{id:?} cannot read {lost} any more"));
        self.tally.saw(row);
    }

    /// Whether no more is damaged, now that the disk of this node is, than may be.
    pub(super) fn is_within_extent(&self, at: usize) -> bool {
        let everybody = self.everybody();
        match self.swarm.extent {
            Extent::OneDisk => {
                let is_whole = |member: Member| {
                    let other = usize::from(member.node.0) - 1;
                    other == at || (self.has_disk(member) && self.nodes[other].disk.is_whole())
                };
                let mut live = self.checker.agreement.members.live();
                self.is_recoverable(everybody) && live.all(|it| it.members().all(is_whole))
            }
            Extent::AllButOneCopy => self.is_recoverable(everybody),
            Extent::Anything => true,
        }
    }
}
