//! What a nemesis does to disks, and to nodes whose disks have failed them.

use rand::RngExt;
use rand::seq::IndexedRandom;

use super::super::Cluster;
use super::super::disk::DiskFaults;
use super::{Ending, Nemesis};

/// Less than a node wants to have left, and more than a run writes.
const LITTLE_ROOM_BYTES: u64 = 200 << 20;
/// More than enough.
const ROOM_BYTES: u64 = 1 << 40;
/// What is left at most of a disk that is full.
const LAST_BYTES_MAX: u64 = 64 << 10;
/// The longest that writes are under way when the power fails, in milliseconds.
const UNDER_WAY_MS_MAX: u64 = 100;

impl Nemesis {
    /// Cuts the power of so many nodes, of some of them while all their writes are under way.
    pub(super) fn power_off(&mut self, cluster: &mut Cluster, count: usize) {
        for node in self.free_nodes(cluster, count) {
            if self.random.random_bool(0.5) {
                cluster.disk(node).hold();
                let under_way = self.drawn_ms((1, UNDER_WAY_MS_MAX));
                let due = cluster.elapsed() + under_way;
                self.until(due, Ending::PowerOff(node));
            } else {
                self.power_off_now(cluster, node);
            }
        }
    }

    pub(super) fn power_off_now(&mut self, cluster: &mut Cluster, node: u16) {
        // It may have ended by itself meanwhile.
        if cluster.is_on(node) {
            cluster.crash(node);
        }
        cluster.disk(node).release();
        self.until_later(cluster, Ending::Start(node));
    }

    /// There may be room for what has been accepted, but the node is to take no more.
    pub(super) fn fill(&mut self, cluster: &mut Cluster) {
        let node = self.any_node();
        let disk = cluster.disk(node);
        let capacity = match self.random.random_bool(0.5) {
            true => LITTLE_ROOM_BYTES,
            false => disk.used_bytes() + self.random.random_range(0..=LAST_BYTES_MAX),
        };
        cluster.note(node, format!("has a disk of {capacity} bytes"));
        disk.set_capacity(capacity);
        self.until_later(cluster, Ending::Empty(node));
    }

    pub(super) fn empty(&self, cluster: &Cluster, node: u16) {
        cluster.note(node, "has room on its disk again");
        cluster.disk(node).set_capacity(ROOM_BYTES);
    }

    pub(super) fn stall(&mut self, cluster: &mut Cluster) {
        let node = self.any_node();
        cluster.note(node, "waits for its disk");
        cluster.disk(node).hold();
        self.until_later(cluster, Ending::Unstall(node));
    }

    pub(super) fn unstall(&self, cluster: &Cluster, node: u16) {
        cluster.note(node, "does not wait for its disk any more");
        cluster.disk(node).release();
    }

    pub(super) fn rot(&mut self, cluster: &mut Cluster) {
        let node = self.any_node();
        if let Some(path) = cluster.disk(node).rot_any() {
            cluster.note(node, format!("has something else in {}", path.display()));
        }
    }

    pub(super) fn wear_out(&mut self, cluster: &mut Cluster) {
        let node = self.any_node();
        if let Some(path) = cluster.disk(node).wear_out_any() {
            cluster.note(node, format!("cannot read all of {}", path.display()));
        }
    }

    /// Has nodes start again, a little later, that have ended by themselves.
    pub(super) fn tend(&mut self, cluster: &Cluster) {
        for node in self.nodes.clone() {
            if !cluster.is_on(node) && self.busy.insert(node) {
                self.until_later(cluster, Ending::Start(node));
            }
        }
    }

    /// Starts a node as whoever runs it should: with a disk that shows what is on it.
    pub(super) fn start(cluster: &mut Cluster, node: u16) {
        cluster.disk(node).mount();
        cluster.start(node);
    }

    /// Nothing goes wrong with disks any more; what is wrong stays wrong.
    pub(super) fn mend_disks(&self, cluster: &Cluster) {
        for node in &self.nodes {
            cluster.disk(*node).set_faults(DiskFaults::default());
        }
    }

    pub(super) fn any_node(&mut self) -> u16 {
        *self.nodes.choose(&mut self.random).expect("there are some")
    }
}
