//! Which disks can still tell what, and whether that is enough to go on.
//!
//! A group with damaged disks has to stay consistent whatever is damaged. That it goes on can be
//! asked for only while nothing is lost that may have been acknowledged.

use quorate_vsr::group::{Member, Membership, Prepare};
use quorate_vsr::{OpNumber, quorum};

use super::node::Node;
use super::world::World;

impl World {
    /// All nodes, members or not, as bits.
    pub(crate) fn everybody(&self) -> u8 {
        u8::MAX >> (u8::BITS as usize - self.nodes.len())
    }

    /// Whether these nodes, as bits, can bring each other back to all that was acknowledged,
    /// whichever of the memberships that may count does.
    pub(crate) fn is_recoverable(&self, core: u8) -> bool {
        let nodes = (0..).zip(&self.nodes);
        let core: Vec<&Node> = nodes
            .filter(|(at, _)| core & (1 << at) != 0)
            .map(|(_, node)| node)
            .collect();
        let mut live = self.checker.agreement.members.live();
        live.all(|membership| is_recoverable(membership, &core))
    }

    /// Whether a member still has the disk with which it is one.
    pub(crate) fn has_disk(&self, member: Member) -> bool {
        self.nodes[usize::from(member.node.0) - 1].member() == member
    }

    /// Whether those of the voters who still have their disks, and are such nodes, make a majority.
    pub(crate) fn has_majority(
        &self,
        membership: &Membership,
        is_such: impl Fn(&Node) -> bool,
    ) -> bool {
        let voters = membership.voters();
        let counts = |voter: &&Member| {
            let node = &self.nodes[usize::from(voter.node.0) - 1];
            self.has_disk(**voter) && is_such(node)
        };
        voters.iter().filter(counts).count() >= quorum::majority(voters.len())
    }
}

/// Whether these nodes can bring each other back, as far as they are members.
///
/// A majority of the voters has to know where its journals end, and to find among these nodes what
/// it has lost of them. Whatever was committed is then in the journal of one of them. And there has
/// to be a voter with a state, from which these journals lead on.
fn is_recoverable(membership: &Membership, core: &[&Node]) -> bool {
    let members = core.iter().copied();
    let members: Vec<&Node> = members
        .filter(|node| membership.contains(node.member()))
        .collect();
    let voters = || {
        let members = members.iter().copied();
        members.filter(|node| membership.is_voter(node.member()))
    };
    let Some(state) = voters().filter_map(|node| node.disk.state()).max() else {
        return false;
    };
    let sources = || voters().filter(|node| can_mend(node, &members, state));
    let leads_on = |node: &Node| {
        let is_behind = node.disk.state().is_some_and(|own| own <= state);
        is_behind || node.disk.first() <= state.next()
    };
    let majority = quorum::majority(membership.voters().len());
    sources().count() >= majority && sources().all(leads_on)
}

/// Whether a node knows where its journal ends, and finds everything else with the others.
fn can_mend(node: &Node, nodes: &[&Node], state: OpNumber) -> bool {
    let is_found = |lost: &Prepare| {
        let mut others = nodes.iter();
        lost.op <= state || others.any(|other| other.disk.can_give(lost))
    };
    node.disk.is_end_certain() && node.disk.lost().all(is_found)
}
