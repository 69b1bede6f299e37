use std::fmt;
use std::future::poll_fn;
use std::io;
use std::path::Path;
use std::rc::Rc;
use std::task::Poll;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use quorate_platform::{AlignedBuffer, BufResult, Disk, File, OpenMode};

use super::image::Image;
use super::pending::{Group, Roll, Step};
use super::{PartitionLog, Written, walk};
use crate::LogError;
use crate::segment::batches_path;

/// Makes appended batches durable; see [`PartitionLog::begin_flush`].
///
/// It writes whole blocks: a frame and the batches that it covers, and before them again what
/// stands already in the block that they begin in, and behind them zeros. Into files that were
/// written in advance it writes past the page cache; where a file grows that would only slow it
/// down. Where a segment ends, its file is cut to what it holds, durably, before the next one is
/// created: a segment that has a successor is complete.
#[must_use = "nothing is durable before the job has run"]
pub struct FlushJob<D: Disk> {
    disk: D,
    folder: Rc<Path>,
    steps: Vec<Step<D>>,
    written: Written<D>,
    /// The frontier behind the last batch, if it is time to keep it.
    checkpoint: Option<Vec<u8>>,
}

/// The outcome of a [`FlushJob`], for [`PartitionLog::finish_flush`].
#[must_use = "the log does not know of the outcome before it is given to it"]
pub struct Flushed<D: Disk>(Result<Written<D>, LogError>);

impl<D: Disk> FlushJob<D> {
    pub(super) fn new(log: &mut PartitionLog<D>) -> Self {
        let step_bytes = log.settings.index_step_bytes;
        let steps = log.pending.take(&mut log.end, step_bytes);
        let next_offset = log.pending.base_offset().unwrap_or(log.end.next_offset);
        let written = log.written.after(next_offset);
        let segment = &log.end.segment;
        let covered = match segment.base_offset == written.base_offset {
            true => written.checkpoint_bytes,
            false => 0,
        };
        let is_wanted =
            log.is_checkpoint_due || segment.bytes - covered >= log.settings.checkpoint_bytes;
        let is_due = is_wanted && log.pending.is_empty() && !log.damage.has_missed();
        log.is_checkpoint_due &= !is_due;
        Self {
            disk: log.disk.clone(),
            folder: log.folder.clone(),
            steps,
            written,
            checkpoint: is_due.then(|| log.end.encode(false)),
        }
    }

    /// The bytes of the batches that it makes durable.
    pub fn bytes(&self) -> u64 {
        self.steps.iter().map(Step::bytes).sum()
    }

    /// Writes and syncs. Once begun it has to run to its end, whoever waits for it.
    pub async fn run(self) -> Flushed<D> {
        Flushed(self.write().await)
    }

    async fn write(self) -> Result<Written<D>, LogError> {
        let Self {
            disk,
            folder,
            steps,
            written,
            checkpoint,
        } = self;
        let mut writer = Writer {
            disk,
            folder,
            written,
        };
        let mut checkpoints = Vec::new();
        for step in steps {
            match step {
                Step::Write(group) => writer.write(group).await?,
                Step::Roll(roll) => {
                    let base = writer.written.base_offset;
                    let checkpoint = writer.roll(roll).await?;
                    checkpoints.extend(checkpoint.map(|checkpoint| (base, checkpoint)));
                }
            }
        }
        let Writer {
            disk,
            folder,
            mut written,
        } = writer;
        if let Some(checkpoint) = checkpoint {
            written.checkpoint_bytes = written.bytes;
            checkpoints.push((written.base_offset, checkpoint));
        }
        // Only after the sync: a checkpoint vouches for the bytes before it.
        for (base_offset, checkpoint) in checkpoints {
            walk::write_checkpoint(&disk, &folder, base_offset, checkpoint).await?;
        }
        Ok(written)
    }
}

impl<D: Disk> Step<D> {
    fn bytes(&self) -> u64 {
        match self {
            Self::Write(group) => group.bytes,
            Self::Roll(_) => 0,
        }
    }
}

impl<D: Disk> Flushed<D> {
    pub(super) fn into_result(self) -> Result<Written<D>, LogError> {
        self.0
    }
}

impl<D: Disk> Written<D> {
    /// The same place, to be moved on by a job that goes as far as `next_offset`.
    pub(super) fn after(&self, next_offset: u64) -> Self {
        Self {
            file: self.file.clone(),
            is_spare: self.is_spare,
            base_offset: self.base_offset,
            bytes: self.bytes,
            last_block: self.last_block.clone(),
            checkpoint_bytes: self.checkpoint_bytes,
            next_offset,
        }
    }
}

struct Writer<D: Disk> {
    disk: D,
    folder: Rc<Path>,
    written: Written<D>,
}

impl<D: Disk> Writer<D> {
    /// Writes a frame and the batches that it covers, durably.
    async fn write(&mut self, group: Group) -> Result<(), LogError> {
        let written = &self.written;
        assert_eq!(
            group.position, written.bytes,
            "the file ends where it should"
        );
        let start = written.bytes - written.last_block.len() as u64;
        let image = Image::new(written.base_offset, written.last_block.clone(), group);
        let file = self.file().await?;
        let result = write_durable(&file, start, image).await;
        let written = result.map_err(|(operation, source)| self.error(operation, source))?;
        (self.written.bytes, self.written.last_block) = written;
        Ok(())
    }

    /// Ends the segment and begins the next one; gives the checkpoint of the one that has ended.
    async fn roll(&mut self, roll: Roll<D>) -> Result<Option<Vec<u8>>, LogError> {
        let Roll {
            checkpoint,
            base_offset,
            spare,
        } = roll;
        let file = self.file().await?;
        let cut = file.set_len(self.written.bytes).await;
        cut.map_err(|source| self.error("cut", source))?;
        let synced = file.sync_data().await;
        synced.map_err(|source| self.error("sync", source))?;
        let path = batches_path(&self.folder, base_offset);
        self.written.is_spare = spare.is_some();
        let how = match spare {
            Some(spare) => {
                spare.become_segment(&path).await?;
                OpenMode::Write.direct()
            }
            None => OpenMode::CreateNew.into(),
        };
        let opened = self.disk.open(&path, how).await;
        let file = opened.map_err(|source| LogError::io("open", &path, source))?;
        self.written.file = Some(file);
        self.written.base_offset = base_offset;
        self.written.bytes = 0;
        self.written.last_block = Bytes::new();
        self.written.checkpoint_bytes = 0;
        walk::sync_folder(&self.disk, &self.folder).await?;
        Ok(checkpoint)
    }

    async fn file(&mut self) -> Result<D::File, LogError> {
        if let Some(file) = &self.written.file {
            return Ok(file.clone());
        }
        let path = batches_path(&self.folder, self.written.base_offset);
        let how = match self.written.is_spare {
            true => OpenMode::Write.direct(),
            false => OpenMode::Write.into(),
        };
        let opened = self.disk.open(&path, how).await;
        let file = opened.map_err(|source| LogError::io("open", &path, source))?;
        self.written.file = Some(file.clone());
        Ok(file)
    }

    fn error(&self, operation: &'static str, source: io::Error) -> LogError {
        let path = batches_path(&self.folder, self.written.base_offset);
        LogError::io(operation, &path, source)
    }
}

/// Writes `image` durably. An error comes with what has failed.
///
/// While a piece is copied, those before it are on their way to the disk.
async fn write_durable<F: File>(
    file: &F,
    start: u64,
    mut image: Image,
) -> Result<(u64, Bytes), (&'static str, io::Error)> {
    if image.is_complete() {
        let (piece, end) = image.finish();
        let BufResult(result, _) = file.write_durable_at(piece.buffer, start).await;
        result.map_err(|source| ("write", source))?;
        return Ok((end, piece.last_block));
    }
    let mut writes = FuturesUnordered::new();
    let mut last_block = Bytes::new();
    while let Some((position, piece)) = image.next_piece() {
        last_block = piece.last_block;
        writes.push(write(file, position, piece.buffer));
        begin(&mut writes)
            .await
            .map_err(|source| ("write", source))?;
    }
    let (piece, end) = image.finish();
    writes.push(write(file, start, piece.buffer));
    while let Some(result) = writes.next().await {
        result.map_err(|source| ("write", source))?;
    }
    let synced = file.sync_data().await;
    synced.map_err(|source| ("sync", source))?;
    Ok((end, last_block))
}

async fn write<F: File>(file: &F, position: u64, buffer: AlignedBuffer) -> io::Result<()> {
    let BufResult(result, _) = file.write_all_at(buffer, position).await;
    result
}

/// Has what was added to `writes` begin, and gives the system the time to see it.
async fn begin<W>(writes: &mut FuturesUnordered<W>) -> io::Result<()>
where
    W: Future<Output = io::Result<()>>,
{
    let mut has_begun = false;
    poll_fn(|context| {
        while let Poll::Ready(Some(result)) = writes.poll_next_unpin(context) {
            result?;
        }
        if std::mem::replace(&mut has_begun, true) {
            return Poll::Ready(Ok(()));
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await
}

impl<D: Disk> fmt::Debug for FlushJob<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("FlushJob");
        debug
            .field("folder", &self.folder)
            .field("next_offset", &self.written.next_offset);
        debug.finish_non_exhaustive()
    }
}

impl<D: Disk> fmt::Debug for Flushed<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let outcome = self.0.as_ref().map(|written| written.next_offset);
        f.debug_tuple("Flushed").field(&outcome).finish()
    }
}
