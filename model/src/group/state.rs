use std::collections::BTreeMap;

use quorate_vsr::group::{Message, Prepare};
use quorate_vsr::{NodeId, OpNumber, ViewNumber};

use super::NODES;
use super::disk::Disk;
use super::node::Node;
use crate::broken::Broken;
use crate::check::Picture;
use crate::interned::Interned;
use crate::network::Network;

/// The whole group at one moment, with what has to be remembered to judge it.
#[derive(Clone, Debug, PartialEq, Hash)]
pub struct State {
    pub(super) nodes: [Interned<Node>; 3],
    pub(super) network: Network<Message>,
    pub(super) left: Left,
    pub(super) client: Client,
    /// What anybody ever took for committed, and in which view somebody first did.
    pub(super) committed: BTreeMap<OpNumber, (Prepare, ViewNumber)>,
    /// What was executed first by anybody, in order.
    pub(super) executed: Vec<u8>,
    pub(super) broken: Option<Broken>,
}

/// What may still happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Left {
    pub(super) proposals: u8,
    pub(super) timeouts: u8,
    pub(super) crashes: u8,
}

/// What the client knows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Client {
    pub(super) session: Option<u64>,
    pub(super) reply: Option<Vec<u8>>,
}

impl State {
    pub(super) fn new(left: Left) -> Self {
        Self {
            nodes: NODES.map(|_| Interned::new(Node::Down(Disk::default()))),
            network: Network::new(),
            left,
            client: Client::default(),
            committed: BTreeMap::new(),
            executed: Vec::new(),
            broken: None,
        }
    }

    pub(super) fn node(&self, id: NodeId) -> &Node {
        &self.nodes[index(id)]
    }

    pub(super) fn put(&mut self, id: NodeId, node: Node) {
        self.nodes[index(id)] = Interned::new(node);
    }

    pub(super) fn nodes(&self) -> impl Iterator<Item = (NodeId, &Node)> {
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
                text += &format!("           {:?}\n", process.replica);
            }
        }
        text + &format!(
            "    committed: {:?}\n    client: {:?}",
            self.committed, self.client
        )
    }
}
