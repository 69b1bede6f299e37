//! Execution of what is committed, strictly in order (paper, section 4.1, step 5), and checkpoints.
//!
//! One operation is handed out at a time, and the next one only when its result is there. So a
//! snapshot that is asked for in between holds exactly the operations up to its number.

use super::{Checkpoint, Content, Contents, Effect, Rejection, Replica};
use crate::OpNumber;

/// What the driver was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Executing {
    Operation(OpNumber),
    Snapshot(OpNumber),
}

impl Replica {
    /// Executes until the driver has to do something.
    pub(super) fn advance_execution(&mut self, effects: &mut Vec<Effect>) {
        if self.lost_checkpoint.is_some() {
            return;
        }
        self.make_room(effects);
        while self.executing.is_none() && self.executed < self.commit_number {
            let op = self.executed.next();
            let prepare = self
                .journal
                .get(op)
                .expect("the journal holds what was not executed");
            match prepare.content.clone() {
                Content::Register { client } => {
                    self.execute_register(client, op, effects);
                    self.finish(op, effects);
                }
                Content::Request {
                    client,
                    session,
                    request_number,
                    operation,
                } => {
                    if self.is_executable(client, session, request_number) {
                        self.execute(op, operation, effects);
                    } else {
                        self.refuse_execution(client, request_number, effects);
                        self.finish(op, effects);
                    }
                }
                Content::Proposal { operation } => self.execute(op, operation, effects),
                // It has been in force since it was put into the journal.
                Content::Reconfigure { .. } => self.finish(op, effects),
            }
        }
    }

    fn execute_register(&mut self, client: u128, op: OpNumber, effects: &mut Vec<Effect>) {
        let clients_max = self.config.limits.clients_max;
        let session = self.client_table.register(client, op, clients_max);
        if self.is_primary() {
            effects.push(Effect::ReplyRegistered { client, session });
        }
    }

    fn execute(&mut self, op: OpNumber, operation: Vec<u8>, effects: &mut Vec<Effect>) {
        self.executing = Some(Executing::Operation(op));
        effects.push(Effect::Execute { op, operation });
    }

    /// Whether a request is executed for the first time, and for a client that still has its
    /// session.
    ///
    /// The session may have been evicted after the request was taken in. Every member decides
    /// alike, because the table is the same everywhere.
    fn is_executable(&self, client: u128, session: u64, request_number: u64) -> bool {
        let known = self.client_table.get(client);
        known.is_some_and(|known| known.session == session && known.request_number < request_number)
    }

    fn refuse_execution(&self, client: u128, request_number: u64, effects: &mut Vec<Effect>) {
        if self.is_primary() {
            let reason = Rejection::UnknownSession;
            effects.push(Effect::RejectRequest {
                client,
                request_number,
                reason,
            });
        }
    }

    pub(super) fn on_executed(&mut self, op: OpNumber, reply: Vec<u8>, effects: &mut Vec<Effect>) {
        if self.executing != Some(Executing::Operation(op)) {
            return;
        }
        self.executing = None;
        let prepare = self
            .journal
            .get(op)
            .expect("the journal holds what was not executed");
        if let Content::Request {
            client,
            request_number,
            ..
        } = prepare.content
        {
            self.client_table
                .replied(client, request_number, op, &reply);
            if self.is_primary() {
                effects.push(Effect::Reply {
                    client,
                    request_number,
                    reply,
                });
            }
        }
        self.finish(op, effects);
    }

    fn finish(&mut self, op: OpNumber, effects: &mut Vec<Effect>) {
        self.executed = op;
        let is_due = op.0.is_multiple_of(self.config.limits.checkpoint_interval);
        if is_due {
            self.take_snapshot(effects);
        }
    }

    /// Takes a checkpoint out of turn when nothing else would let the journal grow again.
    ///
    /// While the disk was busy with the last checkpoint, execution may have passed the places of
    /// all further ones.
    pub(super) fn make_room(&mut self, effects: &mut Vec<Effect>) {
        let is_ahead = self.executed > self.checkpoint_op();
        if self.executing.is_none() && is_ahead && self.is_journal_full() {
            self.take_snapshot(effects);
        }
    }

    /// Whether this replica knows who belonged to the group when what it executed last was made.
    ///
    /// Who follows from the first operation on and is no founder knows that only from the first
    /// change of the members on. If its journal has no room left before it has come so far, it asks
    /// for a checkpoint in the place of the one that it cannot make.
    fn may_make_checkpoint(&self) -> bool {
        !self.membership_at(self.executed).is_empty()
    }

    /// Whether the journal is full and only the checkpoint of somebody else makes room.
    pub(super) fn lacks_room(&self) -> bool {
        self.is_journal_full() && !self.may_make_checkpoint()
    }

    /// Takes a checkpoint out of turn for a member that has lost its own, with more in it than in
    /// the last one of this replica.
    pub(super) fn make_checkpoint_of(&mut self, op: OpNumber, effects: &mut Vec<Effect>) {
        let is_asked_for = self.checkpoint_op() < op && op <= self.executed;
        if is_asked_for && self.executing.is_none() {
            self.take_snapshot(effects);
        }
    }

    fn take_snapshot(&mut self, effects: &mut Vec<Effect>) {
        // A checkpoint from before would tell others of a group of nobody.
        if !self.may_make_checkpoint() {
            return;
        }
        // If the disk is still busy with the last one, the next one covers this one as well.
        if self.writing.is_none() {
            let op = self.executed;
            self.executing = Some(Executing::Snapshot(op));
            effects.push(Effect::TakeSnapshot { op });
        }
    }

    pub(super) fn on_snapshot(&mut self, op: OpNumber, state: Vec<u8>, effects: &mut Vec<Effect>) {
        if self.executing != Some(Executing::Snapshot(op)) {
            return;
        }
        self.executing = None;
        if self.writing.is_some() {
            return;
        }
        let head = self
            .journal
            .head_at(op)
            .expect("the journal holds what was just executed");
        let client_table = self.client_table.clone();
        let membership = self.membership_at(op).clone();
        let checkpoint = Checkpoint::new(&Contents {
            membership,
            head,
            client_table,
            state,
        });
        self.write_checkpoint(checkpoint, false, effects);
    }
}
