//! The group of the control plane, as production runs it: [`quorate_vsr::group::Replica`].
//!
//! Some voters, one client with a session, and a state machine that notes what it is given. Before
//! anything is explored the group comes up once, undisturbed; what it has said until then has been
//! heard and is forgotten.

mod action;
mod bounds;
mod change;
mod disk;
mod effect;
mod lease;
mod ledger;
mod node;
mod rule;
mod state;
mod storage;

pub(crate) use action::Action;
pub use bounds::Bounds;
pub use change::Change;
pub(crate) use state::State;

use stateright::{Model, Property};

use crate::rule::{Judged, Rule};

/// The model.
#[derive(Clone, Debug)]
pub struct GroupModel {
    /// How far it goes.
    pub bounds: Bounds,
}

impl Model for GroupModel {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![action::come_up(&self.bounds)]
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

impl Judged for GroupModel {
    fn rules(&self) -> Vec<Rule<Self>> {
        rule::all(&self.bounds)
    }
}
