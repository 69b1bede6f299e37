//! The files `checkpoint-OP`: states of the catalog that the journal builds upon, by the last
//! operation that went into them.
//!
//! The superblock names the one that counts. A new one is written beside it, under another name
//! until it is whole and durable; the old one is removed when a durable superblock names the new
//! one.

use std::io;
use std::path::{Path, PathBuf};

use quorate_platform::{Disk, File, OpenMode};
use quorate_vsr::group::Checkpoint;
use quorate_vsr::{Damaged, OpNumber};

use super::read_whole;
use crate::error::NodeError;

const PREFIX: &str = "checkpoint-";
const NEW_NAME: &str = "checkpoint.new";

/// Where the checkpoint at `op` is kept.
pub(super) fn path_of(folder: &Path, op: OpNumber) -> PathBuf {
    folder.join(format!("{PREFIX}{op}"))
}

/// The checkpoint at `op`; `None` if there is none or it cannot be read.
///
/// What cannot be read stays where it is until a later one has replaced it.
pub(super) async fn find<D: Disk>(
    disk: &D,
    folder: &Path,
    op: OpNumber,
) -> Result<Option<Checkpoint>, NodeError> {
    if op == OpNumber(0) {
        return Ok(None);
    }
    let path = path_of(folder, op);
    let problem = match read_whole(disk, &path).await {
        Ok((_, bytes)) => match Checkpoint::decode(&bytes) {
            Ok(checkpoint) => return Ok(Some(checkpoint)),
            Err(Damaged::Version(version)) => return Err(NodeError::version(&path, version)),
            Err(error) => error.to_string(),
        },
        Err(NodeError::File { error, .. }) if error.kind() == io::ErrorKind::NotFound => {
            "it is missing".to_owned()
        }
        Err(error) => return Err(error),
    };
    let file = path.display();
    tracing::warn!(%file, problem, "the checkpoint cannot be read: asking the others for it");
    Ok(None)
}

/// Whether there is any checkpoint.
pub(super) async fn is_any<D: Disk>(disk: &D, folder: &Path) -> Result<bool, NodeError> {
    Ok(!numbers(disk, folder).await?.is_empty())
}

/// Writes the checkpoint at `op`, durably, whole or not at all.
pub(super) async fn write<D: Disk>(
    disk: &D,
    folder: &Path,
    op: OpNumber,
    bytes: Vec<u8>,
) -> Result<(), NodeError> {
    let new_path = folder.join(NEW_NAME);
    let write = async {
        let file = disk.open(&new_path, OpenMode::CreateOrWrite).await?;
        // An earlier attempt may have left a longer file behind.
        file.set_len(0).await?;
        file.write_all_at(bytes, 0).await.0?;
        file.sync_data().await?;
        disk.rename(&new_path, &path_of(folder, op)).await?;
        disk.sync_folder(folder).await
    };
    write
        .await
        .map_err(|error| NodeError::file("write", &new_path, error))
}

/// Removes the checkpoints before the one at `op`.
pub(super) async fn remove_before<D: Disk>(
    disk: &D,
    folder: &Path,
    op: OpNumber,
) -> Result<(), NodeError> {
    for old in numbers(disk, folder).await? {
        if old < op {
            let path = path_of(folder, old);
            let removed = disk.remove_file(&path).await;
            // Whether the removal is durable does not matter: it would only be done again.
            removed.map_err(|error| NodeError::file("remove", &path, error))?;
        }
    }
    Ok(())
}

/// The operations that the checkpoints in `folder` end with.
async fn numbers<D: Disk>(disk: &D, folder: &Path) -> Result<Vec<OpNumber>, NodeError> {
    let entries = disk.list(folder).await;
    let entries = entries.map_err(|error| NodeError::file("list", folder, error))?;
    let names = entries.iter().map(|entry| entry.name.as_str());
    let numbers = names.filter_map(|name| name.strip_prefix(PREFIX)?.parse().ok());
    Ok(numbers.map(OpNumber).collect())
}

#[cfg(test)]
mod tests {
    use quorate_platform::Compio;
    use quorate_vsr::NodeId;
    use quorate_vsr::group::{ClientTable, Contents, Head, Membership};

    use super::*;

    fn checkpoint(op: u64) -> Checkpoint {
        let head = Head {
            op: OpNumber(op),
            ..Head::default()
        };
        Checkpoint::new(&Contents {
            head,
            membership: Membership::founded_by(&[NodeId(1)]),
            client_table: ClientTable::default(),
            state: format!("state {op}").into_bytes(),
        })
    }

    async fn write_one(folder: &Path, checkpoint: &Checkpoint) {
        let bytes = checkpoint.bytes().to_vec();
        write(&Compio, folder, checkpoint.op(), bytes)
            .await
            .unwrap();
    }

    async fn find_one(folder: &Path, op: u64) -> Option<Checkpoint> {
        find(&Compio, folder, OpNumber(op)).await.unwrap()
    }

    #[compio::test]
    async fn a_checkpoint_is_written_whole_and_older_ones_go_when_told() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        std::fs::write(folder.join(NEW_NAME), b"left by an interrupted attempt").unwrap();
        assert!(!is_any(&Compio, folder).await.unwrap());
        let (first, second) = (checkpoint(9), checkpoint(10));
        write_one(folder, &first).await;
        write_one(folder, &second).await;
        assert_eq!(find_one(folder, 9).await, Some(first));
        remove_before(&Compio, folder, OpNumber(10)).await.unwrap();
        assert_eq!(find_one(folder, 9).await, None);
        assert_eq!(find_one(folder, 10).await, Some(second));
        assert!(is_any(&Compio, folder).await.unwrap());
    }

    #[compio::test]
    async fn a_damaged_checkpoint_is_none_and_stays_until_it_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        write_one(folder, &checkpoint(9)).await;
        let path = path_of(folder, OpNumber(9));
        let bytes = std::fs::read(&path).unwrap();
        for position in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[position] ^= 8;
            std::fs::write(&path, &damaged).unwrap();
            assert_eq!(find_one(folder, 9).await, None, "byte {position}");
            assert_eq!(std::fs::read(&path).unwrap(), damaged);
        }
        write_one(folder, &checkpoint(9)).await;
        assert_eq!(find_one(folder, 9).await, Some(checkpoint(9)));
    }
}
