//! The transfer of a checkpoint in pieces (paper, section 5.2.1 and 5.2.2).
//!
//! No message carries a whole checkpoint, which may have any size. Who is so far behind that the
//! journals cannot help it gets the first piece as the answer to its `GetState`, and then asks for
//! one piece after the other.
//!
//! # Why it may be continued anywhere
//!
//! A checkpoint is named by its head, and all members have the same bytes for the same head. The
//! head's checksum is chained over all operations up to it. The contents are what these operations
//! have made of the empty state: the state machine and the table of clients are the same functions
//! on every member, their collections are ordered, and the encoding depends on nothing but the
//! value (fields in the order of their declaration, padding zeroed). Who received a checkpoint
//! keeps the very bytes that it received. So a piece may come from any member, and in any
//! view: a checkpoint covers only what is committed, and that is part of the log of every later
//! view.
//!
//! Members of two releases may encode differently. Their checkpoints mostly differ in length and
//! are then taken for two; in any case the seal is checked over the whole before anything of it is
//! used, and a checkpoint that does not pass is thrown away as a whole.
//!
//! # How it goes on
//!
//! What was received is kept until the checkpoint is complete or superfluous, through silence and
//! through changes of the view. While no piece comes, the other members are asked in turn. A member
//! that does not have the checkpoint answers with the beginning of the one that it has. Only when
//! all have said so (or some have, and the others are silent over and over) is the transfer begun
//! anew with another checkpoint. After each round `GetState` is asked as well, because a journal
//! may have turned up that makes the checkpoint superfluous.

use std::collections::BTreeSet;

use rkyv::{Archive, Deserialize, Serialize};

use super::{Checkpoint, Effect, Head, Message, Replica, Timer};
use crate::shared_bytes::SharedBytes;
use crate::{NodeId, OpNumber, ViewNumber};

/// How many rounds are made before the word of those who have another checkpoint counts for all.
const ROUNDS_MAX: usize = 2;

/// A checkpoint of which a part has come.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Transfer {
    head: Head,
    total: u64,
    pieces: Vec<SharedBytes>,
    received: u64,
    /// Who was asked for the next piece; `None` while it is not known who has it.
    asked: Option<NodeId>,
    /// Who has another checkpoint, since the last piece.
    refused: BTreeSet<NodeId>,
    /// The place in the round: one for each other member, and one for `GetState`. It counts on
    /// through the rounds.
    turn: usize,
}

/// A part of a checkpoint.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq, Hash)]
pub struct Piece {
    /// Which checkpoint.
    pub head: Head,
    /// How many bytes the whole of it has.
    pub total: u64,
    /// How many of them come before this part.
    pub position: u64,
    /// The part; never empty.
    pub bytes: Vec<u8>,
}

/// What to do when the one who was asked does not give the next piece.
enum Turn {
    Ask(NodeId),
    AskForState,
    /// Nobody has the checkpoint any more.
    GiveUp,
}

impl Piece {
    /// Whether it is a part of what it says that it is a part of, and that is not too large.
    fn is_sound(&self, bytes_max: u64) -> bool {
        let end = self.position.checked_add(self.bytes.len() as u64);
        let is_inside = end.is_some_and(|end| end <= self.total);
        !self.bytes.is_empty() && is_inside && self.total <= bytes_max
    }
}

impl Transfer {
    fn begin(head: Head, total: u64) -> Self {
        Self {
            head,
            total,
            pieces: Vec::new(),
            received: 0,
            asked: None,
            refused: BTreeSet::new(),
            turn: 0,
        }
    }

    pub(crate) fn op(&self) -> OpNumber {
        self.head.op
    }

    fn is_of(&self, piece: &Piece) -> bool {
        (self.head, self.total) == (piece.head, piece.total)
    }

    fn is_complete(&self) -> bool {
        self.received == self.total
    }

    fn add(&mut self, bytes: Vec<u8>) {
        self.received += bytes.len() as u64;
        self.pieces.push(SharedBytes::new(bytes));
        self.asked = None;
    }

    /// Passes over those who have another checkpoint.
    fn take_turn(&mut self, members: &[NodeId]) -> Turn {
        let places = members.len() + 1;
        loop {
            self.turn += 1;
            let have_all_refused = self.refused.len() == members.len();
            let have_some_refused = !self.refused.is_empty();
            if have_all_refused || (have_some_refused && self.turn > ROUNDS_MAX * places) {
                return Turn::GiveUp;
            }
            match members.get(self.turn % places) {
                Some(member) if self.refused.contains(member) => {}
                Some(member) => return Turn::Ask(*member),
                None => return Turn::AskForState,
            }
        }
    }

    /// All of it, if it is what it was said to be.
    fn checkpoint(&self) -> Option<Checkpoint> {
        let pieces: Vec<&[u8]> = self.pieces.iter().map(|piece| &piece[..]).collect();
        let checkpoint = Checkpoint::decode(&pieces.concat()).ok()?;
        (checkpoint.head() == self.head).then_some(checkpoint)
    }
}

impl Replica {
    pub(super) fn on_get_checkpoint(
        &mut self,
        from: NodeId,
        view: ViewNumber,
        head: Head,
        position: u64,
        effects: &mut Vec<Effect>,
    ) {
        if view == self.view {
            let has_it = |checkpoint: &Checkpoint| checkpoint.head() == head;
            let has_it = self.checkpoint.as_ref().is_some_and(has_it);
            self.send_piece(from, if has_it { position } else { 0 }, effects);
            self.make_checkpoint_of(head.op, effects);
        }
    }

    /// Sends what the checkpoint of this replica, if it has one, holds at `position`.
    pub(super) fn send_piece(&self, to: NodeId, position: u64, effects: &mut Vec<Effect>) {
        let Some(checkpoint) = &self.checkpoint else {
            return;
        };
        let bytes = checkpoint.bytes();
        let start = usize::try_from(position).ok();
        let Some(rest) = start.and_then(|start| bytes.get(start..)) else {
            return;
        };
        let length = self.config.limits.state_transfer_bytes_max.min(rest.len());
        if length == 0 {
            return;
        }
        let piece = Piece {
            head: checkpoint.head(),
            total: bytes.len() as u64,
            position,
            bytes: rest[..length].to_vec(),
        };
        let view = self.view;
        self.send(to, Message::CheckpointPiece { view, piece }, effects);
    }

    pub(super) fn on_checkpoint_piece(
        &mut self,
        from: NodeId,
        view: ViewNumber,
        piece: Piece,
        effects: &mut Vec<Effect>,
    ) {
        let is_awaited = view == self.view && self.may_take_pieces();
        if !is_awaited
            || self.is_superfluous(piece.head.op)
            || !piece.is_sound(self.config.limits.checkpoint_bytes_max)
        {
            return;
        }
        let begin = || Transfer::begin(piece.head, piece.total);
        let transfer = self.transfer.get_or_insert_with(begin);
        if !transfer.is_of(&piece) {
            transfer.refused.insert(from);
            if transfer.asked == Some(from) {
                self.take_turn(effects);
            }
            return;
        }
        if transfer.received == piece.position && !transfer.is_complete() {
            transfer.add(piece.bytes);
            if let Some(fetch) = &mut self.fetch {
                fetch.silences = 0;
            }
        }
        // Who has another part than the next one can continue as well. But a repeated answer must
        // not beget a repeated question.
        if transfer.asked.is_none() {
            effects.push(Effect::Arm(Timer::GetState));
            self.begin_round(from, effects);
        }
    }

    /// Whether a checkpoint would help: the journal, or what is damaged, is waited for.
    pub(super) fn may_take_pieces(&self) -> bool {
        (self.fetch.is_some() || self.is_damaged()) && self.may_ask_for_state()
    }

    /// Whether a checkpoint that covers no more than `op` would not help.
    pub(super) fn is_superfluous(&self, op: OpNumber) -> bool {
        match self.lost_checkpoint {
            Some(lost) => op < lost.op,
            None => op <= self.executed,
        }
    }

    /// Asks for the next piece, `member` first.
    pub(super) fn begin_round(&mut self, member: NodeId, effects: &mut Vec<Effect>) {
        let place = self.sources().iter().position(|source| *source == member);
        if let Some(transfer) = self.transfer.as_mut().filter(|it| !it.is_complete()) {
            transfer.refused.clear();
            transfer.turn = place.unwrap_or_default();
            self.ask_for_piece(member, effects);
        }
    }

    /// Asks somebody else for the next piece, or for something else.
    pub(super) fn take_turn(&mut self, effects: &mut Vec<Effect>) {
        let members = self.sources();
        effects.push(Effect::Arm(Timer::GetState));
        let Some(transfer) = self.transfer.as_mut().filter(|it| !it.is_complete()) else {
            return;
        };
        match transfer.take_turn(&members) {
            Turn::Ask(member) => self.ask_for_piece(member, effects),
            Turn::AskForState => {
                transfer.asked = None;
                self.ask_for_state(effects);
            }
            Turn::GiveUp => {
                self.transfer = None;
                self.ask_for_state(effects);
            }
        }
    }

    fn ask_for_piece(&mut self, member: NodeId, effects: &mut Vec<Effect>) {
        let view = self.view;
        let transfer = self.transfer.as_mut().expect("a part has come");
        transfer.asked = Some(member);
        let message = Message::GetCheckpoint {
            view,
            head: transfer.head,
            position: transfer.received,
        };
        self.send(member, message, effects);
    }

    /// Puts the checkpoint into force when all of it has come, and forgets it when it is of no use.
    pub(super) fn advance_transfer(&mut self, effects: &mut Vec<Effect>) {
        if self
            .transfer
            .as_ref()
            .is_some_and(|transfer| self.is_superfluous(transfer.op()))
        {
            self.transfer = None;
        }
        if self.writing.is_some() || !self.may_take_pieces() {
            return;
        }
        // What is not sound is thrown away, and the timer asks somebody else.
        let complete = self.transfer.take_if(|transfer| transfer.is_complete());
        if let Some(checkpoint) = complete.and_then(|transfer| transfer.checkpoint()) {
            self.write_checkpoint(checkpoint, true, effects);
        }
    }
}
