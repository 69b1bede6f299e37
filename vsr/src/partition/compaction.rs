//! Records that later ones have replaced are taken out, and in the end what says that a key was
//! deleted is taken out as well.
//!
//! A log may be *compacted*: of records with the same key the last one stays. Such a record
//! *shadows* those before it. Each replica does that by itself, whenever it likes, within batches
//! that stay where they are; so for this protocol nothing changes at all, but for one thing. A
//! record may say that its key is deleted. It shadows others and is shadowed by none, and still has
//! to go some day. If it goes while a replica still holds an older record of the key, that record
//! is shadowed there by nothing any more: what was deleted is there again.
//!
//! So each replica *claims* an offset up to which its log is compacted
//! ([`Facts::compacted`](super::Facts::compacted)): it holds no record below that one that a record
//! below shadows, be that still there or gone. The leader tells all, with everything that it
//! sends, the least of the claims of all members of its epoch, those without a vote and those that
//! are down included: up to there the log is compacted *everywhere*
//! ([`Replica::compacted_everywhere`]). Below it a deletion may go, for what it shadows is at no
//! member, nor does any member get it again.
//!
//! # Why a claim stays true
//!
//! A claim is on stable storage before it is told, and never falls, save with a loss. So it makes
//! no difference how late it is heard, or in which epoch it was told. It has to stay true of
//! whatever gets into the log after it was made:
//!
//! * **What is appended** stands above what was committed here when the claim was made, and so
//!   above the claim. Nothing below is ever cut.
//! * **A log that begins anew** begins above all that it knew to be committed.
//! * **What is repaired** may stand below the claim, and a peer that has compacted less would bring
//!   back what was taken out here. So an answer says what its sender had claimed before it read the
//!   records, and is taken only if that is as much as the own claim. A peer that is asked and has
//!   claimed less does not answer, but compacts its log first ([`Effect::Compact`]).
//! * **What is fetched after a loss** of the end of the log may stand below the claim as well. So a
//!   loss takes the claim back, in the same facts. The leader forgets it when it hears of the loss,
//!   which is before it sends anything that makes good for it; and since claims carry the number of
//!   losses that the follower had, one that comes late does not count. Only those who have adopted
//!   the epoch claim: so whoever has lost something has told of it before it gets anything.
//!
//! What was told to be compacted everywhere before a loss stays true after it: what the loser still
//! has was compacted that far, and what it lacks it gets from a leader who was one of the members,
//! and holds nothing below that is shadowed there.
//!
//! # Who was no member meanwhile
//!
//! Who was no member while others let deletions go must not come back with the log that it had. A
//! log whose owner is a member again is known here by nothing, so the driver owes this: before a
//! replica takes part in an epoch that names it again, after one that did not and that is later
//! than all that it has promised to durably, it drops its log and its facts. It does that when it
//! hears that it is a member no more, and also if it hears of that only when it is one again. So it
//! keeps back what a leader says of a new epoch
//! ([`Message::begins_epoch`](super::Message::begins_epoch)) until it knows whether there was such
//! an epoch. That nothing is lost by it is the argument of
//! [the page of this module](super#changing-the-voters): nothing that it would say from then on
//! differs from what it would say had it dropped the log before it was named again.

use super::{Effect, Phase, Replica};
use crate::sabotage::{self, Sabotage};
use crate::{NodeId, Offset};

impl Replica {
    /// No member of the epoch holds a record below this offset that a record below it shadows, and
    /// none ever will.
    ///
    /// As far as this replica has heard since it was started.
    #[must_use]
    pub fn compacted_everywhere(&self) -> Offset {
        self.compacted_everywhere
    }

    /// The log holds no record below `to` that a later record below it shadows.
    ///
    /// Not beyond what is known to be committed, and sound: a record that cannot be read may shadow
    /// others. While the log may have lost something, nobody counts on what is said of it.
    pub(super) fn on_compacted(&mut self, to: Offset, effects: &mut Vec<Effect>) {
        if self.is_beginning_anew() || self.facts.is_uncertain() {
            return;
        }
        let damage = self.damage.first_behind(Offset(0));
        let sound = damage.map_or(to, |range| to.min(range.0));
        let compacted = sound.min(self.watermark_on_disk());
        if compacted > self.facts.compacted {
            self.facts.compacted = compacted;
            self.persist_facts(effects);
        } else if self.facts.compacted > self.compacted_everywhere {
            // It may have been told in vain.
            self.send_ack(false, effects);
        }
    }

    /// The own claim, as it may be told.
    pub(super) fn claim(&self) -> Offset {
        if self.has_adopted() {
            self.durable_facts.compacted
        } else {
            Offset(0)
        }
    }

    /// Whether records of somebody who had claimed `claim` may be put into the log at `from`.
    pub(super) fn keeps_claim(&self, from: Offset, claim: Offset) -> bool {
        from >= self.facts.compacted
            || claim >= self.facts.compacted
            || sabotage::is(Sabotage::RepairedUncompacted)
    }

    /// A leader finds out how far the log is compacted everywhere.
    pub(super) fn advance_compaction(&mut self) {
        let Some(Phase::Open { followers, .. }) = self.phase() else {
            return;
        };
        let claim = |node: NodeId| match followers.get(&node) {
            Some(follower) => follower.claim.compacted,
            None => self.claim(),
        };
        let least = if sabotage::is(Sabotage::CompactedAtMajority) {
            self.members.electorate.reached(claim)
        } else {
            self.members.all().map(|(node, _)| claim(node)).min()
        };
        if let Some(least) = least {
            self.learn_compacted(least);
        }
    }

    /// The leader has told how far the log is compacted everywhere.
    pub(super) fn learn_compacted(&mut self, everywhere: Offset) {
        self.compacted_everywhere = self.compacted_everywhere.max(everywhere);
    }
}

/// What a follower has claimed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Claim {
    /// How many losses it had had by then.
    losses: u32,
    pub(super) compacted: Offset,
}

impl Claim {
    pub(super) fn hear(&mut self, losses: u32, compacted: Offset) {
        if losses > self.losses {
            *self = Self { losses, compacted };
        } else if losses == self.losses {
            self.compacted = self.compacted.max(compacted);
        }
    }
}
