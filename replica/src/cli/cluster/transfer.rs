use clap::Args;
use quorate_client::{Client, Compio, Error, Role};
use serde::Serialize;

use crate::cli::connection::connect_briefly;
use crate::cli::output::{self, Output};
use crate::cli::wait::{self, Progress, Waiting};
use crate::cli::{Failure, Global};

/// Have another node become the primary of the control plane
///
/// The present one hands over once the other one knows all that it knows; nothing else changes.
#[derive(Debug, Args)]
pub(crate) struct Transfer {
    /// The node that shall be the primary; one that votes
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    to: u16,
    #[command(flatten)]
    waiting: Waiting,
}

#[derive(Debug, Serialize)]
struct Transferred {
    primary: u16,
    done: bool,
}

impl Transfer {
    pub(super) async fn run(self, global: &Global) -> Result<(), Failure> {
        let client = connect_briefly(&global.bootstrap).await?;
        if self.waiting.no_wait {
            client.transfer_primary(self.to).await?;
        } else {
            let remedy = "ask again";
            wait::until_done(self.waiting.timeout, remedy, || self.look(&client)).await?;
        }
        let transferred = Transferred {
            primary: self.to,
            done: !self.waiting.no_wait,
        };
        match global.output {
            Output::Json => output::print_json(&transferred),
            Output::Table if transferred.done => {
                output::print(&format!("node {} is the primary", self.to))
            }
            Output::Table => {
                output::print(&format!("node {} was asked to become the primary", self.to))
            }
        }
    }

    /// Asks for it again each time: the primary may have given up, or be another one by now.
    async fn look(&self, client: &Client<Compio>) -> Result<Progress, Error> {
        let nodes = client.describe_nodes().await?;
        let mut statuses = nodes.iter().filter_map(|node| node.status.as_ref().ok());
        if statuses.any(|it| it.node == self.to && it.role == Role::Primary) {
            return Ok(Progress::Done);
        }
        client.transfer_primary(self.to).await?;
        Ok(Progress::Missing(format!(
            "node {} is to become the primary",
            self.to
        )))
    }
}
