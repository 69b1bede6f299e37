//! The control plane: it gives out epochs, and nodes hear of them sooner or later.

use quorate_vsr::partition::Event;
use quorate_vsr::quorum::Electorate;
use quorate_vsr::{Epoch, NodeId};

use super::sometimes::Sometimes;
use super::world::World;

/// What was decided for one epoch.
#[derive(Clone, Debug)]
pub(crate) struct Assignment {
    pub(crate) epoch: Epoch,
    pub(crate) leader: NodeId,
    pub(crate) voters: Vec<NodeId>,
    pub(crate) previous: Vec<NodeId>,
    pub(crate) learners: Vec<NodeId>,
    pub(crate) electorate: Electorate,
}

impl Assignment {
    pub(crate) fn new(
        epoch: Epoch,
        leader: NodeId,
        voters: Vec<NodeId>,
        previous: Vec<NodeId>,
        learners: Vec<NodeId>,
    ) -> Self {
        let electorate = Electorate::new(voters.clone(), previous.clone());
        Self {
            epoch,
            leader,
            voters,
            previous,
            learners,
            electorate,
        }
    }

    /// Those who hold all that was committed in older epochs.
    pub(crate) fn base(&self) -> &[NodeId] {
        if self.previous.is_empty() {
            &self.voters
        } else {
            &self.previous
        }
    }

    pub(crate) fn names(&self, node: NodeId) -> bool {
        self.electorate.contains(node) || self.learners.contains(&node)
    }
}

impl World {
    pub(crate) fn last_assignment(&self) -> &Assignment {
        let last = self.assignments.last();
        last.expect("the first epoch is given out at the beginning")
    }

    /// Some voter that is up leads from now on.
    pub(crate) fn assign(&mut self) {
        let last = self.last_assignment().clone();
        self.assign_anyone(last);
    }

    /// A leader has resigned: somebody else has to lead.
    pub(crate) fn replace_resigned(&mut self) -> bool {
        let resigned = self.resigned.take();
        let is_last = resigned == Some(self.last_assignment().epoch);
        if is_last {
            self.assign();
        }
        is_last
    }

    /// Gives out an epoch that is like `wanted` and led by some voter that is up.
    pub(crate) fn assign_anyone(&mut self, wanted: Assignment) {
        let count = self.nodes.len();
        let first = self.dice.below(count);
        let mut order = (first..first + count).map(|at| at % count);
        let may_lead = |at: &usize| {
            let node = &self.nodes[*at];
            let is_well = self.is_calm_at(*at) || !self.is_calm();
            node.is_up() && is_well && wanted.electorate.contains(node.id)
        };
        if let Some(at) = order.find(may_lead) {
            let leader = self.nodes[at].id;
            self.assign_to(leader, wanted);
        }
    }

    pub(crate) fn assign_to(&mut self, leader: NodeId, wanted: Assignment) {
        let epoch = Epoch(self.assignments.len() as u32 + 1);
        let assignment = Assignment {
            epoch,
            leader,
            ..wanted
        };
        self.timeline
            .note(self.now, || format!("is decided: {assignment:?}"));
        self.assignments.push(assignment);
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

    pub(crate) fn hear(&mut self, at: usize, index: usize) {
        let node = &mut self.nodes[at];
        node.heard = node.heard.max(index + 1);
        let assignment = &self.assignments[index];
        let event = Event::Assign {
            epoch: assignment.epoch,
            leader: assignment.leader,
            voters: assignment.voters.clone(),
            previous: assignment.previous.clone(),
            learners: assignment.learners.clone(),
        };
        self.step(at, event, &[]);
    }
}
