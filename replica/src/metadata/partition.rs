//! A partition, who holds it, and how that changes.
//!
//! Who shall hold a partition is a wish ([`PartitionRecord::replicas`]); who holds it follows in
//! stages, each in an epoch of its own, so that at every moment each majority that may commit meets
//! each that may have committed before:
//!
//! ```text
//! at rest ──► learning ──► joint ──► at rest
//! voters      voters       voters     voters = the wish
//!             + learners   + previous
//! ```
//!
//! * **Learning.** The newcomers are sent the records and count for nothing, so that nothing waits
//!   for them. Skipped if there are none.
//! * **Joint.** The new voters and the previous ones: whatever needs a majority needs one of each.
//! * Back **at rest** with the new voters alone, once a majority of each has adopted the epoch's
//!   log, so that all that was committed is at a majority of the new voters.
//!
//! The leader tells when a stage has done its work; the primary of the control plane then proposes
//! the next one, which is computed here, where the operation is applied. If the wish changes
//! meanwhile the learners change, and a joint stage is given up for the previous voters: whatever
//! was committed in it is at a majority of them as well.
//!
//! **A lost disk.** A voter whose disk is lost is *absent*: it still counts where a majority is
//! counted, for others acknowledged because it had, but it has nothing and takes part in nothing.
//! Any majority without it holds all that any majority with it has acknowledged. The first change
//! is then to voters without it; only after that, when nothing is said in its old name any more,
//! does the node come back as a learner with its new disk.
//!
//! **Who was away.** A node that was taken out of the lists and put into them again may have heard
//! of neither, and still have the log that it had before. Such a log is a prefix of the others'
//! like any that lags behind, and is of use; but not where the topic is compacted, for what deletes
//! a key that is alive in it may be gone everywhere else. So it is kept on record since when each
//! node is in the lists ([`PartitionRecord::since`]): if it has promised to nothing since then, it
//! has missed something ([`PartitionRecord::was_without`]).

use std::collections::{BTreeMap, BTreeSet};

use quorate_vsr::{Epoch, NodeId};

/// A partition: who holds it, and who leads it.
///
/// All lists of nodes are sorted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionRecord {
    /// Unique in the cluster and never used again.
    pub id: u64,
    /// The topic it belongs to.
    pub topic: String,
    /// Its place in the topic, from 0.
    pub index: u32,
    /// The node that leads it.
    pub leader: NodeId,
    /// The leader's epoch; from 1.
    pub epoch: Epoch,
    /// The nodes whose majority commits.
    pub voters: Vec<NodeId>,
    /// In the joint stage: the voters before the change, of whom a majority is needed as well.
    pub previous: Vec<NodeId>,
    /// In the learning stage: the nodes that are sent the records to become voters.
    pub learners: Vec<NodeId>,
    /// The nodes that shall hold it.
    pub replicas: Vec<NodeId>,
    /// Those of the voters, the previous ones too, whose disk is lost.
    pub absent: Vec<NodeId>,
    /// The nodes in any of the lists of the present epoch, and since which epoch each of them is in
    /// one, without a break.
    pub since: BTreeMap<NodeId, Epoch>,
}

/// How far a change of a partition's voters is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// No change is under way.
    Rest,
    /// Learners are sent the records.
    Learning,
    /// Both the new and the previous voters count.
    Joint,
}

/// What comes after a stage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Next {
    pub(super) voters: Vec<NodeId>,
    pub(super) previous: Vec<NodeId>,
    pub(super) learners: Vec<NodeId>,
    /// Whether it may come only once the leader has told that the present stage has done its work.
    pub(super) awaits_leader: bool,
}

impl PartitionRecord {
    /// How far a change of its voters is.
    pub fn stage(&self) -> Stage {
        if !self.previous.is_empty() {
            Stage::Joint
        } else if !self.learners.is_empty() {
            Stage::Learning
        } else {
            Stage::Rest
        }
    }

    /// The nodes in any of the lists of the present epoch.
    pub fn named(&self) -> BTreeSet<NodeId> {
        let voters = self.voters.iter().chain(&self.previous);
        voters.chain(&self.learners).copied().collect()
    }

    /// Whether `node` is in any of the lists of the present epoch.
    pub fn names(&self, node: NodeId) -> bool {
        let mut lists = [&self.voters, &self.previous, &self.learners].into_iter();
        lists.any(|list| list.contains(&node))
    }

    /// Whether there was an epoch without `node` since it was one of those who hold the partition,
    /// if the newest that it has promised to is `promised`. Now it is one of them again.
    pub fn was_without(&self, node: NodeId, promised: Epoch) -> bool {
        self.since.get(&node).is_some_and(|since| promised < *since)
    }

    /// Whether `node` shall hold it in the end.
    pub fn is_wanted_at(&self, node: NodeId) -> bool {
        self.replicas.contains(&node)
    }

    /// Whether `node` takes part in the present epoch.
    pub fn is_held_by(&self, node: NodeId) -> bool {
        self.names(node) && !self.absent.contains(&node)
    }

    /// Whether `node` could lead: it votes, and has what it voted for.
    pub fn may_be_led_by(&self, node: NodeId) -> bool {
        let votes = self.voters.contains(&node) || self.previous.contains(&node);
        votes && !self.absent.contains(&node)
    }

    /// Whether the voters are as they shall be and nothing is under way.
    pub fn is_settled(&self) -> bool {
        self.next().is_none()
    }

    /// Whether the next stage may come only once the leader has told that this one has done its
    /// work; `None` if there is none to come.
    pub fn next_awaits_leader(&self) -> Option<bool> {
        self.next().map(|next| next.awaits_leader)
    }

    /// The next stage; `None` at rest with nothing to do.
    pub(super) fn next(&self) -> Option<Next> {
        match self.stage() {
            Stage::Joint => Some(self.next_of_joint()),
            Stage::Learning | Stage::Rest => self.next_of_settled(),
        }
    }

    fn next_of_joint(&self) -> Next {
        let is_sound = self.voters.iter().all(|node| !self.absent.contains(node));
        let is_wanted = is_sound && self.voters == self.target(&self.previous);
        let kept = match is_wanted {
            true => &self.voters,
            // Whatever was committed meanwhile is at a majority of the previous voters as well.
            false => &self.previous,
        };
        Next {
            voters: kept.clone(),
            previous: Vec::new(),
            learners: Vec::new(),
            awaits_leader: is_wanted,
        }
    }

    fn next_of_settled(&self) -> Option<Next> {
        let target = self.target(&self.voters);
        let learners = without(&target, &self.voters);
        let voters = self.voters.clone();
        if learners != self.learners && (!learners.is_empty() || target == voters) {
            // The wish is new. Learners count for nothing, so they may come and go.
            return Some(Next {
                voters,
                previous: Vec::new(),
                learners,
                awaits_leader: false,
            });
        }
        (target != voters).then(|| Next {
            voters: target,
            previous: voters,
            awaits_leader: !learners.is_empty(),
            learners: Vec::new(),
        })
    }

    /// The voters that `voters`, who decide alone, shall be changed to.
    fn target(&self, voters: &[NodeId]) -> Vec<NodeId> {
        let held = without(voters, &self.absent);
        if held.len() * 2 <= voters.len() {
            // Nobody can speak for a majority: a change could never be brought to its end.
            return voters.to_vec();
        }
        let is_back = |node: &NodeId| self.absent.contains(node) && self.replicas.contains(node);
        match voters.iter().any(is_back) {
            // Under its old name first: see the head of this page.
            true => held,
            false => self.replicas.clone(),
        }
    }

    /// Goes on to `next`, in a new epoch.
    pub(super) fn enter(&mut self, next: Next) {
        (self.voters, self.previous) = (next.voters, next.previous);
        self.learners = next.learners;
        let votes = |node: &NodeId| self.voters.contains(node) || self.previous.contains(node);
        self.absent.retain(votes);
        self.epoch = self.epoch.next();
        let named = self.named();
        self.since.retain(|node, _| named.contains(node));
        for node in named {
            self.since.entry(node).or_insert(self.epoch);
        }
    }

    /// Takes in that the disk of `node` is lost, with all that it held; true if it held something.
    pub(super) fn lose_disk(&mut self, node: NodeId) -> bool {
        let votes = self.voters.contains(&node) || self.previous.contains(&node);
        if votes && !self.absent.contains(&node) {
            insert_sorted(&mut self.absent, node);
            return true;
        }
        if self.learners.contains(&node) {
            // What the leader tells of this epoch may still be true of the old disk only.
            self.epoch = self.epoch.next();
            self.since.insert(node, self.epoch);
            return true;
        }
        false
    }
}

/// The nodes of `list` that are not in `other`.
fn without(list: &[NodeId], other: &[NodeId]) -> Vec<NodeId> {
    let rest = list.iter().filter(|node| !other.contains(node));
    rest.copied().collect()
}

fn insert_sorted(list: &mut Vec<NodeId>, node: NodeId) {
    let place = list.partition_point(|other| *other < node);
    list.insert(place, node);
}
