use std::collections::BTreeMap;

use super::choice::Choice;
use super::{Adopt, Follower, Promise};
use crate::{NodeId, Offset};

/// What a replica is in its partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// No part in the newest epoch: nothing was assigned yet, this node is no voter, or it led the
    /// epoch before it was restarted and must not go on.
    Idle,
    /// Obeys the leader of the epoch.
    Follower,
    /// Leads the epoch, open for appends or on the way there.
    Leader,
}

/// The role, with what it has to remember. Nothing of it outlives the epoch or the process.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Duty {
    Idle,
    Following(Stage),
    Leading(Leading),
}

/// How far a follower has come in its epoch.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Stage {
    /// The leader's log is not known. `asked` when an answer to `RequestPromise` is owed.
    Waiting { asked: bool },
    /// The own log was that of the epoch, and may have lost its end. `asked` once the leader was
    /// asked how far it reaches.
    Lost { asked: bool },
    /// The own log is to be cut to where it is a prefix of this one.
    Cutting(Adopt),
    /// The own log is a prefix of the leader's.
    Matched {
        opening_offset: Offset,
        leader_watermark: Offset,
        leader_start: Offset,
    },
}

/// What a leader remembers.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Leading {
    pub(super) phase: Phase,
    pub(super) resend_armed: bool,
    pub(super) commit_armed: bool,
    /// How often in a row `Timer::Resend` has run out with no majority to be heard.
    pub(super) silent_rounds: u8,
}

/// How far a leader has come; it goes from one to the next, and from reconciling back to promising
/// when the voter with the better log falls silent.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Phase {
    /// A majority shall promise. `asked` once the voters have been asked.
    Promising {
        asked: bool,
        promises: BTreeMap<NodeId, Promise>,
    },
    /// The own log shall become the chosen one. `pulling` while an answer to `Pull` is awaited.
    Reconciling { choice: Choice, pulling: bool },
    /// The own log is the chosen one; that it is shall become durable. Below `high_watermark`
    /// everything is known to be committed.
    Adopting { high_watermark: Offset },
    /// Taking appends.
    Open {
        opening_offset: Offset,
        followers: BTreeMap<NodeId, Follower>,
    },
}

impl Leading {
    pub(super) fn new() -> Self {
        Self {
            phase: Phase::promising(),
            resend_armed: false,
            commit_armed: false,
            silent_rounds: 0,
        }
    }
}

impl Phase {
    pub(super) fn promising() -> Self {
        Self::Promising {
            asked: false,
            promises: BTreeMap::new(),
        }
    }
}
