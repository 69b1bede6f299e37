//! The partition protocol, as production runs it: [`quorate_vsr::partition::Replica`].
//!
//! Three voters. The control plane has given out some epochs and tells of them whenever it likes.
//! The driver around each replica is modelled by what its contract allows: facts and records reach
//! the disk some time after they were asked for, and a crash keeps any part of what was not yet
//! confirmed. Records are numbered, so that logs can be compared by what they hold and not by what
//! the replicas believe of them.

mod action;
mod disk;
mod effect;
mod node;
mod property;
mod state;

pub(crate) use action::Action;
pub(crate) use state::State;

use quorate_vsr::{Epoch, NodeId};
use stateright::{Model, Property};

use state::Left;

/// The nodes; all of them hold the partition.
pub(crate) const NODES: [NodeId; 3] = [NodeId(1), NodeId(2), NodeId(3)];

/// How much may happen.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Who leads epoch 1, epoch 2 and so on.
    pub leaders: &'static [u16],
    /// How many records are appended in all.
    pub appends: u8,
    /// How many messages a walk keeps in mind; a search keeps all of them.
    pub room: Option<usize>,
    /// How many crashes there are in all.
    pub crashes: u8,
    /// How many timers run out in all.
    pub timeouts: u8,
    /// Whether a node that has crashed comes back.
    pub restarts: bool,
    /// Whether the disk takes its time, so that anything may happen between a write and its
    /// confirmation. If not, every write is confirmed in the step that asks for it.
    pub slow_disk: bool,
    /// Whether links take their time, so that anything may happen between the wish to send records
    /// and the reading of them.
    pub slow_links: bool,
    /// Whether followers hear from the control plane too, and not from their leader alone.
    pub followers_are_told: bool,
    /// A driver that lies, to see whether the properties notice.
    pub lie: Option<Lie>,
}

/// What a wrong driver does. The check must find each of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lie {
    /// It confirms facts that are not on the disk.
    Facts,
    /// It confirms records that are not on the disk.
    Records,
    /// It confirms a cut that is not on the disk.
    Cuts,
}

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
        let Bounds {
            appends,
            crashes,
            timeouts,
            ..
        } = self.bounds;
        vec![State::new(Left {
            appends,
            crashes,
            timeouts,
        })]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        action::possible(&self.bounds, state, actions);
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        action::take(&self.bounds, last, &action)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        property::all(&self.bounds)
    }
}

impl Bounds {
    fn epochs(&self) -> impl Iterator<Item = (Epoch, NodeId)> + use<> {
        let leaders = self.leaders;
        (1..).map(Epoch).zip(leaders.iter().map(|id| NodeId(*id)))
    }
}
