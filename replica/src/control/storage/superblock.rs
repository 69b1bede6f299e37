//! The file `superblock`: the group's few promises, in several copies.
//!
//! The file has four slots. A new superblock is written into two of them and made durable; the next
//! one goes into the other two. So a write that is torn by a power cut leaves the previous two
//! copies whole, and a slot that rots leaves a twin. The newest good copy wins. If there is none
//! although something was written, the node has forgotten what it promised and must not start.

use std::io;
use std::path::{Path, PathBuf};

use quorate_platform::{Disk, File, OpenMode};

use super::read_whole;
use crate::error::NodeError;

const SLOTS: u64 = 4;
/// A block of the disk, so that writing one slot never touches another.
const SLOT_BYTES: usize = 4096;
/// Length (4), CRC-32C of sequence and body (4), sequence (8).
const HEADER_BYTES: usize = 16;

/// The superblock's file, open for writing.
#[derive(Debug)]
pub(super) struct SuperblockFile<F> {
    path: PathBuf,
    file: F,
    next_sequence: u64,
}

impl<F: File> SuperblockFile<F> {
    /// Opens the file in `folder`, creating it if there is none, and gives the newest good copy.
    pub(super) async fn open<D: Disk<File = F>>(
        disk: &D,
        folder: &Path,
    ) -> Result<(Self, Option<Vec<u8>>), NodeError> {
        let path = folder.join("superblock");
        let (file, bytes) = match read_whole(disk, &path).await {
            Ok(read) => read,
            Err(NodeError::File { error, .. }) if error.kind() == io::ErrorKind::NotFound => {
                let created = create(disk, folder, &path).await;
                let file = created.map_err(|error| NodeError::file("create", &path, error))?;
                (file, Vec::new())
            }
            Err(error) => return Err(error),
        };
        let newest = bytes
            .chunks(SLOT_BYTES)
            .filter_map(read_slot)
            .max_by_key(|(sequence, _)| *sequence);
        if newest.is_none() && bytes.iter().any(|byte| *byte != 0) {
            let problem = "none of its copies is good. The node has forgotten what it promised to \
                           the others and will not start without it: restore the file";
            return Err(NodeError::damaged(&path, problem));
        }
        let next_sequence = newest.as_ref().map_or(1, |(sequence, _)| sequence + 1);
        Ok((
            Self {
                path,
                file,
                next_sequence,
            },
            newest.map(|(_, body)| body),
        ))
    }

    /// Writes `body` and makes it durable.
    pub(super) async fn write(&mut self, body: &[u8]) -> Result<(), NodeError> {
        let slot = encode_slot(self.next_sequence, body);
        let first = self.next_sequence % 2 * 2;
        for copy in 0..SLOTS / 2 {
            let position = (first + copy) * SLOT_BYTES as u64;
            let written = self.file.write_all_at(slot.clone(), position).await.0;
            written.map_err(|error| NodeError::file("write to", &self.path, error))?;
        }
        let synced = self.file.sync_data().await;
        synced.map_err(|error| NodeError::file("make durable", &self.path, error))?;
        self.next_sequence += 1;
        Ok(())
    }
}

async fn create<D: Disk>(disk: &D, folder: &Path, path: &Path) -> io::Result<D::File> {
    let file = disk.open(path, OpenMode::CreateNew).await?;
    file.write_all_at(vec![0; SLOTS as usize * SLOT_BYTES], 0)
        .await
        .0?;
    file.sync_data().await?;
    disk.sync_folder(folder).await?;
    Ok(file)
}

fn encode_slot(sequence: u64, body: &[u8]) -> Vec<u8> {
    assert!(
        HEADER_BYTES + body.len() <= SLOT_BYTES,
        "a superblock of {} bytes",
        body.len()
    );
    let length = u32::try_from(body.len()).expect("it was just compared to the slot's length");
    let mut slot = vec![0; SLOT_BYTES];
    slot[..4].copy_from_slice(&length.to_le_bytes());
    slot[8..16].copy_from_slice(&sequence.to_le_bytes());
    slot[HEADER_BYTES..HEADER_BYTES + body.len()].copy_from_slice(body);
    let checksum = crc32c::crc32c(&slot[8..HEADER_BYTES + body.len()]);
    slot[4..8].copy_from_slice(&checksum.to_le_bytes());
    slot
}

fn read_slot(slot: &[u8]) -> Option<(u64, Vec<u8>)> {
    let (header, rest) = slot.split_first_chunk::<HEADER_BYTES>()?;
    let length = u32::from_le_bytes(*header.first_chunk()?) as usize;
    let body = rest.get(..length)?;
    let checksum = crc32c::crc32c(slot.get(8..HEADER_BYTES + length)?);
    let sequence = u64::from_le_bytes(*header.last_chunk()?);
    // A slot that was never written has no sequence.
    (sequence > 0 && header[4..8] == checksum.to_le_bytes()).then(|| (sequence, body.to_vec()))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use quorate_platform::Compio;

    use super::*;

    async fn read(folder: &Path) -> Option<Vec<u8>> {
        SuperblockFile::open(&Compio, folder).await.unwrap().1
    }

    async fn write(folder: &Path, bodies: &[&str]) {
        let (mut file, _) = SuperblockFile::open(&Compio, folder).await.unwrap();
        for body in bodies {
            file.write(body.as_bytes()).await.unwrap();
        }
    }

    #[compio::test]
    async fn the_newest_superblock_comes_back() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(read(folder.path()).await, None);
        write(folder.path(), &["one", "two", "three"]).await;
        assert_eq!(read(folder.path()).await.unwrap(), b"three");
        write(folder.path(), &["four"]).await;
        assert_eq!(read(folder.path()).await.unwrap(), b"four");
    }

    #[compio::test]
    async fn one_damaged_copy_changes_nothing_and_a_torn_write_brings_back_the_previous() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), &["one", "two"]).await;
        let path = folder.path().join("superblock");
        let whole = fs::read(&path).unwrap();
        let damage = |slots: &[usize]| {
            let mut bytes = whole.clone();
            for slot in slots {
                bytes[slot * SLOT_BYTES + 17] ^= 4;
            }
            fs::write(&path, bytes).unwrap();
        };
        for slot in 0..4 {
            damage(&[slot]);
            assert_eq!(read(folder.path()).await.unwrap(), b"two", "slot {slot}");
        }
        damage(&[0, 1]);
        assert_eq!(read(folder.path()).await.unwrap(), b"one");
        damage(&[0, 1, 2, 3]);
        let error = SuperblockFile::open(&Compio, folder.path())
            .await
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("superblock") && error.contains("restore"),
            "{error}"
        );
    }
}
