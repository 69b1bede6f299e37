//! Who founds the group.

use quorate_vsr::NodeId;
use quorate_vsr::group::{Config, DiskId, Limits};

use crate::config::Member;

/// The disk of every node that founds the group.
const FOUNDERS_DISK: DiskId = DiskId(0);
/// With more voters a majority is no safer in practice, and slower.
const VOTERS_MAX: usize = 5;

/// What the group on node `me` is told when it starts.
///
/// `drawn` is a random number, for the case that the disk is blank.
pub(super) fn group_config(me: NodeId, nodes: &[Member], founds: bool, drawn: u64) -> Config {
    Config {
        me,
        disk: DiskId(drawn.max(FOUNDERS_DISK.0 + 1)),
        founders: if founds { founders(nodes) } else { Vec::new() },
        limits: Limits::default(),
    }
}

/// The first nodes by id, as many as make an odd number, at most five.
fn founders(nodes: &[Member]) -> Vec<NodeId> {
    let mut founders: Vec<_> = nodes.iter().map(|node| NodeId(node.id)).collect();
    founders.sort_unstable();
    let count = founders.len().min(VOTERS_MAX);
    founders.truncate(count - usize::from(count % 2 == 0));
    founders
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes(count: u16) -> Vec<Member> {
        let member = |id| Member {
            id,
            control_address: "127.0.0.1:7400".parse().unwrap(),
        };
        (1..=count).rev().map(member).collect()
    }

    fn founders_of(count: u16) -> Vec<u16> {
        let config = group_config(NodeId(1), &nodes(count), true, 0);
        assert_ne!(config.disk, DiskId(0));
        config.founders.iter().map(|node| node.0).collect()
    }

    #[test]
    fn an_odd_number_of_nodes_founds_the_group() {
        assert_eq!(founders_of(1), [1]);
        assert_eq!(founders_of(2), [1]);
        assert_eq!(founders_of(4), [1, 2, 3]);
        assert_eq!(founders_of(7), [1, 2, 3, 4, 5]);
    }

    #[test]
    fn nobody_founds_a_group_that_is_there() {
        let config = group_config(NodeId(1), &nodes(3), false, 7);
        assert_eq!((config.disk, config.founders), (DiskId(7), Vec::new()));
    }
}
