use clap::Subcommand;
use quorate_client::{NodeDescription, Role};
use quorate_vsr::ViewNumber;
use serde::Serialize;

use super::connection::connect_briefly;
use super::output::{self, Output};
use super::{Failure, Global, block_on};

/// Ask how the cluster is.
#[derive(Debug, Subcommand)]
pub(crate) enum Cluster {
    /// Show every node: whether it is alive, its role, view and leaderships
    Status,
}

impl Cluster {
    pub(crate) fn run(self, global: &Global) -> Result<(), Failure> {
        super::logging::start(global, "warn", None)?;
        match self {
            Self::Status => block_on(status(global)),
        }
    }
}

async fn status(global: &Global) -> Result<(), Failure> {
    let client = connect_briefly(&global.bootstrap).await?;
    let nodes = client.describe_nodes().await?;
    let status = Status {
        cluster_id: client.cluster_id().to_string(),
        nodes: nodes.iter().map(NodeRow::new).collect(),
    };
    match global.output {
        Output::Json => output::print_json(&status),
        Output::Table => {
            let header = [
                "NODE",
                "ALIVE",
                "ROLE",
                "VIEW",
                "OP",
                "COMMIT",
                "REPLICAS",
                "LEADERSHIPS",
                "UNDER-REPLICATED",
                "CONTROL ADDRESS",
            ];
            let cells = status.nodes.iter().map(NodeRow::cells).collect();
            output::print(&format!("cluster {}", status.cluster_id))?;
            output::print(&output::table(header, cells))?;
            for node in &status.nodes {
                if let Some(error) = &node.error {
                    output::tell(&format!("node {}: {error}", node.id));
                }
            }
            Ok(())
        }
    }
}

#[derive(Debug, Serialize)]
struct Status {
    cluster_id: String,
    nodes: Vec<NodeRow>,
}

/// A node; what only itself can tell is null while it does not answer.
#[derive(Debug, Serialize)]
struct NodeRow {
    id: u16,
    alive: bool,
    control_address: String,
    shard_addresses: Vec<String>,
    role: Option<&'static str>,
    view: Option<u64>,
    op_number: Option<u64>,
    commit_number: Option<u64>,
    replicas: Option<u32>,
    leaderships: Option<u32>,
    under_replicated: Option<u32>,
    appended_records: Option<u64>,
    appended_bytes: Option<u64>,
    uptime_ms: Option<u64>,
    error: Option<String>,
}

impl NodeRow {
    fn new(node: &NodeDescription) -> Self {
        let told = node.status.as_ref().ok();
        Self {
            id: node.info.id,
            alive: node.info.alive,
            control_address: node.info.control_address.clone(),
            shard_addresses: node.info.shard_addresses.clone(),
            role: told.map(|status| role_name(status.role)),
            view: told.map(|status| status.view),
            op_number: told.map(|status| status.op_number),
            commit_number: told.map(|status| status.commit_number),
            replicas: told.map(|status| status.replicas),
            leaderships: told.map(|status| status.leaderships),
            under_replicated: told.map(|status| status.under_replicated),
            appended_records: told.map(|status| status.appended_records),
            appended_bytes: told.map(|status| status.appended_bytes),
            uptime_ms: told.map(|status| status.uptime_ms),
            error: node.status.as_ref().err().map(ToString::to_string),
        }
    }

    fn cells(&self) -> [String; 10] {
        fn number<N: ToString>(number: Option<N>) -> String {
            number.map_or("-".to_owned(), |it| it.to_string())
        }
        [
            self.id.to_string(),
            if self.alive { "yes" } else { "no" }.to_owned(),
            self.role.unwrap_or("-").to_owned(),
            number(self.view.map(ViewNumber)),
            number(self.op_number),
            number(self.commit_number),
            number(self.replicas),
            number(self.leaderships),
            number(self.under_replicated),
            self.control_address.clone(),
        ]
    }
}

/// A role in one word.
pub(crate) fn role_name(role: Role) -> &'static str {
    match role {
        Role::Primary => "primary",
        Role::Backup => "backup",
        Role::Standby => "standby",
        Role::ViewChange => "view-change",
        Role::Recovering => "recovering",
    }
}

#[cfg(test)]
mod tests {
    use quorate_client::{NodeInfo, NodeStatus, Refusal};
    use quorate_vsr::NodeId;

    use super::*;

    fn info() -> NodeInfo {
        NodeInfo {
            id: 2,
            alive: true,
            control_address: "127.0.0.1:7402".to_owned(),
            shard_addresses: vec!["127.0.0.1:7403".to_owned()],
        }
    }

    #[test]
    fn a_node_is_told_as_it_sees_itself() {
        let status = NodeStatus {
            node: 2,
            role: Role::Backup,
            view: ViewNumber::of(3, NodeId(2)).0,
            op_number: 9,
            commit_number: 8,
            replicas: 5,
            leaderships: 2,
            under_replicated: 1,
            appended_records: 100,
            appended_bytes: 2_000,
            uptime_ms: 50,
        };
        let row = NodeRow::new(&NodeDescription {
            info: info(),
            status: Ok(status),
        });
        let cells = [
            "2",
            "yes",
            "backup",
            "3.2",
            "9",
            "8",
            "5",
            "2",
            "1",
            "127.0.0.1:7402",
        ];
        assert_eq!(row.cells(), cells);
        let json = output::to_json(&row);
        assert!(
            json.contains(r#""role":"backup","view":196610,"op_number":9"#),
            "{json}"
        );
    }

    #[test]
    fn a_silent_node_has_nulls_and_the_reason() {
        let error = quorate_client::Error::Refused {
            what: "asking node 2".to_owned(),
            refusal: Refusal::new(quorate_client::Code::Stopping, "it is stopping"),
        };
        let row = NodeRow::new(&NodeDescription {
            info: info(),
            status: Err(error),
        });
        let json = output::to_json(&row);
        assert!(json.contains(r#""role":null"#), "{json}");
        assert!(json.contains("it is stopping"), "{json}");
    }
}
