use std::path::{Path, PathBuf};
use std::rc::Rc;

use bytes::Bytes;
use quorate_batch::BatchHeader;
use quorate_platform::{Disk, File, OpenMode};

use super::super::walk;
use super::{Replacement, Span};
use crate::damage::DamagedRange;
use crate::error::LogError;
use crate::frame;
use crate::segment::{Segment, compacting_path};

/// What one frame covers has about so many bytes, unless it is a single batch.
const PIECE_BYTES: u64 = 1 << 20;
/// Everything is synced at the end. It is also synced every so many bytes, so that the syncs of
/// others need not wait for all of it at once.
const SYNC_BYTES: u64 = 8 << 20;
/// Stands where something damaged has stood: bytes that no interrupted write leaves.
const FILLER: u8 = 0xbd;

/// Writes the file that shall take the place of segments.
pub(in super::super) struct Writer<D: Disk> {
    disk: D,
    folder: Rc<Path>,
    span: Span,
    index_step_bytes: u64,
    file: D::File,
    path: PathBuf,
    segment: Segment,
    next_offset: u64,
    /// What the next frame will cover.
    batches: Vec<Bytes>,
    headers: Vec<BatchHeader>,
    batches_bytes: u64,
    unsynced_bytes: u64,
}

impl<D: Disk> Writer<D> {
    /// Begins with an empty file, whatever was there.
    pub(in super::super) async fn create(
        disk: D,
        folder: Rc<Path>,
        span: Span,
        index_step_bytes: u64,
    ) -> Result<Self, LogError> {
        let path = compacting_path(&folder, span.base_offset, span.next_offset);
        let create = async {
            let file = disk.open(&path, OpenMode::CreateOrWrite).await?;
            file.set_len(0).await.map(|()| file)
        };
        let file = create
            .await
            .map_err(|source| LogError::io("create", &path, source))?;
        Ok(Self {
            disk,
            folder,
            span,
            index_step_bytes,
            file,
            path,
            segment: Segment::new(span.base_offset),
            next_offset: span.base_offset,
            batches: Vec::new(),
            headers: Vec::new(),
            batches_bytes: 0,
            unsynced_bytes: 0,
        })
    }

    /// The bytes that the file has so far.
    pub(in super::super) fn bytes(&self) -> u64 {
        self.segment.bytes
    }

    /// Appends a batch that continues what is there.
    pub(in super::super) async fn push(
        &mut self,
        header: &BatchHeader,
        batch: Bytes,
    ) -> Result<(), LogError> {
        assert_eq!(header.base_offset, self.next_offset, "no gap is left");
        let bytes = header.batch_bytes as u64;
        if !self.batches.is_empty() && self.batches_bytes + bytes > PIECE_BYTES {
            self.write_piece().await?;
        }
        self.next_offset = header.next_offset();
        self.batches_bytes += bytes;
        self.batches.push(batch);
        self.headers.push(*header);
        Ok(())
    }

    /// Leaves `room` bytes for batches that are damaged, up to the offset `to`; gives where.
    pub(in super::super) async fn push_damage(
        &mut self,
        to: u64,
        room: u64,
        is_missed: bool,
    ) -> Result<DamagedRange, LogError> {
        self.write_piece().await?;
        let range = DamagedRange {
            from: self.next_offset,
            to,
            segment: self.span.base_offset,
            position: self.segment.bytes,
            end: Some(self.segment.bytes + room),
            is_missed,
        };
        let mut left = room;
        while left > 0 {
            let now = left.min(PIECE_BYTES);
            self.write(vec![FILLER; now as usize]).await?;
            left -= now;
        }
        let DamagedRange { from, position, .. } = range;
        self.segment.index.pass_over(from, to, position);
        self.next_offset = to;
        Ok(range)
    }

    /// Writes a frame and what it covers.
    async fn write_piece(&mut self) -> Result<(), LogError> {
        if self.batches.is_empty() {
            return Ok(());
        }
        let batches = std::mem::take(&mut self.batches);
        let mut bytes = frame::encode(self.span.base_offset, self.segment.bytes, &batches);
        let frame_bytes = bytes.len() as u64;
        bytes.reserve_exact(std::mem::take(&mut self.batches_bytes) as usize);
        for batch in &batches {
            bytes.extend_from_slice(batch);
        }
        let mut position = self.segment.bytes + frame_bytes;
        for header in self.headers.drain(..) {
            let index = &mut self.segment.index;
            index.observe(&header, position, self.index_step_bytes);
            position += header.batch_bytes as u64;
        }
        self.write(bytes).await
    }

    async fn write(&mut self, bytes: Vec<u8>) -> Result<(), LogError> {
        let len = bytes.len() as u64;
        let written = self.file.write_all_at(bytes, self.segment.bytes).await;
        let written = written.0;
        written.map_err(|source| LogError::io("write", &self.path, source))?;
        self.segment.bytes += len;
        self.unsynced_bytes += len;
        if self.unsynced_bytes >= SYNC_BYTES {
            self.sync().await?;
        }
        Ok(())
    }

    async fn sync(&mut self) -> Result<(), LogError> {
        self.unsynced_bytes = 0;
        let synced = self.file.sync_data().await;
        synced.map_err(|source| LogError::io("sync", &self.path, source))
    }

    /// Makes the file durable. It shall take the place of the segments `base_offsets`, of which the
    /// last one may have an index file that is complete: what that knows of epochs and producers
    /// holds for the new one.
    pub(in super::super) async fn finish(
        mut self,
        base_offsets: Vec<u64>,
    ) -> Result<Replacement<D>, LogError> {
        self.write_piece().await?;
        self.sync().await?;
        assert_eq!(
            self.next_offset, self.span.next_offset,
            "a replacement holds all that it shall"
        );
        let mut checkpoint = None;
        if let Some(last) = base_offsets.last() {
            let found = walk::read_checkpoint(&self.disk, &self.folder, *last).await?;
            let is_complete = |it: &crate::frontier::Checkpoint| {
                it.is_followed && it.frontier.next_offset == self.next_offset
            };
            checkpoint = found.filter(is_complete).map(|found| {
                let mut frontier = found.frontier;
                self.segment.index.complete_from(&frontier.segment.index);
                frontier.segment = self.segment.clone();
                frontier.encode(true)
            });
        }
        Ok(Replacement {
            file: self.file,
            segment: self.segment,
            next_offset: self.next_offset,
            base_offsets,
            checkpoint,
        })
    }

    /// Removes the file. That it may have failed before is why: so if it stays, it goes when the
    /// log is opened or compacted again.
    pub(in super::super) async fn discard(self) {
        match self.disk.remove_file(&self.path).await {
            Ok(()) | Err(_) => {}
        }
    }
}
