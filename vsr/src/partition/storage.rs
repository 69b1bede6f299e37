//! What the replica knows of its own disk: which facts and records have reached it, and cuts.

use super::{Duty, Effect, EpochHistory, Facts, Replica, Stage, Timer};
use crate::Offset;
use crate::sabotage::{self, Sabotage};

/// What is wrong with a log that was offered, if it is not the broken one that is here.
pub(super) const LACKS_COMMITS: &str = "its log lacks what is known here to be committed";

impl Replica {
    /// The high watermark that the own log bears out after a crash.
    pub(super) fn watermark_on_disk(&self) -> Offset {
        self.high_watermark.min(self.durable_offset)
    }

    pub(super) fn persist_facts(&mut self, effects: &mut Vec<Effect>) {
        self.facts.high_watermark = self.facts.high_watermark.max(self.watermark_on_disk());
        effects.push(Effect::PersistFacts(self.facts));
    }

    pub(super) fn on_facts_durable(&mut self, facts: Facts, effects: &mut Vec<Effect>) {
        let had_adopted = self.has_adopted();
        let log_start = self.durable_facts.log_start;
        let claim = self.claim();
        // With a loss, and only then, the claim falls.
        if facts.losses > self.durable_facts.losses {
            self.durable_facts.compacted = facts.compacted;
        } else if facts.losses == self.durable_facts.losses {
            self.durable_facts.compacted = self.durable_facts.compacted.max(facts.compacted);
        }
        // Facts only grow, so a completion from an older epoch takes nothing back.
        self.durable_facts.promised = self.durable_facts.promised.max(facts.promised);
        self.durable_facts.log_epoch = self.durable_facts.log_epoch.max(facts.log_epoch);
        self.durable_facts.losses = self.durable_facts.losses.max(facts.losses);
        self.durable_facts.healed = self.durable_facts.healed.max(facts.healed);
        if facts.log_start >= log_start {
            self.durable_facts.begins_anew = facts.begins_anew;
        }
        let is_retired = facts.log_start > log_start;
        if is_retired {
            self.durable_facts.log_start = facts.log_start;
            self.durable_facts.log_start_epoch = facts.log_start_epoch;
        }
        if is_retired && !self.is_beginning_anew() {
            let below = facts.log_start;
            effects.push(Effect::Retire { below });
        }
        if self.has_adopted() && !had_adopted || is_retired || self.claim() > claim {
            self.send_ack(false, effects);
        }
    }

    pub(super) fn on_log_durable(&mut self, next_offset: Offset, effects: &mut Vec<Effect>) {
        assert!(
            next_offset <= self.next_offset,
            "a record is durable that was never appended"
        );
        // Cuts wait for all flushes, so a late completion speaks of records that are still there.
        if next_offset <= self.durable_offset {
            return;
        }
        self.durable_offset = next_offset;
        if let Duty::Following(Stage::Matched { .. }) = self.duty {
            self.follow_high_watermark(effects);
            self.send_ack(false, effects);
        }
    }

    /// Whether the promise to the current epoch is on stable storage. Before it is, the epoch is
    /// only heard of: nothing is said in it, and nothing done to the log because of it.
    pub(super) fn has_promised(&self) -> bool {
        self.durable_facts.promised == self.facts.promised
    }

    /// Whether it is on stable storage that the log is that of the current epoch, and whole.
    pub(super) fn has_adopted(&self) -> bool {
        self.durable_facts.log_epoch == self.facts.promised
            && self.durable_facts.healed == self.facts.losses
    }

    /// The own log is whole, on stable storage, as the epoch's leader has it: from here on it is
    /// called that of the epoch, and is no longer uncertain.
    ///
    /// What was lost of it, if anything was, is no matter any more. If it was acknowledged in an
    /// older epoch and committed, then it was chosen with the rest, and is here again. If it was
    /// acknowledged in this epoch, then the leader had it when it was asked, and so it is here
    /// again.
    pub(super) fn adopt_epoch(&mut self, effects: &mut Vec<Effect>) {
        self.facts.log_epoch = self.facts.promised;
        self.facts.healed = self.facts.losses;
        self.persist_facts(effects);
    }

    /// Whether facts and log are on stable storage just as they are in memory, so that a promise
    /// may say what they are.
    ///
    /// A promise that a crash takes back is none: the replica would obey the fenced leader again,
    /// and commit behind the back of the one that counts on it. And a promise that counted records
    /// which a crash takes away would have the leader wait for records that nobody has.
    pub(super) fn is_settled(&self) -> bool {
        (self.has_promised() || sabotage::is(Sabotage::ViewNotDurable))
            && self.durable_facts.log_epoch == self.facts.log_epoch
            && self.durable_facts.losses == self.facts.losses
            && self.durable_facts.healed == self.facts.healed
            && self.durable_facts.log_start == self.facts.log_start
            && !self.is_beginning_anew()
            && self.losing.is_none()
            && self.durable_offset == self.next_offset
            && self.truncating.is_none()
    }

    /// Cuts the log to where it is a prefix of `other`, which begins at `start`; true when it is.
    /// Where that cannot be, because `other` has nothing any more of where they part, the own log
    /// begins anew with it.
    ///
    /// What is cut away was never committed, since `other` was chosen by a majority and so holds
    /// all that was. The assertion is the last line of defence: it stops the node before it drops
    /// a record that it knows to be committed.
    pub(super) fn cut_to_prefix_of(
        &mut self,
        start: Offset,
        other: &EpochHistory,
        other_next: Offset,
        effects: &mut Vec<Effect>,
    ) -> bool {
        let is_changing = self.truncating.is_some() || self.is_beginning_anew();
        if is_changing || self.losing.is_some() || !self.has_promised() {
            return false;
        }
        let Some(mut parting) = self.parting(start, other, other_next) else {
            let epoch = other.epoch_before(start);
            if self.durable_offset == self.next_offset {
                let epoch = epoch.expect("a log that was found sound tells where it begins");
                self.begin_anew(start, epoch, effects);
            }
            return false;
        };
        if parting == self.next_offset {
            return true;
        }
        if sabotage::is(Sabotage::TruncatedBelowWatermark) {
            parting = Offset(0);
        }
        assert!(
            parting >= self.high_watermark || sabotage::is(Sabotage::TruncatedBelowWatermark),
            "the chosen log lacks records below the high watermark {}: it parts at {parting}",
            self.high_watermark,
        );
        // A flush in flight could otherwise write behind the cut, or report a record durable that
        // the cut has replaced.
        if self.durable_offset == self.next_offset {
            self.truncating = Some(parting);
            effects.push(Effect::Truncate { to: parting });
        }
        false
    }

    /// Whether a log parts from the own one below what is known here to be committed. No log that
    /// is chosen does.
    pub(super) fn lacks_commits(
        &self,
        start: Offset,
        other: &EpochHistory,
        other_next: Offset,
    ) -> bool {
        let lacks = match self.parting(start, other, other_next) {
            Some(parting) => parting < self.high_watermark,
            // They part before the other one begins, which is no matter if all that is known to be
            // committed here has expired there.
            None => start <= self.high_watermark,
        };
        lacks && !sabotage::is(Sabotage::TruncatedBelowWatermark)
    }

    pub(super) fn on_truncated(&mut self, next_offset: Offset) {
        let asked = self.truncating.take();
        assert_eq!(
            asked,
            Some(next_offset),
            "the log was cut where nobody had asked for it"
        );
        self.next_offset = next_offset;
        self.durable_offset = next_offset;
        self.history.truncate(next_offset);
        self.damage.truncate(next_offset);
    }

    /// The high watermark rises to `to`, if that is higher.
    pub(super) fn raise_high_watermark(&mut self, to: Offset, effects: &mut Vec<Effect>) {
        if to <= self.high_watermark {
            return;
        }
        self.high_watermark = to;
        effects.push(Effect::Committed { high_watermark: to });
        if !self.save_armed && self.watermark_on_disk() > self.facts.high_watermark {
            self.save_armed = true;
            effects.push(Effect::Arm(Timer::SaveWatermark));
        }
    }

    pub(super) fn on_save_watermark(&mut self, effects: &mut Vec<Effect>) {
        self.save_armed = false;
        if self.watermark_on_disk() > self.facts.high_watermark {
            self.persist_facts(effects);
        }
    }
}
