//! A cluster of real processes, started as a user starts it.

mod command_line;
mod description;
mod newcomer;
mod process;
mod up;

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

pub(crate) use command_line::collect;
pub use command_line::{CommandLine, Finished, finish};
pub use description::{NodeDescription, NodeStatus, PartitionDescription, ReplicaDescription};
pub use process::{Process, Usage};
use up::Up;

use crate::{Failure, ports, quorate_binary, wait_until};

/// How long a start, a stop or a change of leadership may take before the harness gives up. Far
/// above what is promised: the promises have tests of their own.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// How to start a cluster.
#[derive(Clone, Debug)]
pub struct Options {
    /// How many nodes.
    pub nodes: u16,
    /// How many shards each node has.
    pub shards: u16,
    /// More arguments for `quorate up`.
    pub arguments: Vec<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            nodes: 3,
            shards: 1,
            arguments: Vec::new(),
        }
    }
}

/// A running cluster in a folder of its own.
///
/// Dropping it ends every process that it started. The folder with data and logs is removed,
/// unless the thread is panicking or [`Cluster::keep_folder`] was called.
#[derive(Debug)]
pub struct Cluster {
    binary: PathBuf,
    folder: TempDir,
    options: Options,
    base_port: u16,
    up: Option<Up>,
    nodes: BTreeMap<u16, Node>,
}

#[derive(Debug)]
struct Node {
    description: NodeDescription,
    process: Process,
    /// A node that was restarted by hand is a child of the harness.
    child: Option<Child>,
}

impl Cluster {
    /// Starts `quorate up` on free ports and waits until it takes writes.
    pub fn start(options: Options) -> Result<Self, Failure> {
        let binary = quorate_binary()?;
        let folder = tempfile::Builder::new().prefix("quorate-").tempdir();
        let folder = folder.map_err(Failure::of("making a temporary folder"))?;
        let count = options.nodes * (1 + options.shards);
        let mut cluster = Self {
            binary,
            folder,
            options,
            base_port: 0,
            up: None,
            nodes: BTreeMap::new(),
        };
        loop {
            cluster.base_port = ports::free_block(count)?;
            match cluster.up() {
                Ok(()) => return Ok(cluster),
                // Somebody else took one of the ports meanwhile; anything else is a failure.
                Err(_) if !ports::is_free(cluster.base_port, count) => {}
                Err(failure) => {
                    cluster.keep_folder();
                    return Err(failure);
                }
            }
        }
    }

    /// Starts `quorate up` on the folder and the ports of this cluster, when none is running.
    pub fn up(&mut self) -> Result<(), Failure> {
        assert!(
            self.up.is_none(),
            "`quorate up` is already running on this folder"
        );
        let mut command = Command::new(&self.binary);
        command.args(["up", "--nodes", &self.options.nodes.to_string()]);
        command.args(["--shards", &self.options.shards.to_string()]);
        command.args(["--base-port", &self.base_port.to_string()]);
        command.arg("--data-dir").arg(self.data_dir());
        command.args(&self.options.arguments);
        self.up = Some(Up::start(command, self.folder())?);
        let up = self.up.as_mut().expect("it was set just above");
        if let Err(failure) = up.wait_ready(PATIENCE) {
            self.end();
            return Err(failure);
        }
        self.find_processes()
    }

    /// Looks up in `cluster.json` which processes `quorate up` has started. Of nodes that were
    /// added by hand it knows nothing.
    pub fn find_processes(&mut self) -> Result<(), Failure> {
        let mut nodes = BTreeMap::new();
        for description in description::read_cluster_file(&self.cluster_file())? {
            let id = description.id;
            let pid = description.pid.ok_or_else(|| {
                Failure::new(format!("cluster.json has no process for node {id}"))
            })?;
            let process = Process::find(pid)?;
            let node = Node {
                process,
                child: None,
                description,
            };
            nodes.insert(id, node);
        }
        nodes.append(&mut self.nodes_by_hand());
        self.nodes = nodes;
        Ok(())
    }

    /// Interrupts `quorate up` as Ctrl-C does, and waits until it and all its nodes have ended.
    ///
    /// Nodes that were restarted by hand are asked to stop as well.
    pub fn interrupt(&mut self) -> Result<ExitStatus, Failure> {
        for id in self.node_ids() {
            if self.node(id).child.is_some() {
                self.terminate(id)?;
            }
        }
        let up = self
            .up
            .take()
            .ok_or_else(|| Failure::new("`quorate up` is not running"))?;
        let status = up.interrupt(PATIENCE)?;
        for id in self.node_ids() {
            self.node(id).process.wait_ended(PATIENCE)?;
        }
        Ok(status)
    }

    /// The folder of the cluster: data, logs, and what `quorate up` said.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The folder that was given to `quorate up`.
    pub fn data_dir(&self) -> PathBuf {
        self.folder().join("data")
    }

    /// The description of the cluster that `quorate up` writes.
    pub fn cluster_file(&self) -> PathBuf {
        self.data_dir().join("cluster.json")
    }

    /// The first port of the cluster.
    pub fn base_port(&self) -> u16 {
        self.base_port
    }

    /// Leaves the folder behind when the cluster is dropped, as evidence.
    pub fn keep_folder(&mut self) {
        self.folder.disable_cleanup(true);
    }

    /// The ids of all nodes.
    pub fn node_ids(&self) -> Vec<u16> {
        self.nodes.keys().copied().collect()
    }

    /// What `cluster.json` says of a node.
    pub fn description(&self, id: u16) -> &NodeDescription {
        &self.node(id).description
    }

    /// The process of a node, as it was started last.
    pub fn process(&self, id: u16) -> Process {
        self.node(id).process
    }

    /// The process of `quorate up`.
    pub fn up_process(&self) -> Option<Process> {
        self.up.as_ref().map(Up::process)
    }

    /// What `quorate up` has printed so far.
    pub fn up_output(&self) -> String {
        up::output(self.folder())
    }

    /// Runs the command line against this cluster; every node is among the bootstrap addresses.
    pub fn command_line(&self) -> CommandLine {
        let addresses: Vec<_> = self
            .nodes
            .values()
            .map(|node| node.description.control_address.as_str())
            .collect();
        CommandLine::new(self.binary.clone(), addresses.join(","))
    }

    /// Runs the command line against this cluster; `id` alone is the bootstrap address.
    pub fn command_line_of(&self, id: u16) -> CommandLine {
        let address = &self.node(id).description.control_address;
        CommandLine::new(self.binary.clone(), address.clone())
    }

    /// Ends a node as a crash does: nothing is told, nothing is flushed.
    pub fn kill(&mut self, id: u16) -> Result<(), Failure> {
        let process = self.node(id).process;
        process.kill()?;
        self.wait_ended(id)
    }

    /// Ends all nodes at once, as a power failure does.
    pub fn kill_all(&mut self) -> Result<(), Failure> {
        for node in self.nodes.values() {
            node.process.kill()?;
        }
        self.node_ids()
            .into_iter()
            .try_for_each(|id| self.wait_ended(id))
    }

    /// Asks a node to stop in order, and waits until it has.
    pub fn terminate(&mut self, id: u16) -> Result<(), Failure> {
        self.node(id).process.terminate()?;
        self.wait_ended(id)
    }

    /// Stops a node in its tracks; it keeps its sockets and its memory.
    pub fn pause(&mut self, id: u16) -> Result<(), Failure> {
        self.node(id).process.pause()
    }

    /// Lets a paused node go on, which does not know that time has passed.
    pub fn resume(&mut self, id: u16) -> Result<(), Failure> {
        self.node(id).process.resume()
    }

    /// Starts a node that has ended, as a user does by hand.
    pub fn restart(&mut self, id: u16) -> Result<(), Failure> {
        let (process, child) = self.spawn_node(&self.node(id).description)?;
        let node = self
            .nodes
            .get_mut(&id)
            .expect("the node was looked up just above");
        node.process = process;
        node.child = Some(child);
        Ok(())
    }

    fn spawn_node(&self, node: &NodeDescription) -> Result<(Process, Child), Failure> {
        let NodeDescription {
            id,
            config_file,
            log_file: log,
            ..
        } = node;
        let mut command = Command::new(&self.binary);
        command.arg("node").arg("--config").arg(config_file);
        let opened = OpenOptions::new().append(true).create(true).open(log);
        let log = opened.map_err(Failure::of(format_args!("opening {}", log.display())))?;
        let errors = log
            .try_clone()
            .map_err(Failure::of("sharing the log file"))?;
        command.stdin(Stdio::null()).stdout(log).stderr(errors);
        let child = command
            .spawn()
            .map_err(Failure::of(format_args!("starting node {id}")))?;
        Ok((Process::find(child.id())?, child))
    }

    /// Whether the process of a node runs (or is paused).
    pub fn is_running(&self, id: u16) -> bool {
        self.node(id).process.is_running()
    }

    /// Lets paused nodes go on, starts those that have ended, and waits until the cluster is
    /// whole: every node alive, every partition led, every replica in step.
    pub fn heal(&mut self) -> Result<(), Failure> {
        for id in self.node_ids() {
            if self.is_running(id) {
                self.resume(id)?;
            } else {
                self.restart(id)?;
            }
        }
        self.wait_whole(PATIENCE)
    }

    /// Waits until every node is alive, every partition is led and every replica is in step.
    pub fn wait_whole(&self, patience: Duration) -> Result<(), Failure> {
        let line = self.command_line();
        wait_until("the cluster is whole", patience, || {
            let dead = self.node_ids().into_iter().find(|id| !self.is_running(*id));
            if let Some(id) = dead {
                return Err(Failure::new(format!("node {id} has ended")));
            }
            let status = line.status()?;
            if let Some(node) = status.nodes.iter().find(|node| !node.alive) {
                return Err(Failure::new(format!("node {} is held to be dead", node.id)));
            }
            for topic in line.topics()? {
                for partition in line.partitions(&topic)? {
                    partition.check_whole()?;
                }
            }
            Ok(())
        })
    }

    /// The node that leads a partition, as the cluster says.
    pub fn leader(&self, topic: &str, index: u32) -> Result<u16, Failure> {
        let partitions = self.command_line().partitions(topic)?;
        let partition = partitions
            .into_iter()
            .find(|partition| partition.index == index);
        let partition = partition
            .ok_or_else(|| Failure::new(format!("topic {topic} has no partition {index}")))?;
        Ok(partition.leader)
    }

    /// The node that is the primary of the control plane, as the cluster says.
    pub fn primary(&self) -> Result<u16, Failure> {
        self.command_line().status()?.primary()
    }

    /// The log files of all nodes, by node.
    pub fn logs(&self) -> BTreeMap<u16, String> {
        let read = |node: &Node| {
            let bytes = fs::read(&node.description.log_file).unwrap_or_default();
            String::from_utf8_lossy(&bytes).into_owned()
        };
        self.nodes
            .iter()
            .map(|(id, node)| (*id, read(node)))
            .collect()
    }

    fn node(&self, id: u16) -> &Node {
        self.nodes
            .get(&id)
            .unwrap_or_else(|| panic!("the cluster has no node {id}"))
    }

    fn wait_ended(&mut self, id: u16) -> Result<(), Failure> {
        let node = self.nodes.get_mut(&id).expect("callers have looked it up");
        node.process.wait_ended(PATIENCE)?;
        if let Some(mut child) = node.child.take() {
            child
                .wait()
                .map_err(Failure::of("collecting an ended node"))?;
        }
        Ok(())
    }

    /// Ends everything that was started. Errors are of no use here: what has ended already is
    /// what was wanted.
    fn end(&mut self) {
        for node in self.nodes.values_mut() {
            let _ = node.process.kill();
            if let Some(mut child) = node.child.take() {
                let _ = child.wait();
            }
        }
        if let Some(up) = self.up.take() {
            up.end();
        }
        // When the start failed half-way, only the file knows of the nodes.
        for node in description::read_cluster_file(&self.cluster_file()).unwrap_or_default() {
            if let Some(Ok(process)) = node.pid.map(Process::find)
                && process.runs(&node.config_file)
            {
                let _ = process.kill();
            }
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.end();
        if thread::panicking() {
            self.keep_folder();
            eprintln!(
                "data and logs of the cluster are kept in {}",
                self.folder().display()
            );
        }
    }
}
