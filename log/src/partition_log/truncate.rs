use std::fmt;
use std::path::Path;
use std::rc::Rc;

use bytes::Bytes;
use quorate_batch::BatchHeader;
use quorate_platform::{Disk, File, OpenMode};

use super::walk::{self, Stop};
use super::{PartitionLog, Pending, Written};
use crate::chain::Flaw;
use crate::error::LogError;
use crate::frontier::Frontier;
use crate::segment::{batches_path, checkpoint_path};

/// Cuts the end of a log off durably; see [`PartitionLog::begin_truncate`].
#[must_use = "nothing is cut on disk before the job has run"]
pub struct TruncateJob<D: Disk> {
    /// `None` if there is nothing to cut.
    cut: Option<Cut<D>>,
    to: u64,
}

/// The outcome of a [`TruncateJob`], for [`PartitionLog::finish_truncate`].
#[must_use = "the log does not know of the outcome before it is given to it"]
pub struct Truncated<D: Disk> {
    result: Result<Option<Kept<D>>, LogError>,
    to: u64,
}

/// What is left of a log.
struct Kept<D: Disk> {
    written: Written<D>,
    /// The end of what is on disk.
    frontier: Frontier,
    /// The batches behind it that are in memory only.
    batches: Vec<Bytes>,
}

impl<D: Disk> TruncateJob<D> {
    /// The cut itself is immediate, in memory; the job carries it to the disk.
    pub(super) fn new(log: &mut PartitionLog<D>, to: u64) -> Self {
        if to >= log.end.next_offset {
            return Self {
                cut: None,
                to: log.end.next_offset,
            };
        }
        log.generation.set(log.generation.get() + 1);
        log.tail.truncate(to);
        log.end.next_offset = to;
        log.end.epochs.truncate(to);
        let batches = std::mem::take(&mut log.pending)
            .into_iter()
            .filter_map(|step| match step {
                Pending::Batch(batch) => Some(batch),
                Pending::Roll { .. } => None,
            });
        let last_written = log.written.base_offset;
        let segments = log.closed.iter().chain([&log.end.segment]);
        let base_offsets = segments.map(|segment| segment.base_offset);
        let cut = Cut {
            disk: log.disk.clone(),
            folder: log.folder.clone(),
            index_step_bytes: log.settings.index_step_bytes,
            base_offsets: base_offsets.filter(|&base| base <= last_written).collect(),
            written: log.written.after(log.written.next_offset),
            batches: batches
                .take_while(|batch| header_of(batch).next_offset() <= to)
                .collect(),
        };
        Self { cut: Some(cut), to }
    }

    /// Cuts and syncs. Once begun it has to run to its end, whoever waits for it.
    pub async fn run(self) -> Truncated<D> {
        let Self { cut, to } = self;
        let result = match cut {
            Some(cut) => cut.run(to).await.map(Some),
            None => Ok(None),
        };
        Truncated { result, to }
    }
}

/// Takes over what is left on disk, and appends again what was below the cut but in memory only.
pub(super) fn finish<D: Disk>(
    log: &mut PartitionLog<D>,
    truncated: Truncated<D>,
) -> Result<(), LogError> {
    let Truncated { result, to } = truncated;
    let Some(Kept {
        written,
        frontier,
        batches,
    }) = result?
    else {
        return Ok(());
    };
    let base_offset = frontier.segment.base_offset;
    log.closed
        .retain(|segment| segment.base_offset < base_offset);
    log.tail.truncate(written.next_offset);
    log.written = written;
    log.end = frontier;
    for batch in batches {
        log.append_checked(&header_of(&batch), batch);
    }
    if log.end.next_offset != to {
        return Err(LogError::NotABoundary {
            folder: log.folder.to_path_buf(),
            offset: to,
        });
    }
    Ok(())
}

struct Cut<D: Disk> {
    disk: D,
    folder: Rc<Path>,
    index_step_bytes: u64,
    /// The segments that have files.
    base_offsets: Vec<u64>,
    written: Written<D>,
    /// The batches below the cut that were not durable when it was asked for.
    batches: Vec<Bytes>,
}

impl<D: Disk> Cut<D> {
    async fn run(mut self, to: u64) -> Result<Kept<D>, LogError> {
        let to = to.min(self.written.next_offset);
        // Never below the first segment: there is nothing before it.
        let behind = self.base_offsets.partition_point(|&base| base <= to).max(1);
        let frontier = self.frontier(behind - 1, to).await?;
        if frontier.next_offset != to {
            let folder = self.folder.to_path_buf();
            return Err(LogError::NotABoundary { folder, offset: to });
        }
        if to < self.written.next_offset {
            self.remove_behind(behind - 1).await?;
            self.cut_file(&frontier).await?;
        }
        Ok(Kept {
            written: self.written,
            frontier,
            batches: self.batches,
        })
    }

    async fn cut_file(&mut self, frontier: &Frontier) -> Result<(), LogError> {
        let Self {
            disk,
            folder,
            written,
            ..
        } = self;
        let Frontier {
            segment,
            next_offset,
            ..
        } = frontier;
        let path = batches_path(folder, segment.base_offset);
        if segment.base_offset != written.base_offset {
            let opened = disk.open(&path, OpenMode::Write).await;
            written.file = opened.map_err(|source| LogError::io("open", &path, source))?;
        }
        let cut = written.file.set_len(segment.bytes).await;
        cut.map_err(|source| LogError::io("cut", &path, source))?;
        let synced = written.file.sync_data().await;
        synced.map_err(|source| LogError::io("sync", &path, source))?;
        written.base_offset = segment.base_offset;
        written.bytes = segment.bytes;
        written.checkpoint_bytes = 0;
        written.next_offset = *next_offset;
        Ok(())
    }

    /// The frontier at `to`, which lies in the segment `base_offsets[at]` or at its end.
    async fn frontier(&self, at: usize, to: u64) -> Result<Frontier, LogError> {
        let Self {
            disk,
            folder,
            index_step_bytes,
            base_offsets,
            ..
        } = self;
        let checkpoint = walk::read_checkpoint(disk, folder, base_offsets[at]).await?;
        let mut frontier = match checkpoint.filter(|checkpoint| checkpoint.next_offset <= to) {
            Some(checkpoint) => checkpoint,
            None => walk::frontier_at(disk, folder, base_offsets, at, *index_step_bytes).await?,
        };
        let mut window = walk::open_window(disk, folder, base_offsets[at]).await?;
        let flaw = match walk::walk(&mut window, &mut frontier, to, *index_step_bytes).await? {
            Stop::Reached if frontier.next_offset >= to => return Ok(frontier),
            Stop::Reached => Flaw::Short {
                expected: window.end() + 1,
                got: window.end(),
            },
            Stop::Flawed(flaw) => flaw,
        };
        Err(walk::damaged(window.path().to_owned(), &frontier, flaw))
    }

    /// Removes what lies behind the segment `base_offsets[at]`, and all checkpoints from it on.
    ///
    /// A checkpoint vouches for bytes that are durable, so all of them go before any bytes do: a
    /// crash in between leaves a longer log, not one that looks damaged. The files of batches go
    /// from the last to the first, so that no gap can be left.
    async fn remove_behind(&self, at: usize) -> Result<(), LogError> {
        for &base_offset in &self.base_offsets[at..] {
            self.remove(&checkpoint_path(&self.folder, base_offset))
                .await?;
        }
        walk::sync_folder(&self.disk, &self.folder).await?;
        for &base_offset in self.base_offsets[at + 1..].iter().rev() {
            self.remove(&batches_path(&self.folder, base_offset))
                .await?;
            walk::sync_folder(&self.disk, &self.folder).await?;
        }
        Ok(())
    }

    async fn remove(&self, path: &Path) -> Result<(), LogError> {
        match self.disk.remove_file(path).await {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            Err(source) => Err(LogError::io("remove", path, source)),
        }
    }
}

fn header_of(batch: &[u8]) -> BatchHeader {
    BatchHeader::parse(batch).expect("the batch was checked when it was appended")
}

impl<D: Disk> fmt::Debug for TruncateJob<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TruncateJob")
            .field("to", &self.to)
            .finish_non_exhaustive()
    }
}

impl<D: Disk> fmt::Debug for Truncated<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let error = self.result.as_ref().err();
        f.debug_struct("Truncated")
            .field("to", &self.to)
            .field("error", &error)
            .finish_non_exhaustive()
    }
}
