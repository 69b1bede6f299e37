//! View changes (paper, section 4.2).
//!
//! A voter that has lost faith in its view asks for the next one (`StartViewChange`) and goes on as
//! before. When a majority asks, each of them enters the view and goes through the phases:
//!
//! ```text
//!  Promising --- view and journal durable ---> Waiting --- majority of promises ---> Adopting
//!      |                                          |         (primary to be)             |
//!      |                                          +--- the primary says where its ------+
//!      +---------------------------------------------- log ends (backup) --------------+|
//!                                                                                       v
//!  Normal <--- superblock with log_view durable --- Settling <--- that log durable -----+
//! ```
//!
//! In `Waiting` nothing changes the journal: the promise speaks of it. In `Adopting` it is brought
//! to the log that was chosen, which other members are asked for piece by piece; so no message of a
//! view change carries a log. Only a settled log is served, acknowledged and executed.

use std::mem;

use super::choice::choose;
use super::{Effect, Head, Member, Message, Promise, Reads, Replica, Status, Timer};
use crate::sabotage::{self, Sabotage};
use crate::{ViewNumber, quorum};

/// How far a view change has come at one replica.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Phase {
    /// The promise to take no part in earlier views is being made durable.
    Promising,
    /// The promise was given; the log of the view is not known yet.
    Waiting,
    /// The log of the view ends here, and the journal is being brought to it.
    Adopting(Head),
    /// The journal is that log; the superblock that says so is being written.
    Settling(u64),
}

impl Replica {
    /// Asks for a view at least as late as `view`, and says so to the other voters.
    ///
    /// If another voter asks for a later one already, so does this one: otherwise three voters
    /// might ask for three different views.
    pub(super) fn cast_vote(&mut self, view: ViewNumber, effects: &mut Vec<Effect>) {
        let latest = self.votes.values().copied().max().unwrap_or_default();
        self.vote = Some(view.max(latest).max(self.vote.unwrap_or_default()));
        self.broadcast_to_voters(&self.start_view_change(), effects);
        effects.push(Effect::Arm(Timer::ViewChangeResend));
    }

    pub(super) fn on_start_view_change(
        &mut self,
        from: Member,
        view: ViewNumber,
        promised: ViewNumber,
        effects: &mut Vec<Effect>,
    ) {
        self.ask_stranger_for_repair(from, effects);
        if !self.may_be_led_by(from) {
            return;
        }
        if self.membership().is_voter(from) {
            let vote = self.votes.entry(from).or_default();
            *vote = view.max(*vote);
        }
        if promised > self.view {
            self.enter_view_change(promised, effects);
        } else if self.vote.is_some_and(|mine| mine < view) || self.is_relieved(from, view) {
            self.cast_vote(view, effects);
            self.tell_stranger(from, view, effects);
        } else if self.is_confident_primary() {
            // Whoever asks has missed that there is a primary, for instance because it was
            // restarted.
            self.send(from.node, self.commit_message(), effects);
        } else {
            self.tell_stranger(from, view, effects);
        }
    }

    /// Whether a member may bring this replica into a later view, or to ask for one.
    ///
    /// Another member may. A replica that is behind may not know who the members are by now, and
    /// may be a voter who is needed; so when it misses its primary it listens to everybody. As long
    /// as it is content, nobody disturbs it who has been dropped and was not told so. And before
    /// the first view all members are known: a stranger is there by mistake.
    fn may_be_led_by(&self, from: Member) -> bool {
        let is_content = self.status == Status::Normal && self.vote.is_none();
        let may_be_behind = !is_content && self.log_view > ViewNumber::default();
        self.knows_group() && (self.membership().contains(from) || may_be_behind)
    }

    /// Whether this replica asks for views.
    ///
    /// A standby does: perhaps it is a voter by now, and does not know it yet. Where it is known to
    /// be none, its question does not count. Who has lost his disk, or knows that he was dropped,
    /// is silent. A voter never takes himself for dropped: before he was promoted he had durably
    /// what made him a member. Only damage can hide that, until it is mended.
    pub(super) fn may_ask(&self) -> bool {
        self.membership().contains(self.member())
    }

    /// Whether the primary of this replica's view asks for a later one.
    ///
    /// It hands over, or has been restarted, or hears no majority: there is no use in waiting until
    /// it is silent.
    fn is_relieved(&self, from: Member, view: ViewNumber) -> bool {
        let is_asked_by_primary = from.node == self.primary() && view > self.view;
        is_asked_by_primary && self.status == Status::Normal && self.vote.is_none()
    }

    /// Lets somebody who asks for `view`, and whom this replica does not know as a voter, know what
    /// it asks for itself, or in which view it is: there it may count.
    ///
    /// At once only if that is later than `view`. Otherwise two who do not know each other as
    /// voters would go on answering each other's answers; so it is said with the next repetition.
    fn tell_stranger(&mut self, from: Member, view: ViewNumber, effects: &mut Vec<Effect>) {
        if self.membership().is_voter(from) {
            return;
        }
        if self.view.max(self.vote.unwrap_or_default()) > view {
            self.send(from.node, self.start_view_change(), effects);
        } else if self.vote.is_some() {
            self.strangers.insert(from);
        }
    }

    fn tell_strangers(&mut self, effects: &mut Vec<Effect>) {
        let strangers = mem::take(&mut self.strangers);
        for stranger in strangers.into_iter().filter(|_| self.vote.is_some()) {
            self.send(stranger.node, self.start_view_change(), effects);
        }
    }

    /// Lets the primary of an earlier view, of whom this replica does not know that he votes, know
    /// in which view it is, so that he comes after it.
    ///
    /// It may have gone there with voters who are none any more, or by itself, because damage has
    /// taken from it how the members changed.
    pub(super) fn tell_earlier_primary(&self, from: Member, effects: &mut Vec<Effect>) {
        if self.may_ask() && !self.membership().is_voter(from) {
            self.send(from.node, self.start_view_change(), effects);
        }
    }

    /// Enters the latest view that a majority is in or asks for.
    pub(super) fn advance_votes(&mut self, effects: &mut Vec<Effect>) {
        if !self.knows_group() {
            return;
        }
        let vote_of = |voter: &Member| {
            if *voter == self.member() {
                self.view.max(self.vote.unwrap_or_default())
            } else {
                self.votes.get(voter).copied().unwrap_or_default()
            }
        };
        let votes = self.membership().voters().iter().map(vote_of).collect();
        let view = quorum::reached(votes).expect("a group has voters");
        if view > self.view && self.is_primary() && sabotage::is(Sabotage::StaleLeaderAcknowledges)
        {
            self.send_promise_for(view, self.promise(), effects);
        } else if view > self.view {
            self.enter_view_change(view, effects);
        }
    }

    fn enter_view_change(&mut self, view: ViewNumber, effects: &mut Vec<Effect>) {
        self.enter_view(view);
        self.enter_view_change_status(Phase::Promising, effects);
        self.vote = self.vote.filter(|vote| *vote > view);
        self.votes.retain(|_, vote| *vote > view);
        self.persist(effects);
        effects.push(Effect::Arm(Timer::ViewChangeResend));
    }

    fn enter_view_change_status(&mut self, phase: Phase, effects: &mut Vec<Effect>) {
        self.status = Status::ViewChange;
        self.phase = Some(phase);
        self.promises.clear();
        self.acknowledged.clear();
        self.heard.clear();
        self.fetch = None;
        self.drop_lease(effects);
        self.reject_reads(effects);
        self.reads = Reads::default();
        let timers = [
            Timer::Prepare,
            Timer::Commit,
            Timer::QuorumSilent,
            Timer::PrimarySilent,
            Timer::GetState,
        ];
        effects.extend(timers.map(Effect::Disarm));
        self.drop_handover(effects);
        effects.push(Effect::Arm(Timer::ViewChangeStalled));
    }

    /// Sets out for a view that has begun, with a log that ends at `head` or later.
    pub(super) fn adopt(
        &mut self,
        from: Member,
        view: ViewNumber,
        head: Head,
        effects: &mut Vec<Effect>,
    ) {
        let is_new = view > self.view;
        if let Some(Phase::Adopting(_) | Phase::Settling(_)) = self.phase
            && !is_new
        {
            // Already on the way. The primary is there, so it is worth while to go on waiting.
            effects.push(Effect::Arm(Timer::ViewChangeStalled));
            return;
        }
        if head.op < self.commit_number {
            // In the view of this replica it was said earlier: a checkpoint that was taken in this
            // very view may be in force here.
            if is_new {
                let why = "the log of its view lacks what was committed before";
                effects.push(Effect::Distrust { from, why });
            }
            return;
        }
        if is_new {
            self.enter_view(view);
        }
        self.enter_view_change_status(Phase::Adopting(head), effects);
        self.vote = None;
        self.votes.clear();
        effects.push(Effect::Disarm(Timer::ViewChangeResend));
        if is_new {
            self.persist(effects);
        }
        if !self.has_log(head) {
            self.fetch_state(vec![self.primary()], head.op, effects);
        }
    }

    pub(super) fn on_do_view_change(
        &mut self,
        from: Member,
        view: ViewNumber,
        promise: Promise,
        effects: &mut Vec<Effect>,
    ) {
        let is_for_me = view.primary() == self.config.me;
        if !is_for_me || view < self.view || !self.knows_group() {
            return;
        }
        // Whether a promise counts is told by the membership of the log that is chosen.
        if view > self.view {
            if !self.may_be_led_by(from) {
                return;
            }
            self.enter_view_change(view, effects);
        }
        match self.phase {
            // Once a log was chosen, a further promise counts only if the choice is made anew.
            Some(Phase::Promising | Phase::Waiting | Phase::Adopting(_)) => {
                self.promises.insert(from, promise);
            }
            Some(Phase::Settling(_)) => {}
            None if self.is_primary() => self.send(from.node, self.start_view(), effects),
            None => {}
        }
    }

    /// Goes through as many phases as is possible.
    pub(super) fn advance_view_change(&mut self, effects: &mut Vec<Effect>) {
        loop {
            let before = self.phase.clone();
            match before {
                None => return,
                Some(Phase::Promising) => self.advance_promising(effects),
                Some(Phase::Waiting) => self.advance_waiting(effects),
                Some(Phase::Adopting(head)) => self.advance_adopting(head, effects),
                Some(Phase::Settling(sequence)) => {
                    if self.superblocks.durable >= sequence {
                        self.enter_normal(effects);
                    }
                }
            }
            if self.phase == before {
                return;
            }
        }
    }

    /// Gives the promise when it is durable, and all that it says of the journal is true for good.
    fn advance_promising(&mut self, effects: &mut Vec<Effect>) {
        let is_promised =
            self.superblocks.promised == self.view || sabotage::is(Sabotage::ViewNotDurable);
        if !is_promised || !self.journal.is_durable() || self.is_installing() {
            return;
        }
        self.phase = Some(Phase::Waiting);
        self.promises.insert(self.member(), self.promise());
        self.send_promise(effects);
    }

    fn promise(&self) -> Promise {
        Promise {
            log_view: self.log_view,
            log_view_op: self.log_view_op,
            head: self.journal.head(),
            sound: self.journal.sound_head(),
            membership: self.membership_at(self.journal.sound_head().op).clone(),
            is_tail_uncertain: self.damage.is_some(),
            commit_number: self.commit_known,
            lease_may_hold: self.lease.may_hold,
        }
    }

    /// Tells the promise that was given last. The journal may be a better one by now, and not yet
    /// on stable storage.
    fn send_promise(&self, effects: &mut Vec<Effect>) {
        self.broadcast_to_voters(&self.start_view_change(), effects);
        if self.primary() != self.config.me {
            let promise = self.promises.get(&self.member()).cloned();
            let promise = promise.expect("it was given before it is told");
            self.send_promise_for(self.view, promise, effects);
        }
    }

    fn send_promise_for(&self, view: ViewNumber, promise: Promise, effects: &mut Vec<Effect>) {
        let message = Message::DoViewChange { view, promise };
        self.send(view.primary(), message, effects);
    }

    /// Promises anew when more of the journal can be read than before; as primary to be, chooses
    /// the log as soon as the promises allow it.
    fn advance_waiting(&mut self, effects: &mut Vec<Effect>) {
        let promise = self.promise();
        let is_new = self.promises.get(&self.member()) != Some(&promise);
        if is_new {
            // What is not durable yet is not promised, and what was promised may be replaced.
            if !self.journal.is_durable() {
                return;
            }
            self.promises.insert(self.member(), promise);
            self.send_promise(effects);
        }
        // Without its state a replica could not serve. The next view has another primary.
        if self.primary() != self.config.me || self.lost_checkpoint.is_some() {
            return;
        }
        let Some(choice) = choose(&self.promises, self.member()) else {
            return;
        };
        self.commit_known = self.commit_known.max(choice.commit_number);
        self.phase = Some(Phase::Adopting(choice.head));
        self.wait_for_lease(effects);
        if !self.has_log(choice.head) {
            let mut others = choice.owners;
            others.retain(|owner| *owner != self.config.me);
            self.fetch_state(others, choice.head.op, effects);
        }
    }

    /// Whether this replica waits, as primary to be, for a log that it has chosen.
    pub(super) fn may_choose_anew(&self) -> bool {
        let is_waiting = match self.phase {
            Some(Phase::Adopting(_)) => true,
            Some(Phase::Promising | Phase::Waiting | Phase::Settling(_)) | None => false,
        };
        is_waiting && self.primary() == self.config.me && !self.is_installing()
    }

    /// As primary to be: chooses without those who have the chosen log and do not give it.
    ///
    /// They are dead by now, or are heard and do not hear. The promises of a majority are enough
    /// whose ever they are, so the choice is made as the next view would make it. What was fetched
    /// of the log stays in the journal: it has replaced nothing that was committed, and the own
    /// promise is renewed.
    pub(super) fn choose_anew(&mut self, effects: &mut Vec<Effect>) {
        let silent = self.fetch.take().map(|fetch| fetch.donors);
        let silent = silent.unwrap_or_default();
        self.promises
            .retain(|member, _| !silent.contains(&member.node));
        effects.push(Effect::Disarm(Timer::GetState));
        self.phase = Some(Phase::Waiting);
    }

    /// Whether the journal, with the checkpoint before it, includes the log that ends at `head`.
    pub(super) fn has_log(&self, head: Head) -> bool {
        head.op <= self.journal.base().op || self.journal.holds(head)
    }

    /// Declares the journal the log of this view when it is, and on stable storage.
    fn advance_adopting(&mut self, head: Head, effects: &mut Vec<Effect>) {
        if !self.has_log(head) || !self.journal.is_durable() || self.is_installing() {
            return;
        }
        if !self.may_change_journal() {
            return;
        }
        let end = head.op.max(self.journal.base().op);
        assert!(
            end >= self.commit_number,
            "the log of a later view includes what was committed"
        );
        let was_damaged = self.is_damaged();
        self.journal.cut(end);
        self.fetch = None;
        effects.push(Effect::Disarm(Timer::GetState));
        self.log_view = self.view;
        self.log_view_op = end;
        self.log_view_checksum = self.journal.head().checksum;
        self.damage = None;
        self.may_be_fork = false;
        if was_damaged {
            self.finish_repair(effects);
        }
        let sequence = self.persist(effects);
        self.phase = Some(Phase::Settling(sequence));
    }

    /// Begins to take part in the view: the log that it started with is durable, and so is
    /// `log_view`.
    fn enter_normal(&mut self, effects: &mut Vec<Effect>) {
        self.status = Status::Normal;
        self.phase = None;
        self.promises.clear();
        self.vote = None;
        self.votes.clear();
        let timers = [Timer::ViewChangeStalled, Timer::ViewChangeResend];
        effects.extend(timers.map(Effect::Disarm));
        if !self.is_primary() {
            self.enter_following(effects);
            self.acknowledge(effects);
            return;
        }
        if sabotage::is(Sabotage::DedupForgotten) {
            self.client_table.forget_requests();
        }
        self.broadcast(&self.start_view(), effects);
        effects.push(Effect::Arm(Timer::Commit));
        if self.other_voters().next().is_some() {
            effects.push(Effect::Arm(Timer::QuorumSilent));
        }
        if self.commit_number < self.op_number() {
            effects.push(Effect::Arm(Timer::Prepare));
        }
    }

    fn start_view(&self) -> Message {
        Message::StartView {
            view: self.view,
            commit_number: self.commit_number,
            head: self.journal.head(),
            round: self.reads.round,
        }
    }

    fn start_view_change(&self) -> Message {
        Message::StartViewChange {
            view: self.view.max(self.vote.unwrap_or_default()),
            promised: self.superblocks.promised,
        }
    }

    /// The next view whose primary is there, as far as this replica has heard in this view change.
    ///
    /// Everybody who takes part in it says so again and again. Whoever is silent all the time would
    /// not become the primary of those who do not hear it either, and to give it its turn would
    /// cost them another wait.
    ///
    /// Who hears no majority does not know who is there: everybody has a turn then. Otherwise some
    /// who are heard and hear only each other would go on naming each other, and the rest, who
    /// follow the latest wish, would never have a turn. Of any majority, one is in another.
    fn next_view_with_primary(&self) -> ViewNumber {
        let is_there = |voter: &&Member| {
            let heard = self.votes.get(voter).is_some_and(|vote| *vote >= self.view);
            heard || **voter == self.member()
        };
        let present = self.membership().voters().iter().filter(is_there);
        let present: Vec<_> = present.map(|voter| voter.node).collect();
        if present.len() < self.majority() {
            self.next_view()
        } else {
            self.view.next_among(&present)
        }
    }

    /// What to ask for when a view change is stuck.
    ///
    /// Who does not know where its journal ends does not know who votes either, and might name the
    /// same primary over and over. It only joins others: a group goes on only if a majority knows
    /// its ends, and then these do not need it.
    fn view_after_stall(&self) -> Option<ViewNumber> {
        if self.damage.is_none() {
            return Some(self.next_view_with_primary());
        }
        let asked_for = self.votes.values().copied().max();
        asked_for.filter(|view| *view > self.view)
    }

    pub(super) fn on_view_change_stalled(&mut self, effects: &mut Vec<Effect>) {
        if self.status == Status::ViewChange {
            if self.may_ask()
                && let Some(view) = self.view_after_stall()
            {
                self.cast_vote(view, effects);
            }
            effects.push(Effect::Arm(Timer::ViewChangeStalled));
        }
    }

    pub(super) fn on_view_change_resend(&mut self, effects: &mut Vec<Effect>) {
        self.send_recovery(effects);
        self.tell_strangers(effects);
        match self.phase {
            Some(Phase::Waiting) => self.send_promise(effects),
            Some(Phase::Promising) => {
                self.broadcast_to_voters(&self.start_view_change(), effects);
            }
            Some(Phase::Adopting(_) | Phase::Settling(_)) | None if self.vote.is_some() => {
                self.broadcast_to_voters(&self.start_view_change(), effects);
            }
            Some(Phase::Adopting(_) | Phase::Settling(_)) | None => return,
        }
        effects.push(Effect::Arm(Timer::ViewChangeResend));
    }
}
