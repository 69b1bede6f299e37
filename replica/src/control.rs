//! The control thread: the group's replica on this node, and what depends on it.
//!
//! One loop takes whatever happens next (a write has become durable, a message or a request has
//! come, a timer has run out), tells the group, and carries out what the group answers. Around it
//! stand small tasks with one duty each: one that owns the files, one for each link to another
//! node, one or two for each connection that came in. They speak to the loop through bounded queues
//! and decide nothing.
//!
//! Ten times a second the node tells all others that it is there, with a summary of its shards. The
//! primary concludes from this who is up and down, and proposes what the catalog should say.

mod admission;
mod change;
mod client;
mod connection;
mod damage;
mod detector;
mod driver;
mod heartbeat;
mod link;
mod membership;
mod outbox;
mod peering;
mod primary;
mod reads;
mod reconfiguration;
mod storage;
mod timer;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{FutureExt, select_biased};
use quorate_platform::{Instant, Platform};
use quorate_vsr::NodeId;
use quorate_vsr::group::{Config, DiskId, Event, Limits};
use quorate_wire::{ClusterId, Code, NodeStatus, Refusal, Request, Response};

use self::client::{Caller, Question};
use self::connection::{Input, Reception};
use self::detector::{Detector, HEARTBEAT_INTERVAL};
use self::driver::Driver;
use self::heartbeat::{Heartbeat, ShardsWatch};
use self::peering::{Peering, Peers};
use self::storage::Storage;
use crate::config::Member;
use crate::error::NodeError;
use crate::metadata::Published;
use crate::peer::PeerHello;
use crate::shard::ShardStatus;
use crate::stop::Stop;

/// Messages and requests that wait for the loop; when it is full, the connections are not read.
const INPUTS_MAX: usize = 256;
/// Inputs that are taken before the timers are looked at again.
const BATCH_MAX: usize = 64;
/// How long a node that stops waits for others to take over what it leads.
const HAND_OVER_MAX: Duration = Duration::from_secs(3);

/// What the control thread is given when it starts.
#[derive(Debug)]
pub struct Setup<P: Platform> {
    /// The node.
    pub node: NodeId,
    /// The cluster.
    pub cluster: ClusterId,
    /// Drawn at random when the process started.
    pub incarnation: u64,
    /// Where the group's files are; made if missing.
    pub folder: PathBuf,
    /// Whether the nodes found the group, if the folder is empty.
    pub founds: bool,
    /// How much the group may hold at once.
    pub limits: Limits,
    /// Where clients and the other nodes reach the control thread.
    pub listener: P::Listener,
    /// Every node of the cluster, this one too.
    pub nodes: Vec<Member>,
    /// Where each shard of this node listens.
    pub shard_addresses: Vec<SocketAddr>,
    /// Where each shard of this node tells how it is.
    pub statuses: Vec<Arc<ShardStatus>>,
    /// Where the control thread publishes what it knows.
    pub metadata: Arc<Published>,
    /// Asks the node to stop: others are to take over what it leads.
    pub stop: Stop,
    /// Made by the control thread once they have, or cannot: the shards may end.
    pub handed_over: Stop,
    /// Ends the control thread.
    pub end: Stop,
}

/// Takes part in the control plane until it is told to end.
///
/// An error means that the node has to end: its storage has failed or holds what it cannot use.
pub async fn run<P: Platform>(platform: P, setup: Setup<P>) -> Result<(), NodeError> {
    Control::start(platform, setup).await?.run().await
}

struct Control<P: Platform> {
    platform: P,
    driver: Driver<P>,
    detector: Detector,
    shards: ShardsWatch,
    /// The catalog's version, and what the leaders have told, with which no voters of a partition
    /// were to be changed.
    at_rest: Option<(u64, BTreeSet<(u64, u32)>)>,
    peers: Peers,
    peering: Peering<P>,
    inputs: flume::Receiver<Input>,
    durable: flume::Receiver<Result<Event, NodeError>>,
    started: Instant,
    next_tick: Instant,
    stopping: Stopping,
    identity: Identity,
    metadata: Arc<Published>,
    stop: Stop,
    handed_over: Stop,
    end: Stop,
}

/// What the node says of itself in every heartbeat.
struct Identity {
    node: NodeId,
    cluster: ClusterId,
    incarnation: u64,
    disk: DiskId,
    control_address: String,
    shard_addresses: Vec<String>,
}

#[derive(Clone, Copy)]
enum Stopping {
    No,
    HandingOver { until: Instant },
    HandedOver,
}

/// What the loop woke up for.
enum Woken {
    Durable(Result<Event, NodeError>),
    Input(Input),
    Deadline,
    Stop,
    End,
}

impl Identity {
    fn new<P: Platform>(setup: &Setup<P>, disk: DiskId) -> Result<Self, NodeError> {
        let node = setup.node;
        let me = setup.nodes.iter().find(|member| member.id == node.0);
        let me = me.ok_or_else(|| NodeError::Config(format!("`nodes` does not name {node:?}")))?;
        let shards = setup.shard_addresses.iter().map(SocketAddr::to_string);
        Ok(Self {
            node,
            cluster: setup.cluster,
            incarnation: setup.incarnation,
            disk,
            control_address: me.control_address.to_string(),
            shard_addresses: shards.collect(),
        })
    }
}

/// Says what to do with a node that belongs to no group.
fn report_blank<P: Platform>(driver: &Driver<P>, node: NodeId) {
    let group = driver.group();
    let is_blank = group.membership().members().next().is_none() && group.view().0 == 0;
    if is_blank {
        tracing::warn!(
            %node,
            disk = %group.member().disk,
            "the folder of this node is empty, so it waits until the cluster takes it in: \
             `quorate cluster add` adds a new node, `quorate cluster recover` gives up what was on \
             a lost disk. If the cluster is new, stop the node and start it with --new-cluster"
        );
    }
}

impl<P: Platform> Control<P> {
    async fn start(platform: P, setup: Setup<P>) -> Result<Self, NodeError> {
        let (storage, recovered) =
            Storage::open(platform.clone(), &setup.folder, setup.node).await?;
        let (jobs, durable) = storage::start(&platform, storage);
        let (node, cluster) = (setup.node, setup.cluster);
        let (nodes, incarnation) = (&setup.nodes, setup.incarnation);
        let config = Config {
            limits: setup.limits,
            ..membership::group_config(node, nodes, setup.founds, platform.random())
        };
        let peers = Peers::default();
        let driver = Driver::new(
            platform.clone(),
            config,
            cluster,
            peers.clone(),
            recovered,
            jobs,
        )?;
        let disk = driver.group().member().disk;
        report_blank(&driver, node);
        let identity = Identity::new(&setup, disk)?;
        let hello = PeerHello {
            from: node.0,
            to: node.0,
            shard: None,
            incarnation,
            disk: disk.0,
        };
        let mut peering = Peering::new(platform.clone(), cluster, hello, nodes, peers.clone());
        peering.follow(driver.catalog(), driver.group().membership());
        let (sender, inputs) = flume::bounded(INPUTS_MAX);
        let metadata = setup.metadata;
        let published = Arc::clone(&metadata);
        let reception =
            Reception::new(node, incarnation, cluster, peers.clone(), published, sender);
        platform.spawn(connection::accept(
            platform.clone(),
            setup.listener,
            Rc::new(reception),
        ));
        let now = platform.now();
        Ok(Self {
            driver,
            detector: Detector::new(now),
            shards: ShardsWatch::new(setup.statuses, now),
            at_rest: None,
            peers,
            peering,
            inputs,
            durable,
            started: now,
            next_tick: now,
            stopping: Stopping::No,
            identity,
            metadata,
            stop: setup.stop,
            handed_over: setup.handed_over,
            end: setup.end,
            platform,
        })
    }

    async fn run(mut self) -> Result<(), NodeError> {
        loop {
            match self.wait().await {
                Woken::Durable(report) => self.driver.step(report?)?,
                Woken::Input(input) => self.on_input(input)?,
                Woken::Deadline => {}
                Woken::Stop => self.on_stop(),
                Woken::End => return Ok(()),
            }
            self.take_what_waits()?;
            while self.driver.fire_timer()? {}
            if self.platform.now() >= self.next_tick {
                self.on_tick()?;
            }
            self.driver.publish(&self.metadata);
            self.continue_hand_over();
        }
    }

    async fn wait(&self) -> Woken {
        let deadline = self
            .driver
            .next_deadline()
            .unwrap_or(self.next_tick)
            .min(self.next_tick);
        let is_running = matches!(self.stopping, Stopping::No);
        let stopped = async {
            if is_running {
                self.stop.wait().await
            } else {
                std::future::pending().await
            }
        };
        let mut stopped = std::pin::pin!(stopped.fuse());
        let mut ended = std::pin::pin!(self.end.wait().fuse());
        let mut slept = std::pin::pin!(self.platform.sleep(deadline - self.platform.now()).fuse());
        select_biased! {
            () = ended => Woken::End,
            () = stopped => Woken::Stop,
            report = self.durable.recv_async().fuse() => {
                Woken::Durable(report.expect("the storage task reports its failure before it ends"))
            }
            input = self.inputs.recv_async().fuse() => {
                Woken::Input(input.expect("the task that accepts connections runs for ever"))
            }
            () = slept => Woken::Deadline,
        }
    }

    /// What came while the loop was busy is taken before any timer fires: the message that would
    /// have stopped the timer may be among it.
    fn take_what_waits(&mut self) -> Result<(), NodeError> {
        for _ in 0..BATCH_MAX {
            if let Ok(report) = self.durable.try_recv() {
                self.driver.step(report?)?;
            } else if let Ok(input) = self.inputs.try_recv() {
                self.on_input(input)?;
            } else {
                break;
            }
        }
        Ok(())
    }

    fn on_input(&mut self, input: Input) -> Result<(), NodeError> {
        match input {
            Input::Group { from, message } => self.driver.step(Event::Message { from, message }),
            Input::Heartbeat { from, heartbeat } => {
                self.peering.on_heard(from, &heartbeat.control_address);
                self.detector
                    .on_heartbeat(from, heartbeat, self.platform.now());
                Ok(())
            }
            Input::Client { caller, request } => self.on_request(caller, request),
        }
    }

    fn on_request(&mut self, caller: Caller, request: Request) -> Result<(), NodeError> {
        match request {
            Request::Status => {
                caller.answer(&Response::Status(self.status()));
                Ok(())
            }
            Request::Transfer { to } => {
                let answer = self.transfer(NodeId(to))?;
                caller.answer(&answer);
                Ok(())
            }
            Request::Register { client } => self.driver.ask(
                Question::Register { client },
                caller,
                Event::Register { client },
            ),
            Request::Control {
                request_number: 0, ..
            } => {
                let detail = "the requests of a session are counted from 1";
                caller.answer(&Response::Refused(Refusal::new(
                    Code::InvalidRequest,
                    detail,
                )));
                Ok(())
            }
            Request::Control {
                client,
                session,
                request_number,
                operation,
            } => {
                let operation = match self.admit(operation) {
                    Ok(operation) => operation.encode(),
                    Err(response) => {
                        caller.answer(&response);
                        return Ok(());
                    }
                };
                let event = Event::Request {
                    client,
                    session,
                    request_number,
                    operation,
                };
                self.driver.ask(
                    Question::Request {
                        client,
                        request_number,
                    },
                    caller,
                    event,
                )
            }
            Request::Metadata { topics, .. } => self.driver.read(caller, topics),
            Request::Produce { .. }
            | Request::Fetch { .. }
            | Request::DeleteRecords { .. }
            | Request::Describe { .. }
            | Request::Lookup { .. } => {
                unreachable!("the connection answers these itself")
            }
        }
    }

    fn status(&self) -> NodeStatus {
        let (group, shards) = (self.driver.group(), self.shards.summary());
        let uptime = self.platform.now() - self.started;
        NodeStatus {
            node: self.identity.node.0,
            disk: self.identity.disk.0,
            role: self.driver.role(),
            view: group.view().0,
            op_number: group.op_number().0,
            commit_number: group.commit_number().0,
            replicas: shards.replicas,
            leaderships: shards.leaderships,
            under_replicated: shards.under_replicated,
            damaged_ranges: shards.damaged_ranges,
            appended_records: shards.appended_records,
            appended_bytes: shards.appended_bytes,
            uptime_ms: u64::try_from(uptime.as_millis()).unwrap_or(u64::MAX),
        }
    }

    fn on_tick(&mut self) -> Result<(), NodeError> {
        let now = self.platform.now();
        self.next_tick = now + HEARTBEAT_INTERVAL;
        self.detector.on_tick(now);
        self.send_heartbeat(now);
        self.driver.expire_waiting();
        self.peering
            .follow(self.driver.catalog(), self.driver.group().membership());
        self.lead(now)
    }

    fn send_heartbeat(&mut self, now: Instant) {
        let summary = self.shards.summary();
        let heartbeat = Heartbeat {
            incarnation: self.identity.incarnation,
            disk: self.identity.disk.0,
            control_address: self.identity.control_address.clone(),
            shard_addresses: self.identity.shard_addresses.clone(),
            is_ready: self.shards.is_ready(),
            is_stopping: !matches!(self.stopping, Stopping::No),
            is_stalled: self.shards.is_stalled(now),
            leaderships: summary.leaderships,
            lagging: summary.lagging.iter().map(|node| node.0).collect(),
            done: summary.done,
            resigned: summary.resigned,
        };
        if !self.platform.rarely("a heartbeat is left out") {
            let frame = heartbeat.frame(self.identity.cluster);
            self.peers.send_to_all(&frame);
        }
        self.detector
            .on_heartbeat(self.identity.node, heartbeat, now);
    }

    fn on_stop(&mut self) {
        tracing::info!("stopping: others take over what this node leads");
        let now = self.platform.now();
        self.stopping = Stopping::HandingOver {
            until: now + HAND_OVER_MAX,
        };
        // The others are to hear of it now.
        self.next_tick = now;
    }

    /// Lets the shards end once others lead what this node led, or nobody can, or time is up.
    fn continue_hand_over(&mut self) {
        let Stopping::HandingOver { until } = self.stopping else {
            return;
        };
        let (me, now) = (self.identity.node, self.platform.now());
        let can_take_over = |id: &NodeId| *id != me && self.detector.is_available(*id, now);
        let mut led = self
            .driver
            .catalog()
            .partitions
            .values()
            .filter(|p| p.leader == me);
        if now >= until || !led.any(|partition| partition.voters.iter().any(can_take_over)) {
            tracing::info!("leaderships are handed over");
            self.stopping = Stopping::HandedOver;
            self.handed_over.set();
        }
    }
}
