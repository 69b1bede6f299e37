use std::fmt;
use std::path::Path;
use std::rc::Rc;

use bytes::Bytes;
use quorate_batch::BatchHeader;
use quorate_platform::{Disk, File, OpenMode};

use super::{Busy, PartitionLog, walk};
use crate::chain::Chain;
use crate::error::LogError;
use crate::frame::{self, HEAD_BYTES};
use crate::segment::batches_path;

/// Writes batches over damaged ones; see [`PartitionLog::begin_rewrite`].
#[must_use = "nothing is written before the job has run"]
pub struct RewriteJob<D: Disk> {
    disk: D,
    folder: Rc<Path>,
    pieces: Vec<Piece>,
    /// The bytes of the segment that flushes write to, and its base offset.
    written: (u64, u64),
}

/// The outcome of a [`RewriteJob`], for [`PartitionLog::finish_rewrite`].
#[derive(Debug)]
#[must_use = "the log does not know of the outcome before it is given to it"]
pub struct Rewritten(Result<(Vec<Piece>, Bytes), LogError>);

/// The batches do not fit where they should be put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Misfit {
    /// They are damaged themselves, or do not follow one another.
    Unsound,
    /// No damaged range begins where they begin.
    Elsewhere,
    /// They are of another epoch than what stood there.
    Epoch,
    /// They take more or fewer bytes than what stood there.
    Length,
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
    let pieces = cut_to_ranges(log, batches)?;
    if log.busy != Busy::Idle || log.poison.is_some() {
        return Ok(None);
    }
    log.busy = Busy::Rewriting;
    Ok(Some(RewriteJob {
        disk: log.disk.clone(),
        folder: log.folder.clone(),
        pieces,
        written: (log.written.base_offset, log.written.bytes),
    }))
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
                return Err(Misfit::Elsewhere);
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
        let index = &log.segment(range.segment).index;
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

impl<D: Disk> RewriteJob<D> {
    /// Writes and syncs. Once begun it has to run to its end, whoever waits for it.
    pub async fn run(self) -> Rewritten {
        let Self {
            disk,
            folder,
            mut pieces,
            written: (last, bytes),
        } = self;
        for piece in &mut pieces {
            let path = batches_path(&folder, piece.segment);
            if let Err(source) = write(&disk, &folder, &path, piece).await {
                return Rewritten(Err(LogError::io("rewrite", &path, source)));
            }
        }
        // A piece may lie in the block that the next flush writes again.
        let path = batches_path(&folder, last);
        let last_block = async {
            let opened = disk.open(&path, OpenMode::Read).await;
            let file = opened.map_err(|source| LogError::io("open", &path, source))?;
            walk::read_last_block(&file, &path, bytes).await
        };
        Rewritten(last_block.await.map(|last_block| (pieces, last_block)))
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
    rewritten: Rewritten,
) -> Result<(), LogError> {
    let (pieces, last_block) = rewritten.0?;
    log.written.last_block = last_block;
    for piece in pieces {
        log.damage.mend(piece.from, piece.next_offset, piece.end());
        let closed = log
            .closed
            .iter_mut()
            .find(|segment| segment.base_offset == piece.segment);
        if let Some(segment) = closed {
            for header in &piece.headers {
                segment.index.observe_late(header);
            }
            if piece.is_end {
                segment.bytes = piece.end();
            }
        }
        for header in &piece.headers {
            log.end.follow_late(header, piece.is_missed);
        }
    }
    Ok(())
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unsound => "they are damaged themselves, or do not follow one another",
            Self::Elsewhere => "nothing is damaged where they begin",
            Self::Epoch => "they are of another epoch than what stood there",
            Self::Length => "they take more or fewer bytes than what stood there",
        })
    }
}

impl std::error::Error for Misfit {}

impl<D: Disk> fmt::Debug for RewriteJob<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let offsets = self
            .pieces
            .iter()
            .map(|piece| piece.from..piece.next_offset);
        f.debug_struct("RewriteJob")
            .field("offsets", &offsets.collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}
