//! How messages, events and prepares read: the paper's words and the numbers that matter, one line
//! each, for transcripts, counter-examples and logs.

use std::fmt;

use super::{Content, Event, Head, Member, Membership, Message, Prepare, Promise};

impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "op {}", self.op)
    }
}

impl fmt::Display for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Register { client } => write!(f, "register client {client}"),
            Self::Request {
                client,
                session,
                request_number,
                operation,
            } => write!(
                f,
                "request {request_number} of client {client}, session {session}: {}",
                operation.escape_ascii()
            ),
            Self::Proposal { operation } => write!(f, "proposal {}", operation.escape_ascii()),
            Self::Reconfigure { membership } => write!(f, "{membership}"),
        }
    }
}

impl fmt::Display for Membership {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("voters")?;
        tell_members(f, self.voters())?;
        if !self.standbys().is_empty() {
            f.write_str(", standbys")?;
            tell_members(f, self.standbys())?;
        }
        Ok(())
    }
}

fn tell_members(f: &mut fmt::Formatter<'_>, members: &[Member]) -> fmt::Result {
    members.iter().try_for_each(|member| write!(f, " {member}"))
}

impl fmt::Display for Prepare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "op {} of view {}, {}", self.op, self.view, self.content)
    }
}

impl fmt::Display for Promise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the log of view {} up to {}", self.log_view, self.head)?;
        if self.is_tail_uncertain {
            f.write_str(", perhaps further")?;
        }
        if self.sound != self.head {
            write!(f, ", whole up to {}", self.sound)?;
        }
        write!(f, ", committed up to op {}", self.commit_number)?;
        if self.lease_may_hold {
            f.write_str(", a lease may hold")?;
        }
        Ok(())
    }
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Prepare {
                view,
                commit_number,
                prepare,
            } => write!(
                f,
                "Prepare in view {view}: {prepare}; committed up to op {commit_number}"
            ),
            Self::PrepareOk { view, op, round } => {
                write!(f, "PrepareOk in view {view} up to op {op}")?;
                tell_round(*round, f)
            }
            Self::Commit {
                view,
                commit_number,
                head,
                round,
            } => {
                write!(
                    f,
                    "Commit in view {view}: committed up to op {commit_number}, the log ends at \
                     {head}"
                )?;
                tell_round(*round, f)
            }
            Self::StartViewChange { view, promised } => write!(
                f,
                "StartViewChange for view {view}, being in view {promised}"
            ),
            Self::DoViewChange { view, promise } => {
                write!(f, "DoViewChange in view {view}: {promise}")
            }
            Self::StartView {
                view,
                commit_number,
                head,
                round,
            } => {
                write!(
                    f,
                    "StartView {view}: the log ends at {head}, committed up to op {commit_number}"
                )?;
                tell_round(*round, f)
            }
            Self::Recovery { .. }
            | Self::RecoveryResponse { .. }
            | Self::GetPrepares { .. }
            | Self::NewPrepares { .. }
            | Self::GetState { .. }
            | Self::NewState { .. }
            | Self::GetCheckpoint { .. }
            | Self::CheckpointPiece { .. } => self.tell_state_transfer(f),
        }
    }
}

/// Most messages are of no round.
fn tell_round(round: u64, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    if round == 0 {
        return Ok(());
    }
    write!(f, ", round {round}")
}

impl Message {
    fn tell_state_transfer(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Prepare { .. }
            | Self::PrepareOk { .. }
            | Self::Commit { .. }
            | Self::StartViewChange { .. }
            | Self::DoViewChange { .. }
            | Self::StartView { .. } => Ok(()),
            Self::Recovery { view, nonce } => {
                write!(f, "Recovery in view {view}, nonce {nonce}")
            }
            Self::RecoveryResponse {
                view,
                nonce,
                commit_number,
                head,
            } => write!(
                f,
                "RecoveryResponse in view {view}, nonce {nonce}: the log ends at {head}, committed \
                 up to op {commit_number}"
            ),
            Self::GetPrepares { view, from, until } => {
                write!(f, "GetPrepares in view {view}: ops {from} to {}", until.op)
            }
            Self::NewPrepares { view, prepares } => {
                write!(f, "NewPrepares in view {view}:")?;
                tell_range(f, prepares)
            }
            Self::GetState { view, known } => {
                write!(f, "GetState in view {view}, knowing")?;
                for (place, head) in known.iter().enumerate() {
                    let separator = if place == 0 { " " } else { ", " };
                    write!(f, "{separator}{head}")?;
                }
                Ok(())
            }
            Self::NewState {
                view,
                after,
                prepares,
            } => {
                write!(f, "NewState in view {view} after {after}:")?;
                tell_range(f, prepares)
            }
            Self::GetCheckpoint {
                view,
                head,
                position,
            } => write!(
                f,
                "GetCheckpoint in view {view}: the state after {head} from byte {position}"
            ),
            Self::CheckpointPiece { view, piece } => write!(
                f,
                "CheckpointPiece in view {view}: {} bytes from byte {} of {}, the state after {}",
                piece.bytes.len(),
                piece.position,
                piece.total,
                piece.head
            ),
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Message { from, message } => write!(f, "hears {from}: {message}"),
            Self::Timeout(timer) => write!(f, "{timer:?} runs out"),
            Self::Register { client } => write!(f, "is asked by client {client} for a session"),
            Self::Request {
                client,
                session,
                request_number,
                operation,
            } => write!(
                f,
                "is asked by client {client}, session {session}, request {request_number}: {}",
                operation.escape_ascii()
            ),
            Self::Propose { operation } => {
                write!(f, "is to propose {}", operation.escape_ascii())
            }
            Self::Read { read } => write!(f, "is asked for the state by read {read}"),
            Self::Reconfigure { membership } => write!(f, "is to reconfigure to {membership}"),
            Self::Transfer { to } => write!(f, "is to hand over to node {to}"),
            Self::PrepareDurable { op, .. } => write!(f, "has op {op} on stable storage"),
            Self::SuperblockDurable { sequence } => {
                write!(f, "has superblock {sequence} on stable storage")
            }
            Self::CheckpointDurable { op } => {
                write!(f, "has the checkpoint of op {op} on stable storage")
            }
            Self::Executed { op, reply } => {
                write!(f, "has executed op {op}: {}", reply.escape_ascii())
            }
            Self::Snapshot { op, .. } => write!(f, "has copied the state after op {op}"),
        }
    }
}

fn tell_range(f: &mut fmt::Formatter<'_>, prepares: &[Prepare]) -> fmt::Result {
    match (prepares.first(), prepares.last()) {
        (Some(first), Some(last)) => write!(f, " ops {} to {}", first.op, last.op),
        (_, _) => f.write_str(" nothing"),
    }
}
