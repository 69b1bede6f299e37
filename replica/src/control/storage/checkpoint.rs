//! The files `checkpoint-OP`: states of the catalog that the journal builds upon, by the last
//! operation that went into them.
//!
//! The superblock names the one that counts. A new one is written beside it, under another name
//! until it is whole and durable; the old one is removed when a durable superblock names the new
//! one.

use std::io;
use std::path::{Path, PathBuf};

use quorate_platform::{Disk, File, OpenMode};
use quorate_vsr::OpNumber;

use super::read_whole;
use crate::error::NodeError;

const PREFIX: &str = "checkpoint-";
const NEW_NAME: &str = "checkpoint.new";

/// Where the checkpoint at `op` is kept.
pub(super) fn path_of(folder: &Path, op: OpNumber) -> PathBuf {
    folder.join(format!("{PREFIX}{op}"))
}

/// The bytes of the checkpoint at `op`.
pub(super) async fn read<D: Disk>(
    disk: &D,
    folder: &Path,
    op: OpNumber,
) -> Result<Vec<u8>, NodeError> {
    Ok(read_whole(disk, &path_of(folder, op)).await?.1)
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
    let remove = async {
        let entries = disk.list(folder).await?;
        let numbers = entries
            .iter()
            .filter_map(|entry| entry.name.strip_prefix(PREFIX));
        for old in numbers
            .filter_map(|number| number.parse().ok())
            .filter(|old| *old < op.0)
        {
            disk.remove_file(&path_of(folder, OpNumber(old))).await?;
        }
        io::Result::Ok(())
    };
    // Whether the removal is durable does not matter: it would only be done again.
    remove
        .await
        .map_err(|error| NodeError::file("tidy", folder, error))
}

#[cfg(test)]
mod tests {
    use quorate_platform::Compio;

    use super::*;

    #[compio::test]
    async fn a_checkpoint_is_written_whole_and_older_ones_go_when_told() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        std::fs::write(folder.join(NEW_NAME), b"left by an interrupted attempt").unwrap();
        write(&Compio, folder, OpNumber(9), b"a state".to_vec())
            .await
            .unwrap();
        write(&Compio, folder, OpNumber(10), b"newer".to_vec())
            .await
            .unwrap();
        assert_eq!(
            read(&Compio, folder, OpNumber(9)).await.unwrap(),
            b"a state"
        );
        remove_before(&Compio, folder, OpNumber(10)).await.unwrap();
        assert!(read(&Compio, folder, OpNumber(9)).await.is_err());
        assert_eq!(read(&Compio, folder, OpNumber(10)).await.unwrap(), b"newer");
    }
}
