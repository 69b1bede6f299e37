//! What happens to the nodes of a story, and to what is between them.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use super::Story;
use crate::simulation::disk::{DiskEvent, SimDisk};
use crate::simulation::{CLIENTS, host_name};

impl Story {
    /// Nodes lose their power at the same moment.
    pub fn crash(&mut self, nodes: &[u16]) {
        nodes.iter().for_each(|node| self.cluster.crash(*node));
    }

    /// The processes of nodes end at the same moment.
    pub fn kill(&mut self, nodes: &[u16]) {
        nodes.iter().for_each(|node| self.cluster.kill(*node));
    }

    /// Nodes that are off start again.
    pub fn start(&mut self, nodes: &[u16]) {
        nodes.iter().for_each(|node| self.cluster.start(*node));
    }

    /// A node ends in order.
    #[track_caller]
    pub fn stop(&mut self, node: u16) {
        self.cluster.stop(node);
        self.wait_until("a node ends in order", |cluster| !cluster.is_on(node));
    }

    /// A node ends in order, and starts again.
    #[track_caller]
    pub fn restart(&mut self, node: u16) {
        self.stop(node);
        self.cluster.start(node);
    }

    /// Nodes stand still.
    pub fn pause(&mut self, nodes: &[u16]) {
        nodes.iter().for_each(|node| self.cluster.pause(*node));
    }

    /// Nodes that stood still go on.
    pub fn resume(&mut self, nodes: &[u16]) {
        nodes.iter().for_each(|node| self.cluster.resume(*node));
    }

    /// A node that runs loses its power, and its disk for good, and starts with an empty one.
    pub fn lose_disk(&mut self, node: u16) {
        self.cluster.crash(node);
        self.cluster.replace_disk(node);
        self.cluster.start(node);
    }

    /// Gives up, as an operator does, what was on the lost disk of a node that is there again.
    #[track_caller]
    pub fn recover(&mut self, node: u16) {
        let pause = Duration::from_millis(200);
        self.insist(pause, format!("node {node} cannot be recovered"), |story| {
            let recovering = story.ask("recovering a node", move |client, _| async move {
                client.recover_node(node).await
            });
            let note = |error| format!("no recovery yet: {error}");
            recovering
                .map_err(|error| story.cluster.note(node, note(error)))
                .ok()
        });
    }

    /// All connections that there are fail, and new ones can be made.
    pub fn reset(&mut self) {
        let hosts: Vec<u16> = self.cluster.node_ids().chain([CLIENTS]).collect();
        for (at, one) in hosts.iter().enumerate() {
            for other in &hosts[at + 1..] {
                self.cluster.reset(*one, *other);
            }
        }
    }

    /// Nothing that one of `from` says reaches one of `to`.
    pub fn cut(&mut self, from: &[u16], to: &[u16]) {
        for (from, to) in pairs(from, to) {
            self.cluster.cut(from, to);
            self.cut.push((from, to));
        }
    }

    /// Some nodes and the rest hear nothing of each other.
    pub fn split(&mut self, some: &[u16]) {
        let rest = self.others(some);
        self.cut(some, &rest);
        self.cut(&rest, some);
    }

    /// The clients reach only these nodes.
    pub fn clients_reach_only(&mut self, nodes: &[u16]) {
        let others = self.others(nodes);
        self.cut(&[CLIENTS], &others);
        self.cut(&others, &[CLIENTS]);
    }

    /// What nodes say to each other waits.
    pub fn hold(&mut self, some: &[u16], others: &[u16]) {
        for (a, b) in pairs(some, others) {
            self.cluster
                .note(a, format!("what it and {} say waits", host_name(b)));
            self.cluster.network().hold(host_name(a), host_name(b));
            self.held.push((a, b));
        }
    }

    /// Everything that waited arrives.
    pub fn release(&mut self) {
        for (a, b) in std::mem::take(&mut self.held) {
            self.cluster
                .note(a, format!("what it and {} said arrives", host_name(b)));
            self.cluster.network().release(host_name(a), host_name(b));
        }
    }

    /// Everybody hears everybody again.
    pub fn mend(&mut self) {
        for (from, to) in std::mem::take(&mut self.cut) {
            self.cluster.repair(from, to);
        }
    }

    /// All nodes but these.
    pub fn others(&self, nodes: &[u16]) -> Vec<u16> {
        let others = self.cluster.node_ids();
        others.filter(|node| !nodes.contains(node)).collect()
    }

    /// Has the disk of a node stand still after the first operation of which this is true; the
    /// answer tells whether it has come to that.
    pub fn hold_disk_when(
        &self,
        node: u16,
        mut is_it: impl FnMut(&DiskEvent<'_>) -> bool + 'static,
    ) -> Rc<Cell<bool>> {
        let disk = self.cluster.disk(node);
        let held = disk.clone();
        let is_held = Rc::new(Cell::new(false));
        let told = Rc::clone(&is_held);
        disk.on_event(move |event| {
            if !told.get() && is_it(event) {
                told.set(true);
                held.hold();
            }
        });
        is_held
    }

    /// Bytes in the middle of every file of a node rot that `is_meant`; how many files those are.
    #[track_caller]
    pub fn rot(&self, node: u16, is_meant: impl Fn(&Path) -> bool) -> usize {
        self.rot_at(node, 2, is_meant)
    }

    /// The same, so many quarters of what is written in each file behind its beginning.
    #[track_caller]
    pub fn rot_at(&self, node: u16, quarters: u64, is_meant: impl Fn(&Path) -> bool) -> usize {
        let disk = self.cluster.disk(node);
        let meant: Vec<PathBuf> = disk.files().into_iter().filter(|it| is_meant(it)).collect();
        let rotten = meant.iter().filter(|path| rot_file(&disk, path, quarters));
        let rotten = rotten.count();
        self.require(
            rotten > 0,
            format!("node {node} has nothing that could rot"),
        );
        rotten
    }
}

/// Whether there was anything but zeros that could be changed.
fn rot_file(disk: &SimDisk, path: &Path, quarters: u64) -> bool {
    let Some(bytes) = disk.durable_bytes(path) else {
        return false;
    };
    let Some(last) = bytes.iter().rposition(|byte| *byte != 0) else {
        return false;
    };
    let position = last as u64 * quarters / 4;
    disk.rot(path, position, &[0xff; 64]).is_ok()
}

fn pairs(some: &[u16], others: &[u16]) -> Vec<(u16, u16)> {
    let pairs = some.iter().flat_map(|a| others.iter().map(|b| (*a, *b)));
    pairs.filter(|(a, b)| a != b).collect()
}
