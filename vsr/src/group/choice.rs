//! Which log a view begins with, when some of those who promised have damaged journals.
//!
//! # What is at stake
//!
//! The primary of a new view knows what some voters hold, and nothing of the others. Its log must
//! contain every operation that was ever committed, and it must not wait for anybody who is not
//! needed. As long as no disk is damaged, the answer is the paper's: of a majority's logs the one
//! of the latest view, and of these the longest. A damaged journal makes it harder, because it does
//! not say all that its replica has acknowledged. What cannot be read is not what was never there.
//!
//! So two questions are asked of each promise.
//!
//! *What does it offer?* Its journal up to before its first faulty entry. A journal whose end is
//! uncertain offers nothing. Neither does one that is faulty within the log with which its
//! `log_view` began: what was committed in earlier views may be among it.
//!
//! *What does it witness?* For a log that someone else offers: that its sender has acknowledged
//! nothing in the log's view that would come after the log's end, and nothing in any later view.
//! That is so if its own `log_view` is an earlier one; or if it is the same, its end is certain,
//! and lies not beyond the end of the log. Faulty entries reach as far as sound ones here: **faulty
//! is not absent**. The end of a journal is certain as a rule, however many entries before it are
//! faulty.
//!
//! A log is *safe* if a majority of the voters of the membership that is in force in it witness
//! for it. The best safe log is taken: the one of the latest view, and of these the longest.
//! Without one the choice waits, for a further promise, or for one that says more than before. For
//! meanwhile everybody mends its own journal from the others (`repair`), and promises anew when it
//! has.
//!
//! # Why a safe log contains all that is committed
//!
//! Let L be safe, with `log_view` v and the end e, offered by q. Let o be an operation that was
//! committed, first in a view c. A majority H acknowledged o in c, each with `log_view` c.
//!
//! *If c is before v*, the log with which v began contains o: by this same argument, one view
//! earlier. q has made that log its own before it wrote its `log_view`, and L reaches at least as
//! far. What q may have replaced since, for the sake of a view later than v to which it was on its
//! way, it has replaced by the log of that view, which contains o too.
//!
//! *If c is v or later*, some w is in H and among the witnesses, because two majorities share a
//! member (those of two memberships that are one step apart as well; see the page of the crate).
//! Its `log_view` has not gone back since, so it is at least c, and not before v. A witness has no
//! later one than v. So c is v, and w holds o, or a faulty entry in the place of it, within its
//! certain end, which is not beyond e. In the log of one view there is one entry for a number. So L
//! contains o.
//!
//! # What follows from it
//!
//! A faulty entry that was committed is never dropped: those who acknowledged it do not witness for
//! a log that ends before it. So the choice waits until it was mended from another journal; and it
//! can be mended as long as one sound copy is in reach.
//!
//! A faulty entry that nobody else ever had does not stop the group. When enough others have
//! promised to make a majority without its holder, they witness that it cannot be committed (their
//! promises are the *nacks* of protocol-aware recovery), and the view begins with a log that ends
//! before it. So it is dropped by a majority, and never by its holder alone.
//!
//! A group in which a majority has uncertain ends waits for ever if it has to. It may have lost
//! something that was acknowledged, and it does not hide that.
//!
//! A majority of witnesses is needed, and not only so many that the others are no majority. These
//! two differ with an even number of voters, and then the second would not do: one more voter in
//! the next membership, and the others are one.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use super::{Head, Member, Promise};
use crate::sabotage::{self, Sabotage};
use crate::{NodeId, OpNumber, ViewNumber, quorum};

/// The log with which a view begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Choice {
    pub(super) head: Head,
    /// How far anybody knows it to be committed.
    pub(super) commit_number: OpNumber,
    /// Whose journal it is, or begins with it.
    pub(super) owners: Vec<NodeId>,
}

/// The best log of which the promises show that it contains all that is committed; `None` as long
/// as there is none.
///
/// The voters are those of the membership that is in force in the log itself. `primary`, who
/// chooses, has to be one of them: so two disks of one node never both serve a view that names it.
pub(super) fn choose(promises: &BTreeMap<Member, Promise>, primary: Member) -> Option<Choice> {
    let commit_number = promises
        .values()
        .map(|promise| promise.commit_number)
        .max()?;
    let mut offers: Vec<&Promise> = promises.values().filter(|it| it.is_offer()).collect();
    // The checksum only makes the choice unambiguous.
    offers.sort_by_key(|offer| (offer.view_of_log(), offer.sound.op, offer.sound.checksum));
    let is_safe = |offer: &&&Promise| {
        let voters = offer.membership.voters();
        let promised = voters.iter().filter_map(|voter| promises.get(voter));
        let witnesses = promised
            .filter(|promise| promise.witnesses_for(offer))
            .count();
        // Known commits veto: if a disk did not keep what it was told to keep, waiting for another
        // promise is better than dropping them.
        let is_safe = witnesses >= quorum::majority(voters.len());
        is_safe && commit_number <= offer.sound.op && voters.contains(&primary)
    };
    let best = offers.iter().rev().find(is_safe)?;
    let is_owner = |(_, it): &(&Member, &Promise)| {
        it.is_offer() && it.log_view == best.log_view && it.sound == best.sound
    };
    let owners = promises.iter().filter(is_owner);
    Some(Choice {
        head: best.sound,
        commit_number,
        owners: owners.map(|(owner, _)| owner.node).collect(),
    })
}

impl Promise {
    /// Whether a view may begin with the part of this journal that can be read.
    fn is_offer(&self) -> bool {
        let is_whole = self.sound == self.head || takes_faulty_for_absent();
        self.is_tail_certain() && (is_whole || self.sound.op >= self.log_view_op)
    }

    /// Whether its sender has acknowledged nothing that would come after the log that is offered,
    /// in the view of that log or in a later one.
    fn witnesses_for(&self, offer: &Self) -> bool {
        let end = if takes_faulty_for_absent() {
            self.sound.op
        } else {
            self.head.op
        };
        let is_shorter = self.is_tail_certain() && end <= offer.sound.op;
        match self.view_of_log().cmp(&offer.view_of_log()) {
            Ordering::Less => true,
            Ordering::Equal => is_shorter,
            Ordering::Greater => false,
        }
    }

    fn is_tail_certain(&self) -> bool {
        !self.is_tail_uncertain || takes_faulty_for_absent()
    }

    fn view_of_log(&self) -> ViewNumber {
        if sabotage::is(Sabotage::LongestLogWins) {
            ViewNumber(0)
        } else {
            self.log_view
        }
    }
}

fn takes_faulty_for_absent() -> bool {
    sabotage::is(Sabotage::NackOfFaulty)
}

#[cfg(test)]
mod tests;
