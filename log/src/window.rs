use std::path::{Path, PathBuf};

use bytes::Bytes;
use quorate_platform::{File, read_around};

use crate::LogError;

/// Reads a file from front to back in large pieces, and lends slices of them without copying.
#[derive(Debug)]
pub(crate) struct Window<F> {
    /// None if it is missing.
    file: Option<F>,
    path: PathBuf,
    /// Nothing at or behind this position is read.
    end: u64,
    piece_bytes: usize,
    piece: Bytes,
    piece_position: u64,
}

impl<F: File> Window<F> {
    /// A window over the first `end` bytes of `file`, moved by `piece_bytes` at a time.
    pub(crate) fn new(file: F, path: PathBuf, end: u64, piece_bytes: usize) -> Self {
        Self {
            file: Some(file),
            path,
            end,
            piece_bytes,
            piece: Bytes::new(),
            piece_position: 0,
        }
    }

    /// A window in the place of a file that is missing: nothing is to be seen in it.
    pub(crate) fn missing(path: PathBuf) -> Self {
        Self {
            file: None,
            path,
            end: 0,
            piece_bytes: 0,
            piece: Bytes::new(),
            piece_position: 0,
        }
    }

    pub(crate) const fn is_missing(&self) -> bool {
        self.file.is_none()
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

    fn loaded(&self, position: u64, len: usize) -> Option<Bytes> {
        let start = usize::try_from(position.checked_sub(self.piece_position)?).ok()?;
        let end = start.checked_add(len)?;
        (end <= self.piece.len()).then(|| self.piece.slice(start..end))
    }
}
