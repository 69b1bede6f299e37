//! A primary that gives up its place to a voter of its choice.
//!
//! It does so when it is asked to ([`Event::Transfer`](super::Event::Transfer)), when its own disk
//! hangs while those of the others do not, and when it is a voter no longer. It takes no more
//! requests, waits until the successor has acknowledged everything, and asks for the next view that
//! names the successor. The backups join it: who is asked by its own primary does not wait for its
//! silence. Apart from that it is a view change like any other, and needs no argument of its own.
//!
//! If the view does not change in time, the primary goes on. That does not count as having heard a
//! majority: a primary that gives up one time after the other, and hears nobody, must fall silent
//! like any other.

use super::{Effect, Member, Replica, Timer};
use crate::NodeId;

/// A primary is on the way out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Handover {
    to: Member,
    /// Whether the next view was asked for.
    has_asked: bool,
}

impl Replica {
    pub(super) fn on_transfer(&mut self, to: NodeId, effects: &mut Vec<Effect>) {
        if self.is_confident_primary() {
            let successor = self.other_voters().find(|voter| voter.node == to);
            self.begin_handover(successor, effects);
        }
    }

    fn begin_handover(&mut self, successor: Option<Member>, effects: &mut Vec<Effect>) {
        let Some(to) = successor.filter(|_| self.handover.is_none()) else {
            return;
        };
        let has_asked = false;
        self.handover = Some(Handover { to, has_asked });
        effects.push(Effect::Arm(Timer::Transfer));
    }

    /// The other voter who has acknowledged most.
    fn best_successor(&self) -> Option<Member> {
        let voters = self.other_voters();
        // Of several the first one: `max_by_key` would take the last.
        voters.reduce(|best, voter| {
            if self.acknowledged_by(voter) > self.acknowledged_by(best) {
                voter
            } else {
                best
            }
        })
    }

    /// Asks for the view of the successor as soon as it has everything.
    pub(super) fn advance_handover(&mut self, effects: &mut Vec<Effect>) {
        if !self.is_primary() {
            return;
        }
        let is_leaving = !self.has_vote() && self.commit_number >= self.reconfigured_at();
        if is_leaving && self.is_confident_primary() {
            self.begin_handover(self.best_successor(), effects);
        }
        let op_number = self.op_number();
        let Some(handover) = &self.handover else {
            return;
        };
        let to = handover.to;
        if handover.has_asked || self.acknowledged_by(to) != Some(op_number) {
            return;
        }
        let has_asked = true;
        self.handover = Some(Handover { to, has_asked });
        effects.push(Effect::Disarm(Timer::Commit));
        self.cast_vote(self.view.next_of(to.node), effects);
    }

    /// Nobody is heard, so nobody is handed over to.
    pub(super) fn drop_handover(&mut self, effects: &mut Vec<Effect>) {
        if self.handover.take().is_some() {
            effects.push(Effect::Disarm(Timer::Transfer));
        }
    }

    /// The view did not change.
    pub(super) fn on_transfer_timeout(&mut self, effects: &mut Vec<Effect>) {
        if self.handover.take().is_some() && self.is_primary() {
            self.be_content(effects);
        }
    }

    /// Watches the disk of a primary.
    ///
    /// The group gets by without it as long as it answers nobody alone, but its primary does not
    /// hear of the end of its own writes, and must not crash now.
    pub(super) fn watch_disk(&mut self, has_moved: bool, effects: &mut Vec<Effect>) {
        let is_due = self.is_primary() && self.is_writing();
        if is_due && (has_moved || !self.is_disk_watched) {
            effects.push(Effect::Arm(Timer::DiskSilent));
        } else if !is_due && self.is_disk_watched {
            effects.push(Effect::Disarm(Timer::DiskSilent));
        }
        self.is_disk_watched = is_due;
    }

    fn is_writing(&self) -> bool {
        !self.journal.is_durable()
            || self.superblocks.durable < self.superblocks.sequence
            || self.is_writing_checkpoint()
    }

    pub(super) fn on_disk_silent(&mut self, effects: &mut Vec<Effect>) {
        self.is_disk_watched = false;
        if self.is_confident_primary() && self.is_writing() {
            self.begin_handover(self.best_successor(), effects);
        }
    }
}
