//! Who belongs to a group, and how much it may hold at once.

use crate::NodeId;

/// The members of a group, as one of them sees it, and its limits.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Config {
    /// This replica.
    pub me: NodeId,
    /// The members whose durable copies and votes count; in the order of their numbers.
    ///
    /// An odd number, because an even one tolerates no more failures than the odd one below it.
    pub voters: Vec<NodeId>,
    /// The members that follow without a vote.
    pub standbys: Vec<NodeId>,
    /// The limits.
    pub limits: Limits,
}

/// How much a group may hold at once.
///
/// They may differ between members without harm, except `clients_max`: which session is evicted is
/// part of the replicated state, so every member must have the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Limits {
    /// A checkpoint is taken at every operation whose number is a multiple of this. The journal
    /// reaches at most about twice as far beyond the last one that is durable.
    pub checkpoint_interval: u64,
    /// Operations that may be under way (in the journal, not yet executed) before the primary
    /// refuses further ones as [`Rejection::Busy`](super::Rejection::Busy).
    pub pipeline_max: usize,
    /// Client sessions that are remembered; the one that was idle longest is evicted for a new one.
    pub clients_max: usize,
    /// About how many bytes of operations one `NewState` carries (one operation always fits), and
    /// how many of a checkpoint one `CheckpointPiece` carries at most.
    pub state_transfer_bytes_max: usize,
    /// The largest checkpoint that is taken from another member. The state machine and the sessions
    /// of the clients must stay below it.
    pub checkpoint_bytes_max: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            checkpoint_interval: 1024,
            pipeline_max: 64,
            clients_max: 1024,
            state_transfer_bytes_max: 512 * 1024,
            checkpoint_bytes_max: 256 * 1024 * 1024,
        }
    }
}

impl Config {
    /// Whether `node` has a vote.
    #[must_use]
    pub fn is_voter(&self, node: NodeId) -> bool {
        self.voters.contains(&node)
    }

    /// Every other voter.
    pub(crate) fn other_voters(&self) -> impl Iterator<Item = NodeId> {
        self.voters.iter().copied().filter(|node| *node != self.me)
    }

    /// Every other member.
    pub(crate) fn others(&self) -> impl Iterator<Item = NodeId> {
        let members = self.voters.iter().chain(&self.standbys).copied();
        members.filter(|node| *node != self.me)
    }

    /// Asserts what whoever wrote the configuration has to make sure of.
    pub(crate) fn check(&self) {
        assert!(
            self.voters.len() % 2 == 1,
            "a group has an odd number of voters"
        );
        assert!(
            self.voters.is_sorted(),
            "voters take turns in the order of their numbers"
        );
        for (position, node) in self.voters.iter().chain(&self.standbys).enumerate() {
            let earlier = self.voters.iter().chain(&self.standbys).take(position);
            assert!(
                earlier.clone().all(|other| other != node),
                "{node:?} is a member twice"
            );
        }
        let members = || self.voters.iter().chain(&self.standbys);
        assert!(
            members().any(|node| *node == self.me),
            "a replica is a member of its own group"
        );
        assert!(
            self.limits.checkpoint_interval > 0,
            "a checkpoint is taken now and then"
        );
        assert!(
            self.limits.pipeline_max > 0,
            "one operation must be allowed under way"
        );
        assert!(self.limits.clients_max > 0, "one client must be allowed");
        assert!(
            self.limits.state_transfer_bytes_max > 0,
            "a piece of state has a byte"
        );
    }
}
