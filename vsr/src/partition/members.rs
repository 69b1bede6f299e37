//! Who takes part in an epoch, and how a leader sees them.

use super::{Phase, Replica};
use crate::NodeId;
use crate::quorum::Electorate;

/// Who takes part in an epoch.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Members {
    pub(super) electorate: Electorate,
    /// They get the records, adopt and acknowledge, and count for nothing.
    pub(super) learners: Vec<NodeId>,
}

impl Members {
    pub(super) fn new(
        voters: Vec<NodeId>,
        previous: Vec<NodeId>,
        mut learners: Vec<NodeId>,
    ) -> Self {
        let electorate = Electorate::new(voters, previous);
        // Who has a voice is no learner, whatever else is said of it.
        learners.retain(|node| !electorate.contains(*node));
        learners.sort_unstable();
        learners.dedup();
        Self {
            electorate,
            learners,
        }
    }

    /// Everybody, each once: voters, then voters who leave, then learners.
    pub(super) fn all(&self) -> impl Iterator<Item = (NodeId, Standing)> + '_ {
        let voters = self.electorate.sets().next().unwrap_or_default();
        let voice = move |node: NodeId| {
            let is_staying = voters.contains(&node);
            let standing = if is_staying {
                Standing::Voter
            } else {
                Standing::Leaving
            };
            (node, standing)
        };
        let learners = self.learners.iter().map(|node| (*node, Standing::Learner));
        self.electorate.members().map(voice).chain(learners)
    }
}

/// What a replica's word counts for in an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Standing {
    /// One of the voters, perhaps also one of the previous ones.
    Voter,
    /// One of the previous voters only: it counts until the change is over.
    Leaving,
    /// It counts for nothing.
    Learner,
}

/// How a member of the epoch stands, in the eyes of the leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemberStatus {
    /// The member; the leader itself is one.
    pub node: NodeId,
    /// What its word counts for.
    pub standing: Standing,
    /// One past the last record that it is known to have on stable storage.
    pub next_offset: crate::Offset,
    /// Whether it has adopted the epoch and had, when last looked, all that was committed.
    pub in_sync: bool,
}

/// How far a change of voters has come in an epoch, so that the next one may be given out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ChangeProgress {
    /// Every learner has adopted the epoch and had, when last looked, all that was committed: they
    /// may become voters, in a joint epoch.
    ///
    /// It says that the change will not take long, and nothing about safety.
    LearnersCaughtUp,
    /// The leader and a majority of each set of voters have adopted this joint epoch, on stable
    /// storage.
    ///
    /// All that was committed before the epoch is now kept by a majority of the new voters, under a
    /// `log_epoch` that no leader of the old ones can match. So it stays true, and an epoch of the
    /// new voters alone may follow, whoever leads it and whatever happens in between.
    Adopted,
}

impl Replica {
    /// How far the change of voters has come that the current epoch is a part of.
    ///
    /// `None` while there is nothing to report, without a change, and on any other replica than an
    /// open leader: only that knows. Within an epoch, `Adopted` is never taken back.
    #[must_use]
    pub fn change_progress(&self) -> Option<ChangeProgress> {
        let Some(Phase::Open { followers, .. }) = self.phase() else {
            return None;
        };
        let Members {
            electorate,
            learners,
        } = &self.members;
        if electorate.is_joint() {
            return self.knows_commits().then_some(ChangeProgress::Adopted);
        }
        let is_in_sync = |node| followers.get(node).is_some_and(|other| other.is_in_sync());
        let is_caught_up = !learners.is_empty() && learners.iter().all(is_in_sync);
        is_caught_up.then_some(ChangeProgress::LearnersCaughtUp)
    }

    /// Whether this replica is open and knows all that was ever committed, for a majority of each
    /// set of voters has adopted its log.
    ///
    /// Before, its high watermark is only a lower bound of what earlier leaders have acknowledged.
    #[must_use]
    pub fn knows_commits(&self) -> bool {
        let Some(Phase::Open { followers, .. }) = self.phase() else {
            return false;
        };
        // Who is open has adopted: that is what opening means.
        let has_adopted = |node| match followers.get(&node) {
            Some(follower) => follower.adopted,
            None => true,
        };
        self.members.electorate.has_majority(has_adopted)
    }

    /// Everybody who takes part in the epoch, as an open leader sees them: voters, then voters who
    /// leave, then learners. Empty on any other replica.
    #[must_use]
    pub fn member_statuses(&self) -> Vec<MemberStatus> {
        let Some(Phase::Open { followers, .. }) = self.phase() else {
            return Vec::new();
        };
        let status = |(node, standing)| {
            let follower = followers.get(&node);
            MemberStatus {
                node,
                standing,
                next_offset: follower.map_or(self.durable_offset, |other| other.durable),
                in_sync: follower.is_none_or(|other| other.is_in_sync()),
            }
        };
        self.members.all().map(status).collect()
    }

    /// The voters that an open leader cannot count on right now.
    ///
    /// Empty on any other replica: only a leader knows.
    pub fn lagging(&self) -> impl Iterator<Item = NodeId> + '_ {
        let followers = match self.phase() {
            Some(Phase::Open { followers, .. }) => Some(followers),
            Some(_) | None => None,
        };
        let all = followers.into_iter().flatten();
        all.filter(|(node, other)| self.members.electorate.contains(**node) && !other.is_in_sync())
            .map(|(node, _)| *node)
    }
}
