use std::collections::BTreeMap;

#[cfg(test)]
mod tests;

use super::{EpochHistory, Promise};
use crate::quorum::{Electorate, majority};
use crate::sabotage::{self, Sabotage};
use crate::{Epoch, NodeId, Offset};

/// The log that a new leader takes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Choice {
    /// The voter that has it.
    pub(super) source: NodeId,
    /// Which epochs wrote it.
    pub(super) history: EpochHistory,
    /// One past its last record.
    pub(super) next_offset: Offset,
    /// Below this everything is known to be committed, by any of those who promised.
    pub(super) high_watermark: Offset,
    /// Below this everything has expired, for any of those who promised.
    pub(super) log_start: Offset,
}

/// Why a leader that waits for promises cannot choose a log yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Undecided {
    /// Not enough voters have promised.
    NoMajority,
    /// So many voters are absent, or have promised with an uncertain log, that a majority may have
    /// held records which nobody here can see.
    Uncertain,
    /// A voter knows of commits that no certain log here holds.
    CommitsMissing,
}

impl std::fmt::Display for Undecided {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::NoMajority => "it needs a majority of the replicas",
            Self::Uncertain => {
                "the end of a log is damaged, and too few of the other replicas are there to know \
                 what it held"
            }
            Self::CommitsMissing => {
                "none of the replicas that are there holds all that was committed"
            }
        })
    }
}

/// Takes the log with the greatest (`log_epoch`, `next_offset`) from the promises of a majority.
///
/// # Why it holds all that was committed
///
/// Let a record be committed in an epoch c, older than the one that is being led, by a majority of
/// voters whose majority is needed here as well. They had `log_epoch` c and held the record, so one
/// of them is among those who promised here, and it has not lost the record since: its promise
/// fences c and everything older, and what it may have adopted after c contains the record by this
/// same argument. So the greatest `log_epoch` here is at least c. If it is greater, its holder has
/// completely adopted an epoch after c, and with it the record. If it is c, the logs of all who
/// have it agree on what was committed in c, as far as they reach, and the longest reaches at least
/// as far as the one that holds the record. Either way the taken log contains it.
///
/// That also holds for a log that is half-way through a catch-up: it is still called by its old
/// `log_epoch`, it has lost nothing that was committed, and what it gained is a part of a log that
/// was taken by this choice.
///
/// If c named other voters only, a majority of voters that are needed here had adopted a later
/// epoch than c before this one was given out: the control plane owes that (see
/// [the page of this module](super#changing-the-voters)). That is as if all that was committed in c
/// had been committed by them, in the later epoch.
///
/// # When disks have lost something
///
/// A voter whose log is *uncertain* may have lost the end of it, and with it what it had
/// acknowledged. Its promise fences like any other, but that it does not have a record says
/// nothing. Let B be the greatest log among those that are certain, P those who promised, V one of
/// the sets of voters, and U those in P whose log is uncertain and whose `log_epoch` is that of B
/// or greater. Let again a record be committed in c, by a majority of V, and suppose that B lacks
/// it. Then c is at least the `log_epoch` of B, for B holds all that was committed before that. Who
/// is in that majority and in P, and certain, has the record, under a `log_epoch` of at least c,
/// and by the argument above B would have it too. So that majority is made of members of U, whose
/// `log_epoch` can only have grown since c, and of voters outside of P.
///
/// So if U and V without P are together less than a majority of V, B lacks nothing. If they are
/// not, a majority may have held what nobody here can see, and the choice waits for another voter.
/// In a joint epoch this has to hold of both sets, for c may have needed a majority of either.
///
/// An uncertain log is never taken, not even where it is longer than B: when B is taken it lacks
/// nothing that was committed, and when it is not, what an uncertain log shows does not tell what
/// it has lost behind that.
///
/// At last, what somebody knows to be committed is never chosen away: should a disk have lost
/// records without knowing it, the choice waits for a voter that has them.
pub(super) fn choose(
    promises: &BTreeMap<NodeId, Promise>,
    electorate: &Electorate,
    me: NodeId,
) -> Result<Choice, Undecided> {
    if !is_promised(promises, electorate) || !promises.contains_key(&me) {
        return Err(Undecided::NoMajority);
    }
    // Among equals the own log is taken: it need not be fetched.
    let certain = promises.iter().filter(|(_, promise)| is_certain(promise));
    let best = certain.max_by_key(|(node, promise)| {
        let log_epoch = if sabotage::is(Sabotage::LongestLogWins) {
            Epoch(0)
        } else {
            promise.log_epoch
        };
        (log_epoch, promise.next_offset, **node == me, **node)
    });
    let Some((&source, promise)) = best else {
        return Err(Undecided::Uncertain);
    };
    // Who has adopted nothing has acknowledged nothing.
    let least = promise.log_epoch.max(Epoch(1));
    let may_hold_more = |node: &NodeId| match promises.get(node) {
        Some(other) => !is_certain(other) && other.log_epoch >= least,
        None => true,
    };
    let lacks_nothing = |set: &[NodeId]| {
        set.iter().filter(|node| may_hold_more(node)).count() < majority(set.len())
    };
    if !sets_needed(electorate).all(lacks_nothing) {
        return Err(Undecided::Uncertain);
    }
    let known = promises.values().map(|other| other.high_watermark).max();
    let high_watermark = known.unwrap_or_default();
    if high_watermark > promise.next_offset {
        return Err(Undecided::CommitsMissing);
    }
    // All that has expired anywhere was committed, so the taken log reaches beyond it.
    let expired = promises.values().map(|other| other.log_start).max();
    let log_start = expired.unwrap_or_default();
    let mut history = promise.history.clone();
    history.begin_at(log_start);
    Ok(Choice {
        source,
        history,
        next_offset: promise.next_offset,
        high_watermark,
        log_start,
    })
}

/// Whether a majority of every set has promised.
fn is_promised(promises: &BTreeMap<NodeId, Promise>, electorate: &Electorate) -> bool {
    sets_needed(electorate).all(|set| {
        let has_promised = |node: &&NodeId| promises.contains_key(node);
        set.iter().filter(has_promised).count() >= majority(set.len())
    })
}

/// The sets of voters without whose majority nothing is chosen.
fn sets_needed(electorate: &Electorate) -> impl Iterator<Item = &[NodeId]> {
    let count = if sabotage::is(Sabotage::ReconfiguredWithoutOldMajority) {
        1
    } else {
        usize::MAX
    };
    electorate.sets().take(count)
}

fn is_certain(promise: &Promise) -> bool {
    !promise.is_uncertain || sabotage::is(Sabotage::NackOfFaulty)
}
