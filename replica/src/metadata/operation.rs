use std::fmt;

use quorate_wire::{Compaction, Limit};
use rkyv::{Archive, Deserialize, Serialize};

/// The version of [`Operation`]'s shape; it stands before every encoded operation.
const VERSION: u16 = 5;

/// A change of the catalog, as the group replicates it.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// A client creates a topic.
    CreateTopic {
        /// Its name.
        name: String,
        /// How many partitions.
        partitions: u32,
        /// On how many nodes each is held.
        replication: u16,
        /// Whether it is compacted, and how.
        compaction: Option<Compaction>,
    },
    /// A client deletes a topic.
    DeleteTopic {
        /// Its name.
        name: String,
    },
    /// A client changes which nodes shall hold a topic, or one partition of it.
    AlterTopic {
        /// Its name.
        name: String,
        /// The partition's index; `None` for all.
        partition: Option<u32>,
        /// The nodes.
        replicas: Vec<u16>,
    },
    /// A client changes how much of a topic's records is kept.
    RetainTopic {
        /// Its name.
        name: String,
        /// For how many milliseconds.
        ms: Limit,
        /// How many bytes of each partition.
        bytes: Limit,
    },
    /// A client changes for how long a compacted topic keeps what says that a key is deleted.
    KeepTombstones {
        /// Its name.
        name: String,
        /// For how many milliseconds.
        ms: u64,
    },
    /// The first primary tells who belongs to the cluster that it has founded.
    Found {
        /// The nodes.
        members: Vec<Founder>,
    },
    /// A client adds a node, or changes its address, or has it stay after all.
    AddNode {
        /// The node.
        node: u16,
        /// Where its control thread listens, as `IP:PORT`.
        control_address: String,
    },
    /// A client has a node leave: what it holds goes elsewhere, then it is dropped.
    RemoveNode {
        /// The node.
        node: u16,
        /// Whether partitions for which there is no other node are to be held by fewer.
        may_shrink: bool,
    },
    /// A client gives up the disk of a node, with all that is on it.
    RecoverNode {
        /// The node.
        node: u16,
        /// The disk that takes the place of the lost one.
        disk: u64,
    },
    /// The primary finds that a node that leaves has nothing left.
    DropNode {
        /// The node.
        node: u16,
    },
    /// The primary has heard a node that is not registered, not with this incarnation or not as
    /// alive.
    NodeUp {
        /// The node.
        node: u16,
        /// Which run of it.
        incarnation: u64,
        /// Its disk.
        disk: u64,
        /// Where its control thread listens, as `IP:PORT`.
        control_address: String,
        /// Where each of its shards listens, as `IP:PORT`.
        shard_addresses: Vec<String>,
    },
    /// The primary has not heard a node for too long, or the node said that it stops.
    NodeDown {
        /// The node.
        node: u16,
        /// Which run of it; nothing happens if it has come up again meanwhile.
        incarnation: u64,
    },
    /// The primary spreads the leaderships more evenly.
    MoveLeaders {
        /// Which partitions get which leader.
        moves: Vec<Move>,
    },
    /// The primary takes changes of partitions' voters one stage further.
    AdvanceReplicas {
        /// Which partitions.
        steps: Vec<Step>,
    },
}

/// A node of a cluster that is founded.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct Founder {
    /// The node.
    pub node: u16,
    /// Where its control thread listens, as `IP:PORT`.
    pub control_address: String,
    /// Its disk, if it votes from the beginning.
    pub disk: Option<u64>,
}

/// Takes the change of one partition's voters one stage further, in a new epoch.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// The partition.
    pub partition: u64,
    /// The epoch whose stage has done its work; in any other it does nothing.
    pub epoch: u32,
}

/// Gives one partition another leader, in a new epoch.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub struct Move {
    /// The partition.
    pub partition: u64,
    /// The epoch on which the move was decided; in any other it does nothing.
    pub epoch: u32,
    /// The new leader.
    pub leader: u16,
}

impl Operation {
    /// The bytes that the group replicates.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = VERSION.to_le_bytes().to_vec();
        bytes.extend_from_slice(&quorate_wire::encode(self));
        bytes
    }

    /// Reads the bytes that the group replicated.
    pub fn decode(bytes: &[u8]) -> Result<Self, NotUnderstood> {
        let (version, body) = bytes
            .split_first_chunk()
            .ok_or(NotUnderstood { version: None })?;
        let version = u16::from_le_bytes(*version);
        let not_understood = NotUnderstood {
            version: Some(version),
        };
        if version != VERSION {
            return Err(not_understood);
        }
        quorate_wire::decode(body).map_err(|_| not_understood)
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CreateTopic {
                name,
                partitions,
                replication,
                compaction,
            } => {
                let name = name.escape_debug();
                let how = compaction.map_or("", |_| ", compacted");
                write!(
                    f,
                    "create topic \"{name}\" of {partitions} partitions on {replication} nodes \
                     each{how}"
                )
            }
            Self::DeleteTopic { name } => write!(f, "delete topic \"{}\"", name.escape_debug()),
            Self::AlterTopic {
                name,
                partition,
                replicas,
            } => {
                let name = name.escape_debug();
                match partition {
                    Some(index) => write!(f, "hold partition {index} of topic")?,
                    None => f.write_str("hold topic")?,
                }
                write!(f, " \"{name}\" on nodes {replicas:?}")
            }
            Self::RetainTopic { name, ms, bytes } => {
                let name = name.escape_debug();
                write!(f, "keep of topic \"{name}\": {ms:?} ms, {bytes:?} bytes")
            }
            Self::KeepTombstones { name, ms } => {
                let name = name.escape_debug();
                write!(f, "keep deletions of topic \"{name}\" for {ms} ms")
            }
            Self::Found { members } => write!(f, "found a cluster of {} nodes", members.len()),
            Self::AddNode {
                node,
                control_address,
            } => {
                let address = control_address.escape_debug();
                write!(f, "add node {node} at {address}")
            }
            Self::RemoveNode { node, may_shrink } => {
                let how = if *may_shrink {
                    ", with fewer replicas if need be"
                } else {
                    ""
                };
                write!(f, "have node {node} leave{how}")
            }
            Self::RecoverNode { node, disk } => {
                write!(
                    f,
                    "give up the disk of node {node}, which has disk {disk:016x} now"
                )
            }
            Self::DropNode { node } => write!(f, "drop node {node}, which has left"),
            Self::NodeUp {
                node, incarnation, ..
            } => write!(f, "node {node} is up, incarnation {incarnation:016x}"),
            Self::NodeDown { node, incarnation } => {
                write!(f, "node {node} is down, incarnation {incarnation:016x}")
            }
            Self::MoveLeaders { moves } => write!(f, "move {} leaderships", moves.len()),
            Self::AdvanceReplicas { steps } => {
                write!(f, "change the voters of {} partitions", steps.len())
            }
        }
    }
}

/// Replicated bytes that this program cannot read. A node that meets them must not go on: it would
/// hold another catalog than the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotUnderstood {
    version: Option<u16>,
}

impl NotUnderstood {
    pub(super) const fn of_version(version: Option<u16>) -> Self {
        Self { version }
    }
}

impl fmt::Display for NotUnderstood {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(version) = self.version else {
            return f.write_str("it is too short");
        };
        write!(
            f,
            "it is of version {version}, or damaged, and this program reads version {VERSION}: \
             run the same release on all nodes"
        )
    }
}

impl std::error::Error for NotUnderstood {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_survive_their_encoding_and_foreign_versions_are_named() {
        let operation = Operation::NodeDown {
            node: 3,
            incarnation: 7,
        };
        let mut bytes = operation.encode();
        assert_eq!(Operation::decode(&bytes), Ok(operation));
        bytes[0] = 9;
        assert_eq!(
            Operation::decode(&bytes),
            Err(NotUnderstood { version: Some(9) })
        );
        assert_eq!(
            Operation::decode(&[1]),
            Err(NotUnderstood { version: None })
        );
    }
}
