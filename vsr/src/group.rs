//! The control-plane group: Viewstamped Replication with stable storage.

mod checkpoint;
mod client_table;
mod config;
mod effect;
mod event;
mod message;
mod prepare;
mod superblock;
mod timer;

pub use checkpoint::Checkpoint;
pub use client_table::{ClientTable, Session};
pub use config::{Config, Limits};
pub use effect::{Effect, Rejection};
pub use event::Event;
pub use message::Message;
pub use prepare::{Checksum, Content, Head, Prepare};
pub use superblock::Superblock;
pub use timer::Timer;

use crate::{NodeId, OpNumber, ViewNumber};

/// What a replica is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Status {
    /// Taking part in the view: preparing, acknowledging, committing.
    Normal,
    /// On the way into the view: its log is not settled, or this replica does not have it yet.
    ViewChange,
    /// Just started from its own disk; it has not heard from a primary yet.
    Recovering,
}

/// What the driver found on its disk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// The valid superblock; `None` on a disk that was never used.
    pub superblock: Option<Superblock>,
    /// The checkpoint that the superblock names; `None` if it names none or it cannot be read.
    pub checkpoint: Option<Checkpoint>,
    /// The prepares, in order and without a gap, each decoded without an error.
    pub journal: Vec<Prepare>,
    /// Whether prepares that may have been durable are missing from `journal`.
    ///
    /// A torn end (a write that was under way at the crash) is not damage: it was never
    /// acknowledged. If in doubt it is damage.
    pub is_damaged: bool,
}

/// One member of the group.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Replica {
    config: Config,
    view: ViewNumber,
    status: Status,
    commit_number: OpNumber,
}

impl Replica {
    /// A replica with what it finds on its disk; the first effects are pushed to `effects`.
    ///
    /// # Panics
    ///
    /// If the configuration is no group: see [`Config`].
    pub fn new(config: Config, recovered: Recovered, effects: &mut Vec<Effect>) -> Self {
        config.check();
        let _ = (recovered, effects);
        Self {
            config,
            view: ViewNumber(0),
            status: Status::Recovering,
            commit_number: OpNumber(0),
        }
    }

    /// Takes an event and pushes what follows from it to `effects`. Runs to completion, cannot fail.
    pub fn step(&mut self, event: Event, effects: &mut Vec<Effect>) {
        let _ = (event, effects);
    }

    /// The view in which the replica is.
    #[must_use]
    pub fn view(&self) -> ViewNumber {
        self.view
    }

    /// What the replica is doing.
    #[must_use]
    pub fn status(&self) -> Status {
        self.status
    }

    /// The primary of the replica's view, whether or not it is there.
    #[must_use]
    pub fn primary(&self) -> NodeId {
        self.config.primary(self.view)
    }

    /// Whether this replica is the primary, as far as it knows.
    #[must_use]
    pub fn is_primary(&self) -> bool {
        self.status == Status::Normal && self.primary() == self.config.me
    }

    /// The number of the last prepare in the journal.
    #[must_use]
    pub fn op_number(&self) -> OpNumber {
        self.commit_number
    }

    /// Up to where the journal is known to be committed.
    #[must_use]
    pub fn commit_number(&self) -> OpNumber {
        self.commit_number
    }

    /// Up to where the operations have been executed.
    #[must_use]
    pub fn executed(&self) -> OpNumber {
        self.commit_number
    }

    /// Whether the primary would take another operation now.
    #[must_use]
    pub fn has_room(&self) -> bool {
        true
    }
}
