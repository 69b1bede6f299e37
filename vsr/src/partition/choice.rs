use std::collections::BTreeMap;

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
}

/// Takes the log with the greatest (`log_epoch`, `next_offset`) from the promises of a majority.
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
/// [the page of this module](super#changing-the-voters)). One of them promised here, and so the
/// greatest `log_epoch` is greater than c.
///
/// `None` without a majority, and also when somebody knows of commits beyond the end of the best
/// log. The latter cannot happen while disks keep what they were told to keep; if one did not, the
/// choice waits for another voter instead of dropping acknowledged records.
pub(super) fn choose(
    promises: &BTreeMap<NodeId, Promise>,
    electorate: &Electorate,
    me: NodeId,
) -> Option<Choice> {
    let has_promised = |node: &NodeId| promises.contains_key(node);
    let sets_needed = if sabotage::is(Sabotage::ReconfiguredWithoutOldMajority) {
        1
    } else {
        usize::MAX
    };
    let is_promised = |set: &[NodeId]| {
        let count = set.iter().filter(|node| has_promised(node)).count();
        count >= majority(set.len())
    };
    if !electorate.sets().take(sets_needed).all(is_promised) || !has_promised(&me) {
        return None;
    }
    // Among equals the own log is taken: it need not be fetched.
    let best = promises.iter().max_by_key(|(node, promise)| {
        let log_epoch = if sabotage::is(Sabotage::LongestLogWins) {
            Epoch(0)
        } else {
            promise.log_epoch
        };
        (log_epoch, promise.next_offset, **node == me, **node)
    });
    let (&source, promise) = best?;
    let high_watermark = promises
        .values()
        .map(|promise| promise.high_watermark)
        .max()?;
    (high_watermark <= promise.next_offset).then(|| Choice {
        source,
        history: promise.history.clone(),
        next_offset: promise.next_offset,
        high_watermark,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn promise(log_epoch: u32, next_offset: u64, high_watermark: u64) -> Promise {
        Promise {
            epoch: Epoch(9),
            log_epoch: Epoch(log_epoch),
            next_offset: Offset(next_offset),
            high_watermark: Offset(high_watermark),
            history: EpochHistory::default(),
        }
    }

    fn chosen(promises: &[(u16, Promise)], voters: u16) -> Option<u16> {
        let promises = promises
            .iter()
            .map(|(node, promise)| (NodeId(*node), promise.clone()));
        let electorate = Electorate::new((1..=voters).map(NodeId).collect(), Vec::new());
        choose(&promises.collect(), &electorate, NodeId(1)).map(|choice| choice.source.0)
    }

    #[test]
    fn the_newest_adopted_epoch_beats_the_longest_log() {
        assert_eq!(
            chosen(&[(1, promise(3, 90, 0)), (2, promise(4, 10, 0))], 3),
            Some(2)
        );
    }

    #[test]
    fn in_the_same_epoch_the_longest_log_is_taken() {
        assert_eq!(
            chosen(&[(1, promise(4, 10, 0)), (2, promise(4, 11, 0))], 3),
            Some(2)
        );
    }

    #[test]
    fn among_equals_the_own_log_is_taken() {
        assert_eq!(
            chosen(&[(1, promise(4, 10, 0)), (2, promise(4, 10, 0))], 3),
            Some(1)
        );
    }

    #[test]
    fn nothing_is_chosen_without_a_majority_that_includes_oneself() {
        assert_eq!(chosen(&[(1, promise(4, 10, 0))], 3), None);
        assert_eq!(
            chosen(&[(2, promise(4, 10, 0)), (3, promise(4, 10, 0))], 3),
            None
        );
    }

    #[test]
    fn known_commits_are_never_chosen_away() {
        let short = [(1, promise(4, 5, 0)), (2, promise(3, 9, 8))];
        assert_eq!(chosen(&short, 3), None);
        let with_third = [short[0].clone(), short[1].clone(), (3, promise(4, 8, 8))];
        assert_eq!(chosen(&with_third, 3), Some(3));
    }
}
