//! Which step brings the group's membership nearer to what it shall be: a pure function.
//!
//! Who shall belong to the cluster is in the catalog. The group follows one member at a time, and
//! every step is a whole change that could be the last: nothing has to be remembered between two of
//! them, and a new primary goes on where the old one was.
//!
//! Of the members that stay, the first by id vote ([`electorate`]). Only those count that the group
//! has as members already, so that a node that was added and never started keeps nobody out.
//!
//! A voter is never given up before the one that takes its place votes, except for a voter whose
//! disk is lost: that one counts in every majority and can never be part of one again. And no step
//! is taken after which those who are there would not be a majority.

use std::collections::BTreeMap;

use quorate_vsr::NodeId;
use quorate_vsr::group::{DiskId, Member, Membership};

use crate::metadata::{Catalog, majority, wanted_voters};

/// What the primary knows of the nodes.
pub(super) struct Sight<'a> {
    /// Who shall belong to the cluster, and what each of them holds.
    pub(super) catalog: &'a Catalog,
    /// The nodes that are heard now, and with which disk.
    pub(super) heard: &'a BTreeMap<NodeId, DiskId>,
}

/// The steps that could be taken next, the most urgent first; empty if the membership is as it
/// shall be, or nothing can be done about it now.
///
/// Not all of them may be possible yet: whoever becomes a voter must have caught up, which the
/// group knows.
pub(super) fn next_steps(current: &Membership, sight: &Sight<'_>) -> Vec<Membership> {
    let mut steps = Vec::new();
    steps.extend(sight.demote_lost(current));
    steps.extend(sight.replace_disk(current));
    steps.extend(sight.drop_standby(current));
    steps.extend(sight.add_standby(current));
    steps.extend(sight.promote(current));
    steps.extend(sight.demote_unwanted(current));
    steps
}

impl Sight<'_> {
    /// The disk that counts as the node's.
    fn disk_of(&self, node: NodeId) -> Option<DiskId> {
        let member = self.catalog.members.get(&node)?;
        member.disk.map(DiskId)
    }

    fn is_lost(&self, member: Member) -> bool {
        self.disk_of(member.node)
            .is_some_and(|disk| disk != member.disk)
    }

    fn is_heard(&self, member: Member) -> bool {
        self.heard.get(&member.node) == Some(&member.disk)
    }

    /// Whether those who are there would be a majority of its voters.
    fn can_decide(&self, next: &Membership) -> bool {
        let there = next.voters().iter().filter(|voter| self.is_heard(**voter));
        there.count() >= majority(next.voters().len())
    }

    fn demote_lost(&self, current: &Membership) -> Option<Membership> {
        let mut lost = current.voters().iter().filter(|it| self.is_lost(**it));
        lost.find_map(|voter| self.demote(current, *voter))
    }

    /// A standby has promised nothing, so a lost disk of one takes nothing with it.
    fn replace_disk(&self, current: &Membership) -> Option<Membership> {
        let new_disk = |standby: &Member| {
            let disk = *self.heard.get(&standby.node)?;
            let counts = self.disk_of(standby.node) == Some(disk);
            current
                .replacing_disk(Member { disk, ..*standby })
                .filter(|_| counts)
        };
        current.standbys().iter().find_map(new_disk)
    }

    /// A node that leaves is told what happens for as long as it has anything.
    fn drop_standby(&self, current: &Membership) -> Option<Membership> {
        let is_needless = |node| !self.catalog.is_staying(node) && !self.catalog.is_in_use(node);
        let gone = current.standbys().iter().find(|it| is_needless(it.node))?;
        current.dropping(gone.node)
    }

    fn add_standby(&self, current: &Membership) -> Option<Membership> {
        let mut wanted = self.heard.iter().filter(|(node, disk)| {
            let expected = self.disk_of(**node);
            self.catalog.is_staying(**node) && expected.is_none_or(|expected| expected == **disk)
        });
        wanted.find_map(|(&node, &disk)| current.adding(Member { node, disk }))
    }

    /// All of them, for only the group knows who has caught up.
    fn promote(&self, current: &Membership) -> Vec<Membership> {
        let wanted = wanted_voters(current, self.catalog);
        let able = current.standbys().iter().filter(|it| {
            let counts = self.disk_of(it.node) == Some(it.disk);
            wanted.contains(&it.node) && counts && self.is_heard(**it)
        });
        let promoted = able.filter_map(|standby| current.promoting(standby.node));
        promoted.filter(|next| self.can_decide(next)).collect()
    }

    fn demote_unwanted(&self, current: &Membership) -> Option<Membership> {
        let wanted = wanted_voters(current, self.catalog);
        let votes = |node: &NodeId| current.voters().iter().any(|voter| voter.node == *node);
        if !wanted.iter().all(votes) {
            return None;
        }
        let unwanted = current.voters().iter();
        let mut unwanted: Vec<_> = unwanted.filter(|it| !wanted.contains(&it.node)).collect();
        // Who is not there first, then who leaves, then those with the greatest ids.
        let rank = |it: &Member| (self.is_heard(*it), self.catalog.is_staying(it.node));
        unwanted.sort_by_key(|it| (rank(it), std::cmp::Reverse(it.node)));
        unwanted
            .into_iter()
            .find_map(|voter| self.demote(current, *voter))
    }

    /// Without the vote of `voter`; `None` if the rest could not decide anything.
    fn demote(&self, current: &Membership, voter: Member) -> Option<Membership> {
        let next = current.demoting(voter.node)?;
        self.can_decide(&next).then_some(next)
    }
}

#[cfg(test)]
mod tests;
