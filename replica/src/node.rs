//! A whole node: one control thread and one thread for each shard, each with its own runtime.
//!
//! Nothing starts before everything is known to be startable: the folder is taken and checked,
//! every address is listened on. Then the threads run until the node is told to stop or one of them
//! ends. An error in one thread ends the whole node: what the others would do without it is not
//! worth reasoning about, and the cluster is made to lose a node.

mod folder;
mod listen;
mod thread;

use std::net::SocketAddr;
use std::panic::PanicHookInfo;
use std::sync::Arc;
use std::time::Duration;

use quorate_platform::{Compio, CompioListener, Tasks};
use quorate_vsr::NodeId;
use rustix::process::{Resource, Rlimit};

use self::thread::Report;
use crate::config::Config;
use crate::control;
use crate::error::NodeError;
use crate::metadata::{Metadata, Published};
use crate::reserve::{Reserve, Reserved};
use crate::shard::{self, ShardStatus};
use crate::stop::Stop;

pub(crate) use self::folder::IDENTITY;
pub use self::listen::listen;

/// What is set aside for each shard: as much as it may have accepted and not written.
const RESERVE_BYTES: u64 = 64 << 20;
/// Threads of a node that has failed get this long to end before the process ends without them.
const END_MAX: Duration = Duration::from_secs(5);

/// Runs the node until `stop` is set; then its leaderships are handed over and its data is durable.
///
/// With `founds` the nodes of the configuration found a cluster: the folder must be empty.
///
/// An error names what keeps the node from starting or made it end, and the remedy.
pub fn run(config: Config, founds: bool, stop: Stop) -> Result<(), NodeError> {
    end_process_on_panic();
    raise_file_limit();
    let runtime = thread::runtime(None);
    let runtime = runtime.map_err(|error| NodeError::Thread {
        name: "main".to_owned(),
        error,
    })?;
    let _lock = runtime.block_on(folder::take(&Compio, &config, founds))?;
    Node::start(config, founds, stop)?.supervise()
}

/// A panic ends the process at once, also one in a task that its thread would survive: the node
/// would go on with half of its state.
///
/// It is a hook and not `panic = "abort"` of the whole build, since the model checker, which is
/// built alike, has to survive a failed assertion of the protocol to tell how it came about.
fn end_process_on_panic() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic: &PanicHookInfo<'_>| {
        tracing::error!(%panic, "a bug ends this node");
        report(panic);
        std::process::abort();
    }));
}

/// Every connection and every partition holds a file, and the usual soft limit of 1024 is a
/// leftover for programs that use `select`.
fn raise_file_limit() {
    let limit = rustix::process::getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    if let Err(error) = rustix::process::setrlimit(Resource::Nofile, raised) {
        tracing::warn!(%error, ?limit, "cannot raise the limit of open files");
    }
}

/// How many partitions of each shard may have a file open to be written: all shards together leave
/// half of what the process may open to connections and to those who read.
fn open_files_max(shards: usize) -> usize {
    const MAX: usize = 1024;
    const MIN: usize = 16;
    let limit = rustix::process::getrlimit(Resource::Nofile).current;
    let limit = limit.map_or(usize::MAX, |limit| {
        usize::try_from(limit).unwrap_or(usize::MAX)
    });
    (limit / 2 / shards).clamp(MIN, MAX)
}

/// The threads of a node that runs.
struct Node {
    shards: usize,
    reports: flume::Receiver<Report>,
    signals: Signals,
}

/// What is said to the threads, in this order.
#[derive(Clone, Debug, Default)]
struct Signals {
    /// Every address is listened on.
    go: Stop,
    /// The shards may end.
    handed_over: Stop,
    /// The control thread may end.
    end: Stop,
}

/// The name of the control thread.
const CONTROL: &str = "control";

impl Node {
    fn start(config: Config, founds: bool, stop: Stop) -> Result<Self, NodeError> {
        let (reports_sender, reports) = flume::unbounded();
        let (bound_sender, bound) = flume::unbounded();
        let signals = Signals::default();
        let me = NodeId(config.node_id);
        let metadata = Metadata::empty(config.cluster_id, me);
        let reserve_bytes = RESERVE_BYTES * config.shard_addresses.len() as u64;
        let reserve = Reserve::take(&config.data_dir, reserve_bytes);
        let starting = Starting {
            founds,
            incarnation: Compio.random(),
            metadata: Arc::new(Published::new(metadata)),
            statuses: config
                .shard_addresses
                .iter()
                .map(|_| Arc::default())
                .collect(),
            signals: signals.clone(),
            reports: reports_sender,
            bound: bound_sender,
            platform: Reserved::new(Compio, reserve),
            config,
        };
        let shards = starting.statuses.len();
        let started = starting.start_all(stop);
        drop(starting);
        // One message per thread; a thread that fails before it listens sends none.
        let listening = bound.iter().take(shards + 1).count() == shards + 1;
        let node = Self {
            shards,
            reports,
            signals,
        };
        if started.is_err() || !listening {
            // Those that wait for the others find that there is nothing to wait for.
            node.signals.handed_over.set();
            node.signals.end.set();
            node.signals.go.set();
            started?;
            return Err(node.first_failure());
        }
        node.signals.go.set();
        Ok(node)
    }

    /// Waits until all threads have ended.
    fn supervise(self) -> Result<(), NodeError> {
        let mut shards_left = self.shards;
        loop {
            let report = self.next_report();
            report.result?;
            if report.thread == CONTROL {
                return Ok(());
            }
            shards_left -= 1;
            if shards_left == 0 {
                self.signals.end.set();
            }
        }
    }

    fn next_report(&self) -> Report {
        self.reports
            .recv()
            .expect("every thread reports its end, and one is still to do so")
    }

    /// Why the node cannot start: some thread has failed.
    fn first_failure(&self) -> NodeError {
        let mut ended_well = 0;
        loop {
            match self.reports.recv_timeout(END_MAX) {
                Ok(Report {
                    result: Err(error), ..
                }) => return error,
                Ok(Report { result: Ok(()), .. }) if ended_well <= self.shards => ended_well += 1,
                Ok(_) | Err(_) => {
                    return NodeError::Config("the node ended before it started".to_owned());
                }
            }
        }
    }
}

/// What the threads are started with.
struct Starting {
    config: Config,
    founds: bool,
    incarnation: u64,
    metadata: Arc<Published>,
    statuses: Vec<Arc<ShardStatus>>,
    signals: Signals,
    reports: flume::Sender<Report>,
    bound: flume::Sender<()>,
    /// What every thread gets, so that each may give back what is set aside.
    platform: Reserved<Compio>,
}

impl Starting {
    fn start_all(&self, stop: Stop) -> Result<(), NodeError> {
        self.start_control(stop)?;
        (0..self.statuses.len()).try_for_each(|index| self.start_shard(index))
    }

    fn start_control(&self, stop: Stop) -> Result<(), NodeError> {
        let (config, founds) = (self.config.clone(), self.founds);
        let (incarnation, metadata) = (self.incarnation, Arc::clone(&self.metadata));
        let (statuses, signals) = (self.statuses.clone(), self.signals.clone());
        let (bound, platform) = (self.bound.clone(), self.platform.clone());
        thread::start(
            CONTROL.to_owned(),
            None,
            self.reports.clone(),
            move || async move {
                let Some(listener) =
                    listen_together(config.control_address, "control", bound, &signals).await?
                else {
                    return Ok(());
                };
                let setup = control::Setup {
                    node: NodeId(config.node_id),
                    cluster: config.cluster_id,
                    incarnation,
                    folder: config.data_dir.join("control"),
                    founds,
                    listener,
                    nodes: config.nodes,
                    shard_addresses: config.shard_addresses,
                    statuses,
                    metadata,
                    stop,
                    handed_over: signals.handed_over,
                    end: signals.end,
                };
                control::run(platform, setup).await
            },
        )
    }

    fn start_shard(&self, index: usize) -> Result<(), NodeError> {
        let config = &self.config;
        let address = config.shard_addresses[index];
        let (node, cluster) = (NodeId(config.node_id), config.cluster_id);
        let folder = config.data_dir.join(format!("shard-{index}"));
        let storage = config.storage;
        let shards = u32::try_from(self.statuses.len()).expect("the configuration has few shards");
        let open_files_max = open_files_max(self.statuses.len());
        let (incarnation, metadata) = (self.incarnation, Arc::clone(&self.metadata));
        let (status, signals) = (Arc::clone(&self.statuses[index]), self.signals.clone());
        let (bound, platform) = (self.bound.clone(), self.platform.clone());
        let (name, core) = (format!("shard-{index}"), config.core_of(index));
        thread::start(name, core, self.reports.clone(), move || async move {
            let purpose = format!("shard {index}");
            let Some(listener) = listen_together(address, &purpose, bound, &signals).await? else {
                return Ok(());
            };
            let setup = shard::Setup {
                node,
                index: u32::try_from(index).expect("the configuration has few shards"),
                shards,
                cluster,
                incarnation,
                folder,
                storage,
                open_files_max,
                listener,
                metadata,
                status,
                stop: signals.handed_over,
            };
            shard::run(platform, setup).await
        })
    }
}

/// Listens on `address` and waits until all threads do; `None` if another one cannot.
async fn listen_together(
    address: SocketAddr,
    purpose: &str,
    bound: flume::Sender<()>,
    signals: &Signals,
) -> Result<Option<CompioListener>, NodeError> {
    let listener = listen(&Compio, address, purpose).await?;
    // The other end counts the threads that listen.
    let _ = bound.send(());
    drop(bound);
    signals.go.wait().await;
    Ok((!signals.end.is_set()).then_some(listener))
}
