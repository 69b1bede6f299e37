use std::fmt::Display;
use std::hash::Hash;

use stateright::{Expectation, Model, Property};

/// What must hold in every state, or must be possible.
#[derive(Debug)]
pub struct Rule<M: Model> {
    /// Its name.
    pub name: &'static str,
    /// What it means for a user.
    pub meaning: &'static str,
    /// Whether it must hold always, or sometimes.
    pub expectation: Expectation,
    /// Whether it holds in a state.
    pub condition: fn(&M, &M::State) -> bool,
}

impl<M: Model> Rule<M> {
    /// What must hold in every state.
    pub(crate) fn always(
        name: &'static str,
        meaning: &'static str,
        condition: fn(&M, &M::State) -> bool,
    ) -> Self {
        Self {
            name,
            meaning,
            expectation: Expectation::Always,
            condition,
        }
    }

    /// What must be reached, or the bounds are too narrow to prove anything.
    pub(crate) fn sometimes(name: &'static str, condition: fn(&M, &M::State) -> bool) -> Self {
        Self {
            name,
            meaning: "the bounds are wide enough for this to happen",
            expectation: Expectation::Sometimes,
            condition,
        }
    }

    pub(crate) fn property(self) -> Property<M> {
        Property {
            expectation: self.expectation,
            name: self.name,
            condition: self.condition,
        }
    }
}

/// A model with rules, whose steps and states can be told.
pub trait Judged: Model<State: Told, Action: Taken> + Clone + Send + Sync + 'static {
    /// The rules.
    fn rules(&self) -> Vec<Rule<Self>>;
}

/// A state that can be compared, and told on a page: its `Debug` says what matters, in words.
pub trait Told: Clone + PartialEq + Hash + std::fmt::Debug + Send + Sync + 'static {
    /// What the step that led here did wrong, if it did.
    fn what_is_broken(&self) -> Option<&str>;
}

/// A step that can be told in a line.
pub trait Taken: Clone + PartialEq + Display + std::fmt::Debug + Send + Sync + 'static {
    /// Whether it is used up early if a walk takes it as often as any other, so that nothing is
    /// left for later.
    fn is_rare(&self) -> bool;
}
