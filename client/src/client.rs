use std::cell::Cell;
use std::net::{SocketAddr, ToSocketAddrs};
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use quorate_platform::{Instant, Platform};
use quorate_wire::{ClusterId, Request};

use crate::backoff::Backoff;
use crate::connection::Answer;
use crate::metadata::Metadata;
use crate::pool::{Pool, Use};
use crate::session::Sessions;
use crate::{Certainty, Consumer, ConsumerConfig, Error, Producer, ProducerConfig};

/// How a [`Client`] finds its cluster, and how patient it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientConfig {
    /// Nodes to start from, each `HOST:PORT`; one that answers is enough.
    pub bootstrap: Vec<String>,
    /// How long to wait for a connection to come about.
    pub connect_timeout: Duration,
    /// How long a node may leave a request unanswered before its connection is given up.
    pub request_timeout: Duration,
    /// How long an operation is retried before it fails ([`Error::Deadline`]).
    pub operation_timeout: Duration,
    /// How long a node may be silent before others are asked: whether it still leads, or what it
    /// was asked itself if anyone can answer that.
    pub suspicion_timeout: Duration,
}

impl ClientConfig {
    /// The default patience, and these bootstrap addresses.
    pub fn new<A: Into<String>>(bootstrap: impl IntoIterator<Item = A>) -> Self {
        Self {
            bootstrap: bootstrap.into_iter().map(Into::into).collect(),
            connect_timeout: Duration::from_secs(2),
            request_timeout: Duration::from_secs(10),
            operation_timeout: Duration::from_secs(15),
            suspicion_timeout: Duration::from_millis(400),
        }
    }
}

/// A way into one cluster. Clones share connections and metadata; the last one closes them.
pub struct Client<P: Platform> {
    pub(crate) inner: Rc<Inner<P>>,
}

pub(crate) struct Inner<P: Platform> {
    pub(crate) platform: P,
    pub(crate) config: ClientConfig,
    pub(crate) cluster: Rc<Cell<ClusterId>>,
    pub(crate) pool: Rc<Pool<P>>,
    pub(crate) metadata: Rc<Metadata<P>>,
    pub(crate) sessions: Sessions,
}

impl<P: Platform> Client<P> {
    /// Asks the bootstrap addresses, in their order, until one tells its cluster's metadata. A
    /// silent one holds the next up only for [`ClientConfig::suspicion_timeout`].
    ///
    /// Fails with [`Error::Bootstrap`], which names every address and why it failed.
    pub async fn connect(platform: P, config: ClientConfig) -> Result<Self, Error> {
        if config.bootstrap.is_empty() {
            let reason = "name at least one node as HOST:PORT".to_owned();
            return Err(Error::Config {
                setting: "bootstrap",
                reason,
            });
        }
        let (mut addresses, mut unresolved) = (Vec::new(), Vec::new());
        for host in &config.bootstrap {
            match resolve(host) {
                Ok(resolved) => addresses.extend(resolved),
                Err(error) => unresolved.push((host.clone(), error)),
            }
        }
        let cluster = Rc::new(Cell::new(ClusterId::UNKNOWN));
        let pool = Pool::new(platform.clone(), cluster.clone(), config.connect_timeout);
        let metadata = Metadata::new(
            platform.clone(),
            pool.clone(),
            cluster.clone(),
            &config,
            addresses,
        );
        match metadata.ask_around(Some(Vec::new())).await {
            Ok(_) => {}
            Err(Error::Bootstrap { failures }) => {
                unresolved.extend(failures);
                return Err(Error::Bootstrap {
                    failures: unresolved,
                });
            }
            Err(error) => return Err(error),
        }
        let sessions = Sessions::default();
        let inner = Inner {
            platform,
            config,
            cluster,
            pool,
            metadata,
            sessions,
        };
        Ok(Self {
            inner: Rc::new(inner),
        })
    }

    /// The cluster that this client talks to, and no other.
    pub fn cluster_id(&self) -> ClusterId {
        self.inner.cluster.get()
    }

    /// A producer with an identity of its own, so that its retries are recognized.
    ///
    /// Registers that identity with the cluster, for which its control plane must be able to
    /// commit.
    pub async fn producer(&self, config: ProducerConfig) -> Result<Producer<P>, Error> {
        Producer::open(self.clone(), config).await
    }

    /// A consumer of a topic, or of some of its partitions.
    ///
    /// Finds out where to start before it returns, so "the end" is the end as of this call.
    pub async fn consumer(
        &self,
        topic: &str,
        config: ConsumerConfig,
    ) -> Result<Consumer<P>, Error> {
        Consumer::open(self.clone(), topic, config).await
    }
}

impl<P: Platform> Inner<P> {
    /// One question, one answer; no retry. A try that takes too long is abandoned, though its
    /// connection stays while others may get their answers.
    pub(crate) async fn call(
        &self,
        address: SocketAddr,
        request: &Request,
        payload: Bytes,
    ) -> Result<Answer, Error> {
        let connection = self.pool.get(address, Use::Call).await?;
        connection.room().await;
        let deadline = self.platform.now() + self.config.request_timeout;
        let answer = connection.request(request, payload, deadline);
        // A question may be put again, so it is better put elsewhere than waited for.
        let after = (self.config.suspicion_timeout * 4).min(self.config.request_timeout);
        match self.platform.timeout(after, answer).await {
            Ok(answer) => answer,
            Err(_) => Err(Error::Silent { address, after }),
        }
    }
}

impl<P: Platform> Clone for Client<P> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
        }
    }
}

impl<P: Platform> Inner<P> {
    /// Fails once the time is over of an operation that began at `started` and changes nothing.
    pub(crate) fn check_deadline(
        &self,
        started: Instant,
        last: Option<Error>,
        what: impl FnOnce() -> String,
    ) -> Result<(), Error> {
        let after = self.config.operation_timeout;
        if self.platform.now().since(started) < after {
            return Ok(());
        }
        Err(Error::Deadline {
            what: what(),
            after,
            certainty: Certainty::Definite,
            last: last.map(Box::new),
        })
    }

    /// Waits before another try, and learns meanwhile who leads. If nobody answers, that try says
    /// so.
    pub(crate) async fn before_next_try(&self, backoff: &mut Backoff) {
        let pause = backoff.next_pause(&self.platform);
        self.platform.sleep(pause).await;
        let _ = self.metadata.refresh().await;
    }
}

impl<P: Platform> std::fmt::Debug for Client<P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client")
            .field("cluster", &self.inner.cluster.get())
            .finish()
    }
}

fn resolve(host: &str) -> Result<Vec<SocketAddr>, Error> {
    let failure = |reason: String| Error::Resolve {
        host: host.to_owned(),
        reason,
    };
    let addresses: Vec<_> = host
        .to_socket_addrs()
        .map_err(|e| failure(e.to_string()))?
        .collect();
    if addresses.is_empty() {
        return Err(failure(
            "the resolver knows the name, but no address of it".to_owned(),
        ));
    }
    Ok(addresses)
}
