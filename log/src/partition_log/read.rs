use std::cell::Cell;
use std::fmt;
use std::path::PathBuf;
use std::rc::Rc;

use bytes::Bytes;
use quorate_batch::{BatchHeader, HEADER_BYTES};
use quorate_platform::{Disk, OpenMode};

use super::PartitionLog;
use super::extent::{Sought, Start};
use super::resync::{self, Place};
use super::walk::{self, KnownEpochs, pass_frames};
use crate::chain::{Chain, Flaw};
use crate::damage::DamagedRange;
use crate::epoch_history::EpochHistory;
use crate::error::LogError;
use crate::frame::Frame;
use crate::readers::WeakReaders;
use crate::segment::batches_path;
use crate::window::Window;

/// The most that is read from disk at once, whatever the caller would take.
const PIECE_BYTES_MAX: usize = 8 << 20;

/// The answer to [`PartitionLog::begin_read`].
#[derive(Debug)]
pub enum Read<D: Disk> {
    /// The batches were in memory, or there is nothing to read yet.
    Ready(Vec<Bytes>),
    /// The batches are on disk: run the job.
    Job(ReadJob<D>),
    /// The first batch is damaged, as is known.
    Damaged(DamagedRange),
    /// The offset lies before the start of the log or behind its end.
    OutOfRange,
}

/// Reads batches from disk; see [`PartitionLog::begin_read`].
///
/// Every batch is checked before it is given out. A damaged one is an error, never an answer.
#[must_use = "nothing is read before the job has run"]
pub struct ReadJob<D: Disk> {
    disk: D,
    /// The file, if it is the one that is open.
    file: Option<D::File>,
    path: PathBuf,
    segment: u64,
    /// The bytes of the file that may be read.
    end: u64,
    /// Where to begin: at or before `from`; none once it has begun.
    start: Option<Start<D>>,
    /// The same by the index, if `start` does without; none once it is of no use.
    start_by_index: Option<Box<Sought<D>>>,
    position: u64,
    chain: Chain,
    from: u64,
    bytes_max: usize,
    until: u64,
    piece_bytes: usize,
    /// Whether it goes on where another one has ended, and the window of that.
    goes_on: bool,
    window: Option<Box<Window<D::File>>>,
    readers: WeakReaders<D>,
    epochs: EpochHistory,
    generation: Rc<Cell<u64>>,
    generation_at_begin: u64,
}

/// The batch where a job stands.
enum Next {
    /// It ends before the first offset that is wanted.
    Before,
    /// It is wanted, and sound.
    Batch(Bytes),
    /// It lies beyond the limits of the read.
    Beyond,
}

impl<D: Disk> ReadJob<D> {
    pub(super) fn new(log: &PartitionLog<D>, from: u64, bytes_max: usize, until: u64) -> Self {
        let segment = log.segment_of(from);
        let generation_at_begin = log.generation.get();
        let paused = log.readers.take(from);
        let paused = paused.filter(|paused| paused.generation == generation_at_begin);
        let goes_on = paused.is_some();
        let window = paused.and_then(|paused| paused.window);
        let window = window.filter(|(window, _)| window.segment() == segment.base_offset);
        let mut start_by_index = None;
        let (window, start) = match window {
            Some((mut window, position)) => {
                window.extend(segment.end.position);
                let offset = from;
                (
                    Some(Box::new(window)),
                    Start::Known(Place { offset, position }),
                )
            }
            None => match log.start_of_read(segment, from) {
                // Whoever comes from the segment before needs no index for this one.
                Start::Sought(sought) if from == segment.base_offset => {
                    start_by_index = Some(sought);
                    let (offset, position) = (from, 0);
                    (None, Start::Known(Place { offset, position }))
                }
                start => (None, start),
            },
        };
        let step_bytes = usize::try_from(log.settings.index_step_bytes).unwrap_or(usize::MAX);
        Self {
            disk: log.disk.clone(),
            file: log.open_file_of(segment.base_offset),
            path: batches_path(&log.folder, segment.base_offset),
            segment: segment.base_offset,
            end: segment.end.position,
            start: Some(start),
            start_by_index,
            position: 0,
            chain: Chain {
                next_offset: segment.base_offset,
                epoch: 0,
            },
            from,
            bytes_max,
            until: until.min(log.durable_offset()),
            piece_bytes: bytes_max.saturating_add(step_bytes).min(PIECE_BYTES_MAX),
            goes_on,
            window,
            readers: Rc::downgrade(&log.readers),
            epochs: log.end.epochs.clone(),
            generation: log.generation.clone(),
            generation_at_begin,
        }
    }

    /// Reads and checks. [`LogError::Superseded`] if the log was cut meanwhile.
    pub async fn run(self) -> Result<Vec<Bytes>, LogError> {
        let generation = self.generation.clone();
        let generation_at_begin = self.generation_at_begin;
        let result = self.read().await;
        if generation.get() != generation_at_begin {
            return Err(LogError::Superseded);
        }
        result
    }

    async fn read(mut self) -> Result<Vec<Bytes>, LogError> {
        if let Some(start) = self.start.take() {
            self.move_to(start).await?;
        }
        let mut window = self.open_window().await?;
        let mut batches: Vec<Bytes> = Vec::new();
        let mut bytes_left = self.bytes_max;
        while self.position < self.end && self.chain.next_offset < self.until {
            match self
                .next_batch(&mut window, bytes_left, batches.is_empty())
                .await
            {
                Ok(Next::Before) => {}
                Ok(Next::Batch(batch)) => {
                    self.start_by_index = None;
                    bytes_left = bytes_left.saturating_sub(batch.len());
                    batches.push(batch);
                }
                Ok(Next::Beyond) => break,
                // What is sound before the damage is given out; the next read will say it.
                Err(_) if !batches.is_empty() => break,
                // The index may know a way past what is damaged before the first batch.
                Err(error) => match self.start_by_index.take() {
                    Some(sought) => self.move_to(Start::Sought(sought)).await?,
                    None => return Err(error),
                },
            }
        }
        if !batches.is_empty() {
            self.pause(window);
        }
        Ok(batches)
    }

    async fn move_to(&mut self, start: Start<D>) -> Result<(), LogError> {
        let (Place { offset, position }, stretch_end) = start.find_stretch().await?;
        (self.chain.next_offset, self.position) = (offset, position);
        // What is sought is in there, whole.
        let stretch_bytes = stretch_end.map_or(0, |end| end.saturating_sub(position));
        let stretch_bytes = usize::try_from(stretch_bytes).unwrap_or(usize::MAX);
        self.piece_bytes = self.piece_bytes.max(stretch_bytes).min(PIECE_BYTES_MAX);
        Ok(())
    }

    async fn open_window(&mut self) -> Result<Window<D::File>, LogError> {
        if let Some(mut window) = self.window.take() {
            window.read_ahead();
            return Ok(*window);
        }
        let file = match self.file.take() {
            Some(file) => file,
            None => match self.disk.open(&self.path, OpenMode::Read.direct()).await {
                Ok(file) => file,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                    return Err(self.damaged(Flaw::SegmentMissing));
                }
                Err(source) => return Err(LogError::io("open", &self.path, source)),
            },
        };
        let (path, piece_bytes) = (self.path.clone(), self.piece_bytes);
        let mut window = Window::new(file, path, self.segment, self.end, piece_bytes);
        if self.goes_on {
            window.read_ahead();
        }
        Ok(window)
    }

    /// Keeps the window for whoever reads on from here.
    fn pause(&self, window: Window<D::File>) {
        if let Some(readers) = self.readers.upgrade()
            && self.generation.get() == self.generation_at_begin
        {
            let is_at_end = self.position >= self.end;
            let window = (!is_at_end).then_some((window, self.position));
            readers.put(self.chain.next_offset, self.generation_at_begin, window);
        }
    }

    /// Checks the batch where the job stands, and moves past it unless it lies beyond the limits.
    async fn next_batch(
        &mut self,
        window: &mut Window<D::File>,
        bytes_left: usize,
        is_first: bool,
    ) -> Result<Next, LogError> {
        let (mut header, frame) = self.next_header(window).await?;
        let mut next = Next::Before;
        if header.next_offset() > self.from {
            if header.batch_bytes > bytes_left && !is_first {
                return Ok(Next::Beyond);
            }
            let mut checked = self.check_batch(window, &header).await?;
            if let Err(flaw) = checked
                && frame.is_none()
            {
                // What looks like the batch may be the remains of one, before the batch itself.
                header = self.find_next(window, self.damaged(flaw)).await?;
                checked = self.check_batch(window, &header).await?;
            }
            let batch = checked.map_err(|flaw| self.damaged(flaw))?;
            // Only now: before the check the header's word on where it ends is worth nothing.
            if header.next_offset() > self.until {
                return Ok(Next::Beyond);
            }
            next = Next::Batch(batch);
        }
        self.chain.follow(&header);
        self.position += header.batch_bytes as u64;
        Ok(next)
    }

    /// The header of the next batch, moved up to past all frames, and the last frame.
    async fn next_header(
        &mut self,
        window: &mut Window<D::File>,
    ) -> Result<(BatchHeader, Option<Frame>), LogError> {
        let (position, frame) = pass_frames(window, self.position).await?;
        self.position = position;
        let head = window.bytes(position, HEADER_BYTES).await?;
        match self.check_header(&head) {
            Ok(header) => Ok((header, frame)),
            Err(error) if frame.is_some() => Err(error),
            Err(error) => Ok((self.find_next(window, error).await?, None)),
        }
    }

    /// The batch where the job stands, if it is sound.
    async fn check_batch(
        &self,
        window: &mut Window<D::File>,
        header: &BatchHeader,
    ) -> Result<Result<Bytes, Flaw>, LogError> {
        if header.batch_bytes > PIECE_BYTES_MAX
            && let Err(flaw) = walk::check_crc(window, self.position, header).await?
        {
            return Ok(Err(flaw));
        }
        let batch = window.bytes(self.position, header.batch_bytes).await?;
        let checked = BatchHeader::validate(&batch).map_err(Flaw::Batch);
        Ok(checked.map(|_| batch))
    }

    /// If it is only a frame that is damaged, the batch follows behind it: its header, moved up to.
    /// The error is `error` if none does.
    async fn find_next(
        &mut self,
        window: &mut Window<D::File>,
        error: LogError,
    ) -> Result<BatchHeader, LogError> {
        let epochs = KnownEpochs {
            history: self.epochs.clone(),
            end: self.until,
            max: u32::MAX,
        };
        let place = Place {
            offset: self.chain.next_offset,
            position: self.position,
        };
        let found = resync::find_next(window, place, self.chain.epoch, &epochs).await?;
        let found = found.ok_or(error)?;
        self.position = found.batch_position;
        Ok(found.header)
    }

    fn check_header(&self, head: &[u8]) -> Result<BatchHeader, LogError> {
        let header = self.chain.check_header(head, self.end - self.position);
        let header = header.map_err(|flaw| self.damaged(flaw))?;
        // The checksum does not cover the epoch, but the history knows it.
        match self.epochs.epoch_at(header.base_offset) {
            Some(epoch) if epoch != header.leader_epoch => Err(self.damaged(Flaw::Epoch {
                expected: epoch,
                got: header.leader_epoch,
            })),
            _ => Ok(header),
        }
    }

    fn damaged(&self, flaw: Flaw) -> LogError {
        LogError::Damaged {
            path: self.path.clone(),
            position: self.position,
            offset: self.chain.next_offset,
            flaw,
        }
    }
}

impl<D: Disk> fmt::Debug for ReadJob<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadJob")
            .field("path", &self.path)
            .field("from", &self.from)
            .field("until", &self.until)
            .finish_non_exhaustive()
    }
}
