use std::net::{Ipv4Addr, SocketAddr};

use quorate_platform::{Compio, Tasks as _};
use quorate_wire::ClusterId;

use super::cluster_file::ClusterFile;
use crate::cli::Failure;
use crate::config::SHARDS_MAX;
use crate::node::listen;

const NODES_DEFAULT: u16 = 3;
const BASE_PORT_DEFAULT: u16 = 7400;

/// What the command line asks for.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Asked {
    pub(super) nodes: Option<u16>,
    pub(super) shards: Option<u16>,
    pub(super) base_port: Option<u16>,
}

/// How many nodes and shards the cluster has, and at which addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) cluster_id: ClusterId,
    pub(super) nodes: u16,
    pub(super) shards: u16,
    pub(super) base_port: u16,
    pub(super) pin: bool,
}

impl Shape {
    /// Combines what is there with what is asked for; the error says how they contradict.
    pub(super) fn decide(
        existing: Option<&ClusterFile>,
        asked: Asked,
        cores: usize,
    ) -> Result<Self, String> {
        let nodes = fixed("nodes", existing.map(ClusterFile::node_count), asked.nodes)?;
        let nodes = nodes.unwrap_or(NODES_DEFAULT);
        let shards = fixed(
            "shards",
            existing.map(ClusterFile::shard_count),
            asked.shards,
        )?;
        let shards = shards.unwrap_or_else(|| {
            let share = (cores / usize::from(nodes)).clamp(1, SHARDS_MAX);
            u16::try_from(share).unwrap_or(u16::MAX)
        });
        let base_port = asked
            .base_port
            .or_else(|| existing.and_then(ClusterFile::base_port));
        let base_port = base_port.unwrap_or(BASE_PORT_DEFAULT);
        let ports = u32::from(nodes) * (1 + u32::from(shards));
        if u32::from(base_port) + ports > 1 << 16 {
            return Err(format!(
                "{nodes} nodes of {shards} shards need {ports} ports: --base-port may be at most \
                 {}",
                (1_u32 << 16).saturating_sub(ports)
            ));
        }
        let cluster_id = match existing {
            Some(cluster) => cluster.cluster_id()?,
            None => new_cluster_id(),
        };
        let pin = usize::from(nodes) * usize::from(shards) <= cores;
        Ok(Self {
            cluster_id,
            nodes,
            shards,
            base_port,
            pin,
        })
    }

    fn address(&self, place: u16) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.base_port + place))
    }

    /// The address of the control thread of node `node`, from 1. Those of all nodes come first, so
    /// that a client knows where to look whatever the number of shards.
    pub(super) fn control_address(&self, node: u16) -> SocketAddr {
        self.address(node - 1)
    }

    pub(super) fn shard_addresses(&self, node: u16) -> Vec<SocketAddr> {
        let first = self.nodes + (node - 1) * self.shards;
        (first..first + self.shards)
            .map(|place| self.address(place))
            .collect()
    }

    /// The core of the first shard of node `node`, where every shard has one of its own.
    pub(super) fn first_core(&self, node: u16) -> u16 {
        if self.pin {
            (node - 1) * self.shards
        } else {
            0
        }
    }

    /// Nothing may be started while another process has one of the ports.
    pub(super) async fn check_ports_are_free(&self) -> Result<(), Failure> {
        for node in 1..=self.nodes {
            let shards = self.shard_addresses(node).into_iter().enumerate();
            let shards = shards.map(|(shard, address)| (format!("its shard {shard}"), address));
            let control = ("its control thread".to_owned(), self.control_address(node));
            for (part, address) in std::iter::once(control).chain(shards) {
                // With the same patience as the node itself: nodes that were killed a moment ago
                // may not be quite gone.
                if let Err(error) = listen(&Compio, address, &part).await {
                    return Err(Failure::failed(format!(
                        "port {} on {}, which node {node} needs for {part}, cannot be used: \
                         {error}; or choose other ports with --base-port",
                        address.port(),
                        address.ip(),
                    )));
                }
            }
        }
        Ok(())
    }
}

/// A number that a folder has fixed for good.
fn fixed(what: &str, existing: Option<u16>, asked: Option<u16>) -> Result<Option<u16>, String> {
    match (existing, asked) {
        (Some(existing), Some(asked)) if existing != asked => Err(format!(
            "it holds a cluster with --{what} {existing}, and {asked} was asked for: leave \
             --{what} out, or choose another --data-dir"
        )),
        (existing, asked) => Ok(existing.or(asked)),
    }
}

fn new_cluster_id() -> ClusterId {
    let id = u128::from(Compio.random()) << 64 | u128::from(Compio.random());
    // Zero stands for "unknown".
    ClusterId(id.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decide(asked: Asked, cores: usize) -> Result<Shape, String> {
        Shape::decide(None, asked, cores)
    }

    #[test]
    fn the_default_is_three_nodes_that_share_the_cores() {
        let shape = decide(Asked::default(), 16).unwrap();
        assert_eq!((shape.nodes, shape.shards, shape.base_port), (3, 5, 7400));
        assert!(shape.pin);
        assert_eq!((shape.first_core(1), shape.first_core(3)), (0, 10));
        assert_ne!(shape.cluster_id, ClusterId::UNKNOWN);
    }

    #[test]
    fn a_small_machine_has_one_shard_per_node_and_pins_none() {
        let shape = decide(Asked::default(), 2).unwrap();
        assert_eq!(shape.shards, 1);
        assert!(!shape.pin);
    }

    #[test]
    fn control_and_shard_addresses_follow_each_other() {
        let asked = Asked {
            nodes: Some(2),
            shards: Some(2),
            base_port: Some(9000),
        };
        let shape = decide(asked, 1).unwrap();
        let ports = |addresses: Vec<SocketAddr>| -> Vec<u16> {
            addresses.iter().map(SocketAddr::port).collect()
        };
        assert_eq!(shape.control_address(1).port(), 9000);
        assert_eq!(shape.control_address(2).port(), 9001);
        let nodes = shape.nodes;
        assert_eq!(
            ports(shape.shard_addresses(1)),
            [9000 + nodes, 9001 + nodes]
        );
        assert_eq!(
            ports(shape.shard_addresses(2)),
            [9002 + nodes, 9003 + nodes]
        );
    }

    #[test]
    fn ports_beyond_the_last_are_refused_with_the_highest_that_fits() {
        let asked = |base_port| Asked {
            nodes: Some(3),
            shards: Some(1),
            base_port,
        };
        assert!(decide(asked(Some(65_530)), 1).is_ok());
        let problem = decide(asked(Some(65_531)), 1).unwrap_err();
        assert!(problem.contains("65530"), "{problem}");
    }

    #[test]
    fn an_existing_cluster_keeps_its_identity_and_shape() {
        let first = decide(
            Asked {
                nodes: Some(1),
                shards: Some(2),
                base_port: None,
            },
            1,
        )
        .unwrap();
        let cluster = ClusterFile::new(&first, std::path::Path::new("/d"));
        let again = Shape::decide(Some(&cluster), Asked::default(), 64).unwrap();
        assert_eq!(again, Shape { pin: true, ..first });
        let moved = Asked {
            base_port: Some(9000),
            ..Asked::default()
        };
        let moved = Shape::decide(Some(&cluster), moved, 64).unwrap();
        assert_eq!(
            (moved.cluster_id, moved.base_port),
            (first.cluster_id, 9000)
        );
    }

    #[test]
    fn a_contradiction_with_the_folder_is_refused_by_name() {
        let first = decide(Asked::default(), 2).unwrap();
        let cluster = ClusterFile::new(&first, std::path::Path::new("/d"));
        let nodes = Asked {
            nodes: Some(5),
            ..Asked::default()
        };
        let problem = Shape::decide(Some(&cluster), nodes, 2).unwrap_err();
        assert!(
            problem.contains("--nodes 3") && problem.contains("5 was asked"),
            "{problem}"
        );
        let shards = Asked {
            shards: Some(4),
            ..Asked::default()
        };
        let problem = Shape::decide(Some(&cluster), shards, 2).unwrap_err();
        assert!(
            problem.contains("--shards 1") && problem.contains("--data-dir"),
            "{problem}"
        );
    }

    #[compio::test]
    async fn a_taken_port_is_refused_by_number_and_node() {
        let taken = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let base_port = taken.local_addr().unwrap().port();
        let asked = Asked {
            nodes: Some(1),
            shards: Some(1),
            base_port: Some(base_port),
        };
        let error = decide(asked, 1)
            .unwrap()
            .check_ports_are_free()
            .await
            .unwrap_err()
            .to_string();
        assert!(error.contains(&format!("port {base_port}")), "{error}");
        assert!(
            error.contains("node 1") && error.contains("--base-port"),
            "{error}"
        );
    }
}
