use serde::Serialize;

use super::node_row::NodeRow;
use crate::cli::connection::connect_briefly;
use crate::cli::output::{self, Output};
use crate::cli::{Failure, Global};

pub(super) async fn run(global: &Global) -> Result<(), Failure> {
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
    nodes: Vec<NodeRow>,
}
