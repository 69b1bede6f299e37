mod alter;
mod compaction;
mod delete_records;
mod partition_row;
mod retention;

use clap::{Args, Subcommand};
use quorate_client::{Retention, TopicInfo};
use serde::Serialize;

use alter::Alter;
use compaction::CompactionOptions;
use delete_records::DeleteRecords;
use partition_row::PartitionRow;
use retention::RetentionOptions;

pub(in crate::cli) use retention::parse_duration_ms;

use super::connection::{connect, default_replication};
use super::output::{self, Output};
use super::{Failure, Global, block_on};

/// Create, list, describe, change and delete topics.
#[derive(Debug, Subcommand)]
pub(crate) enum Topic {
    /// Create a topic
    Create(Create),
    /// List all topics
    List,
    /// Show leader, epoch, replicas and offsets of each partition of a topic, and what changes
    Describe(Name),
    /// Change which nodes hold a topic, and wait until they do; or how much of it is kept
    Alter(Alter),
    /// Delete the records of a partition before an offset
    DeleteRecords(DeleteRecords),
    /// Delete a topic and its records
    Delete(Name),
}

#[derive(Debug, Args)]
pub(crate) struct Create {
    /// The topic's name: 1 to 249 of a-z A-Z 0-9 . _ -
    name: String,
    /// How many partitions
    #[arg(long, value_name = "N", default_value_t = 1,
          value_parser = clap::value_parser!(u32).range(1..))]
    partitions: u32,
    /// On how many nodes each partition is held [default: 3, or as many as there are nodes]
    #[arg(long, value_name = "R", value_parser = clap::value_parser!(u16).range(1..))]
    replication: Option<u16>,
    #[command(flatten)]
    retention: RetentionOptions,
    #[command(flatten)]
    compaction: CompactionOptions,
}

#[derive(Debug, Args)]
pub(crate) struct Name {
    /// The topic's name
    name: String,
}

impl Topic {
    pub(crate) fn run(self, global: &Global) -> Result<(), Failure> {
        super::logging::start(global, "warn", None)?;
        block_on(async {
            match self {
                Self::Create(create) => create.run(global).await,
                Self::List => list(global).await,
                Self::Describe(topic) => describe(&topic.name, global).await,
                Self::Alter(alter) => alter.run(global).await,
                Self::DeleteRecords(delete) => delete.run(global).await,
                Self::Delete(topic) => delete(&topic.name, global).await,
            }
        })
    }
}

impl Create {
    async fn run(self, global: &Global) -> Result<(), Failure> {
        let client = connect(&global.bootstrap).await?;
        let replication = match self.replication {
            Some(replication) => replication,
            None => default_replication(&client.cluster_metadata().await?),
        };
        let (name, partitions) = (&self.name, self.partitions);
        let created = match self.compaction.compaction() {
            None => client.create_topic(name, partitions, replication).await,
            Some(compaction) => {
                client
                    .create_compacted_topic(name, partitions, replication, compaction)
                    .await
            }
        };
        let mut topic = created?;
        if self.retention.is_given() {
            let (ms, bytes) = (self.retention.ms(), self.retention.bytes());
            client.retain_topic(&self.name, ms, bytes).await?;
            topic.retention = Retention {
                ms: ms.apply(None),
                bytes: bytes.apply(None),
            };
        }
        let row = TopicRow::new(&topic);
        match global.output {
            Output::Table => output::print(&format!(
                "created topic {}: partitions {}, replication {}{}",
                row.name,
                row.partitions,
                row.replication,
                if row.compacted { ", compacted" } else { "" }
            )),
            Output::Json => output::print_json(&row),
        }
    }
}

async fn list(global: &Global) -> Result<(), Failure> {
    let client = connect(&global.bootstrap).await?;
    let topics = client.list_topics().await?;
    let rows: Vec<_> = topics.iter().map(TopicRow::new).collect();
    match global.output {
        Output::Json => output::print_json(&rows),
        Output::Table => {
            let header = [
                "TOPIC",
                "PARTITIONS",
                "REPLICATION",
                "KEPT FOR",
                "BYTES KEPT",
                "COMPACTED",
            ];
            let cells = topics.iter().zip(rows).map(|(topic, row)| {
                let (kept_for, bytes_kept) = retention::told(topic.retention);
                let compacted = if row.compacted { "yes" } else { "no" };
                [
                    row.name,
                    row.partitions.to_string(),
                    row.replication.to_string(),
                    kept_for,
                    bytes_kept,
                    compacted.to_owned(),
                ]
            });
            output::print(&output::table(header, cells.collect()))
        }
    }
}

async fn describe(name: &str, global: &Global) -> Result<(), Failure> {
    let client = connect(&global.bootstrap).await?;
    let topic = client.describe_topic(name).await?;
    let partitions: Vec<_> = topic.partitions.iter().map(PartitionRow::new).collect();
    match global.output {
        Output::Json => output::print_json(&Description {
            name: topic.name,
            retention_ms: topic.retention.ms,
            retention_bytes: topic.retention.bytes,
            compacted: topic.compaction.is_some(),
            tombstone_ms: topic.compaction.map(|it| it.tombstone_ms),
            partitions,
        }),
        Output::Table => {
            let header = [
                "PARTITION",
                "ID",
                "LEADER",
                "EPOCH",
                "LOG START",
                "HIGH WATERMARK",
                "BYTES",
                "REPLICAS",
                "CHANGE",
            ];
            let cells = partitions.iter().map(PartitionRow::cells).collect();
            output::print(&output::table(header, cells))?;
            if topic.retention != Retention::default() {
                let (kept_for, bytes_kept) = retention::told(topic.retention);
                output::tell(&format!(
                    "records are kept: {kept_for}; bytes of each partition: {bytes_kept}"
                ));
            }
            if let Some(compaction) = topic.compaction {
                output::tell(&compaction::told(compaction));
            }
            for remark in partitions.iter().filter_map(PartitionRow::remark) {
                output::tell(&remark);
            }
            Ok(())
        }
    }
}

async fn delete(name: &str, global: &Global) -> Result<(), Failure> {
    let client = connect(&global.bootstrap).await?;
    client.delete_topic(name).await?;
    match global.output {
        Output::Table => output::print(&format!("deleted topic {name}")),
        Output::Json => output::print_json(&Deleted { deleted: name }),
    }
}

#[derive(Debug, Serialize)]
struct Deleted<'a> {
    deleted: &'a str,
}

#[derive(Debug, Serialize)]
struct TopicRow {
    name: String,
    partitions: usize,
    replication: usize,
    /// Null if records are kept for ever.
    retention_ms: Option<u64>,
    /// Null if all bytes are kept.
    retention_bytes: Option<u64>,
    compacted: bool,
    /// How long deletions are kept; null if the topic is not compacted.
    tombstone_ms: Option<u64>,
}

impl TopicRow {
    fn new(topic: &TopicInfo) -> Self {
        Self {
            name: topic.name.clone(),
            partitions: topic.partitions.len(),
            replication: topic
                .partitions
                .iter()
                .map(|it| it.replicas.len())
                .max()
                .unwrap_or(0),
            retention_ms: topic.retention.ms,
            retention_bytes: topic.retention.bytes,
            compacted: topic.compaction.is_some(),
            tombstone_ms: topic.compaction.map(|it| it.tombstone_ms),
        }
    }
}

#[derive(Debug, Serialize)]
struct Description {
    name: String,
    retention_ms: Option<u64>,
    retention_bytes: Option<u64>,
    compacted: bool,
    tombstone_ms: Option<u64>,
    partitions: Vec<PartitionRow>,
}
