//! Clients at work: they write, read and administer, and note what they were told.
//!
//! Every client is a task on the platform that it is given, with a [`Client`] of its own, so that
//! the same workload runs in a simulation and against real nodes. Everything that is drawn at
//! random comes from one seed.
//!
//! - [`produce`] writes values that name themselves. After a doubt the writer dies, and a new one
//!   with a new identity follows.
//! - [`consume`] reads: from the beginning, from somewhere, from the end; to the end and on.
//! - [`administer`] creates and deletes topics, and deletes records.
//! - [`members`] has nodes come and go, moves partitions between them, and gives up lost disks.
//! - [`settle`] looks, once all is healed, whether everything can be written and read again.
//!
//! What happened stands in the [`Ledger`], for the judges.

pub mod administer;
pub mod consume;
mod ledger;
pub mod members;
pub mod produce;
mod record;
pub mod settle;
mod target;

use std::future::Future;
use std::rc::Rc;
use std::time::Duration;

use quorate_client::{Client, ClientConfig, Code, Error, Platform};
use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};

pub use ledger::{Ledger, Seen, Tally};
pub use target::{Fate, Target, Topic};

use quorate_client::Compaction;

/// Between two tries to reach the cluster.
const CONNECT_PAUSE: Duration = Duration::from_millis(200);
/// No operation of a client takes longer, whatever is broken: they all have deadlines.
pub const HANGS_AFTER: Duration = Duration::from_secs(180);

/// The clients of a run, and how they reach the cluster.
#[derive(Debug)]
pub struct Workload<P: Platform> {
    desk: Desk<P>,
    random: ChaCha8Rng,
    /// Disconnected once all tasks have ended.
    ended: (flume::Sender<()>, flume::Receiver<()>),
}

/// What every client has in front of it.
#[derive(Clone, Debug)]
pub struct Desk<P: Platform> {
    /// The platform that the client runs on.
    pub platform: P,
    /// How it finds the cluster.
    pub config: ClientConfig,
    /// Where it notes what happens.
    pub ledger: Ledger,
    /// The topic of which every client must have heard how it is now before it does anything.
    pub news: Option<Rc<str>>,
}

impl<P: Platform> Workload<P> {
    /// A workload without any client yet.
    pub fn new(platform: P, config: ClientConfig, seed: u64) -> Self {
        Self {
            desk: Desk {
                platform,
                config,
                ledger: Ledger::default(),
                news: None,
            },
            random: ChaCha8Rng::seed_from_u64(seed),
            ended: flume::bounded(0),
        }
    }

    /// The common notes.
    pub fn ledger(&self) -> &Ledger {
        &self.desk.ledger
    }

    /// What a client has in front of it, for who does something by himself.
    pub fn desk(&self) -> &Desk<P> {
        &self.desk
    }

    /// Starts a client: `task` gets its desk and randomness of its own.
    pub fn start<F>(&mut self, task: impl FnOnce(Desk<P>, ChaCha8Rng) -> F)
    where
        F: Future<Output = ()> + 'static,
    {
        let random = ChaCha8Rng::seed_from_u64(self.random.random());
        let task = task(self.desk.clone(), random);
        let ended = self.ended.0.clone();
        self.desk.platform.spawn(async move {
            task.await;
            drop(ended);
        });
    }

    /// Creates `topic`, however long it takes, and gives its partitions to write to and read from.
    pub async fn create(&mut self, topic: &Topic) -> Vec<Target> {
        let mut random = ChaCha8Rng::seed_from_u64(self.random.random());
        administer::create(&self.desk, &mut random, topic).await
    }

    /// Has all clients end what they have begun, and waits until they have.
    ///
    /// Whoever does not come to an end breaks a promise: no operation waits for ever.
    pub async fn finish(self) -> Desk<P> {
        self.desk.ledger.stop();
        let (sender, ended) = self.ended;
        drop(sender);
        let all = async { while ended.recv_async().await.is_ok() {} };
        if self.desk.platform.timeout(HANGS_AFTER, all).await.is_err() {
            let what = format!("a client does not come to an end within {HANGS_AFTER:?}");
            self.desk.ledger.promise_broken(what);
        }
        self.desk
    }
}

impl<P: Platform> Desk<P> {
    /// A new client; `None` if the workload ends before one reaches the cluster.
    pub async fn connect(&self) -> Option<Client<P>> {
        while !self.ledger.is_stopping() {
            let connecting = Client::connect(self.platform.clone(), self.config.clone());
            if let Some(Ok(client)) = self.patiently("connecting", connecting).await
                && self.has_news(&client).await
            {
                return Some(client);
            }
            self.platform.sleep(CONNECT_PAUSE).await;
        }
        None
    }

    /// Whether the client knows all that it must.
    async fn has_news(&self, client: &Client<P>) -> bool {
        let Some(topic) = &self.news else {
            return true;
        };
        let info = self.patiently("hearing of a topic", client.topic_info(topic));
        match info.await {
            Some(Ok(_)) => true,
            // That there is none is news as well.
            Some(Err(Error::Refused { refusal, .. })) => refusal.code == Code::UnknownTopic,
            Some(Err(_)) | None => false,
        }
    }

    /// What comes of an operation that has a deadline of its own; `None` if it ignores that, which
    /// is noted as a broken promise.
    pub async fn patiently<F: Future>(&self, what: &str, operation: F) -> Option<F::Output> {
        let outcome = self.platform.timeout(HANGS_AFTER, operation).await.ok();
        if outcome.is_none() {
            let what = format!("{what} has not come to an end within {HANGS_AFTER:?}");
            self.ledger.promise_broken(what);
        }
        outcome
    }

    /// Waits for a time drawn from the range, in milliseconds.
    pub(crate) async fn pause(&self, random: &mut ChaCha8Rng, range: (u64, u64)) {
        let pause = random.random_range(range.0..=range.1.max(range.0));
        self.platform.sleep(Duration::from_millis(pause)).await;
    }

    /// Now, as the history counts.
    pub fn now(&self) -> quorate_jepsen::Moment {
        quorate_jepsen::Moment(self.platform.now().as_nanos())
    }
}

/// How long deletions are kept, for the cluster.
fn compaction_of(keys: &quorate_jepsen::Keys) -> Compaction {
    let millis = keys.tombstones_stay.as_millis();
    Compaction {
        tombstone_ms: u64::try_from(millis).unwrap_or(Compaction::TOMBSTONE_MS_MAX),
    }
}
