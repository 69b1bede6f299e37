//! Where a log begins: records grow old and are dropped, from the first one on.
//!
//! The *log start* is the first offset that can be read. A leader raises it, to a place where a
//! batch begins, at or below what is committed. It tells the others with everything that it sends;
//! each of them raises its own once it knows everything below to be committed. A log start never
//! falls, not by a crash either, and no record is removed before it is durable.
//!
//! # Why nothing is lost by it
//!
//! A log start *stands for the records below it*: whoever has it counts as holding them, and merely
//! cannot show them. That is sound, for they were committed when it was decided. So they are the
//! same in every log that reaches that far, and in that of every later leader; which ones they are
//! is told well enough by the epoch of the last one (log matching), and that is kept. With logs
//! taken like this, every argument of this protocol holds word for word: about which log is chosen,
//! about what is a prefix of what, about who holds what durably. What remains to be seen to is that
//! a replica really has what its log start stands for:
//!
//! * **It has the records**, and drops them. They were durable here, and the log start is durable
//!   before the first of them is removed. So there is no moment at which neither is on the disk.
//! * **It has not**, because it was away for too long, is new, or has lost its disk: what its
//!   leader expects it to fetch is there no more. It then *begins anew* at its leader's log start,
//!   as if it had fetched all that is below. Its own log ends below the log start, or parts from
//!   the leader's below it, and all of it is dropped. Could it have been one of those by whom a
//!   record was committed that it drops now? The record before the log start is committed, and it
//!   does not hold that one. So a majority of others holds it, and with it, by log matching, all
//!   that is before it, and every later choice contains these. What it drops at and above the log
//!   start is no part of a chosen log, like whatever is cut.
//!
//! To begin anew takes three steps: the facts say that the log is to be dropped, it is dropped, the
//! facts say that this is done; and only then anything is appended. So a crash in between leaves
//! facts by which the log is dropped when it is opened. A log that does not reach its log start
//! although no facts say that it is to be dropped has lost its end; so has one with a record of
//! another epoch right before the log start. It is opened as one that begins at the log start, and
//! is uncertain.
//!
//! # What is promised
//!
//! Below the log start nothing is read here any more, at once. But a leader that falls before it
//! was heard leaves successors that begin where they began before. Once a majority of the voters
//! has the log start durably ([`Replica::settled_log_start`]), no later leader begins below it: a
//! promise tells it, a new leader begins no lower than any of its promises, and who adopts an epoch
//! has raised its log start to the one that its leader opened with before. So it gets from epoch to
//! epoch just like a committed record.
//!
//! Damage below the log start is forgotten.

use super::{Duty, Effect, EpochHistory, Phase, Replica, Stage};
use crate::sabotage::{self, Sabotage};
use crate::{Epoch, Offset};

/// Whether the log is to be dropped, to begin anew at the log start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) enum Anew {
    #[default]
    No,
    /// The log start is on its way to stable storage.
    Wanted,
    /// The driver was asked for it.
    Asked,
    /// It is done, and that is on its way to stable storage.
    Done,
}

impl Replica {
    /// The first offset that can be read; what was before it is gone.
    #[must_use]
    pub fn log_start(&self) -> Offset {
        self.facts.log_start
    }

    /// The log start below which no later leader begins; `None` on any other replica than an open
    /// leader.
    #[must_use]
    pub fn settled_log_start(&self) -> Option<Offset> {
        let Some(Phase::Open { followers, .. }) = self.phase() else {
            return None;
        };
        let durable = |node| match followers.get(&node) {
            Some(follower) => follower.log_start,
            None => self.durable_facts.log_start,
        };
        self.members.electorate.reached(durable)
    }

    /// The driver wants to be rid of what is before `before`.
    ///
    /// Not beyond what the own disk holds for certain: a log start counts as durable records.
    pub(super) fn on_expire(&mut self, before: Offset, effects: &mut Vec<Effect>) {
        if self.is_open() && before <= self.watermark_on_disk() {
            self.raise_log_start(before, effects);
        }
    }

    /// What has expired for a follower expires here as well: an older leader had decided it, and
    /// was not heard by those who promised to this one. The follower cannot show these records any
    /// more to anybody who needs them, be it for a repair.
    pub(super) fn advance_expiry(&mut self, effects: &mut Vec<Effect>) {
        let Some(Phase::Open { followers, .. }) = self.phase() else {
            return;
        };
        let known = followers.values().map(|follower| follower.log_start);
        let within = known.filter(|log_start| *log_start <= self.watermark_on_disk());
        if let Some(log_start) = within.max() {
            self.raise_log_start(log_start, effects);
        }
    }

    /// Follows the leader's log start, once everything below is known to be committed and is on the
    /// own disk: one that was the leader before may know of more than it has. The own log is a
    /// prefix of the leader's, so a batch begins there as well.
    pub(super) fn advance_log_start(&mut self, effects: &mut Vec<Effect>) {
        if let Duty::Following(Stage::Matched { leader_start, .. }) = self.duty
            && leader_start <= self.watermark_on_disk()
        {
            self.raise_log_start(leader_start, effects);
        }
    }

    /// The log start rises to `to`, if that is higher; everything below is committed.
    pub(super) fn raise_log_start(&mut self, to: Offset, effects: &mut Vec<Effect>) {
        if to <= self.facts.log_start {
            return;
        }
        assert!(
            to <= self.watermark_on_disk(),
            "what is not committed, or not on the disk, does not expire"
        );
        let epoch = self.history.epoch_before(to);
        self.facts.log_start = to;
        self.facts.log_start_epoch = epoch.expect("a committed record is of some epoch");
        self.history.begin_at(to);
        self.damage.remove(Offset(0), to);
        self.persist_facts(effects);
        if sabotage::is(Sabotage::ExpiredBeforeDurable) {
            effects.push(Effect::Retire { below: to });
        }
    }

    /// Gives up the whole log, for one that begins at `at`; `epoch` is that of the record before.
    /// To be called only while nothing is on its way to the disk.
    pub(super) fn begin_anew(&mut self, at: Offset, epoch: Epoch, effects: &mut Vec<Effect>) {
        assert!(
            at > self.high_watermark && at > self.facts.log_start,
            "what is known to be committed is not given up"
        );
        self.anew = Anew::Wanted;
        self.facts.log_start = at;
        self.facts.log_start_epoch = epoch;
        self.facts.begins_anew = true;
        self.history = EpochHistory::default();
        self.history.found(at, epoch);
        self.next_offset = at;
        self.durable_offset = at;
        self.damage.remove(Offset(0), Offset(u64::MAX));
        self.raise_high_watermark(at, effects);
        self.persist_facts(effects);
    }

    /// Has the log dropped once its new beginning is durable. Until that is done, durably, nothing
    /// is said of it, and nothing appended.
    pub(super) fn advance_anew(&mut self, effects: &mut Vec<Effect>) {
        let (at, epoch) = (self.facts.log_start, self.facts.log_start_epoch);
        match self.anew {
            Anew::Wanted if self.durable_facts.begins_anew => {
                self.anew = Anew::Asked;
                effects.push(Effect::BeginAnew { at, epoch });
            }
            Anew::Done if !self.durable_facts.begins_anew => self.anew = Anew::No,
            Anew::No | Anew::Wanted | Anew::Asked | Anew::Done => {}
        }
    }

    pub(super) fn on_begun_anew(&mut self, at: Offset, effects: &mut Vec<Effect>) {
        assert_eq!(self.anew, Anew::Asked, "the log was dropped unasked");
        assert_eq!(at, self.facts.log_start, "the log begins somewhere else");
        self.anew = Anew::Done;
        self.facts = self.facts.begun_anew();
        self.persist_facts(effects);
    }

    /// Whether the log is being dropped, to begin anew: meanwhile the log that the driver has may
    /// be another one than the one that is told here.
    #[must_use]
    pub fn is_beginning_anew(&self) -> bool {
        match self.anew {
            Anew::No => false,
            Anew::Wanted | Anew::Asked | Anew::Done => true,
        }
    }

    /// Where the own log parts from another one, which begins at `start`. `None` if they part where
    /// one of them can show nothing any more, or one of them ends before that.
    pub(super) fn parting(
        &self,
        start: Offset,
        history: &EpochHistory,
        next: Offset,
    ) -> Option<Offset> {
        let begin = self.facts.log_start.max(start);
        self.history
            .parting_behind(begin, self.next_offset, history, next)
    }
}
