//! The file `superblock`: the group's few promises, in several copies.
//!
//! The file has four slots. A new superblock is written into the first two of them, made durable,
//! then written into the other two and made durable again; only then is it reported. So at any
//! moment two slots are not being written. And what was reported once stands in all four, or would
//! if none had been damaged: a single good copy is enough to know it, and if several differ, the
//! newest one counts. If no copy is good although something was written, the node has forgotten
//! what it promised and must not start.
//!
//! Beside the superblock each copy holds how far the journal was durable when it was written, so
//! that the end of the journal cannot get lost without a trace.

use std::io;
use std::path::{Path, PathBuf};

use quorate_platform::{Disk, File, OpenMode};

use super::journal::Place;
use super::read_whole;
use crate::error::NodeError;

const SLOTS: usize = 4;
/// A block of the disk, so that writing one slot never touches another.
const SLOT_BYTES: usize = 4096;
/// Length (4), CRC-32C of all that follows (4), sequence (8), place (40).
const HEADER_BYTES: usize = 16 + Place::BYTES;

/// The superblock's file, open for writing.
#[derive(Debug)]
pub(super) struct SuperblockFile<F> {
    path: PathBuf,
    file: F,
    sequence: u64,
    body: Option<Vec<u8>>,
}

/// The newest good copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FoundSuperblock {
    pub(super) body: Vec<u8>,
    /// Up to where the journal was durable.
    pub(super) journal: Place,
    sequence: u64,
}

/// No copy is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Forgotten;

impl<F: File> SuperblockFile<F> {
    /// Opens the file in `folder`, creating it if there is none, and gives the newest good copy.
    pub(super) async fn open<D: Disk<File = F>>(
        disk: &D,
        folder: &Path,
    ) -> Result<(Self, Result<Option<FoundSuperblock>, Forgotten>), NodeError> {
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
        let copies: Vec<_> = bytes.chunks(SLOT_BYTES).map(read_slot).collect();
        let newest = copies.iter().flatten().max_by_key(|copy| copy.sequence);
        let mut superblock = Self {
            path,
            file,
            sequence: newest.map_or(0, |copy| copy.sequence),
            body: newest.map(|copy| copy.body.clone()),
        };
        let found = match newest {
            Some(newest) => {
                superblock.mend(newest, &copies).await?;
                Ok(Some(newest.clone()))
            }
            None if bytes.iter().any(|byte| *byte != 0) => Err(Forgotten),
            None => Ok(None),
        };
        Ok((superblock, found))
    }

    /// Writes `body` and makes it durable.
    pub(super) async fn write(&mut self, body: Vec<u8>, journal: Place) -> Result<(), NodeError> {
        self.sequence += 1;
        let slot = encode_slot(self.sequence, journal, &body);
        self.body = Some(body);
        for slots in [0..SLOTS / 2, SLOTS / 2..SLOTS] {
            self.write_slots(slots, &slot).await?;
        }
        Ok(())
    }

    /// Keeps how far the journal has got with the superblock that is there, if there is one.
    pub(super) async fn note(&mut self, journal: Place) -> Result<(), NodeError> {
        match self.body.take() {
            Some(body) => self.write(body, journal).await,
            None => Ok(()),
        }
    }

    /// Makes the newest copy durable, for it is believed from now on and may have been read from
    /// the memory of the system; and writes it over all that differ. Good ones are the last to go.
    async fn mend(
        &mut self,
        newest: &FoundSuperblock,
        copies: &[Option<FoundSuperblock>],
    ) -> Result<(), NodeError> {
        let slot = encode_slot(newest.sequence, newest.journal, &newest.body);
        let copy = |slot: &usize| copies.get(*slot).and_then(Option::as_ref);
        let (good, bad): (Vec<_>, Vec<_>) = (0..SLOTS).partition(|slot| copy(slot).is_some());
        let older = good.into_iter().filter(|slot| copy(slot) != Some(newest));
        let older: Vec<_> = older.collect();
        if !bad.is_empty() {
            let file = self.path.display();
            tracing::warn!(%file, ?bad, "copies of the superblock are damaged: writing them again");
        }
        self.write_slots(bad, &slot).await?;
        if !older.is_empty() {
            self.write_slots(older, &slot).await?;
        }
        Ok(())
    }

    async fn write_slots(
        &self,
        slots: impl IntoIterator<Item = usize>,
        bytes: &[u8],
    ) -> Result<(), NodeError> {
        for slot in slots {
            let position = (slot * SLOT_BYTES) as u64;
            let written = self.file.write_all_at(bytes.to_vec(), position).await.0;
            written.map_err(|error| NodeError::file("write to", &self.path, error))?;
        }
        let synced = self.file.sync_data().await;
        synced.map_err(|error| NodeError::file("make durable", &self.path, error))
    }
}

async fn create<D: Disk>(disk: &D, folder: &Path, path: &Path) -> io::Result<D::File> {
    let file = disk.open(path, OpenMode::CreateNew).await?;
    file.write_all_at(vec![0; SLOTS * SLOT_BYTES], 0).await.0?;
    file.sync_data().await?;
    disk.sync_folder(folder).await?;
    Ok(file)
}

fn encode_slot(sequence: u64, journal: Place, body: &[u8]) -> Vec<u8> {
    assert!(
        HEADER_BYTES + body.len() <= SLOT_BYTES,
        "a superblock of {} bytes",
        body.len()
    );
    let length = u32::try_from(body.len()).expect("it was just compared to the slot's length");
    let mut slot = Vec::with_capacity(SLOT_BYTES);
    slot.extend_from_slice(&length.to_le_bytes());
    slot.extend_from_slice(&[0; 4]);
    slot.extend_from_slice(&sequence.to_le_bytes());
    journal.encode(&mut slot);
    slot.extend_from_slice(body);
    let checksum = crc32c::crc32c(&slot[8..]);
    slot[4..8].copy_from_slice(&checksum.to_le_bytes());
    slot.resize(SLOT_BYTES, 0);
    slot
}

fn read_slot(slot: &[u8]) -> Option<FoundSuperblock> {
    let (header, rest) = slot.split_first_chunk::<HEADER_BYTES>()?;
    let length = u32::from_le_bytes(*header.first_chunk()?) as usize;
    let body = rest.get(..length)?;
    let checksum = crc32c::crc32c(slot.get(8..HEADER_BYTES + length)?);
    let sequence = u64::from_le_bytes(*header[8..].first_chunk()?);
    // A slot that was never written has no sequence.
    let is_good = sequence > 0 && header[4..8] == checksum.to_le_bytes();
    (is_good && slot.len() == SLOT_BYTES).then(|| FoundSuperblock {
        body: body.to_vec(),
        journal: Place::decode(header.last_chunk().expect("the header ends with the place")),
        sequence,
    })
}

#[cfg(test)]
mod tests;
