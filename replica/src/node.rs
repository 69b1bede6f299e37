//! A whole node: its control part and one part for each shard.
//!
//! In production each part is a thread with its own runtime ([`run`]). All of them may also be
//! tasks of one runtime ([`run_within`]): the node is the same but for its threads.
//!
//! Nothing starts before everything is known to be startable: the folder is taken and checked,
//! every address is listened on. Then the parts run until the node is told to stop or one of them
//! ends. An error in one part ends the whole node: what the others would do without it is not
//! worth reasoning about, and the cluster is made to lose a node.

mod folder;
mod listen;
mod part;
mod thread;

use std::panic::PanicHookInfo;
use std::time::Duration;

use quorate_platform::{Compio, Platform, Tasks};
use rustix::process::{Resource, Rlimit};

use self::part::{Part, Report, Signals, Starting};
use crate::config::Config;
use crate::error::NodeError;
use crate::limits::Limits;
use crate::reserve::{Reserve, Reserved};
use crate::stop::Stop;

pub(crate) use self::folder::IDENTITY;
pub use self::listen::listen;

/// What is set aside for each shard: as much as it may have accepted and not written.
const RESERVE_BYTES: u64 = 64 << 20;
/// Parts of a node that has failed get this long to end before the node ends without them.
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
    runtime.block_on(async {
        let _lock = folder::take(&Compio, &config, founds).await?;
        let shards = config.shard_addresses.len();
        let reserve = Reserve::take(&config.data_dir, RESERVE_BYTES * shards as u64);
        let (bound_sender, bound) = flume::unbounded();
        let platform = Reserved::new(Compio, reserve);
        let limits = Limits {
            open_files_max: open_files_max(shards),
            ..Limits::default()
        };
        let cores: Vec<_> = (0..shards).map(|shard| config.core_of(shard)).collect();
        let starting = Starting::new(platform, config, limits, founds, stop, bound_sender);
        let start = |part, starting: Starting<_>, reports| {
            let core = match part {
                Part::Control => None,
                Part::Shard(index) => cores[index],
            };
            thread::start(part, core, reports, move || starting.run(part))
        };
        let node = Node::start(&Compio, starting, bound, start).await?;
        node.supervise().await
    })
}

/// Runs the node on the calling thread, all parts as tasks of `platform`, until `stop` is set.
///
/// It is the node that [`run`] runs, without what belongs to the process: threads, a hook for
/// panics, the limit of open files, and the reserve of the disk. After an error some of its tasks
/// may still run; whoever called it lets go of the runtime, as the end of a process would.
pub async fn run_within<P: Platform>(
    platform: P,
    config: Config,
    limits: Limits,
    founds: bool,
    stop: Stop,
) -> Result<(), NodeError> {
    let _lock = folder::take(&platform, &config, founds).await?;
    let (bound_sender, bound) = flume::unbounded();
    let tasks = platform.clone();
    let starting = Starting::new(platform.clone(), config, limits, founds, stop, bound_sender);
    let start = |part, starting: Starting<P>, reports: flume::Sender<Report>| {
        tasks.spawn(async move {
            let result = starting.run(part).await;
            // Nobody listens any more: the node has ended.
            let _ = reports.send(Report { part, result });
        });
        Ok(())
    };
    let node = Node::start(&platform, starting, bound, start).await?;
    node.supervise().await
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

/// The parts of a node that runs.
struct Node {
    shards: usize,
    reports: flume::Receiver<Report>,
    signals: Signals,
}

impl Node {
    /// Starts all parts with `start`, and lets them go on once all of them listen.
    async fn start<P: Platform>(
        tasks: &impl Tasks,
        starting: Starting<P>,
        bound: flume::Receiver<()>,
        start: impl Fn(Part, Starting<P>, flume::Sender<Report>) -> Result<(), NodeError>,
    ) -> Result<Self, NodeError> {
        let (reports_sender, reports) = flume::unbounded();
        let mut parts = starting.parts();
        let count = starting.parts().count();
        let node = Self {
            shards: count - 1,
            reports,
            signals: starting.signals().clone(),
        };
        let started =
            parts.try_for_each(|part| start(part, starting.clone(), reports_sender.clone()));
        drop((starting, reports_sender));
        // One message per part; a part that fails before it listens sends none.
        let mut listening = 0;
        while listening < count && bound.recv_async().await.is_ok() {
            listening += 1;
        }
        if started.is_err() || listening < count {
            // Those that wait for the others find that there is nothing to wait for.
            node.signals.handed_over.set();
            node.signals.end.set();
            node.signals.go.set();
            started?;
            return Err(node.first_failure(tasks).await);
        }
        node.signals.go.set();
        Ok(node)
    }

    /// Waits until all parts have ended.
    async fn supervise(self) -> Result<(), NodeError> {
        let mut shards_left = self.shards;
        loop {
            let report = self.reports.recv_async().await;
            let report = report.expect("every part reports its end, and one is still to do so");
            report.result?;
            match report.part {
                Part::Control => return Ok(()),
                Part::Shard(_) => shards_left -= 1,
            }
            if shards_left == 0 {
                self.signals.end.set();
            }
        }
    }

    /// Why the node cannot start: some part has failed.
    async fn first_failure(&self, tasks: &impl Tasks) -> NodeError {
        let mut ended_well = 0;
        loop {
            match tasks.timeout(END_MAX, self.reports.recv_async()).await {
                Ok(Ok(Report {
                    result: Err(error), ..
                })) => return error,
                Ok(Ok(Report { result: Ok(()), .. })) if ended_well <= self.shards => {
                    ended_well += 1
                }
                Ok(_) | Err(_) => {
                    return NodeError::Config("the node ended before it started".to_owned());
                }
            }
        }
    }
}
