//! How an operation changes the catalog. Total and deterministic: whatever the operation says,
//! every node that applies it to the same catalog ends with the same catalog and the same outcome.

use quorate_vsr::NodeId;

use super::operation::Operation;
use super::outcome::Outcome;
use super::{Catalog, NodeRecord};

impl Catalog {
    /// Applies `operation`; the outcome is for the client that asked for it, if one did.
    pub fn apply(&mut self, operation: &Operation) -> Option<Outcome> {
        match operation {
            Operation::CreateTopic {
                name,
                partitions,
                replication,
                compaction,
            } => Some(self.create_topic(name, *partitions, *replication, *compaction)),
            Operation::DeleteTopic { name } => Some(self.delete_topic(name)),
            Operation::AlterTopic {
                name,
                partition,
                replicas,
            } => {
                let replicas: Vec<_> = replicas.iter().copied().map(NodeId).collect();
                Some(self.alter_topic(name, *partition, replicas))
            }
            Operation::RetainTopic { name, ms, bytes } => {
                Some(self.retain_topic(name, *ms, *bytes))
            }
            Operation::KeepTombstones { name, ms } => Some(self.keep_tombstones(name, *ms)),
            Operation::AddNode {
                node,
                control_address,
            } => Some(self.add_node(NodeId(*node), control_address)),
            Operation::RemoveNode { node, may_shrink } => {
                Some(self.remove_node(NodeId(*node), *may_shrink))
            }
            Operation::RecoverNode { node, disk } => Some(self.recover_node(NodeId(*node), *disk)),
            Operation::Found { members } => self.found(members),
            Operation::DropNode { node } => self.drop_node(NodeId(*node)),
            Operation::NodeUp {
                node,
                incarnation,
                disk,
                control_address,
                shard_addresses,
            } => {
                let shards = shard_addresses.iter().map(|address| address.parse());
                let addresses = (control_address.parse(), shards.collect());
                // Checked before it was proposed; an address that nobody can read changes nothing.
                if let (Ok(control_address), Ok(shard_addresses)) = addresses {
                    let record = NodeRecord {
                        id: NodeId(*node),
                        incarnation: *incarnation,
                        is_alive: true,
                        control_address,
                        shard_addresses,
                    };
                    self.node_up(record, *disk);
                }
                None
            }
            Operation::NodeDown { node, incarnation } => {
                self.node_down(NodeId(*node), *incarnation);
                None
            }
            Operation::MoveLeaders { moves } => {
                self.move_leaders(moves);
                None
            }
            Operation::AdvanceReplicas { steps } => {
                self.advance_replicas(steps);
                None
            }
        }
    }
}
