use clap::{Args, Subcommand};
use quorate_client::{PartitionDescription, TopicInfo};
use serde::Serialize;

use super::connection::{connect, default_replication};
use super::output::{self, Output};
use super::{Failure, Global, block_on};

/// Create, list, describe and delete topics.
#[derive(Debug, Subcommand)]
pub(crate) enum Topic {
    /// Create a topic
    Create(Create),
    /// List all topics
    List,
    /// Show leader, epoch, replicas and offsets of each partition of a topic
    Describe(Name),
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
        let topic = client
            .create_topic(&self.name, self.partitions, replication)
            .await?;
        let row = TopicRow::new(&topic);
        match global.output {
            Output::Table => output::print(&format!(
                "created topic {}: partitions {}, replication {}",
                row.name, row.partitions, row.replication
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
            let header = ["TOPIC", "PARTITIONS", "REPLICATION"];
            let cells = rows.into_iter().map(|row| {
                [
                    row.name,
                    row.partitions.to_string(),
                    row.replication.to_string(),
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
                "REPLICAS",
            ];
            let cells = partitions.iter().map(PartitionRow::cells).collect();
            output::print(&output::table(header, cells))?;
            for row in &partitions {
                if let Some(error) = &row.error {
                    output::tell(&format!("partition {}: {error}", row.partition));
                }
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
}

impl TopicRow {
    fn new(topic: &TopicInfo) -> Self {
        Self {
            name: topic.name.clone(),
            partitions: topic.partitions.len(),
            replication: topic
                .partitions
                .iter()
                .map(|it| it.voters.len())
                .max()
                .unwrap_or(0),
        }
    }
}

#[derive(Debug, Serialize)]
struct Description {
    name: String,
    partitions: Vec<PartitionRow>,
}

/// A partition; what only a replica can tell is null while no replica answers.
#[derive(Debug, Serialize)]
struct PartitionRow {
    partition: u32,
    id: u64,
    leader: u16,
    epoch: u32,
    /// Whether the leader takes appends.
    open: bool,
    log_start_offset: Option<u64>,
    high_watermark: Option<u64>,
    replicas: Vec<ReplicaRow>,
    error: Option<String>,
}

#[derive(Debug, Serialize)]
struct ReplicaRow {
    node: u16,
    next_offset: Option<u64>,
    in_sync: Option<bool>,
}

impl PartitionRow {
    fn new(partition: &PartitionDescription) -> Self {
        let PartitionDescription { info, status } = partition;
        let told = status.as_ref().ok();
        let replica = |node: &u16| {
            let told = told.and_then(|status| status.replicas.iter().find(|it| it.node == *node));
            ReplicaRow {
                node: *node,
                next_offset: told.map(|replica| replica.next_offset),
                in_sync: told.map(|replica| replica.in_sync),
            }
        };
        Self {
            partition: info.index,
            id: info.id,
            leader: info.leader,
            epoch: info.epoch,
            open: told.is_some_and(|status| status.is_open),
            log_start_offset: told.map(|status| status.log_start_offset),
            high_watermark: told.map(|status| status.high_watermark),
            replicas: info.voters.iter().map(replica).collect(),
            error: status.as_ref().err().map(ToString::to_string),
        }
    }

    fn cells(&self) -> [String; 7] {
        let number = |number: Option<u64>| number.map_or("-".to_owned(), |it| it.to_string());
        let closed = if self.open { "" } else { " (not open)" };
        let replicas = self.replicas.iter().map(|replica| {
            let behind = if replica.in_sync == Some(false) {
                "!"
            } else {
                ""
            };
            format!("{}@{}{behind}", replica.node, number(replica.next_offset))
        });
        [
            self.partition.to_string(),
            self.id.to_string(),
            format!("{}{closed}", self.leader),
            self.epoch.to_string(),
            number(self.log_start_offset),
            number(self.high_watermark),
            replicas.collect::<Vec<_>>().join(" "),
        ]
    }
}

#[cfg(test)]
mod tests {
    use quorate_client::{Certainty, Error, PartitionInfo, PartitionStatus, ReplicaStatus};
    use std::time::Duration;

    use super::*;

    fn info() -> PartitionInfo {
        PartitionInfo {
            id: 7,
            index: 2,
            leader: 1,
            epoch: 4,
            voters: vec![1, 3],
        }
    }

    #[test]
    fn a_partition_is_told_with_the_next_offset_of_every_replica() {
        let status = PartitionStatus {
            partition: 7,
            node: 1,
            leader: 1,
            epoch: 4,
            is_open: true,
            log_start_offset: 0,
            high_watermark: 10,
            replicas: vec![
                ReplicaStatus {
                    node: 1,
                    next_offset: 12,
                    in_sync: true,
                },
                ReplicaStatus {
                    node: 3,
                    next_offset: 10,
                    in_sync: false,
                },
            ],
        };
        let row = PartitionRow::new(&PartitionDescription {
            info: info(),
            status: Ok(status),
        });
        assert_eq!(
            output::to_json(&row),
            r#"{"partition":2,"id":7,"leader":1,"epoch":4,"open":true,"log_start_offset":0,"#
                .to_owned()
                + r#""high_watermark":10,"replicas":[{"node":1,"next_offset":12,"in_sync":true},"#
                + r#"{"node":3,"next_offset":10,"in_sync":false}],"error":null}"#
        );
        assert_eq!(row.cells(), ["2", "7", "1", "4", "0", "10", "1@12 3@10!"]);
    }

    #[test]
    fn a_partition_that_does_not_answer_still_shows_where_it_is() {
        let error = Error::Deadline {
            what: "describing".to_owned(),
            after: Duration::from_secs(1),
            certainty: Certainty::Definite,
            last: None,
        };
        let row = PartitionRow::new(&PartitionDescription {
            info: info(),
            status: Err(error),
        });
        assert_eq!(
            row.cells(),
            ["2", "7", "1 (not open)", "4", "-", "-", "1@- 3@-"]
        );
        assert!(row.error.as_ref().unwrap().contains("describing"));
    }
}
