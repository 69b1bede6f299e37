use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use quorate_platform::{BufResult, Disk, File, OpenMode};

use super::frame::{self, HEAD_BYTES, HeadError};
use super::{FactStore, Written, replace};
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
            (replace(&disk, path, bytes.clone()).await?, bytes)
        }
        Err(source) => return Err(LogError::io("open", path, source)),
    };
    let content = read(path, &bytes)?;
    if content.bytes < bytes.len() {
        let cut = file.set_len(content.bytes as u64).await;
        cut.map_err(|source| LogError::io("cut", path, source))?;
    }
    // What was written before a crash of the process alone may not be durable yet.
    file.sync_data()
        .await
        .map_err(|source| LogError::io("sync", path, source))?;
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
        live_bytes: HEAD_BYTES as u64 + frames_bytes.sum::<u64>(),
        facts: content.facts,
        pending: BTreeMap::new(),
        written: Written {
            file,
            bytes: content.bytes as u64,
            frames: content.frames,
            changes: 0,
        },
        changes: 0,
        is_flushing: false,
        poison: None,
    })
}

/// The sound part of a file.
struct Content {
    facts: BTreeMap<u64, Vec<u8>>,
    bytes: usize,
    frames: u64,
}

fn read(path: &Path, file: &[u8]) -> Result<Content, LogError> {
    let damaged = |position: usize, reason| LogError::FactsDamaged {
        path: path.to_owned(),
        position: position as u64,
        reason,
    };
    frame::check_head(file).map_err(|error| match error {
        HeadError::Damaged => damaged(0, "it does not begin like a file of facts"),
        HeadError::Version(got) => LogError::Version {
            path: path.to_owned(),
            got,
            known: frame::VERSION,
        },
    })?;
    let mut content = Content {
        facts: BTreeMap::new(),
        bytes: HEAD_BYTES,
        frames: 0,
    };
    while let Some((frame, bytes)) = frame::decode(&file[content.bytes..]) {
        if frame.number != content.frames {
            return Err(damaged(content.bytes, "a frame is missing"));
        }
        match frame.value {
            Some(value) => content.facts.insert(frame.key, value.to_vec()),
            None => content.facts.remove(&frame.key),
        };
        content.bytes += bytes;
        content.frames += 1;
    }
    if is_followed(&file[content.bytes..], content.frames) {
        return Err(damaged(
            content.bytes,
            "a frame is broken, but sound ones follow it",
        ));
    }
    Ok(content)
}

/// Whether a sound frame lies anywhere in `bytes`, behind the broken one that they begin with.
fn is_followed(bytes: &[u8], number: u64) -> bool {
    let mut starts = 1..bytes.len();
    starts.any(|at| frame::decode(&bytes[at..]).is_some_and(|(frame, _)| frame.number > number))
}

async fn read_all<F: File>(file: &F) -> io::Result<Vec<u8>> {
    let len = usize::try_from(file.len().await?).map_err(io::Error::other)?;
    let BufResult(result, mut bytes) = file.read_at(Vec::with_capacity(len), 0).await;
    result?;
    bytes.truncate(len);
    Ok(bytes)
}
