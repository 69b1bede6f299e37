use serde::Serialize;

use super::node_row::NodeRow;
use crate::cli::connection::connect_briefly;
use crate::cli::output::{self, Output};
use crate::cli::{Failure, Global};

pub(super) async fn run(global: &Global) -> Result<(), Failure> {
    let client = connect_briefly(&global.bootstrap).await?;
    let cluster = client.describe_cluster().await?;
    let status = Status {
        cluster_id: client.cluster_id().to_string(),
        confirmed: cluster.doubt.is_none(),
        nodes: cluster.nodes.iter().map(NodeRow::new).collect(),
    };
    if let Some(doubt) = &cluster.doubt {
        output::tell(&format!(
            "no primary has confirmed the list of nodes, which may be out of date: {doubt}"
        ));
    }
    match global.output {
        Output::Json => output::print_json(&status),
        Output::Table => {
            let header = [
                "NODE",
                "ALIVE",
                "MEMBER",
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
            for remark in status.nodes.iter().filter_map(NodeRow::remark) {
                output::tell(&remark);
            }
            Ok(())
        }
    }
}

#[derive(Debug, Serialize)]
struct Status {
    cluster_id: String,
    /// Whether the primary has told the nodes; else it is what some node happens to know.
    confirmed: bool,
    nodes: Vec<NodeRow>,
}
