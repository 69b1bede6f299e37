use std::collections::VecDeque;
use std::fmt;
use std::path::{Path, PathBuf};

use bytes::{Bytes, BytesMut};
use quorate_platform::{File, read_around};

use self::ahead::Ahead;
use crate::LogError;
use crate::frame::{Frame, HEAD_BYTES};

mod ahead;

/// What a checksum is made of at once.
const CRC_BYTES: u64 = 1 << 20;

/// Reads a segment from front to back in large pieces, and lends slices of them without copying.
pub(crate) struct Window<F> {
    /// None if it is missing.
    file: Option<F>,
    path: PathBuf,
    /// The base offset of the segment.
    segment: u64,
    /// Nothing at or behind this position is read.
    end: u64,
    piece_bytes: usize,
    /// What was read last; one follows the other.
    pieces: VecDeque<Piece>,
    /// What is read already, if the next pieces are.
    ahead: Option<Ahead>,
}

struct Piece {
    position: u64,
    bytes: Bytes,
}

impl Piece {
    fn end(&self) -> u64 {
        self.position + self.bytes.len() as u64
    }

    /// The part between two positions, as far as it reaches.
    fn part(&self, from: u64, to: u64) -> Bytes {
        let at = |position: u64| {
            let position = position.clamp(self.position, self.end());
            (position - self.position) as usize
        };
        self.bytes.slice(at(from)..at(to))
    }
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
            pieces: VecDeque::new(),
            ahead: None,
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
            pieces: VecDeque::new(),
            ahead: None,
        }
    }

    /// Has the next pieces read while somebody looks at this one: whoever reads goes on for a
    /// while.
    pub(crate) fn read_ahead(&mut self) {
        self.ahead.get_or_insert_default();
    }

    /// The segment has so many bytes by now, not fewer than before.
    pub(crate) fn extend(&mut self, end: u64) {
        self.end = end;
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
        let len = len.min(left);
        if self.ahead.is_some()
            && let Some(bytes) = self.bytes_ahead(position, len).await?
        {
            return Ok(bytes);
        }
        let wanted = len.max(self.piece_bytes).min(left);
        let Some(file) = &self.file else {
            return Ok(Bytes::new());
        };
        let read = read_around(file, position, wanted).await;
        let bytes = read.map_err(|source| LogError::io("read", &self.path, source))?;
        self.pieces.clear();
        let piece = Piece { position, bytes };
        let asked = piece.part(position, position + len as u64);
        let next = piece.end();
        self.pieces.push_back(piece);
        if let Some(ahead) = &mut self.ahead {
            ahead.read_from(file, next, self.end).await;
        }
        Ok(asked)
    }

    /// The same, from what is read ahead; `None` if that is something else.
    async fn bytes_ahead(&mut self, position: u64, len: usize) -> Result<Option<Bytes>, LogError> {
        let (Some(file), Some(ahead)) = (&self.file, &mut self.ahead) else {
            return Ok(None);
        };
        let to = position + len as u64;
        let is_behind = |piece: &Piece| piece.position <= position && position <= piece.end();
        self.pieces.retain(|piece| piece.end() > position);
        let mut next = match self.pieces.back() {
            Some(_) if !self.pieces.iter().any(is_behind) => return Ok(None),
            Some(last) => last.end(),
            None => position,
        };
        while next < to {
            let Some(read) = ahead.take(next).await else {
                return Ok(None);
            };
            let bytes = read.map_err(|source| LogError::io("read", &self.path, source))?;
            if bytes.is_empty() {
                return Ok(None);
            }
            let position = next;
            next += bytes.len() as u64;
            self.pieces.push_back(Piece { position, bytes });
            ahead.read_from(file, next, self.end).await;
        }
        Ok(self.loaded(position, len))
    }

    /// The CRC-32C of the bytes from `from` to `to`, of which no more than a piece is in memory at
    /// once; `None` if the file or the window ends before.
    pub(crate) async fn crc(&mut self, from: u64, to: u64) -> Result<Option<u32>, LogError> {
        let (mut position, mut crc) = (from, 0);
        while position < to {
            let len = (to - position).min(CRC_BYTES);
            let bytes = self.bytes(position, len as usize).await?;
            if bytes.len() as u64 != len {
                return Ok(None);
            }
            crc = crc32c::crc32c_append(crc, &bytes);
            position += len;
        }
        Ok(Some(crc))
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

    /// What is at hand already. Only what lies across two pieces is copied.
    fn loaded(&self, position: u64, len: usize) -> Option<Bytes> {
        let to = position.checked_add(len as u64)?;
        let holds = |piece: &&Piece| piece.position <= position && to <= piece.end();
        if let Some(piece) = self.pieces.iter().find(holds) {
            return Some(piece.part(position, to));
        }
        let first = self.pieces.front().filter(|it| it.position <= position)?;
        let last = self.pieces.back().filter(|it| to <= it.end())?;
        let mut bytes = BytesMut::with_capacity(len);
        for piece in &self.pieces {
            bytes.extend_from_slice(&piece.part(position, to));
        }
        debug_assert!(first.position <= last.position && bytes.len() == len);
        Some(bytes.freeze())
    }
}

impl<F> fmt::Debug for Window<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Window")
            .field("path", &self.path)
            .field("end", &self.end)
            .field("reads_ahead", &self.ahead.is_some())
            .finish_non_exhaustive()
    }
}
