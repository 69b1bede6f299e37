use std::fmt;

use quorate_vsr::NodeId;
use quorate_vsr::group::{DiskId, Member, Message, Status};

use super::bounds::{Bounds, Left};
use super::lease::Clocks;
use super::ledger::Ledger;
use super::node::{Node, Process};
use crate::broken::Broken;
use crate::interned::Interned;
use crate::network::Network;
use crate::order::{Begun, Order};
use crate::rule::Told;

/// The whole group at one moment, with what has to be remembered to judge it.
#[derive(Clone, PartialEq, Hash)]
pub struct State {
    /// By their numbers, from 1.
    nodes: Vec<Interned<Node>>,
    pub(super) network: Network<Envelope>,
    pub(super) left: Left,
    pub(super) client: Client,
    pub(super) order: Order,
    pub(super) clocks: Interned<Clocks>,
    pub(super) ledger: Interned<Ledger>,
    pub(super) broken: Option<Broken>,
}

/// A message on its way.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Envelope {
    /// The node, with the disk that it had then.
    pub(super) from: Member,
    pub(super) to: NodeId,
    pub(super) message: Message,
}

/// The one client with a session; it asks for one operation after the other, each of them until it
/// is answered, and sometimes again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Client {
    pub(super) session: Option<u64>,
    /// When the request that is not answered yet was sent first.
    pub(super) begun: Option<Begun>,
    /// How many requests were answered.
    pub(super) answered: u8,
    /// The answer to the last of them.
    pub(super) reply: Option<Vec<u8>>,
}

impl State {
    pub(super) fn new(bounds: &Bounds) -> Self {
        let node = |id: u16| {
            let is_founder = id <= bounds.voters;
            let disk = DiskId(if is_founder { 0 } else { u64::from(id) });
            Interned::new(Node::with_disk(disk))
        };
        Self {
            nodes: (1..=bounds.nodes).map(node).collect(),
            network: Network::new(),
            left: bounds.left(),
            client: Client::default(),
            order: Order::default(),
            clocks: Interned::default(),
            ledger: Interned::default(),
            broken: None,
        }
    }

    /// Whether there is such a node; others may be members without ever having been started.
    pub(super) fn has(&self, id: NodeId) -> bool {
        index(id) < self.nodes.len()
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
        for (prepare, view) in self.ledger.committed.values() {
            writeln!(f, "committed in view {view}: {prepare}")?;
        }
        if let Some(session) = self.client.session {
            let Client {
                answered, begun, ..
            } = &self.client;
            write!(f, "the client has session {session} and {answered} answers")?;
            f.write_str(if begun.is_some() {
                ", and waits\n"
            } else {
                "\n"
            })?;
        }
        writeln!(f, "left: {}", self.left)?;
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
        let Self { from, to, message } = self;
        write!(f, "node {from} -> node {to}: {message}")
    }
}

fn tell_node(node: &Node, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match &node.process {
        None => f.write_str("down")?,
        Some(process) => tell_process(process, f)?,
    }
    f.write_str("; on its disk ")?;
    match &node.disk.superblock {
        None => f.write_str("nothing")?,
        Some(superblock) => write!(
            f,
            "view {}, log of view {} as of op {}, committed up to op {}, checkpoint at op {}",
            superblock.view,
            superblock.log_view,
            superblock.log_view_op,
            superblock.commit_number,
            superblock.checkpoint.op
        )?,
    }
    for prepare in &node.disk.journal {
        let is_damaged = node.disk.damaged.contains(&prepare.op);
        write!(
            f,
            ", {}[{prepare}]",
            if is_damaged { "damaged " } else { "" }
        )?;
    }
    if node.disk.is_doubtful {
        f.write_str(", and something unreadable")?;
    }
    Ok(())
}

fn tell_process(process: &Process, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let replica = &process.replica;
    let status = match replica.status() {
        Status::Normal if replica.is_primary() => "primary",
        Status::Normal => "backup",
        Status::ViewChange => "changing to",
        Status::Recovering => "recovering",
    };
    write!(
        f,
        "{status} in view {}, log of view {} up to op {}, committed up to op {}, executed up to op \
         {}",
        replica.view(),
        replica.log_view(),
        replica.op_number(),
        replica.commit_number(),
        replica.executed()
    )?;
    let writes = process.prepares.len() + process.superblocks.len() + process.checkpoints.len();
    if writes > 0 {
        write!(f, ", {writes} writes under way")?;
    }
    Ok(())
}
