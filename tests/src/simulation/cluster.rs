//! A cluster and its clients on one thread, moved by whoever holds it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::future::{Future, pending};
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::path::PathBuf;
use std::pin::Pin;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use quorate_platform::Tasks;
use quorate_replica::config::{Config, Member, Storage};
use quorate_replica::limits::Limits;
use quorate_wire::ClusterId;
use turmoil::{Builder, Sim};

use super::disk::SimDisk;
use super::node::SimNode;
use super::platform::{Host, Panic, SimPlatform};
use super::rarity::Rarities;
use super::tasks::{EPOCH_MS, WallClock, catch};
use super::trace::{CLIENTS, Trace};

/// Where the control part of every node listens; its shards listen on the ports behind it.
const CONTROL_PORT: u16 = 7400;
/// Messages that wait at one end of a stream before the other has to wait.
const STREAM_MESSAGES_MAX: usize = 1024;
/// Every connection takes one, also one that fails.
const EPHEMERAL_PORTS: std::ops::RangeInclusive<u16> = 10_000..=65_535;
/// Longer than any run.
const RUN_MAX: Duration = Duration::from_secs(1 << 32);

/// Where a node of this configuration keeps its replica of a partition.
pub fn partition_folder(config: &Config, partition: u64) -> PathBuf {
    let shard = partition % config.shard_addresses.len() as u64;
    let folder = format!("shard-{shard}/partitions/{partition}");
    config.data_dir.join(folder)
}

/// What a cluster is made of.
#[derive(Clone, Debug)]
pub struct Shape {
    /// Nodes that found it, with the ids from 1.
    pub nodes: u16,
    /// Nodes with the next ids that are off and belong to no cluster yet.
    pub spares: u16,
    /// Shards of each node.
    pub shards: u16,
    /// How the nodes store records.
    pub storage: Storage,
    /// How much the nodes may hold at once.
    pub limits: Limits,
    /// Whether the nodes take rare paths without need.
    pub takes_rare_paths: bool,
    /// How long a message is on its way; most are faster than the middle.
    pub latency: Range<Duration>,
    /// The network moves in steps of so much.
    pub tick: Duration,
}

impl Default for Shape {
    fn default() -> Self {
        Self {
            nodes: 3,
            spares: 0,
            shards: 2,
            storage: Storage {
                segment_bytes: 1 << 20,
                ..Storage::default()
            },
            limits: Limits::default(),
            takes_rare_paths: false,
            latency: Duration::ZERO..Duration::from_millis(10),
            tick: Duration::from_millis(2),
        }
    }
}

/// A cluster in simulation; see [`simulation`](super).
pub struct Cluster {
    sim: Sim<'static>,
    seed: u64,
    nodes: Vec<Rc<SimNode>>,
    clients: Rc<Host>,
    jobs: flume::Sender<Job>,
    trace: Trace,
    panics: Rc<RefCell<Vec<Panic>>>,
    rarities: Rc<Rarities>,
    disks: u64,
    ended: Vec<Ended>,
}

type Job = Box<dyn FnOnce(SimPlatform) -> Pin<Box<dyn Future<Output = ()>>>>;

/// A node that ended by itself: because it was asked to, or because of an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// When.
    pub at: Duration,
    /// The node.
    pub node: u16,
    /// The error, in its words.
    pub result: Result<(), String>,
    /// Whether that error is one that its disk was told to give.
    pub is_of_disk: bool,
}

/// What ends a run: something panicked, in a node, in a client or in the simulator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The seed of the run.
    pub seed: u64,
    /// The bugs, in the order of their discovery.
    pub panics: Vec<Panic>,
}

impl Cluster {
    /// A cluster whose founding nodes start with the first step.
    pub fn new(seed: u64, shape: &Shape) -> Self {
        let mut sim = Builder::new()
            .rng_seed(seed)
            .epoch(SystemTime::UNIX_EPOCH + Duration::from_millis(EPOCH_MS as u64))
            .simulation_duration(RUN_MAX)
            .tick_duration(shape.tick)
            .min_message_latency(shape.latency.start)
            .max_message_latency(shape.latency.end)
            .tcp_capacity(STREAM_MESSAGES_MAX)
            .ephemeral_ports(EPHEMERAL_PORTS)
            .enable_random_order()
            .build();
        let ids = 1..=shape.nodes + shape.spares;
        let addresses: Vec<IpAddr> = ids.clone().map(|id| sim.lookup(host_name(id))).collect();
        let (trace, panics) = (Trace::default(), Rc::default());
        let wires = Default::default();
        let rarities = Rc::new(Rarities::new(seed, shape.takes_rare_paths));
        let host = |id: u16| {
            Rc::new(Host {
                id,
                disk: RefCell::new(SimDisk::new(disk_seed(seed, u64::from(id)))),
                clock: WallClock::default(),
                pause: Default::default(),
                trace: Trace::clone(&trace),
                wires: Clone::clone(&wires),
                rarities: Rc::clone(&rarities),
                panics: Rc::clone(&panics),
            })
        };
        let mut nodes = Vec::new();
        for id in ids {
            let config = config(seed, shape, &addresses, id);
            let limits = shape.limits.clone();
            let founds = id <= shape.nodes;
            let node = Rc::new(SimNode::new(host(id), config, limits, seed, founds));
            let hosted = Rc::clone(&node);
            sim.host(host_name(id), move || Rc::clone(&hosted).live());
            nodes.push(node);
        }
        let (jobs, waiting) = flume::unbounded();
        let clients = host(CLIENTS);
        let hosted = Rc::clone(&clients);
        sim.host(host_name(CLIENTS), move || {
            serve_clients(Rc::clone(&hosted), seed, waiting.clone())
        });
        Self {
            sim,
            seed,
            nodes,
            clients,
            jobs,
            trace,
            panics,
            rarities,
            disks: 1 << 16,
            ended: Vec::new(),
        }
    }

    /// Runs a task on the clients' host, from the next step on.
    pub fn spawn<F: Future<Output = ()> + 'static>(
        &self,
        task: impl FnOnce(SimPlatform) -> F + 'static,
    ) {
        let job: Job = Box::new(|platform| Box::pin(task(platform)));
        self.jobs
            .send(job)
            .unwrap_or_else(|_| unreachable!("the clients' host never ends"));
    }

    /// Lets one tick of time pass. After a failure the run is over.
    pub fn step(&mut self) -> Result<(), Failure> {
        if let Err(message) = catch(|| self.sim.step()).map_or_else(Err, |step| {
            step.map(drop).map_err(|error| error.to_string())
        }) {
            let (at, host) = (self.elapsed(), CLIENTS);
            self.panics.borrow_mut().push(Panic { at, host, message });
        }
        for index in 0..self.nodes.len() {
            let node = Rc::clone(&self.nodes[index]);
            if let Some(result) = node.take_ended() {
                let is_of_disk = match &result {
                    Ok(()) => false,
                    Err(error) => node.host.disk.borrow().has_failed_with(error),
                };
                self.ended.push(Ended {
                    at: self.elapsed(),
                    node: node.host.id,
                    result,
                    is_of_disk,
                });
                self.turn_off(&node);
                node.host.disk.borrow().kill();
            }
        }
        let panics = self.panics.borrow();
        match panics.is_empty() {
            true => Ok(()),
            false => Err(Failure {
                seed: self.seed,
                panics: panics.clone(),
            }),
        }
    }

    /// Lets `duration` pass.
    pub fn run_for(&mut self, duration: Duration) -> Result<(), Failure> {
        self.run_until(duration, |_| false).map(drop)
    }

    /// Lets time pass until `is_done`, at most `max`; tells whether it is.
    pub fn run_until(
        &mut self,
        max: Duration,
        mut is_done: impl FnMut(&Self) -> bool,
    ) -> Result<bool, Failure> {
        let end = self.elapsed() + max;
        while self.elapsed() < end {
            if is_done(self) {
                return Ok(true);
            }
            self.step()?;
        }
        Ok(is_done(self))
    }

    /// Simulated time since the run began.
    pub fn elapsed(&self) -> Duration {
        self.sim.elapsed()
    }

    /// The ids of all nodes, on or off.
    pub fn node_ids(&self) -> impl Iterator<Item = u16> + use<> {
        1..=u16::try_from(self.nodes.len()).expect("a cluster has few nodes")
    }

    /// Whether the node runs, or would if it were not paused.
    pub fn is_on(&self, node: u16) -> bool {
        self.node(node).is_on.get()
    }

    /// Where the control parts of the founding nodes listen: what a client is given.
    pub fn bootstrap(&self) -> Vec<String> {
        let members = &self.node(1).config.nodes;
        let address = |member: &Member| member.control_address.to_string();
        members.iter().map(address).collect()
    }

    /// The configuration of a node.
    pub fn config(&self, node: u16) -> &Config {
        &self.node(node).config
    }

    /// Starts a node that is off.
    pub fn start(&mut self, node: u16) {
        let node = Rc::clone(self.node(node));
        assert!(!node.is_on.replace(true), "node {} runs", node.host.id);
        self.sim.bounce(host_name(node.host.id));
    }

    /// Asks a node to hand over what it leads and to end; it has ended once it is off.
    pub fn stop(&self, node: u16) {
        self.note(node, "is asked to stop");
        self.node(node).stop();
    }

    /// Ends the process of a node. What it has written and not made durable is kept.
    pub fn kill(&mut self, node: u16) {
        self.note(node, "is killed");
        let node = Rc::clone(self.node(node));
        assert!(node.is_on.get(), "node {} is off", node.host.id);
        self.turn_off(&node);
        node.host.disk.borrow().kill();
    }

    /// Cuts the power of a node. What it has written and not made durable may be lost.
    pub fn crash(&mut self, node: u16) {
        self.note(node, "crashes");
        let node = Rc::clone(self.node(node));
        assert!(node.is_on.get(), "node {} is off", node.host.id);
        self.turn_off(&node);
        node.host.disk.borrow().crash();
    }

    /// Gives a node that is off an empty disk, on which the same may fail as on the old one.
    pub fn replace_disk(&mut self, node: u16) {
        self.note(node, "gets an empty disk");
        self.disks += 1;
        let disk = SimDisk::new(disk_seed(self.seed, self.disks));
        disk.set_faults(self.disk(node).faults());
        let node = self.node(node);
        assert!(!node.is_on.get(), "node {} runs", node.host.id);
        node.replace_disk(disk);
    }

    /// Halts everything on a node, as by a signal.
    pub fn pause(&self, node: u16) {
        self.note(node, "is paused");
        self.node(node).host.pause.begin();
    }

    /// Lets a paused node go on.
    pub fn resume(&self, node: u16) {
        self.note(node, "goes on");
        self.node(node).host.pause.end();
    }

    /// The wall clock of a node, to be set wrong.
    pub fn wall_clock(&self, node: u16) -> &WallClock {
        &self.node(node).host.clock
    }

    /// The wall clock of all clients.
    pub fn clients_wall_clock(&self) -> &WallClock {
        &self.clients.clock
    }

    /// The disk of a node.
    pub fn disk(&self, node: u16) -> SimDisk {
        self.node(node).host.disk.borrow().clone()
    }

    /// What a node's disk holds of a partition: the bytes of its files, by their names.
    pub fn partition_files(&self, node: u16, partition: u64) -> BTreeMap<String, Vec<u8>> {
        let folder = partition_folder(self.config(node), partition);
        self.disk(node).folder(&folder)
    }

    /// Loses everything that one host says to another from now on, confirmations included.
    pub fn cut(&mut self, from: u16, to: u16) {
        self.note(from, format!("is cut off from {}", host_name(to)));
        self.set_cut(from, to, true);
        let network = &mut self.sim;
        network.partition_oneway(host_name(from), host_name(to));
    }

    /// Has what one host says to another arrive again.
    pub fn repair(&mut self, from: u16, to: u16) {
        self.note(from, format!("reaches {} again", host_name(to)));
        self.set_cut(from, to, false);
        let network = &mut self.sim;
        network.repair_oneway(host_name(from), host_name(to));
    }

    /// Resets every connection that two hosts have, in the eyes of both. New ones can be made at
    /// once.
    pub fn reset(&self, one: u16, other: u16) {
        let [a, b] = [one, other].map(|host| self.sim.lookup(host_name(host)));
        let streams = self.clients.wires.reset(a, b);
        tracing::debug!(streams, "connections are reset");
        let what = format!("loses {streams} connections with {}", host_name(other));
        self.note(one, what);
    }

    fn set_cut(&mut self, from: u16, to: u16, is_cut: bool) {
        let (from, to) = (
            self.sim.lookup(host_name(from)),
            self.sim.lookup(host_name(to)),
        );
        self.clients.wires.set_cut(from, to, is_cut);
    }

    /// The network, to be broken and repaired; hosts have the names of [`host_name`].
    pub fn network(&mut self) -> &mut Sim<'static> {
        &mut self.sim
    }

    /// The nodes that have ended by themselves so far.
    pub fn ended(&self) -> &[Ended] {
        &self.ended
    }

    /// Has the nodes take rare paths only where they must.
    pub fn end_rare_paths(&self) {
        self.rarities.end();
    }

    /// What has happened so far.
    pub fn trace(&self) -> &Trace {
        &self.trace
    }

    /// Notes what is done to a node, or to the clients, from outside.
    pub fn note(&self, host: u16, what: impl Into<String>) {
        self.trace.event(self.elapsed(), host, what);
    }

    fn node(&self, id: u16) -> &Rc<SimNode> {
        &self.nodes[usize::from(id) - 1]
    }

    fn turn_off(&mut self, node: &SimNode) {
        node.is_on.set(false);
        node.host.pause.forget();
        self.sim.crash(host_name(node.host.id));
    }
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster")
            .field("seed", &self.seed)
            .field("elapsed", &self.elapsed())
            .field("ended", &self.ended)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "seed {}:", self.seed)?;
        for Panic { at, host, message } in &self.panics {
            write!(
                f,
                "\n{:.3} {}: {message}",
                at.as_secs_f64(),
                host_name(*host)
            )?;
        }
        Ok(())
    }
}

impl std::error::Error for Failure {}

/// What the network calls the host of a node, or that of the clients.
pub fn host_name(host: u16) -> String {
    match host {
        CLIENTS => "clients".to_owned(),
        node => format!("node-{node}"),
    }
}

fn disk_seed(seed: u64, number: u64) -> u64 {
    seed.rotate_left(17) ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

fn config(seed: u64, shape: &Shape, addresses: &[IpAddr], id: u16) -> Config {
    let address = |id: u16, port| SocketAddr::new(addresses[usize::from(id) - 1], port);
    let mut ids: Vec<u16> = (1..=shape.nodes).collect();
    if id > shape.nodes {
        ids.push(id);
    }
    let member = |id| Member {
        id,
        control_address: address(id, CONTROL_PORT),
    };
    let shards = (1..=shape.shards).map(|shard| address(id, CONTROL_PORT + shard));
    Config {
        cluster_id: ClusterId(u128::from(seed) << 64 | 1),
        node_id: id,
        data_dir: PathBuf::from("/data"),
        control_address: address(id, CONTROL_PORT),
        shard_addresses: shards.collect(),
        pin: false,
        first_core: 0,
        storage: shape.storage,
        nodes: ids.into_iter().map(member).collect(),
    }
}

/// What the clients' host runs.
async fn serve_clients(
    host: Rc<Host>,
    seed: u64,
    waiting: flume::Receiver<Job>,
) -> turmoil::Result {
    let platform = SimPlatform::begin(host, seed, 0);
    while let Ok(job) = waiting.recv_async().await {
        platform.spawn(job(platform.clone()));
    }
    pending().await
}
