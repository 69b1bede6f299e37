//! Nodes come up and go down, and what they lead goes with them.

use quorate_vsr::NodeId;

use super::balance::fill_vacancies;
use super::operation::Move;
use super::{Catalog, NodeRecord, PartitionRecord};

impl Catalog {
    /// A node is there, with `disk`.
    ///
    /// Nothing happens if it is no member, or if it ought to hold what only another disk can hold,
    /// or if its disk was given up: see [`MemberRecord::disk`](super::MemberRecord::disk).
    pub(super) fn node_up(&mut self, record: NodeRecord, disk: u64) {
        let (id, is_named) = (record.id, self.is_named(record.id));
        let Some(member) = self.members.get_mut(&id) else {
            return;
        };
        if !member.may_run_on(disk, is_named) {
            return;
        }
        let member_before = member.clone();
        member.disk = Some(disk);
        member.control_address = record.control_address;
        let is_changed = *member != member_before;
        let before = self.nodes.insert(id, record);
        if !is_changed && before.as_ref() == self.nodes.get(&id) {
            return;
        }
        self.version += 1;
        // The earlier run of the node may have left appends behind that nobody knows of any more.
        // Its leaderships end here even if it gets them back, so that the present run never opens
        // a partition in an epoch that it cannot remember.
        let incarnation = self.nodes[&id].incarnation;
        let is_new = before.is_none_or(|before| before.incarnation != incarnation);
        self.fill_vacancies(|partition| is_new && partition.leader == id);
    }

    /// A node is gone, unless it has come up again meanwhile.
    pub(super) fn node_down(&mut self, id: NodeId, incarnation: u64) {
        let Some(record) = self.nodes.get_mut(&id) else {
            return;
        };
        if !record.is_alive || record.incarnation != incarnation {
            return;
        }
        record.is_alive = false;
        self.version += 1;
        self.fill_vacancies(|_| false);
    }

    /// Gives new leaders to all partitions whose leader is dead or may not lead, and to those that
    /// `is_vacant` names.
    pub(super) fn fill_vacancies(&mut self, is_vacant: impl Fn(&PartitionRecord) -> bool) {
        let alive = self.alive();
        let moves = fill_vacancies(self, |partition| {
            let leader = partition.leader;
            let leads = alive.contains(&leader) && partition.may_be_led_by(leader);
            !leads || is_vacant(partition)
        });
        self.carry_out(&moves);
    }

    /// Carries out those of `moves` that still fit.
    pub(super) fn move_leaders(&mut self, moves: &[Move]) {
        let is_alive = self.alive();
        let still_fits: Vec<_> = moves
            .iter()
            .filter(|step| {
                let leader = NodeId(step.leader);
                self.partitions
                    .get(&step.partition)
                    .is_some_and(|partition| {
                        partition.epoch.0 == step.epoch
                            && partition.leader != leader
                            && partition.may_be_led_by(leader)
                            && is_alive.contains(&leader)
                    })
            })
            .copied()
            .collect();
        if !still_fits.is_empty() {
            self.version += 1;
            self.carry_out(&still_fits);
        }
    }

    fn carry_out(&mut self, moves: &[Move]) {
        for step in moves {
            if let Some(partition) = self.partitions.get_mut(&step.partition) {
                partition.leader = NodeId(step.leader);
                partition.epoch = partition.epoch.next();
            }
        }
    }
}
