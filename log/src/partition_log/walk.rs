//! Walking over the batches of a segment file, and the checkpoints that spare a part of the way.

use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use quorate_batch::{BatchHeader, HEADER_BYTES};
use quorate_platform::{BufResult, Disk, File, OpenMode};

use crate::chain::Flaw;
use crate::error::LogError;
use crate::frontier::{Frontier, FrontierError, VERSION};
use crate::segment::{batches_path, checkpoint_path};
use crate::window::Window;

const PIECE_BYTES: usize = 1 << 20;

/// How a walk ended.
pub(super) enum Stop {
    /// At the offset that was asked for, or at the end of the file, whichever came first.
    Reached,
    /// At bytes that are not the next batch. The frontier stands before them.
    Flawed(Flaw),
}

/// The whole of the file of `frontier`'s segment, to be walked over.
pub(super) async fn open_window<D: Disk>(
    disk: &D,
    folder: &Path,
    base_offset: u64,
) -> Result<Window<D::File>, LogError> {
    let path = batches_path(folder, base_offset);
    let opened = disk.open(&path, OpenMode::Read).await;
    let file = opened.map_err(|source| LogError::io("open", &path, source))?;
    let end = file
        .len()
        .await
        .map_err(|source| LogError::io("measure", &path, source))?;
    Ok(Window::new(file, path, end, PIECE_BYTES))
}

/// Moves `frontier` over the batches of its segment, at most up to the offset `to`.
pub(super) async fn walk<F: File>(
    window: &mut Window<F>,
    frontier: &mut Frontier,
    to: u64,
    index_step_bytes: u64,
) -> Result<Stop, LogError> {
    while frontier.segment.bytes < window.end() && frontier.next_offset < to {
        let position = frontier.segment.bytes;
        let head = window.bytes(position, HEADER_BYTES).await?;
        let header = match frontier
            .chain()
            .check_header(&head, window.end() - position)
        {
            Ok(header) => header,
            Err(flaw) => return Ok(Stop::Flawed(flaw)),
        };
        let batch = window.bytes(position, header.batch_bytes).await?;
        if let Err(error) = BatchHeader::validate(&batch) {
            return Ok(Stop::Flawed(Flaw::Batch(error)));
        }
        frontier.follow(&header, index_step_bytes);
    }
    Ok(Stop::Reached)
}

/// The error of a flaw where `frontier` stands.
pub(super) fn damaged(path: PathBuf, frontier: &Frontier, flaw: Flaw) -> LogError {
    let position = frontier.segment.bytes;
    LogError::Damaged {
        path,
        position,
        offset: frontier.next_offset,
        flaw,
    }
}

/// The frontier that the segment's index file holds; `None` if it is missing or damaged.
pub(super) async fn read_checkpoint<D: Disk>(
    disk: &D,
    folder: &Path,
    base_offset: u64,
) -> Result<Option<Frontier>, LogError> {
    let path = checkpoint_path(folder, base_offset);
    let bytes = match disk.open(&path, OpenMode::Read).await {
        Ok(file) => read_all(&path, &file).await?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(LogError::io("open", &path, source)),
    };
    match Frontier::decode(&bytes) {
        Ok(frontier) => Ok(Some(frontier).filter(|it| it.segment.base_offset == base_offset)),
        Err(FrontierError::Damaged) => Ok(None),
        Err(FrontierError::Version(got)) => Err(LogError::Version {
            path,
            got,
            known: VERSION,
        }),
    }
}

/// Replaces the segment's index file. The bytes that it vouches for are durable already.
pub(super) async fn write_checkpoint<D: Disk>(
    disk: &D,
    folder: &Path,
    base_offset: u64,
    checkpoint: Vec<u8>,
) -> Result<(), LogError> {
    let path = checkpoint_path(folder, base_offset);
    let new_path = path.with_extension("index.new");
    let write = async {
        let file = disk.open(&new_path, OpenMode::CreateOrWrite).await?;
        file.set_len(0).await?;
        let BufResult(result, _) = file.write_all_at(checkpoint, 0).await;
        result?;
        file.sync_data().await?;
        // If the new name is lost in a crash, the walk after it is longer; nothing else is.
        disk.rename(&new_path, &path).await
    };
    write
        .await
        .map_err(|source| LogError::io("write", &path, source))
}

/// The frontier at the beginning of the segment `base_offsets[at]`.
///
/// Begins at the latest checkpoint before it and walks over all segments from there.
pub(super) async fn frontier_at<D: Disk>(
    disk: &D,
    folder: &Path,
    base_offsets: &[u64],
    at: usize,
    index_step_bytes: u64,
) -> Result<Frontier, LogError> {
    let mut from = at;
    let mut frontier = Frontier::new(base_offsets[0]);
    while from > 0 {
        from -= 1;
        if let Some(checkpoint) = read_checkpoint(disk, folder, base_offsets[from]).await? {
            frontier = checkpoint;
            break;
        }
    }
    for &base_offset in &base_offsets[from..at] {
        if frontier.segment.base_offset != base_offset {
            check_base(folder, frontier.next_offset, base_offset)?;
            frontier.roll();
        }
        let mut window = open_window(disk, folder, base_offset).await?;
        let stop = walk(&mut window, &mut frontier, u64::MAX, index_step_bytes).await?;
        if let Stop::Flawed(flaw) = stop {
            return Err(damaged(window.path().to_owned(), &frontier, flaw));
        }
    }
    if at > 0 {
        check_base(folder, frontier.next_offset, base_offsets[at])?;
        frontier.roll();
    }
    Ok(frontier)
}

/// Checks that the segment of this base offset begins where the one before it ended.
pub(super) fn check_base(folder: &Path, expected: u64, base_offset: u64) -> Result<(), LogError> {
    if expected == base_offset {
        return Ok(());
    }
    let path = batches_path(folder, base_offset);
    let flaw = Flaw::Gap {
        expected,
        got: base_offset,
    };
    Err(LogError::Damaged {
        path,
        position: 0,
        offset: expected,
        flaw,
    })
}

pub(super) async fn sync_folder<D: Disk>(disk: &D, folder: &Path) -> Result<(), LogError> {
    disk.sync_folder(folder)
        .await
        .map_err(|source| LogError::io("sync", folder, source))
}

async fn read_all<F: File>(path: &Path, file: &F) -> Result<Bytes, LogError> {
    let read = |source| LogError::io("read", path, source);
    let len = file.len().await.map_err(read)?;
    let len = usize::try_from(len).map_err(|error| read(io::Error::other(error)))?;
    let BufResult(result, mut buffer) = file.read_at(Vec::with_capacity(len), 0).await;
    result.map_err(read)?;
    buffer.truncate(len);
    Ok(Bytes::from(buffer))
}
