use std::collections::VecDeque;
use std::fmt;

use quorate_batch::{BatchHeader, RecordView, Sifted, sift};
use quorate_platform::Disk;

use super::super::PartitionLog;
use super::super::replacement::{Replacement, Writer};
use super::super::resync::Place;
use super::source::Source;
use super::{Cleaning, CompactLimits};
use crate::compaction::{KeyMap, Weighed, groups};

/// A pass over a log; see [`compact`](super).
pub(super) struct Pass<D: Disk> {
    /// What was cleaned before.
    pub(super) from: u64,
    tombstones_below: u64,
    pub(super) limits: CompactLimits,
    segment_bytes_max: u64,
    pub(super) keys: KeyMap,
    pub(super) sources: Vec<Source>,
    pub(super) stage: Stage<D>,
    /// The first tombstone that stays.
    pub(super) oldest_tombstone: Option<u64>,
    pub(super) cleaning: Cleaning,
    /// What the step has read and written.
    pub(super) step_bytes: u64,
}

/// What a pass does next.
pub(super) enum Stage<D: Disk> {
    /// Removes what an earlier pass has left.
    Clear,
    /// Reads what is dirty, from here on.
    Learn(Cursor),
    /// Reads everything, from here on.
    Weigh(Cursor, Scales),
    /// Writes these groups of sources, each into one file.
    Write(VecDeque<Vec<Source>>, Option<Writing<D>>),
    /// The file for the first group is complete.
    Written(VecDeque<Vec<Source>>, Replacement<D>),
}

/// A place in the segment with this base offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cursor {
    pub(super) segment: u64,
    pub(super) place: Place,
}

/// What was weighed so far.
#[derive(Debug, Default)]
pub(super) struct Scales {
    pub(super) weighed: Vec<Weighed>,
    /// What stays of the batches of the segment that is being weighed, in bytes.
    pub(super) kept_bytes: u64,
    pub(super) gone: u64,
}

/// A file that is being written.
pub(super) struct Writing<D: Disk> {
    pub(super) writer: Writer<D>,
    pub(super) cursor: Cursor,
}

impl<D: Disk> Pass<D> {
    /// A pass over the first `count` closed segments, of which there is at least one.
    pub(super) fn new(
        log: &PartitionLog<D>,
        count: usize,
        tombstones_below: u64,
        limits: CompactLimits,
    ) -> Self {
        let sources = Source::of(log, count);
        let to = sources.last().map_or(0, |last| last.next_offset);
        Self {
            from: log.compaction.cleaned,
            tombstones_below,
            limits,
            segment_bytes_max: log.settings.segment_bytes_max,
            // So that it goes on in any case.
            keys: KeyMap::new(limits.keys_max.max(1)),
            sources,
            stage: Stage::Clear,
            oldest_tombstone: None,
            cleaning: Cleaning {
                to,
                ..Cleaning::default()
            },
            step_bytes: 0,
        }
    }

    /// One past the last offset that it looks at.
    pub(super) fn end(&self) -> u64 {
        self.sources.last().map_or(0, |last| last.next_offset)
    }

    /// Whether nothing is left to do.
    pub(super) fn is_over(&self) -> bool {
        match &self.stage {
            Stage::Write(groups, _) => groups.is_empty(),
            Stage::Clear | Stage::Learn(_) | Stage::Weigh(..) | Stage::Written(..) => false,
        }
    }

    /// Takes note of segments that were removed from the front of the log. False if the pass cannot
    /// go on: what it is about to replace is not what it was.
    pub(super) fn still_holds(&mut self, log: &PartitionLog<D>) -> bool {
        let there = Source::of(log, usize::MAX);
        let is_there = |source: &Source| there.contains(source);
        self.sources.retain(is_there);
        let Some(start) = self.sources.first().map(Cursor::start) else {
            return false;
        };
        let first = start.segment;
        let is_sound = |group: &Vec<Source>| {
            let damage = group
                .first()
                .and_then(|it| log.damage.first_behind(it.base_offset));
            let end = group.last().map_or(0, |last| last.next_offset);
            group.iter().all(is_there) && damage.is_none_or(|range| range.from >= end)
        };
        match &mut self.stage {
            Stage::Clear => true,
            Stage::Learn(cursor) => {
                if cursor.segment < first {
                    *cursor = start;
                }
                true
            }
            Stage::Weigh(cursor, scales) => {
                scales
                    .weighed
                    .retain(|weighed| weighed.base_offset >= first);
                if cursor.segment < first {
                    *cursor = start;
                    (scales.kept_bytes, scales.gone) = (0, 0);
                }
                true
            }
            Stage::Write(groups, None) => {
                groups.retain(|group| group.iter().all(is_there));
                true
            }
            Stage::Write(groups, Some(_)) | Stage::Written(groups, _) => {
                groups.iter().all(is_sound)
            }
        }
    }

    /// Everything is learned: what is read next is weighed.
    pub(super) fn enter_weigh(&mut self) {
        if let Some(first) = self.sources.first() {
            self.stage = Stage::Weigh(Cursor::start(first), Scales::default());
        }
    }

    /// Everything is weighed: some segments are written anew.
    pub(super) fn enter_write(&mut self, weighed: &[Weighed]) {
        let groups = groups(weighed, self.segment_bytes_max).into_iter();
        let sources = |weighed: &Weighed| Source {
            base_offset: weighed.base_offset,
            next_offset: weighed.next_offset,
            bytes: weighed.bytes,
        };
        self.cleaning.records = weighed.iter().map(|weighed| weighed.gone).sum();
        let groups = groups.map(|range| weighed[range].iter().map(sources).collect());
        self.stage = Stage::Write(groups.collect(), None);
    }

    /// The file that is complete, if one is. With it, the pass goes on to the next group.
    pub(super) fn take_written(&mut self) -> Option<Replacement<D>> {
        match std::mem::replace(&mut self.stage, Stage::Clear) {
            Stage::Written(mut groups, replacement) => {
                let group = groups.pop_front().unwrap_or_default();
                self.cleaning.bytes_before += group.iter().map(|it| it.bytes).sum::<u64>();
                self.cleaning.bytes_after += replacement.segment.bytes;
                self.stage = Stage::Write(groups, None);
                Some(replacement)
            }
            stage => {
                self.stage = stage;
                None
            }
        }
    }

    /// What stays of a batch, and how many records go. Takes note of tombstones that stay.
    ///
    /// A batch whose records nobody here can tell apart stays as it is: one that is compressed, or
    /// that the service wrote for itself.
    pub(super) fn sift(&mut self, header: &BatchHeader, batch: &[u8]) -> (Sifted, u64) {
        if header.is_control() {
            return (Sifted::Whole, 0);
        }
        let (mut gone, mut tombstone) = (0, None);
        let sifted = sift(header, batch, |record| {
            let offset = header.base_offset + u64::from(record.offset_delta);
            let is_kept = self.is_kept(record, offset);
            if is_kept && is_tombstone(record) {
                tombstone = tombstone.or(Some(offset));
            }
            gone += u64::from(!is_kept);
            is_kept
        });
        let Ok(sifted) = sifted else {
            return (Sifted::Whole, 0);
        };
        let oldest = self.oldest_tombstone.into_iter().chain(tombstone).min();
        self.oldest_tombstone = oldest;
        (sifted, gone)
    }

    fn is_kept(&self, record: &RecordView<'_>, offset: u64) -> bool {
        let Some(key) = record.key else {
            return true;
        };
        let is_droppable = is_tombstone(record) && offset < self.tombstones_below;
        !is_droppable && !self.keys.is_shadowed(key, offset)
    }
}

fn is_tombstone(record: &RecordView<'_>) -> bool {
    record.key.is_some() && record.value.is_none()
}

impl Cursor {
    /// The beginning of a source.
    pub(super) fn start(source: &Source) -> Self {
        Self {
            segment: source.base_offset,
            place: source.start(),
        }
    }
}

impl<D: Disk> fmt::Debug for Pass<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pass")
            .field("from", &self.from)
            .field("tombstones_below", &self.tombstones_below)
            .field("cleaning", &self.cleaning)
            .finish_non_exhaustive()
    }
}
