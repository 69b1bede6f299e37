use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use quorate_vsr::partition::Role;
use quorate_vsr::{Epoch, NodeId};

use super::bounds::Left;
use super::disk::{Disk, Record};
use super::node::{Node, Process, Wire};
use crate::broken::Broken;
use crate::interned::Interned;
use crate::network::Network;
use crate::rule::Told;

/// The whole partition at one moment, with what has to be remembered to judge it.
#[derive(Clone, PartialEq, Hash)]
pub struct State {
    /// By their numbers, from 1.
    nodes: Vec<Interned<Node>>,
    pub(super) network: Network<Envelope>,
    pub(super) left: Left,
    /// The log as far as anybody was ever told that it is committed.
    pub(super) committed: Vec<Record>,
    /// For each record in `committed`, the epoch in which somebody first said so.
    pub(super) committed_in: Vec<Epoch>,
    /// Who has opened which epoch.
    pub(super) opened: BTreeMap<Epoch, NodeId>,
    /// The joint epochs whose adoption was reported to the control plane.
    pub(super) adopted: BTreeSet<Epoch>,
    pub(super) seen: Seen,
    pub(super) broken: Option<Broken>,
}

/// A message on its way.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Envelope {
    pub(super) from: NodeId,
    pub(super) to: NodeId,
    pub(super) wire: Wire,
}

/// What is to happen at least once, or the bounds are too narrow to mean anything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Seen {
    pub(super) cut: bool,
    pub(super) pull: bool,
    pub(super) anew: bool,
}

impl State {
    pub(super) fn new(nodes: u16, left: Left) -> Self {
        let disk = Disk::default();
        let start = |id| Node {
            disk: Interned::new(disk.clone()),
            process: disk
                .start(id)
                .map(|replica| Process::new(replica, &disk))
                .ok(),
            vowed: Epoch(0),
        };
        Self {
            nodes: (1..=nodes)
                .map(|id| Interned::new(start(NodeId(id))))
                .collect(),
            network: Network::new(),
            left,
            committed: Vec::new(),
            committed_in: Vec::new(),
            opened: BTreeMap::new(),
            adopted: BTreeSet::new(),
            seen: Seen::default(),
            broken: None,
        }
    }

    pub(super) fn node(&self, id: NodeId) -> &Node {
        &self.nodes[index(id)]
    }

    pub(super) fn process(&self, id: NodeId) -> Option<&Process> {
        self.node(id).process.as_ref()
    }

    pub(super) fn put(&mut self, id: NodeId, node: Node) {
        self.nodes[index(id)] = Interned::new(node);
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = NodeId> + use<> {
        (1..=self.nodes.len()).map(|id| NodeId(u16::try_from(id).unwrap_or(u16::MAX)))
    }

    pub(super) fn nodes(&self) -> impl Iterator<Item = (NodeId, &Node)> {
        self.ids().zip(self.nodes.iter().map(|node| &**node))
    }

    /// Notes the first thing that went wrong.
    pub(super) fn note<T>(&mut self, result: Result<T, Broken>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(broken) => {
                self.broken.get_or_insert(broken);
                None
            }
        }
    }

    /// Whether no step has broken a rule.
    pub(super) fn keeps(&self, rule: &str) -> bool {
        self.broken
            .as_ref()
            .is_none_or(|broken| broken.rule != rule)
    }
}

fn index(id: NodeId) -> usize {
    usize::from(id.0) - 1
}

impl Told for State {
    fn what_is_broken(&self) -> Option<&str> {
        self.broken.as_ref().map(|broken| &*broken.what)
    }
}

/// In words; the alternate form also tells what was said and may still arrive.
impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (id, node) in self.nodes() {
            write!(f, "{id:?}: ")?;
            tell_node(node, f)?;
            f.write_str("\n")?;
        }
        f.write_str("committed:")?;
        tell_log(&self.committed, f)?;
        writeln!(f, "\nleft: {}", self.left)?;
        if f.alternate() {
            for envelope in self.network.said() {
                writeln!(f, "said: {}", **envelope)?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Envelope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { from, to, wire } = self;
        write!(f, "{from:?} -> {to:?}: ")?;
        match wire {
            Wire::Message(message) => message.fmt(f),
            Wire::Records { head, records, .. } => {
                write!(f, "{head}:")?;
                tell_log(records, f)
            }
            Wire::Repair { base, records, .. } => {
                write!(f, "records for what is damaged from {base:?} on:")?;
                tell_log(records, f)
            }
        }
    }
}

fn tell_log(log: &[Record], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    if log.is_empty() {
        return f.write_str(" nothing");
    }
    for Record { epoch, serial } in log {
        write!(f, " [record {serial} of epoch {epoch}]")?;
    }
    Ok(())
}

fn tell_node(node: &Node, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match &node.process {
        None => f.write_str("down")?,
        Some(process) => tell_process(process, f)?,
    }
    let facts = &node.disk.facts;
    write!(
        f,
        "; on its disk promised {}, log of epoch {}, committed up to {}, and",
        facts.promised, facts.log_epoch, facts.high_watermark
    )?;
    tell_log(&node.disk.log, f)?;
    for offset in &node.disk.damaged {
        write!(f, ", damaged at {offset:?}")?;
    }
    Ok(())
}

fn tell_process(process: &Process, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let replica = &process.replica;
    let role = match replica.role() {
        Role::Idle => "idle",
        Role::Follower => "follower",
        Role::Leader if replica.is_open() => "open leader",
        Role::Leader => "leader to be",
    };
    write!(
        f,
        "{role} in epoch {}, committed up to {}, log:",
        replica.epoch(),
        replica.high_watermark()
    )?;
    tell_log(&process.log, f)?;
    if let Some(cut) = process.cut {
        write!(f, ", being cut at {cut}")?;
    }
    Ok(())
}
