use clap::Args;
use quorate_client::{PartitionInfo, TopicInfo};
use serde::Serialize;

use super::TopicRow;
use super::compaction;
use super::partition_row::listed;
use super::retention::{self, RetentionOptions, parse_duration_ms};
use crate::cli::connection::connect;
use crate::cli::output::{self, Output};
use crate::cli::wait::{self, Progress, Waiting};
use crate::cli::{Failure, Global};

/// The records are brought to the new nodes first, while everything goes on as before; then these
/// take the place of the old ones, which drop theirs. A change that is under way goes on when the
/// command is interrupted, and can be asked for again, or for something else.
#[derive(Debug, Args)]
pub(crate) struct Alter {
    /// The topic's name
    name: String,
    /// The nodes that shall hold it
    #[arg(long, value_name = "NODE,...", value_delimiter = ',',
          required_unless_present_any =
              ["retention", "retention_bytes", "keep_tombstones", "compact"],
          value_parser = clap::value_parser!(u16).range(1..))]
    replicas: Vec<u16>,
    /// The only partition that is meant [default: all]
    #[arg(long, value_name = "P", requires = "replicas")]
    partition: Option<u32>,
    #[command(flatten)]
    retention: RetentionOptions,
    /// How long a compacted topic keeps what says that a key is deleted
    #[arg(long, value_name = "TIME", value_parser = parse_duration_ms)]
    keep_tombstones: Option<u64>,
    /// Refused: that a topic is compacted is decided when it is created
    #[arg(long, hide = true)]
    compact: bool,
    #[command(flatten)]
    waiting: Waiting,
}

const COMPACTION_IS_FIXED: &str = "\
    whether a topic is compacted is decided when it is created: older records of this one may have \
    no keys, or be compressed; create another topic with `quorate topic create --compact`, and \
    write to that one";

#[derive(Debug, Serialize)]
struct Altered<'a> {
    name: &'a str,
    partition: Option<u32>,
    replicas: &'a [u16],
    done: bool,
}

impl Alter {
    pub(crate) async fn run(mut self, global: &Global) -> Result<(), Failure> {
        if self.compact {
            return Err(Failure::refused(COMPACTION_IS_FIXED));
        }
        let client = connect(&global.bootstrap).await?;
        // It is the one that may be refused: then nothing else is changed.
        if let Some(ms) = self.keep_tombstones {
            client.keep_tombstones(&self.name, ms).await?;
        }
        if self.retention.is_given() {
            let (ms, bytes) = (self.retention.ms(), self.retention.bytes());
            client.retain_topic(&self.name, ms, bytes).await?;
        }
        if self.replicas.is_empty() {
            let topic = client.topic_info(&self.name).await?;
            return told_kept(&topic, global);
        }
        let (name, partition) = (&self.name, self.partition);
        client.alter_topic(name, partition, &self.replicas).await?;
        self.replicas.sort_unstable();
        if !self.waiting.no_wait {
            let remedy = format!("`quorate topic describe {name}` shows how far it is");
            let look = || async {
                let topic = client.topic_info(name).await?;
                Ok(self.progress(&topic))
            };
            wait::until_done(self.waiting.timeout, &remedy, look).await?;
        }
        let altered = Altered {
            name,
            partition,
            replicas: &self.replicas,
            done: !self.waiting.no_wait,
        };
        match global.output {
            Output::Json => output::print_json(&altered),
            Output::Table => output::print(&self.told()),
        }
    }

    fn told(&self) -> String {
        let what = match self.partition {
            Some(index) => format!("partition {index} of topic {}", self.name),
            None => format!("topic {}", self.name),
        };
        let how = if self.waiting.no_wait {
            "will be held"
        } else {
            "is held"
        };
        format!("{what} {how} by nodes {}", listed(&self.replicas))
    }

    fn progress(&self, topic: &TopicInfo) -> Progress {
        let is_meant = |it: &&PartitionInfo| self.partition.is_none_or(|index| it.index == index);
        let meant: Vec<_> = topic.partitions.iter().filter(is_meant).collect();
        // Somebody may have asked for something else meanwhile: that is not what is waited for.
        let is_done = |it: &PartitionInfo| it.is_settled() && it.replicas == self.replicas;
        let (done, rest): (Vec<_>, Vec<_>) = meant.into_iter().partition(|it| is_done(it));
        let Some(first) = rest.first() else {
            return Progress::Done;
        };
        let (done, all) = (done.len(), done.len() + rest.len());
        Progress::Missing(format!(
            "{done} of {all} partitions are done; partition {} {}",
            first.index,
            self.stage(first)
        ))
    }

    fn stage(&self, partition: &PartitionInfo) -> String {
        let PartitionInfo {
            learners,
            previous,
            replicas,
            ..
        } = partition;
        if *replicas != self.replicas {
            let other = listed(replicas);
            format!("was asked for on nodes {other} meanwhile: this command waits in vain")
        } else if !previous.is_empty() {
            "hands over to its new voters".to_owned()
        } else if !learners.is_empty() {
            format!("brings node {} up to date", listed(learners))
        } else {
            "waits for its turn".to_owned()
        }
    }
}

fn told_kept(topic: &TopicInfo, global: &Global) -> Result<(), Failure> {
    match global.output {
        Output::Json => output::print_json(&TopicRow::new(topic)),
        Output::Table => {
            let (kept_for, bytes_kept) = retention::told(topic.retention);
            let compacted = topic.compaction.map(compaction::told);
            let compacted = compacted.map_or_else(String::new, |told| format!("; {told}"));
            output::print(&format!(
                "topic {}: records are kept: {kept_for}; bytes of each partition: \
                 {bytes_kept}{compacted}",
                topic.name
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use quorate_client::Retention;

    use super::*;

    fn alter(partition: Option<u32>) -> Alter {
        Alter {
            name: "events".to_owned(),
            replicas: vec![1, 4],
            partition,
            retention: RetentionOptions::default(),
            keep_tombstones: None,
            compact: false,
            waiting: Waiting {
                no_wait: false,
                timeout: Duration::ZERO,
            },
        }
    }

    fn topic(partitions: Vec<PartitionInfo>) -> TopicInfo {
        let name = "events".to_owned();
        let retention = Retention::default();
        TopicInfo {
            name,
            retention,
            compaction: None,
            partitions,
        }
    }

    fn partition(index: u32, voters: &[u16], previous: &[u16], learners: &[u16]) -> PartitionInfo {
        PartitionInfo {
            id: 1,
            index,
            leader: 1,
            epoch: 1,
            voters: voters.to_vec(),
            previous: previous.to_vec(),
            learners: learners.to_vec(),
            replicas: vec![1, 4],
            absent: Vec::new(),
        }
    }

    #[test]
    fn each_stage_is_told_until_all_partitions_are_where_they_shall_be() {
        let said = |partition: PartitionInfo| match alter(None).progress(&topic(vec![partition])) {
            Progress::Done => "done".to_owned(),
            Progress::Missing(missing) => missing,
        };
        assert!(said(partition(0, &[1, 2], &[], &[])).contains("waits for its turn"));
        assert!(said(partition(0, &[1, 2], &[], &[4])).contains("brings node 4 up to date"));
        assert!(said(partition(0, &[1, 4], &[1, 2], &[])).contains("hands over"));
        assert_eq!(said(partition(0, &[1, 4], &[], &[])), "done");
        let mut other = partition(0, &[1], &[], &[]);
        other.replicas = vec![1];
        assert!(said(other).contains("in vain"));
    }

    #[test]
    fn only_the_partition_that_is_meant_is_waited_for() {
        let topic = topic(vec![
            partition(0, &[1, 2], &[], &[]),
            partition(1, &[1, 4], &[], &[]),
        ]);
        assert_eq!(alter(Some(1)).progress(&topic), Progress::Done);
        let Progress::Missing(missing) = alter(None).progress(&topic) else {
            panic!("partition 0 has not moved");
        };
        assert!(missing.starts_with("1 of 2 partitions"), "{missing}");
    }
}
