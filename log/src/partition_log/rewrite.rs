mod restoration;

use std::fmt;
use std::path::Path;
use std::rc::Rc;

use bytes::Bytes;
use quorate_batch::BatchHeader;
use quorate_platform::{Disk, File, OpenMode};

use self::restoration::{Restoration, Restored};
use super::replacement::Replacement;
use super::{Busy, PartitionLog, walk};
use crate::chain::Chain;
use crate::damage::DamagedRange;
use crate::error::LogError;
use crate::frame::{self, HEAD_BYTES};
use crate::segment::batches_path;

/// Writes batches over damaged ones; see [`PartitionLog::begin_rewrite`].
#[must_use = "nothing is written before the job has run"]
pub struct RewriteJob<D: Disk>(Work<D>);

enum Work<D: Disk> {
    /// Over the damaged bytes, which are as many.
    Over(Overwriting<D>),
    /// Into a new file.
    Anew(Restoration<D>),
    /// The new file takes its place. Then the batches are good up to this offset.
    Place(D, Rc<Path>, Replacement<D>, u64),
}

struct Overwriting<D: Disk> {
    disk: D,
    folder: Rc<Path>,
    pieces: Vec<Piece>,
    /// The bytes of the segment that flushes write to, and its base offset.
    written: (u64, u64),
}

/// The outcome of a [`RewriteJob`], for [`PartitionLog::finish_rewrite`].
#[must_use = "the log does not know of the outcome before it is given to it"]
pub struct Rewritten<D: Disk>(Result<Outcome<D>, LogError>);

enum Outcome<D: Disk> {
    Over(Vec<Piece>, Bytes),
    /// None if nothing could be put back.
    Anew(Option<Restored<D>>),
    /// With or without an index file, and up to which offset the batches are good.
    Placed(bool, u64),
}

/// How far a rewrite has come.
#[derive(Debug)]
pub enum Rewriting<D: Disk> {
    /// The batches can be read again up to this offset; none of them if they begin there.
    Done(u64),
    /// This has to run as well.
    Next(RewriteJob<D>),
}

/// The batches do not fit where they should be put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Misfit {
    /// They are damaged themselves, or do not follow one another.
    Unsound,
    /// No damaged range begins where they begin.
    Elsewhere,
    /// They are of another epoch than what stood there.
    Epoch,
    /// They take more or fewer bytes than what stood there, and do not end where that did.
    Length,
    /// The same, and the segment is the last one, which cannot be written anew:
    /// [`PartitionLog::roll`] and a flush come first.
    Open,
}

/// What is written into one damaged range.
#[derive(Debug)]
struct Piece {
    segment: u64,
    from: u64,
    next_offset: u64,
    position: u64,
    bytes: Vec<u8>,
    /// Room behind the batches, which was that of frames.
    spare_bytes: u64,
    /// The file ends behind it; how long it was is not known.
    is_end: bool,
    is_missed: bool,
    headers: Vec<BatchHeader>,
}

impl Piece {
    fn end(&self) -> u64 {
        self.position + self.bytes.len() as u64
    }

    /// Fills the room up to where the index says that the next batch begins. It was that of frames.
    fn fill_up_to(&mut self, position: u64) -> Result<(), Misfit> {
        let end = self.end();
        match position.checked_sub(end) {
            Some(0) => Ok(()),
            Some(room) if room >= HEAD_BYTES => {
                let filler = frame::encode_filler(self.segment, end, room);
                self.bytes.extend_from_slice(&filler);
                Ok(())
            }
            Some(_) | None => Err(Misfit::Length),
        }
    }
}

pub(super) fn begin<D: Disk>(
    log: &mut PartitionLog<D>,
    batches: &[Bytes],
) -> Result<Option<RewriteJob<D>>, Misfit> {
    let work = match cut_to_ranges(log, batches) {
        Ok(pieces) => Work::Over(Overwriting {
            disk: log.disk.clone(),
            folder: log.folder.clone(),
            pieces,
            written: (log.written.base_offset, log.written.bytes),
        }),
        Err(Misfit::Length) => Work::Anew(Restoration::of(log, batches)?),
        Err(misfit) => return Err(misfit),
    };
    if log.busy != Busy::Idle || log.is_replacing() || log.poison.is_some() {
        return Ok(None);
    }
    log.busy = Busy::Rewriting;
    Ok(Some(RewriteJob(work)))
}

fn cut_to_ranges<D: Disk>(log: &PartitionLog<D>, batches: &[Bytes]) -> Result<Vec<Piece>, Misfit> {
    let mut pieces: Vec<Piece> = Vec::new();
    let mut chain: Option<Chain> = None;
    for batch in batches {
        let header = BatchHeader::validate(batch).map_err(|_| Misfit::Unsound)?;
        let offset = header.base_offset;
        if chain.is_some_and(|chain| chain.check_header(batch, u64::MAX).is_err()) {
            return Err(Misfit::Unsound);
        }
        if log.end.epochs.epoch_at(offset) != Some(header.leader_epoch) {
            return Err(Misfit::Epoch);
        }
        chain
            .get_or_insert(Chain {
                next_offset: offset,
                epoch: 0,
            })
            .follow(&header);
        let range = log.damage.first_behind(offset).ok_or(Misfit::Elsewhere)?;
        let is_begun = pieces
            .last()
            .is_some_and(|piece| piece.next_offset == offset && offset > range.from);
        if !is_begun {
            if range.from != offset {
                // Where in the range they stood is not known, so they need a file of their own.
                let is_front = pieces.is_empty() && log.is_front(range, offset);
                return Err(match is_front {
                    true => Misfit::Length,
                    false => Misfit::Elsewhere,
                });
            }
            pieces.push(Piece {
                segment: range.segment,
                from: offset,
                next_offset: offset,
                position: range.position,
                bytes: Vec::new(),
                spare_bytes: 0,
                is_end: false,
                is_missed: range.is_missed,
                headers: Vec::new(),
            });
        }
        let piece = pieces.last_mut().expect("it was there or was just added");
        let index = log.index_in_memory(range.segment);
        let index = index.expect("the index of a segment with damage is in memory");
        if let Some(position) = index.position_of(offset) {
            piece.fill_up_to(position)?;
        }
        piece.bytes.extend_from_slice(batch);
        piece.next_offset = header.next_offset();
        piece.headers.push(header);
        let is_complete = piece.next_offset == range.to;
        piece.is_end = is_complete && range.end.is_none();
        let spare_bytes = range
            .end
            .map_or(Some(0), |end| end.checked_sub(piece.end()));
        let spare_bytes = spare_bytes.ok_or(Misfit::Length)?;
        let fits = match range.end {
            Some(_) if is_complete => spare_bytes == 0 || spare_bytes >= HEAD_BYTES,
            Some(_) => spare_bytes > 0,
            None => true,
        };
        if piece.next_offset > range.to || !fits {
            return Err(Misfit::Length);
        }
        piece.spare_bytes = if is_complete { spare_bytes } else { 0 };
    }
    Ok(pieces)
}

impl<D: Disk> PartitionLog<D> {
    /// Whether nothing that is damaged in `range` before `offset` is needed any more. Replicas do
    /// not send it then, nor could they.
    fn is_front(&self, range: &DamagedRange, offset: u64) -> bool {
        (range.from..range.to).contains(&offset) && offset <= self.log_start
    }
}

impl<D: Disk> RewriteJob<D> {
    /// Writes and syncs. Once begun it has to run to its end, whoever waits for it.
    pub async fn run(self) -> Rewritten<D> {
        Rewritten(match self.0 {
            Work::Over(overwriting) => overwriting.run().await,
            Work::Anew(restoration) => match restoration.write().await {
                // Nothing of the log has changed.
                Err(LogError::DiskFull { .. }) => Ok(Outcome::Anew(None)),
                result => result.map(Outcome::Anew),
            },
            Work::Place(disk, folder, replacement, to) => {
                let has_index = replacement.checkpoint.is_some();
                // What is damaged is not used again.
                let placed = replacement.take_place(&disk, &folder, None).await;
                placed.map(|()| Outcome::Placed(has_index, to))
            }
        })
    }
}

impl<D: Disk> Overwriting<D> {
    async fn run(self) -> Result<Outcome<D>, LogError> {
        let Self {
            disk,
            folder,
            mut pieces,
            written: (last, bytes),
        } = self;
        for piece in &mut pieces {
            let path = batches_path(&folder, piece.segment);
            if let Err(source) = write(&disk, &folder, &path, piece).await {
                return Err(LogError::io("rewrite", &path, source));
            }
        }
        // A piece may lie in the block that the next flush writes again.
        let last_block = walk::open_last_block(&disk, &folder, last, bytes);
        Ok(Outcome::Over(pieces, last_block.await?))
    }
}

async fn write<D: Disk>(
    disk: &D,
    folder: &Path,
    path: &Path,
    piece: &mut Piece,
) -> std::io::Result<()> {
    let file = disk.open(path, OpenMode::CreateOrWrite).await?;
    let end = piece.end();
    let mut bytes = std::mem::take(&mut piece.bytes);
    if piece.spare_bytes > 0 {
        let filler = frame::encode_filler(piece.segment, end, piece.spare_bytes);
        bytes.extend_from_slice(&filler);
    }
    let written = file.write_all_at(bytes, piece.position).await;
    piece.bytes = written.1;
    written.0?;
    piece.bytes.truncate((end - piece.position) as usize);
    if piece.is_end {
        file.set_len(end).await?;
    }
    file.sync_data().await?;
    // It may have been missing.
    disk.sync_folder(folder).await
}

pub(super) fn finish<D: Disk>(
    log: &mut PartitionLog<D>,
    rewritten: Rewritten<D>,
) -> Result<Rewriting<D>, LogError> {
    match rewritten.0? {
        Outcome::Over(pieces, last_block) => Ok(finish_over(log, pieces, last_block)),
        Outcome::Anew(None) => Ok(Rewriting::Done(0)),
        Outcome::Anew(Some(restored)) => Ok(switch(log, restored)),
        Outcome::Placed(has_index, to) => {
            log.end_switch(has_index);
            Ok(Rewriting::Done(to))
        }
    }
}

/// From here on what is read of the segment is read in its new file.
fn switch<D: Disk>(log: &mut PartitionLog<D>, restored: Restored<D>) -> Rewriting<D> {
    let Restored {
        replacement,
        damaged,
        headers,
        is_missed,
    } = restored;
    let from = headers.first().map_or(0, |header| header.base_offset);
    let to = headers.last().map_or(0, BatchHeader::next_offset);
    // Another replica may have compacted them less.
    log.compaction.disturb(from);
    log.damage
        .replace_in(replacement.segment.base_offset, &damaged);
    log.switch_to(&replacement);
    for header in &headers {
        log.end.follow_late(header, is_missed);
    }
    let (disk, folder) = (log.disk.clone(), log.folder.clone());
    Rewriting::Next(RewriteJob(Work::Place(disk, folder, replacement, to)))
}

fn finish_over<D: Disk>(
    log: &mut PartitionLog<D>,
    pieces: Vec<Piece>,
    last_block: Bytes,
) -> Rewriting<D> {
    let to = pieces.last().map_or(0, |piece| piece.next_offset);
    log.written.last_block = last_block;
    for piece in pieces {
        // Another replica may have compacted them less.
        log.compaction.disturb(piece.from);
        log.damage.mend(piece.from, piece.next_offset, piece.end());
        let closed = log
            .closed
            .iter_mut()
            .find(|segment| segment.base_offset == piece.segment);
        if let Some(segment) = closed {
            for header in &piece.headers {
                segment.observe_late(header);
            }
            if piece.is_end {
                segment.bytes = piece.end();
            }
        }
        for header in &piece.headers {
            log.end.follow_late(header, piece.is_missed);
        }
    }
    Rewriting::Done(to)
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unsound => "they are damaged themselves, or do not follow one another",
            Self::Elsewhere => "nothing is damaged where they begin",
            Self::Epoch => "they are of another epoch than what stood there",
            Self::Length => "they take more or fewer bytes than what stood there",
            Self::Open => "they take more or fewer bytes than what stood in the last segment",
        })
    }
}

impl std::error::Error for Misfit {}

impl<D: Disk> fmt::Debug for RewriteJob<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let work = match &self.0 {
            Work::Over(_) => "over what is damaged",
            Work::Anew(_) => "the segment anew",
            Work::Place(..) => "the new file in its place",
        };
        f.debug_tuple("RewriteJob").field(&work).finish()
    }
}

impl<D: Disk> fmt::Debug for Rewritten<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let error = self.0.as_ref().err();
        f.debug_tuple("Rewritten").field(&error).finish()
    }
}
