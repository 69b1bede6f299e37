//! What members say to each other.

use rkyv::{Archive, Deserialize, Serialize};

use super::{Head, Piece, Prepare, Promise};
use crate::format::{Damaged, Seal};
use crate::{OpNumber, ViewNumber};

const SEAL: Seal = Seal {
    magic: *b"QGMS",
    version: 5,
};

/// A message between members of a group.
///
/// The names are the paper's. Requests and replies are not among them: they are events and effects,
/// because clients speak to the driver.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq, Hash)]
pub enum Message {
    /// Primary to all: put this into your journal.
    Prepare {
        /// The view of the sender, which may be later than the view of the prepare.
        view: ViewNumber,
        /// How far the primary has committed.
        commit_number: OpNumber,
        /// The entry.
        prepare: Prepare,
    },
    /// Backup to primary: the journal of this view is on my stable storage up to `op`.
    PrepareOk {
        /// The view.
        view: ViewNumber,
        /// The last prepare of the durable part.
        op: OpNumber,
        /// The greatest round that the sender has heard of in this view.
        round: u64,
    },
    /// Primary to all, now and then: I am here, and this is how far I am.
    ///
    /// Who missed the [`StartView`](Self::StartView) finds in this message all that was in it.
    Commit {
        /// The view.
        view: ViewNumber,
        /// How far the primary has committed.
        commit_number: OpNumber,
        /// The end of the primary's journal.
        head: Head,
        /// Counts the rounds in which the primary makes sure that its view is not over; who
        /// answers echoes it.
        round: u64,
    },
    /// Voter to voters: I would leave for `view`, if a majority would.
    ///
    /// It promises nothing, other than that `promised` is on stable storage.
    StartViewChange {
        /// The view that is asked for.
        view: ViewNumber,
        /// The view in which the sender is. It got there with the consent of a majority, and does
        /// not go back: whoever is in an earlier one follows.
        promised: ViewNumber,
    },
    /// Voter to the primary of `view`: I take no part in earlier views any more, and this is my
    /// log.
    DoViewChange {
        /// The view, on stable storage.
        view: ViewNumber,
        /// What the sender has.
        promise: Promise,
    },
    /// Primary to all: the view has begun, with the log that ends here.
    StartView {
        /// The view.
        view: ViewNumber,
        /// How far the primary has committed.
        commit_number: OpNumber,
        /// The end of the primary's journal.
        head: Head,
        /// As in [`Commit`](Self::Commit).
        round: u64,
    },
    /// Member to all: the end of my journal is uncertain; where does yours end?
    Recovery {
        /// The view of the sender; who is in an earlier one does not answer.
        view: ViewNumber,
        /// A number that the sender did not use before, so that it knows a fresh answer from an old
        /// one.
        nonce: u64,
    },
    /// The primary's answer.
    RecoveryResponse {
        /// The view.
        view: ViewNumber,
        /// From the question.
        nonce: u64,
        /// How far the primary has committed.
        commit_number: OpNumber,
        /// The end of the primary's journal.
        head: Head,
    },
    /// Member to all: these entries of my journal are damaged. Who has them?
    GetPrepares {
        /// The view of the sender. It does not matter: the checksum says what is wanted.
        view: ViewNumber,
        /// The first one.
        from: OpNumber,
        /// The last one. It names the one before it, and so on.
        until: Head,
    },
    /// The answer.
    NewPrepares {
        /// The view of the sender.
        view: ViewNumber,
        /// The last one that was asked for, preceded by as many of the others as fit.
        prepares: Vec<Prepare>,
    },
    /// Send me the part of your journal that I lack.
    GetState {
        /// The view of the sender; only who is in the same one answers.
        view: ViewNumber,
        /// Places in the sender's journal, the last one first. The answer begins after the
        /// first of them that the receiver's journal has too.
        known: Vec<Head>,
    },
    /// The answer: the prepares that follow a place that you know.
    NewState {
        /// The view.
        view: ViewNumber,
        /// The place after which they follow.
        after: Head,
        /// As many as fit; ask again for the rest.
        prepares: Vec<Prepare>,
    },
    /// Send me the next piece of this checkpoint.
    GetCheckpoint {
        /// The view of the sender; only who is in the same one answers.
        view: ViewNumber,
        /// Which checkpoint: the head that it covers stands for its bytes.
        head: Head,
        /// How many of its bytes the sender has.
        position: u64,
    },
    /// The answer: a piece of the checkpoint that you asked for, or the first one of my own.
    ///
    /// Also the answer to [`GetState`](Self::GetState) when the journal no longer reaches back to a
    /// place that you know.
    CheckpointPiece {
        /// The view.
        view: ViewNumber,
        /// The piece.
        piece: Piece,
    },
}

impl Message {
    /// The view in which it was sent.
    #[must_use]
    pub fn view(&self) -> ViewNumber {
        match self {
            Self::Prepare { view, .. }
            | Self::PrepareOk { view, .. }
            | Self::Commit { view, .. }
            | Self::StartViewChange { view, .. }
            | Self::DoViewChange { view, .. }
            | Self::StartView { view, .. }
            | Self::Recovery { view, .. }
            | Self::RecoveryResponse { view, .. }
            | Self::GetPrepares { view, .. }
            | Self::NewPrepares { view, .. }
            | Self::GetState { view, .. }
            | Self::NewState { view, .. }
            | Self::GetCheckpoint { view, .. }
            | Self::CheckpointPiece { view, .. } => *view,
        }
    }

    /// The bytes for the wire.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        SEAL.encode(self)
    }

    /// Reads back what [`encode`](Self::encode) gave.
    ///
    /// # Errors
    ///
    /// Says in which way the bytes are not a message.
    pub fn decode(bytes: &[u8]) -> Result<Self, Damaged> {
        let message: Self = SEAL.decode(bytes)?;
        let is_sound = match &message {
            Self::Prepare { prepare, .. } => prepare.is_sound(),
            Self::NewState { prepares, .. } | Self::NewPrepares { prepares, .. } => {
                prepares.iter().all(Prepare::is_sound)
            }
            Self::DoViewChange { promise, .. } => promise.membership.is_sound(),
            Self::PrepareOk { .. }
            | Self::Commit { .. }
            | Self::StartViewChange { .. }
            | Self::StartView { .. }
            | Self::Recovery { .. }
            | Self::RecoveryResponse { .. }
            | Self::GetPrepares { .. }
            | Self::GetState { .. }
            | Self::GetCheckpoint { .. }
            | Self::CheckpointPiece { .. } => true,
        };
        if is_sound {
            Ok(message)
        } else {
            Err(Damaged::Body)
        }
    }
}
