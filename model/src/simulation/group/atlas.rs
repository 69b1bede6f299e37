//! Which disks can still tell what, and whether that is enough to go on.
//!
//! A group with damaged disks has to stay consistent whatever is damaged. That it goes on can be
//! asked for only while nothing is lost that may have been acknowledged.

use quorate_vsr::group::Prepare;
use quorate_vsr::{OpNumber, quorum};

use super::node::Node;
use super::world::World;

impl World {
    /// Whether these nodes, as bits, can bring each other back to all that was acknowledged.
    ///
    /// A majority of the voters has to know where its journals end, and to find among these nodes
    /// what it has lost of them. Whatever was committed is then in the journal of one of them. And
    /// there has to be a voter with a state, from which these journals lead on.
    pub(crate) fn is_recoverable(&self, core: u8) -> bool {
        let nodes: Vec<&Node> = (0..)
            .zip(&self.nodes)
            .filter(|(at, _)| core & (1 << at) != 0)
            .map(|(_, node)| node)
            .collect();
        let founders = &self.nodes[0].config.founders;
        let voters = || nodes.iter().filter(|node| founders.contains(&node.id));
        let Some(state) = voters().filter_map(|node| node.disk.state()).max() else {
            return false;
        };
        let sources = || voters().filter(|node| can_mend(node, &nodes, state));
        let leads_on = |node: &&&Node| {
            let first = node.disk.first();
            node.disk.state().is_some_and(|own| own <= state)
                || first.is_none_or(|first| first <= state.next())
        };
        sources().count() >= quorum::majority(founders.len()) && sources().all(|it| leads_on(&it))
    }
}

/// Whether a node knows where its journal ends, and finds everything else with the others.
fn can_mend(node: &Node, nodes: &[&Node], state: OpNumber) -> bool {
    let is_found = |lost: &Prepare| {
        let mut others = nodes.iter();
        lost.op <= state || others.any(|other| other.disk.has(lost.op, lost.checksum))
    };
    node.disk.is_end_certain() && node.disk.lost().all(is_found)
}
