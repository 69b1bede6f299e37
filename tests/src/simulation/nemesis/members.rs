//! What a nemesis does to the nodes as members of their cluster, as operators do: it restarts all
//! of them, and has one come back without its disk.

use std::cell::Cell;
use std::rc::Rc;

use rand::seq::{IndexedRandom, SliceRandom};

use super::super::Cluster;
use super::{Ending, Nemesis};

/// The node whose disk is lost, until it is a full part of the cluster again.
///
/// There is never more than one, and the loss is over only when every partition has three voters
/// again that have all of it: that is for those to say who have seen it. Nor is there one in a run
/// in which anything else on a disk may be damaged. So what was committed is at a majority, of
/// which one loss leaves a good copy, and whatever else breaks meanwhile takes no copy away.
#[derive(Clone, Debug, Default)]
pub struct LostDisk(Rc<Cell<Option<u16>>>);

impl LostDisk {
    /// The node, if there is one.
    pub fn node(&self) -> Option<u16> {
        self.0.get()
    }

    /// The node has everything again, on its new disk.
    pub fn is_made_up(&self) {
        self.0.set(None);
    }
}

impl Nemesis {
    /// Begins to restart all nodes, unless that is under way.
    pub(super) fn roll(&mut self, cluster: &mut Cluster) {
        if !self.is_rolling {
            self.is_rolling = true;
            let mut nodes = self.nodes.clone();
            nodes.shuffle(&mut self.random);
            self.roll_on(cluster, nodes);
        }
    }

    /// Stops the next node, once nothing else is the matter with it.
    pub(super) fn roll_on(&mut self, cluster: &mut Cluster, nodes: Vec<u16>) {
        let Some(next) = nodes.first().copied() else {
            tracing::debug!("all nodes were restarted");
            self.is_rolling = false;
            return;
        };
        if !self.is_free(cluster, next) {
            self.until_later(cluster, Ending::RollOn(nodes));
            return;
        }
        self.busy.insert(next);
        cluster.stop(next);
        self.until_later(cluster, Ending::Roll(nodes));
    }

    /// Starts the node that was stopped, once it has ended.
    pub(super) fn roll_back(&mut self, cluster: &mut Cluster, nodes: Vec<u16>) {
        let node = nodes[0];
        if cluster.is_on(node) {
            self.until_later(cluster, Ending::Roll(nodes));
            return;
        }
        Self::start(cluster, node);
        self.busy.remove(&node);
        self.until_later(cluster, Ending::RollOn(nodes[1..].to_vec()));
    }

    /// Takes the disk of a node that belongs to the cluster, unless one is lost already.
    pub(super) fn lose_disk(&mut self, cluster: &mut Cluster) {
        if self.lost.node().is_some() {
            return;
        }
        let founders = self.founders.iter().copied();
        let free: Vec<u16> = founders
            .filter(|node| self.is_free(cluster, *node))
            .collect();
        let Some(node) = free.choose(&mut self.random).copied() else {
            return;
        };
        self.busy.insert(node);
        self.lost.0.set(Some(node));
        cluster.crash(node);
        cluster.replace_disk(node);
        self.until_later(cluster, Ending::Start(node));
    }
}
