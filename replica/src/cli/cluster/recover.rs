use clap::Args;
use quorate_client::{
    ClusterMetadata, MemberInfo, NodeDescription, Part, PartitionInfo, TopicInfo,
};
use serde::Serialize;

use super::node_row::has_lost_disk;
use crate::cli::connection::connect_briefly;
use crate::cli::output::{self, Output};
use crate::cli::wait::{self, Progress, Waiting};
use crate::cli::{Failure, Global};

/// Give up the lost disk of a node, and wait until all of it is replicated again
///
/// For a node that runs again, on an empty data folder, after it has lost the old one for good.
/// Until then it takes part in nothing, for it has forgotten what it promised to the others. This
/// command says that the old folder never comes back: the node becomes a new member in its own
/// place, and gets everything from the others. What only the lost disk held is lost.
#[derive(Debug, Args)]
pub(crate) struct Recover {
    /// The node's id
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    node: u16,
    #[command(flatten)]
    waiting: Waiting,
}

#[derive(Debug, Serialize)]
struct Recovered {
    node: u16,
    done: bool,
    /// Partitions of which too many disks are lost, as "topic/partition".
    lost: Vec<String>,
}

impl Recover {
    pub(super) async fn run(self, global: &Global) -> Result<(), Failure> {
        let client = connect_briefly(&global.bootstrap).await?;
        let nodes = client.describe_nodes().await?;
        let node = nodes.iter().find(|it| it.member.id == self.node);
        let metadata = client.cluster_metadata().await?;
        if self.is_needed(node, &metadata)? {
            client.recover_node(self.node).await?;
            output::tell(&format!(
                "the old disk of node {} is given up; its copies are made anew from the others",
                self.node
            ));
        }
        if !self.waiting.no_wait {
            let remedy = "`quorate cluster status` and `quorate topic describe` show how far it is";
            let look = || async { Ok(self.progress(&client.cluster_metadata().await?)) };
            wait::until_done(self.waiting.timeout, remedy, look).await?;
        }
        let metadata = client.cluster_metadata().await?;
        let recovered = Recovered {
            node: self.node,
            done: !self.waiting.no_wait,
            lost: lost_partitions(&metadata),
        };
        self.tell_done(&recovered, global)
    }

    /// Whether the disk is still to be given up; an error if there is nothing to be done at all.
    fn is_needed(
        &self,
        node: Option<&NodeDescription>,
        metadata: &ClusterMetadata,
    ) -> Result<bool, Failure> {
        let id = self.node;
        match node {
            // The cluster says what is wrong with it.
            None => Ok(true),
            Some(node) if node.status.is_err() || has_lost_disk(node) => Ok(true),
            Some(_) if self.progress(metadata) != Progress::Done => {
                output::tell(&format!("the old disk of node {id} was given up already"));
                Ok(false)
            }
            Some(_) => Err(Failure::refused(format!(
                "node {id} runs on the disk that the cluster knows, and has everything: there is \
                 nothing to recover"
            ))),
        }
    }

    fn tell_done(&self, recovered: &Recovered, global: &Global) -> Result<(), Failure> {
        let node = self.node;
        match global.output {
            Output::Json => output::print_json(recovered)?,
            Output::Table if recovered.done => {
                output::print(&format!("node {node} is a full part of the cluster again"))?;
            }
            Output::Table => output::print(&format!("node {node} is being recovered"))?,
        }
        if recovered.lost.is_empty() {
            return Ok(());
        }
        Err(Failure::failed(format!(
            "{} partitions have lost the disks of too many replicas to go on: {}. What the others \
             have of them can still be read; delete the topics to be rid of them",
            recovered.lost.len(),
            recovered.lost.join(" ")
        )))
    }

    fn progress(&self, metadata: &ClusterMetadata) -> Progress {
        let id = self.node;
        let Some(member) = metadata.member(id) else {
            return Progress::Missing(format!("node {id} is no member of the cluster"));
        };
        if !metadata.node(id).is_some_and(|node| node.alive) {
            return Progress::Missing(format!("node {id} is about to register with its new disk"));
        }
        let partitions = metadata.topics.iter().flat_map(|topic| &topic.partitions);
        let is_concerned = |it: &&PartitionInfo| {
            let is_named = it.absent.contains(&id) || it.replicas.contains(&id);
            is_named && !it.is_settled() && !is_lost(it)
        };
        let left = partitions.filter(is_concerned).count();
        if left > 0 {
            return Progress::Missing(format!("{left} partitions are still to be replicated"));
        }
        match missing_part(member) {
            Some(part) => Progress::Missing(format!("node {id} is to be a {part} again")),
            None => Progress::Done,
        }
    }
}

/// What the member is to be in the control plane's group and is not yet.
fn missing_part(member: &MemberInfo) -> Option<&'static str> {
    match (member.part, member.shall_vote) {
        (Part::Voter, _) | (Part::Standby, false) => None,
        (Part::Standby | Part::None, true) => Some("voter"),
        (Part::None, false) => Some("standby"),
    }
}

/// Whether too many of its voters have lost their disks for anything to be decided.
fn is_lost(partition: &PartitionInfo) -> bool {
    let is_beyond = |set: &Vec<u16>| {
        let lost = set.iter().filter(|node| partition.absent.contains(node));
        !set.is_empty() && lost.count() * 2 >= set.len()
    };
    is_beyond(&partition.voters) || is_beyond(&partition.previous)
}

fn lost_partitions(metadata: &ClusterMetadata) -> Vec<String> {
    let of_topic = |topic: &TopicInfo| {
        let lost = topic.partitions.iter().filter(|it| is_lost(it));
        let names = lost.map(|it| format!("{}/{}", topic.name, it.index));
        names.collect::<Vec<_>>()
    };
    metadata.topics.iter().flat_map(of_topic).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use quorate_client::NodeInfo;

    use super::*;

    fn recover() -> Recover {
        Recover {
            node: 3,
            waiting: Waiting {
                no_wait: false,
                timeout: Duration::ZERO,
            },
        }
    }

    fn partition(voters: &[u16], absent: &[u16]) -> PartitionInfo {
        PartitionInfo {
            id: 1,
            index: 4,
            leader: 1,
            epoch: 1,
            voters: voters.to_vec(),
            previous: Vec::new(),
            learners: Vec::new(),
            replicas: vec![1, 2, 3],
            absent: absent.to_vec(),
        }
    }

    fn metadata(part: Part, alive: bool, partition: PartitionInfo) -> ClusterMetadata {
        let member = MemberInfo {
            id: 3,
            control_address: "127.0.0.1:7400".to_owned(),
            is_leaving: false,
            disk: Some(9),
            part,
            shall_vote: true,
        };
        let node = NodeInfo {
            id: 3,
            alive,
            control_address: "127.0.0.1:7400".to_owned(),
            shard_addresses: Vec::new(),
        };
        ClusterMetadata {
            cluster: 5,
            version: 1,
            view: 1,
            primary: 1,
            members: vec![member],
            nodes: vec![node],
            topics: vec![TopicInfo {
                name: "events".to_owned(),
                retention: quorate_client::Retention::default(),
                compaction: None,
                partitions: vec![partition],
            }],
        }
    }

    #[test]
    fn it_is_done_when_everything_is_there_and_the_vote_is_back() {
        let whole = || partition(&[1, 2, 3], &[]);
        let said = |metadata: &ClusterMetadata| match recover().progress(metadata) {
            Progress::Missing(missing) => missing,
            Progress::Done => "done".to_owned(),
        };
        let absent = partition(&[1, 2, 3], &[3]);
        assert!(said(&metadata(Part::Voter, false, absent.clone())).contains("register"));
        assert!(said(&metadata(Part::Standby, true, absent)).contains("1 partitions"));
        assert!(said(&metadata(Part::Standby, true, whole())).contains("a voter again"));
        assert_eq!(said(&metadata(Part::Voter, true, whole())), "done");
    }

    #[test]
    fn what_is_lost_for_good_is_not_waited_for_but_told() {
        let metadata = metadata(Part::Voter, true, partition(&[1, 2, 3], &[2, 3]));
        assert_eq!(recover().progress(&metadata), Progress::Done);
        assert_eq!(lost_partitions(&metadata), ["events/4"]);
    }
}
