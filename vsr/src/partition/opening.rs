//! A leader on its way to being open: promises, choice, reconciling, adopting.

use std::collections::BTreeMap;

use super::choice::{Choice, choose};
use super::storage::LACKS_COMMITS;
use super::{
    Adopt, Duty, Effect, Follower, Leading, Message, Phase, Promise, RecordsHead, Replica, Timer,
    Undecided,
};
use crate::{Epoch, NodeId, Offset};

impl Replica {
    /// Goes as far as the disk and the voters allow.
    pub(super) fn advance_leading(&mut self, effects: &mut Vec<Effect>) {
        // Nothing is said or done in an epoch before the own promise to it is durable.
        if !self.has_promised() {
            return;
        }
        if let Some(Phase::Promising { .. }) = self.phase() {
            self.advance_promising(effects);
        }
        if let Some(Phase::Reconciling { choice, .. }) = self.phase() {
            let choice = choice.clone();
            self.advance_reconciling(&choice, effects);
        }
        if let Some(&Phase::Adopting { high_watermark }) = self.phase()
            && self.has_adopted()
        {
            self.enter_open(high_watermark, effects);
        }
        if let Some(Phase::Open { .. }) = self.phase() {
            self.advance_open(effects);
        }
    }

    pub(super) fn phase(&self) -> Option<&Phase> {
        match &self.duty {
            Duty::Leading(leading) => Some(&leading.phase),
            Duty::Idle | Duty::Following(_) => None,
        }
    }

    /// Why a leader that asks for promises has not chosen a log yet, as far as it knows by now.
    ///
    /// `None` on any other replica, and on a leader that has chosen.
    #[must_use]
    pub fn undecided(&self) -> Option<Undecided> {
        let Some(Phase::Promising { promises, .. }) = self.phase() else {
            return None;
        };
        choose(promises, &self.members.electorate, self.me).err()
    }

    fn set_phase(&mut self, next: Phase) {
        if let Duty::Leading(leading) = &mut self.duty {
            leading.phase = next;
        }
    }

    fn advance_promising(&mut self, effects: &mut Vec<Effect>) {
        let own = self.is_settled().then(|| self.promise());
        let Duty::Leading(Leading {
            phase: Phase::Promising { asked, promises },
            ..
        }) = &mut self.duty
        else {
            return;
        };
        let must_ask = !std::mem::replace(asked, true);
        if let Some(own) = own {
            // The own promise counts like any other: only when facts and log are durable.
            promises.entry(self.me).or_insert(own);
        }
        let choice = choose(promises, &self.members.electorate, self.me);
        match choice {
            Ok(choice)
                if self.lacks_commits(choice.log_start, &choice.history, choice.next_offset) =>
            {
                let (from, why) = (choice.source, LACKS_COMMITS);
                effects.push(Effect::Distrust { from, why });
                self.forget_promise(from);
            }
            Ok(choice) => self.enter_reconciling(choice, effects),
            Err(_) if must_ask => self.request_promises(effects),
            Err(_) => {}
        }
    }

    fn forget_promise(&mut self, of: NodeId) {
        if let Duty::Leading(Leading {
            phase: Phase::Promising { promises, .. },
            ..
        }) = &mut self.duty
        {
            promises.remove(&of);
        }
    }

    fn request_promises(&mut self, effects: &mut Vec<Effect>) {
        let Some(Phase::Promising { promises, .. }) = self.phase() else {
            return;
        };
        let message = Message::RequestPromise {
            epoch: self.facts.promised,
        };
        for to in self.members.electorate.members() {
            if to != self.me && !promises.contains_key(&to) {
                effects.push(Effect::Send {
                    to,
                    message: message.clone(),
                });
            }
        }
        self.arm_resend(effects);
    }

    pub(super) fn on_promise(&mut self, from: NodeId, promise: Promise, effects: &mut Vec<Effect>) {
        if !promise.is_sound() {
            let why = "it promises a log that cannot be";
            effects.push(Effect::Distrust { from, why });
            return;
        }
        let is_voter = self.members.electorate.contains(from) && from != self.me;
        if let Duty::Leading(Leading {
            phase: Phase::Promising { promises, .. },
            ..
        }) = &mut self.duty
            && is_voter
        {
            promises.insert(from, promise);
        }
    }

    fn enter_reconciling(&mut self, choice: Choice, effects: &mut Vec<Effect>) {
        self.set_phase(Phase::Reconciling {
            choice: choice.clone(),
            pulling: false,
        });
        self.advance_reconciling(&choice, effects);
    }

    /// Makes the own log equal to the chosen one: cuts what differs, then fetches what is missing.
    ///
    /// Meanwhile `log_epoch` stays what it was. Should this fail half-way, the log has lost nothing
    /// that was committed, and has gained only what was chosen.
    fn advance_reconciling(&mut self, choice: &Choice, effects: &mut Vec<Effect>) {
        let (start, next) = (choice.log_start, choice.next_offset);
        if !self.cut_to_prefix_of(start, &choice.history, next, effects) {
            return;
        }
        if self.next_offset < choice.next_offset {
            self.pull(choice.source, effects);
        } else if self.durable_offset == self.next_offset {
            // Only now, with every chosen record on the own stable storage, may this log be called
            // that of the epoch. It begins no lower than that of any who promised.
            self.raise_high_watermark(choice.log_start, effects);
            self.raise_log_start(choice.log_start, effects);
            self.adopt_epoch(effects);
            self.set_phase(Phase::Adopting {
                high_watermark: choice.high_watermark,
            });
        }
    }

    fn pull(&mut self, source: NodeId, effects: &mut Vec<Effect>) {
        if let Duty::Leading(Leading {
            phase: Phase::Reconciling { pulling, .. },
            ..
        }) = &mut self.duty
            && !std::mem::replace(pulling, true)
        {
            let message = Message::Pull {
                epoch: self.facts.promised,
                from: self.next_offset,
            };
            effects.push(Effect::Send {
                to: source,
                message,
            });
            self.arm_resend(effects);
        }
    }

    /// Records that were pulled. They are asked for one message after the other: what two voters
    /// differ by is what was in flight when a leader fell, and that is little.
    pub(super) fn on_pulled_records(
        &mut self,
        from: NodeId,
        head: RecordsHead,
        next_offset: Offset,
        epochs: &[(Epoch, Offset)],
        effects: &mut Vec<Effect>,
    ) {
        let may_accept = self.may_accept(next_offset, epochs);
        if let Duty::Leading(Leading {
            phase: Phase::Reconciling { choice, pulling },
            ..
        }) = &mut self.duty
            && may_accept
            && *pulling
            && choice.source == from
            && head.base_offset == self.next_offset
            && next_offset <= choice.next_offset
        {
            *pulling = false;
            self.accept(next_offset, epochs, effects);
        }
    }

    fn enter_open(&mut self, high_watermark: Offset, effects: &mut Vec<Effect>) {
        let others = self.members.all().map(|(node, _)| node);
        let others = others.filter(|node| *node != self.me);
        let followers: BTreeMap<NodeId, Follower> =
            others.map(|node| (node, Follower::default())).collect();
        let targets: Vec<NodeId> = followers.keys().copied().collect();
        effects.push(Effect::Opened {
            epoch: self.facts.promised,
        });
        self.raise_high_watermark(high_watermark, effects);
        let adopt = self.adopt_message(self.next_offset, 0);
        self.set_phase(Phase::Open {
            opening_offset: self.next_offset,
            followers,
        });
        for to in targets {
            effects.push(Effect::Send {
                to,
                message: adopt.clone(),
            });
        }
    }

    /// What followers are to adopt. The epoch's own records come after the opening and are no part
    /// of it, unless they have expired since.
    pub(super) fn adopt_message(&self, opening_offset: Offset, loss: u32) -> Message {
        let log_start = self.facts.log_start;
        let opening_offset = opening_offset.max(log_start);
        let mut history = self.history.clone();
        history.truncate(opening_offset);
        Message::Adopt(Adopt {
            epoch: self.facts.promised,
            opening_offset,
            high_watermark: self.high_watermark,
            log_start,
            history,
            loss,
        })
    }

    pub(super) fn arm_resend(&mut self, effects: &mut Vec<Effect>) {
        if let Duty::Leading(leading) = &mut self.duty {
            leading.resend_armed = true;
            effects.push(Effect::Arm(Timer::Resend));
        }
    }

    /// Whoever was asked has not answered, or not with enough.
    pub(super) fn on_resend_unopened(&mut self, effects: &mut Vec<Effect>) {
        match self.phase() {
            Some(Phase::Promising { .. }) => self.request_promises(effects),
            // The voter with the better log may have died. The choice is made anew, as a new epoch
            // would make it: nothing has been done in this one. If that voter lives, it is chosen
            // again, and the pull goes on from where it is.
            Some(Phase::Reconciling { .. }) => self.set_phase(Phase::promising()),
            Some(Phase::Adopting { .. } | Phase::Open { .. }) | None => {}
        }
    }
}
