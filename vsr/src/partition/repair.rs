//! What a disk has damaged, and how it becomes whole again.
//!
//! Below the high watermark the log is what it is for all time, and the same in every replica that
//! has it. So bytes that went bad there are fetched from any peer and put where they were. It makes
//! no difference in which epoch that is asked or answered, and an answer that comes late brings
//! what belongs there all the same. Until then the range is served to nobody, and it is never cut:
//! it is in the log, it merely cannot be read.
//!
//! Above the high watermark nobody may answer, since nobody knows yet what belongs there. There a
//! damaged record is one that this replica has acknowledged and does not hold any more, like one
//! that was lost with the end of the log. It is treated as that: the loss is noted, durably, and
//! then the log is cut where the damage begins. A leader that has adopted its epoch must not cut
//! its log, and cannot go on with it either, for it may be the only one that ever had the record.
//! So it resigns, and the control plane has to give out a new epoch.

use super::{Duty, Effect, Leading, Message, Phase, RepairWish, Replica, Stage};
use crate::sabotage::{self, Sabotage};
use crate::{Epoch, NodeId, Offset};

/// How far the repair of damaged ranges has come.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Repair {
    /// Counts the peers that were asked in vain; whose turn it is follows from it.
    turn: usize,
    /// A peer was asked and has not answered yet.
    is_asking: bool,
    /// The range that is being rewritten.
    rewriting: Option<(Offset, Offset)>,
}

impl Replica {
    /// Whether the record at `offset` may be read: it is committed, and not damaged here.
    #[must_use]
    pub fn is_readable(&self, offset: Offset) -> bool {
        self.facts.log_start <= offset
            && offset < self.high_watermark
            && !self.damage.contains(offset)
    }

    /// The first damaged range that reaches beyond `offset`: nothing in it can be read here for
    /// now, and reading ends where it begins.
    #[must_use]
    pub fn damage_behind(&self, offset: Offset) -> Option<(Offset, Offset)> {
        self.damage.first_behind(offset)
    }

    /// All damaged ranges, in order.
    #[must_use]
    pub fn damaged(&self) -> &[(Offset, Offset)] {
        self.damage.ranges()
    }

    pub(super) fn on_damaged(&mut self, from: Offset, to: Offset) {
        // What has expired is needed by nobody.
        let from = from.max(self.facts.log_start);
        self.damage.insert(from, to.min(self.next_offset));
        if let Duty::Leading(Leading {
            phase: Phase::Open { followers, .. },
            ..
        }) = &mut self.duty
        {
            for follower in followers.values_mut() {
                follower.withdraw(|offset| self.damage.contains(offset));
            }
        }
    }

    /// Sees to what cannot be counted on any more, before anything is said of the log.
    pub(super) fn advance_losing(&mut self, effects: &mut Vec<Effect>) {
        if let Some(range) = self.damage.first_behind(self.high_watermark) {
            self.lose_end(range.0.max(self.high_watermark), effects);
        }
        self.advance_losing_cut(effects);
    }

    /// What this replica had at `from` and above counts as lost from here on.
    fn lose_end(&mut self, from: Offset, effects: &mut Vec<Effect>) {
        self.facts = self.facts.with_loss();
        self.persist_facts(effects);
        self.damage.truncate(from);
        self.losing = Some(self.losing.map_or(from, |before| before.min(from)));
        match &mut self.duty {
            // Nothing was said of the log yet, or what was said is to be said anew.
            Duty::Following(Stage::Waiting { .. }) | Duty::Idle => {}
            Duty::Following(Stage::Lost { .. } | Stage::Cutting(_) | Stage::Matched { .. }) => {
                self.duty = Duty::Idle;
                self.follow();
            }
            // The own promise told of a log that is there no more, so all is to be chosen anew.
            Duty::Leading(Leading {
                phase: phase @ (Phase::Promising { .. } | Phase::Reconciling { .. }),
                ..
            }) => *phase = Phase::promising(),
            Duty::Leading(Leading {
                phase: Phase::Adopting { .. } | Phase::Open { .. },
                ..
            }) => {
                let epoch = self.facts.promised;
                self.stand_down(effects);
                effects.push(Effect::Resigned { epoch });
            }
        }
    }

    /// Cuts the end that counts as lost. Not before the loss is durable: a cut log looks like one
    /// that never held more.
    fn advance_losing_cut(&mut self, effects: &mut Vec<Effect>) {
        let Some(from) = self.losing else {
            return;
        };
        let is_noted = self.durable_facts.losses == self.facts.losses;
        let is_flushed = self.durable_offset == self.next_offset;
        if !is_noted || !is_flushed || self.truncating.is_some() {
            return;
        }
        self.losing = None;
        if from < self.next_offset {
            assert!(
                from >= self.high_watermark,
                "what is committed is never given up"
            );
            self.truncating = Some(from);
            effects.push(Effect::Truncate { to: from });
        }
    }

    /// Asks the peer whose turn it is for the range whose turn it is: the first one, until all
    /// peers were asked in vain. Perhaps nobody has that one any more, and the others are not to
    /// wait.
    pub(super) fn advance_repair(&mut self, effects: &mut Vec<Effect>) {
        if self.repair.is_asking || self.repair.rewriting.is_some() {
            return;
        }
        let ranges = self.damage.ranges();
        if ranges.is_empty() {
            return;
        }
        let peers = self.peers();
        let Some(rounds) = self.repair.turn.checked_div(peers.len()) else {
            return;
        };
        let (from, to) = ranges[rounds % ranges.len()];
        let to = to.min(self.high_watermark);
        if from >= to {
            return;
        }
        self.repair.is_asking = true;
        let epoch = self.facts.promised;
        effects.push(Effect::Send {
            to: peers[self.repair.turn % peers.len()],
            message: Message::RequestRepair {
                epoch,
                from,
                to,
                compacted: self.facts.compacted,
            },
        });
        self.arm_repair(effects);
    }

    /// Who may have what is damaged here. Before the members are known, at least the leader is.
    fn peers(&self) -> Vec<NodeId> {
        let members = self.members.all().map(|(node, _)| node);
        let known = members.chain(self.leader);
        let mut peers: Vec<_> = known.filter(|node| *node != self.me).collect();
        peers.sort_unstable();
        peers.dedup();
        peers
    }

    /// Whoever was asked has not answered.
    pub(super) fn on_repair_unanswered(&mut self) {
        if std::mem::take(&mut self.repair.is_asking) {
            self.repair.turn = self.repair.turn.wrapping_add(1);
        }
    }

    /// A peer asks for what is damaged there. It gets what is committed and sound here, up to the
    /// next damage; if that is nothing, it will ask somebody else. So will it if it has compacted
    /// more than this replica, which catches up on that.
    pub(super) fn on_request_repair(
        &self,
        asker: NodeId,
        (from, to): (Offset, Offset),
        claim: Offset,
        effects: &mut Vec<Effect>,
    ) {
        let damage = self.damage.first_behind(from);
        let sound = damage.map_or(self.high_watermark, |range| range.0);
        let until = to.min(self.high_watermark).min(sound);
        if self.facts.log_start > from || from >= until || asker == self.me {
            return;
        }
        let compacted = self.durable_facts.compacted;
        if from < claim && compacted < claim && !sabotage::is(Sabotage::RepairedUncompacted) {
            effects.push(Effect::Compact { to: claim });
            return;
        }
        let wish = RepairWish {
            from,
            until,
            compacted,
        };
        effects.push(Effect::SendRepair { to: asker, wish });
    }

    /// Records for a damaged range have come. They are what belongs there if they begin where it
    /// begins, do not reach beyond what is committed, and are of the epochs that wrote it: a place
    /// and an epoch make a record.
    pub(super) fn on_repair(
        &mut self,
        base: Offset,
        next: Offset,
        epochs: &[(Epoch, Offset)],
        effects: &mut Vec<Effect>,
    ) {
        let Some((from, to)) = self.damage.first_behind(base) else {
            return;
        };
        let is_in_place = from == base && base < next && next <= to.min(self.high_watermark);
        let is_first = epochs.first().is_some_and(|batch| batch.1 == base);
        let is_free = self.repair.rewriting.is_none();
        if is_free && is_in_place && is_first && self.history.are_ours(epochs, next) {
            self.repair.rewriting = Some((base, next));
            effects.push(Effect::Rewrite);
        }
    }

    pub(super) fn on_repaired(&mut self, from: Offset, to: Offset) {
        self.damage.remove(from, to);
        let Some(range) = self.repair.rewriting else {
            self.repair.is_asking = false;
            return;
        };
        if from <= range.0 && range.1 <= to {
            self.repair.rewriting = None;
            // The same peer is asked for the rest: it has shown that it answers.
            self.repair.is_asking = false;
        } else if from == range.0 && to == from {
            // It did not fit. The next peer is asked, but not before the timer has run out.
            self.repair.rewriting = None;
        }
    }
}
