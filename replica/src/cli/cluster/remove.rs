use clap::Args;
use quorate_client::{ClusterMetadata, Code, Error, MemberInfo, Part};
use serde::Serialize;

use crate::cli::connection::connect_briefly;
use crate::cli::output::{self, Output};
use crate::cli::wait::{self, Progress, Waiting};
use crate::cli::{Failure, Global};

/// Have a node leave the cluster, and wait until it may be stopped
///
/// What it holds is brought to other nodes first, and another node votes in its place. Until all of
/// that is done it goes on as before, so it should run; a dead node can be removed as well, as long
/// as a majority is left everywhere. `quorate cluster add` has it stay after all.
#[derive(Debug, Args)]
pub(crate) struct Remove {
    /// The node's id
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    node: u16,
    /// Where no other node could take its place, have partitions held by fewer nodes
    #[arg(long)]
    force_shrink: bool,
    #[command(flatten)]
    waiting: Waiting,
}

#[derive(Debug, Serialize)]
struct Removed {
    node: u16,
    done: bool,
}

impl Remove {
    pub(super) async fn run(self, global: &Global) -> Result<(), Failure> {
        let client = connect_briefly(&global.bootstrap).await?;
        match client.remove_node(self.node, self.force_shrink).await {
            Ok(()) => {}
            Err(Error::Refused { refusal, .. }) if refusal.code == Code::UnknownNode => {
                output::tell(&format!("node {} is no member of the cluster", self.node));
                return self.tell_done(true, global);
            }
            Err(error) => return Err(error.into()),
        }
        if !self.waiting.no_wait {
            let remedy = "`quorate cluster status` shows how far it is";
            let look = || async { Ok(self.progress(&client.cluster_metadata().await?)) };
            wait::until_done(self.waiting.timeout, remedy, look).await?;
        }
        self.tell_done(!self.waiting.no_wait, global)
    }

    fn tell_done(&self, done: bool, global: &Global) -> Result<(), Failure> {
        let node = self.node;
        match global.output {
            Output::Json => output::print_json(&Removed { node, done }),
            Output::Table if done => output::print(&format!(
                "node {node} does not belong to the cluster: it may be stopped, and its data \
                 folder removed"
            )),
            Output::Table => output::print(&format!(
                "node {node} leaves the cluster: keep it running until `quorate cluster status` \
                 shows it no more"
            )),
        }
    }

    fn progress(&self, metadata: &ClusterMetadata) -> Progress {
        let id = self.node;
        let Some(member) = metadata.member(id) else {
            return Progress::Done;
        };
        if !member.is_leaving {
            return Progress::Missing(format!(
                "somebody wants node {id} to stay: it waits in vain"
            ));
        }
        let partitions = metadata.topics.iter().flat_map(|topic| &topic.partitions);
        let held = partitions.filter(|it| it.holders().contains(&id)).count();
        let missing = if held > 0 {
            format!("{held} partitions are still held by node {id}")
        } else if member.part == Part::Voter {
            let waits = |it: &&MemberInfo| it.shall_vote && it.part != Part::Voter;
            match metadata.members.iter().find(waits) {
                Some(next) => format!("node {} is to vote in its place", next.id),
                None => format!("node {id} hands its vote over"),
            }
        } else {
            format!("node {id} holds nothing any more and is about to be dropped")
        };
        Progress::Missing(missing)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use quorate_client::{PartitionInfo, TopicInfo};

    use super::*;

    fn member(id: u16, part: Part) -> MemberInfo {
        MemberInfo {
            id,
            control_address: "127.0.0.1:7400".to_owned(),
            is_leaving: id == 3,
            disk: Some(0),
            part,
            shall_vote: id != 3,
        }
    }

    fn said(members: Vec<MemberInfo>, holders: &[u16]) -> String {
        let partition = PartitionInfo {
            id: 1,
            index: 0,
            leader: 1,
            epoch: 1,
            voters: holders.to_vec(),
            previous: Vec::new(),
            learners: Vec::new(),
            replicas: holders.to_vec(),
            absent: Vec::new(),
        };
        let topic = TopicInfo {
            name: "events".to_owned(),
            retention: quorate_client::Retention::default(),
            compaction: None,
            partitions: vec![partition],
        };
        let metadata = ClusterMetadata {
            cluster: 5,
            version: 1,
            view: 1,
            primary: 1,
            members,
            nodes: Vec::new(),
            topics: vec![topic],
        };
        let remove = Remove {
            node: 3,
            force_shrink: false,
            waiting: Waiting {
                no_wait: false,
                timeout: Duration::ZERO,
            },
        };
        match remove.progress(&metadata) {
            Progress::Missing(missing) => missing,
            Progress::Done => "done".to_owned(),
        }
    }

    #[test]
    fn a_node_leaves_its_partitions_then_its_vote_then_the_cluster() {
        let voter = || member(3, Part::Voter);
        assert!(said(vec![voter()], &[1, 3]).contains("1 partitions"));
        let next = member(4, Part::Standby);
        assert!(said(vec![voter(), next], &[1]).contains("node 4 is to vote"));
        assert!(said(vec![voter()], &[1]).contains("hands its vote over"));
        assert!(said(vec![member(3, Part::None)], &[1]).contains("about to be dropped"));
        assert_eq!(said(vec![member(1, Part::Voter)], &[1]), "done");
    }
}
