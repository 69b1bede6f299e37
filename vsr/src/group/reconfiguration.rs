//! Changes of who belongs to the group, one step at a time.
//!
//! The paper's reconfiguration (section 7) ends one epoch of the group and begins another. Here a
//! change of members is an operation like any other, after the single-server changes of Raft
//! (Ongaro, "Consensus: Bridging Theory and Practice", 2014, section 4.1), with the correction of
//! 2015.
//!
//! A step adds a standby, drops one, replaces the disk of one, makes a standby a voter or a voter a
//! standby. It is in force as soon as it stands in a journal, and no longer when it is cut from it.
//! Nothing but the journal decides who counts:
//!
//! - *Committing*: a primary counts the voters of its own journal as it is now.
//! - *Choosing*: a log may begin a view if a majority of the voters according to that very log
//!   witness for it (`choice`), whoever they are according to the one who chooses.
//! - *Asking* for a view promises nothing, so everybody counts the voters that he knows.
//!
//! Standbys take part in everything, they acknowledge, ask and promise; only where they are known
//! not to vote, nothing of that counts. For who votes may not know it yet.
//!
//! A node that has lost its disk comes back by three steps: its lost disk is demoted, the standby's
//! disk is replaced, the standby is promoted. There is no other protocol for it.
//!
//! # What the primary waits for
//!
//! 1. The last change in its journal is committed.
//! 2. A majority of the present voters has acknowledged in this view, so has durably written it as
//!    `log_view`. (That is the correction, where Raft commits an entry of the new term.)
//! 3. A standby that is to vote has everything that is committed, and a majority of those who are
//!    to vote does. This is for the sake of going on, and safety does not rest on it.
//!
//! # Why what is committed is in the log of every later view
//!
//! Each journal lists changes, and each change was made on top of the one before it, so all changes
//! that were ever made form a tree. Two that follow one another differ by one voter at most, and so
//! *their majorities share a member*.
//!
//! Suppose the contrary, and let w be the first view that is begun with a log B that lacks
//! something that was committed in an earlier view, say o in view c. Of the voters of M, the last
//! change in the journal L of the primary of c, a majority Q had acknowledged o there and then; and
//! a majority W of the voters of N, the last change in B, witnesses for B. If Q and W share a
//! member, o is in B: that is argued in `choice`. So M and N are neither the same nor neighbours in
//! the tree. Let b be the view in which N was made.
//!
//! - *b is later than c.* Then b is earlier than w, so it began with o in its log. N comes after
//!   that in the log, and B contains all that comes before N.
//! - Otherwise let A be the last change that the ways to M and to N have in common, and let N' and
//!   M' be the first changes after A on these ways, as far as there are any.
//! - *N is more than one step behind A.* Then N' was committed (1) no later than in view b, and so
//!   in c or before. The journal of c contains what was committed before, and what is committed in
//!   c itself. So L contains N', and it is no different way.
//! - *M is more than one step behind A.* Then M' was committed (1) when it was the last change, in
//!   c or before. N is A or one step behind it. If it is A, M' and N are neighbours, and B contains
//!   M' by the above. It does not. If it is N', that is the last case, with M' in the place of o.
//! - *Both are one step behind A*: two changes of the same members, M made in view m and N in view
//!   b. They are different views, because a primary makes one change after the other. Both have
//!   been made, so (2) held for each with the voters of A. Say that m is the earlier one. By (2) a
//!   majority of the voters of A has b as its `log_view`, or a later one. Their majorities are
//!   neighbours of those of M. So from then on no log of a view before b can find a majority of the
//!   voters of M to witness for it, nor can anybody who acknowledged in b acknowledge in an earlier
//!   view; and the log of b and of what follows from it does not contain M. Hence no view after b
//!   begins with a log whose last change is M, and if anything was committed by the voters of M,
//!   that was in views before b. So it is with the two of them exchanged.
//!   - If m is the earlier one, then c is before b. That was dealt with.
//!   - If b is the earlier one, no view after m begins with a log whose last change is N. But w is
//!     such a view, for it comes after c, and so after m.
//!
//! So there is no such w. Without (2) the last case is open: that is the flaw of 2015.

use std::fmt;

use super::{Content, Effect, Member, Membership, Replica, Timer};
use crate::sabotage::{self, Sabotage};
use crate::{OpNumber, quorum};

/// Why the members do not change now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NotNow {
    /// This replica is not the primary, or not sure of it.
    NotPrimary,
    /// One step does not lead from the present members to these.
    NotAStep,
    /// Too much is under way, or the primary hands over to another one.
    Busy,
    /// The primary is a voter no longer: who follows it changes the members.
    Leaving,
    /// The last change is not committed yet.
    Pending,
    /// A majority of the voters has not arrived in the view yet.
    Unsettled,
    /// The standby that is to vote is behind.
    Behind,
    /// A majority of those who are to vote is not there, or behind.
    NoMajority,
}

impl fmt::Display for NotNow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotPrimary => "this node is not the primary of the control plane",
            Self::NotAStep => "one step does not lead from the present members to these",
            Self::Busy => "the control plane has too much under way",
            Self::Leaving => "the primary is about to hand over",
            Self::Pending => "the last change of the members is not committed yet",
            Self::Unsettled => "a majority of the voters has not confirmed the view yet",
            Self::Behind => "the node that is to vote is behind",
            Self::NoMajority => "of those who are to vote a majority is not there",
        })
    }
}

impl Replica {
    pub(super) fn on_reconfigure(&mut self, membership: Membership, effects: &mut Vec<Effect>) {
        if self.may_reconfigure(&membership).is_err() {
            return;
        }
        self.prepare_content(Content::Reconfigure { membership }, effects);
        if self.other_voters().next().is_some() {
            // Perhaps there was none before, whose silence would have been noticed.
            effects.push(Effect::Arm(Timer::QuorumSilent));
        }
    }

    /// Whether this replica would take the members to these, and if not, why.
    ///
    /// # Errors
    ///
    /// The reason that speaks against it; of several, one.
    pub fn may_reconfigure(&self, next: &Membership) -> Result<(), NotNow> {
        if !self.is_confident_primary() {
            return Err(NotNow::NotPrimary);
        }
        if !self.has_room() {
            return Err(NotNow::Busy);
        }
        if !self.has_vote() {
            return Err(NotNow::Leaving);
        }
        let present = self.membership();
        if !present.is_step_to(next) {
            return Err(NotNow::NotAStep);
        }
        let is_hasty = sabotage::is(Sabotage::ReconfiguredWithoutOldMajority);
        if self.reconfigured_at() > self.commit_number && !is_hasty {
            return Err(NotNow::Pending);
        }
        if !self.has_majority_at(present, self.log_view_op) && !is_hasty {
            return Err(NotNow::Unsettled);
        }
        let promoted = next.voters().iter().find(|it| !present.is_voter(**it));
        if promoted.is_some_and(|promoted| !self.has_reached(*promoted, self.commit_number)) {
            return Err(NotNow::Behind);
        }
        if !self.has_majority_at(next, self.commit_number) {
            return Err(NotNow::NoMajority);
        }
        Ok(())
    }

    /// Where the last change of the members stands in the journal; 0 if it is not in there.
    pub(super) fn reconfigured_at(&self) -> OpNumber {
        self.journal.memberships().last_op()
    }

    /// As primary: whether a majority of the voters has acknowledged in this view, up to `op` at
    /// least.
    ///
    /// Who has acknowledged nothing in this view is still in an earlier one, and counts for no
    /// `op`.
    fn has_majority_at(&self, membership: &Membership, op: OpNumber) -> bool {
        let voters = membership.voters();
        let reached = voters.iter().filter(|voter| self.has_reached(**voter, op));
        reached.count() >= quorum::majority(voters.len())
    }

    fn has_reached(&self, member: Member, op: OpNumber) -> bool {
        self.acknowledged_by(member)
            .is_some_and(|acknowledged| acknowledged >= op)
    }
}
