//! The control plane: it gives out epochs, and nodes hear of them sooner or later.

use quorate_vsr::partition::Event;
use quorate_vsr::{Epoch, NodeId};

use super::sometimes::Sometimes;
use super::world::World;

impl World {
    /// Some node that is up leads from now on.
    pub(crate) fn assign(&mut self) {
        let count = self.nodes.len();
        let first = self.dice.below(count);
        let mut order = (first..first + count).map(|at| at % count);
        if let Some(at) = order.find(|at| self.nodes[*at].is_up()) {
            self.assign_to(self.nodes[at].id);
        }
    }

    pub(crate) fn assign_to(&mut self, leader: NodeId) {
        let epoch = Epoch(self.assignments.len() as u32 + 1);
        let now = self.now;
        self.timeline
            .note(now, || format!("{leader:?} is to lead {epoch:?}"));
        self.assignments.push((epoch, leader));
    }

    /// A node hears the next assignment that it has not heard, as the control plane's journal
    /// brings them.
    pub(crate) fn hear_news(&mut self, at: usize) -> bool {
        let next = self.nodes[at].heard;
        let is_new = self.nodes[at].is_up() && next < self.assignments.len();
        if is_new {
            self.hear(at, next);
        }
        is_new
    }

    /// A node hears some assignment, perhaps an old one or one from far ahead.
    pub(crate) fn hear_assignment(&mut self, at: usize) {
        if self.swarm.news_in_order {
            self.hear_news(at);
        } else if self.nodes[at].is_up() && !self.assignments.is_empty() {
            let index = self.dice.below(self.assignments.len());
            let is_late = index + 1 < self.nodes[at].heard;
            self.tally.saw_if(is_late, Sometimes::AssignmentLate);
            self.hear(at, index);
        }
    }

    fn hear(&mut self, at: usize, index: usize) {
        let node = &mut self.nodes[at];
        node.heard = node.heard.max(index + 1);
        let (epoch, leader) = self.assignments[index];
        let event = Event::Assign {
            epoch,
            leader,
            voters: self.voters.clone(),
            previous: Vec::new(),
            learners: Vec::new(),
        };
        self.step(at, event, &[]);
    }
}
