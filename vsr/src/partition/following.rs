//! A follower: promises, takes the leader's log over, keeps up with it.

use super::storage::LACKS_COMMITS;
use super::{Ack, Adopt, Duty, Effect, Marks, Message, Promise, RecordsHead, Replica, Stage};
use crate::sabotage::{self, Sabotage};
use crate::{Epoch, NodeId, Offset};

impl Replica {
    /// Goes as far as the disk allows.
    pub(super) fn advance_following(&mut self, effects: &mut Vec<Effect>) {
        let Duty::Following(stage) = &self.duty else {
            return;
        };
        match stage {
            Stage::Waiting { asked: true } if self.is_settled() => self.send_promise(effects),
            Stage::Waiting { .. } | Stage::Lost { asked: true } => {}
            Stage::Lost { asked: false } => self.advance_lost(effects),
            Stage::Cutting(adopt) => {
                let adopt = adopt.clone();
                self.advance_cutting(&adopt, effects);
            }
            Stage::Matched { opening_offset, .. } => {
                let opening_offset = *opening_offset;
                self.advance_log_start(effects);
                self.advance_adoption(opening_offset, effects);
            }
        }
    }

    fn send_promise(&mut self, effects: &mut Vec<Effect>) {
        self.duty = Duty::Following(Stage::Waiting { asked: false });
        let promise = self.promise();
        self.send_to_leader(Message::Promise(promise), effects);
    }

    /// What this replica promises with; only to be said when [`Replica::is_settled`].
    pub(super) fn promise(&self) -> Promise {
        Promise {
            epoch: self.facts.promised,
            log_epoch: self.facts.log_epoch,
            next_offset: self.next_offset,
            // What was committed and has been lost with the end of the log is known all the same.
            high_watermark: self.high_watermark.max(self.facts.high_watermark),
            log_start: self.facts.log_start,
            history: self.history.clone(),
            is_uncertain: self.facts.is_uncertain(),
        }
    }

    pub(super) fn on_adopt(&mut self, from: NodeId, adopt: Adopt, effects: &mut Vec<Effect>) {
        if !adopt.is_sound() {
            let why = "it is to be followed with a log that cannot be";
            effects.push(Effect::Distrust { from, why });
            return;
        }
        if !self.hear_leader(from, adopt.epoch, effects) {
            return;
        }
        match self.duty {
            // A promise that is still owed is not needed any more: the leader is open.
            Duty::Following(Stage::Waiting { .. }) => self.enter_cutting(from, adopt, effects),
            // An older answer might be too short.
            Duty::Following(Stage::Lost { .. }) if adopt.loss == self.facts.losses => {
                self.enter_cutting(from, adopt, effects);
            }
            // What would come next has expired. What is to be adopted stays the same all the same:
            // it may be what the leader had when it was told of a loss, and no less makes good for
            // that.
            Duty::Following(Stage::Matched { opening_offset, .. })
                if self.next_offset < adopt.log_start =>
            {
                let opening_offset = adopt.opening_offset.max(opening_offset);
                let adopt = Adopt {
                    opening_offset,
                    ..adopt
                };
                self.enter_cutting(from, adopt, effects);
            }
            // The leader has not heard the answer, or it waits for records to arrive that got
            // lost.
            Duty::Following(Stage::Matched { .. }) => self.send_ack(true, effects),
            Duty::Following(Stage::Lost { .. } | Stage::Cutting(_))
            | Duty::Idle
            | Duty::Leading(_) => {}
        }
    }

    fn enter_cutting(&mut self, from: NodeId, adopt: Adopt, effects: &mut Vec<Effect>) {
        // An echo: all of that log has expired since, and the leader has said so.
        if adopt.opening_offset < self.facts.log_start {
            return;
        }
        if self.lacks_commits(adopt.log_start, &adopt.history, adopt.opening_offset) {
            let why = LACKS_COMMITS;
            effects.push(Effect::Distrust { from, why });
            return;
        }
        self.duty = Duty::Following(Stage::Cutting(adopt));
    }

    fn advance_cutting(&mut self, adopt: &Adopt, effects: &mut Vec<Effect>) {
        let (start, next) = (adopt.log_start, adopt.opening_offset);
        if !self.cut_to_prefix_of(start, &adopt.history, next, effects) {
            return;
        }
        self.duty = Duty::Following(Stage::Matched {
            opening_offset: adopt.opening_offset,
            leader_watermark: adopt.high_watermark,
            leader_start: adopt.log_start,
        });
        self.follow_high_watermark(effects);
        self.advance_log_start(effects);
        self.send_ack(true, effects);
        self.advance_adoption(adopt.opening_offset, effects);
    }

    /// Makes `log_epoch` this epoch, once the log holds all that the leader opened with.
    ///
    /// Not earlier. `log_epoch` says that nothing is missing that was committed before the epoch;
    /// a half-filled log that said so would beat, in the next choice, an older log that is
    /// complete.
    fn advance_adoption(&mut self, opening_offset: Offset, effects: &mut Vec<Effect>) {
        let is_complete =
            self.durable_offset >= opening_offset || sabotage::is(Sabotage::AdoptedTooEarly);
        let is_adopted = self.facts.log_epoch == self.facts.promised && !self.facts.is_uncertain();
        if is_complete && !is_adopted {
            self.adopt_epoch(effects);
        }
    }

    /// Records of the epoch's leader. True if they are to be appended.
    pub(super) fn on_leader_records(
        &mut self,
        head: RecordsHead,
        next_offset: Offset,
        epochs: &[(Epoch, Offset)],
        effects: &mut Vec<Effect>,
    ) {
        let Duty::Following(Stage::Matched {
            leader_watermark,
            leader_start,
            ..
        }) = &mut self.duty
        else {
            // Cut first; the leader sends again.
            return;
        };
        *leader_watermark = head.marks.high_watermark.max(*leader_watermark);
        *leader_start = head.marks.log_start.max(*leader_start);
        self.learn_compacted(head.marks.compacted_everywhere);
        if head.base_offset == self.next_offset && self.may_accept(next_offset, epochs) {
            self.accept(next_offset, epochs, effects);
        } else {
            // Something before them is missing, or they are an echo.
            let is_missing = self.next_offset < next_offset;
            self.send_ack(is_missing, effects);
        }
        self.follow_high_watermark(effects);
    }

    pub(super) fn may_accept(&self, next_offset: Offset, epochs: &[(Epoch, Offset)]) -> bool {
        let newest = epochs.last().map_or(Epoch(0), |batch| batch.0);
        self.history.may_continue(self.next_offset, epochs)
            && newest <= self.facts.promised
            && epochs.last().is_some_and(|batch| batch.1 < next_offset)
    }

    pub(super) fn accept(
        &mut self,
        next_offset: Offset,
        epochs: &[(Epoch, Offset)],
        effects: &mut Vec<Effect>,
    ) {
        for (epoch, offset) in epochs {
            self.history.extend(*epoch, *offset);
        }
        self.next_offset = next_offset;
        effects.push(Effect::Accept);
    }

    pub(super) fn on_commit(
        &mut self,
        from: NodeId,
        sent: Offset,
        marks: Marks,
        effects: &mut Vec<Effect>,
    ) {
        let Duty::Following(Stage::Matched {
            leader_watermark,
            leader_start,
            ..
        }) = &mut self.duty
        else {
            return;
        };
        if self.leader != Some(from) {
            return;
        }
        *leader_watermark = marks.high_watermark.max(*leader_watermark);
        *leader_start = marks.log_start.max(*leader_start);
        self.learn_compacted(marks.compacted_everywhere);
        self.follow_high_watermark(effects);
        self.send_ack(self.next_offset < sent, effects);
    }

    /// Learns from the leader what is committed, as far as the own durable log reaches.
    ///
    /// The own log is a prefix of the leader's, so what is committed there is the same here.
    /// Staying within what is durable keeps the promise of the high watermark across a crash.
    pub(super) fn follow_high_watermark(&mut self, effects: &mut Vec<Effect>) {
        if let Duty::Following(Stage::Matched {
            leader_watermark, ..
        }) = &self.duty
        {
            let known = self.durable_offset.min(*leader_watermark);
            self.raise_high_watermark(known, effects);
        }
    }

    /// The leader lacks what this replica promised to have.
    pub(super) fn on_pull(&mut self, from: NodeId, base: Offset, effects: &mut Vec<Effect>) {
        if self.may_serve(from, base) {
            let epoch = self.facts.promised;
            effects.push(Effect::SendRecords {
                to: from,
                epoch,
                from: base,
            });
        }
    }

    /// Whether records may go to the leader, who is not open yet and reconciles its log.
    ///
    /// Between the promise and the leader's opening nothing changes this log, so what was read for
    /// the leader is what the promise told of. After the opening a cut may have changed it, and
    /// what is still on its way out is held back.
    pub(super) fn may_serve(&self, to: NodeId, base: Offset) -> bool {
        let is_unchanged = matches!(self.duty, Duty::Following(Stage::Waiting { .. }));
        let is_there = base < self.next_offset
            && base >= self.facts.log_start
            && !self.is_beginning_anew()
            && self.truncating.is_none()
            && self.losing.is_none()
            && !self.damage.contains(base);
        is_unchanged && self.has_promised() && self.leader == Some(to) && is_there
    }

    /// Tells the leader how far this replica has come; only said when the log is a prefix of the
    /// leader's.
    pub(super) fn send_ack(&self, rewind: bool, effects: &mut Vec<Effect>) {
        if let Duty::Following(Stage::Matched { .. }) = self.duty {
            let durable = if sabotage::is(Sabotage::PrepareOkBeforeDurable) {
                self.next_offset
            } else {
                self.durable_offset
            };
            let ack = Ack {
                epoch: self.facts.promised,
                received: self.next_offset,
                durable,
                high_watermark: self.high_watermark,
                log_start: self.durable_facts.log_start,
                compacted: self.claim(),
                losses: self.durable_facts.losses,
                compacted_everywhere: self.compacted_everywhere,
                adopted: self.has_adopted(),
                rewind,
            };
            self.send_to_leader(Message::Ack(ack), effects);
        }
    }

    pub(super) fn send_to_leader(&self, message: Message, effects: &mut Vec<Effect>) {
        if let Some(to) = self.leader {
            effects.push(Effect::Send { to, message });
        }
    }
}
