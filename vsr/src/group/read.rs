//! Linearizable reads, which need no entry in the journal.
//!
//! A read sees everything that anybody was told before it began, and nothing that is taken back
//! later. The primary answers it from its executed state when two things hold.
//!
//! 1. *The state is recent enough.* It includes what was committed when the read came: everything
//!    up to the commit number, which is what was committed in this view as far as anybody was told;
//!    and the log with which the view began, which includes all that earlier views have committed.
//! 2. *The view was not over when the read came*, so no later primary had committed anything by
//!    then. Either the lease of this primary holds at some moment after the read came (see
//!    [`lease`](super::lease)). Or a round is made: `Commit` carries a number, and `PrepareOk`
//!    echoes it. When a majority has echoed a round that began after the read came, each of them
//!    was in this view after that moment. So no majority had promised itself to a later view before
//!    it. Put differently: an operation that was prepared when the read came would have been
//!    acknowledged by the same majority; being committed, it would be part of the log of every
//!    later view, so none of these can have begun without it. The round is that operation, without
//!    the writing.
//!
//! Only one round is under way at once; reads that come meanwhile wait for the next one together.
//! A message that is lost is made good by the next regular `Commit`, which carries the same number.

use std::collections::{BTreeMap, VecDeque};

use super::{Effect, Member, Rejection, Replica};
use crate::{OpNumber, quorum};

/// The reads that a primary has not answered, and the rounds that confirm them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Reads {
    /// As primary: the round that was begun last in this view.
    pub(crate) round: u64,
    /// As backup: the round that was heard of last in this view.
    pub(crate) heard: u64,
    /// As primary: the round that each other voter has echoed last.
    echoed: BTreeMap<Member, u64>,
    /// In the order in which they came; what they wait for rises with it.
    waiting: VecDeque<Read>,
}

/// A read that waits.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Read {
    number: u64,
    /// How far must have been executed.
    index: OpNumber,
    /// The round that confirms it.
    round: u64,
}

impl Reads {
    pub(crate) fn echo(&mut self, from: Member, round: u64) {
        let echoed = self.echoed.entry(from).or_default();
        *echoed = round.max(*echoed);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}

impl Replica {
    pub(super) fn on_read(&mut self, read: u64, effects: &mut Vec<Effect>) {
        let reason = if !self.is_confident_primary() {
            Rejection::NotPrimary
        } else if self.reads.waiting.len() >= self.config.limits.reads_max {
            Rejection::Busy
        } else {
            self.reads.waiting.push_back(Read {
                number: read,
                index: self.commit_number.max(self.log_view_op),
                // A round that is under way may have begun too early for this read.
                round: self.reads.round + 1,
            });
            return;
        };
        effects.push(Effect::RejectRead { read, reason });
    }

    /// As primary: answers what can be answered, and begins a round if it is waited for.
    pub(super) fn advance_reads(&mut self, effects: &mut Vec<Effect>) {
        if self.reads.is_empty() {
            return;
        }
        let mut confirmed = self.confirmed_round();
        let is_wanted = self.reads.waiting.back().map(|read| read.round) > Some(self.reads.round);
        if self.lease.holds() {
            for read in &mut self.reads.waiting {
                read.round = 0;
            }
        } else if is_wanted && confirmed == self.reads.round && self.is_confident_primary() {
            self.reads.round += 1;
            self.send_commit(effects);
            // A group of one is its own majority.
            confirmed = self.confirmed_round();
        }
        let (executed, waiting) = (self.executed, &mut self.reads.waiting);
        let is_ready = |read: &Read| read.index <= executed && read.round <= confirmed;
        let ready = waiting.iter().take_while(|read| is_ready(read)).count();
        let numbers = waiting.drain(..ready).map(|read| read.number);
        effects.extend(numbers.map(|read| Effect::ReadReady { read }));
    }

    /// The last round that a majority has echoed.
    fn confirmed_round(&self) -> u64 {
        let echoed = |voter: &Member| {
            if *voter == self.member() {
                self.reads.round
            } else {
                self.reads.echoed.get(voter).copied().unwrap_or_default()
            }
        };
        let rounds = self.membership().voters().iter().map(echoed).collect();
        quorum::reached(rounds).expect("a group has voters")
    }

    /// Sends away those who wait: the answer may be known elsewhere by now.
    pub(super) fn reject_reads(&mut self, effects: &mut Vec<Effect>) {
        let reason = Rejection::NotPrimary;
        let numbers = self.reads.waiting.drain(..).map(|read| read.number);
        effects.extend(numbers.map(|read| Effect::RejectRead { read, reason }));
    }
}
