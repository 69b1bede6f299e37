use std::fmt;
use std::path::Path;
use std::rc::Rc;

use bytes::Bytes;
use quorate_platform::{BufResult, Disk, File, IoBuf, OpenMode};

use super::pending::{Group, Step};
use super::{PartitionLog, Written, walk};
use crate::LogError;
use crate::frame;
use crate::segment::batches_path;

/// Batches below this size are copied together into larger writes; from this size on the copy
/// would cost more than the write that it saves.
const GATHER_BYTES_MAX: usize = 32 << 10;
/// The size at which a gathered write is sent off.
const GATHERED_BYTES_MAX: usize = 1 << 20;

/// Makes appended batches durable; see [`PartitionLog::begin_flush`].
///
/// All writes go before one sync: a frame, and the batches that it covers. Where a segment ends, it
/// is made durable before the next one is created: a segment that has a successor is complete.
#[must_use = "nothing is durable before the job has run"]
pub struct FlushJob<D: Disk> {
    disk: D,
    folder: Rc<Path>,
    steps: Vec<Step>,
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
        let is_due = segment.bytes - covered >= log.settings.checkpoint_bytes
            && log.pending.is_empty()
            && !log.damage.has_missed();
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
            gathered: Vec::new(),
        };
        let mut checkpoints = Vec::new();
        for step in steps {
            match step {
                Step::Write(group) => writer.write_group(group).await?,
                Step::Roll {
                    checkpoint,
                    base_offset,
                } => {
                    let base = writer.written.base_offset;
                    checkpoints.extend(checkpoint.map(|checkpoint| (base, checkpoint)));
                    writer.roll(base_offset).await?;
                }
            }
        }
        writer.sync().await?;
        let Writer {
            disk,
            folder,
            mut written,
            ..
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

impl Step {
    fn bytes(&self) -> u64 {
        match self {
            Self::Write(group) => group.bytes,
            Self::Roll { .. } => 0,
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
            base_offset: self.base_offset,
            bytes: self.bytes,
            checkpoint_bytes: self.checkpoint_bytes,
            next_offset,
        }
    }
}

struct Writer<D: Disk> {
    disk: D,
    folder: Rc<Path>,
    written: Written<D>,
    gathered: Vec<u8>,
}

impl<D: Disk> Writer<D> {
    async fn write_group(&mut self, group: Group) -> Result<(), LogError> {
        let Group {
            position, batches, ..
        } = group;
        assert_eq!(
            position, self.written.bytes,
            "the file ends where it should"
        );
        self.gathered = frame::encode(self.written.base_offset, position, &batches);
        for batch in batches {
            self.write(batch).await?;
        }
        self.write_gathered().await
    }

    async fn write(&mut self, batch: Bytes) -> Result<(), LogError> {
        if batch.len() >= GATHER_BYTES_MAX {
            self.write_gathered().await?;
            return self.write_buffer(batch).await;
        }
        self.gathered.extend_from_slice(&batch);
        if self.gathered.len() >= GATHERED_BYTES_MAX {
            self.write_gathered().await?;
        }
        Ok(())
    }

    async fn write_gathered(&mut self) -> Result<(), LogError> {
        if self.gathered.is_empty() {
            return Ok(());
        }
        let gathered = std::mem::take(&mut self.gathered);
        self.write_buffer(gathered).await
    }

    async fn write_buffer(&mut self, buffer: impl IoBuf) -> Result<(), LogError> {
        let len = buffer.buf_len() as u64;
        let BufResult(result, _) = self
            .written
            .file
            .write_all_at(buffer, self.written.bytes)
            .await;
        result.map_err(|source| self.error("write", source))?;
        self.written.bytes += len;
        Ok(())
    }

    async fn sync(&mut self) -> Result<(), LogError> {
        let result = self.written.file.sync_data().await;
        result.map_err(|source| self.error("sync", source))
    }

    async fn roll(&mut self, base_offset: u64) -> Result<(), LogError> {
        self.sync().await?;
        let path = batches_path(&self.folder, base_offset);
        let created = self.disk.open(&path, OpenMode::CreateNew).await;
        self.written.file = created.map_err(|source| LogError::io("create", &path, source))?;
        self.written.base_offset = base_offset;
        self.written.bytes = 0;
        self.written.checkpoint_bytes = 0;
        walk::sync_folder(&self.disk, &self.folder).await
    }

    fn error(&self, operation: &'static str, source: std::io::Error) -> LogError {
        let path = batches_path(&self.folder, self.written.base_offset);
        LogError::io(operation, &path, source)
    }
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
