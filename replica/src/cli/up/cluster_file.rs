use std::fs::{self, File};
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use quorate_wire::ClusterId;
use serde::{Deserialize, Serialize};

use super::shape::Shape;

/// `cluster.json`: where everything of the cluster is, for people and scripts, and for the next
/// start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ClusterFile {
    cluster_id: String,
    /// An address for clients to start from.
    pub(super) bootstrap: SocketAddr,
    /// The process that runs the cluster, while it runs.
    pub(super) pid: Option<u32>,
    pub(super) nodes: Vec<NodeEntry>,
}

/// One node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct NodeEntry {
    pub(super) id: u16,
    /// The node's process, if `up` has started it and it runs.
    pub(super) pid: Option<u32>,
    pub(super) control_address: SocketAddr,
    pub(super) shard_addresses: Vec<SocketAddr>,
    pub(super) data_dir: PathBuf,
    pub(super) config_file: PathBuf,
    pub(super) log_file: PathBuf,
}

impl ClusterFile {
    /// A cluster of `shape` in `folder`, of which nothing runs yet.
    pub(super) fn new(shape: &Shape, folder: &Path) -> Self {
        let node = |id| {
            let folder = folder.join(format!("node-{id}"));
            NodeEntry {
                id,
                pid: None,
                control_address: shape.control_address(id),
                shard_addresses: shape.shard_addresses(id),
                data_dir: folder.join("data"),
                config_file: folder.join("quorate.toml"),
                log_file: folder.join("node.log"),
            }
        };
        Self {
            cluster_id: shape.cluster_id.to_string(),
            bootstrap: shape.control_address(1),
            pid: None,
            nodes: (1..=shape.nodes).map(node).collect(),
        }
    }

    /// Reads the file at `path`; `None` if there is none. The error says what is wrong with it.
    pub(super) fn read(path: &Path) -> Result<Option<Self>, String> {
        let text = match fs::read(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            text => text.map_err(|error| error.to_string())?,
        };
        let cluster: Self = serde_json::from_slice(&text).map_err(|error| error.to_string())?;
        cluster.cluster_id()?;
        let is_in_order = cluster
            .nodes
            .iter()
            .map(|node| node.id)
            .eq(1..=cluster.node_count());
        let is_even =
            |node: &NodeEntry| node.shard_addresses.len() == usize::from(cluster.shard_count());
        if !is_in_order || cluster.nodes.is_empty() || !cluster.nodes.iter().all(is_even) {
            return Err("its nodes are not numbered from 1, or differ in shards".to_owned());
        }
        Ok(Some(cluster))
    }

    /// Replaces the file at `path`: who reads it sees the old or the new one, whole.
    pub(super) fn write(&self, path: &Path) -> io::Result<()> {
        let text = serde_json::to_string_pretty(self)
            .expect("structs with string keys can be written as JSON");
        replace(path, &(text + "\n"))
    }

    pub(super) fn cluster_id(&self) -> Result<ClusterId, String> {
        match u128::from_str_radix(&self.cluster_id, 16) {
            Ok(id) if id != 0 => Ok(ClusterId(id)),
            _ => Err(format!(
                "the cluster_id \"{}\" is not hexadecimal",
                self.cluster_id
            )),
        }
    }

    pub(super) fn node_count(&self) -> u16 {
        u16::try_from(self.nodes.len()).unwrap_or(u16::MAX)
    }

    pub(super) fn shard_count(&self) -> u16 {
        let shards = self
            .nodes
            .first()
            .map_or(0, |node| node.shard_addresses.len());
        u16::try_from(shards).unwrap_or(u16::MAX)
    }

    pub(super) fn base_port(&self) -> Option<u16> {
        self.nodes.first().map(|node| node.control_address.port())
    }
}

/// Gives `path` the content `text`, durably and at once.
///
/// What is there already is not written again: on a full disk there is no room for it twice.
pub(super) fn replace(path: &Path, text: &str) -> io::Result<()> {
    if fs::read(path).is_ok_and(|found| found == text.as_bytes()) {
        File::open(path)?.sync_all()?;
    } else {
        let mut name = path.as_os_str().to_owned();
        name.push(".new");
        let renamed = write(Path::new(&name), text).and_then(|()| fs::rename(&name, path));
        if let Err(error) = renamed {
            // A part of it is of no use to anybody, and takes room.
            let _ = fs::remove_file(&name);
            return Err(error);
        }
    }
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cluster() -> ClusterFile {
        let shape = Shape {
            cluster_id: ClusterId(0xabc),
            nodes: 2,
            shards: 2,
            base_port: 7400,
            pin: false,
        };
        ClusterFile::new(&shape, Path::new("/d"))
    }

    #[test]
    fn what_is_written_is_read_back_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cluster.json");
        assert_eq!(ClusterFile::read(&path), Ok(None));
        let mut cluster = cluster();
        cluster.nodes[0].pid = Some(42);
        cluster.write(&path).unwrap();
        assert_eq!(ClusterFile::read(&path), Ok(Some(cluster)));
    }

    #[test]
    fn what_finds_no_room_leaves_everything_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cluster.json");
        let (old, mut new) = (cluster(), cluster());
        new.pid = Some(42);
        old.write(&path).unwrap();
        let is_full = || {
            // On this device there is never room.
            let part = folder.path().join("cluster.json.new");
            std::os::unix::fs::symlink("/dev/full", part).unwrap();
        };
        is_full();
        let error = new.write(&path).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        assert_eq!(ClusterFile::read(&path), Ok(Some(old.clone())));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        is_full();
        old.write(&path).unwrap();
        fs::remove_file(folder.path().join("cluster.json.new")).unwrap();
        new.write(&path).unwrap();
        assert_eq!(ClusterFile::read(&path), Ok(Some(new)));
    }

    #[test]
    fn the_names_are_those_that_scripts_rely_on() {
        let json = serde_json::to_value(cluster()).unwrap();
        let node = &json["nodes"][1];
        assert_eq!(node["id"], 2);
        assert_eq!(node["pid"], serde_json::Value::Null);
        assert_eq!(node["control_address"], "127.0.0.1:7401");
        assert_eq!(node["shard_addresses"][1], "127.0.0.1:7405");
        assert_eq!(node["data_dir"], "/d/node-2/data");
        assert_eq!(node["config_file"], "/d/node-2/quorate.toml");
        assert_eq!(node["log_file"], "/d/node-2/node.log");
        assert_eq!(json["bootstrap"], "127.0.0.1:7400");
    }

    #[test]
    fn a_file_that_is_not_ours_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cluster.json");
        let mut gap = cluster();
        gap.nodes.remove(0);
        let mut nameless = cluster();
        nameless.cluster_id = "xyz".to_owned();
        for cluster in [gap, nameless] {
            cluster.write(&path).unwrap();
            assert!(ClusterFile::read(&path).is_err());
        }
        fs::write(&path, "{\"nodes\": 3").unwrap();
        assert!(ClusterFile::read(&path).is_err());
    }
}
