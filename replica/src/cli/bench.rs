//! A closed-loop benchmark: as many batches under way as were asked for, each followed by the next
//! as soon as it is acknowledged. So a stall shows as one slow batch per loop, not as the queue
//! that arrivals at a fixed rate would have built up.

mod consume;
mod produce;
mod report;

use std::time::Duration;

use clap::{Args, Subcommand};
use quorate_client::{Client, Compio, TopicInfo};
use quorate_platform::Tasks as _;

use super::connection::{connect, default_replication};
use super::output::{self, Output};
use super::produce::AcksName;
use super::{Bootstrap, Failure, Global, block_on, duration};

/// Measure the cluster.
#[derive(Debug, Subcommand)]
pub(crate) enum Bench {
    /// Append as fast as acknowledgements come, and report throughput and latency
    Produce(Load),
    /// Read a topic from beginning to end, and report throughput
    ///
    /// Without --topic a topic is first filled, as by `bench produce`.
    Consume(Load),
}

/// What is written. Each producer is a thread with a client of its own.
#[derive(Clone, Debug, Args)]
pub(crate) struct Load {
    /// The topic; `produce` creates it if it does not exist [default: a new one with a random name]
    #[arg(long, value_name = "NAME")]
    topic: Option<String>,
    /// Bytes of each record
    #[arg(long, value_name = "BYTES", default_value_t = 1024,
          value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    record_size: u32,
    /// Bytes of records that are sent and acknowledged together, at least one record
    #[arg(long, value_name = "BYTES", default_value_t = 65_536,
          value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    batch_size: u32,
    /// Partitions of a topic that is created
    #[arg(long, value_name = "N", default_value_t = 3,
          value_parser = clap::value_parser!(u32).range(1..))]
    partitions: u32,
    /// Replicas of each partition of a topic that is created [default: 3, or as many as there are
    /// nodes]
    #[arg(long, value_name = "R", value_parser = clap::value_parser!(u16).range(1..))]
    replication: Option<u16>,
    /// Producers
    #[arg(long, value_name = "N", default_value_t = 1,
          value_parser = clap::value_parser!(u16).range(1..=64))]
    producers: u16,
    /// Batches that each producer has under way
    #[arg(long, value_name = "N", default_value_t = 5,
          value_parser = clap::value_parser!(u16).range(1..=1_024))]
    in_flight: u16,
    /// When a batch counts as acknowledged
    #[arg(long, value_enum, default_value = "quorum")]
    acks: AcksName,
    /// How long to write
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration::parse)]
    duration: Duration,
}

impl Load {
    /// Records that are sent together.
    fn records_per_batch(&self) -> u32 {
        (self.batch_size / self.record_size).max(1)
    }

    /// The topic's name and number of partitions; it exists afterwards.
    async fn prepare_topic(&self, client: &Client<Compio>) -> Result<(String, u32), Failure> {
        let metadata = client.cluster_metadata().await?;
        let name = match &self.topic {
            Some(name) => name.clone(),
            None => format!("bench-{:08x}", Compio.random() >> 32),
        };
        if let Ok(topic) = metadata.topic(&name) {
            return Ok((name, partitions_of(topic)));
        }
        let replication = self
            .replication
            .unwrap_or_else(|| default_replication(&metadata));
        let topic = client
            .create_topic(&name, self.partitions, replication)
            .await?;
        Ok((name, partitions_of(&topic)))
    }
}

fn partitions_of(topic: &TopicInfo) -> u32 {
    u32::try_from(topic.partitions.len()).unwrap_or(u32::MAX)
}

impl Bench {
    pub(crate) fn run(self, global: &Global) -> Result<(), Failure> {
        super::logging::start(global, "warn", None)?;
        let report = match self {
            Self::Produce(load) => produce::run(&load, &global.bootstrap)?,
            Self::Consume(load) => {
                let topic = match load.topic.clone() {
                    Some(topic) => topic,
                    None => {
                        let filled = produce::run(&load, &global.bootstrap)?;
                        output::tell(&format!("filled topic {}", filled.topic));
                        filled.topic
                    }
                };
                block_on(consume::run(topic, &global.bootstrap))?
            }
        };
        match global.output {
            Output::Table => output::print(&report.text())?,
            Output::Json => output::print_json(&report)?,
        }
        report.failure()
    }
}
