//! What clients ask of the primary, and who is answered at once (paper, section 4.1, steps 1 and
//! 2).

use super::{Content, Effect, Rejection, Replica};

impl Replica {
    pub(super) fn on_register(&mut self, client: u128, effects: &mut Vec<Effect>) {
        if let Err(reason) = self.may_take_request() {
            effects.push(Effect::RejectRequest {
                client,
                request_number: 0,
                reason,
            });
            return;
        }
        let is_under_way = self.under_way().any(
            |content| matches!(content, Content::Register { client: other } if *other == client),
        );
        if !is_under_way {
            self.prepare_content(Content::Register { client }, effects);
        }
    }

    pub(super) fn on_request(
        &mut self,
        client: u128,
        session: u64,
        request_number: u64,
        operation: Vec<u8>,
        effects: &mut Vec<Effect>,
    ) {
        match self.judge_request(client, session, request_number) {
            Judgement::Take => {
                let content = Content::Request {
                    client,
                    session,
                    request_number,
                    operation,
                };
                self.prepare_content(content, effects);
            }
            Judgement::Repeat(reply) => {
                effects.push(Effect::Reply {
                    client,
                    request_number,
                    reply,
                });
            }
            Judgement::Wait => {}
            Judgement::Reject(reason) => {
                effects.push(Effect::RejectRequest {
                    client,
                    request_number,
                    reason,
                });
            }
        }
    }

    pub(super) fn on_propose(&mut self, operation: Vec<u8>, effects: &mut Vec<Effect>) {
        if self.has_room() {
            self.prepare_content(Content::Proposal { operation }, effects);
        }
    }

    /// Whether this replica is the primary and would take another operation now.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.may_take_request().is_ok()
    }

    fn judge_request(&self, client: u128, session: u64, request_number: u64) -> Judgement {
        if !self.is_confident_primary() {
            return Judgement::Reject(Rejection::NotPrimary);
        }
        // Executing what came from earlier views may still change the client's entry.
        if self.executed < self.log_view_op {
            return Judgement::Reject(Rejection::Busy);
        }
        let known = self
            .client_table
            .get(client)
            .filter(|known| known.session == session);
        let Some(known) = known else {
            return Judgement::Reject(Rejection::UnknownSession);
        };
        if request_number < known.request_number || request_number == 0 {
            return Judgement::Reject(Rejection::Stale);
        }
        if request_number == known.request_number {
            return Judgement::Repeat(known.reply.clone());
        }
        let under_way = self.under_way().filter_map(|content| match content {
            Content::Request {
                client: other,
                session: theirs,
                request_number,
                ..
            } => (*other == client && *theirs == session).then_some(*request_number),
            Content::Register { .. } | Content::Proposal { .. } | Content::Reconfigure { .. } => {
                None
            }
        });
        match under_way.max() {
            Some(latest) if request_number < latest => Judgement::Reject(Rejection::Stale),
            Some(latest) if request_number == latest => Judgement::Wait,
            Some(_) | None => match self.may_take_request() {
                Ok(()) => Judgement::Take,
                Err(reason) => Judgement::Reject(reason),
            },
        }
    }

    /// What stands in the journal and has not been executed.
    ///
    /// As many as `pipeline_max`, or what an earlier view has left.
    fn under_way(&self) -> impl Iterator<Item = &Content> {
        self.journal
            .after(self.executed)
            .map(|prepare| &prepare.content)
    }

    /// Whether a majority was there lately.
    ///
    /// Otherwise there may be a later primary, and what this one says of a client may be out of
    /// date.
    pub(super) fn is_confident_primary(&self) -> bool {
        self.is_primary() && self.vote.is_none()
    }

    fn may_take_request(&self) -> Result<(), Rejection> {
        if !self.is_confident_primary() {
            return Err(Rejection::NotPrimary);
        }
        if self.handover.is_some() {
            return Err(Rejection::Busy);
        }
        let under_way = self.op_number().0 - self.executed.0;
        if under_way < self.pipeline_max() && !self.is_journal_full() {
            Ok(())
        } else {
            Err(Rejection::Busy)
        }
    }

    /// Whether the journal reaches so far beyond the checkpoint that it may not grow any more.
    ///
    /// Checkpoints follow by themselves; a disk that cannot keep up with them must not let the
    /// journal, and the writes that wait for the disk, grow without end. What is full gets room
    /// again by [`make_room`](Self::make_room).
    pub(super) fn is_journal_full(&self) -> bool {
        let journal_max = 2 * self.config.limits.checkpoint_interval + self.pipeline_max();
        // A foreign checkpoint may be ahead of the journal.
        self.op_number().0.saturating_sub(self.checkpoint_op().0) >= journal_max
    }

    fn pipeline_max(&self) -> u64 {
        u64::try_from(self.config.limits.pipeline_max).expect("a limit fits into 64 bits")
    }
}

enum Judgement {
    Take,
    /// It was executed already.
    Repeat(Vec<u8>),
    /// It is under way already; the reply will come.
    Wait,
    Reject(Rejection),
}
