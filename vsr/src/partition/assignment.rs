//! Epochs begin here: by the control plane's word, or by that of a leader who heard it earlier.

use super::{Duty, Effect, Leading, Members, Message, Promise, Replica, Stage, Timer};
use crate::sabotage::{self, Sabotage};
use crate::{Epoch, NodeId};

impl Replica {
    pub(super) fn on_assign(
        &mut self,
        epoch: Epoch,
        leader: NodeId,
        members: Members,
        effects: &mut Vec<Effect>,
    ) {
        if epoch < self.facts.promised {
            return;
        }
        let is_new = epoch > self.facts.promised;
        if is_new {
            self.enter_epoch(epoch, leader, effects);
        } else if self.leader.is_some_and(|known| known != leader) {
            // An epoch has one leader, and this one has been heard of before.
            return;
        }
        self.leader = Some(leader);
        // They are the same for the whole epoch; only a leader that was heard first left them open.
        if self.members.electorate.is_empty() {
            self.members = members;
        }
        let is_voter = self.members.electorate.contains(self.me);
        let is_learner = self.members.learners.contains(&self.me);
        if leader != self.me && (is_voter || is_learner) {
            self.follow();
        } else if leader != self.me || !is_voter {
            self.stand_down(effects);
        } else if is_new {
            self.duty = Duty::Leading(Leading::new());
        }
        // What remains is an epoch that was promised to before: either it is led already, or by
        // the process that this one replaces. That one may have been open and have appended what
        // this one does not know of, so it must not go on; the control plane gives a new epoch.
    }

    pub(super) fn on_request_promise(
        &mut self,
        from: NodeId,
        epoch: Epoch,
        effects: &mut Vec<Effect>,
    ) {
        if self.is_open() && sabotage::is(Sabotage::StaleLeaderAcknowledges) {
            let promise = Promise {
                epoch,
                ..self.promise()
            };
            let message = Message::Promise(promise);
            effects.push(Effect::Send { to: from, message });
            return;
        }
        if !self.hear_leader(from, epoch, effects) {
            return;
        }
        // A later stage means that the leader has long been open, and that this is an echo.
        if let Duty::Following(Stage::Waiting { asked }) = &mut self.duty {
            *asked = true;
        }
    }

    /// Takes `from` for the leader of `epoch`, which is not older than any promise. False if that
    /// cannot be.
    pub(super) fn hear_leader(
        &mut self,
        from: NodeId,
        epoch: Epoch,
        effects: &mut Vec<Effect>,
    ) -> bool {
        if epoch > self.facts.promised {
            self.enter_epoch(epoch, from, effects);
        }
        if *self.leader.get_or_insert(from) != from || from == self.me {
            return false;
        }
        self.follow();
        true
    }

    /// Promises to `epoch`. From here on nothing of an older epoch has any effect: the promise
    /// counts in memory before it counts anywhere else.
    fn enter_epoch(&mut self, epoch: Epoch, leader: NodeId, effects: &mut Vec<Effect>) {
        assert!(epoch > self.facts.promised, "a promise is never taken back");
        self.stand_down(effects);
        self.facts.promised = epoch;
        self.leader = Some(leader);
        self.members = Members::default();
        self.persist_facts(effects);
    }

    /// Follows the epoch's leader, unless it does already.
    pub(super) fn follow(&mut self) {
        if self.duty != Duty::Idle {
            return;
        }
        // A replica that was restarted in the epoch finds that it had adopted it. What it holds
        // was then taken from this very leader, and it has lost only the end of it.
        let stage = if self.facts.log_epoch < self.facts.promised {
            Stage::Waiting { asked: false }
        } else if self.facts.is_uncertain() {
            Stage::Lost { asked: false }
        } else {
            Stage::Matched {
                opening_offset: self.durable_offset,
                leader_watermark: self.high_watermark,
                leader_start: self.facts.log_start,
            }
        };
        self.duty = Duty::Following(stage);
    }

    /// Ends whatever part this replica has in the epoch.
    pub(super) fn stand_down(&mut self, effects: &mut Vec<Effect>) {
        let duty = std::mem::replace(&mut self.duty, Duty::Idle);
        if let Duty::Leading(leading) = duty {
            if leading.resend_armed {
                effects.push(Effect::Disarm(Timer::Resend));
            }
            if leading.commit_armed {
                effects.push(Effect::Disarm(Timer::Commit));
            }
            effects.push(Effect::SteppedDown);
        }
    }
}
