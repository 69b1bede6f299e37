//! The partition protocol, as production runs it: [`quorate_vsr::partition::Replica`].
//!
//! The control plane has decided some epochs and tells of them whenever it likes. The driver around
//! each replica is modelled by what its contract allows: facts and records reach the disk some time
//! after they were asked for, and a crash keeps any part of what was not yet confirmed. Records are
//! numbered, so that logs can be compared by what they hold and not by what the replicas believe of
//! them.

mod action;
mod bounds;
mod disk;
mod effect;
mod node;
mod rule;
mod state;
mod storage;

pub(crate) use action::Action;
pub use bounds::{Assignment, Bounds};
pub(crate) use state::State;

use stateright::{Model, Property};

use crate::rule::{Judged, Rule};

/// The model.
#[derive(Clone, Debug)]
pub struct PartitionModel {
    /// How far it goes.
    pub bounds: Bounds,
}

impl Model for PartitionModel {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State::new(self.bounds.nodes, self.bounds.left())]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        action::possible(&self.bounds, state, actions);
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        action::take(&self.bounds, last, &action)
    }

    fn format_step(&self, last: &State, action: Action) -> Option<String> {
        let next = self.next_state(last, action)?;
        Some(format!("{next:#?}"))
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let rules = self.rules().into_iter();
        rules.map(Rule::property).collect()
    }
}

impl Judged for PartitionModel {
    fn rules(&self) -> Vec<Rule<Self>> {
        rule::all(&self.bounds)
    }
}
