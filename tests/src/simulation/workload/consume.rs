//! Readers.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use quorate_client::{
    Client, ConsumedRecord, Consumer, ConsumerConfig, Error, Platform, Start, Until,
};
use quorate_jepsen::{Moment, Read, Record};
use rand::RngExt;
use rand::rngs::ChaCha8Rng;

use super::record::payload_of;
use super::{Desk, Target};

/// How a reader reads.
#[derive(Clone, Debug)]
pub struct Habits {
    /// How long one reading follows what is written, in milliseconds.
    pub follow_ms: RangeInclusive<u64>,
    /// Between two readings, in milliseconds.
    pub pause_ms: RangeInclusive<u64>,
    /// Bytes of an answer.
    pub fetch_bytes: RangeInclusive<u32>,
    /// How long a node holds its answer back while there is nothing new, in milliseconds.
    pub wait_ms: RangeInclusive<u64>,
    /// One of so many readings goes on behind the end that was known at its start; 0 for none.
    pub follow_every: u32,
}

impl Default for Habits {
    fn default() -> Self {
        Self {
            follow_ms: 100..=5000,
            pause_ms: 0..=500,
            fetch_bytes: 1..=100_000,
            wait_ms: 0..=2000,
            follow_every: 2,
        }
    }
}

/// Reads `targets`, which are of one topic, until the workload ends.
pub async fn consume<P: Platform>(
    desk: Desk<P>,
    mut random: ChaCha8Rng,
    targets: Vec<Target>,
    habits: Habits,
) {
    let Some(mut client) = desk.connect().await else {
        return;
    };
    while !desk.ledger.is_stopping() {
        if random.random_range(0..8) == 0 {
            match desk.connect().await {
                Some(another) => client = another,
                None => return,
            }
        }
        let plan = Plan::draw(&desk, &mut random, &targets, &habits);
        Reading::new(&desk, plan).run(&client).await;
        let pause = (*habits.pause_ms.start(), *habits.pause_ms.end());
        desk.pause(&mut random, pause).await;
    }
}

/// One reading to be.
pub(super) struct Plan {
    pub(super) targets: Vec<Target>,
    pub(super) start: Start,
    pub(super) until: Until,
    /// When to end if nothing else ends it.
    pub(super) patience: Duration,
    pub(super) fetch_bytes: u32,
    pub(super) wait: Duration,
    pub(super) is_final: bool,
}

impl Plan {
    fn draw<P: Platform>(
        desk: &Desk<P>,
        random: &mut ChaCha8Rng,
        targets: &[Target],
        habits: &Habits,
    ) -> Self {
        let follows = habits.follow_every > 0 && random.random_range(0..habits.follow_every) == 0;
        let (start, targets) = match random.random_range(0..4) {
            0 => (Start::End, targets.to_vec()),
            1 => {
                let target = targets[random.random_range(0..targets.len())].clone();
                let offset = random.random_range(0..=desk.ledger.end_of(target.log));
                (Start::Offset(offset), vec![target])
            }
            _ => (Start::Beginning, targets.to_vec()),
        };
        Self {
            targets,
            start,
            until: match follows {
                true => Until::Forever,
                false => Until::HighWatermark,
            },
            patience: Duration::from_millis(random.random_range(habits.follow_ms.clone())),
            fetch_bytes: random.random_range(habits.fetch_bytes.clone()),
            wait: Duration::from_millis(random.random_range(habits.wait_ms.clone())),
            is_final: false,
        }
    }

    /// The last reading of a partition, from where its log begins to its end.
    pub(super) fn last(target: &Target, log_start: u64, patience: Duration) -> Self {
        Self {
            targets: vec![target.clone()],
            start: Start::Offset(log_start),
            until: Until::HighWatermark,
            patience,
            fetch_bytes: 1 << 20,
            wait: Duration::from_millis(500),
            is_final: true,
        }
    }
}

/// A reading of some partitions.
pub(super) struct Reading<P: Platform> {
    desk: Desk<P>,
    plan: Plan,
    invoked: Moment,
    records: BTreeMap<u32, Vec<Record>>,
}

/// Why a reading ended.
enum End {
    /// There is no more, or it has lasted long enough.
    Well,
    /// Something is in its way.
    Trouble(Error),
}

impl<P: Platform> Reading<P> {
    pub(super) fn new(desk: &Desk<P>, plan: Plan) -> Self {
        let indexes = plan.targets.iter().map(|target| (target.index, Vec::new()));
        Self {
            desk: desk.clone(),
            records: indexes.collect(),
            invoked: desk.now(),
            plan,
        }
    }

    /// Reads, and notes what came; whether it ended well.
    pub(super) async fn run(mut self, client: &Client<P>) -> bool {
        let config = ConsumerConfig {
            partitions: Some(self.records.keys().copied().collect()),
            start: self.plan.start,
            until: self.plan.until,
            wait: self.plan.wait,
            fetch_bytes_max: self.plan.fetch_bytes,
            ..ConsumerConfig::default()
        };
        let topic = self.plan.targets[0].topic.clone();
        let opening = client.consumer(&topic, config);
        let consumer = self.desk.patiently("opening a consumer", opening).await;
        let Some(Ok(mut consumer)) = consumer else {
            self.desk.ledger.count_as("read", false);
            return false;
        };
        let deadline = self.desk.platform.now() + self.plan.patience;
        let end = loop {
            let left = deadline.since(self.desk.platform.now());
            // What is at hand is taken even when the time is over.
            let next = self.desk.platform.timeout(left, consumer.next()).await;
            match next {
                Ok(Ok(Some(record))) => self.take(&record),
                Ok(Ok(None)) => break End::Well,
                Ok(Err(Error::Deadline { .. })) if !left.is_zero() => {}
                Ok(Err(error)) => break End::Trouble(error),
                Err(_) if self.plan.until == Until::Forever => break End::Well,
                Err(_) => break self.cut_short(&mut consumer).await,
            }
            if left.is_zero() && self.plan.until == Until::Forever {
                break End::Well;
            }
        };
        if let End::Trouble(error @ Error::CorruptRecords { .. }) = &end {
            self.desk.ledger.promise_broken(error.to_string());
        }
        let is_well = matches!(end, End::Well);
        self.note(is_well);
        is_well
    }

    /// Reads that want to reach the end are given what they have, and have not finished.
    async fn cut_short(&mut self, consumer: &mut Consumer<P>) -> End {
        let what = "reading to an end that was known";
        let error = Error::Deadline {
            what: what.to_owned(),
            after: self.plan.patience,
            certainty: quorate_client::Certainty::Definite,
            last: None,
        };
        while let Ok(Ok(Some(record))) = self
            .desk
            .platform
            .timeout(Duration::ZERO, consumer.next())
            .await
        {
            self.take(&record);
        }
        End::Trouble(error)
    }

    fn take(&mut self, record: &ConsumedRecord) {
        let target = self
            .plan
            .targets
            .iter()
            .find(|it| it.index == record.partition);
        let Some(target) = target else {
            let partition = record.partition;
            let what = format!("a record of partition {partition} came, which was not asked for");
            return self.desk.ledger.promise_broken(what);
        };
        let record = Record {
            offset: record.offset,
            payload: payload_of(record, target),
        };
        self.records.entry(target.index).or_default().push(record);
    }

    fn note(self, finished: bool) {
        let completed = self.desk.now();
        for target in &self.plan.targets {
            let records = self.records.get(&target.index).cloned().unwrap_or_default();
            let first = records.first().map(|record| record.offset);
            // Where a log begins that has lost records, where it ended, or which record is late
            // enough, only the cluster knows.
            let from = match self.plan.start {
                Start::Beginning if !self.desk.ledger.may_begin_late(target.log) => Some(0),
                Start::Beginning | Start::End | Start::Time(_) => first,
                Start::Offset(offset) => Some(offset),
            };
            let Some(from) = from else {
                continue;
            };
            self.desk.ledger.note_read(Read {
                partition: target.log,
                from,
                invoked: self.invoked,
                completed,
                finished,
                is_final: self.plan.is_final,
                records,
            });
        }
    }
}
