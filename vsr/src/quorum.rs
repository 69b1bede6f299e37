//! The arithmetic of majorities. It knows nothing of its users.

use crate::NodeId;

/// How many of `voters` make a majority.
///
/// Any two majorities of the same voters share a member: all that either protocol proves, it
/// proves from that.
#[must_use]
pub fn majority(voters: usize) -> usize {
    voters / 2 + 1
}

/// The greatest value that a majority has reached, given one value for each voter.
///
/// A voter of whom nothing is known has reached the least value and must still be listed: leaving
/// it out would shrink the majority. With no voters at all there is no majority, and so no value.
#[must_use]
pub fn reached<T: Copy + Ord>(mut values: Vec<T>) -> Option<T> {
    let needed = majority(values.len());
    values.sort_unstable_by(|a, b| b.cmp(a));
    values.get(needed - 1).copied()
}

/// Whose word counts: one set of voters, or two while one takes the place of the other.
///
/// With two, whatever takes a majority takes a majority of each. So a decision of the one set
/// alone, of the other alone and of both together, any two of them that name a set in common,
/// share a member of that set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Electorate {
    voters: Vec<NodeId>,
    previous: Vec<NodeId>,
}

impl Electorate {
    /// The electorate of `voters` and, unless that is empty, of `previous` as well.
    ///
    /// The order does not matter, and who is named twice in a set has one voice in it.
    #[must_use]
    pub fn new(voters: Vec<NodeId>, previous: Vec<NodeId>) -> Self {
        let set = |mut nodes: Vec<NodeId>| {
            nodes.sort_unstable();
            nodes.dedup();
            nodes
        };
        Self {
            voters: set(voters),
            previous: set(previous),
        }
    }

    /// Whether nobody is in it, so that nothing can be decided.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.voters.is_empty()
    }

    /// Whether it takes the majorities of two sets.
    #[must_use]
    pub fn is_joint(&self) -> bool {
        !self.previous.is_empty()
    }

    /// Whether `node` has a voice in any set.
    #[must_use]
    pub fn contains(&self, node: NodeId) -> bool {
        self.voters.contains(&node) || self.previous.contains(&node)
    }

    /// Everybody who has a voice, each once: the voters first, then who is only in the other set.
    pub fn members(&self) -> impl Iterator<Item = NodeId> + '_ {
        let leaving = self.previous.iter().filter(|id| !self.voters.contains(id));
        self.voters.iter().chain(leaving).copied()
    }

    /// The sets of which a majority is needed.
    pub fn sets(&self) -> impl Iterator<Item = &[NodeId]> {
        let previous = self.is_joint().then_some(&self.previous[..]);
        std::iter::once(&self.voters[..]).chain(previous)
    }

    /// Whether those who are `with` make a majority of every set.
    pub fn has_majority(&self, with: impl Fn(NodeId) -> bool) -> bool {
        self.sets().all(|set| {
            let count = set.iter().filter(|node| with(**node)).count();
            count >= majority(set.len())
        })
    }

    /// The greatest value that a majority of every set has reached.
    pub fn reached<T: Copy + Ord>(&self, value: impl Fn(NodeId) -> T) -> Option<T> {
        let by_set = self.sets();
        let by_set = by_set.map(|set| reached(set.iter().map(|node| value(*node)).collect()));
        // No value at all, of a set without members, is the least.
        by_set.min().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_majorities_always_share_a_member() {
        for voters in 1..=9 {
            assert!(2 * majority(voters) > voters);
            assert!(majority(voters) <= voters);
        }
    }

    #[test]
    fn a_majority_has_reached_the_middle_value() {
        assert_eq!(reached(vec![7]), Some(7));
        assert_eq!(reached(vec![9, 3]), Some(3));
        assert_eq!(reached(vec![1, 9, 4]), Some(4));
        assert_eq!(reached(vec![0, 0, 5, 6, 7]), Some(5));
        assert_eq!(reached(Vec::<u64>::new()), None);
    }

    fn nodes(ids: &[u16]) -> Vec<NodeId> {
        ids.iter().copied().map(NodeId).collect()
    }

    /// Every set of nodes that has a majority in an electorate of some of `1..=6`.
    fn majorities(electorate: &Electorate) -> Vec<u16> {
        let is_with = |bits: u16| move |node: NodeId| bits & (1 << node.0) != 0;
        let all = (0..1 << 7).filter(|bits| electorate.has_majority(is_with(*bits)));
        all.collect()
    }

    #[test]
    fn electorates_with_a_set_in_common_decide_nothing_behind_each_others_back() {
        let (old, new) = (nodes(&[1, 2, 3]), nodes(&[3, 4, 5, 6]));
        let alone = Electorate::new(old.clone(), Vec::new());
        let joint = Electorate::new(new.clone(), old);
        let afterwards = Electorate::new(new, Vec::new());
        let shares = |a: &Electorate, b: &Electorate| {
            let theirs = majorities(b);
            let ours = majorities(a);
            let mut pairs = ours.iter().flat_map(|a| theirs.iter().map(move |b| a & b));
            pairs.all(|common| common != 0)
        };
        assert!(shares(&alone, &joint));
        assert!(shares(&joint, &joint));
        assert!(shares(&joint, &afterwards));
        assert!(
            !shares(&alone, &afterwards),
            "which is why there is a joint one between"
        );
    }

    #[test]
    fn two_sets_have_reached_what_the_slower_has() {
        let value = |node: NodeId| u64::from(node.0) * 10;
        let electorate = |voters: &[u16], previous: &[u16]| {
            Electorate::new(nodes(voters), nodes(previous)).reached(value)
        };
        assert_eq!(electorate(&[1, 2, 3], &[]), Some(20));
        assert_eq!(electorate(&[4, 5, 6], &[1, 2, 3]), Some(20));
        assert_eq!(electorate(&[1, 2, 3], &[4, 5, 6]), Some(20));
        assert_eq!(electorate(&[1, 1, 1, 6, 6], &[]), Some(10), "named twice");
        assert_eq!(electorate(&[], &[]), None);
    }

    #[test]
    fn members_are_told_once() {
        let joint = Electorate::new(nodes(&[4, 2, 2]), nodes(&[3, 2, 1]));
        assert_eq!(joint.members().collect::<Vec<_>>(), nodes(&[2, 4, 1, 3]));
        assert!(joint.contains(NodeId(1)));
        assert!(!joint.contains(NodeId(5)));
    }
}
