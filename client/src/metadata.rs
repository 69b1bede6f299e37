//! What the client knows of the cluster, and how it learns more.
//!
//! Any node answers a metadata request, and nodes hear of changes at different times. So answers
//! are merged by version and never taken back: a partition's leader is only ever replaced by that
//! of a later epoch. A question goes to one node; if that one is silent for a moment it goes to the
//! next as well, and the first answer counts, so that a frozen node holds nobody up.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{FuturesUnordered, StreamExt};
use futures_util::{FutureExt, select_biased};
use quorate_platform::{Instant, Platform};
use quorate_wire::{ClusterId, ClusterMetadata, Code, Consistency, NodeInfo, Request, Response};
use quorate_wire::{PartitionInfo, Refusal, TopicInfo};

use crate::backoff::Backoff;
use crate::pool::{Pool, Use};
use crate::signal::{Signal, Slot};
use crate::{Certainty, ClientConfig, Error};

/// The shortest time between two refreshes that nobody waits for.
const REFRESH_INTERVAL: Duration = Duration::from_millis(100);

/// A refresh under way, and what comes of it.
type Refresh = Rc<Slot<Result<(), Error>>>;

/// The client's picture of the cluster.
pub(crate) struct Metadata<P> {
    platform: P,
    pool: Rc<Pool<P>>,
    cluster: Rc<Cell<ClusterId>>,
    request_timeout: Duration,
    operation_timeout: Duration,
    suspicion_timeout: Duration,
    bootstrap: Vec<SocketAddr>,
    known: RefCell<Known>,
    refreshing: RefCell<Option<Refresh>>,
    refreshed_at: Cell<Option<Instant>>,
    changed: Signal,
}

#[derive(Default)]
struct Known {
    version: u64,
    primary: u16,
    nodes: Vec<NodeInfo>,
    /// The topics that this client uses.
    topics: BTreeMap<String, Rc<TopicInfo>>,
    /// Whom to ask first: it answered last, or it was named as the one who knows.
    preferred: Option<SocketAddr>,
}

/// Who leads a partition, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Leader {
    pub(crate) partition: u64,
    pub(crate) node: u16,
    pub(crate) epoch: u32,
}

impl<P: Platform> Metadata<P> {
    pub(crate) fn new(
        platform: P,
        pool: Rc<Pool<P>>,
        cluster: Rc<Cell<ClusterId>>,
        config: &ClientConfig,
        bootstrap: Vec<SocketAddr>,
    ) -> Rc<Self> {
        Rc::new(Self {
            platform,
            pool,
            cluster,
            request_timeout: config.request_timeout,
            operation_timeout: config.operation_timeout,
            suspicion_timeout: config.suspicion_timeout,
            bootstrap,
            known: RefCell::default(),
            refreshing: RefCell::default(),
            refreshed_at: Cell::default(),
            changed: Signal::default(),
        })
    }

    /// Asks one address, and keeps what it says.
    pub(crate) async fn ask(
        &self,
        address: SocketAddr,
        topics: Option<Vec<String>>,
        consistency: Consistency,
    ) -> Result<ClusterMetadata, Error> {
        let connection = self.pool.get(address, Use::Call).await?;
        let deadline = self.platform.now() + self.request_timeout;
        let request = Request::Metadata {
            topics: topics.clone(),
            consistency,
        };
        let answer = connection.request(&request, Bytes::new(), deadline).await?;
        let metadata = match answer.response {
            Response::Metadata(metadata) => metadata,
            Response::Refused(refusal) => {
                return Err(Error::Refused {
                    what: "reading the metadata".to_owned(),
                    refusal,
                });
            }
            other => return Err(Error::unexpected(address, &other)),
        };
        self.learn(address, topics.as_deref(), &metadata)?;
        Ok(metadata)
    }

    /// Keeps what a node of this cluster has said when it was asked for `topics`.
    pub(crate) fn learn(
        &self,
        address: SocketAddr,
        topics: Option<&[String]>,
        metadata: &ClusterMetadata,
    ) -> Result<(), Error> {
        let found = metadata.cluster_id();
        match self.cluster.get() {
            ClusterId::UNKNOWN => self.cluster.set(found),
            expected if expected != found => {
                return Err(Error::ForeignCluster {
                    address,
                    expected,
                    found,
                });
            }
            _ => {}
        }
        self.merge(address, topics, metadata);
        Ok(())
    }

    /// Asks the nodes, one and then others, until the first answer of one that knows any node.
    ///
    /// One that knows of nobody has not heard of the cluster yet, or has lost its disk and waits to
    /// be taken back. What it says counts only if nobody says more.
    pub(crate) async fn ask_around(
        &self,
        topics: Option<Vec<String>>,
    ) -> Result<ClusterMetadata, Error> {
        let mut candidates = self.candidates().into_iter().peekable();
        let mut asked = FuturesUnordered::new();
        let mut failures = Vec::new();
        let mut blank = None;
        loop {
            if let Some(address) = candidates.next() {
                let answer = self.ask(address, topics.clone(), Consistency::AsKnown);
                asked.push(answer.map(move |answer| (address, answer)));
            } else if asked.is_empty() {
                return blank.ok_or(Error::Bootstrap { failures });
            }
            let patience = match candidates.peek() {
                Some(_) => self.suspicion_timeout,
                None => self.request_timeout,
            };
            let mut silence = std::pin::pin!(self.platform.sleep(patience).fuse());
            select_biased! {
                (address, answer) = asked.select_next_some() => match answer {
                    Ok(metadata) if metadata.nodes.is_empty() => blank = Some(metadata),
                    Ok(metadata) => return Ok(metadata),
                    Err(error) => failures.push((address.to_string(), error)),
                },
                () = silence => {}
            }
        }
    }

    /// Asks for the topics in use. All who call this meanwhile share one answer.
    pub(crate) async fn refresh(self: &Rc<Self>) -> Result<(), Error> {
        self.start_refresh().share().await
    }

    /// Like [`Metadata::refresh`], without waiting, and not more often than is useful.
    pub(crate) fn refresh_soon(self: &Rc<Self>) {
        let now = self.platform.now();
        let is_recent = |at: Instant| now.since(at) < REFRESH_INTERVAL;
        if !self.refreshed_at.get().is_some_and(is_recent) {
            self.start_refresh();
        }
    }

    fn start_refresh(self: &Rc<Self>) -> Refresh {
        if let Some(refreshing) = &*self.refreshing.borrow() {
            return refreshing.clone();
        }
        self.refreshed_at.set(Some(self.platform.now()));
        let slot = Rc::new(Slot::new());
        *self.refreshing.borrow_mut() = Some(slot.clone());
        let (metadata, result) = (self.clone(), slot.clone());
        self.platform.spawn(async move {
            let topics = metadata.known.borrow().topics.keys().cloned().collect();
            let answer = metadata.ask_around(Some(topics)).await;
            *metadata.refreshing.borrow_mut() = None;
            result.fill(answer.map(|_| ()));
        });
        slot
    }

    /// The topic of that name, known already or asked for.
    pub(crate) async fn topic(&self, name: &str) -> Result<Rc<TopicInfo>, Error> {
        if let Some(topic) = self.known_topic(name) {
            return Ok(topic);
        }
        let topics = Some(vec![name.to_owned()]);
        let ask = || self.ask_around(topics.clone());
        let metadata = self.while_starting(ask).await?;
        if self.is_outdated(&metadata) || metadata.topic(name).is_err() {
            // A node that has not yet heard of a new topic is not the one to deny it, nor to take
            // one for it that was deleted under the same name.
            return self.topic_at_primary(name).await;
        }
        self.use_topic(&metadata, name)
    }

    /// The topic as the primary knows it; if the primary does not answer, whoever does and knows no
    /// less than this client stands in.
    pub(crate) async fn topic_at_primary(&self, name: &str) -> Result<Rc<TopicInfo>, Error> {
        let topics = Some(vec![name.to_owned()]);
        let ask = || async {
            let metadata = self.ask_primary(topics.clone()).await?;
            match self.is_outdated(&metadata) {
                true => Err(outdated(name)),
                false => Ok(metadata),
            }
        };
        let metadata = self.while_starting(ask).await?;
        self.use_topic(&metadata, name)
    }

    /// Whether whoever said this has not heard of what this client knows.
    fn is_outdated(&self, metadata: &ClusterMetadata) -> bool {
        metadata.version < self.known.borrow().version
    }

    /// Everything, as the primary knows it; whoever answers stands in if the primary does not.
    pub(crate) async fn all_at_primary(&self) -> Result<ClusterMetadata, Error> {
        self.while_starting(|| self.ask_primary(None)).await
    }

    /// Asks again, for as long as an operation may take, while the nodes answer that they do not
    /// know themselves: so do those that have just been started, until they hear of the others. The
    /// same goes for those of which it is known here that others know more.
    async fn while_starting<F>(&self, ask: impl Fn() -> F) -> Result<ClusterMetadata, Error>
    where
        F: Future<Output = Result<ClusterMetadata, Error>>,
    {
        let after = self.operation_timeout;
        let deadline = self.platform.now() + after;
        let mut backoff = Backoff::new();
        loop {
            let error = match ask().await {
                Err(error) if is_starting(&error) => error,
                answer => return answer,
            };
            let left = deadline.since(self.platform.now());
            if left.is_zero() {
                return Err(Error::Deadline {
                    what: "reading the metadata".to_owned(),
                    after,
                    certainty: Certainty::Definite,
                    last: Some(Box::new(error)),
                });
            }
            let pause = backoff.next_pause(&self.platform).min(left);
            self.platform.sleep(pause).await;
        }
    }

    async fn ask_primary(&self, topics: Option<Vec<String>>) -> Result<ClusterMetadata, Error> {
        if let Some(primary) = self.primary_address() {
            let answer = self.ask(primary, topics.clone(), Consistency::Linearizable);
            if let Ok(Ok(metadata)) = self.platform.timeout(self.suspicion_timeout, answer).await {
                return Ok(metadata);
            }
        }
        self.ask_around(topics).await
    }

    pub(crate) fn known_topic(&self, name: &str) -> Option<Rc<TopicInfo>> {
        self.known.borrow().topics.get(name).cloned()
    }

    /// Who leads the partition, as far as this client knows.
    pub(crate) fn leader(&self, topic: &str, index: u32) -> Option<Leader> {
        let topic = self.known_topic(topic)?;
        let partition = topic.partition(index).ok()?;
        let (partition, node, epoch) = (partition.id, partition.leader, partition.epoch);
        Some(Leader {
            partition,
            node,
            epoch,
        })
    }

    /// Waits until somebody else than `leader` is known to lead, or the partition is gone.
    pub(crate) async fn leader_other_than(&self, topic: &str, index: u32, leader: &Leader) {
        let is_other = || (self.leader(topic, index).as_ref() != Some(leader)).then_some(());
        self.changed.wait_until(is_other).await;
    }

    /// Where `node` serves that partition.
    pub(crate) fn shard_address(&self, node: u16, partition: u64) -> Result<SocketAddr, Error> {
        let known = self.known.borrow();
        let info = known.nodes.iter().find(|info| info.id == node);
        let address = info.and_then(|info| info.address_of(partition));
        address
            .and_then(|address| address.parse().ok())
            .ok_or_else(|| Error::NoRoute {
                what: format!("looking for partition {partition}"),
                reason: format!("the addresses of node-{node} are not known yet"),
            })
    }

    /// The control address of the primary, as far as this client knows.
    pub(crate) fn primary_address(&self) -> Option<SocketAddr> {
        let known = self.known.borrow();
        let primary = known.nodes.iter().find(|node| node.id == known.primary)?;
        primary.control_address.parse().ok()
    }

    /// Asks `address` first from now on: it was named as the one who knows more.
    pub(crate) fn prefer(&self, address: Option<&str>) {
        if let Some(address) = address.and_then(|address| address.parse().ok()) {
            self.known.borrow_mut().preferred = Some(address);
        }
    }

    fn use_topic(&self, metadata: &ClusterMetadata, name: &str) -> Result<Rc<TopicInfo>, Error> {
        let told = metadata.topic(name).map_err(|refusal| {
            let what = format!("topic \"{}\"", name.escape_debug());
            Error::Refused { what, refusal }
        })?;
        let mut known = self.known.borrow_mut();
        let topic = known.topics.entry(name.to_owned());
        Ok(topic.or_insert_with(|| Rc::new(told.clone())).clone())
    }

    fn merge(&self, address: SocketAddr, asked: Option<&[String]>, metadata: &ClusterMetadata) {
        let mut known = self.known.borrow_mut();
        if metadata.version < known.version {
            known.preferred = known.preferred.filter(|preferred| *preferred != address);
            return;
        }
        // Who tells nothing new is not asked first again: it may be cut off from the other nodes,
        // and would go on telling the same.
        let is_news = metadata.version > known.version;
        known.preferred = is_news.then_some(address);
        known.version = metadata.version;
        known.primary = metadata.primary;
        known.nodes.clone_from(&metadata.nodes);
        // A node that knows at least as much as this client and does not name a topic that it was
        // asked for says by that that the topic is gone.
        known.topics.retain(|name, topic| {
            let was_asked_for = asked.is_none_or(|asked| asked.contains(name));
            match metadata.topic(name) {
                Ok(told) => *topic = Rc::new(merge_topic(topic, told)),
                Err(_) if was_asked_for => return false,
                Err(_) => {}
            }
            true
        });
        drop(known);
        self.changed.notify();
    }

    /// All addresses to ask: the preferred one, then those of the nodes that are held to be alive,
    /// beginning at a random one, then the rest.
    fn candidates(&self) -> Vec<SocketAddr> {
        let known = self.known.borrow();
        let control = |alive: bool| {
            let nodes = known.nodes.iter().filter(move |node| node.alive == alive);
            nodes
                .filter_map(|node| node.control_address.parse().ok())
                .collect::<Vec<_>>()
        };
        let mut alive = control(true);
        if !alive.is_empty() {
            let start = self.platform.random() % alive.len() as u64;
            alive.rotate_left(start as usize);
        }
        let mut seen = BTreeSet::new();
        let all = known
            .preferred
            .into_iter()
            .chain(alive)
            .chain(control(false));
        all.chain(self.bootstrap.iter().copied())
            .filter(|address| seen.insert(*address))
            .collect()
    }
}

/// Whether a node was among those asked that does not know yet what it will know soon.
fn is_starting(error: &Error) -> bool {
    let is_unavailable = |error: &Error| match error {
        Error::Refused { refusal, .. } => refusal.code == Code::Unavailable,
        _ => false,
    };
    match error {
        Error::Bootstrap { failures } => failures.iter().any(|(_, error)| is_unavailable(error)),
        error => is_unavailable(error),
    }
}

/// Nobody answers who knows as much of this topic as this client does of the cluster.
fn outdated(name: &str) -> Error {
    let what = format!("topic \"{}\"", name.escape_debug());
    let detail = "the nodes that answer have not heard yet of what others have said";
    Error::Refused {
        what,
        refusal: Refusal::new(Code::Unavailable, detail),
    }
}

/// What is told of a topic, except where an earlier answer knew a later epoch.
fn merge_topic(known: &TopicInfo, told: &TopicInfo) -> TopicInfo {
    let newer = |told: &PartitionInfo| {
        let known = known.partitions.iter().find(|known| known.id == told.id);
        known
            .filter(|known| known.epoch > told.epoch)
            .unwrap_or(told)
            .clone()
    };
    let partitions = told.partitions.iter().map(newer).collect();
    TopicInfo {
        name: told.name.clone(),
        retention: told.retention,
        compaction: told.compaction,
        partitions,
    }
}

impl<P> std::fmt::Debug for Metadata<P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Metadata")
            .field("version", &self.known.borrow().version)
            .finish()
    }
}
