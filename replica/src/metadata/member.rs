//! Nodes become members and leave, and their disks are given up.
//!
//! The operations of clients are wishes: they say who shall belong to the cluster. What follows
//! from them (who votes in the group, where partitions are held) is done step by step by whoever
//! is the primary, until the wish is fulfilled.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use quorate_vsr::NodeId;
use quorate_wire::{Code, Refusal, shown};

use super::electorate::{electorate, majority};
use super::operation::Founder;
use super::outcome::Outcome;
use super::{Catalog, MemberRecord};
use crate::config::NODES_MAX;

impl Catalog {
    /// Notes who belongs to the cluster, unless that is known.
    pub(super) fn found(&mut self, founders: &[Founder]) -> Option<Outcome> {
        if self.members.is_empty() {
            for founder in founders {
                // Checked before it was proposed.
                let Ok(control_address) = founder.control_address.parse() else {
                    continue;
                };
                let record = MemberRecord {
                    control_address,
                    is_leaving: false,
                    disk: founder.disk,
                    given_up: Vec::new(),
                };
                self.members.insert(NodeId(founder.node), record);
            }
            self.version += 1;
        }
        None
    }

    pub(super) fn add_node(&mut self, id: NodeId, control_address: &str) -> Outcome {
        let refused = |detail: String| Outcome::Refused(Refusal::new(Code::InvalidNode, detail));
        let Ok(address) = control_address.parse::<SocketAddr>() else {
            let text = shown(control_address);
            return refused(format!("\"{text}\" is not an address IP:PORT"));
        };
        let others = self.members.iter().filter(|(other, _)| **other != id);
        let mut others = others.filter(|(_, member)| member.control_address == address);
        if let Some((other, _)) = others.next() {
            return refused(format!(
                "node {} has the control address {address} already: give node {} another one",
                other.0, id.0
            ));
        }
        let is_registered = self.nodes.contains_key(&id);
        let is_full = self.members.len() == NODES_MAX;
        match self.members.get_mut(&id) {
            Some(member) if is_registered && member.control_address != address => {
                return refused(format!(
                    "node {} is a member already, at {}: to move it, start it at the new address",
                    id.0, member.control_address
                ));
            }
            Some(member) => {
                let wished = MemberRecord {
                    control_address: address,
                    is_leaving: false,
                    disk: member.disk,
                    given_up: member.given_up.clone(),
                };
                self.version += u64::from(*member != wished);
                *member = wished;
            }
            None if id.0 == 0 || is_full => {
                return refused(format!(
                    "a cluster has at most {NODES_MAX} nodes, and their ids start at 1"
                ));
            }
            None => {
                let record = MemberRecord {
                    control_address: address,
                    is_leaving: false,
                    disk: None,
                    given_up: Vec::new(),
                };
                self.members.insert(id, record);
                self.version += 1;
            }
        }
        Outcome::Accepted
    }

    pub(super) fn remove_node(&mut self, id: NodeId, may_shrink: bool) -> Outcome {
        let moved = match self.check_removal(id) {
            Ok(()) => self.replicas_without(id, may_shrink),
            Err(refusal) => return Outcome::Refused(refusal),
        };
        let moved = match moved {
            Ok(moved) => moved,
            Err(refusal) => return Outcome::Refused(refusal),
        };
        let member = self.members.get_mut(&id).expect("it was found just above");
        let was_leaving = std::mem::replace(&mut member.is_leaving, true);
        self.version += u64::from(!was_leaving || !moved.is_empty());
        for (partition, replicas) in moved {
            if let Some(partition) = self.partitions.get_mut(&partition) {
                partition.replicas = replicas;
            }
        }
        Outcome::Accepted
    }

    fn check_removal(&self, id: NodeId) -> Result<(), Refusal> {
        if !self.members.contains_key(&id) {
            return Err(Refusal::unknown_node(id.0));
        }
        let refused = |detail: String| Err(Refusal::new(Code::InvalidNode, detail));
        let others = self.members.keys().copied();
        let others = others.filter(|other| *other != id && self.is_staying(*other));
        let voters = electorate(others);
        if voters.is_empty() {
            return refused(format!(
                "node {} is the last one: a cluster needs at least one node",
                id.0
            ));
        }
        let alive = self.alive();
        let missing: Vec<_> = voters.iter().filter(|node| !alive.contains(node)).collect();
        if voters.len() - missing.len() < majority(voters.len()) {
            return refused(format!(
                "without node {} the control plane would be voted for by nodes {}, and of these \
                 {} are down: start them first",
                id.0,
                listed(&voters),
                listed(missing)
            ));
        }
        Ok(())
    }

    /// The nodes that shall hold each partition that `id` shall hold now, once it is gone.
    ///
    /// Its place is taken by the live node with the fewest replicas; those that were given out
    /// earlier in the same call count.
    fn replicas_without(
        &self,
        id: NodeId,
        may_shrink: bool,
    ) -> Result<BTreeMap<u64, Vec<NodeId>>, Refusal> {
        let staying = self.staying();
        let mut counts: BTreeMap<_, u32> = staying.iter().map(|node| (*node, 0)).collect();
        counts.remove(&id);
        for replica in self.partitions.values().flat_map(|it| &it.replicas) {
            counts.entry(*replica).and_modify(|count| *count += 1);
        }
        let mut moved = BTreeMap::new();
        for partition in self.partitions.values().filter(|it| it.is_wanted_at(id)) {
            let mut replicas: BTreeSet<_> = partition.replicas.iter().copied().collect();
            let free = counts.iter().filter(|(node, _)| !replicas.contains(node));
            match free.min_by_key(|(node, count)| (**count, **node)) {
                Some((node, _)) => {
                    let node = *node;
                    counts.entry(node).and_modify(|count| *count += 1);
                    replicas.insert(node);
                }
                None if may_shrink && replicas.len() > 1 => {}
                None => {
                    let remedy = match replicas.len() {
                        1 => "",
                        _ => ", or let partitions shrink with --force-shrink",
                    };
                    let detail = format!(
                        "no other live node could take the place of node {} at partition {} of \
                         topic \"{}\", which is to be held by nodes {}: add or start a node \
                         first{remedy}",
                        id.0,
                        partition.index,
                        partition.topic,
                        listed(&replicas)
                    );
                    return Err(Refusal::new(Code::InvalidReplicas, detail));
                }
            }
            replicas.remove(&id);
            moved.insert(partition.id, replicas.into_iter().collect());
        }
        Ok(moved)
    }

    /// Gives up what was on the disk of a node.
    pub(super) fn recover_node(&mut self, id: NodeId, disk: u64) -> Outcome {
        let Some(member) = self.members.get_mut(&id) else {
            return Outcome::Refused(Refusal::unknown_node(id.0));
        };
        if member.disk == Some(disk) {
            return Outcome::Accepted;
        }
        if let Err(refusal) = member.check_disk(id, disk) {
            return Outcome::Refused(refusal);
        }
        member.replace_disk(disk);
        self.version += 1;
        if let Some(node) = self.nodes.get_mut(&id) {
            node.is_alive = false;
        }
        for partition in self.partitions.values_mut() {
            partition.lose_disk(id);
        }
        self.fill_vacancies(|_| false);
        Outcome::Accepted
    }

    /// Forgets a node that leaves, unless something is left there.
    pub(super) fn drop_node(&mut self, id: NodeId) -> Option<Outcome> {
        let is_leaving = self.members.contains_key(&id) && !self.is_staying(id);
        if is_leaving && !self.is_in_use(id) {
            self.members.remove(&id);
            self.nodes.remove(&id);
            self.version += 1;
        }
        None
    }
}

/// Node ids as they are told: `1, 2, 3`.
pub(super) fn listed<'a>(nodes: impl IntoIterator<Item = &'a NodeId>) -> String {
    let ids = nodes.into_iter().map(|node| node.0.to_string());
    ids.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests;
