//! What a replica asks its driver to do.

use std::fmt;

use super::{Checkpoint, Member, Message, Prepare, Superblock, Timer};
use crate::{NodeId, OpNumber};

/// A duty of the driver.
///
/// Effects are carried out strictly in the order in which they were given. Writes need not be
/// waited for: a message that may leave only when something is on stable storage is not among the
/// effects before the completion was reported. So the driver never holds anything back and never
/// looks into a message. A write that fails is the end of the node: there is no event for it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Send a message to another member. It may be lost.
    Send {
        /// The member.
        to: NodeId,
        /// The message.
        message: Message,
    },
    /// Write a prepare to the journal, where it replaces whatever stands at its number or above.
    ///
    /// Answered by [`Event::PrepareDurable`](super::Event::PrepareDurable), for each one and in
    /// order; many may be made durable by one sync. After a crash the journal holds what was
    /// durable, perhaps followed by further prepares in order; never a later one without an earlier
    /// one.
    Append(Prepare),
    /// Write a prepare to the journal in the place of one that cannot be read any more.
    ///
    /// It replaces nothing but what stands at its own number. Answered like
    /// [`Append`](Self::Append), in one order with it.
    Mend(Prepare),
    /// Write the superblock, so that a crash leaves either this one or its predecessor.
    ///
    /// Answered by [`Event::SuperblockDurable`](super::Event::SuperblockDurable).
    Persist(Superblock),
    /// Execute a committed operation on the state machine.
    ///
    /// Answered by [`Event::Executed`](super::Event::Executed) at once, before any other event. The
    /// numbers rise, but not all of them appear: the group keeps some operations to itself.
    Execute {
        /// Its number.
        op: OpNumber,
        /// The bytes that were asked for.
        operation: Vec<u8>,
    },
    /// Copy the state machine's state.
    ///
    /// Answered by [`Event::Snapshot`](super::Event::Snapshot) at once, before any other event.
    TakeSnapshot {
        /// The last operation that went into the state.
        op: OpNumber,
    },
    /// Write a checkpoint beside the one that the last durable superblock names.
    ///
    /// That one stays until a superblock that names another is durable; what neither the durable
    /// superblock nor a pending write names may be deleted. Answered by
    /// [`Event::CheckpointDurable`](super::Event::CheckpointDurable).
    PersistCheckpoint(Checkpoint),
    /// Drop the prepares with smaller numbers from the journal, whenever it is convenient.
    TrimJournal {
        /// The smallest number that is still needed.
        below: OpNumber,
    },
    /// Replace the state machine's state by this one, as a whole.
    Restore {
        /// The last operation that went into it.
        op: OpNumber,
        /// The state, as an [`Event::Snapshot`](super::Event::Snapshot) of some member gave it.
        state: Vec<u8>,
    },
    /// Tell a client its session. Whoever waits for it, if anyone does, is known to the driver.
    ReplyRegistered {
        /// The client.
        client: u128,
        /// Its session.
        session: u64,
    },
    /// Tell a client the result of its request.
    Reply {
        /// The client.
        client: u128,
        /// Which request.
        request_number: u64,
        /// The result.
        reply: Vec<u8>,
    },
    /// Tell a client that its request was not taken.
    RejectRequest {
        /// The client.
        client: u128,
        /// Which request; 0 for a registration.
        request_number: u64,
        /// Why.
        reason: Rejection,
    },
    /// Answer a read from the state machine's state, as it is when this effect is carried out.
    ///
    /// The answer includes everything that anybody was told before the read came.
    ReadReady {
        /// Which read.
        read: u64,
    },
    /// Tell whoever reads that the answer must be sought elsewhere, or later.
    RejectRead {
        /// Which read.
        read: u64,
        /// Why.
        reason: Rejection,
    },
    /// Report that a message was dropped which no sound member sends.
    ///
    /// Its sender is broken or lies, or this replica is broken. Nothing was done on account of the
    /// message; a person should look at both.
    Distrust {
        /// Who sent it.
        from: Member,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Start a timer, or start it afresh.
    Arm(Timer),
    /// Stop a timer.
    Disarm(Timer),
}

/// Why a request was not taken.
///
/// It was not executed on account of *this* attempt; an earlier attempt with the same number
/// may still be under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rejection {
    /// This replica is not the primary, or not sure of it: ask another one.
    NotPrimary,
    /// The session was evicted or never existed. Whether its unanswered requests were executed
    /// can no longer be told; register again.
    UnknownSession,
    /// A later request of the same client was executed already.
    Stale,
    /// Too much is under way: ask again a little later.
    Busy,
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotPrimary => "this node is not the primary of the control plane",
            Self::UnknownSession => "the client's session is not known (any more)",
            Self::Stale => "a later request of the same client was executed already",
            Self::Busy => "the control plane has too much under way",
        })
    }
}
