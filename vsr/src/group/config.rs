//! Which member of a group a replica is, and how much it may hold at once.

use super::DiskId;
use crate::NodeId;

/// What a replica is told when it starts.
///
/// Who belongs to the group is not among it: that is replicated like everything else, and begins
/// with those who found the group.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Config {
    /// The node of this replica.
    pub me: NodeId,
    /// The number of the disk if it is blank, drawn at random and not 0.
    ///
    /// A disk that was used knows its number, and one that founds has number 0.
    pub disk: DiskId,
    /// The nodes that found the group; empty if there is one already.
    ///
    /// Looked at only if the disk is blank, and counts only if `me` is among them. Naming them
    /// again on a node that has lost its disk would bring back a member that has forgotten what it
    /// promised, so a driver does it only when it is told that the group is new. An odd number,
    /// because an even one tolerates no more failures than the odd one below it.
    pub founders: Vec<NodeId>,
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
    /// Reads that wait at the primary before it refuses further ones as
    /// [`Rejection::Busy`](super::Rejection::Busy).
    pub reads_max: usize,
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
            reads_max: 1024,
            clients_max: 1024,
            state_transfer_bytes_max: 512 * 1024,
            checkpoint_bytes_max: 256 * 1024 * 1024,
        }
    }
}

impl Config {
    /// Asserts what whoever wrote the configuration has to make sure of.
    pub(crate) fn check(&self) {
        assert!(
            self.founders.is_empty() || self.founders.len() % 2 == 1,
            "a group is founded by an odd number of voters"
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
