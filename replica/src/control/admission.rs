//! What a client asks for becomes an operation, or is refused before anybody else hears of it.
//!
//! What the group replicates is kept and repeated by every node, so nothing gets there that is not
//! of a bounded size. Whether the operation succeeds is decided where it is applied.

use std::net::SocketAddr;

use quorate_vsr::NodeId;
use quorate_wire::{Code, ControlOperation, Refusal, is_valid_topic_name, shown};

use crate::config::NODES_MAX;
use crate::metadata::{Catalog, Operation};

/// The operation for what a client asks of the primary; `heard` tells with which disk a node is
/// heard now.
pub(super) fn admit(
    operation: ControlOperation,
    catalog: &Catalog,
    heard: impl Fn(NodeId) -> Option<u64>,
) -> Result<Operation, Refusal> {
    match operation {
        ControlOperation::CreateTopic {
            name,
            partitions,
            replication,
            compaction,
        } => match is_valid_topic_name(&name) {
            true => Ok(Operation::CreateTopic {
                name,
                partitions,
                replication,
                compaction,
            }),
            false => Err(Refusal::invalid_topic_name(&name)),
        },
        ControlOperation::DeleteTopic { name } => {
            let name = topic_name(name)?;
            Ok(Operation::DeleteTopic { name })
        }
        ControlOperation::AlterTopic {
            name,
            partition,
            replicas,
        } => {
            let name = topic_name(name)?;
            if replicas.len() > NODES_MAX {
                let detail = format!("a cluster has at most {NODES_MAX} nodes");
                return Err(Refusal::new(Code::InvalidReplicas, detail));
            }
            Ok(Operation::AlterTopic {
                name,
                partition,
                replicas,
            })
        }
        ControlOperation::RetainTopic { name, ms, bytes } => {
            let name = topic_name(name)?;
            Ok(Operation::RetainTopic { name, ms, bytes })
        }
        ControlOperation::KeepTombstones { name, ms } => {
            let name = topic_name(name)?;
            Ok(Operation::KeepTombstones { name, ms })
        }
        ControlOperation::AddNode {
            node,
            control_address,
        } => Ok(Operation::AddNode {
            node,
            control_address: address(&control_address)?.to_string(),
        }),
        ControlOperation::RemoveNode { node, may_shrink } => {
            Ok(Operation::RemoveNode { node, may_shrink })
        }
        ControlOperation::RecoverNode { node } => {
            let disk = found_disk(node, catalog, heard(NodeId(node)))?;
            Ok(Operation::RecoverNode { node, disk })
        }
    }
}

fn topic_name(name: String) -> Result<String, Refusal> {
    match is_valid_topic_name(&name) {
        true => Ok(name),
        // What cannot name a topic names none.
        false => Err(Refusal::unknown_topic(&name)),
    }
}

/// An address that others can dial.
fn address(text: &str) -> Result<SocketAddr, Refusal> {
    match text.parse::<SocketAddr>() {
        Ok(address) if address.port() != 0 && !address.ip().is_unspecified() => Ok(address),
        Ok(_) | Err(_) => {
            let detail = format!(
                "\"{}\" is not an address IP:PORT that the other nodes can dial",
                shown(text)
            );
            Err(Refusal::new(Code::InvalidNode, detail))
        }
    }
}

/// The disk that is to count from now on: the one that is there. If it counts already the
/// operation will change nothing, which is the right answer to a question that is repeated.
fn found_disk(node: u16, catalog: &Catalog, heard: Option<u64>) -> Result<u64, Refusal> {
    let refused = |detail: String| Err(Refusal::new(Code::InvalidNode, detail));
    let Some(member) = catalog.members.get(&NodeId(node)) else {
        return Err(Refusal::unknown_node(node));
    };
    let Some(heard) = heard else {
        return refused(format!(
            "node {node} is not heard: if its disk is lost, start it with an empty data folder \
             first; if it is not, just start it"
        ));
    };
    match member.disk {
        None => refused(format!(
            "node {node} has not been a part of the cluster before: there is nothing to recover"
        )),
        Some(disk) if disk == heard => Ok(heard),
        Some(_) => member.check_disk(NodeId(node), heard).map(|()| heard),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::MemberRecord;

    fn catalog() -> Catalog {
        let mut catalog = Catalog::default();
        let record = MemberRecord {
            control_address: "127.0.0.1:7000".parse().unwrap(),
            is_leaving: false,
            disk: Some(3),
            given_up: vec![1, 2],
        };
        catalog.members.insert(NodeId(1), record.clone());
        let never_up = MemberRecord {
            disk: None,
            given_up: Vec::new(),
            ..record
        };
        catalog.members.insert(NodeId(2), never_up);
        catalog
    }

    fn recover(node: u16, heard: Option<u64>) -> Result<Operation, Refusal> {
        let operation = ControlOperation::RecoverNode { node };
        admit(operation, &catalog(), |_| heard)
    }

    #[test]
    fn a_disk_is_given_up_only_for_one_that_is_there() {
        let accepted = Operation::RecoverNode { node: 1, disk: 4 };
        assert_eq!(recover(1, Some(4)), Ok(accepted));
        let problem = |node, heard| recover(node, heard).unwrap_err().detail;
        assert!(problem(1, None).contains("start it"));
        assert!(problem(2, Some(4)).contains("not been a part"));
        for old in [1, 2] {
            assert!(problem(1, Some(old)).contains("given up"));
            assert!(problem(1, Some(old)).contains("empty data folder"));
        }
        assert_eq!(recover(9, Some(4)).unwrap_err().code, Code::UnknownNode);
    }

    #[test]
    fn an_address_that_nobody_can_dial_is_refused() {
        for text in [
            "",
            "localhost:1",
            "127.0.0.1:0",
            "0.0.0.0:7400",
            "127.0.0.1",
        ] {
            let operation = ControlOperation::AddNode {
                node: 4,
                control_address: text.to_owned(),
            };
            let refusal = admit(operation, &catalog(), |_| None).unwrap_err();
            assert_eq!(refusal.code, Code::InvalidNode, "{text}");
        }
    }
}
