//! The end of a log, or of the part of it that was walked so far.
//!
//! All that a log knows besides its batches is derived by walking over their headers in order: the
//! segment's index, the epoch history, the producer table. A frontier is that knowledge at one
//! place. Its encoded form is what an index file on disk holds, so that after a restart the walk
//! starts there and not at the beginning.

use quorate_batch::BatchHeader;

use crate::chain::Chain;
use crate::epoch_history::EpochHistory;
use crate::producer_table::ProducerTable;
use crate::segment::Segment;
use crate::segment_index::{Entry, SegmentIndex};

const MAGIC: [u8; 8] = *b"QUORINDX";
pub(crate) const VERSION: u32 = 1;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frontier {
    /// The segment that the frontier stands in, as far as it was walked.
    pub(crate) segment: Segment,
    /// One past the last offset before the frontier.
    pub(crate) next_offset: u64,
    pub(crate) epochs: EpochHistory,
    pub(crate) producers: ProducerTable,
}

/// Why bytes are not an encoded frontier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FrontierError {
    /// They are damaged; the frontier can be derived again.
    Damaged,
    /// A later version wrote them.
    Version(u32),
}

impl Frontier {
    /// Before the first batch of a log that begins at `base_offset`.
    pub(crate) fn new(base_offset: u64) -> Self {
        Self {
            segment: Segment::new(base_offset),
            next_offset: base_offset,
            epochs: EpochHistory::default(),
            producers: ProducerTable::default(),
        }
    }

    /// What the next batch must join on to.
    pub(crate) fn chain(&self) -> Chain {
        Chain {
            next_offset: self.next_offset,
            epoch: self.epochs.latest(),
        }
    }

    /// Moves past the next batch.
    pub(crate) fn follow(&mut self, header: &BatchHeader, index_step_bytes: u64) {
        let segment = &mut self.segment;
        segment
            .index
            .observe(header, segment.bytes, index_step_bytes);
        segment.bytes += header.batch_bytes as u64;
        self.epochs.observe(header.leader_epoch, header.base_offset);
        self.producers.observe(header, header.base_offset);
        self.next_offset = header.next_offset();
    }

    /// Begins the next segment; gives back the one that is complete.
    pub(crate) fn roll(&mut self) -> Segment {
        std::mem::replace(&mut self.segment, Segment::new(self.next_offset))
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&self.segment.base_offset.to_le_bytes());
        out.extend_from_slice(&self.segment.bytes.to_le_bytes());
        out.extend_from_slice(&self.next_offset.to_le_bytes());
        let starts = self.epochs.starts();
        out.extend_from_slice(&(starts.len() as u64).to_le_bytes());
        for (epoch, offset) in starts {
            out.extend_from_slice(&epoch.to_le_bytes());
            out.extend_from_slice(&offset.to_le_bytes());
        }
        let entries = self.segment.index.entries();
        out.extend_from_slice(&(entries.len() as u64).to_le_bytes());
        for entry in entries {
            out.extend_from_slice(&entry.offset.to_le_bytes());
            out.extend_from_slice(&entry.position.to_le_bytes());
            out.extend_from_slice(&entry.max_timestamp.to_le_bytes());
        }
        self.producers.encode(&mut out);
        out.extend_from_slice(&crc32c::crc32c(&out).to_le_bytes());
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, FrontierError> {
        let damaged = FrontierError::Damaged;
        let (body, crc) = bytes.split_last_chunk().ok_or(damaged)?;
        if crc32c::crc32c(body) != u32::from_le_bytes(*crc) {
            return Err(damaged);
        }
        let mut body = body.strip_prefix(&MAGIC).ok_or(damaged)?;
        let version = u32::from_le_bytes(take(&mut body).ok_or(damaged)?);
        if version > VERSION {
            return Err(FrontierError::Version(version));
        }
        Self::decode_body(body).ok_or(damaged)
    }

    fn decode_body(mut body: &[u8]) -> Option<Self> {
        let bytes = &mut body;
        let mut segment = Segment::new(u64::from_le_bytes(take(bytes)?));
        segment.bytes = u64::from_le_bytes(take(bytes)?);
        let next_offset = u64::from_le_bytes(take(bytes)?);
        let mut starts = Vec::new();
        for _ in 0..u64::from_le_bytes(take(bytes)?) {
            starts.push((
                u32::from_le_bytes(take(bytes)?),
                u64::from_le_bytes(take(bytes)?),
            ));
        }
        let mut entries = Vec::new();
        for _ in 0..u64::from_le_bytes(take(bytes)?) {
            entries.push(Entry {
                offset: u64::from_le_bytes(take(bytes)?),
                position: u64::from_le_bytes(take(bytes)?),
                max_timestamp: i64::from_le_bytes(take(bytes)?),
            });
        }
        segment.index = SegmentIndex::from_entries(entries)?;
        Some(Self {
            segment,
            next_offset,
            epochs: EpochHistory::from_starts(starts)?,
            producers: ProducerTable::decode(body)?,
        })
    }
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (head, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*head)
}
