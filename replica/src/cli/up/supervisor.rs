use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use quorate_platform::{Compio, Instant, Tasks as _};
use quorate_wire::{ClusterMetadata, Role};
use rustix::process::Signal;

use super::Up;
use super::child::{self, Child};
use super::cluster_file::ClusterFile;
use super::folder::Folder;
use super::probe::{Probe, Report};
use super::sight::Sight;
use super::view::View;
use crate::cli::{Failure, Global, output, signals};

/// How long a node may take to stop before it is killed.
const STOP_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a node that has died stays dead, so that one which dies at once does not keep the
/// machine busy.
const RESTART_PAUSE: Duration = Duration::from_secs(1);

/// Starts the nodes, watches them, and stops them.
#[derive(Debug)]
pub(super) struct Supervisor<'a> {
    folder: Folder,
    cluster: ClusterFile,
    up: &'a Up,
    global: &'a Global,
    children: BTreeMap<u16, Child>,
    sights: BTreeMap<u16, Sight>,
    restarts: BTreeMap<u16, Instant>,
}

enum Event {
    Signal(Signal),
    Report(Box<Report>),
}

impl<'a> Supervisor<'a> {
    pub(super) fn new(
        folder: Folder,
        cluster: ClusterFile,
        up: &'a Up,
        global: &'a Global,
    ) -> Self {
        let (children, sights, restarts) = Default::default();
        Self {
            folder,
            cluster,
            up,
            global,
            children,
            sights,
            restarts,
        }
    }

    /// Runs the cluster until a signal ends it; with `founds` it is a new one.
    pub(super) async fn run(mut self, founds: bool) -> Result<(), Failure> {
        let (sender, events) = flume::unbounded();
        listen_for_signals(&sender);
        let is_ready = Rc::new(Cell::new(false));
        let outcome = match self.start(founds) {
            Ok(()) => {
                self.probe(&sender, &is_ready);
                self.serve(&events, &is_ready).await
            }
            Err(failure) => Err(failure),
        };
        let stopped = self.stop(&events).await;
        outcome.and(stopped)
    }

    fn start(&mut self, founds: bool) -> Result<(), Failure> {
        self.cluster.pid = Some(std::process::id());
        for id in 1..=self.cluster.node_count() {
            self.start_node(id, founds)?;
        }
        self.record();
        Ok(())
    }

    /// Brings `cluster.json` up to date.
    ///
    /// That it cannot be written, for the disk is full, is no reason to end nodes that run: they
    /// serve what they have.
    fn record(&self) {
        if let Err(failure) = self.folder.update(&self.cluster) {
            tracing::warn!("{failure}. The cluster goes on; what that file says is not up to date");
        }
    }

    fn start_node(&mut self, id: u16, founds: bool) -> Result<(), Failure> {
        let entry = &mut self.cluster.nodes[usize::from(id) - 1];
        let child = Child::start(entry, founds, self.global)?;
        entry.pid = Some(child.pid());
        self.sights
            .insert(id, Sight::started(id, child.pid(), Compio.now()));
        self.children.insert(id, child);
        Ok(())
    }

    fn probe(&self, events: &flume::Sender<Event>, is_ready: &Rc<Cell<bool>>) {
        let Ok(cluster) = self.cluster.cluster_id() else {
            return;
        };
        for node in &self.cluster.nodes {
            let probe = Probe::new(node.id, cluster, node.control_address, Rc::clone(is_ready));
            let events = events.clone();
            Compio.spawn(
                probe.run(move |report| events.send(Event::Report(Box::new(report))).is_ok()),
            );
        }
    }

    /// Waits for the cluster, then shows it, until SIGINT or SIGTERM.
    async fn serve(
        &mut self,
        events: &flume::Receiver<Event>,
        is_ready: &Cell<bool>,
    ) -> Result<(), Failure> {
        let deadline = Compio.now() + self.up.ready_timeout;
        let mut view = View::new();
        let mut missing = "no node has answered yet".to_owned();
        // The probes report all the time, dead nodes too, so the loop needs no clock of its own.
        while let Ok(event) = events.recv_async().await {
            let ended = self.reap();
            match event {
                Event::Signal(Signal::CHILD) => {}
                Event::Signal(_) => break,
                Event::Report(report) => {
                    let metadata = self.take(*report);
                    if let Some(metadata) = metadata.filter(|_| !is_ready.get()) {
                        match self.check_ready(&metadata) {
                            Ok(()) => {
                                is_ready.set(true);
                                output::print(&format!(
                                    "ready bootstrap={}",
                                    self.cluster.bootstrap
                                ))?;
                            }
                            Err(problem) => missing = problem,
                        }
                    }
                }
            }
            if is_ready.get() {
                self.restart_dead()?;
                view.show(&self.sights);
            } else if let Some(failure) = ended {
                return Err(failure);
            } else if Compio.now() > deadline {
                return Err(Failure::failed(format!(
                    "the cluster was not ready within {:?}: {missing}; see the logs of its nodes, \
                     such as {}",
                    self.up.ready_timeout,
                    self.cluster.nodes[0].log_file.display()
                )));
            }
        }
        view.close();
        Ok(())
    }

    /// Notices which children have ended; tells of one of them.
    fn reap(&mut self) -> Option<Failure> {
        let now = Compio.now();
        let mut failure = None;
        let mut ended = Vec::new();
        for (id, child) in &mut self.children {
            let Some(status) = child.ended() else {
                continue;
            };
            ended.push(*id);
            let how = child::ending(status);
            failure = Some(Failure::failed(format!(
                "node {id} has ended ({how}) before the cluster was ready; {}",
                child.log_tail()
            )));
            if let Some(sight) = self.sights.get_mut(id) {
                sight.on_end(how, now);
            }
            if self.up.restart {
                self.restarts.insert(*id, now + RESTART_PAUSE);
            }
        }
        for id in &ended {
            self.children.remove(id);
            self.cluster.nodes[usize::from(*id) - 1].pid = None;
        }
        if !ended.is_empty() {
            self.record();
        }
        failure
    }

    fn take(&mut self, report: Report) -> Option<ClusterMetadata> {
        let sight = self.sights.get_mut(&report.node)?;
        let (status, metadata) = match report.answer {
            Some(answer) => (Some(answer.status), answer.metadata),
            None => (None, None),
        };
        sight.on_answer(status, Compio.now());
        metadata
    }

    /// Whether the cluster takes writes; the error says what it still lacks.
    fn check_ready(&self, metadata: &ClusterMetadata) -> Result<(), String> {
        let statuses: Vec<_> = self.sights.values().filter_map(Sight::status).collect();
        if let Some(silent) = self.sights.values().find(|sight| sight.status().is_none()) {
            return Err(format!("node {} has not answered yet", silent.id()));
        }
        if metadata.members.is_empty() {
            return Err("the cluster is not founded yet".to_owned());
        }
        for status in &statuses {
            // Who has left the cluster, or lost its disk, does not join by itself.
            let member = metadata.member(status.node);
            let is_whole = member.is_some_and(|it| it.disk.is_none_or(|it| it == status.disk));
            let is_alive = metadata.node(status.node).is_some_and(|node| node.alive);
            if is_whole && !is_alive {
                return Err(format!("node {} has not joined yet", status.node));
            }
        }
        // Nodes that were added are not among ours, and may have anything.
        let is_ours = |id: u16| self.sights.contains_key(&id);
        let has_primary = statuses.iter().any(|it| it.role == Role::Primary);
        if !has_primary && is_ours(metadata.primary) {
            return Err("the control plane has no primary yet".to_owned());
        }
        let partitions = metadata.topics.iter().flat_map(|topic| &topic.partitions);
        let partitions = partitions.filter(|it| is_ours(it.leader)).count();
        let open: u64 = statuses
            .iter()
            .map(|status| u64::from(status.leaderships))
            .sum();
        if open < partitions as u64 {
            return Err(format!(
                "{open} of {partitions} partitions have an open leader"
            ));
        }
        Ok(())
    }

    fn restart_dead(&mut self) -> Result<(), Failure> {
        let now = Compio.now();
        let due: Vec<u16> = self
            .restarts
            .iter()
            .filter(|(_, at)| **at <= now)
            .map(|(id, _)| *id)
            .collect();
        for id in &due {
            self.restarts.remove(id);
            // Somebody may have been quicker, by hand.
            if self
                .sights
                .get(id)
                .is_some_and(|sight| sight.status().is_none())
            {
                self.start_node(*id, false)?;
            }
        }
        if !due.is_empty() {
            self.record();
        }
        Ok(())
    }

    /// Stops every child: by SIGTERM, and by SIGKILL on a second signal or when it takes too long.
    async fn stop(&mut self, events: &flume::Receiver<Event>) -> Result<(), Failure> {
        self.signal_all(Signal::TERM);
        let deadline = Compio.now() + STOP_TIMEOUT;
        let mut killed = None;
        self.reap();
        while !self.children.is_empty() {
            let left = deadline - Compio.now();
            let asked = match Compio.timeout(left, events.recv_async()).await {
                Ok(Ok(Event::Signal(signal))) if signal != Signal::CHILD => Some("a second signal"),
                Ok(Ok(_)) => None,
                Ok(Err(_)) | Err(_) => Some("they did not stop in time"),
            };
            if let Some(why) = asked.filter(|_| killed.is_none()) {
                killed = Some(why);
                self.signal_all(Signal::KILL);
            }
            self.reap();
        }
        self.cluster.pid = None;
        self.folder.update(&self.cluster)?;
        match killed {
            None => Ok(()),
            Some(why) => Err(Failure::failed(format!("nodes had to be killed: {why}"))),
        }
    }

    fn signal_all(&self, signal: Signal) {
        for child in self.children.values() {
            child.signal(signal);
        }
    }
}

fn listen_for_signals(events: &flume::Sender<Event>) {
    let (sender, heard) = flume::unbounded();
    for signal in [Signal::INT, Signal::TERM, Signal::CHILD] {
        signals::listen(signal, sender.clone());
    }
    let events = events.clone();
    Compio.spawn(async move {
        while let Ok(signal) = heard.recv_async().await {
            if events.send(Event::Signal(signal)).is_err() {
                break;
            }
        }
    });
}
