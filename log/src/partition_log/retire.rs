//! Removing what is before the log start, a segment at a time.

use std::fmt;
use std::path::Path;
use std::rc::Rc;

use quorate_platform::Disk;

use super::walk::{self, KnownEpochs};
use super::{Busy, PartitionLog, anchor};
use crate::closed_segment::ClosedSegment;
use crate::damage::Damage;
use crate::error::LogError;
use crate::retention::SegmentSpan;
use crate::segment::{batches_path, checkpoint_path, start_path};
use crate::spares::Spares;

/// Removes the first segments of a log; see [`PartitionLog::begin_retire`].
#[must_use = "nothing is removed before the job has run"]
pub struct RetireJob<D: Disk> {
    disk: D,
    folder: Rc<Path>,
    /// The segments that go, and the one that is then the first.
    base_offsets: Vec<u64>,
    epochs: KnownEpochs,
    index_step_bytes: u64,
    spares: Option<Spares<D>>,
}

/// The outcome of a [`RetireJob`], for [`PartitionLog::finish_retire`].
#[derive(Debug)]
#[must_use = "the log does not know of the outcome before it is given to it"]
pub struct Retired(Result<(), LogError>);

impl<D: Disk> PartitionLog<D> {
    /// From here on nothing before `log_start` can be read: a batch begins there, or the log ends.
    ///
    /// It never falls. What is on disk stays there; see [`PartitionLog::begin_retire`].
    ///
    /// # Panics
    ///
    /// If that is beyond what is durable.
    pub fn raise_start(&mut self, log_start: u64) {
        assert!(
            log_start <= self.durable_offset(),
            "a log begins no later than it ends"
        );
        self.log_start = self.log_start.max(log_start);
        self.damage.forget_before(self.log_start);
    }

    /// Takes the segments that have nothing at [`PartitionLog::log_start_offset`] or above, for a
    /// job that removes them. The caller has made durable that the log begins there.
    ///
    /// Flushes may go on meanwhile, cuts may not. `None` if there is nothing to remove, or another
    /// job is under way that is no flush: its `finish_…` comes first.
    pub fn begin_retire(&mut self) -> Result<Option<RetireJob<D>>, LogError> {
        self.check_poison()?;
        let is_free = match self.busy {
            Busy::Idle | Busy::Flushing => !self.is_retiring && !self.is_replacing(),
            Busy::Truncating | Busy::Rewriting | Busy::Resetting => false,
        };
        let count = self.retirable();
        if !is_free || count == 0 {
            return Ok(None);
        }
        self.is_retiring = true;
        // Whoever reads there is told that it is gone, and not that it is damaged.
        self.change_generation();
        let retired = self.closed.drain(..count).map(|it| it.base_offset);
        let mut base_offsets: Vec<_> = retired.collect();
        base_offsets.extend(self.base_offsets().next());
        Ok(Some(RetireJob {
            disk: self.disk.clone(),
            folder: self.folder.clone(),
            base_offsets,
            epochs: self.known_epochs(),
            index_step_bytes: self.settings.index_step_bytes,
            spares: self.spares.clone(),
        }))
    }

    /// Takes the outcome of a removal. An error is final: the log is poisoned.
    pub fn finish_retire(&mut self, retired: Retired) -> Result<(), LogError> {
        assert!(self.is_retiring, "a removal is under way");
        self.is_retiring = false;
        self.poison_on_error(retired.0)
    }

    /// Whether there is something to remove, which [`PartitionLog::begin_retire`] does.
    pub fn is_retirable(&self) -> bool {
        self.retirable() > 0
    }

    /// Whether [`PartitionLog::begin_retire`] has begun something that is not finished.
    pub fn is_retiring(&self) -> bool {
        self.is_retiring
    }

    /// What retention has to know of the segments, in order.
    pub fn spans(&self) -> Vec<SegmentSpan> {
        let closed = self.closed.iter().map(ClosedSegment::span);
        closed.chain([self.end.segment.span()]).collect()
    }

    /// Closes the last segment, unless it is empty: what is appended next goes into another one,
    /// which grows. The next flush makes that durable.
    ///
    /// Nothing is closed while the log is being cut: which segment is the last shows after that.
    pub fn roll(&mut self) {
        if self.end.segment.base_offset < self.end.next_offset && !self.is_being_cut() {
            self.begin_segment_in(None);
        }
    }

    /// How many segments can go. One that is still being written cannot, and neither can one whose
    /// checkpoint may be: that comes right after the next segment was begun.
    fn retirable(&self) -> usize {
        let is_old = |next: &u64| *next <= self.log_start && *next <= self.written.base_offset;
        self.base_offsets().skip(1).take_while(is_old).count()
    }
}

impl<D: Disk> RetireJob<D> {
    /// Removes. Once begun it has to run to its end, whoever waits for it.
    pub async fn run(self) -> Retired {
        Retired(self.remove().await)
    }

    async fn remove(self) -> Result<(), LogError> {
        let Self {
            disk,
            folder,
            base_offsets,
            epochs,
            index_step_bytes: step,
            spares,
        } = self;
        let at = base_offsets.len() - 1;
        // What cannot be read is passed over: it was known, or is no matter any more.
        let mut damage = Damage::default();
        let bases = &base_offsets[..];
        let frontier = walk::frontier_at(&disk, &folder, bases, at, &epochs, step, &mut damage);
        anchor::write(&disk, &folder, &frontier.await?).await?;
        if let Some(spares) = spares {
            for base in &base_offsets[..at] {
                spares.recycle(&batches_path(&folder, *base)).await?;
            }
        }
        remove(&disk, &folder, &base_offsets[..at]).await
    }
}

/// Removes all files of these segments, which are before the first one that counts. If a crash
/// leaves some of them, they do not count, and are removed when the log is opened.
pub(super) async fn remove<D: Disk>(
    disk: &D,
    folder: &Path,
    base_offsets: &[u64],
) -> Result<(), LogError> {
    for &base in base_offsets {
        for path in [
            batches_path(folder, base),
            checkpoint_path(folder, base),
            start_path(folder, base),
        ] {
            walk::remove_file(disk, &path).await?;
        }
    }
    match base_offsets.is_empty() {
        true => Ok(()),
        false => walk::sync_folder(disk, folder).await,
    }
}

impl<D: Disk> fmt::Debug for RetireJob<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RetireJob")
            .field("folder", &self.folder)
            .field("base_offsets", &self.base_offsets)
            .finish_non_exhaustive()
    }
}
