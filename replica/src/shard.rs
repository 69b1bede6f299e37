//! A shard: one thread's share of a node's partitions, with their files and their connections.
//!
//! Nothing on the way of a record leaves the thread. The shard owns its partitions and shares no
//! state but what the control plane has published. All of its own state is in one place (`state`),
//! whose methods never wait; around it stand a few tasks that do the waiting:
//!
//! ```text
//!              frames                       what is to be done
//! connections ────────► state              ────────────────────► flusher      logs
//!                         partitions                             fact writer  facts
//!              leaders      protocol, log                        links        peers
//! metadata    ────────►     who waits      ◄──────────────────── timers
//!                                           what has happened
//! ```
//!
//! **The way of a batch.** The connection's task hands it to the state. It is checked, given its
//! offset, stamped in place and appended to the log in memory; from there the links send it to the
//! followers while the flusher writes it. All of them share the same bytes; for a large batch those
//! that came from the socket (see `kept`).
//! When enough disks have it, the protocol says so and the producer is answered.
//!
//! **What bounds memory.** Connections are read only while there is room (see `connection`),
//! records for peers are read from the log only when a link can send them (see `link_queue`), and
//! the log keeps its newest batches in memory only up to a limit.

mod activity;
mod assignment;
mod budget;
mod compaction;
mod connection;
mod damage;
mod deadlines;
mod deletion;
mod effect;
mod fact_writer;
mod fetch;
mod flusher;
mod frame_watch;
mod kept;
mod link;
mod link_queue;
mod listener;
mod lookup;
mod open_files;
mod opening;
mod partition;
mod peer_frame;
mod produce;
mod producers;
mod pulse;
mod repair;
mod request;
mod retention;
mod retiring;
mod scrubber;
mod signal;
mod space;
mod spares;
mod state;
mod status;
mod stopping;
mod tally;
mod timers;
mod waiting;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;

use futures_util::future::{Either, select};
use quorate_batch::BatchHeader;
use quorate_platform::Platform;
use quorate_vsr::NodeId;
use quorate_wire::ClusterId;

use self::budget::Budget;
use self::connection::Connection;
use self::signal::Signal;
use self::state::{Signals, State};
use crate::config::Storage;
use crate::error::NodeError;
use crate::limits::Limits;
use crate::metadata::Published;
use crate::stop::Stop;

pub(crate) use opening::known_by;
pub(crate) use space::RESERVE_BYTES;
pub use status::{ShardStatus, ShardSummary};

/// What a shard is given when it starts.
#[derive(Debug)]
pub struct Setup<P: Platform> {
    /// The node it belongs to.
    pub node: NodeId,
    /// Its place among the node's shards, from 0.
    pub index: u32,
    /// How many shards the node has.
    pub shards: u32,
    /// The cluster.
    pub cluster: ClusterId,
    /// Drawn at random when the process started.
    pub incarnation: u64,
    /// The shard's own folder; made if missing.
    pub folder: PathBuf,
    /// How records are stored.
    pub storage: Storage,
    /// How much it may hold at once.
    pub limits: Limits,
    /// Where clients and peers reach it.
    pub listener: P::Listener,
    /// What the control plane decides.
    pub metadata: Arc<Published>,
    /// Where the shard tells how it is.
    pub status: Arc<ShardStatus>,
    /// Ends the shard.
    pub stop: Stop,
}

/// What the tasks of a shard share.
struct Shard<P: Platform> {
    platform: P,
    node: NodeId,
    index: u32,
    cluster: ClusterId,
    incarnation: u64,
    folder: PathBuf,
    storage: Storage,
    metadata: Arc<Published>,
    status: Arc<ShardStatus>,
    state: RefCell<State<P>>,
    signals: Rc<Signals>,
    unflushed: Rc<Budget>,
    reading: Rc<Budget>,
    connections: RefCell<BTreeMap<u64, Rc<Connection>>>,
    next_connection: Cell<u64>,
    /// Set when the shard begins to stop: nothing new is taken up.
    closing: Stop,
    failure: RefCell<Option<NodeError>>,
    failed: Signal,
}

/// Serves the shard's partitions until it is told to stop; then everything is on stable storage.
///
/// An error means that the node has to end: storage has failed, and nothing that was written since
/// the last success may be believed.
pub async fn run<P: Platform>(platform: P, setup: Setup<P>) -> Result<(), NodeError> {
    let stop = setup.stop.clone();
    let (shard, listener) = Shard::new(platform, setup);
    let result = serve(&shard, listener, &stop).await;
    shard.end();
    result
}

async fn serve<P: Platform>(
    shard: &Rc<Shard<P>>,
    listener: P::Listener,
    stop: &Stop,
) -> Result<(), NodeError> {
    let found = opening::recover(shard).await?;
    let replicas = shard.status.summary().replicas;
    tracing::info!(shard = shard.index, replicas, "shard started");
    let platform = &shard.platform;
    platform.spawn(flusher::run(Rc::clone(shard)));
    platform.spawn(space::run(Rc::clone(shard)));
    platform.spawn(spares::run(Rc::clone(shard), found.spares));
    platform.spawn(fact_writer::run(Rc::clone(shard), found.store));
    platform.spawn(retiring::run(Rc::clone(shard)));
    platform.spawn(retention::run(Rc::clone(shard)));
    platform.spawn(compaction::run(Rc::clone(shard)));
    platform.spawn(timers::run(Rc::clone(shard)));
    platform.spawn(activity::run(Rc::clone(shard)));
    platform.spawn(pulse::run(Rc::clone(shard)));
    platform.spawn(producers::run(Rc::clone(shard)));
    platform.spawn(scrubber::run(Rc::clone(shard)));
    platform.spawn(assignment::tell_leaders(Rc::clone(shard)));
    platform.spawn(assignment::hold(Rc::clone(shard), found.leftover));
    platform.spawn(listener::run(Rc::clone(shard), listener));
    let failed = pin!(shard.failed.wait());
    let ending = pin!(async {
        stop.wait().await;
        stopping::run(shard).await;
    });
    match select(failed, ending).await {
        Either::Left(((), _)) => {}
        Either::Right(((), _)) => tracing::info!(shard = shard.index, "shard stopped"),
    }
    shard.failure.take().map_or(Ok(()), Err)
}

impl<P: Platform> Shard<P> {
    fn new(platform: P, setup: Setup<P>) -> (Rc<Self>, P::Listener) {
        let signals = Rc::new(Signals::default());
        let state = State::new(platform.clone(), &setup, Rc::clone(&signals));
        let shard = Self {
            platform,
            node: setup.node,
            index: setup.index,
            cluster: setup.cluster,
            incarnation: setup.incarnation,
            folder: setup.folder,
            storage: setup.storage,
            metadata: setup.metadata,
            status: setup.status,
            state: RefCell::new(state),
            signals,
            unflushed: Budget::new(setup.limits.unflushed_bytes_max),
            reading: Budget::new(setup.limits.reading_bytes_max),
            connections: RefCell::default(),
            next_connection: Cell::new(0),
            closing: Stop::new(),
            failure: RefCell::new(None),
            failed: Signal::default(),
        };
        (Rc::new(shard), setup.listener)
    }

    /// Ends the shard because of a failure that nothing can be done about. Nothing is answered any
    /// more: what was not durable before is now unknown.
    fn fail(&self, error: NodeError) {
        tracing::error!(shard = self.index, %error, "the shard has failed");
        self.failure.borrow_mut().get_or_insert(error);
        self.state.borrow_mut().is_over = true;
        self.failed.notify();
    }

    /// Whether nothing happens any more.
    fn is_over(&self) -> bool {
        self.state.borrow().is_over
    }

    /// Ends all tasks.
    fn end(&self) {
        self.closing.set();
        self.state.borrow_mut().end();
        self.unflushed.close();
        self.reading.close();
        for connection in self.connections.take().values() {
            connection.close();
        }
    }
}

/// The header of a batch that was checked when it came in or was read.
fn batch_header(batch: &[u8]) -> BatchHeader {
    BatchHeader::parse(batch).expect("only whole batches get into the log and out of it")
}
