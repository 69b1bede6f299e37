//! Who shall vote in the control plane's group: a pure function from the members to a choice.

use quorate_vsr::NodeId;
use quorate_vsr::group::Membership;

use super::Catalog;

/// The most nodes that vote. More would cost each operation more and make little safer.
const VOTERS_MAX: usize = 5;

/// The first of `nodes` by id, as many as make an odd number, at most five. The others follow
/// without a vote.
///
/// `nodes` are sorted. An even number would need as large a majority as the next odd one, and so
/// would not survive the loss of more nodes than the odd one below.
pub fn electorate(nodes: impl Iterator<Item = NodeId>) -> Vec<NodeId> {
    let mut voters: Vec<_> = nodes.take(VOTERS_MAX).collect();
    let is_even = voters.len().is_multiple_of(2);
    voters.truncate(voters.len() - usize::from(is_even && !voters.is_empty()));
    voters
}

/// Who of the group's members votes in the end, if all of `catalog` is fulfilled.
///
/// Only those count that the group has as members already, so that a node that was added and was
/// never there keeps nobody out.
pub fn wanted_voters(current: &Membership, catalog: &Catalog) -> Vec<NodeId> {
    let mut nodes: Vec<_> = current.members().map(|member| member.node).collect();
    nodes.retain(|node| catalog.is_staying(*node));
    nodes.sort_unstable();
    electorate(nodes.into_iter())
}

/// How many of `count` are a majority.
pub const fn majority(count: usize) -> usize {
    count / 2 + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_odd_number_votes_and_never_more_than_five() {
        let count = |nodes: u16| electorate((1..=nodes).map(NodeId)).len();
        let counts: Vec<_> = (0..=8).map(count).collect();
        assert_eq!(counts, [0, 1, 1, 3, 3, 5, 5, 5, 5]);
        assert_eq!(electorate([4, 7].map(NodeId).into_iter()), [NodeId(4)]);
    }
}
