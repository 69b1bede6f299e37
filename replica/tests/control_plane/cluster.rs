use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

use quorate_platform::{Compio, Listener, Tasks};
use quorate_replica::config::Member;
use quorate_replica::control;
use quorate_replica::error::NodeError;
use quorate_replica::metadata::{Metadata, Published};
use quorate_replica::node::listen;
use quorate_replica::stop::Stop;
use quorate_vsr::NodeId;
use quorate_vsr::group::Limits;
use quorate_wire::ClusterId;

use crate::client::PATIENCE;

pub(crate) const CLUSTER: ClusterId = ClusterId(0xC0FFEE);

/// The control threads of a cluster whose nodes have no shards.
pub(crate) struct Cluster {
    folder: tempfile::TempDir,
    pub(crate) members: Vec<Member>,
    pub(crate) nodes: Vec<Option<Node>>,
}

/// One control thread.
pub(crate) struct Node {
    pub(crate) metadata: Arc<Published>,
    pub(crate) stop: Stop,
    pub(crate) handed_over: Stop,
    end: Stop,
    thread: JoinHandle<Result<(), NodeError>>,
}

impl Cluster {
    pub(crate) fn start(size: u16) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let free = "127.0.0.1:0".parse().unwrap();
        let mut waiting = Vec::new();
        let mut members = Vec::new();
        for id in 1..=size {
            let (listening, members_sender, node) = Node::start(folder.path(), id, free, true);
            members.push(Member {
                id,
                control_address: listening,
            });
            waiting.push((members_sender, node));
        }
        let mut nodes = Vec::new();
        for (sender, node) in waiting {
            sender.send(members.clone()).unwrap();
            nodes.push(Some(node));
        }
        Self {
            folder,
            members,
            nodes,
        }
    }

    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        self.members
            .iter()
            .map(|member| member.control_address)
            .collect()
    }

    pub(crate) fn node(&self, id: u16) -> &Node {
        self.nodes[usize::from(id) - 1]
            .as_ref()
            .expect("the node runs")
    }

    /// The names of the files in which a node keeps what it knows of the group.
    pub(crate) fn files(&self, id: u16) -> Vec<String> {
        let folder = self.folder.path().join(format!("node-{id}/control"));
        let entries = std::fs::read_dir(folder).unwrap();
        entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    }

    pub(crate) fn running(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter().flatten()
    }

    /// Ends a node without a warning to anybody.
    pub(crate) fn kill(&mut self, id: u16) {
        self.nodes[usize::from(id) - 1]
            .take()
            .expect("the node runs")
            .end();
    }

    pub(crate) fn restart(&mut self, id: u16) {
        self.restart_knowing(id, self.members.len());
    }

    /// Starts a node whose configuration names only the first nodes.
    pub(crate) fn restart_knowing(&mut self, id: u16, count: usize) {
        let address = self.members[usize::from(id) - 1].control_address;
        let (_, sender, node) = Node::start(self.folder.path(), id, address, false);
        sender.send(self.members[..count].to_vec()).unwrap();
        self.nodes[usize::from(id) - 1] = Some(node);
    }

    /// Starts one more node, which founds nothing and knows of all others.
    pub(crate) fn start_newcomer(&mut self) {
        let id = self.members.len() as u16 + 1;
        let free = "127.0.0.1:0".parse().unwrap();
        let (listening, sender, node) = Node::start(self.folder.path(), id, free, false);
        self.members.push(Member {
            id,
            control_address: listening,
        });
        sender.send(self.members.clone()).unwrap();
        self.nodes.push(Some(node));
    }

    /// Ends a node and empties its folder.
    pub(crate) fn lose_disk(&mut self, id: u16) {
        self.kill(id);
        let folder = self.folder.path().join(format!("node-{id}"));
        std::fs::remove_dir_all(folder).unwrap();
    }

    pub(crate) fn is_running(&self, id: u16) -> bool {
        self.nodes[usize::from(id) - 1].is_some()
    }

    /// Waits until every node that runs knows what `condition` asks for.
    pub(crate) fn wait_until(&self, condition: impl Fn(&Metadata) -> bool) {
        for node in self.running() {
            node.wait_until(&condition);
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for node in self.nodes.iter_mut().filter_map(Option::take) {
            node.end();
        }
    }
}

impl Node {
    /// A node that listens, and what it waits for: who the nodes are.
    fn start(
        folder: &Path,
        id: u16,
        address: SocketAddr,
        founds: bool,
    ) -> (SocketAddr, flume::Sender<Vec<Member>>, Self) {
        let metadata = Arc::new(Published::new(Metadata::empty(CLUSTER, NodeId(id))));
        let (stop, handed_over, end) = (Stop::new(), Stop::new(), Stop::new());
        let (listening_sender, listening) = flume::bounded(1);
        let (members_sender, members) = flume::bounded::<Vec<Member>>(1);
        let folder = folder.join(format!("node-{id}/control"));
        let published = Arc::clone(&metadata);
        let signals = (stop.clone(), handed_over.clone(), end.clone());
        let thread = std::thread::spawn(move || {
            compio::runtime::Runtime::new().unwrap().block_on(async {
                let listener = listen(&Compio, address, "control").await.unwrap();
                listening_sender
                    .send(listener.local_address().unwrap())
                    .unwrap();
                let setup = control::Setup {
                    node: NodeId(id),
                    cluster: CLUSTER,
                    incarnation: Compio.random(),
                    folder,
                    founds,
                    limits: Limits::default(),
                    listener,
                    nodes: members.recv_async().await.unwrap(),
                    shard_addresses: vec![SocketAddr::from(([127, 0, 0, 1], 9000 + id))],
                    statuses: Vec::new(),
                    metadata: published,
                    stop: signals.0,
                    handed_over: signals.1,
                    end: signals.2,
                };
                control::run(Compio, setup).await
            })
        });
        let listening = listening.recv().expect("the node listens");
        (
            listening,
            members_sender,
            Self {
                metadata,
                stop,
                handed_over,
                end,
                thread,
            },
        )
    }

    pub(crate) fn wait_until(&self, condition: impl Fn(&Metadata) -> bool) {
        let news = self.metadata.subscribe();
        let deadline = Instant::now() + PATIENCE;
        while !condition(&self.metadata.load()) {
            if news.recv_deadline(deadline).is_err() {
                panic!("it did not come true: {:?}", self.metadata.load());
            }
        }
    }

    fn end(self) {
        self.end.set();
        self.thread.join().unwrap().unwrap();
    }
}
