//! One node of a simulated cluster: the whole of it on one host.

use std::cell::{Cell, RefCell};
use std::future::pending;
use std::io;
use std::rc::Rc;

use quorate_platform::Disk;
use quorate_replica::config::Config;
use quorate_replica::limits::Limits;
use quorate_replica::node;
use quorate_replica::stop::Stop;

use super::disk::SimDisk;
use super::platform::{Host, SimPlatform};
use super::tasks::Guarded;

/// A node and its host, over all its starts.
#[derive(Debug)]
pub(super) struct SimNode {
    pub(super) host: Rc<Host>,
    pub(super) config: Config,
    limits: Limits,
    seed: u64,
    starts: Cell<u32>,
    /// Whether the host runs the node when it is started.
    pub(super) is_on: Cell<bool>,
    /// Whether the node founds the cluster, as long as its disk holds nothing.
    founds: Cell<bool>,
    stop: RefCell<Stop>,
    /// How the node ended by itself, until it is taken note of.
    ended: RefCell<Option<Result<(), String>>>,
}

impl SimNode {
    pub(super) fn new(
        host: Rc<Host>,
        config: Config,
        limits: Limits,
        seed: u64,
        founds: bool,
    ) -> Self {
        Self {
            host,
            config,
            limits,
            seed,
            starts: Cell::new(0),
            is_on: Cell::new(founds),
            founds: Cell::new(founds),
            stop: RefCell::default(),
            ended: RefCell::default(),
        }
    }

    /// What the host runs from its start to its crash.
    pub(super) async fn live(self: Rc<Self>) -> turmoil::Result {
        if self.is_on.get() {
            let start = self.starts.replace(self.starts.get() + 1);
            let platform = SimPlatform::begin(Rc::clone(&self.host), self.seed, start);
            let task = Box::pin(Rc::clone(&self).run(platform.clone()));
            Guarded { platform, task }.await;
        }
        // The end of the host's software would leave its other tasks behind; a crash takes them.
        pending().await
    }

    async fn run(self: Rc<Self>, platform: SimPlatform) {
        let stop = Stop::new();
        self.stop.replace(stop.clone());
        let founds = self.founds.get() && self.holds_nothing(&platform).await;
        let how = if founds { ", founds the cluster" } else { "" };
        platform.note(format!("starts{how}"));
        let config = self.config.clone();
        let limits = self.limits.clone();
        let result = node::run_within(platform.clone(), config, limits, founds, stop).await;
        let result = result.map_err(|error| error.to_string());
        match &result {
            Ok(()) => platform.note("ended in order"),
            Err(error) => platform.note(format!("ended: {error}")),
        }
        self.ended.replace(Some(result));
    }

    /// Whether the node has never told anybody of anything: it makes all of that durable first.
    async fn holds_nothing(&self, platform: &SimPlatform) -> bool {
        match platform.list(&self.config.data_dir).await {
            Ok(entries) => !entries.iter().any(|entry| entry.is_folder),
            Err(error) => error.kind() == io::ErrorKind::NotFound,
        }
    }

    /// Asks the node to end in order.
    pub(super) fn stop(&self) {
        self.stop.borrow().set();
    }

    pub(super) fn take_ended(&self) -> Option<Result<(), String>> {
        self.ended.take()
    }

    /// Gives the node an empty disk, as after the loss of the old one.
    pub(super) fn replace_disk(&self, disk: SimDisk) {
        self.founds.set(false);
        self.host.disk.replace(disk);
    }
}
