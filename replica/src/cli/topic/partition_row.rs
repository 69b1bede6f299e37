use quorate_client::PartitionDescription;
use serde::Serialize;

/// A partition; what only a replica can tell is null while no replica answers.
#[derive(Debug, Serialize)]
pub(super) struct PartitionRow {
    pub(super) partition: u32,
    id: u64,
    leader: u16,
    epoch: u32,
    /// Whether the leader takes appends.
    open: bool,
    log_start_offset: Option<u64>,
    high_watermark: Option<u64>,
    /// On the leader's disk.
    bytes: Option<u64>,
    replicas: Vec<ReplicaRow>,
    /// Ranges of records that are damaged on the leader's disk.
    damaged_ranges: Option<u32>,
    /// The nodes whose majority commits.
    voters: Vec<u16>,
    /// While the voters change: those before, of whom a majority is needed as well.
    previous: Vec<u16>,
    /// While the voters change: who is sent the records to become a voter.
    learners: Vec<u16>,
    /// The nodes that shall hold it.
    wanted: Vec<u16>,
    /// Those of the voters whose disk is lost.
    lost: Vec<u16>,
    /// Why the leader does not take appends yet.
    waits_for: Option<String>,
    error: Option<String>,
}

#[derive(Debug, Serialize)]
struct ReplicaRow {
    node: u16,
    next_offset: Option<u64>,
    in_sync: Option<bool>,
}

impl PartitionRow {
    pub(super) fn new(partition: &PartitionDescription) -> Self {
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
            bytes: told.map(|status| status.bytes),
            replicas: info.holders().iter().map(replica).collect(),
            damaged_ranges: told.map(|status| status.damaged_ranges),
            voters: info.voters.clone(),
            previous: info.previous.clone(),
            learners: info.learners.clone(),
            wanted: info.replicas.clone(),
            lost: info.absent.clone(),
            waits_for: told.and_then(|status| status.waits_for.clone()),
            error: status.as_ref().err().map(ToString::to_string),
        }
    }

    /// What is wrong with it.
    pub(super) fn remark(&self) -> Option<String> {
        let (partition, leader) = (self.partition, self.leader);
        if let Some((lost, voters)) = self.lost_majority() {
            return Some(format!(
                "partition {partition}: the disks of {lost} of its {voters} voters are lost, so \
                 that no majority can ever speak for it again and nothing can be written; what \
                 the others know to be committed can still be read (`quorate consume`): \
                 save it, and delete the topic"
            ));
        }
        if let Some(why) = &self.waits_for {
            return Some(format!(
                "partition {partition}: node {leader} cannot lead it yet: {why}; start the nodes \
                 that are missing, with their disks"
            ));
        }
        if let Some(error) = &self.error {
            return Some(format!("partition {partition}: {error}"));
        }
        let ranges = self.damaged_ranges.filter(|ranges| *ranges > 0)?;
        Some(format!(
            "partition {partition}: {ranges} ranges of records are damaged on the leader's disk, \
             and it fetches them from the other replicas"
        ))
    }

    /// How many disks of how many voters are lost, if the others are no majority.
    fn lost_majority(&self) -> Option<(usize, usize)> {
        let mut sets = [&self.voters, &self.previous].into_iter();
        sets.find_map(|voters| {
            let lost = voters.iter().filter(|node| self.lost.contains(node));
            let lost = lost.count();
            (lost > 0 && lost * 2 >= voters.len()).then_some((lost, voters.len()))
        })
    }

    pub(super) fn cells(&self) -> [String; 9] {
        let number = |number: Option<u64>| number.map_or("-".to_owned(), |it| it.to_string());
        let closed = if self.open { "" } else { " (not open)" };
        let replicas = self.replicas.iter().map(|replica| {
            let behind = if replica.in_sync == Some(false) {
                "!"
            } else {
                ""
            };
            let place = number(replica.next_offset);
            format!("{}@{place}{behind}", replica.node)
        });
        [
            self.partition.to_string(),
            self.id.to_string(),
            format!("{}{closed}", self.leader),
            self.epoch.to_string(),
            number(self.log_start_offset),
            number(self.high_watermark),
            number(self.bytes),
            replicas.collect::<Vec<_>>().join(" "),
            self.change(),
        ]
    }

    /// How far a change of its voters is, and who is missing.
    fn change(&self) -> String {
        let mut words = Vec::new();
        if self.voters != self.wanted {
            words.push(format!("to {}", listed(&self.wanted)));
        }
        if !self.learners.is_empty() {
            words.push(format!("{} learning", listed(&self.learners)));
        }
        if !self.previous.is_empty() {
            let (from, to) = (listed(&self.previous), listed(&self.voters));
            words.push(format!("{from} and {to} voting"));
        }
        if !self.lost.is_empty() {
            words.push(format!("{} lost", listed(&self.lost)));
        }
        match words.is_empty() {
            true => "-".to_owned(),
            false => words.join(", "),
        }
    }
}

/// Node ids as they are told: `1,2,3`.
pub(crate) fn listed(nodes: &[u16]) -> String {
    let ids: Vec<_> = nodes.iter().map(ToString::to_string).collect();
    ids.join(",")
}

#[cfg(test)]
mod tests {
    use quorate_client::{Certainty, Error, PartitionInfo, PartitionStatus, ReplicaStatus};
    use std::time::Duration;

    use super::*;
    use crate::cli::output;

    fn info() -> PartitionInfo {
        PartitionInfo {
            id: 7,
            index: 2,
            leader: 1,
            epoch: 4,
            voters: vec![1, 3],
            previous: Vec::new(),
            learners: Vec::new(),
            replicas: vec![1, 3],
            absent: Vec::new(),
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
            bytes: 900,
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
            damaged_ranges: 2,
            waits_for: None,
        };
        let row = PartitionRow::new(&PartitionDescription {
            info: info(),
            status: Ok(status),
        });
        assert_eq!(
            output::to_json(&row),
            r#"{"partition":2,"id":7,"leader":1,"epoch":4,"open":true,"log_start_offset":0,"#
                .to_owned()
                + r#""high_watermark":10,"bytes":900,"#
                + r#""replicas":[{"node":1,"next_offset":12,"in_sync":true},"#
                + r#"{"node":3,"next_offset":10,"in_sync":false}],"damaged_ranges":2,"#
                + r#""voters":[1,3],"previous":[],"learners":[],"wanted":[1,3],"lost":[],"#
                + r#""waits_for":null,"error":null}"#
        );
        assert_eq!(
            row.cells(),
            ["2", "7", "1", "4", "0", "10", "900", "1@12 3@10!", "-"]
        );
        let remark = row.remark().unwrap();
        assert!(remark.starts_with("partition 2: 2 ranges"), "{remark}");
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
            ["2", "7", "1 (not open)", "4", "-", "-", "-", "1@- 3@-", "-"]
        );
        assert!(row.remark().unwrap().contains("describing"));
    }

    #[test]
    fn a_partition_that_nobody_can_lead_says_why() {
        let row = |absent, waits_for| {
            let info = PartitionInfo {
                voters: vec![1, 2, 3],
                absent,
                ..info()
            };
            PartitionRow::new(&PartitionDescription {
                status: Ok(PartitionStatus {
                    partition: info.id,
                    node: 1,
                    leader: 1,
                    epoch: 4,
                    is_open: false,
                    log_start_offset: 0,
                    high_watermark: 10,
                    bytes: 900,
                    replicas: Vec::new(),
                    damaged_ranges: 0,
                    waits_for,
                }),
                info,
            })
        };
        assert_eq!(row(vec![2], None).remark(), None);
        let waits_for = || Some("it needs a majority".to_owned());
        let remark = row(vec![2], waits_for()).remark().unwrap();
        assert!(remark.contains("cannot lead it yet: it needs"), "{remark}");
        let remark = row(vec![2, 3], waits_for()).remark().unwrap();
        assert!(remark.contains("disks of 2 of its 3 voters"), "{remark}");
    }

    #[test]
    fn a_change_that_is_under_way_is_told() {
        let row = |info| {
            PartitionRow::new(&PartitionDescription {
                info,
                status: Err(Error::NoRoute {
                    what: "describing".to_owned(),
                    reason: "nobody is there".to_owned(),
                }),
            })
        };
        let learning = PartitionInfo {
            learners: vec![4],
            replicas: vec![1, 4],
            ..info()
        };
        assert_eq!(
            row(learning).cells()[7..],
            ["1@- 3@- 4@-", "to 1,4, 4 learning"]
        );
        let joint = PartitionInfo {
            voters: vec![1, 4],
            previous: vec![1, 3],
            replicas: vec![1, 4],
            absent: vec![3],
            ..info()
        };
        assert_eq!(row(joint).change(), "1,3 and 1,4 voting, 3 lost");
    }
}
