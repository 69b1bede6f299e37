use std::path::{Path, PathBuf};

use bytes::Bytes;
use quorate_platform::{File, read_around};

use crate::LogError;
use crate::frame::{Frame, HEAD_BYTES};

/// Reads a segment from front to back in large pieces, and lends slices of them without copying.
#[derive(Debug)]
pub(crate) struct Window<F> {
    /// None if it is missing.
    file: Option<F>,
    path: PathBuf,
    /// The base offset of the segment.
    segment: u64,
    /// Nothing at or behind this position is read.
    end: u64,
    piece_bytes: usize,
    piece: Bytes,
    piece_position: u64,
}

impl<F: File> Window<F> {
    /// A window over the first `end` bytes of `file`, which is that of `segment`, moved by
    /// `piece_bytes` at a time.
    pub(crate) fn new(file: F, path: PathBuf, segment: u64, end: u64, piece_bytes: usize) -> Self {
        Self {
            file: Some(file),
            path,
            segment,
            end,
            piece_bytes,
            piece: Bytes::new(),
            piece_position: 0,
        }
    }

    /// A window in the place of a file that is missing: nothing is to be seen in it.
    pub(crate) fn missing(path: PathBuf, segment: u64) -> Self {
        Self {
            file: None,
            path,
            segment,
            end: 0,
            piece_bytes: 0,
            piece: Bytes::new(),
            piece_position: 0,
        }
    }

    pub(crate) const fn is_missing(&self) -> bool {
        self.file.is_none()
    }

    pub(crate) const fn segment(&self) -> u64 {
        self.segment
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn end(&self) -> u64 {
        self.end
    }

    /// The `len` bytes at `position`; fewer only if the file or the window ends before.
    pub(crate) async fn bytes(&mut self, position: u64, len: usize) -> Result<Bytes, LogError> {
        if let Some(bytes) = self.loaded(position, len) {
            return Ok(bytes);
        }
        let left = usize::try_from(self.end.saturating_sub(position)).unwrap_or(usize::MAX);
        let wanted = len.max(self.piece_bytes).min(left);
        let Some(file) = &self.file else {
            return Ok(Bytes::new());
        };
        let read = read_around(file, position, wanted).await;
        let buffer = read.map_err(|source| LogError::io("read", &self.path, source))?;
        self.piece = buffer;
        self.piece_position = position;
        Ok(self.piece.slice(..len.min(self.piece.len())))
    }

    /// The frame at `position`, if a whole one begins there.
    pub(crate) async fn frame_at(&mut self, position: u64) -> Result<Option<Frame>, LogError> {
        let frame = self.frame_head_at(position).await?;
        Ok(frame.filter(|frame| frame.start() <= self.end))
    }

    /// The same, even if the window ends within its checksums.
    pub(crate) async fn frame_head_at(&mut self, position: u64) -> Result<Option<Frame>, LogError> {
        let head = self.bytes(position, HEAD_BYTES as usize).await?;
        Ok(Frame::parse(&head, self.segment, position))
    }

    /// The `len` bytes at `position`, and no more for what may come next.
    pub(crate) async fn peek(&self, position: u64, len: usize) -> Result<Bytes, LogError> {
        let left = usize::try_from(self.end.saturating_sub(position)).unwrap_or(usize::MAX);
        let Some(file) = &self.file else {
            return Ok(Bytes::new());
        };
        let read = read_around(file, position, len.min(left)).await;
        read.map_err(|source| LogError::io("read", &self.path, source))
    }

    fn loaded(&self, position: u64, len: usize) -> Option<Bytes> {
        let start = usize::try_from(position.checked_sub(self.piece_position)?).ok()?;
        let end = start.checked_add(len)?;
        (end <= self.piece.len()).then(|| self.piece.slice(start..end))
    }
}
