//! Putting batches in the place of damaged ones that were shorter or longer.
//!
//! Replicas compact by themselves, so one may have more or less left of a batch than another. What
//! it sends then does not fit into the bytes that were damaged. So the whole segment is written
//! anew, with the good batches that it holds and those that were sent, and the new file takes its
//! place as that of a compaction does.
//!
//! The same is done where the log has come to begin inside of what is damaged. What was before is
//! sent by nobody any more, and how many bytes it took is not known; batches without records stand
//! for it from then on.
//!
//! If not all that is damaged was sent at once, much room is left for the rest: what comes next
//! fits into it, and the segment need not be written once for every part.

use std::path::Path;
use std::rc::Rc;

use bytes::Bytes;
use quorate_batch::{BatchHeader, hollow};
use quorate_platform::Disk;

use super::super::PartitionLog;
use super::super::compact::{Source, SourceReader};
use super::super::replacement::{Replacement, Span, Writer};
use super::super::resync::Place;
use super::super::walk::KnownEpochs;
use super::Misfit;
use crate::chain::Chain;
use crate::damage::DamagedRange;
use crate::error::LogError;

/// Room for damaged batches whose size is not known.
const ROOM_BYTES_MIN: u64 = 4096;

/// A segment that is to be written anew.
pub(super) struct Restoration<D: Disk> {
    disk: D,
    folder: Rc<Path>,
    epochs: KnownEpochs,
    index_step_bytes: u64,
    source: Source,
    /// What is damaged in it; in the first range the batches go.
    damaged: Vec<DamagedRange>,
    /// Which of them it is.
    target: usize,
    /// What stands before them, where the log does not reach any more.
    front: Vec<(BatchHeader, Bytes)>,
    batches: Vec<(BatchHeader, Bytes)>,
}

/// A segment that was written anew.
pub(super) struct Restored<D: Disk> {
    pub(super) replacement: Replacement<D>,
    /// What is still damaged, in the new file.
    pub(super) damaged: Vec<DamagedRange>,
    /// The batches that were put back.
    pub(super) headers: Vec<BatchHeader>,
    pub(super) is_missed: bool,
}

/// The batches with their headers: they are sound, follow one another, and are of the epochs that
/// wrote there.
fn checked<D: Disk>(
    log: &PartitionLog<D>,
    batches: &[Bytes],
) -> Result<Vec<(BatchHeader, Bytes)>, Misfit> {
    let mut chain: Option<Chain> = None;
    let mut checked = Vec::new();
    for batch in batches {
        let header = BatchHeader::validate(batch).map_err(|_| Misfit::Unsound)?;
        if chain.is_some_and(|chain| chain.check_header(batch, u64::MAX).is_err()) {
            return Err(Misfit::Unsound);
        }
        if log.end.epochs.epoch_at(header.base_offset) != Some(header.leader_epoch) {
            return Err(Misfit::Epoch);
        }
        chain = Some(Chain {
            next_offset: header.next_offset(),
            epoch: header.leader_epoch,
        });
        checked.push((header, batch.clone()));
    }
    Ok(checked)
}

/// Batches without records from `from` up to where `first` begins, of the epochs that wrote there
/// as far as that is still known.
fn front_of<D: Disk>(
    log: &PartitionLog<D>,
    from: u64,
    first: &BatchHeader,
) -> Vec<(BatchHeader, Bytes)> {
    let epochs = &log.end.epochs;
    let mut front = Vec::new();
    let mut offset = from;
    while offset < first.base_offset {
        let epoch = epochs.epoch_at(offset).unwrap_or(first.leader_epoch);
        let starts = epochs.starts().iter().map(|(_, start)| *start);
        let next = starts.filter(|start| *start > offset).min();
        let next = next.unwrap_or(u64::MAX).min(first.base_offset);
        let next = next.min(offset + (1 << 31));
        let batch = hollow(offset, next, epoch, first.base_timestamp);
        let header = BatchHeader::parse(&batch).expect("it was made here");
        front.push((header, batch));
        offset = next;
    }
    front
}

impl<D: Disk> Restoration<D> {
    /// The segment in which something is damaged where `batches` begin, and as many of them as go
    /// there.
    pub(super) fn of(log: &PartitionLog<D>, batches: &[Bytes]) -> Result<Self, Misfit> {
        let mut batches = checked(log, batches)?;
        let from = batches.first().map_or(0, |(header, _)| header.base_offset);
        let ranges = log.damage.ranges();
        let is_meant = |it: &DamagedRange| it.from == from || log.is_front(it, from);
        let range = ranges.iter().find(|it| is_meant(it));
        let range = *range.ok_or(Misfit::Elsewhere)?;
        let is_beyond = |(header, _): &(BatchHeader, Bytes)| header.next_offset() > range.to;
        if let Some(beyond) = batches.iter().position(is_beyond) {
            batches.truncate(beyond);
        }
        if batches.is_empty() {
            return Err(Misfit::Length);
        }
        let sources = Source::of(log, usize::MAX);
        let complete = log.written.base_offset;
        let is_it = |it: &&Source| it.base_offset == range.segment && it.next_offset <= complete;
        let source = *sources.iter().find(is_it).ok_or(Misfit::Open)?;
        let inside = ranges.iter().filter(|it| it.segment == range.segment);
        let damaged: Vec<_> = inside.copied().collect();
        let target = damaged.iter().position(|it| it.from == range.from);
        let (first, _) = &batches[0];
        Ok(Self {
            disk: log.disk.clone(),
            folder: log.folder.clone(),
            epochs: log.known_epochs(),
            index_step_bytes: log.settings.index_step_bytes,
            source,
            target: target.ok_or(Misfit::Elsewhere)?,
            damaged,
            front: front_of(log, range.from, first),
            batches,
        })
    }

    /// Writes the new file. `None` if more is damaged than was known: nothing is put back then.
    pub(super) async fn write(self) -> Result<Option<Restored<D>>, LogError> {
        let Source {
            base_offset,
            next_offset,
            ..
        } = self.source;
        let span = Span {
            base_offset,
            next_offset,
        };
        let (disk, folder) = (self.disk.clone(), self.folder.clone());
        let mut writer = Writer::create(disk, folder, span, self.index_step_bytes).await?;
        match self.fill(&mut writer).await {
            Ok(Some(damaged)) => Ok(Some(Restored {
                replacement: writer.finish(vec![base_offset]).await?,
                damaged,
                headers: self.batches.iter().map(|(header, _)| *header).collect(),
                is_missed: self.damaged[self.target].is_missed,
            })),
            Ok(None) => {
                writer.discard().await;
                Ok(None)
            }
            Err(error) => {
                writer.discard().await;
                Err(error)
            }
        }
    }

    /// Gives what is still damaged.
    async fn fill(&self, writer: &mut Writer<D>) -> Result<Option<Vec<DamagedRange>>, LogError> {
        let mut left = Vec::new();
        let mut place = self.source.start();
        for (at, range) in self.damaged.iter().enumerate() {
            if !self.copy(writer, place, range.from).await? {
                return Ok(None);
            }
            let length = range.end.map(|end| end.saturating_sub(range.position));
            let mut room = length.unwrap_or(0).max(ROOM_BYTES_MIN);
            let mut from = range.from;
            if at == self.target {
                for (header, batch) in self.front.iter().chain(&self.batches) {
                    writer.push(header, batch.clone()).await?;
                    from = header.next_offset();
                }
                let sent: usize = self.batches.iter().map(|(_, batch)| batch.len()).sum();
                room = 2 * room.max(sent as u64);
            }
            if from < range.to {
                left.push(writer.push_damage(range.to, room, range.is_missed).await?);
            }
            place = Place {
                offset: range.to,
                position: range.end.unwrap_or(self.source.bytes),
            };
        }
        let is_whole = self.copy(writer, place, self.source.next_offset).await?;
        Ok(is_whole.then_some(left))
    }

    /// Copies the batches from a place up to an offset. False if one of them is damaged.
    async fn copy(
        &self,
        writer: &mut Writer<D>,
        from: Place,
        until: u64,
    ) -> Result<bool, LogError> {
        if from.offset >= until {
            return Ok(true);
        }
        let source = Source {
            next_offset: until,
            ..self.source
        };
        let opened = source.open(&self.disk, &self.folder, from).await?;
        let Some(mut reader): Option<SourceReader<D::File>> = opened else {
            return Ok(false);
        };
        loop {
            match reader.next(&self.epochs).await? {
                Ok(Some((header, batch))) => writer.push(&header, batch).await?,
                Ok(None) => return Ok(true),
                Err(_) => return Ok(false),
            }
        }
    }
}
