//! Writers.

use std::ops::RangeInclusive;
use std::time::Duration;

use futures_util::future::LocalBoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt};
use futures_util::{FutureExt, select_biased};
use quorate_client::{Certainty, Client, Error, Platform, Producer, ProducerConfig};
use quorate_jepsen::{Append, Moment, Outcome, Value};
use rand::RngExt;
use rand::rngs::ChaCha8Rng;

use super::record::record_of;
use super::{Desk, HANGS_AFTER, Target};

/// How a writer writes.
#[derive(Clone, Debug)]
pub struct Habits {
    /// Records in a burst.
    pub burst: RangeInclusive<u32>,
    /// Between two bursts, in milliseconds.
    pub pause_ms: RangeInclusive<u64>,
    /// Bytes of a record.
    pub value_bytes: RangeInclusive<usize>,
    /// Bytes of a batch.
    pub batch_bytes: RangeInclusive<usize>,
    /// How long a batch waits for more, in milliseconds.
    pub linger_ms: RangeInclusive<u64>,
    /// Batches that are on their way at once.
    pub in_flight: RangeInclusive<usize>,
    /// When the client gives up.
    pub delivery_timeout: Duration,
    /// After about so many records the writer is replaced by another one, doubts or not.
    pub records_max: u32,
}

impl Default for Habits {
    fn default() -> Self {
        Self {
            burst: 1..=20,
            pause_ms: 0..=200,
            value_bytes: 0..=400,
            batch_bytes: 200..=8000,
            linger_ms: 0..=20,
            in_flight: 1..=5,
            delivery_timeout: Duration::from_secs(20),
            records_max: 1000,
        }
    }
}

/// Writes to `targets` until the workload ends, one writer after the other.
pub async fn produce<P: Platform>(
    desk: Desk<P>,
    mut random: ChaCha8Rng,
    targets: Vec<Target>,
    habits: Habits,
) {
    while !desk.ledger.is_stopping() {
        let Some(client) = desk.connect().await else {
            return;
        };
        // A few writers share a client, as users do.
        for _ in 0..random.random_range(1..=3) {
            if let Some(mut writer) = Writer::open(&desk, &client, &mut random, &habits).await {
                writer.write(&mut random, &targets, &habits).await;
            } else {
                desk.pause(&mut random, (10, 200)).await;
            }
        }
    }
}

/// A value on its way, and what came of it.
type Sent = LocalBoxFuture<'static, Append>;

/// One logical process: it ends with its first doubt.
pub(in crate::simulation) struct Writer<P: Platform> {
    desk: Desk<P>,
    producer: Producer<P>,
    process: u32,
    counter: u64,
    on_their_way: FuturesUnordered<Sent>,
    has_doubt: bool,
}

impl<P: Platform> Writer<P> {
    pub(in crate::simulation) async fn open(
        desk: &Desk<P>,
        client: &Client<P>,
        random: &mut ChaCha8Rng,
        habits: &Habits,
    ) -> Option<Self> {
        let config = ProducerConfig {
            batch_bytes: random.random_range(habits.batch_bytes.clone()),
            linger: Duration::from_millis(random.random_range(habits.linger_ms.clone())),
            in_flight_max: random.random_range(habits.in_flight.clone()),
            delivery_timeout: habits.delivery_timeout,
            ..ProducerConfig::default()
        };
        let opening = client.producer(config);
        let producer = desk.patiently("opening a producer", opening).await;
        desk.ledger
            .count_as("register a producer", matches!(producer, Some(Ok(_))));
        Some(Self {
            desk: desk.clone(),
            producer: producer?.ok()?,
            process: desk.ledger.new_process(),
            counter: 0,
            on_their_way: FuturesUnordered::new(),
            has_doubt: false,
        })
    }

    async fn write(&mut self, random: &mut ChaCha8Rng, targets: &[Target], habits: &Habits) {
        let records_max = random.random_range(1..=habits.records_max.max(1));
        while !self.has_doubt
            && self.counter < u64::from(records_max)
            && !self.desk.ledger.is_stopping()
        {
            for _ in 0..random.random_range(habits.burst.clone()) {
                let target = &targets[random.random_range(0..targets.len())];
                let bytes = random.random_range(habits.value_bytes.clone());
                self.send(target, bytes).await;
            }
            let pause = random.random_range(habits.pause_ms.clone());
            self.listen(Duration::from_millis(pause)).await;
        }
        self.finish().await;
    }

    /// Whether it does not know what came of some value: then another one has to take over.
    pub(in crate::simulation) fn has_doubt(&self) -> bool {
        self.has_doubt
    }

    /// Hands the next value over. What comes of it is heard later.
    pub(in crate::simulation) async fn send(&mut self, target: &Target, bytes: usize) {
        let value = Value {
            process: self.process,
            counter: self.counter,
            partition: target.log,
        };
        self.counter += 1;
        let record = record_of(value, bytes, target);
        let invoked = self.desk.now();
        let sending = self.producer.send_to(&target.topic, target.index, record);
        let what = "handing a record to the producer";
        let delivery = match self.desk.patiently(what, sending).await {
            Some(Ok(delivery)) => delivery,
            Some(Err(error)) => return self.note(value, invoked, outcome_of(&error)),
            None => return self.note(value, invoked, Outcome::Info),
        };
        let desk = self.desk.clone();
        let sent = async move {
            let acknowledged = desk.platform.timeout(HANGS_AFTER, delivery).await;
            let outcome = match acknowledged {
                Ok(Ok(ack)) => match ack.offset {
                    Some(offset) => Outcome::Ok { offset },
                    None => Outcome::Info,
                },
                Ok(Err(error)) => outcome_of(&Error::from(error)),
                Err(_) => {
                    let what = format!("{value} has no outcome within {HANGS_AFTER:?}");
                    desk.ledger.promise_broken(what);
                    Outcome::Info
                }
            };
            Append {
                value,
                invoked,
                completed: desk.now(),
                outcome,
            }
        };
        self.on_their_way.push(sent.boxed_local());
    }

    /// Hears what comes within `time`.
    async fn listen(&mut self, time: Duration) {
        let mut silence = std::pin::pin!(self.desk.platform.sleep(time).fuse());
        loop {
            let append = select_biased! {
                append = self.on_their_way.select_next_some() => append,
                () = silence => return,
            };
            self.has_doubt |= append.outcome == Outcome::Info;
            self.desk.ledger.note_append(append);
        }
    }

    /// Hears all that is not known yet; whether everything was acknowledged.
    pub(in crate::simulation) async fn finish(&mut self) -> bool {
        let mut is_all = true;
        while let Some(append) = self.on_their_way.next().await {
            self.has_doubt |= append.outcome == Outcome::Info;
            is_all &= matches!(append.outcome, Outcome::Ok { .. });
            self.desk.ledger.note_append(append);
        }
        is_all
    }

    fn note(&mut self, value: Value, invoked: Moment, outcome: Outcome) {
        self.has_doubt |= outcome == Outcome::Info;
        self.desk.ledger.note_append(Append {
            value,
            invoked,
            completed: self.desk.now(),
            outcome,
        });
    }
}

fn outcome_of(error: &Error) -> Outcome {
    match error.certainty() {
        Certainty::Definite => Outcome::Fail,
        Certainty::Indefinite => Outcome::Info,
    }
}
