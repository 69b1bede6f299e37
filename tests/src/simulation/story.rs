//! The words in which a story is told: a cluster, one topic, and what happens to both.
//!
//! A story goes step by step, where a run of a [`swarm`](super::swarm) does everything at once: who
//! tells it knows what is true at each point, and says so. What clients write and read is noted
//! all the same, and the judges of [`oracle`](super::oracle) have the last word.
//!
//! Whatever is not as the story has it ends the test, with the last events.

mod fault;
mod follower;

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::Future;
use std::rc::Rc;
use std::time::Duration;

use quorate_client::{Client, ClientConfig};
use quorate_jepsen::check;
use quorate_platform::Tasks;
use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};

use super::oracle::Verdict;
use super::sometimes::{Heard, listen, take_heard};
use super::workload::administer::look_at_partitions;
use super::workload::produce::{Habits, Writer};
use super::workload::settle::{Damage, read_to_the_end, settle};
use super::workload::{Desk, Fate, Seen, Target, Topic, Workload};
use super::{Cluster, Shape, SimPlatform};

pub use follower::Follower;

/// The topic of every story. It has one partition.
pub const TOPIC: &str = "orders";
/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long the last look at everything may take in all.
const SETTLE_MAX: Duration = Duration::from_secs(400);
/// Bytes of a record of a story, at least.
const RECORD_BYTES: usize = 100;

/// A story in the making.
pub struct Story {
    /// The cluster, for what there is no word for here.
    pub cluster: Cluster,
    seed: u64,
    desk: Desk<SimPlatform>,
    client: Rc<Client<SimPlatform>>,
    targets: Vec<Target>,
    random: ChaCha8Rng,
    /// The one who writes, as long as it has no doubts and does not write already.
    writer: Rc<RefCell<Option<Writer<SimPlatform>>>>,
    /// Ways that are cut, from one host to another.
    cut: Vec<(u16, u16)>,
    /// Links on which everything waits.
    held: Vec<(u16, u16)>,
    heard: Vec<Heard>,
}

/// An append of some records that goes on while the story does.
#[derive(Clone, Debug)]
pub struct Attempt(Rc<Cell<Option<bool>>>);

impl Attempt {
    /// Whether all of it was acknowledged, if it is over.
    pub fn outcome(&self) -> Option<bool> {
        self.0.get()
    }
}

impl Story {
    /// Once upon a time there was a cluster of so many nodes, which all hold the topic.
    pub fn of(seed: u64, nodes: u16) -> Self {
        let shape = Shape {
            nodes,
            ..Shape::default()
        };
        Self::begin(seed, &shape, nodes)
    }

    /// Founds a cluster, and creates the topic with so many replicas.
    pub fn begin(seed: u64, shape: &Shape, replication: u16) -> Self {
        listen();
        let mut cluster = Cluster::new(seed, shape);
        let config = ClientConfig::new(cluster.bootstrap());
        let begun = Rc::new(RefCell::new(None));
        let told = Rc::clone(&begun);
        cluster.spawn(move |platform| async move {
            let mut workload = Workload::new(platform, config, seed);
            let targets = workload.create(&topic(replication)).await;
            let desk = workload.desk().clone();
            let client = desk.connect().await.map(Rc::new);
            *told.borrow_mut() = Some((desk, client.expect("nobody stops it"), targets));
        });
        let is_begun = cluster.run_until(PATIENCE, |_| begun.borrow().is_some());
        is_begun.unwrap_or_else(|failure| panic!("{failure}"));
        let begun = begun.take();
        let (desk, client, targets) = begun.expect("a cluster in health takes a topic");
        Self {
            cluster,
            seed,
            desk,
            client,
            targets,
            random: ChaCha8Rng::seed_from_u64(seed),
            writer: Rc::default(),
            cut: Vec::new(),
            held: Vec::new(),
            heard: Vec::new(),
        }
    }

    /// Lets time pass.
    pub fn wait(&mut self, time: Duration) {
        self.pass(time, |_| false);
    }

    /// Lets time pass until `is_so`, which has to come about.
    #[track_caller]
    pub fn wait_until(&mut self, what: &str, is_so: impl FnMut(&Cluster) -> bool) {
        let is_so = self.pass(PATIENCE, is_so);
        self.require(is_so, format!("{what}: not within {PATIENCE:?}"));
    }

    fn pass(&mut self, time: Duration, is_done: impl FnMut(&Cluster) -> bool) -> bool {
        let passed = self.cluster.run_until(time, is_done);
        self.heard.extend(take_heard());
        match passed {
            Ok(is_done) => is_done,
            Err(failure) => self.fail(failure),
        }
    }

    /// Has a client do something, and gives what came of it.
    #[track_caller]
    pub fn ask<T: 'static, F: Future<Output = T> + 'static>(
        &mut self,
        what: &str,
        task: impl FnOnce(Rc<Client<SimPlatform>>, Desk<SimPlatform>) -> F + 'static,
    ) -> T {
        let answer = Rc::new(RefCell::new(None));
        let (told, client) = (Rc::clone(&answer), Rc::clone(&self.client));
        let desk = self.desk.clone();
        self.cluster.spawn(move |_| async move {
            let said = task(client, desk).await;
            *told.borrow_mut() = Some(said);
        });
        self.pass(SETTLE_MAX, |_| answer.borrow().is_some());
        let answer = answer.take();
        answer.unwrap_or_else(|| self.fail(format!("{what} does not come to an end")))
    }

    /// Begins to append records, all by the same producer as before if it has no doubts.
    pub fn begin_append(&mut self, records: u32) -> Attempt {
        let attempt = Attempt(Rc::default());
        let (told, writer) = (attempt.clone(), Rc::clone(&self.writer));
        let (desk, client) = (self.desk.clone(), Rc::clone(&self.client));
        let target = self.targets[0].clone();
        let mut random = ChaCha8Rng::seed_from_u64(self.random.random());
        self.cluster.spawn(move |_| async move {
            let free = writer.take();
            let mut own = match free.filter(|writer| !writer.has_doubt()) {
                Some(writer) => writer,
                None => open(&desk, &client, &mut random).await,
            };
            for _ in 0..records {
                own.send(&target, RECORD_BYTES).await;
            }
            told.0.set(Some(own.finish().await));
            *writer.borrow_mut() = Some(own);
        });
        attempt
    }

    /// Appends records, which are all acknowledged.
    #[track_caller]
    pub fn append(&mut self, records: u32) {
        let attempt = self.begin_append(records);
        self.expect_acknowledged(&attempt);
    }

    /// Appends records, of which none is acknowledged while nothing changes.
    #[track_caller]
    pub fn append_in_vain(&mut self, records: u32) {
        let before = self.desk.ledger.acknowledged();
        let attempt = self.begin_append(records);
        self.pass(SETTLE_MAX, |_| attempt.outcome().is_some());
        let after = self.desk.ledger.acknowledged();
        let is_vain = attempt.outcome() == Some(false) && before == after;
        self.require(is_vain, "what could not be kept was acknowledged");
    }

    /// Waits until all of an attempt is acknowledged.
    #[track_caller]
    pub fn expect_acknowledged(&mut self, attempt: &Attempt) {
        self.wait_until("an append ends", |_| attempt.outcome().is_some());
        let is_acknowledged = attempt.outcome() == Some(true);
        self.require(is_acknowledged, "an append was not acknowledged");
    }

    /// Every record can be read that was ever acknowledged, once, at its place.
    #[track_caller]
    pub fn expect_all(&mut self) {
        self.wait_settled();
        let target = self.targets[0].clone();
        let mut random = ChaCha8Rng::seed_from_u64(self.random.random());
        let is_read = self.ask("reading everything", move |client, desk| async move {
            let deadline = desk.platform.now() + PATIENCE;
            read_to_the_end(&desk, &client, &mut random, &target, deadline).await
        });
        self.require(is_read, "the log cannot be read to its end");
        let found = self.desk.ledger.with_history(check);
        self.require(found.is_empty(), format!("{found:?}"));
    }

    /// Waits for a leader that knows of all that was acknowledged: a follower may be read, and not
    /// have heard of it yet.
    #[track_caller]
    fn wait_settled(&mut self) {
        let end = self.desk.ledger.end_of(self.targets[0].log);
        let pause = Duration::from_millis(100);
        self.insist(pause, format!("not all of {end} are committed"), |story| {
            let high_watermark = story.partition().status.high_watermark;
            (high_watermark >= end).then_some(())
        });
    }

    /// Tries until something comes of it.
    #[track_caller]
    fn insist<T>(
        &mut self,
        pause: Duration,
        failed: String,
        mut attempt: impl FnMut(&mut Self) -> Option<T>,
    ) -> T {
        let deadline = self.cluster.elapsed() + PATIENCE;
        while self.cluster.elapsed() < deadline {
            if let Some(outcome) = attempt(self) {
                return outcome;
            }
            self.wait(pause);
        }
        self.fail(failed)
    }

    /// The last look at everything: the topic takes records and gives them all back, every replica
    /// is the same, and no judge has found anything.
    #[track_caller]
    pub fn expect_whole(&mut self) {
        let targets = self.targets.clone();
        let random = ChaCha8Rng::seed_from_u64(self.random.random());
        let conclusion = self.ask("coming to rest", move |_, desk| async move {
            settle(&desk, random, &targets, PATIENCE, Damage::None).await
        });
        let verdict = Verdict::of(&self.desk.ledger, &conclusion, |node, partition| {
            self.cluster.partition_files(node, partition)
        });
        let is_well = !matches!(verdict, Verdict::Fail(_));
        self.require(is_well, verdict);
        let ended = self.cluster.ended().iter();
        let failed: Vec<_> = ended.filter(|ended| ended.result.is_err()).collect();
        self.require(failed.is_empty(), format!("{failed:?}"));
    }

    /// The topic's partition, as its leader sees it, once it has an open one.
    #[track_caller]
    pub fn partition(&mut self) -> Seen {
        let is_led = |seen: &Seen| seen.status.is_open && seen.status.epoch == seen.info.epoch;
        let seen = self.ask("looking at the partition", move |client, desk| async move {
            let deadline = desk.platform.now() + PATIENCE;
            while desk.platform.now() < deadline {
                let seen = look_at_partitions(&desk, &client, TOPIC).await;
                if let Some(seen) = seen.into_iter().find(is_led) {
                    return Some(seen);
                }
                desk.platform.sleep(Duration::from_millis(50)).await;
            }
            None
        });
        seen.unwrap_or_else(|| self.fail("nobody leads the partition"))
    }

    /// The node that leads the partition.
    #[track_caller]
    pub fn leader(&mut self) -> u16 {
        self.partition().status.node
    }

    /// The nodes that hold the partition and do not lead it.
    #[track_caller]
    pub fn followers(&mut self) -> Vec<u16> {
        let Seen { info, status, .. } = self.partition();
        let followers = info.voters.into_iter().filter(|node| *node != status.node);
        followers.collect()
    }

    /// The primary of the control plane.
    #[track_caller]
    pub fn primary(&mut self) -> u16 {
        let metadata = self.ask("asking for the primary", |client, _| async move {
            client.cluster_metadata().await
        });
        match metadata {
            Ok(metadata) => metadata.primary,
            Err(error) => self.fail(error),
        }
    }

    /// Waits until another node than `old` leads the partition; its id.
    #[track_caller]
    pub fn next_leader(&mut self, old: u16) -> u16 {
        let pause = Duration::from_millis(100);
        self.insist(pause, format!("node {old} leads on"), |story| {
            let leader = story.leader();
            (leader != old).then_some(leader)
        })
    }

    /// How often a node has said words that begin like this.
    pub fn told(&self, words: &str) -> usize {
        let heard = self.heard.iter();
        heard.filter(|it| it.message.starts_with(words)).count()
    }

    /// Waits until a node has said words that begin like this.
    #[track_caller]
    pub fn wait_told(&mut self, words: &str) {
        let pause = Duration::from_millis(20);
        self.insist(pause, format!("nobody says: {words}"), |story| {
            (story.told(words) > 0).then_some(())
        });
    }

    /// Ends the story if this is not so.
    #[track_caller]
    pub fn require(&self, is_so: bool, what: impl fmt::Display) {
        if !is_so {
            self.fail(what);
        }
    }

    #[track_caller]
    fn fail(&self, what: impl fmt::Display) -> ! {
        let timeline = self.cluster.trace().timeline();
        let heard = self.heard.iter().rev().take(60).rev();
        let heard: Vec<_> = heard.map(|it| it.to_string()).collect();
        let heard = heard.join("\n");
        panic!("{timeline}\n{heard}\nseed {}: {what}", self.seed)
    }
}

impl fmt::Debug for Story {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Story")
            .field("cluster", &self.cluster)
            .finish_non_exhaustive()
    }
}

fn topic(replication: u16) -> Topic {
    Topic {
        name: TOPIC.to_owned(),
        partitions: 1,
        replication,
        fate: Fate::Kept,
    }
}

/// A producer that has several small batches on their way at once.
async fn open(
    desk: &Desk<SimPlatform>,
    client: &Client<SimPlatform>,
    random: &mut ChaCha8Rng,
) -> Writer<SimPlatform> {
    let habits = Habits {
        batch_bytes: 500..=500,
        linger_ms: 0..=0,
        in_flight: 5..=5,
        ..Habits::default()
    };
    loop {
        if let Some(writer) = Writer::open(desk, client, random, &habits).await {
            return writer;
        }
        desk.platform.sleep(Duration::from_millis(100)).await;
    }
}
