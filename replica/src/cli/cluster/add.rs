use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use quorate_client::{Client, ClusterMetadata, Compio, MemberInfo, NodeDescription, Part};
use serde::Serialize;

use super::node_row::has_lost_disk;
use crate::cli::connection::connect_briefly;
use crate::cli::output::{self, Output};
use crate::cli::wait::{self, Progress, Waiting};
use crate::cli::{Failure, Global};
use crate::config::{Config, Member, SHARDS_MAX, Storage};

/// Add a node to the cluster, and wait until it is a part of it
///
/// The node is started as `quorate node --config FILE`, with a configuration that names it and the
/// nodes that there are, and an empty data folder; before or after this command. --print-config
/// prints such a configuration and changes nothing.
///
/// A new node holds nothing. New topics are placed on it, and `quorate topic alter` moves those
/// that exist.
#[derive(Debug, Args)]
pub(crate) struct Add {
    /// The node's id
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    node: u16,
    /// Where its control thread listens
    #[arg(long, value_name = "IP:PORT")]
    control_address: SocketAddr,
    /// Print a configuration for the node, and change nothing
    #[arg(long)]
    print_config: bool,
    /// In that configuration: how many shards the node has, on the ports that follow that of
    /// --control-address [default: as many as the first node has]
    #[arg(long, value_name = "N", requires = "print_config",
          value_parser = clap::value_parser!(u16).range(1..=128))]
    shards: Option<u16>,
    #[command(flatten)]
    waiting: Waiting,
}

#[derive(Debug, Serialize)]
struct Added {
    node: u16,
    control_address: String,
    done: bool,
}

impl Add {
    pub(super) async fn run(self, global: &Global) -> Result<(), Failure> {
        let client = connect_briefly(&global.bootstrap).await?;
        if self.print_config {
            let metadata = client.cluster_metadata().await?;
            let cluster = client.cluster_id();
            let config = self.config(cluster, &metadata).map_err(Failure::usage)?;
            return output::print(config.to_toml().trim_end());
        }
        client.add_node(self.node, self.control_address).await?;
        if !self.waiting.no_wait {
            let remedy = "`quorate cluster status` shows how far it is";
            wait::until_done(self.waiting.timeout, remedy, || self.look(&client)).await?;
        }
        let added = Added {
            node: self.node,
            control_address: self.control_address.to_string(),
            done: !self.waiting.no_wait,
        };
        match global.output {
            Output::Json => output::print_json(&added),
            Output::Table if added.done => {
                output::print(&format!("node {} is a part of the cluster", self.node))
            }
            Output::Table => output::print(&format!(
                "node {} becomes a part of the cluster once it is started",
                self.node
            )),
        }
    }

    async fn look(&self, client: &Client<Compio>) -> Result<Progress, quorate_client::Error> {
        let nodes = client.describe_nodes().await?;
        Ok(self.progress(nodes.iter().find(|it| it.member.id == self.node)))
    }

    fn progress(&self, node: Option<&NodeDescription>) -> Progress {
        let id = self.node;
        let Some(node) = node else {
            return Progress::Missing(format!("the cluster takes note of node {id}"));
        };
        let is_alive = node.info.as_ref().is_some_and(|info| info.alive);
        let missing = match &node.status {
            Ok(_) if has_lost_disk(node) => format!(
                "node {id} has lost the disk that it had before: `quorate cluster recover --node \
                 {id}` gives that up"
            ),
            Ok(_) if is_alive && node.member.part != Part::None => return Progress::Done,
            Ok(_) if node.member.part == Part::None => {
                format!("node {id} is there and is about to be taken in")
            }
            Ok(_) => format!("node {id} is told what happened before"),
            Err(error) => format!(
                "node {id} does not answer at {}: start it there with a configuration that names \
                 it and the present nodes (--print-config prints one): {error}",
                self.control_address
            ),
        };
        Progress::Missing(missing)
    }

    /// A configuration for the node; the error says what cannot be put into one.
    fn config(
        &self,
        cluster_id: quorate_client::ClusterId,
        metadata: &ClusterMetadata,
    ) -> Result<Config, String> {
        let others = metadata.members.iter().filter(|it| it.id != self.node);
        let member = |it: &MemberInfo| {
            let info = metadata.node(it.id);
            let address = info.map_or(&it.control_address, |info| &info.control_address);
            let control_address = address.parse();
            control_address.map(|control_address| Member {
                id: it.id,
                control_address,
            })
        };
        let nodes: Result<Vec<_>, _> = others.map(member).collect();
        let mut nodes = nodes.map_err(|error| format!("a node has no address: {error}"))?;
        nodes.push(Member {
            id: self.node,
            control_address: self.control_address,
        });
        nodes.sort_by_key(|node| node.id);
        let first = metadata.nodes.first();
        let shards = first.map_or(1, |node| node.shard_addresses.len().clamp(1, SHARDS_MAX));
        let shards = self.shards.unwrap_or(u16::try_from(shards).unwrap_or(1));
        let port = self.control_address.port();
        if port.checked_add(shards).is_none() {
            return Err(format!(
                "{shards} shards need the {shards} ports after {port}: give it a lower port"
            ));
        }
        let address = |shard| SocketAddr::new(self.control_address.ip(), port + shard);
        let config = Config {
            cluster_id,
            node_id: self.node,
            data_dir: PathBuf::from("data"),
            control_address: self.control_address,
            shard_addresses: (1..=shards).map(address).collect(),
            pin: false,
            first_core: 0,
            storage: Storage::default(),
            nodes,
        };
        // What the node would say to it.
        match Config::parse(&config.to_toml()) {
            Ok(config) => Ok(config),
            Err(reason) => Err(format!("such a node cannot be: its configuration {reason}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use quorate_client::{ClusterId, Error, NodeInfo};

    use super::*;

    fn add(node: u16, port: u16) -> Add {
        Add {
            node,
            control_address: SocketAddr::from(([127, 0, 0, 1], port)),
            print_config: true,
            shards: None,
            waiting: Waiting {
                no_wait: false,
                timeout: Duration::ZERO,
            },
        }
    }

    fn member(id: u16) -> MemberInfo {
        MemberInfo {
            id,
            control_address: format!("127.0.0.1:{}", 7400 + 10 * id),
            is_leaving: false,
            disk: None,
            part: Part::None,
            shall_vote: false,
        }
    }

    fn metadata() -> ClusterMetadata {
        let node = NodeInfo {
            id: 1,
            alive: true,
            control_address: "127.0.0.1:7500".to_owned(),
            shard_addresses: vec!["127.0.0.1:7501".to_owned(), "127.0.0.1:7502".to_owned()],
        };
        ClusterMetadata {
            cluster: 5,
            version: 1,
            view: 1,
            primary: 1,
            members: vec![member(1), member(4)],
            nodes: vec![node],
            topics: Vec::new(),
        }
    }

    #[test]
    fn the_configuration_names_the_present_nodes_and_the_new_one() {
        let config = add(3, 7433).config(ClusterId(5), &metadata()).unwrap();
        let ids: Vec<_> = config.nodes.iter().map(|node| node.id).collect();
        assert_eq!(ids, [1, 3, 4]);
        assert_eq!(
            config.nodes[0].control_address.port(),
            7500,
            "where it is now"
        );
        let ports: Vec<_> = config
            .shard_addresses
            .iter()
            .map(SocketAddr::port)
            .collect();
        assert_eq!(ports, [7434, 7435]);
        assert!(Config::parse(&config.to_toml()).is_ok());
        assert!(add(3, 65_535).config(ClusterId(5), &metadata()).is_err());
        let taken = add(3, 7440).config(ClusterId(5), &metadata());
        assert!(taken.is_err(), "node 4 has that address");
    }

    #[test]
    fn what_is_missing_is_told() {
        let said = |node: Option<NodeDescription>| match add(4, 7440).progress(node.as_ref()) {
            Progress::Missing(missing) => missing,
            Progress::Done => "done".to_owned(),
        };
        assert!(said(None).contains("takes note"));
        let silent = NodeDescription {
            member: member(4),
            info: None,
            status: Err(Error::NoRoute {
                what: "asking".to_owned(),
                reason: "nobody is there".to_owned(),
            }),
        };
        let missing = said(Some(silent));
        assert!(
            missing.contains("127.0.0.1:7440") && missing.contains("nobody"),
            "{missing}"
        );
    }
}
