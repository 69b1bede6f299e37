//! Dropping a whole log, so that it begins anew somewhere else.

use std::fmt;
use std::path::Path;
use std::rc::Rc;

use bytes::Bytes;
use quorate_platform::{Disk, OpenMode};

use super::{Busy, PartitionLog, Written, anchor, walk};
use crate::damage::Damage;
use crate::error::LogError;
use crate::segment::{batches_path, checkpoint_path, start_path};
use crate::tail::Tail;

/// Drops a log and begins another; see [`PartitionLog::begin_reset`].
#[must_use = "nothing is dropped on disk before the job has run"]
pub struct ResetJob<D: Disk> {
    disk: D,
    folder: Rc<Path>,
    base_offsets: Vec<u64>,
    to: u64,
    epoch: u32,
}

/// The outcome of a [`ResetJob`], for [`PartitionLog::finish_reset`].
#[must_use = "the log does not know of the outcome before it is given to it"]
pub struct Reset<D: Disk> {
    result: Result<Written<D>, LogError>,
    to: u64,
}

impl<D: Disk> PartitionLog<D> {
    /// Drops the whole log, for one that begins at `to` behind a record of `epoch`, with nothing in
    /// it and nothing known of producers. The caller has made durable that it begins there, and
    /// has no flush outstanding.
    ///
    /// From here on [`PartitionLog::next_offset`] is `to`, and nothing may be appended before the
    /// job has finished. `None` if another job is under way: its `finish_…` comes first.
    ///
    /// # Panics
    ///
    /// If something waits for a flush.
    pub fn begin_reset(&mut self, to: u64, epoch: u32) -> Result<Option<ResetJob<D>>, LogError> {
        self.check_poison()?;
        if self.busy != Busy::Idle || self.is_retiring || self.is_replacing() {
            return Ok(None);
        }
        assert!(self.pending.is_empty(), "a log is dropped between flushes");
        self.busy = Busy::Resetting;
        self.compaction.disturb(0);
        self.change_generation();
        let base_offsets = self.base_offsets().collect();
        self.closed.clear();
        self.indexes.forget_from(0);
        self.end = anchor::found(to, epoch);
        self.damage = Damage::default();
        self.tail = Tail::default();
        self.room = None;
        self.log_start = to;
        Ok(Some(ResetJob {
            disk: self.disk.clone(),
            folder: self.folder.clone(),
            base_offsets,
            to,
            epoch,
        }))
    }

    /// Takes the outcome of a reset; answers with [`PartitionLog::next_offset`]. An error is final:
    /// the log is poisoned.
    pub fn finish_reset(&mut self, reset: Reset<D>) -> Result<u64, LogError> {
        assert_eq!(self.busy, Busy::Resetting, "a reset is under way");
        self.busy = Busy::Idle;
        self.written = self.poison_on_error(reset.result)?;
        self.change_generation();
        Ok(self.next_offset())
    }
}

impl<D: Disk> ResetJob<D> {
    /// Removes and creates. Once begun it has to run to its end, whoever waits for it.
    pub async fn run(self) -> Reset<D> {
        let to = self.to;
        let result = self.begin_anew().await;
        Reset { result, to }
    }

    /// The segments go from the last to the first. So a crash leaves a log that ends earlier, which
    /// shows that it was to be dropped, and never one whose end alone is left, which might not.
    async fn begin_anew(self) -> Result<Written<D>, LogError> {
        let Self {
            disk,
            folder,
            base_offsets,
            to,
            epoch,
        } = self;
        for base in base_offsets.iter().rev() {
            walk::remove_file(&disk, &checkpoint_path(&folder, *base)).await?;
            walk::remove_file(&disk, &batches_path(&folder, *base)).await?;
            walk::sync_folder(&disk, &folder).await?;
        }
        if let Some(first) = base_offsets.first() {
            walk::remove_file(&disk, &start_path(&folder, *first)).await?;
        }
        anchor::write(&disk, &folder, &anchor::found(to, epoch)).await?;
        let path = batches_path(&folder, to);
        let created = disk.open(&path, OpenMode::CreateNew).await;
        created.map_err(|source| LogError::io("create", &path, source))?;
        walk::sync_folder(&disk, &folder).await?;
        Ok(Written {
            file: None,
            is_spare: false,
            base_offset: to,
            bytes: 0,
            last_block: Bytes::new(),
            checkpoint_bytes: 0,
            next_offset: to,
        })
    }
}

impl<D: Disk> fmt::Debug for ResetJob<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResetJob")
            .field("folder", &self.folder)
            .field("to", &self.to)
            .finish_non_exhaustive()
    }
}

impl<D: Disk> fmt::Debug for Reset<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let error = self.result.as_ref().err();
        f.debug_struct("Reset")
            .field("to", &self.to)
            .field("error", &error)
            .finish_non_exhaustive()
    }
}
