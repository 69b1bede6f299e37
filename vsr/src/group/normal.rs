//! Normal operation (paper, section 4.1, steps 2 to 7).
//!
//! The primary sends a prepare to everybody while it writes it to its own disk. It counts itself
//! among the acknowledgements only when its own copy is durable, so a majority of *disks* holds
//! what is committed. Backups take prepares strictly in order and acknowledge all that is durable
//! at once; so an acknowledgement that is lost is made good by the next one. A gap is filled by
//! state transfer.

use super::{Checksum, Content, Effect, Head, Member, Message, Prepare, Replica, Status, Timer};
use crate::sabotage::{self, Sabotage};
use crate::{OpNumber, ViewNumber, quorum};

impl Replica {
    /// As primary: gives `content` the next number and sends it on its way.
    pub(super) fn prepare_content(&mut self, content: Content, effects: &mut Vec<Effect>) {
        assert!(self.is_primary(), "only the primary gives out numbers");
        let was_idle = self.commit_number == self.op_number();
        let prepare = Prepare::new(self.journal.head(), self.view, content);
        self.measure_lease(prepare.op, effects);
        self.broadcast(&self.prepare_message(&prepare), effects);
        self.journal.append(prepare, effects);
        if was_idle {
            effects.push(Effect::Arm(Timer::Prepare));
        }
    }

    pub(super) fn on_prepare(
        &mut self,
        from: Member,
        view: ViewNumber,
        commit_number: OpNumber,
        prepare: Prepare,
        effects: &mut Vec<Effect>,
    ) {
        // A later view is not entered on account of a prepare, because a prepare does not tell
        // where the log of its view ends. The primary's next `Commit` does.
        if view != self.view || from.node != self.primary() || !self.follow_primary(effects) {
            return;
        }
        self.commit_known = self.commit_known.max(commit_number);
        if self.is_installing() {
            return;
        }
        if prepare.op > self.op_number() && self.is_journal_full() {
            // It will be fetched when the disk has caught up.
            if self.lacks_room() {
                self.fetch_state(vec![from.node], prepare.op, effects);
            }
            return;
        }
        if prepare.follows(self.journal.head()) {
            self.journal.append(prepare, effects);
        } else if prepare.op > self.op_number() {
            self.fetch_state(vec![from.node], prepare.op, effects);
        } else if self.journal.may_mend(&prepare) {
            self.journal.mend(prepare, effects);
        } else {
            // It was here before: the acknowledgement must have been lost.
            self.acknowledge(effects);
        }
    }

    pub(super) fn on_prepare_durable(
        &mut self,
        op: OpNumber,
        checksum: Checksum,
        effects: &mut Vec<Effect>,
    ) {
        let before = self.journal.durable();
        self.journal.written(op, checksum);
        if self.journal.durable() > before {
            self.acknowledge(effects);
        }
    }

    /// As backup: tells the primary how far the journal of this view is durable.
    ///
    /// A standby does so too. It does not count towards a commit, but before it is made a voter the
    /// primary has to know how far it is. In status `Normal`, `log_view` is this view and on stable
    /// storage: see [`enter_normal`](Self::enter_normal).
    pub(super) fn acknowledge(&mut self, effects: &mut Vec<Effect>) {
        if self.status == Status::Normal && !self.is_primary() {
            let op = if sabotage::is(Sabotage::PrepareOkBeforeDurable) {
                self.op_number()
            } else {
                self.journal.durable()
            };
            let message = Message::PrepareOk {
                view: self.view,
                op,
                round: self.reads.heard,
            };
            self.support_lease(effects);
            self.send(self.primary(), message, effects);
        }
    }

    pub(super) fn on_prepare_ok(
        &mut self,
        from: Member,
        view: ViewNumber,
        op: OpNumber,
        round: u64,
        effects: &mut Vec<Effect>,
    ) {
        if view != self.view || !self.is_primary() {
            return;
        }
        if op > self.op_number() {
            let why = "it claims to have more of this view's log than the primary";
            effects.push(Effect::Distrust { from, why });
            return;
        }
        let acknowledged = self.acknowledged.entry(from).or_default();
        *acknowledged = op.max(*acknowledged);
        self.reads.echo(from, round);
        self.votes.remove(&from);
        self.heard.insert(from);
        if self.hears_majority() {
            self.heard.clear();
            effects.push(Effect::Arm(Timer::QuorumSilent));
            if self.handover.is_none() {
                self.be_content(effects);
            }
        }
    }

    fn hears_majority(&self) -> bool {
        let is_heard = |voter: &&Member| **voter == self.member() || self.heard.contains(*voter);
        let voters = self.membership().voters().iter();
        voters.filter(is_heard).count() >= self.majority()
    }

    /// As primary: if it asks for a later view, asks no longer and goes on.
    pub(super) fn be_content(&mut self, effects: &mut Vec<Effect>) {
        if self.vote.take().is_some() {
            effects.push(Effect::Disarm(Timer::ViewChangeResend));
            self.send_commit(effects);
            if self.commit_number < self.op_number() {
                effects.push(Effect::Arm(Timer::Prepare));
            }
        }
    }

    /// Moves the commit number forward, in the journal of a view that is settled.
    pub(super) fn advance_commit(&mut self, effects: &mut Vec<Effect>) {
        if self.status != Status::Normal {
            return;
        }
        // A primary before this one may still answer reads, which must not miss anything.
        if self.is_primary() && !self.lease.is_waited_for {
            let reached = quorum::reached(self.durable_everywhere());
            self.commit_known = self.commit_known.max(reached.expect("a group has voters"));
            if sabotage::is(Sabotage::CommitWithoutQuorum) {
                self.commit_known = self.commit_known.max(self.journal.durable());
            }
        }
        let commit_number = self.commit_known.min(self.journal.sound_head().op);
        if commit_number <= self.commit_number {
            return;
        }
        self.commit_number = commit_number;
        self.lease.commit(commit_number);
        if self.is_primary() && commit_number == self.op_number() {
            effects.push(Effect::Disarm(Timer::Prepare));
            // No further prepare will tell the others soon.
            if self.vote.is_none() {
                self.send_commit(effects);
            }
        }
    }

    /// How far each voter has acknowledged. The membership is the one in force in the journal of
    /// the primary as it is now; so a primary that is no voter does not count itself.
    fn durable_everywhere(&self) -> Vec<OpNumber> {
        let durable = |voter: &Member| self.acknowledged_by(*voter).unwrap_or_default();
        self.membership().voters().iter().map(durable).collect()
    }

    /// As primary: how far a member has acknowledged in this view; `None` if it has not done so.
    pub(super) fn acknowledged_by(&self, member: Member) -> Option<OpNumber> {
        if member == self.member() {
            Some(self.journal.durable())
        } else {
            self.acknowledged.get(&member).copied()
        }
    }

    /// The primary says where it is, as `Commit` or as `StartView`.
    pub(super) fn on_head(
        &mut self,
        from: Member,
        view: ViewNumber,
        commit_number: OpNumber,
        head: Head,
        round: u64,
        effects: &mut Vec<Effect>,
    ) {
        if view < self.view {
            self.tell_earlier_primary(from, effects);
            return;
        }
        if !self.may_trust_head(view) {
            return;
        }
        self.commit_known = self.commit_known.max(commit_number);
        if view > self.view || !self.follow_primary(effects) {
            self.adopt(from, view, head, effects);
            return;
        }
        if head.op > self.op_number() {
            self.fetch_state(vec![from.node], head.op, effects);
        }
        self.reads.heard = self.reads.heard.max(round);
        self.acknowledge(effects);
    }

    /// Notes that the primary of this view is there, and says whether this replica is its backup.
    fn follow_primary(&mut self, effects: &mut Vec<Effect>) -> bool {
        let rejoins = self.status == Status::Recovering
            && self.damage.is_none()
            && self.log_view == self.view;
        if rejoins {
            // A crash was a pause: everything that was acknowledged in this view is still there.
            self.status = Status::Normal;
        }
        if self.status != Status::Normal {
            return false;
        }
        self.enter_following(effects);
        true
    }

    /// As backup: is content with the primary, and waits for it to fall silent.
    pub(super) fn enter_following(&mut self, effects: &mut Vec<Effect>) {
        if self.vote.take().is_some() {
            effects.push(Effect::Disarm(Timer::ViewChangeResend));
        }
        self.votes.clear();
        effects.push(Effect::Arm(Timer::PrimarySilent));
    }

    pub(super) fn on_prepare_timeout(&mut self, effects: &mut Vec<Effect>) {
        // A primary that hears no majority must fall silent, or nobody would ever replace it.
        let is_silent = self.vote.is_some();
        if !self.is_primary() || is_silent || self.commit_number == self.op_number() {
            return;
        }
        for voter in self.other_voters() {
            let acknowledged = self.acknowledged_by(voter).unwrap_or_default();
            // Who lacks committed prepares as well finds the gap and asks for state.
            for prepare in self.journal.after(self.commit_number.max(acknowledged)) {
                self.send(voter.node, self.prepare_message(prepare), effects);
            }
        }
        effects.push(Effect::Arm(Timer::Prepare));
    }

    pub(super) fn on_commit_timeout(&mut self, effects: &mut Vec<Effect>) {
        if self.is_primary() && self.vote.is_none() {
            self.send_commit(effects);
        }
    }

    pub(super) fn send_commit(&self, effects: &mut Vec<Effect>) {
        self.broadcast(&self.commit_message(), effects);
        effects.push(Effect::Arm(Timer::Commit));
    }

    pub(super) fn commit_message(&self) -> Message {
        Message::Commit {
            view: self.view,
            commit_number: self.commit_number,
            head: self.journal.head(),
            round: self.reads.round,
        }
    }

    fn prepare_message(&self, prepare: &Prepare) -> Message {
        Message::Prepare {
            view: self.view,
            commit_number: self.commit_number,
            prepare: prepare.clone(),
        }
    }

    /// The primary is not heard by a majority, or does not hear it: it stops claiming to be there.
    ///
    /// It stays primary, so that what is under way can still be committed if the majority comes
    /// back.
    pub(super) fn on_quorum_silent(&mut self, effects: &mut Vec<Effect>) {
        // Without another voter there is nobody who could be silent.
        if self.is_primary() && self.other_voters().next().is_some() {
            effects.push(Effect::Disarm(Timer::Commit));
            self.drop_handover(effects);
            self.reject_reads(effects);
            self.cast_vote(self.next_view(), effects);
        }
    }

    pub(super) fn on_primary_silent(&mut self, effects: &mut Vec<Effect>) {
        let misses_primary = match self.status {
            Status::Normal => !self.is_primary(),
            Status::Recovering => true,
            Status::ViewChange => false,
        };
        if misses_primary && self.may_ask() {
            self.cast_vote(self.next_view(), effects);
        } else if misses_primary {
            // It may turn out to be a member.
            effects.push(Effect::Arm(Timer::PrimarySilent));
        }
    }
}
