//! An open leader: takes appends, sends them to all followers at once, commits, repeats what was
//! lost.

use super::{Ack, Duty, Effect, Leading, Marks, Phase, RecordsHead, Replica, Timer};
use crate::sabotage::{self, Sabotage};
use crate::{Epoch, NodeId, Offset};

/// A leader that lacks a majority's answers for so many `Timer::Resend` in a row counts as one that
/// nobody hears. One alone may be a follower that was busy.
const SILENT_ROUNDS_MAX: u8 = 4;

/// This replica does not take appends: it does not lead, or is not open yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotLeader;

impl std::fmt::Display for NotLeader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("this replica does not lead the partition, or is not open for appends yet")
    }
}

impl std::error::Error for NotLeader {}

impl Replica {
    /// Takes `count` records, one batch, into the log of an open leader and returns the offset of
    /// the first.
    ///
    /// The driver stamps the batch with that offset and [`Replica::epoch`] and appends it to its
    /// log before it carries the effects out. They send the batch to all followers, in parallel
    /// with the own disk.
    ///
    /// # Errors
    ///
    /// [`NotLeader`] unless this replica [is open](Replica::is_open); nothing has happened then.
    ///
    /// # Panics
    ///
    /// If `count` is zero: a batch without records is refused where batches are checked.
    pub fn append(&mut self, count: u32, effects: &mut Vec<Effect>) -> Result<Offset, NotLeader> {
        assert!(count > 0, "a batch holds at least one record");
        if !self.is_open() {
            return Err(NotLeader);
        }
        let base = self.next_offset;
        let end = base.0.checked_add(u64::from(count));
        self.next_offset = Offset(end.expect("no partition lives to its last offset"));
        self.history.extend(self.facts.promised, base);
        self.advance_open(effects);
        Ok(base)
    }

    /// What goes before records that are about to be sent, as [`Effect::SendRecords`] asked.
    ///
    /// `None` if that wish is out of date; then nothing must be sent. The records were read from
    /// the log between the wish and now, and as long as there is a head they are the right ones:
    /// while it serves others in an epoch, a log only grows, unless a damaged end is given up; and
    /// what was read before that is still what had been promised.
    #[must_use]
    pub fn records_head(&self, to: NodeId, epoch: Epoch, from: Offset) -> Option<RecordsHead> {
        if epoch != self.facts.promised {
            return None;
        }
        let is_wished = match self.phase() {
            Some(Phase::Open { followers, .. }) => followers
                .get(&to)
                .is_some_and(|follower| follower.wished == Some(from)),
            Some(_) => false,
            None => self.may_serve(to, from),
        };
        is_wished.then(|| RecordsHead {
            epoch,
            base_offset: from,
            marks: self.marks(),
        })
    }

    pub(super) fn on_ack(&mut self, from: NodeId, ack: &Ack) {
        // A follower's log is a prefix of this one, so an answer beyond the end is no answer.
        let is_possible = ack.durable <= ack.received && ack.received <= self.next_offset;
        if let Duty::Leading(Leading {
            phase: Phase::Open { followers, .. },
            ..
        }) = &mut self.duty
            && let Some(follower) = followers.get_mut(&from)
            && is_possible
        {
            follower.on_ack(ack);
        }
    }

    pub(super) fn on_records_sent(&mut self, to: NodeId, head: RecordsHead, end: Offset) {
        if head.epoch != self.facts.promised {
            return;
        }
        if let Duty::Leading(Leading {
            phase: Phase::Open { followers, .. },
            ..
        }) = &mut self.duty
            && let Some(follower) = followers.get_mut(&to)
        {
            assert!(
                end > head.base_offset,
                "a message with records holds records"
            );
            assert!(
                end <= self.next_offset,
                "records were sent that were never appended"
            );
            follower.on_sent(head.base_offset, end);
        }
    }

    /// Commits what a majority has, wishes for what followers lack, and arms what is needed.
    pub(super) fn advance_open(&mut self, effects: &mut Vec<Effect>) {
        self.advance_commit(effects);
        self.advance_expiry(effects);
        self.advance_compaction();
        let (next, marks) = (self.next_offset, self.marks());
        let epoch = self.facts.promised;
        let Duty::Leading(leading) = &mut self.duty else {
            return;
        };
        let Phase::Open {
            followers,
            opening_offset,
        } = &mut leading.phase
        else {
            return;
        };
        let opening_offset = *opening_offset;
        let mut is_behind = false;
        let mut is_uninformed = false;
        let mut left_behind = Vec::new();
        for (&to, follower) in followers {
            if follower.is_left_behind(marks.log_start) {
                follower.unmatch();
                left_behind.push(to);
            }
            // What is damaged here has to be repaired before it can go anywhere.
            if !self.damage.contains(follower.sent)
                && let Some(from) = follower.wish(next)
            {
                effects.push(Effect::SendRecords { to, epoch, from });
            }
            is_behind |= follower.is_behind(next, marks);
            is_uninformed |= follower.is_uninformed(next, marks);
        }
        // Neither is disarmed when its reason goes: that would cost two timer operations for each
        // record, where running out once in vain costs nothing.
        if is_behind && !leading.resend_armed {
            leading.resend_armed = true;
            effects.push(Effect::Arm(Timer::Resend));
        }
        if is_uninformed && !leading.commit_armed {
            leading.commit_armed = true;
            effects.push(Effect::Arm(Timer::Commit));
        }
        for to in left_behind {
            let message = self.adopt_message(opening_offset, 0);
            effects.push(Effect::Send { to, message });
        }
    }

    /// What is told with everything that is sent.
    fn marks(&self) -> Marks {
        Marks {
            high_watermark: self.high_watermark,
            log_start: self.facts.log_start,
            compacted_everywhere: self.compacted_everywhere,
        }
    }

    /// The commit rule: what a majority of the voters hold durably, having adopted this epoch.
    ///
    /// A voter that has not adopted counts as having nothing, however long its log is. In a later
    /// choice it would speak for an older epoch, and a log without these records might beat it.
    /// With the rule as it is, records of older epochs are committed like any others: a voter that
    /// counts them has `log_epoch` e, and no choice prefers a log that is older than that.
    ///
    /// The leader counts itself only with what is on its own disk, and may be outrun: two followers
    /// of three commit without it. In a joint epoch a majority of the previous voters has to hold
    /// it as well: should the change be given up, they decide alone again. Learners do not count.
    fn advance_commit(&mut self, effects: &mut Vec<Effect>) {
        let Some(Phase::Open { followers, .. }) = self.phase() else {
            return;
        };
        let durable = |voter: NodeId| match followers.get(&voter) {
            Some(follower) if follower.adopted => follower.durable,
            Some(_) => Offset(0),
            None => self.durable_offset,
        };
        let committed = if sabotage::is(Sabotage::CommitWithoutQuorum) {
            Some(self.durable_offset)
        } else {
            self.members.electorate.reached(durable)
        };
        let before = self.high_watermark;
        if let Some(committed) = committed {
            self.raise_high_watermark(committed, effects);
        }
        if self.high_watermark > before
            && let Duty::Leading(leading) = &mut self.duty
        {
            leading.silent_rounds = 0;
        }
    }

    /// Whether this replica leads, has something to commit, and has heard no majority for a while,
    /// although it speaks to all of them again and again.
    ///
    /// Then the best leader is another voter, if there is one that is alive: the control plane has
    /// to be told, for it may hear this node well. Until it gives out a new epoch the replica goes
    /// on: what it commits is committed by a majority as ever, so safety does not rest on this, and
    /// when the others are heard again, nothing has happened.
    #[must_use]
    pub fn is_unheard(&self) -> bool {
        match &self.duty {
            Duty::Leading(leading) => {
                self.high_watermark < self.next_offset && leading.silent_rounds == SILENT_ROUNDS_MAX
            }
            Duty::Following(_) | Duty::Idle => false,
        }
    }

    pub(super) fn on_resend(&mut self, effects: &mut Vec<Effect>) {
        if let Duty::Leading(leading) = &mut self.duty {
            leading.resend_armed = false;
        }
        let (next, marks) = (self.next_offset, self.marks());
        let epoch = self.facts.promised;
        let mut unmatched = Vec::new();
        let mut silent = Vec::new();
        let Duty::Leading(Leading {
            phase:
                Phase::Open {
                    opening_offset,
                    followers,
                },
            silent_rounds,
            ..
        }) = &mut self.duty
        else {
            self.on_resend_unopened(effects);
            return;
        };
        let opening_offset = *opening_offset;
        for (&to, follower) in followers.iter_mut() {
            let round = follower.on_resend(marks.high_watermark);
            if round.has_advanced || !follower.is_behind(next, marks) {
                continue;
            }
            if round.is_silent {
                silent.push(to);
            }
            // A follower that was restarted before it had adopted must be told again what to
            // adopt, and so must one for which too much has expired. Any other may only have lost
            // records, and says which when it is asked.
            if follower.adopted && follower.matched {
                let message = follower.announce(epoch, marks);
                effects.push(Effect::Send { to, message });
            } else {
                unmatched.push(to);
            }
        }
        // Who is not behind was asked for nothing, and has all that there is to commit.
        let is_silent = marks.high_watermark < next
            && !(self.members.electorate).has_majority(|node| !silent.contains(&node));
        *silent_rounds = match is_silent {
            true => SILENT_ROUNDS_MAX.min(*silent_rounds + 1),
            false => 0,
        };
        for to in unmatched {
            effects.push(Effect::Send {
                to,
                message: self.adopt_message(opening_offset, 0),
            });
        }
    }

    pub(super) fn on_commit_timeout(&mut self, effects: &mut Vec<Effect>) {
        let (next, marks) = (self.next_offset, self.marks());
        let epoch = self.facts.promised;
        let Duty::Leading(leading) = &mut self.duty else {
            return;
        };
        leading.commit_armed = false;
        let Phase::Open { followers, .. } = &mut leading.phase else {
            return;
        };
        for (&to, follower) in followers {
            if follower.is_uninformed(next, marks) {
                let message = follower.announce(epoch, marks);
                effects.push(Effect::Send { to, message });
            }
        }
    }
}
