use std::time::Duration;

use quorate_platform::Platform;
use quorate_wire::ClusterId;

use crate::{Consumer, ConsumerConfig, Error, Producer, ProducerConfig};

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
    /// How long a node may be silent before it is asked around whether it still leads, and
    /// before a question that any node can answer is put to a second one.
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
#[derive(Clone, Debug)]
pub struct Client<P: Platform> {
    platform: P,
}

impl<P: Platform> Client<P> {
    /// Asks the bootstrap addresses, one after the other, until one tells its cluster's metadata.
    ///
    /// Fails with [`Error::Bootstrap`], which names every address and why it failed.
    pub async fn connect(platform: P, config: ClientConfig) -> Result<Self, Error> {
        let _ = config;
        let _ = platform;
        todo!()
    }

    /// The cluster that this client talks to, and no other.
    pub fn cluster_id(&self) -> ClusterId {
        todo!()
    }

    /// A producer with an identity of its own, so that its retries are recognized.
    ///
    /// Registers that identity with the cluster, for which its control plane must be able to
    /// commit.
    pub async fn producer(&self, config: ProducerConfig) -> Result<Producer<P>, Error> {
        let _ = config;
        todo!()
    }

    /// A consumer of a topic, or of some of its partitions.
    pub async fn consumer(
        &self,
        topic: &str,
        config: ConsumerConfig,
    ) -> Result<Consumer<P>, Error> {
        let _ = (topic, config);
        todo!()
    }
}
