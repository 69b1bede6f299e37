use std::fmt;
use std::path::Path;
use std::rc::Rc;

use bytes::Bytes;
use quorate_batch::BatchHeader;
use quorate_platform::{Disk, File, OpenMode};

use super::extent::read_index;
use super::resync::Place;
use super::walk::{self, KnownEpochs};
use super::{PartitionLog, Written};
use crate::closed_segment::ClosedSegment;
use crate::damage::{Damage, DamagedRange};
use crate::error::LogError;
use crate::frontier::Frontier;
use crate::segment::{batches_path, checkpoint_path};
use crate::segment_index::SegmentIndex;

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
    /// The segment before the last one, if it is a new one that begins at the cut.
    closed: Option<ClosedSegment>,
    /// The indexes of the segments before that, in which damage was found.
    indexes: Vec<(u64, Rc<SegmentIndex>)>,
    /// The batches behind it that are in memory only.
    batches: Vec<Bytes>,
    /// What was found to be damaged on the way, and is missed in the frontier.
    damage: Damage,
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
        let epochs = log.known_epochs();
        log.change_generation();
        log.compaction.disturb(to);
        log.tail.truncate(to);
        log.end.next_offset = to;
        log.end.epochs.truncate(to);
        let batches = log.pending.drain().into_iter();
        let last_written = log.written.base_offset;
        let base_offsets = log.base_offsets();
        let cut = Cut {
            disk: log.disk.clone(),
            folder: log.folder.clone(),
            index_step_bytes: log.settings.index_step_bytes,
            epochs,
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
        closed,
        indexes,
        batches,
        damage,
    }) = result?
    else {
        return Ok(());
    };
    // What was begun meanwhile may have read what is gone now.
    log.change_generation();
    let last = frontier.segment.base_offset;
    let last_old = closed.as_ref().map_or(last, |closed| closed.base_offset);
    log.closed.retain(|segment| segment.base_offset < last_old);
    log.closed.extend(closed);
    log.indexes.forget_from(last_old);
    for (base_offset, index) in indexes {
        log.keep_index(base_offset, index);
    }
    log.damage.truncate(to);
    damage
        .ranges()
        .iter()
        .for_each(|range| log.damage.insert(*range));
    log.tail.truncate(written.next_offset);
    log.written = written;
    log.end = frontier;
    // The file was cut, and so it grows.
    log.room = None;
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
    epochs: KnownEpochs,
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
        let mut damage = Damage::default();
        let mut frontier = self.frontier(behind - 1, to, &mut damage).await?;
        if frontier.next_offset > to {
            let folder = self.folder.to_path_buf();
            return Err(LogError::NotABoundary { folder, offset: to });
        }
        let is_inside = frontier.next_offset < to;
        if is_inside || to < self.written.next_offset {
            self.remove_behind(behind - 1).await?;
            self.cut_file(&mut frontier).await?;
        } else {
            // Behind the last batch there may be frames that cover nothing.
            frontier.segment.bytes = self.written.bytes;
        }
        let closed = match is_inside {
            true => Some(self.close(&mut frontier, to, &mut damage).await?),
            false => None,
        };
        let indexes = self.indexes_of_damaged(behind - 1, &damage).await?;
        Ok(Kept {
            written: self.written,
            frontier,
            closed,
            indexes,
            batches: self.batches,
            damage,
        })
    }

    /// The indexes of the segments before `base_offsets[at]` in which something is damaged.
    async fn indexes_of_damaged(
        &self,
        at: usize,
        damage: &Damage,
    ) -> Result<Vec<(u64, Rc<SegmentIndex>)>, LogError> {
        let mut indexes = Vec::new();
        for pair in self.base_offsets[..=at].windows(2) {
            let (base_offset, next) = (pair[0], pair[1]);
            if damage.is_in(base_offset) {
                let end = Place {
                    offset: next,
                    position: u64::MAX,
                };
                let (disk, folder, epochs) = (&self.disk, &self.folder, &self.epochs);
                let step = self.index_step_bytes;
                let index = read_index(disk, folder, base_offset, end, epochs, step).await?;
                indexes.push((base_offset, index));
            }
        }
        Ok(indexes)
    }

    /// Ends the last segment with damage that reaches up to the cut, and begins another one there:
    /// how many bytes the damaged batches before the cut took, nobody can tell.
    async fn close(
        &mut self,
        frontier: &mut Frontier,
        to: u64,
        damage: &mut Damage,
    ) -> Result<ClosedSegment, LogError> {
        let segment = &frontier.segment;
        let end = segment.bytes;
        let range = DamagedRange {
            from: frontier.next_offset,
            to,
            segment: segment.base_offset,
            position: end,
            end: None,
            is_missed: true,
        };
        let path = batches_path(&self.folder, to);
        let created = self.disk.open(&path, OpenMode::CreateNew).await;
        created.map_err(|source| LogError::io("create", &path, source))?;
        walk::sync_folder(&self.disk, &self.folder).await?;
        self.written = Written {
            file: None,
            is_spare: false,
            base_offset: to,
            bytes: 0,
            last_block: Bytes::new(),
            checkpoint_bytes: 0,
            next_offset: to,
        };
        frontier.pass_over(&range, end, self.epochs.history.starts());
        damage.insert(range);
        Ok(ClosedSegment::in_memory(frontier.roll()))
    }

    async fn cut_file(&mut self, frontier: &mut Frontier) -> Result<(), LogError> {
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
        // It may be missing.
        let opened = disk.open(&path, OpenMode::CreateOrWrite).await;
        let file = opened.map_err(|source| LogError::io("open", &path, source))?;
        let cut = file.set_len(segment.bytes).await;
        cut.map_err(|source| LogError::io("cut", &path, source))?;
        walk::mark_end(&file, &path, segment).await?;
        let synced = file.sync_data().await;
        synced.map_err(|source| LogError::io("sync", &path, source))?;
        written.file = None;
        written.is_spare = false;
        written.last_block = walk::read_last_block(&file, &path, segment.bytes).await?;
        written.base_offset = segment.base_offset;
        written.bytes = segment.bytes;
        written.checkpoint_bytes = 0;
        written.next_offset = *next_offset;
        Ok(())
    }

    /// The frontier at `to`, which lies in the segment `base_offsets[at]` or at its end; where the
    /// damage begins if it lies in damage.
    async fn frontier(
        &self,
        at: usize,
        to: u64,
        damage: &mut Damage,
    ) -> Result<Frontier, LogError> {
        let Self {
            disk,
            folder,
            index_step_bytes: step,
            epochs,
            base_offsets,
            ..
        } = self;
        let mut window = walk::open_window(disk, folder, base_offsets[at]).await?;
        let checkpoint = walk::read_checkpoint(disk, folder, base_offsets[at]).await?;
        // Bytes that are missing are damage, and no place to go on from.
        let is_of_use = |checkpoint: &Frontier| {
            checkpoint.next_offset <= to && checkpoint.segment.bytes <= window.end()
        };
        let checkpoint = checkpoint.map(|checkpoint| checkpoint.frontier);
        let mut frontier = match checkpoint.filter(is_of_use) {
            Some(checkpoint) => checkpoint,
            None => {
                walk::frontier_at(disk, folder, base_offsets, at, epochs, *step, damage).await?
            }
        };
        walk::walk_over(&mut window, &mut frontier, to, epochs, *step, damage).await?;
        Ok(frontier)
    }

    /// Removes what lies behind the segment `base_offsets[at]`, and all checkpoints from it on.
    ///
    /// A checkpoint vouches for bytes that are durable, so all of them go before any bytes do: a
    /// crash in between leaves a longer log, not one that looks damaged. The files of batches go
    /// from the last to the first, so that no gap can be left.
    async fn remove_behind(&self, at: usize) -> Result<(), LogError> {
        for &base_offset in &self.base_offsets[at..] {
            walk::remove_file(&self.disk, &checkpoint_path(&self.folder, base_offset)).await?;
        }
        walk::sync_folder(&self.disk, &self.folder).await?;
        for &base_offset in self.base_offsets[at + 1..].iter().rev() {
            walk::remove_file(&self.disk, &batches_path(&self.folder, base_offset)).await?;
            walk::sync_folder(&self.disk, &self.folder).await?;
        }
        Ok(())
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
