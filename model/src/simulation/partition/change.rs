//! Changes of the voters: the control plane takes them step by step, gives them up, and forgets
//! nothing of what it owes the protocol.

use quorate_vsr::partition::ChangeProgress;
use quorate_vsr::{NodeId, quorum};

use super::control::Assignment;
use super::sometimes::Sometimes;
use super::world::World;

impl World {
    /// Takes the next step of a change, whatever that is.
    pub(crate) fn change_voters(&mut self) {
        let last = self.last_assignment().clone();
        if !last.previous.is_empty() {
            self.go_on_from_joint(last);
        } else if last.learners.is_empty() || self.dice.happens(200) {
            self.begin_change(last);
        } else {
            self.begin_joint(last);
        }
    }

    fn begin_change(&mut self, last: Assignment) {
        let target = self.draw_voters(&last);
        let is_new = |node: &&NodeId| !last.voters.contains(node);
        let learners: Vec<_> = target.iter().filter(is_new).copied().collect();
        self.target = target;
        if learners.is_empty() {
            self.begin_joint(last);
        } else {
            let Assignment { epoch, leader, .. } = last;
            let next = Assignment::new(epoch, leader, last.voters, Vec::new(), learners);
            self.assign_anyone(next);
        }
    }

    /// Nobody has to wait until the learners have caught up, or the change would merely take long.
    fn begin_joint(&mut self, last: Assignment) {
        if !self.leaves_enough_sound(&self.target) || self.target == last.voters {
            return;
        }
        let Assignment { epoch, leader, .. } = last;
        let next = Assignment::new(epoch, leader, self.target.clone(), last.voters, Vec::new());
        self.assign_anyone(next);
        self.tally.saw(Sometimes::JointBegan);
    }

    fn go_on_from_joint(&mut self, last: Assignment) {
        let Assignment { epoch, leader, .. } = last;
        if self.is_adopted() {
            self.end_change(last);
        } else if self.dice.happens(300) {
            self.tally.saw(Sometimes::ChangeGivenUp);
            let next = Assignment::new(epoch, leader, last.previous, Vec::new(), Vec::new());
            self.assign_anyone(next);
        } else if self.dice.happens(300) {
            let voters = self.draw_voters(&last);
            if self.leaves_enough_sound(&voters) {
                let next = Assignment::new(epoch, leader, voters, last.previous, Vec::new());
                self.assign_anyone(next);
            }
        }
    }

    /// The new voters are alone from here on.
    pub(crate) fn end_change(&mut self, last: Assignment) {
        let Assignment { epoch, leader, .. } = last;
        let next = Assignment::new(epoch, leader, last.voters, Vec::new(), Vec::new());
        self.assign_anyone(next);
        self.tally.saw(Sometimes::VotersChanged);
    }

    /// Whether some leader reports that the change is adopted, of an epoch since which nothing else
    /// was decided than who leads.
    pub(crate) fn is_adopted(&self) -> bool {
        let last = self.last_assignment();
        let since = self.assignments.iter().rev();
        let same = since.take_while(|other| other.voters == last.voters);
        let first = same.last().map_or(last.epoch, |first| first.epoch);
        let mut replicas = self.nodes.iter().filter_map(|node| node.replica.as_ref());
        replicas.any(|replica| {
            let is_adopted = replica.change_progress() == Some(ChangeProgress::Adopted);
            is_adopted && replica.epoch() >= first
        })
    }

    fn draw_voters(&mut self, last: &Assignment) -> Vec<NodeId> {
        let mut voters = last.base().to_vec();
        for _ in 0..=self.dice.below(2) {
            let node = NodeId(self.dice.below(self.nodes.len()) as u16 + 1);
            if !voters.contains(&node) {
                voters.push(node);
                if self.dice.happens(700) {
                    voters.remove(self.dice.below(voters.len()));
                }
            } else if voters.len() > 1 {
                voters.retain(|other| *other != node);
            }
        }
        voters
    }

    /// Whether a majority of these disks is sound, so that the damage of the others loses nothing.
    pub(crate) fn leaves_enough_sound(&self, voters: &[NodeId]) -> bool {
        let is_sound = |node: &&NodeId| !self.nodes[usize::from(node.0) - 1].is_faulty();
        let sound = voters.iter().filter(is_sound).count();
        let is_enough = sound >= quorum::majority(voters.len()) || self.swarm.is_reckless;
        !voters.is_empty() && is_enough
    }

    /// A node that takes no part any more drops its records, and all that it has promised.
    pub(crate) fn drop_records(&mut self, at: usize) {
        let id = self.nodes[at].id;
        let last = self.last_assignment();
        let has_heard = self.nodes[at].heard == self.assignments.len();
        if !last.previous.is_empty() || last.names(id) || !has_heard || !self.nodes[at].is_up() {
            return;
        }
        self.crash(at);
        self.timeline
            .note(self.now, || format!("{id:?} drops its records"));
        self.nodes[at].begin_anew();
        self.ledger.on_begun_anew(at);
        self.tally.saw(Sometimes::RecordsDropped);
        self.start(at);
    }
}
