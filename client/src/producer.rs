//! The producer's outside: configuration, the buffer's bound, the choice of a partition. What
//! happens to one partition's records is in `lane` (what is kept) and `sender` (what is done).

mod delivery;
mod lane;
mod partitioner;
mod sender;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use quorate_platform::Platform;
use quorate_wire::{Acks, BATCH_BYTES_MAX};

pub use delivery::{Ack, Acknowledged, Delivery};
use lane::{Batch, Lane};
use partitioner::partition_of_key;
use sender::Sender;

use crate::signal::Signal;
use crate::{Client, Error, ProduceError, Record};

/// Batches that a leader recognizes; more must not be under way.
const IN_FLIGHT_MAX: usize = 5;

/// What a record takes of the buffer beside its contents: the encoding of its lengths, and its
/// share of the bookkeeping.
const RECORD_OVERHEAD_BYTES: usize = 64;

/// What a producer waits for when it is made, for people.
const WHAT_REGISTERS: &str =
    "registering a producer, which a majority of the voting nodes confirms";

/// How a [`Producer`] batches, how much it keeps under way, and when it gives up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProducerConfig {
    /// When a record counts as acknowledged.
    ///
    /// With [`Acks::Quorum`] it is never lost again, and retries are recognized: nothing is
    /// written twice. With [`Acks::Leader`] it is lost if the leader fails, and a retry may write
    /// it twice. With [`Acks::None`] it counts as soon as it was handed to the network, is lost if
    /// anything fails, and its offset is not known.
    pub acks: Acks,
    /// A batch that has reached this many bytes is sent.
    pub batch_bytes: usize,
    /// A batch that is not full waits this long for more records while earlier ones are under
    /// way. With nothing under way it is sent at once.
    pub linger: Duration,
    /// Batches under way per partition, 1 to 5: a leader recognizes the last five.
    ///
    /// With [`Acks::Leader`] there is never more than one: without sequence numbers a batch that
    /// has to be sent again would come behind the next one.
    pub in_flight_max: usize,
    /// Time from sending a record to its acknowledgement, all retries included.
    pub delivery_timeout: Duration,
    /// Bytes of unacknowledged records; [`Producer::send`] waits while there is no room.
    pub buffer_bytes_max: usize,
}

impl Default for ProducerConfig {
    fn default() -> Self {
        Self {
            acks: Acks::Quorum,
            batch_bytes: 64 << 10,
            linger: Duration::from_millis(5),
            in_flight_max: IN_FLIGHT_MAX,
            delivery_timeout: Duration::from_secs(30),
            buffer_bytes_max: 32 << 20,
        }
    }
}

impl ProducerConfig {
    fn check(&self) -> Result<(), Error> {
        let check = |is_fine: bool, setting: &'static str, reason: String| {
            if is_fine {
                Ok(())
            } else {
                Err(Error::Config { setting, reason })
            }
        };
        let reason = format!(
            "{} is not between 1 and {IN_FLIGHT_MAX}",
            self.in_flight_max
        );
        check(
            (1..=IN_FLIGHT_MAX).contains(&self.in_flight_max),
            "in_flight_max",
            reason,
        )?;
        let reason = format!(
            "{} is not between 1 and {BATCH_BYTES_MAX}",
            self.batch_bytes
        );
        check(
            (1..=BATCH_BYTES_MAX).contains(&self.batch_bytes),
            "batch_bytes",
            reason,
        )?;
        let reason = "0 leaves no room for any record".to_owned();
        check(self.buffer_bytes_max > 0, "buffer_bytes_max", reason)?;
        let reason = "0 leaves no time for any record".to_owned();
        check(!self.delivery_timeout.is_zero(), "delivery_timeout", reason)
    }
}

/// Writes records: batched, pipelined, each once, in the order of sending per partition.
///
/// If a record cannot be written within [`ProducerConfig::delivery_timeout`], it fails, and with it
/// every record that was sent after it to the same partition and is not yet acknowledged. If it is
/// certain that none of them was written ([`Certainty::Definite`](crate::Certainty::Definite)), the
/// producer goes on. Otherwise it writes nothing more to that partition: what is sent later could
/// end up before what may still be under way.
///
/// Clones share everything. Dropping the last one does not cancel what was sent, but only
/// [`Producer::flush`] tells that it arrived.
pub struct Producer<P: Platform> {
    handle: Rc<Handle<P>>,
}

/// The producer as the application holds it; the tasks hold only what is [`Shared`].
struct Handle<P: Platform>(Rc<Shared<P>>);

type Listener = Box<dyn FnMut(Acknowledged)>;

struct Shared<P: Platform> {
    client: Client<P>,
    config: ProducerConfig,
    producer_id: Option<i64>,
    topics: RefCell<BTreeMap<String, Topic>>,
    buffered_bytes: Cell<usize>,
    room: Signal,
    first_failure: RefCell<Option<ProduceError>>,
    listener: RefCell<Option<Listener>>,
    is_dropped: Cell<bool>,
}

struct Topic {
    lanes: Vec<Option<Rc<Lane>>>,
    /// Where records without a key go until their batch is full.
    sticky: u32,
}

impl<P: Platform> Producer<P> {
    pub(crate) async fn open(client: Client<P>, config: ProducerConfig) -> Result<Self, Error> {
        config.check()?;
        // Without waiting for a quorum records may vanish again. A leader that lost some would
        // refuse all that follow if they bore sequence numbers.
        let producer_id = match config.acks {
            Acks::Quorum => {
                let (_, session) = client.inner.register(WHAT_REGISTERS).await?;
                Some(i64::try_from(session).expect("sessions are counted and stay below 2^63"))
            }
            Acks::Leader | Acks::None => None,
        };
        let shared = Shared {
            client,
            config,
            producer_id,
            topics: RefCell::default(),
            buffered_bytes: Cell::new(0),
            room: Signal::default(),
            first_failure: RefCell::default(),
            listener: RefCell::default(),
            is_dropped: Cell::new(false),
        };
        Ok(Self {
            handle: Rc::new(Handle(Rc::new(shared))),
        })
    }

    /// Takes a record on its way to the partition that its key chooses; without a key to some
    /// partition, changing with every batch. Waits while the buffer is full.
    ///
    /// Records that one task sends one after the other keep their order within a partition. The
    /// delivery need not be awaited: see [`Producer::flush`].
    pub async fn send(&self, topic: &str, record: Record) -> Result<Delivery, Error> {
        let shared = self.shared();
        shared.open_topic(topic).await?;
        let buffered = shared.reserve(&record).await;
        let partition = match &record.key {
            Some(key) => partition_of_key(key, shared.partitions(topic)),
            None => shared.sticky_partition(topic, buffered),
        };
        shared.push(topic, partition, &record, buffered)
    }

    /// Like [`Producer::send`], to the partition of this index.
    pub async fn send_to(
        &self,
        topic: &str,
        partition: u32,
        record: Record,
    ) -> Result<Delivery, Error> {
        let shared = self.shared();
        shared.open_topic(topic).await?;
        let partitions = shared.partitions(topic);
        if partition >= partitions {
            let what = format!("writing to partition {partition}");
            let refusal =
                quorate_wire::Refusal::unknown_partition(topic, partition, partitions as usize);
            return Err(Error::Refused { what, refusal });
        }
        let buffered = shared.reserve(&record).await;
        shared.push(topic, partition, &record, buffered)
    }

    /// Sends what is still being batched and waits until every record sent so far is acknowledged
    /// or has failed. Gives the first failure since the last flush.
    pub async fn flush(&self) -> Result<(), ProduceError> {
        let shared = self.shared();
        let last: Vec<_> = shared
            .lanes()
            .iter()
            .filter_map(|lane| lane.flush())
            .collect();
        for outcome in last {
            outcome.settled().await;
        }
        shared.first_failure.take().map_or(Ok(()), Err)
    }

    /// Calls `listener` for every acknowledged batch, in order per partition. One listener; a
    /// later one replaces it.
    pub fn on_acknowledged(&self, listener: impl FnMut(Acknowledged) + 'static) {
        self.shared().listener.replace(Some(Box::new(listener)));
    }

    /// Bytes of records that are not yet acknowledged.
    pub fn buffered_bytes(&self) -> usize {
        self.shared().buffered_bytes.get()
    }

    fn shared(&self) -> &Rc<Shared<P>> {
        &self.handle.0
    }
}

impl<P: Platform> Shared<P> {
    /// Learns how many partitions the topic has, once.
    async fn open_topic(&self, name: &str) -> Result<(), Error> {
        if self.topics.borrow().contains_key(name) {
            return Ok(());
        }
        let topic = self.client.inner.metadata.topic(name).await?;
        let count = topic.partitions.len();
        assert!(count > 0, "a topic has at least one partition");
        let sticky = (self.client.inner.platform.random() % count as u64) as u32;
        let topic = Topic {
            lanes: vec![None; count],
            sticky,
        };
        self.topics
            .borrow_mut()
            .entry(name.to_owned())
            .or_insert(topic);
        Ok(())
    }

    fn partitions(&self, topic: &str) -> u32 {
        self.topics.borrow()[topic].lanes.len() as u32
    }

    /// The current partition for records without a key: the next one once its batch is full.
    fn sticky_partition(&self, topic: &str, bytes: usize) -> u32 {
        let mut topics = self.topics.borrow_mut();
        let topic = topics.get_mut(topic).expect("the topic was opened");
        if let Some(lane) = &topic.lanes[topic.sticky as usize] {
            if lane.has_room_for(bytes, self.config.batch_bytes) {
                return topic.sticky;
            }
            // Nothing more comes to it for now.
            lane.flush();
        }
        topic.sticky = (topic.sticky + 1) % topic.lanes.len() as u32;
        topic.sticky
    }

    /// Waits until the buffer has room for the record. One alone always has.
    async fn reserve(&self, record: &Record) -> usize {
        let bytes = buffered_bytes_of(record);
        let reserved = self.room.wait_until(|| {
            let used = self.buffered_bytes.get();
            (used == 0 || used + bytes <= self.config.buffer_bytes_max).then(|| {
                self.buffered_bytes.set(used + bytes);
            })
        });
        reserved.await;
        bytes
    }

    fn release(&self, bytes: usize) {
        self.buffered_bytes.set(self.buffered_bytes.get() - bytes);
        self.room.notify();
    }

    fn push(
        self: &Rc<Self>,
        topic: &str,
        partition: u32,
        record: &Record,
        buffered: usize,
    ) -> Result<Delivery, Error> {
        let platform = &self.client.inner.platform;
        let lane = self.lane(topic, partition);
        let timestamp = record.timestamp.unwrap_or_else(|| platform.wall_clock_ms());
        let now = platform.now();
        let delivery = lane.push(record, timestamp, now, self.config.batch_bytes, buffered);
        if delivery.is_err() {
            self.release(buffered);
        }
        delivery
    }

    /// The lane of a partition; the first record to it brings its sender to life.
    fn lane(self: &Rc<Self>, topic: &str, partition: u32) -> Rc<Lane> {
        let mut topics = self.topics.borrow_mut();
        let lanes = &mut topics.get_mut(topic).expect("the topic was opened").lanes;
        let lane = lanes[partition as usize].get_or_insert_with(|| {
            let lane = Rc::new(Lane::new(topic.into(), partition, self.producer_id));
            let sender = Sender::new(self.clone(), lane.clone());
            self.client.inner.platform.spawn(sender.run());
            lane
        });
        lane.clone()
    }

    fn lanes(&self) -> Vec<Rc<Lane>> {
        let topics = self.topics.borrow();
        topics
            .values()
            .flat_map(|topic| topic.lanes.iter().flatten().cloned())
            .collect()
    }

    fn on_acknowledged(&self, lane: &Lane, batch: Batch) {
        let base_offset = batch
            .acknowledged
            .expect("only acknowledged batches are taken");
        batch.outcome.settle(Ok(base_offset));
        self.release(batch.buffered);
        // Not borrowed during the call: the listener may set another one.
        let Some(mut listener) = self.listener.take() else {
            return;
        };
        listener(Acknowledged {
            topic: lane.topic.to_string(),
            partition: lane.index,
            base_offset,
            count: batch.count,
            bytes: batch.bytes.len(),
            latency: self.client.inner.platform.now().since(batch.opened_at),
        });
        self.listener.borrow_mut().get_or_insert(listener);
    }

    fn on_failed(&self, batch: Batch, error: ProduceError) {
        self.first_failure
            .borrow_mut()
            .get_or_insert_with(|| error.clone());
        batch.outcome.settle(Err(Rc::new(error)));
        self.release(batch.buffered);
    }
}

fn buffered_bytes_of(record: &Record) -> usize {
    let size = |bytes: &Option<bytes::Bytes>| bytes.as_ref().map_or(0, bytes::Bytes::len);
    let header = |header: &crate::Header| header.key.len() + size(&header.value) + 10;
    let headers: usize = record.headers.iter().map(header).sum();
    RECORD_OVERHEAD_BYTES + size(&record.key) + size(&record.value) + headers
}

impl<P: Platform> Drop for Handle<P> {
    fn drop(&mut self) {
        self.0.is_dropped.set(true);
        for lane in self.0.lanes() {
            lane.flush();
        }
    }
}

impl<P: Platform> Clone for Producer<P> {
    fn clone(&self) -> Self {
        Self {
            handle: self.handle.clone(),
        }
    }
}

impl<P: Platform> std::fmt::Debug for Producer<P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let shared = self.shared();
        f.debug_struct("Producer")
            .field("producer_id", &shared.producer_id)
            .field("buffered_bytes", &shared.buffered_bytes.get())
            .finish()
    }
}
