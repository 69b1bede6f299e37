use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use quorate_platform::{Disk, File, OpenMode, read_around};

use super::frame::{self, BLOCK_BYTES, Frame, HeadError};
use super::{FactStore, FactsSeen, Written, replace};
use crate::LogError;

pub(super) async fn open<D: Disk>(disk: D, path: &Path) -> Result<FactStore<D>, LogError> {
    let (file, bytes) = match disk.open(path, OpenMode::Write).await {
        Ok(file) => {
            let bytes = read_all(&file).await;
            (
                file,
                bytes.map_err(|source| LogError::io("read", path, source))?,
            )
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let (bytes, _) = frame::encode_file(&BTreeMap::new());
            let bytes = Bytes::from(bytes);
            (replace(&disk, path, bytes.clone()).await?, bytes)
        }
        Err(source) => return Err(LogError::io("open", path, source)),
    };
    let content = read(path, &bytes)?;
    let file_bytes = bytes.len() as u64;
    let written = if content.is_good {
        // What was written before a crash of the process alone may not be durable yet.
        file.sync_data()
            .await
            .map_err(|source| LogError::io("sync", path, source))?;
        Written {
            file,
            bytes: file_bytes,
            frames: content.frames,
            changes: 0,
        }
    } else {
        mend(&disk, path, bytes, &content.facts).await?
    };
    if let Some(folder) = path.parent() {
        // Nor may the name that the file was given when it took the place of an older one.
        let synced = disk.sync_folder(folder).await;
        synced.map_err(|source| LogError::io("sync", folder, source))?;
    }
    let frames_bytes = content
        .facts
        .values()
        .map(|value| frame::bytes(value.len()));
    Ok(FactStore {
        disk,
        path: path.into(),
        live_bytes: frames_bytes.sum(),
        facts: content.facts,
        pending: BTreeMap::new(),
        written,
        changes: 0,
        is_flushing: false,
        poison: None,
    })
}

pub(super) async fn look<D: Disk>(disk: &D, path: &Path) -> Result<FactsSeen, LogError> {
    let opened = disk.open(path, OpenMode::Read).await;
    let file = opened.map_err(|source| LogError::io("open", path, source))?;
    let bytes = read_all(&file).await;
    let bytes = bytes.map_err(|source| LogError::io("read", path, source))?;
    let content = read(path, &bytes)?;
    Ok(FactsSeen {
        facts: content.facts,
        is_whole: content.is_good,
        bytes: bytes.len() as u64,
    })
}

/// Puts a file with two good copies of everything in the place of one with damage, or with the
/// remains of an interrupted write. What was there is kept beside it until the next time.
async fn mend<D: Disk>(
    disk: &D,
    path: &Path,
    bytes: Bytes,
    facts: &BTreeMap<u64, Vec<u8>>,
) -> Result<Written<D>, LogError> {
    let kept = PathBuf::from(format!("{}.damaged", path.display()));
    replace(disk, &kept, bytes).await?;
    let (bytes, frames) = frame::encode_file(facts);
    let len = bytes.len() as u64;
    Ok(Written {
        file: replace(disk, path, bytes).await?,
        bytes: len,
        frames,
        changes: 0,
    })
}

/// What a file holds.
struct Content {
    facts: BTreeMap<u64, Vec<u8>>,
    frames: u64,
    /// Whether two good copies of everything are there, and nothing else.
    is_good: bool,
}

fn read(path: &Path, file: &[u8]) -> Result<Content, LogError> {
    let damaged = |position: usize, reason| LogError::FactsDamaged {
        path: path.to_owned(),
        position: position as u64,
        reason,
    };
    let mut is_good = frame::check_heads(file).map_err(|error| match error {
        HeadError::Damaged => damaged(0, "it does not begin like a file of facts"),
        HeadError::Version(got) => LogError::Version {
            path: path.to_owned(),
            got,
            known: frame::VERSION,
        },
    })?;
    // The sound frames, by their numbers, with the number of their copies.
    let mut found: BTreeMap<u64, (Frame<'_>, u32)> = BTreeMap::new();
    let mut at = 2 * BLOCK_BYTES;
    while at < file.len() {
        match frame::decode(&file[at..]) {
            Some((frame, bytes)) => {
                let copies = &mut found.entry(frame.number).or_insert((frame, 0)).1;
                *copies += 1;
                at += bytes;
            }
            None => {
                // The rest of a block is zero; anything else is searched byte by byte.
                let block_end = (at / BLOCK_BYTES + 1) * BLOCK_BYTES;
                let rest = &file[at..block_end.min(file.len())];
                let is_empty = rest.iter().all(|byte| *byte == 0);
                is_good &= is_empty;
                at += if is_empty { rest.len() } else { 1 };
            }
        }
    }
    let mut facts = BTreeMap::new();
    let mut frames = 0;
    let last_write = found.values().next_back().map_or(0, |(last, _)| last.first);
    for (number, (frame, copies)) in found {
        if number != frames {
            // What is missing in the last write was never written, and so it does not count from
            // there on.
            is_good = false;
            if frames >= last_write {
                break;
            }
            return Err(damaged(0, "a change is missing in both of its copies"));
        }
        frames += 1;
        is_good &= copies == 2;
        match frame.value {
            Some(value) => facts.insert(frame.key, value.to_vec()),
            None => facts.remove(&frame.key),
        };
    }
    Ok(Content {
        facts,
        frames,
        is_good: is_good && file.len().is_multiple_of(BLOCK_BYTES),
    })
}

async fn read_all<F: File>(file: &F) -> io::Result<Bytes> {
    let len = usize::try_from(file.len().await?).map_err(io::Error::other)?;
    read_around(file, 0, len).await
}
