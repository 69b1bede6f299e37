use std::io;
use std::path::Path;

use bytes::Bytes;
use quorate_batch::BatchHeader;
use quorate_platform::{Disk, OpenMode};

use super::super::PartitionLog;
use super::super::resync::Place;
use super::super::walk::{KnownEpochs, batch_at};
use crate::chain::{Chain, Flaw};
use crate::error::LogError;
use crate::segment::batches_path;
use crate::window::Window;

const PIECE_BYTES: usize = 1 << 20;

/// A closed segment that a pass reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct Source {
    pub(in super::super) base_offset: u64,
    /// One past the last offset.
    pub(in super::super) next_offset: u64,
    /// The bytes of its file.
    pub(in super::super) bytes: u64,
}

/// The batches of a source, one after the other.
pub(in super::super) struct SourceReader<F> {
    window: Window<F>,
    chain: Chain,
    position: u64,
    until: u64,
}

impl Source {
    /// The first `count` closed segments.
    pub(in super::super) fn of<D: Disk>(log: &PartitionLog<D>, count: usize) -> Vec<Self> {
        let spans = log.spans();
        let pairs = spans.windows(2).take(count);
        let source = |pair: &[crate::retention::SegmentSpan]| Self {
            base_offset: pair[0].base_offset,
            next_offset: pair[1].base_offset,
            bytes: pair[0].bytes,
        };
        pairs.map(source).collect()
    }

    pub(in super::super) fn start(&self) -> Place {
        Place {
            offset: self.base_offset,
            position: 0,
        }
    }

    /// Begins to read at a place in it; `None` if the file is gone.
    pub(in super::super) async fn open<D: Disk>(
        &self,
        disk: &D,
        folder: &Path,
        from: Place,
    ) -> Result<Option<SourceReader<D::File>>, LogError> {
        let path = batches_path(folder, self.base_offset);
        // Past the page cache: what is read here nobody may want again soon.
        let file = match disk.open(&path, OpenMode::Read.direct()).await {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(LogError::io("open", &path, source)),
        };
        Ok(Some(SourceReader {
            window: Window::new(file, path, self.base_offset, self.bytes, PIECE_BYTES),
            chain: Chain {
                next_offset: from.offset,
                epoch: 0,
            },
            position: from.position,
            until: self.next_offset,
        }))
    }
}

impl<F: quorate_platform::File> SourceReader<F> {
    /// The next batch, checked; `None` behind the last one.
    pub(in super::super) async fn next(
        &mut self,
        epochs: &KnownEpochs,
    ) -> Result<Result<Option<(BatchHeader, Bytes)>, Flaw>, LogError> {
        if self.chain.next_offset >= self.until {
            return Ok(Ok(None));
        }
        let found = match batch_at(&mut self.window, self.position, self.chain, epochs).await? {
            Ok(found) => found,
            Err(flaw) => return Ok(Err(flaw)),
        };
        let len = found.header.batch_bytes;
        let batch = self.window.bytes(found.position, len).await?;
        self.chain.follow(&found.header);
        self.position = found.end();
        Ok(Ok(Some((found.header, batch))))
    }

    /// Where it stands.
    pub(super) fn place(&self) -> Place {
        Place {
            offset: self.chain.next_offset,
            position: self.position,
        }
    }
}
