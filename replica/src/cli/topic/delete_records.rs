use std::str::FromStr;

use clap::Args;
use serde::Serialize;

use crate::cli::connection::connect;
use crate::cli::output::{self, Output};
use crate::cli::{Failure, Global};

/// The command ends when a majority of the replicas has it on stable storage: then nobody reads
/// these records again, whoever leads. Batches go as a whole, so some records right before the
/// offset may stay; what is printed is where each partition begins now. The space on the disks
/// becomes free a segment at a time.
#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("which").required(true)))]
pub(crate) struct DeleteRecords {
    /// The topic's name
    name: String,
    /// The partition, counted from 0
    #[arg(long, value_name = "P", group = "which")]
    partition: Option<u32>,
    /// All partitions of the topic
    #[arg(long, group = "which")]
    all_partitions: bool,
    /// The first offset that stays, or end: all that is committed goes
    #[arg(long, value_name = "OFFSET|end")]
    before: Before,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Before {
    Offset(u64),
    End,
}

impl FromStr for Before {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "end" => Ok(Self::End),
            offset => match offset.parse() {
                Ok(offset) => Ok(Self::Offset(offset)),
                Err(_) => Err("allowed: end, or an offset from 0"),
            },
        }
    }
}

#[derive(Debug, Serialize)]
struct Begin {
    partition: u32,
    log_start_offset: u64,
}

impl DeleteRecords {
    pub(crate) async fn run(self, global: &Global) -> Result<(), Failure> {
        let client = connect(&global.bootstrap).await?;
        let before = match self.before {
            Before::Offset(offset) => Some(offset),
            Before::End => None,
        };
        let partitions = match self.partition {
            Some(partition) => vec![partition],
            None => {
                let topic = client.topic_info(&self.name).await?;
                topic.partitions.iter().map(|it| it.index).collect()
            }
        };
        let mut begins = Vec::with_capacity(partitions.len());
        for partition in partitions {
            let deleted = client.delete_records(&self.name, partition, before).await;
            begins.push(Begin {
                partition,
                log_start_offset: deleted?,
            });
        }
        match global.output {
            Output::Json => output::print_json(&begins),
            Output::Table => {
                let cells = begins.iter().map(|begin| {
                    [
                        begin.partition.to_string(),
                        begin.log_start_offset.to_string(),
                    ]
                });
                let header = ["PARTITION", "LOG START"];
                output::print(&output::table(header, cells.collect()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_a_word_or_an_offset() {
        assert_eq!("end".parse(), Ok(Before::End));
        assert_eq!("42".parse(), Ok(Before::Offset(42)));
        for bad in ["", "-1", "beginning", "18446744073709551616"] {
            assert!(bad.parse::<Before>().unwrap_err().contains("end"), "{bad}");
        }
    }
}
