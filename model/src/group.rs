//! The group of the control plane, as production runs it: [`quorate_vsr::group::Replica`].
//!
//! Three voters, one client with a session, and a state machine that notes what it is given. Before
//! anything is explored the group comes up once, undisturbed; what it has said until then has been
//! heard and is forgotten.

mod action;
mod disk;
mod effect;
mod node;
mod property;
mod state;

pub(crate) use action::Action;
pub(crate) use state::State;

use quorate_vsr::NodeId;
use quorate_vsr::group::{Config, DiskId, Limits, Timer};
use stateright::{Model, Property};

use state::Left;

/// The members; all of them vote.
pub(crate) const NODES: [NodeId; 3] = [NodeId(1), NodeId(2), NodeId(3)];

/// How much may happen.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// How many operations the primaries propose by themselves, in all.
    pub proposals: u8,
    /// Whether there is a client, which registers and asks for one operation, again and again.
    pub client: bool,
    /// How many timers run out in all.
    pub timeouts: u8,
    /// Which timers may.
    pub timers: &'static [Timer],
    /// How many messages a walk keeps in mind; a search keeps all of them.
    pub room: Option<usize>,
    /// How many crashes there are in all.
    pub crashes: u8,
    /// Whether a node that has crashed comes back.
    pub restarts: bool,
    /// Whether the disk takes its time, so that anything may happen between a write and its
    /// confirmation. If not, every write is confirmed in the step that asks for it.
    pub slow_disk: bool,
    /// Every how many operations there is a checkpoint.
    pub checkpoint_interval: u64,
    /// A driver that lies, to see whether the properties notice.
    pub lie: Option<Lie>,
}

/// What a wrong driver does. The check must find each of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lie {
    /// It confirms superblocks that are not on the disk.
    Superblocks,
    /// It confirms prepares that are not on the disk.
    Prepares,
}

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
        let left = Left {
            proposals: self.bounds.proposals,
            timeouts: self.bounds.timeouts,
            crashes: self.bounds.crashes,
        };
        vec![action::come_up(&self.bounds, left)]
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
    fn config(&self, me: NodeId) -> Config {
        let limits = Limits {
            checkpoint_interval: self.checkpoint_interval,
            ..Limits::default()
        };
        Config {
            me,
            disk: DiskId(0),
            founders: NODES.to_vec(),
            limits,
        }
    }
}
