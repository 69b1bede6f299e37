//! The end of a log, or of the part of it that was walked so far.
//!
//! All that a log knows besides its batches is derived by walking over their headers in order: the
//! segment's index, the epoch history, the producer table. A frontier is that knowledge at one
//! place. Its encoded form is what an index file on disk holds, so that after a restart the walk
//! starts there and not at the beginning.

use std::cmp::Ordering;

use quorate_batch::BatchHeader;

use crate::chain::Chain;
use crate::damage::DamagedRange;
use crate::epoch_history::EpochHistory;
use crate::producer_table::ProducerTable;
use crate::segment::Segment;
use crate::segment_index::{Entry, SegmentIndex};

const MAGIC: [u8; 8] = *b"QUORINDX";
pub(crate) const VERSION: u32 = 3;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frontier {
    /// The segment that the frontier stands in, as far as it was walked.
    pub(crate) segment: Segment,
    /// One past the last offset before the frontier.
    pub(crate) next_offset: u64,
    pub(crate) epochs: EpochHistory,
    pub(crate) producers: ProducerTable,
    /// What batches before this offset would tell of producers is not known; 0 if all is.
    pub(crate) unknown_before: u64,
}

/// What an index file holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Checkpoint {
    pub(crate) frontier: Frontier,
    /// Whether another segment followed when it was written: if there is none, it was lost.
    pub(crate) is_followed: bool,
}

/// Why bytes are not a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CheckpointError {
    /// They are damaged, or old; what they held can be derived again.
    Damaged,
    /// A later version wrote them.
    Version(u32),
}

impl Frontier {
    /// Before the first batch of a log that begins at `base_offset`, with nothing known of those
    /// that were there before.
    pub(crate) fn new(base_offset: u64) -> Self {
        Self {
            segment: Segment::new(base_offset),
            next_offset: base_offset,
            epochs: EpochHistory::default(),
            producers: ProducerTable::default(),
            unknown_before: base_offset,
        }
    }

    /// What the next batch must join on to.
    pub(crate) fn chain(&self) -> Chain {
        Chain {
            next_offset: self.next_offset,
            epoch: self.epochs.latest(),
        }
    }

    /// Moves past the next batch, which stands at `position` of the segment.
    pub(crate) fn follow(&mut self, header: &BatchHeader, position: u64, index_step_bytes: u64) {
        self.segment.bytes = position;
        self.accept(header);
        self.place(header, index_step_bytes);
    }

    /// Takes in what the next batch tells. Where it will stand comes later.
    pub(crate) fn accept(&mut self, header: &BatchHeader) {
        self.epochs.observe(header.leader_epoch, header.base_offset);
        self.producers.observe(header, header.base_offset);
        self.next_offset = header.next_offset();
    }

    /// Puts a batch that was accepted at the end of the segment.
    pub(crate) fn place(&mut self, header: &BatchHeader, index_step_bytes: u64) {
        let segment = &mut self.segment;
        segment
            .index
            .observe(header, segment.bytes, index_step_bytes);
        segment.bytes += header.batch_bytes as u64;
    }

    /// Moves past batches that cannot be read, which end at the position `end`. `starts` says which
    /// epochs began in them.
    ///
    /// The producers of these batches remain unknown.
    pub(crate) fn pass_over(&mut self, range: &DamagedRange, end: u64, starts: &[(u32, u64)]) {
        let DamagedRange {
            from, to, position, ..
        } = *range;
        self.segment.index.pass_over(from, to, position);
        self.segment.bytes = end;
        let inside = |start: u64| range.from <= start && start < range.to;
        for &(epoch, start) in starts.iter().filter(|(_, start)| inside(*start)) {
            // What an index file says may be nonsense, even if it fits its checksum.
            if epoch > self.epochs.latest() {
                self.epochs.observe(epoch, start);
            }
        }
        self.next_offset = range.to;
    }

    /// Takes in a batch that was passed over and can be read again.
    pub(crate) fn follow_late(&mut self, header: &BatchHeader, is_missed: bool) {
        if self.segment.base_offset <= header.base_offset {
            self.segment.index.observe_late(header);
        }
        if is_missed {
            self.producers.observe_late(header, header.base_offset);
        }
    }

    /// Begins the next segment; gives back the one that is complete.
    pub(crate) fn roll(&mut self) -> Segment {
        std::mem::replace(&mut self.segment, Segment::new(self.next_offset))
    }

    /// The bytes of a [`Checkpoint`].
    pub(crate) fn encode(&self, is_followed: bool) -> Vec<u8> {
        let mut out = Vec::new();
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.push(u8::from(is_followed));
        out.extend_from_slice(&self.segment.base_offset.to_le_bytes());
        out.extend_from_slice(&self.segment.bytes.to_le_bytes());
        out.extend_from_slice(&self.next_offset.to_le_bytes());
        let starts = self.epochs.starts();
        out.extend_from_slice(&(starts.len() as u64).to_le_bytes());
        for (epoch, offset) in starts {
            out.extend_from_slice(&epoch.to_le_bytes());
            out.extend_from_slice(&offset.to_le_bytes());
        }
        out.extend_from_slice(&self.unknown_before.to_le_bytes());
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
        let unknown_before = u64::from_le_bytes(take(bytes)?);
        let mut entries = Vec::new();
        for _ in 0..u64::from_le_bytes(take(bytes)?) {
            entries.push(Entry {
                offset: u64::from_le_bytes(take(bytes)?),
                position: u64::from_le_bytes(take(bytes)?),
                max_timestamp: i64::from_le_bytes(take(bytes)?),
            });
        }
        segment.index = SegmentIndex::from_entries(entries)?;
        let frontier = Self {
            segment,
            next_offset,
            epochs: EpochHistory::from_starts(starts)?,
            producers: ProducerTable::decode(body)?,
            unknown_before,
        };
        frontier.is_possible().then_some(frontier)
    }

    /// Whether all that it tells of lies before it.
    fn is_possible(&self) -> bool {
        let Segment {
            base_offset,
            bytes,
            index,
        } = &self.segment;
        let (first, last) = (index.entries().first(), index.entries().last());
        let start = self.epochs.starts().last();
        *base_offset <= self.next_offset
            && self.unknown_before <= self.next_offset
            && i64::try_from(self.next_offset.max(*bytes)).is_ok()
            && first.is_none_or(|first| *base_offset <= first.offset)
            && last.is_none_or(|last| last.offset < self.next_offset && last.position <= *bytes)
            && start.is_none_or(|(_, start)| *start < self.next_offset)
    }
}

impl Checkpoint {
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, CheckpointError> {
        let damaged = CheckpointError::Damaged;
        let (body, crc) = bytes.split_last_chunk().ok_or(damaged)?;
        if crc32c::crc32c(body) != u32::from_le_bytes(*crc) {
            return Err(damaged);
        }
        let mut body = body.strip_prefix(&MAGIC).ok_or(damaged)?;
        let version = u32::from_le_bytes(take(&mut body).ok_or(damaged)?);
        match version.cmp(&VERSION) {
            Ordering::Less => return Err(damaged),
            Ordering::Equal => {}
            Ordering::Greater => return Err(CheckpointError::Version(version)),
        }
        let [is_followed] = take(&mut body).ok_or(damaged)?;
        Ok(Self {
            frontier: Frontier::decode_body(body).ok_or(damaged)?,
            is_followed: is_followed != 0,
        })
    }
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (head, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*head)
}
