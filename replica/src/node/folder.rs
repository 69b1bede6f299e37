//! The data folder: whose it is, and that nobody else uses it.
//!
//! The file `identity` tells to which cluster, node and format the folder belongs and how many
//! shards wrote it. It is made durable before anything else, so a folder with data but without it
//! is not ours.

use std::io;
use std::path::Path;

use quorate_platform::{Disk, File, OpenMode};
use quorate_wire::ClusterId;
use toml::{Table, Value};

use crate::config::Config;
use crate::error::NodeError;

/// The format of everything in the folder.
const FORMAT: i64 = 1;
/// The file that tells whose a folder is.
pub(crate) const IDENTITY: &str = "identity";

/// Whose a folder is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Identity {
    cluster: ClusterId,
    node: u16,
    shards: usize,
}

/// Takes the folder of `config` for this process, until the lock is dropped.
///
/// A node that founds a cluster may hold nothing: it would forget what it told the others.
pub(super) async fn take<D: Disk>(
    disk: &D,
    config: &Config,
    founds: bool,
) -> Result<D::Lock, NodeError> {
    let folder = &config.data_dir;
    let created = disk.create_folder(folder).await;
    created.map_err(|error| NodeError::file("create", folder, error))?;
    let path = folder.join("lock");
    let lock = disk.lock(&path).map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => {
            refused(folder, "another process uses it: stop that one first")
        }
        _ => NodeError::file("lock", &path, error),
    })?;
    let expected = Identity {
        cluster: config.cluster_id,
        node: config.node_id,
        shards: config.shard_addresses.len(),
    };
    let data = data_in(disk, folder).await?;
    match read(disk, folder).await? {
        Some(text) => check(folder, &text, expected)?,
        None if let Some(data) = &data => {
            let problem = format!(
                "it holds \"{data}\" but no \"{IDENTITY}\": restore that file, or use an empty \
                 `data_dir`"
            );
            return Err(refused(folder, problem));
        }
        None => create(disk, folder, expected).await?,
    }
    match data {
        Some(data) if founds => Err(refused(
            folder,
            format!(
                "it holds \"{data}\" already, and a node that founds a cluster starts with \
                 nothing: start it without --new-cluster, or give it an empty `data_dir` if it is \
                 to found another cluster"
            ),
        )),
        Some(_) | None => Ok(lock),
    }
}

fn refused(folder: &Path, problem: impl Into<String>) -> NodeError {
    NodeError::Folder {
        folder: folder.to_owned(),
        problem: problem.into(),
    }
}

async fn read<D: Disk>(disk: &D, folder: &Path) -> Result<Option<String>, NodeError> {
    let path = folder.join(IDENTITY);
    let file = match disk.open(&path, OpenMode::Read).await {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(NodeError::file("read", &path, error)),
    };
    // A file that is longer than this is not ours, and is refused as such.
    let read = file.read_at(Vec::with_capacity(4096), 0).await;
    read.0
        .map_err(|error| NodeError::file("read", &path, error))?;
    Ok(Some(String::from_utf8_lossy(&read.1).into_owned()))
}

fn check(folder: &Path, text: &str, expected: Identity) -> Result<(), NodeError> {
    let table: Table = text.parse().unwrap_or_default();
    let format = table.get("format").and_then(Value::as_integer);
    match format {
        Some(FORMAT) => {}
        Some(format) if format > FORMAT => {
            return Err(refused(
                folder,
                format!(
                    "it is in format {format}, and this release reads format {FORMAT}: use the \
                     release that wrote it, or a newer one"
                ),
            ));
        }
        Some(_) | None => return Err(unreadable(folder)),
    }
    let found = parse(&table).ok_or_else(|| unreadable(folder))?;
    let problem = if found.cluster != expected.cluster {
        format!(
            "it belongs to cluster {}, and the configuration says `cluster_id` {}: use another \
             `data_dir`, or the configuration of that cluster",
            found.cluster, expected.cluster
        )
    } else if found.node != expected.node {
        format!(
            "it belongs to node {}, and the configuration says `node_id` {}: give each node its \
             own `data_dir`",
            found.node, expected.node
        )
    } else if found.shards != expected.shards {
        format!(
            "it was written by {0} shards, and the configuration has {1} `shard_addresses`: give \
             it {0}",
            found.shards, expected.shards
        )
    } else {
        return Ok(());
    };
    Err(refused(folder, problem))
}

fn unreadable(folder: &Path) -> NodeError {
    NodeError::damaged(
        &folder.join(IDENTITY),
        "it does not tell to whom the folder belongs: restore the file, or keep this node stopped: \
         the others go on without it",
    )
}

fn parse(table: &Table) -> Option<Identity> {
    let cluster = u128::from_str_radix(table.get("cluster_id")?.as_str()?, 16).ok()?;
    let node = table.get("node_id")?.as_integer()?.try_into().ok()?;
    let shards = table.get("shards")?.as_integer()?.try_into().ok()?;
    Some(Identity {
        cluster: ClusterId(cluster),
        node,
        shards,
    })
}

/// The name of something in the folder that a node has kept there, if there is anything.
async fn data_in<D: Disk>(disk: &D, folder: &Path) -> Result<Option<String>, NodeError> {
    let entries = disk.list(folder).await;
    let entries = entries.map_err(|error| NodeError::file("list", folder, error))?;
    let is_data = |name: &str| name == "control" || name.starts_with("shard-");
    let mut names = entries.into_iter().map(|entry| entry.name);
    Ok(names.find(|name| is_data(name)))
}

async fn create<D: Disk>(disk: &D, folder: &Path, identity: Identity) -> Result<(), NodeError> {
    let text = format!(
        "# Whose folder this is. Do not edit.\nformat = {FORMAT}\ncluster_id = \"{}\"\nnode_id = \
         {}\nshards = {}\n",
        identity.cluster, identity.node, identity.shards
    );
    let new_path = folder.join("identity.new");
    let write = async {
        let file = disk.open(&new_path, OpenMode::CreateOrWrite).await?;
        file.set_len(0).await?;
        file.write_all_at(text.into_bytes(), 0).await.0?;
        file.sync_data().await?;
        disk.rename(&new_path, &folder.join(IDENTITY)).await?;
        disk.sync_folder(folder).await
    };
    write
        .await
        .map_err(|error| NodeError::file("write", &new_path, error))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use quorate_platform::Compio;

    use super::*;
    use crate::config::Storage;

    fn config(folder: &Path) -> Config {
        let control_address = "127.0.0.1:7400".parse().unwrap();
        Config {
            cluster_id: ClusterId(7),
            node_id: 1,
            data_dir: folder.to_owned(),
            control_address,
            shard_addresses: vec!["127.0.0.1:7401".parse().unwrap()],
            pin: false,
            first_core: 0,
            storage: Storage::default(),
            nodes: Vec::new(),
        }
    }

    async fn problem(config: &Config) -> String {
        let Err(error) = take(&Compio, config, false).await else {
            panic!("the folder was taken")
        };
        error.to_string()
    }

    #[compio::test]
    async fn a_folder_is_taken_again_by_its_own_node_only() {
        let folder = tempfile::tempdir().unwrap();
        let config = config(&folder.path().join("data"));
        drop(take(&Compio, &config, false).await.unwrap());
        let lock = take(&Compio, &config, false).await.unwrap();
        assert!(problem(&config).await.contains("another process"));
        drop(lock);
        let foreign = Config {
            cluster_id: ClusterId(8),
            ..config.clone()
        };
        assert!(problem(&foreign).await.contains("`cluster_id`"));
        let other = Config {
            node_id: 2,
            ..config.clone()
        };
        assert!(problem(&other).await.contains("`node_id`"));
        let addresses = vec![config.control_address; 2];
        let sharded = Config {
            shard_addresses: addresses,
            ..config
        };
        assert!(problem(&sharded).await.contains("`shard_addresses`"));
    }

    #[compio::test]
    async fn a_cluster_is_founded_in_a_folder_that_holds_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let config = config(folder.path());
        // It could not listen on its address, say: nothing was kept, and it may try again.
        for _ in 0..2 {
            drop(take(&Compio, &config, true).await.unwrap());
        }
        fs::create_dir(folder.path().join("control")).unwrap();
        let error = take(&Compio, &config, true).await.map(drop).unwrap_err();
        let error = error.to_string();
        assert!(error.contains("without --new-cluster"), "{error}");
        assert!(take(&Compio, &config, false).await.is_ok());
    }

    #[compio::test]
    async fn a_folder_of_a_newer_format_or_of_nobody_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let config = config(folder.path());
        fs::create_dir(folder.path().join("control")).unwrap();
        assert!(problem(&config).await.contains("no \"identity\""));
        let identity = folder.path().join(IDENTITY);
        fs::write(&identity, "format = 2\nsomething = \"else\"\n").unwrap();
        assert!(problem(&config).await.contains("format 2"));
        fs::write(&identity, "garbage").unwrap();
        assert!(problem(&config).await.contains("identity"));
        fs::write(&identity, "format = 1\n").unwrap();
        assert!(problem(&config).await.contains("identity"));
    }
}
