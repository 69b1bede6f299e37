use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use quorate_platform::{Compio, Disk as _};

use super::cluster_file::{self, ClusterFile};
use super::shape::Shape;
use crate::cli::Failure;
use crate::config::{Config, Member, Storage};
use crate::error::is_no_room;
use crate::shard::RESERVE_BYTES;

/// The folder of a cluster, which no other `up` uses while this is held.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    existing: Option<ClusterFile>,
    _lock: File,
}

impl Folder {
    /// Opens the folder at `path`, creating it if it is missing.
    pub(super) fn open(path: &Path) -> Result<Self, Failure> {
        let failed = |action: &str, error: &io::Error| {
            Failure::failed(format!(
                "the folder {} cannot be {action}: {error}{}",
                path.display(),
                remedy(error)
            ))
        };
        fs::create_dir_all(path).map_err(|error| failed("created", &error))?;
        let path = path
            .canonicalize()
            .map_err(|error| failed("opened", &error))?;
        let lock = match Compio.lock(&path.join("lock")) {
            Ok(lock) => lock,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                return Err(Failure::failed(format!(
                    "the folder {} is in use by another `quorate up`: stop that one, or choose \
                     another --data-dir",
                    path.display()
                )));
            }
            Err(error) => return Err(failed("locked", &error)),
        };
        let file = path.join("cluster.json");
        let existing = ClusterFile::read(&file).map_err(|problem| {
            Failure::failed(format!(
                "{} cannot be used: {problem}; restore it, or choose another --data-dir",
                file.display()
            ))
        })?;
        if existing.is_none() && path.join("node-1").exists() {
            return Err(Failure::failed(format!(
                "{} has nodes but no cluster.json: restore it, or choose another --data-dir",
                path.display()
            )));
        }
        Ok(Self {
            path,
            existing,
            _lock: lock,
        })
    }

    /// The cluster that was there before.
    pub(super) fn existing(&self) -> Option<&ClusterFile> {
        self.existing.as_ref()
    }

    /// `problem`, told of this folder.
    pub(super) fn named(&self, problem: &str) -> String {
        format!("the folder {}: {problem}", self.path.display())
    }

    /// A node that outlived an earlier `up`, or was started by hand, holds its own lock.
    pub(super) fn check_nodes_are_stopped(&self, nodes: u16) -> Result<(), Failure> {
        for node in 1..=nodes {
            let lock = self.path.join(format!("node-{node}/data/lock"));
            if !lock.exists() {
                continue;
            }
            match Compio.lock(&lock) {
                Ok(_released_at_once) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Err(Failure::failed(format!(
                        "node {node} in {} is already running: stop it first",
                        self.path.display()
                    )));
                }
                Err(error) => {
                    let lock = lock.display();
                    return Err(Failure::failed(format!("{lock} cannot be locked: {error}")));
                }
            }
        }
        Ok(())
    }

    /// Whether no node has ever kept anything here, so that the cluster is still to be founded.
    ///
    /// A node that lost its folder while others have theirs must not found the cluster again.
    pub(super) fn is_unused(&self, nodes: u16) -> bool {
        let holds = |node| self.path.join(format!("node-{node}/data/control")).exists();
        !(1..=nodes).any(holds)
    }

    /// Refuses to found a cluster where its nodes would not start, before anything is written.
    ///
    /// Nodes that have records already start without room as well.
    pub(super) fn check_room(&self) -> Result<(), Failure> {
        // A file system that does not tell has to be tried out.
        match Compio.available_bytes(&self.path) {
            Ok(available) => self.check_available(available),
            Err(_) => Ok(()),
        }
    }

    fn check_available(&self, available: u64) -> Result<(), Failure> {
        if available >= RESERVE_BYTES {
            return Ok(());
        }
        Err(Failure::failed(self.named(&format!(
            "its file system has {} MiB free, and a new cluster takes no records while less than \
             {} MiB are: make room there, or choose another --data-dir",
            available >> 20,
            RESERVE_BYTES >> 20
        ))))
    }

    /// Writes what a cluster of `shape` needs to start.
    ///
    /// `cluster.json` goes first: once any node's folder is there, it tells what they belong to.
    pub(super) fn write(&self, shape: &Shape) -> Result<ClusterFile, Failure> {
        let cluster = ClusterFile::new(shape, &self.path);
        self.update(&cluster)?;
        let nodes: Vec<_> = cluster
            .nodes
            .iter()
            .map(|node| Member {
                id: node.id,
                control_address: node.control_address,
            })
            .collect();
        for node in &cluster.nodes {
            let config = Config {
                cluster_id: shape.cluster_id,
                node_id: node.id,
                // Told from the file's folder, so that the cluster's folder can be moved.
                data_dir: PathBuf::from("data"),
                control_address: node.control_address,
                shard_addresses: node.shard_addresses.clone(),
                pin: shape.pin,
                first_core: shape.first_core(node.id),
                storage: Storage::default(),
                nodes: nodes.clone(),
            };
            let path = &node.config_file;
            let folder = path.parent().unwrap_or(&self.path);
            let written = fs::create_dir_all(folder)
                .and_then(|()| cluster_file::replace(path, &config.to_toml()))
                .and_then(|()| File::open(&self.path)?.sync_all());
            written.map_err(|error| not_written(path, &error))?;
        }
        Ok(cluster)
    }

    /// Replaces `cluster.json`.
    pub(super) fn update(&self, cluster: &ClusterFile) -> Result<(), Failure> {
        let path = self.path.join("cluster.json");
        cluster
            .write(&path)
            .map_err(|error| not_written(&path, &error))
    }
}

fn not_written(path: &Path, error: &io::Error) -> Failure {
    Failure::failed(format!(
        "{} cannot be written: {error}{}",
        path.display(),
        remedy(error)
    ))
}

fn remedy(error: &io::Error) -> &'static str {
    match is_no_room(error.kind()) {
        true => "; make room on its file system, and try again",
        false => "",
    }
}

#[cfg(test)]
mod tests {
    use quorate_wire::ClusterId;

    use super::*;

    const SHAPE: Shape = Shape {
        cluster_id: ClusterId(7),
        nodes: 3,
        shards: 2,
        base_port: 7400,
        pin: false,
    };

    #[test]
    fn every_node_gets_a_configuration_that_it_can_read() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = Folder::open(&temporary.path().join("new")).unwrap();
        let cluster = folder.write(&SHAPE).unwrap();
        for node in &cluster.nodes {
            let config = Config::read(&node.config_file).unwrap();
            assert_eq!(config.node_id, node.id);
            assert_eq!(config.data_dir, node.data_dir);
            assert_eq!(config.nodes.len(), 3);
        }
        drop(folder);
        let again = Folder::open(&temporary.path().join("new")).unwrap();
        assert_eq!(again.existing(), Some(&cluster));
    }

    #[test]
    fn a_cluster_is_founded_once_and_not_again_for_a_node_that_lost_its_folder() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = Folder::open(temporary.path()).unwrap();
        assert!(folder.is_unused(3));
        folder.write(&SHAPE).unwrap();
        assert!(folder.is_unused(3), "no node has been started");
        fs::create_dir_all(temporary.path().join("node-3/data/control")).unwrap();
        assert!(!folder.is_unused(3));
    }

    #[test]
    fn a_full_disk_is_told_by_the_name_of_the_folder_and_what_to_do() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = Folder::open(temporary.path()).unwrap();
        assert!(folder.check_available(RESERVE_BYTES).is_ok());
        let early = folder.check_available(RESERVE_BYTES - 1).unwrap_err();
        let part = temporary.path().join("cluster.json.new");
        std::os::unix::fs::symlink("/dev/full", part).unwrap();
        let late = folder.write(&SHAPE).unwrap_err();
        for error in [early.to_string(), late.to_string()] {
            assert!(error.contains("make room"), "{error}");
            assert!(
                error.contains(temporary.path().to_str().unwrap()),
                "{error}"
            );
        }
        folder.write(&SHAPE).unwrap();
    }

    #[test]
    fn a_folder_in_use_is_refused() {
        let temporary = tempfile::tempdir().unwrap();
        let _held = Folder::open(temporary.path()).unwrap();
        let error = Folder::open(temporary.path()).unwrap_err().to_string();
        assert!(error.contains("another `quorate up`"), "{error}");
    }

    #[test]
    fn a_folder_with_a_running_node_is_refused_by_the_nodes_number() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = Folder::open(temporary.path()).unwrap();
        folder.write(&SHAPE).unwrap();
        let data = temporary.path().join("node-2/data");
        fs::create_dir(&data).unwrap();
        let held = Compio.lock(&data.join("lock")).unwrap();
        let error = folder.check_nodes_are_stopped(3).unwrap_err().to_string();
        assert!(error.contains("node 2"), "{error}");
        drop(held);
        assert!(folder.check_nodes_are_stopped(3).is_ok());
    }

    #[test]
    fn nodes_without_a_cluster_file_are_not_taken_over() {
        let temporary = tempfile::tempdir().unwrap();
        fs::create_dir(temporary.path().join("node-1")).unwrap();
        let error = Folder::open(temporary.path()).unwrap_err().to_string();
        assert!(error.contains("cluster.json"), "{error}");
    }
}
