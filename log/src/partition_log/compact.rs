//! Compaction: the latest record of every key stays.
//!
//! A *pass* goes over the closed segments three times. It learns the latest offset of every key
//! that was appended since the last pass; it weighs every segment, so that it knows which lose
//! something and which could become one; and it writes these anew and has the new files take their
//! place ([`replacement`](super::replacement)).
//!
//! The pass lives in the log and goes on a *step* at a time, each of which is a job. Steps that
//! read and write leave the log alone: flushes, reads and even cuts go on meanwhile, and a cut
//! makes an end of the pass. Only the step that has a file take its place keeps cuts, removals and
//! repairs waiting; it renames some files.
//!
//! Compaction takes records out of batches and never a batch out of the log: all batches begin and
//! end where they did, and their headers tell of the same epochs and producers. So whatever is
//! derived from these stays right, and replicas agree on it whenever each of them compacts.

mod pass;
mod source;
mod step;

use std::fmt;

use quorate_platform::Disk;

use self::pass::{Pass, Stage};
pub(super) use self::source::{Source, SourceReader};
use self::step::{Met, Scene};
use super::replacement::Replacement;
use super::{Busy, PartitionLog};
use crate::closed_segment::ClosedSegment;
use crate::compaction::{eligible, is_due};
use crate::error::LogError;

/// What a pass may take at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CompactLimits {
    /// About the keys that it learns; each takes some 50 bytes of memory. A pass that has learned
    /// so many ends there, and the next one goes on.
    pub keys_max: usize,
    /// About the bytes that one step reads.
    pub step_bytes: u64,
}

/// How far a pass has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compacted {
    /// There is more to do. The last step has read and written so many bytes.
    Unfinished(u64),
    /// The pass is over.
    Finished(Cleaning),
    /// The pass has met damage at this offset, and ends. A survey tells how far it reaches.
    Damaged(u64),
    /// The log was cut or repaired meanwhile, and the pass ends.
    Superseded,
}

/// What a pass has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cleaning {
    /// Below this offset the log holds no record that a later record below it shadows.
    pub to: u64,
    /// The records that were taken out.
    pub records: u64,
    /// The bytes of the segments that were written anew, before.
    pub bytes_before: u64,
    /// The bytes of the files that have taken their place.
    pub bytes_after: u64,
}

/// What a log knows of its compaction.
pub(super) struct Compaction<D: Disk> {
    /// Below this offset nothing is shadowed by what is below it.
    cleaned: u64,
    /// The first tombstone that the last pass has left.
    oldest_tombstone: Option<u64>,
    pass: Option<Box<Pass<D>>>,
    running: Option<Running>,
    /// The segment whose file is taking its place, and that file: it has no name to rely on.
    replacing: Option<(u64, D::File)>,
}

/// What is known of a step that is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Running {
    /// One past the last offset that the pass looks at.
    end: u64,
    /// The log was cut or repaired since the step began.
    is_void: bool,
}

/// A step of a pass; see [`PartitionLog::begin_compact`].
#[must_use = "nothing is compacted before the job has run"]
pub struct CompactJob<D: Disk> {
    pass: Box<Pass<D>>,
    scene: Scene<D>,
    generation_at_begin: u64,
    replacement: Option<Replacement<D>>,
}

/// The outcome of a [`CompactJob`], for [`PartitionLog::finish_compact`].
#[must_use = "the log does not know of the outcome before it is given to it"]
pub struct CompactStep<D: Disk> {
    pass: Box<Pass<D>>,
    result: Result<Met, LogError>,
    generation_at_begin: u64,
    /// A file was to take its place; with or without an index file.
    placed: Option<bool>,
}

impl<D: Disk> Default for Compaction<D> {
    fn default() -> Self {
        Self {
            cleaned: 0,
            oldest_tombstone: None,
            pass: None,
            running: None,
            replacing: None,
        }
    }
}

impl<D: Disk> Compaction<D> {
    /// The batches from `from` on are not what they were.
    pub(super) fn disturb(&mut self, from: u64) {
        self.cleaned = self.cleaned.min(from);
        self.oldest_tombstone = self.oldest_tombstone.filter(|offset| *offset < from);
        if self.pass.as_ref().is_some_and(|pass| pass.end() > from) {
            self.pass = None;
        }
        if let Some(running) = self.running.as_mut().filter(|it| it.end > from) {
            running.is_void = true;
        }
    }

    fn end_pass(&mut self, pass: &Pass<D>) {
        let to = pass.cleaning.to;
        // What lies behind the pass it has not looked at.
        let behind = self.oldest_tombstone.filter(|_| to < self.cleaned);
        let behind = behind.map(|offset| offset.max(to));
        self.oldest_tombstone = pass.oldest_tombstone.into_iter().chain(behind).min();
        self.cleaned = self.cleaned.max(to);
    }

    pub(super) fn is_replacing(&self) -> bool {
        self.replacing.is_some()
    }

    /// The file of a segment that is just taking its place.
    pub(super) fn file_of(&self, base_offset: u64) -> Option<D::File> {
        let replacing = self.replacing.as_ref();
        let (_, file) = replacing.filter(|(base, _)| *base == base_offset)?;
        Some(file.clone())
    }
}

impl<D: Disk> PartitionLog<D> {
    /// Below this offset the log holds no record that a later record below it shadows, as far as
    /// is known: after opening nothing is. What is damaged, and what was put in its place, may be.
    pub fn compacted(&self) -> u64 {
        let damaged = self.damage.ranges().first().map(|range| range.from);
        let cleaned = self.compaction.cleaned;
        cleaned.min(damaged.unwrap_or(cleaned))
    }

    /// Whether it is time for a pass; the arguments are those of [`PartitionLog::begin_compact`].
    pub fn is_compactable(&self, until: u64, tombstones_below: u64) -> bool {
        let until = self.compactable_until(until);
        let (spans, cleaned) = (self.spans(), self.compaction.cleaned);
        let oldest = self.compaction.oldest_tombstone;
        is_due(&spans, until, cleaned) || oldest.is_some_and(|it| it < tombstones_below.min(until))
    }

    /// Whether a pass has begun and is not over.
    pub fn is_compacting(&self) -> bool {
        self.compaction.pass.is_some() || self.compaction.running.is_some()
    }

    /// Whether a job is under way that has a file take the place of others: cuts, removals and
    /// repairs begin only after it.
    pub fn is_replacing(&self) -> bool {
        self.compaction.is_replacing()
    }

    /// Begins a pass, or goes on with the one that has begun: gives its next step.
    ///
    /// Of every key the records go that have a later one, and tombstones that are below
    /// `tombstones_below`. Nothing that is not closed, durable, sound and below `until` is touched,
    /// the high watermark say. If a pass has begun, its own arguments hold.
    ///
    /// `None` if there is nothing to compact, or another job is under way: its `finish_…` comes
    /// first.
    pub fn begin_compact(
        &mut self,
        until: u64,
        tombstones_below: u64,
        limits: CompactLimits,
    ) -> Result<Option<CompactJob<D>>, LogError> {
        self.check_poison()?;
        if self.compaction.running.is_some() {
            return Ok(None);
        }
        let pass = self.compaction.pass.take();
        let pass = pass.and_then(|mut pass| pass.still_holds(self).then_some(pass));
        let pass = match pass {
            Some(pass) => pass,
            None => {
                let count = eligible(&self.spans(), self.compactable_until(until));
                if count == 0 {
                    return Ok(None);
                }
                Box::new(Pass::new(self, count, tombstones_below, limits))
            }
        };
        Ok(self.begin_step(pass))
    }

    fn begin_step(&mut self, mut pass: Box<Pass<D>>) -> Option<CompactJob<D>> {
        let generation_at_begin = self.generation.get();
        let mut replacement = None;
        if let Stage::Written(..) = pass.stage {
            let is_free = match self.busy {
                Busy::Idle | Busy::Flushing => !self.is_retiring,
                Busy::Truncating | Busy::Rewriting | Busy::Resetting => false,
            };
            if !is_free {
                self.compaction.pass = Some(pass);
                return None;
            }
            replacement = pass.take_written();
        }
        if let Some(replacement) = &replacement {
            self.switch_to(replacement);
        }
        self.compaction.running = Some(Running {
            end: pass.end(),
            is_void: false,
        });
        Some(CompactJob {
            pass,
            scene: Scene {
                disk: self.disk.clone(),
                folder: self.folder.clone(),
                epochs: self.known_epochs(),
                index_step_bytes: self.settings.index_step_bytes,
                spares: self.spares.clone(),
            },
            generation_at_begin,
            replacement,
        })
    }

    /// From here on what is read of the segments is read in the file that takes their place. Where
    /// batches are in it is known, and what is in the old files is not looked for any more; so no
    /// reader looks into the one for what stands in the others.
    pub(super) fn switch_to(&mut self, replacement: &Replacement<D>) {
        let Replacement {
            file,
            segment,
            base_offsets,
            ..
        } = replacement;
        self.change_generation();
        let base_offset = segment.base_offset;
        let is_old = |base: u64| base_offsets.contains(&base);
        let from = self
            .closed
            .partition_point(|it| it.base_offset < base_offset);
        let old = self.closed[from..]
            .iter()
            .take_while(|it| is_old(it.base_offset));
        let to = from + old.count();
        assert_eq!(to - from, base_offsets.len(), "what is replaced is there");
        let closed = ClosedSegment::in_memory(segment.clone());
        self.closed.splice(from..to, [closed]);
        base_offsets
            .iter()
            .for_each(|base| self.indexes.forget(*base));
        self.compaction.replacing = Some((base_offset, file.clone()));
    }

    /// The file that was switched to has the name that it shall have. Its index is left to the
    /// index file, if that is written.
    pub(super) fn end_switch(&mut self, is_index_written: bool) {
        let switched = self.compaction.replacing.take();
        let base_offset = switched.map(|(base_offset, _)| base_offset);
        let is_sound = |base: &u64| is_index_written && !self.damage.is_in(*base);
        if let Some(base_offset) = base_offset.filter(is_sound)
            && let Some(at) = self.closed_at(base_offset)
            && let Some(index) = self.closed[at].leave()
        {
            self.indexes.insert(base_offset, index);
        }
    }

    /// Takes the outcome of a step.
    ///
    /// An error says that something could not be read or written. Nothing has happened to the log
    /// then, unless a file was to take its place: that is final, and the log is poisoned.
    pub fn finish_compact(&mut self, step: CompactStep<D>) -> Result<Compacted, LogError> {
        let running = self.compaction.running.take();
        let running = running.expect("a step of a pass is under way");
        let CompactStep {
            mut pass,
            result,
            generation_at_begin,
            placed,
        } = step;
        if let Some(is_index_written) = placed {
            self.poison_on_error(result)?;
            self.end_switch(is_index_written);
        } else if running.is_void {
            return Ok(Compacted::Superseded);
        } else if let Met::Damage(offset) = result?
            && self.generation.get() == generation_at_begin
        {
            return Ok(Compacted::Damaged(offset));
        }
        // Where segments have gone meanwhile, nothing is damaged; the next step sees to it.
        match pass.is_over() {
            true => {
                self.compaction.end_pass(&pass);
                Ok(Compacted::Finished(pass.cleaning))
            }
            false => {
                let bytes = std::mem::take(&mut pass.step_bytes);
                self.compaction.pass = Some(pass);
                Ok(Compacted::Unfinished(bytes))
            }
        }
    }

    /// Where what may be compacted ends, as far as it is committed below `until`.
    fn compactable_until(&self, until: u64) -> u64 {
        // A segment is complete, and its checkpoint written, once the next one is begun on disk.
        let complete = self.written.base_offset;
        let damaged = self.damage.ranges().first().map(|range| range.segment);
        until.min(complete).min(damaged.unwrap_or(complete))
    }
}

impl<D: Disk> CompactJob<D> {
    /// Reads and writes. Once begun it has to run to its end, whoever waits for it.
    pub async fn run(self) -> CompactStep<D> {
        let Self {
            mut pass,
            scene,
            generation_at_begin,
            replacement,
        } = self;
        let placed = replacement.as_ref().map(|it| it.checkpoint.is_some());
        let result = match replacement {
            Some(replacement) => {
                let Scene {
                    disk,
                    folder,
                    spares,
                    ..
                } = &scene;
                let placed = replacement.take_place(disk, folder, spares.as_ref()).await;
                placed.map(|()| Met::Nothing)
            }
            None => pass.go_on(&scene).await,
        };
        CompactStep {
            pass,
            result,
            generation_at_begin,
            placed,
        }
    }
}

impl<D: Disk> fmt::Debug for CompactJob<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CompactJob")
            .field("pass", &self.pass)
            .field("is_replacement", &self.replacement.is_some())
            .finish_non_exhaustive()
    }
}

impl<D: Disk> fmt::Debug for CompactStep<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CompactStep")
            .field("pass", &self.pass)
            .field("error", &self.result.as_ref().err())
            .finish_non_exhaustive()
    }
}
