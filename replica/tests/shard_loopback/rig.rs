use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use futures_util::future::{Either, select};
use quorate_platform::{Listener, Network};
use quorate_replica::config::Storage;
use quorate_replica::error::NodeError;
use quorate_replica::limits::Limits;
use quorate_replica::metadata::{
    Catalog, MemberRecord, Metadata, NodeRecord, Operation, PartitionRecord, Published, Step,
    TopicRecord,
};
use quorate_replica::reserve::{Reserve, Reserved};
use quorate_replica::shard::{self, Setup, ShardStatus};
use quorate_replica::stop::Stop;
use quorate_vsr::{Epoch, NodeId};
use quorate_wire::{ClusterId, Compaction, Retention};
use tempfile::TempDir;

use crate::client::{Client, wait_until};
use crate::trouble::{Trouble, Troubled};

pub(crate) const CLUSTER: ClusterId = ClusterId(0x5eed);
/// Small, so that little is enough to see segments come and go.
pub(crate) const STORAGE: Storage = Storage {
    segment_bytes: 64 << 10,
    retention_check: Duration::from_millis(100),
    scrub_rest: Duration::from_millis(200),
};
/// What a node sets aside.
const RESERVE_BYTES: u64 = 1 << 20;
/// The disk that every node has.
pub(crate) const DISK: u64 = 7;

/// Some nodes, and the hand that stands in for the control plane.
pub(crate) struct Rig {
    folder: TempDir,
    catalog: Catalog,
    nodes: BTreeMap<u16, Node>,
    incarnations: u64,
    shards: u32,
}

struct Node {
    published: Arc<Published>,
    /// What it knows, while it hears nothing from the control plane.
    kept: Option<Metadata>,
    /// One for each shard.
    statuses: Vec<Arc<ShardStatus>>,
    trouble: Arc<Trouble>,
    running: Option<Running>,
}

struct Running {
    stop: Stop,
    kill: Stop,
    /// One for each shard.
    threads: Vec<JoinHandle<Result<(), NodeError>>>,
}

impl Rig {
    /// A cluster of so many running nodes, numbered from 1, with one shard each.
    pub(crate) fn start(nodes: u16) -> Self {
        Self::start_sharded(nodes, 1)
    }

    pub(crate) fn start_sharded(nodes: u16, shards: u32) -> Self {
        let mut rig = Self {
            folder: tempfile::tempdir().expect("a temporary folder"),
            catalog: Catalog::default(),
            nodes: BTreeMap::new(),
            incarnations: 0,
            shards,
        };
        for node in 1..=nodes {
            rig.nodes.insert(node, Node::new());
            rig.start_node(node);
        }
        rig
    }

    /// Starts a node and registers it; what it led before it leads again, in a new epoch.
    pub(crate) fn start_node(&mut self, node: u16) {
        let incarnation = self.start_unregistered(node);
        let record = self
            .catalog
            .nodes
            .get_mut(&NodeId(node))
            .expect("it has just been started");
        record.incarnation = incarnation;
        let led = self.catalog.partitions.values_mut();
        for partition in led.filter(|partition| partition.leader == NodeId(node)) {
            partition.epoch = partition.epoch.next();
        }
        self.publish();
    }

    /// Starts a node that the control plane knows in its former incarnation only.
    pub(crate) fn start_unregistered(&mut self, node: u16) -> u64 {
        self.incarnations += 1;
        let incarnation = self.incarnations;
        let folders = (0..self.shards)
            .map(|index| self.folder_of(node, index))
            .collect();
        let metadata = self.metadata();
        let state = self.nodes.get_mut(&node).expect("the rig has that node");
        assert!(state.running.is_none(), "node {node} runs already");
        // What a node knows when it starts is what it knew before.
        let known = state.kept.clone().unwrap_or(metadata);
        state.published = Arc::new(Published::new(known));
        let (addresses, running) = state.run(node, incarnation, folders);
        state.running = Some(running);
        let record = self
            .catalog
            .nodes
            .entry(NodeId(node))
            .or_insert(NodeRecord {
                id: NodeId(node),
                incarnation: 0,
                is_alive: true,
                control_address: SocketAddr::from(([127, 0, 0, 1], 1)),
                shard_addresses: Vec::new(),
            });
        record.shard_addresses = addresses;
        let member = MemberRecord {
            control_address: record.control_address,
            is_leaving: false,
            disk: Some(DISK),
            given_up: Vec::new(),
        };
        self.catalog.members.insert(NodeId(node), member);
        self.publish();
        incarnation
    }

    /// Ends a node in order.
    pub(crate) fn stop_node(&mut self, node: u16) {
        let running = self.take_running(node);
        running.stop.set();
        running.join(node);
    }

    /// Ends a node at once, with whatever it was doing.
    pub(crate) fn kill_node(&mut self, node: u16) {
        let running = self.take_running(node);
        running.kill.set();
        running.join(node);
    }

    /// Creates a partition, led by the first of its voters; its id.
    pub(crate) fn create_partition(&mut self, voters: &[u16]) -> u64 {
        let id = self.catalog.next_partition;
        self.catalog.next_partition += 1;
        let topic = format!("topic-{id}");
        let nodes = |ids: &[u16]| ids.iter().copied().map(NodeId).collect();
        let partition = PartitionRecord {
            id,
            topic: topic.clone(),
            index: 0,
            leader: NodeId(voters[0]),
            epoch: Epoch(1),
            voters: nodes(voters),
            previous: Vec::new(),
            learners: Vec::new(),
            replicas: nodes(voters),
            absent: Vec::new(),
            since: voters.iter().map(|id| (NodeId(*id), Epoch(1))).collect(),
        };
        self.catalog.partitions.insert(id, partition);
        let record = TopicRecord {
            name: topic.clone(),
            retention: Retention::default(),
            compaction: None,
            partitions: vec![id],
        };
        self.catalog.topics.insert(topic, record);
        self.publish();
        id
    }

    /// How much of the partition is kept from now on.
    pub(crate) fn retain(&mut self, id: u64, retention: Retention) {
        let topic = self.catalog.partitions[&id].topic.clone();
        let record = self.catalog.topics.get_mut(&topic);
        record.expect("it is there").retention = retention;
        self.publish();
    }

    /// The partition's topic is compacted. To be said before anything is produced to it.
    pub(crate) fn compact(&mut self, id: u64, compaction: Compaction) {
        let topic = self.catalog.partitions[&id].topic.clone();
        let record = self.catalog.topics.get_mut(&topic);
        record.expect("it is there").compaction = Some(compaction);
        self.publish();
    }

    /// Whether the control plane holds a node to be alive.
    pub(crate) fn set_alive(&mut self, node: u16, is_alive: bool) {
        let record = self.catalog.nodes.get_mut(&NodeId(node));
        record.expect("it has been started").is_alive = is_alive;
        self.publish();
    }

    pub(crate) fn delete_partition(&mut self, id: u64) {
        let partition = self.catalog.partitions.remove(&id).expect("it is there");
        self.catalog.topics.remove(&partition.topic);
        self.publish();
    }

    /// Gives the partition to another leader, in a new epoch.
    pub(crate) fn lead(&mut self, id: u64, leader: u16) {
        let partition = self.partition_mut(id);
        partition.leader = NodeId(leader);
        partition.epoch = partition.epoch.next();
        self.publish();
    }

    /// Has the partition held by these nodes, stage by stage, as its leaders report.
    pub(crate) fn move_to(&mut self, id: u64, replicas: &[u16]) {
        self.wish(id, replicas);
        while let Some(awaits_leader) = self.catalog.partitions[&id].next_awaits_leader() {
            if awaits_leader {
                self.wait_done(id);
            }
            self.advance(id);
        }
    }

    /// Who shall hold the partition; nothing happens yet.
    pub(crate) fn wish(&mut self, id: u64, replicas: &[u16]) {
        let replicas = replicas.iter().copied().map(NodeId).collect();
        self.partition_mut(id).replicas = replicas;
    }

    /// Takes a change of the partition's voters one stage further.
    pub(crate) fn advance(&mut self, id: u64) {
        let epoch = self.catalog.partitions[&id].epoch.0;
        let step = Step {
            partition: id,
            epoch,
        };
        self.catalog
            .apply(&Operation::AdvanceReplicas { steps: vec![step] });
        self.publish();
    }

    /// Waits until the leader has told that the stage of the change has done its work.
    pub(crate) fn wait_done(&self, id: u64) {
        let partition = &self.catalog.partitions[&id];
        let statuses = &self.nodes[&partition.leader.0].statuses;
        let status = &statuses[(id % u64::from(self.shards)) as usize];
        wait_until("the stage has done its work", || {
            status.summary().done.get(&id) == Some(&partition.epoch)
        });
    }

    pub(crate) fn partition(&self, id: u64) -> &PartitionRecord {
        &self.catalog.partitions[&id]
    }

    fn partition_mut(&mut self, id: u64) -> &mut PartitionRecord {
        self.catalog.partitions.get_mut(&id).expect("it is there")
    }

    /// Tells all nodes what was decided.
    pub(crate) fn publish(&mut self) {
        self.catalog.version += 1;
        for node in self.nodes.values().filter(|node| node.kept.is_none()) {
            node.published.publish(self.metadata());
        }
    }

    /// The node is told nothing any more, but by the other nodes.
    pub(crate) fn keep_in_the_dark(&mut self, node: u16) {
        let metadata = self.metadata();
        let node = self.nodes.get_mut(&node).expect("the rig has that node");
        node.kept = Some(metadata);
    }

    /// The node is told what was decided meanwhile.
    pub(crate) fn enlighten(&mut self, node: u16) {
        let node = self.nodes.get_mut(&node).expect("the rig has that node");
        node.kept = None;
        self.publish();
    }

    /// Where the first shard of the node listens.
    pub(crate) fn address(&self, node: u16) -> SocketAddr {
        self.catalog.nodes[&NodeId(node)].shard_addresses[0]
    }

    /// Where the shard of the node listens that holds the partition.
    pub(crate) fn address_of(&self, node: u16, id: u64) -> SocketAddr {
        self.catalog
            .shard_address(NodeId(node), id)
            .expect("the node has been started")
    }

    /// Connects to the first shard of the node.
    pub(crate) fn client(&self, node: u16) -> Client {
        Client::connect(self.address(node))
    }

    /// The status of the node's first shard.
    pub(crate) fn status(&self, node: u16) -> &ShardStatus {
        &self.nodes[&node].statuses[0]
    }

    /// What is wrong with the node's disk.
    pub(crate) fn trouble(&self, node: u16) -> &Trouble {
        &self.nodes[&node].trouble
    }

    /// Waits until the node's only shard has failed; why it has.
    pub(crate) fn failure(&mut self, node: u16) -> NodeError {
        let thread = self
            .take_running(node)
            .threads
            .pop()
            .expect("it has a shard");
        let ended = thread.join().expect("a node fails without panicking");
        ended.expect_err("the node has failed")
    }

    pub(crate) fn folder_of(&self, node: u16, shard: u32) -> PathBuf {
        let folder = self.folder.path().join(format!("node-{node}"));
        folder.join(format!("shard-{shard}"))
    }

    pub(crate) fn partition_folder(&self, node: u16, id: u64) -> PathBuf {
        let shard = (id % u64::from(self.shards)) as u32;
        self.folder_of(node, shard)
            .join("partitions")
            .join(id.to_string())
    }

    fn metadata(&self) -> Metadata {
        Metadata {
            disk: Some(DISK),
            catalog: Arc::new(self.catalog.clone()),
            ..Metadata::empty(CLUSTER, NodeId(1))
        }
    }

    fn take_running(&mut self, node: u16) -> Running {
        let node = self.nodes.get_mut(&node).expect("the rig has that node");
        node.running.take().expect("the node runs")
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        for (id, node) in &mut self.nodes {
            if let Some(running) = node.running.take() {
                running.stop.set();
                if !std::thread::panicking() {
                    running.join(*id);
                }
            }
        }
    }
}

impl Node {
    fn new() -> Self {
        Self {
            published: Arc::new(Published::new(Metadata::empty(CLUSTER, NodeId(1)))),
            kept: None,
            statuses: Vec::new(),
            trouble: Arc::default(),
            running: None,
        }
    }

    /// Starts a thread for each folder; where they listen.
    fn run(
        &mut self,
        node: u16,
        incarnation: u64,
        folders: Vec<PathBuf>,
    ) -> (Vec<SocketAddr>, Running) {
        let (stop, kill) = (Stop::new(), Stop::new());
        let shards = folders.len() as u32;
        let node_folder = folders[0].parent().expect("it is below the node's");
        let node_folder = node_folder.to_owned();
        std::fs::create_dir_all(&node_folder).expect("a folder can be created");
        let reserve = Reserve::take(&node_folder, RESERVE_BYTES);
        self.statuses = folders.iter().map(|_| Arc::default()).collect();
        let (mut addresses, mut threads) = (Vec::new(), Vec::new());
        for (index, folder) in folders.into_iter().enumerate() {
            let (tell_address, address) = flume::bounded(1);
            let (metadata, stop) = (Arc::clone(&self.published), stop.clone());
            let status = Arc::clone(&self.statuses[index]);
            let disk = Troubled {
                trouble: Arc::clone(&self.trouble),
                reserve: node_folder.join("reserve"),
            };
            let platform = Reserved::new(disk, Arc::clone(&reserve));
            let setup = move |listener| Setup::<Reserved<Troubled>> {
                node: NodeId(node),
                index: index as u32,
                shards,
                cluster: CLUSTER,
                incarnation,
                folder,
                storage: STORAGE,
                limits: Limits::default(),
                listener,
                metadata,
                status,
                stop,
            };
            let kill = kill.clone();
            threads.push(std::thread::spawn(move || {
                let runtime = compio::runtime::Runtime::new().expect("a runtime");
                runtime.block_on(async move {
                    let any = SocketAddr::from(([127, 0, 0, 1], 0));
                    let listener = platform.listen(any).await.expect("a free port");
                    let address = listener.local_address().expect("it listens");
                    tell_address.send(address).expect("the rig waits for it");
                    let running = shard::run(platform, setup(listener));
                    match select(pin!(kill.wait()), pin!(running)).await {
                        Either::Left(((), _)) => Ok(()),
                        Either::Right((result, _)) => result,
                    }
                })
            }));
            addresses.push(address.recv().expect("the shard tells where it listens"));
        }
        (
            addresses,
            Running {
                stop,
                kill,
                threads,
            },
        )
    }
}

impl Running {
    fn join(self, node: u16) {
        for thread in self.threads {
            match thread.join() {
                Ok(Ok(())) => {}
                Ok(Err(error)) => panic!("node {node} has failed: {error}"),
                Err(_) => panic!("node {node} has panicked"),
            }
        }
    }
}
