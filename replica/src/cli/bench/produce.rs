use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::{Arc, Barrier};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use quorate_client::{Compio, Error, Producer, ProducerConfig, Record};
use quorate_platform::{Instant, Tasks as _};

use super::report::Report;
use super::{Bootstrap, Failure, Load, block_on, connect};
use crate::cli::latency::Latencies;

/// What one producer, or all of them, have measured.
#[derive(Debug)]
struct Measured {
    latencies: Latencies,
    records: u64,
    errors: u64,
    last_error: Option<String>,
    elapsed: Duration,
}

pub(super) fn run(load: &Load, bootstrap: &Bootstrap) -> Result<Report, Failure> {
    let (topic, partitions) = block_on(async {
        let client = connect(bootstrap).await?;
        load.prepare_topic(&client).await
    })?;
    let warm = Arc::new(Barrier::new(usize::from(load.producers)));
    let threads = (0..load.producers).map(|index| {
        let task = Task {
            load: load.clone(),
            bootstrap: bootstrap.clone(),
            topic: topic.clone(),
            partitions,
            first_loop: u32::from(index) * u32::from(load.in_flight),
            warm: Arc::clone(&warm),
        };
        let thread = std::thread::Builder::new().name(format!("producer-{index}"));
        thread.spawn(move || block_on(task.run()))
    });
    let threads: Vec<_> = threads
        .collect::<Result<_, _>>()
        .map_err(|error| Failure::failed(format!("a thread cannot be started: {error}")))?;
    let mut total = Measured::new();
    for thread in threads {
        let measured = thread
            .join()
            .map_err(|_| Failure::failed("a producer has panicked, which is a bug"))??;
        total.add(measured);
    }
    Ok(Report {
        benchmark: "produce",
        topic,
        seconds: total.elapsed.as_secs_f64(),
        records: total.records,
        bytes: total.records * u64::from(load.record_size),
        acknowledgement_us: total.latencies.percentiles(),
        errors: total.errors,
        last_error: total.last_error,
    })
}

impl Measured {
    fn new() -> Self {
        Self {
            latencies: Latencies::new(),
            records: 0,
            errors: 0,
            last_error: None,
            elapsed: Duration::ZERO,
        }
    }

    fn add(&mut self, other: Self) {
        self.latencies.add(&other.latencies);
        self.records += other.records;
        self.errors += other.errors;
        self.last_error = self.last_error.take().or(other.last_error);
        self.elapsed = self.elapsed.max(other.elapsed);
    }
}

/// One producer's work.
struct Task {
    load: Load,
    bootstrap: Bootstrap,
    topic: String,
    partitions: u32,
    /// The number of its first loop among the loops of all producers.
    first_loop: u32,
    warm: Arc<Barrier>,
}

impl Task {
    async fn run(self) -> Result<Measured, Failure> {
        let prepared = self.prepare().await;
        // All producers start the clock together; one that failed must not keep the others waiting.
        self.warm.wait();
        let (producer, value) = prepared?;
        let measured = Rc::new(RefCell::new(Measured::new()));
        let started = Compio.now();
        let end = started + self.load.duration;
        let loops = (0..u32::from(self.load.in_flight)).map(|index| {
            let partition = (self.first_loop + index) % self.partitions;
            self.write_until(end, &producer, partition, &value, &measured)
        });
        join_all(loops).await;
        let mut measured = measured.replace(Measured::new());
        measured.elapsed = Compio.now() - started;
        Ok(measured)
    }

    /// A producer that has its connections: one batch per partition is already written.
    async fn prepare(&self) -> Result<(Producer<Compio>, Bytes), Failure> {
        let client = connect(&self.bootstrap).await?;
        // A batch is sent as soon as it is whole. The records' framing, at most 32 bytes each, is
        // no reason to cut it in two.
        let framed =
            self.load.batch_size as usize + 64 + 32 * self.load.records_per_batch() as usize;
        let producer = client
            .producer(ProducerConfig {
                acks: self.load.acks.into(),
                batch_bytes: framed.min(1_000_000),
                linger: Duration::ZERO,
                in_flight_max: usize::from(self.load.in_flight.min(5)),
                ..ProducerConfig::default()
            })
            .await?;
        let mut value = vec![0; self.load.record_size as usize];
        for chunk in value.chunks_mut(8) {
            let random = Compio.random().to_le_bytes();
            chunk.copy_from_slice(&random[..chunk.len()]);
        }
        let value = Bytes::from(value);
        for index in 0..u32::from(self.load.in_flight).min(self.partitions) {
            let partition = (self.first_loop + index) % self.partitions;
            self.write_batch(&producer, partition, &value).await?;
        }
        Ok((producer, value))
    }

    /// One of the loops that a producer has under way.
    async fn write_until(
        &self,
        end: Instant,
        producer: &Producer<Compio>,
        partition: u32,
        value: &Bytes,
        measured: &RefCell<Measured>,
    ) {
        let count = u64::from(self.load.records_per_batch());
        let failures_in_a_row = Cell::new(0);
        loop {
            let sent = Compio.now();
            // A cluster that refuses everything is told of, not hammered until the end.
            if sent >= end || failures_in_a_row.get() >= 3 {
                return;
            }
            let result = self.write_batch(producer, partition, value).await;
            let mut measured = measured.borrow_mut();
            match result {
                Ok(()) => {
                    measured.latencies.record(Compio.now() - sent, 1);
                    measured.records += count;
                    failures_in_a_row.set(0);
                }
                Err(error) => {
                    measured.errors += 1;
                    measured.last_error = Some(error.to_string());
                    failures_in_a_row.set(failures_in_a_row.get() + 1);
                }
            }
        }
    }

    async fn write_batch(
        &self,
        producer: &Producer<Compio>,
        partition: u32,
        value: &Bytes,
    ) -> Result<(), Error> {
        let mut deliveries = Vec::with_capacity(self.load.records_per_batch() as usize);
        for _ in 0..self.load.records_per_batch() {
            let record = Record::new(value.clone());
            deliveries.push(producer.send_to(&self.topic, partition, record).await?);
        }
        for delivery in deliveries {
            delivery.await?;
        }
        Ok(())
    }
}
