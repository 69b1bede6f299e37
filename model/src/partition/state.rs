use std::collections::BTreeMap;

use quorate_vsr::{Epoch, NodeId};

use super::NODES;
use super::disk::{Disk, Record};
use super::node::{Node, Process, Wire};
use crate::broken::Broken;
use crate::check::Picture;
use crate::interned::Interned;
use crate::network::Network;

/// The whole cluster at one moment, with what has to be remembered to judge it.
#[derive(Clone, Debug, PartialEq, Hash)]
pub struct State {
    pub(super) nodes: [Interned<Node>; 3],
    pub(crate) network: Network<Wire>,
    pub(crate) left: Left,
    /// The log as far as anybody was ever told that it is committed.
    pub(crate) committed: Vec<Record>,
    /// For each record in `committed`, the epoch in which somebody first said so.
    pub(crate) committed_in: Vec<Epoch>,
    /// Who has opened which epoch.
    pub(crate) opened: BTreeMap<Epoch, NodeId>,
    pub(crate) seen: Seen,
    pub(crate) broken: Option<Broken>,
}

/// What may still happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Left {
    pub(crate) appends: u8,
    pub(crate) crashes: u8,
    pub(crate) timeouts: u8,
}

/// What is to happen at least once, or the bounds are too narrow to mean anything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Seen {
    pub(crate) cut: bool,
    pub(crate) pull: bool,
}

impl State {
    pub(crate) fn new(left: Left) -> Self {
        let start = |id| match Disk::default().start(id) {
            Ok(replica) => Node::Up(Box::new(Process::new(replica, Disk::default()))),
            Err(_) => Node::Down(Disk::default()),
        };
        Self {
            nodes: NODES.map(|id| Interned::new(start(id))),
            network: Network::new(),
            left,
            committed: Vec::new(),
            committed_in: Vec::new(),
            opened: BTreeMap::new(),
            seen: Seen::default(),
            broken: None,
        }
    }

    pub(crate) fn node(&self, id: NodeId) -> &Node {
        &self.nodes[index(id)]
    }

    pub(crate) fn put(&mut self, id: NodeId, node: Node) {
        self.nodes[index(id)] = Interned::new(node);
    }

    pub(crate) fn nodes(&self) -> impl Iterator<Item = (NodeId, &Node)> {
        NODES.into_iter().zip(self.nodes.iter().map(|node| &**node))
    }
}

pub(super) fn index(id: NodeId) -> usize {
    usize::from(id.0) - 1
}

impl Picture for State {
    fn picture(&self) -> String {
        let mut text = String::new();
        if let Some(Broken(what)) = &self.broken {
            text += &format!("    broken: {what}\n");
        }
        for (id, node) in self.nodes() {
            text += &format!("    {id:?} disk: {:?}\n", node.disk());
            if let Some(process) = node.process() {
                text += &format!("           log:  {:?}\n", process.log);
                text += &format!("           {:?}\n", process.replica);
            }
        }
        text + &format!(
            "    committed: {:?} in {:?}",
            self.committed, self.committed_in
        )
    }
}
