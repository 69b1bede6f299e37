//! Walking over the batches of a segment file, and the checkpoints that spare a part of the way.

use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use quorate_batch::{BatchError, BatchHeader, CRC_FROM, HEADER_BYTES};
use quorate_platform::{BLOCK_BYTES, BufResult, Disk, File, OpenMode, read_around};

use super::anchor;
use super::resync::{self, Place};
use crate::chain::{Chain, Flaw};
use crate::damage::{Damage, DamagedRange};
use crate::epoch_history::EpochHistory;
use crate::error::LogError;
use crate::frame::{self, Frame, HEAD_BYTES};
use crate::frontier::{Checkpoint, CheckpointError, Frontier, VERSION};
use crate::segment::{Segment, batches_path, checkpoint_path};
use crate::window::Window;

const PIECE_BYTES: usize = 1 << 20;

/// What is known of the epochs of a log without a look at the batches in question.
#[derive(Clone, Debug)]
pub(super) struct KnownEpochs {
    /// Which epochs wrote the offsets below `end`.
    pub(super) history: EpochHistory,
    pub(super) end: u64,
    /// No batch is of a greater epoch.
    pub(super) max: u32,
}

impl KnownEpochs {
    /// Checks what the batch's checksum does not cover.
    fn check(&self, header: &BatchHeader) -> Result<(), Flaw> {
        let got = header.leader_epoch;
        let expected = match self.history.epoch_at(header.base_offset) {
            Some(epoch) if header.base_offset < self.end => epoch,
            // They begin with 1; a batch that no leader has stamped is in no log.
            Some(_) | None if (1..=self.max).contains(&got) => got,
            Some(_) | None => self.max,
        };
        match got == expected {
            true => Ok(()),
            false => Err(Flaw::Epoch { expected, got }),
        }
    }
}

/// How a walk ended.
pub(super) enum Stop {
    /// At the offset that was asked for, or at the end of the file, whichever came first.
    Reached,
    /// At bytes that are not the next batch. The frontier stands before them.
    Flawed(Flaw),
}

/// The whole of a segment's file, to be walked over.
pub(super) async fn open_window<D: Disk>(
    disk: &D,
    folder: &Path,
    base_offset: u64,
) -> Result<Window<D::File>, LogError> {
    let path = batches_path(folder, base_offset);
    let file = match disk.open(&path, OpenMode::Read).await {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Ok(Window::missing(path, base_offset));
        }
        Err(source) => return Err(LogError::io("open", &path, source)),
    };
    let end = file
        .len()
        .await
        .map_err(|source| LogError::io("measure", &path, source))?;
    Ok(Window::new(file, path, base_offset, end, PIECE_BYTES))
}

/// Moves `frontier` over the batches of its segment, at most up to the offset `to`.
pub(super) async fn walk<F: File>(
    window: &mut Window<F>,
    frontier: &mut Frontier,
    to: u64,
    epochs: &KnownEpochs,
    index_step_bytes: u64,
) -> Result<Stop, LogError> {
    while frontier.segment.bytes < window.end() && frontier.next_offset < to {
        let position = frontier.segment.bytes;
        match batch_at(window, position, frontier.chain(), epochs).await? {
            Ok(found) => frontier.follow(&found.header, found.position, index_step_bytes),
            Err(flaw) => return Ok(Stop::Flawed(flaw)),
        }
    }
    Ok(Stop::Reached)
}

/// A sound batch, and what stood before it.
pub(super) struct FoundBatch {
    pub(super) header: BatchHeader,
    /// Where the batch begins.
    pub(super) position: u64,
    /// The frame before it, if one was passed.
    pub(super) frame: Option<Frame>,
    /// Whether something damaged was passed: a frame, since no batch is missing.
    pub(super) is_frame_damaged: bool,
}

impl FoundBatch {
    /// Where the batch ends.
    pub(super) fn end(&self) -> u64 {
        self.position + self.header.batch_bytes as u64
    }
}

/// The next batch at `position` or behind frames there, if a sound one follows that continues
/// `chain`.
pub(super) async fn batch_at<F: File>(
    window: &mut Window<F>,
    position: u64,
    chain: Chain,
    epochs: &KnownEpochs,
) -> Result<Result<FoundBatch, Flaw>, LogError> {
    let (start, frame) = pass_frames(window, position).await?;
    let found = |header, position, is_frame_damaged| FoundBatch {
        header,
        position,
        frame,
        is_frame_damaged,
    };
    let flaw = match sound_batch_at(window, start, chain, epochs).await? {
        Ok(header) => return Ok(Ok(found(header, start, false))),
        Err(flaw) => flaw,
    };
    let place = Place {
        offset: chain.next_offset,
        position: start,
    };
    let behind = match frame {
        Some(_) => None,
        None => resync::find_next(window, place, chain.epoch, epochs).await?,
    };
    Ok(behind
        .map(|behind| found(behind.header, behind.batch_position, true))
        .ok_or(flaw))
}

/// The place behind all sound frames at `position`, and the last one of them.
pub(super) async fn pass_frames<F: File>(
    window: &mut Window<F>,
    position: u64,
) -> Result<(u64, Option<Frame>), LogError> {
    let mut place = (position, None);
    while let Some(frame) = window.frame_at(place.0).await? {
        place = (frame.start(), Some(frame));
    }
    Ok(place)
}

/// Ends what the frames before the end of `segment` cover, so that they say nothing of what will be
/// written there: puts a frame there that covers nothing.
pub(super) async fn mark_end<F: File>(
    file: &F,
    path: &Path,
    segment: &mut Segment,
) -> Result<(), LogError> {
    let position = segment.bytes;
    if position == 0 {
        return Ok(());
    }
    let mark = frame::encode_filler(segment.base_offset, position, HEAD_BYTES);
    let BufResult(result, _) = file.write_all_at(mark, position).await;
    result.map_err(|source| LogError::io("write", path, source))?;
    segment.bytes += HEAD_BYTES;
    Ok(())
}

/// The header of the batch at `position`, if a sound one stands there that continues `chain`.
pub(super) async fn sound_batch_at<F: File>(
    window: &mut Window<F>,
    position: u64,
    chain: Chain,
    epochs: &KnownEpochs,
) -> Result<Result<BatchHeader, Flaw>, LogError> {
    let head = window.bytes(position, HEADER_BYTES).await?;
    let header = match chain.check_header(&head, window.end() - position) {
        Ok(header) => header,
        Err(flaw) => return Ok(Err(flaw)),
    };
    let is_sound = check_crc(window, position, &header).await?;
    Ok(is_sound.and_then(|()| epochs.check(&header).map(|()| header)))
}

/// Whether the batch at `position` has the checksum that its header says. All of it is read, but
/// never at once: before the check its length is worth nothing.
pub(super) async fn check_crc<F: File>(
    window: &mut Window<F>,
    position: u64,
    header: &BatchHeader,
) -> Result<Result<(), Flaw>, LogError> {
    let end = position + header.batch_bytes as u64;
    let crc = window.crc(position + CRC_FROM as u64, end).await?;
    Ok(match crc {
        Some(crc) => header.check_crc(crc).map_err(Flaw::Batch),
        None => Err(Flaw::Batch(BatchError::Truncated {
            expected: header.batch_bytes,
            got: usize::try_from(window.end().saturating_sub(position)).unwrap_or(usize::MAX),
        })),
    })
}

/// The error of a flaw where `frontier` stands.
pub(super) fn damaged(path: PathBuf, frontier: &Frontier, flaw: Flaw) -> LogError {
    LogError::Damaged {
        path,
        position: frontier.segment.bytes,
        offset: frontier.next_offset,
        flaw,
    }
}

/// What the segment's index file holds; `None` if it is missing or damaged.
pub(super) async fn read_checkpoint<D: Disk>(
    disk: &D,
    folder: &Path,
    base_offset: u64,
) -> Result<Option<Checkpoint>, LogError> {
    read_checkpoint_at(disk, checkpoint_path(folder, base_offset), base_offset).await
}

/// What the file at `path` holds, if it is one of the segment `base_offset`.
pub(super) async fn read_checkpoint_at<D: Disk>(
    disk: &D,
    path: PathBuf,
    base_offset: u64,
) -> Result<Option<Checkpoint>, LogError> {
    let bytes = match disk.open(&path, OpenMode::Read).await {
        Ok(file) => read_all(&path, &file).await?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(LogError::io("open", &path, source)),
    };
    match Checkpoint::decode(&bytes) {
        Ok(checkpoint) => {
            let is_ours = checkpoint.frontier.segment.base_offset == base_offset;
            Ok(is_ours.then_some(checkpoint))
        }
        Err(CheckpointError::Damaged) => Ok(None),
        Err(CheckpointError::Version(got)) => Err(LogError::Version {
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
    write_checkpoint_at(disk, &checkpoint_path(folder, base_offset), checkpoint).await
}

/// Replaces the file at `path`.
pub(super) async fn write_checkpoint_at<D: Disk>(
    disk: &D,
    path: &Path,
    checkpoint: Vec<u8>,
) -> Result<(), LogError> {
    let mut new_path = path.as_os_str().to_owned();
    new_path.push(".new");
    let new_path = PathBuf::from(new_path);
    let write = async {
        let file = disk.open(&new_path, OpenMode::CreateOrWrite).await?;
        file.set_len(0).await?;
        let BufResult(result, _) = file.write_all_at(checkpoint, 0).await;
        result?;
        file.sync_data().await?;
        // If the new name is lost in a crash, the walk after it is longer; nothing else is.
        disk.rename(&new_path, path).await
    };
    write
        .await
        .map_err(|source| LogError::io("write", path, source))
}

/// Moves `frontier` over the batches of its segment, and over what is damaged between them, at most
/// up to the offset `to`. Notes the damage that it finds.
///
/// All epochs up to `to` are known.
pub(super) async fn walk_over<F: File>(
    window: &mut Window<F>,
    frontier: &mut Frontier,
    to: u64,
    epochs: &KnownEpochs,
    index_step_bytes: u64,
    damage: &mut Damage,
) -> Result<Stop, LogError> {
    loop {
        let flaw = match walk(window, frontier, to, epochs, index_step_bytes).await? {
            Stop::Reached => return Ok(Stop::Reached),
            Stop::Flawed(flaw) => flaw,
        };
        match resync::damage_at(window, frontier, epochs).await? {
            Some((range, _)) if range.to <= to => {
                let end = range.end.expect("something sound begins there");
                frontier.pass_over(&range, end, epochs.history.starts());
                damage.insert(range);
            }
            Some(_) | None => return Ok(Stop::Flawed(flaw)),
        }
    }
}

/// The frontier at the beginning of the segment `base_offsets[at]`. Notes the damage on the way.
///
/// Begins at the latest checkpoint before it and walks over all segments from there. All epochs up
/// to there are known.
pub(super) async fn frontier_at<D: Disk>(
    disk: &D,
    folder: &Path,
    base_offsets: &[u64],
    at: usize,
    epochs: &KnownEpochs,
    index_step_bytes: u64,
    damage: &mut Damage,
) -> Result<Frontier, LogError> {
    let mut from = at;
    let mut frontier = anchor::read(disk, folder, base_offsets[0]).await?;
    while from > 0 {
        from -= 1;
        if let Some(checkpoint) = read_checkpoint(disk, folder, base_offsets[from]).await? {
            frontier = checkpoint.frontier;
            break;
        }
    }
    for pair in base_offsets[from..=at].windows(2) {
        let (base_offset, next) = (pair[0], pair[1]);
        let mut window = open_window(disk, folder, base_offset).await?;
        let step = index_step_bytes;
        walk_over(&mut window, &mut frontier, next, epochs, step, damage).await?;
        let (segment, got) = (&frontier.segment, frontier.next_offset);
        if got > next {
            let flaw = Flaw::Gap {
                expected: got,
                got: next,
            };
            return Err(damaged(window.path().to_owned(), &frontier, flaw));
        }
        if got < next {
            let position = pass_frames(&mut window, segment.bytes).await?.0;
            let range = DamagedRange {
                from: got,
                to: next,
                segment: base_offset,
                position,
                end: None,
                is_missed: true,
            };
            let end = window.end().max(position);
            frontier.pass_over(&range, end, epochs.history.starts());
            damage.insert(range);
        }
        frontier.roll();
    }
    Ok(frontier)
}

/// What the first `bytes` bytes of a file hold of a block that is not full.
pub(super) async fn read_last_block<F: File>(
    file: &F,
    path: &Path,
    bytes: u64,
) -> Result<Bytes, LogError> {
    let len = bytes % BLOCK_BYTES as u64;
    let read = read_around(file, bytes - len, len as usize).await;
    let block = read.map_err(|source| LogError::io("read", path, source))?;
    Ok(Bytes::copy_from_slice(&block))
}

/// The same of the segment's file.
pub(super) async fn open_last_block<D: Disk>(
    disk: &D,
    folder: &Path,
    base_offset: u64,
    bytes: u64,
) -> Result<Bytes, LogError> {
    let path = batches_path(folder, base_offset);
    let opened = disk.open(&path, OpenMode::Read).await;
    let file = opened.map_err(|source| LogError::io("open", &path, source))?;
    read_last_block(&file, &path, bytes).await
}

/// Removes a file. A missing one is fine: a removal may have been interrupted.
pub(super) async fn remove_file<D: Disk>(disk: &D, path: &Path) -> Result<(), LogError> {
    match disk.remove_file(path).await {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(source) => Err(LogError::io("remove", path, source)),
    }
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
    read_around(file, 0, len).await.map_err(read)
}
