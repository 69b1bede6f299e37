//! What can happen to a replica.

use super::{Checksum, Member, Membership, Message, Timer};
use crate::{NodeId, OpNumber};

/// Something that happened, for [`Replica::step`](super::Replica::step).
///
/// Any event is allowed in any state; one that does not fit is ignored.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// A message arrived. Messages may be lost, repeated and reordered.
    Message {
        /// Who sent it: its node, with the disk that it has. The driver knows that from the
        /// connection, not from the bytes.
        from: Member,
        /// The message.
        message: Message,
    },
    /// An armed timer ran out.
    Timeout(Timer),
    /// A client that has no session asks for one.
    ///
    /// `client` is a number that no other client has and that a client does not use again after it
    /// has lost count of its requests, in practice drawn at random at each start.
    Register {
        /// The client.
        client: u128,
    },
    /// A client asks for an operation.
    Request {
        /// The client.
        client: u128,
        /// Its session, from [`Effect::ReplyRegistered`](super::Effect::ReplyRegistered).
        session: u64,
        /// Counts the client's requests from 1; a repetition carries the same number.
        request_number: u64,
        /// What to do, opaque to the group.
        operation: Vec<u8>,
    },
    /// The node itself asks for an operation, without a session and so without at-most-once.
    ///
    /// Dropped when the replica is not the primary or has no room (see
    /// [`Replica::has_room`](super::Replica::has_room)), and lost if the view ends before it is
    /// committed: the driver proposes again what its state still calls for.
    Propose {
        /// What to do, opaque to the group.
        operation: Vec<u8>,
    },
    /// Somebody wants to know the state, as it is now or later.
    ///
    /// Answered by [`Effect::ReadReady`](super::Effect::ReadReady) or
    /// [`Effect::RejectRead`](super::Effect::RejectRead), perhaps much later and perhaps, if the
    /// process ends, never.
    Read {
        /// Tells this read from the others of the driver.
        read: u64,
    },
    /// Other members are to belong to the group.
    ///
    /// Dropped when [`Replica::may_reconfigure`](super::Replica::may_reconfigure) has something
    /// against it, and lost if the view ends before it is committed: the driver looks at
    /// [`Replica::membership`](super::Replica::membership) and tries again.
    Reconfigure {
        /// All that are to belong to it.
        membership: Membership,
    },
    /// Another voter is to be the primary. Ignored if this replica is not the primary, or `to` no
    /// other voter; given up if `to` does not keep up.
    Transfer {
        /// The node.
        to: NodeId,
    },
    /// What [`Effect::Append`](super::Effect::Append) or [`Effect::Mend`](super::Effect::Mend)
    /// asked for is on stable storage. One for each, in the same order.
    PrepareDurable {
        /// The number of the prepare.
        op: OpNumber,
        /// Its checksum.
        checksum: Checksum,
    },
    /// The superblock with this sequence number, and so every earlier one, is on stable storage.
    SuperblockDurable {
        /// From [`Superblock::sequence`](super::Superblock::sequence).
        sequence: u64,
    },
    /// What [`Effect::PersistCheckpoint`](super::Effect::PersistCheckpoint) asked for is on stable
    /// storage.
    CheckpointDurable {
        /// The last operation that the checkpoint covers.
        op: OpNumber,
    },
    /// The answer to [`Effect::Execute`](super::Effect::Execute).
    Executed {
        /// The operation that was executed.
        op: OpNumber,
        /// Its result, the same on every member.
        reply: Vec<u8>,
    },
    /// The answer to [`Effect::TakeSnapshot`](super::Effect::TakeSnapshot).
    Snapshot {
        /// The last operation that went into the state.
        op: OpNumber,
        /// The state machine's state, the same on every member.
        state: Vec<u8>,
    },
}

impl Event {
    /// Whether it tells that the disk has done something.
    pub(crate) fn is_of_disk(&self) -> bool {
        match self {
            Self::PrepareDurable { .. }
            | Self::SuperblockDurable { .. }
            | Self::CheckpointDurable { .. } => true,
            Self::Message { .. }
            | Self::Timeout(_)
            | Self::Register { .. }
            | Self::Request { .. }
            | Self::Propose { .. }
            | Self::Read { .. }
            | Self::Reconfigure { .. }
            | Self::Transfer { .. }
            | Self::Executed { .. }
            | Self::Snapshot { .. } => false,
        }
    }
}
