//! Nodes that join a running cluster, and nodes that leave it.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use super::{Cluster, Node, NodeDescription};
use crate::{Failure, ports};

impl Cluster {
    /// Prepares a node that is no part of the cluster yet, with a configuration as the cluster
    /// prints it, and starts it. Its control address.
    pub fn start_newcomer(&mut self, id: u16) -> Result<String, Failure> {
        let port = ports::free_block(1 + self.options.shards)?;
        let address = format!("127.0.0.1:{port}");
        let node = id.to_string();
        let place = ["--node", &node, "--control-address", &address];
        let print = [&["cluster", "add"], &place[..], &["--print-config"]].concat();
        let config = self.command_line().run(&print)?;
        let folder = self.folder().join(format!("node-{id}"));
        fs::create_dir_all(&folder).map_err(Failure::of("making a node's folder"))?;
        let config_file = folder.join("quorate.toml");
        fs::write(&config_file, config).map_err(Failure::of("writing a configuration"))?;
        let shards = (1..=self.options.shards).map(|shard| format!("127.0.0.1:{}", port + shard));
        let description = NodeDescription {
            id,
            pid: None,
            control_address: address.clone(),
            shard_addresses: shards.collect(),
            data_dir: folder.join("data"),
            config_file,
            log_file: folder.join("node.log"),
        };
        let (process, child) = self.spawn_node(&description)?;
        let node = Node {
            description,
            process,
            child: Some(child),
        };
        self.nodes.insert(id, node);
        Ok(address)
    }

    /// The nodes that were started as newcomers.
    pub(super) fn nodes_by_hand(&mut self) -> BTreeMap<u16, Node> {
        let first = self.options.nodes + 1;
        self.nodes.split_off(&first)
    }

    /// Stops a node in order and forgets it: it is no part of the cluster any more.
    pub fn dismiss(&mut self, id: u16) -> Result<(), Failure> {
        if self.is_running(id) {
            self.terminate(id)?;
        }
        self.nodes.remove(&id);
        Ok(())
    }

    /// Takes a node's disk away: it is killed, and its data folder is emptied.
    pub fn lose_disk(&mut self, id: u16) -> Result<(), Failure> {
        if self.is_running(id) {
            self.kill(id)?;
        }
        let folder: PathBuf = self.description(id).data_dir.clone();
        fs::remove_dir_all(folder).map_err(Failure::of("emptying a data folder"))
    }
}
