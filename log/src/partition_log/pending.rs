//! What is appended and not durable yet.

use std::collections::VecDeque;

use bytes::Bytes;
use quorate_batch::BatchHeader;
use quorate_platform::Disk;

use crate::frame;
use crate::frontier::Frontier;
use crate::spares::Spare;

/// What one frame covers has no more bytes than this, unless it is a single batch, so that what a
/// crash leaves of a flush is of a bounded size.
pub(super) const FLUSH_BYTES_MAX: u64 = 8 << 20;

/// Batches and what else the next flushes have to do, in order.
///
/// Where a batch stands in its segment is known once it is known which batches the frame before it
/// covers. Those are the *group*, which is open until a flush takes it, the segment ends, or it is
/// large enough.
#[derive(Debug)]
pub(super) struct Pending<D: Disk> {
    steps: VecDeque<Step<D>>,
    group: Vec<Bytes>,
    headers: Vec<BatchHeader>,
    group_bytes: u64,
}

/// One step of a flush.
#[derive(Debug)]
pub(super) enum Step<D: Disk> {
    Write(Group),
    /// The segment is complete: checkpoint it, and go on in the one of this base offset.
    Roll(Roll<D>),
}

/// The end of one segment and the begin of the next.
#[derive(Debug)]
pub(super) struct Roll<D: Disk> {
    /// None if something is damaged that it would have to include.
    pub(super) checkpoint: Option<Vec<u8>>,
    /// The base offset of the next one.
    pub(super) base_offset: u64,
    /// What becomes the file of the next one; none if that shall grow.
    pub(super) spare: Option<Spare<D>>,
}

/// Batches that one frame covers.
#[derive(Debug)]
pub(super) struct Group {
    /// Where in the segment their frame begins.
    pub(super) position: u64,
    pub(super) batches: Vec<Bytes>,
    pub(super) bytes: u64,
    base_offset: u64,
}

impl<D: Disk> Default for Pending<D> {
    fn default() -> Self {
        Self {
            steps: VecDeque::new(),
            group: Vec::new(),
            headers: Vec::new(),
            group_bytes: 0,
        }
    }
}

impl<D: Disk> Pending<D> {
    pub(super) fn is_empty(&self) -> bool {
        self.steps.is_empty() && self.group.is_empty()
    }

    /// The bytes of the batches that have no place yet.
    pub(super) fn group_bytes(&self) -> u64 {
        self.group_bytes
    }

    /// The batches that have no place yet.
    pub(super) fn group(&self) -> &[Bytes] {
        &self.group
    }

    /// The offset of the first batch that has no place yet.
    pub(super) fn group_base_offset(&self) -> Option<u64> {
        self.headers.first().map(|header| header.base_offset)
    }

    /// How many bytes the segment gets if this one joins the group: it and its frame included.
    pub(super) fn group_bytes_with(&self, header: &BatchHeader) -> u64 {
        let bytes = self.group_bytes + header.batch_bytes as u64;
        frame::frame_bytes(bytes) + bytes
    }

    /// Adds a batch that `end` has accepted.
    pub(super) fn push(&mut self, header: &BatchHeader, batch: Bytes) {
        self.group.push(batch);
        self.headers.push(*header);
        self.group_bytes += header.batch_bytes as u64;
    }

    /// Whether a batch of so many bytes would make the group too large.
    pub(super) fn is_full(&self, batch_bytes: usize) -> bool {
        !self.group.is_empty() && self.group_bytes + batch_bytes as u64 > FLUSH_BYTES_MAX
    }

    /// Closes the group, if there is anything in it: its batches get their places at `end`.
    pub(super) fn close(&mut self, end: &mut Frontier, index_step_bytes: u64) {
        let Some(first) = self.headers.first() else {
            return;
        };
        let position = end.segment.bytes;
        let group = Group {
            position,
            batches: std::mem::take(&mut self.group),
            bytes: std::mem::take(&mut self.group_bytes),
            base_offset: first.base_offset,
        };
        end.segment.bytes += frame::frame_bytes(group.bytes);
        for header in self.headers.drain(..) {
            end.place(&header, index_step_bytes);
        }
        self.steps.push_back(Step::Write(group));
    }

    /// The segment ends; its group is closed.
    pub(super) fn roll(&mut self, roll: Roll<D>) {
        assert!(self.group.is_empty(), "a group lies in one segment");
        self.steps.push_back(Step::Roll(roll));
    }

    /// Takes as many steps as one flush may have: not two frames in one segment, so that a frame
    /// which is followed by another is known to be durable.
    pub(super) fn take(&mut self, end: &mut Frontier, index_step_bytes: u64) -> Vec<Step<D>> {
        let mut taken: Vec<Step<D>> = Vec::new();
        let mut bytes = 0;
        loop {
            let has_written = matches!(taken.last(), Some(Step::Write(_)));
            if self.steps.is_empty() && !has_written {
                self.close(end, index_step_bytes);
            }
            match self.steps.front() {
                Some(Step::Roll(_)) => {}
                Some(Step::Write(group)) if !has_written => {
                    bytes += group.bytes;
                    if bytes > FLUSH_BYTES_MAX && bytes > group.bytes {
                        return taken;
                    }
                }
                Some(Step::Write(_)) | None => return taken,
            }
            taken.extend(self.steps.pop_front());
        }
    }

    /// The offset of the first batch, if there is one.
    pub(super) fn base_offset(&self) -> Option<u64> {
        match self.steps.front() {
            Some(Step::Write(group)) => Some(group.base_offset),
            Some(Step::Roll(roll)) => Some(roll.base_offset),
            None => self.group_base_offset(),
        }
    }

    /// Takes all batches out.
    pub(super) fn drain(&mut self) -> Vec<Bytes> {
        let Self { steps, group, .. } = std::mem::take(self);
        let written = steps.into_iter().flat_map(|step| match step {
            Step::Write(group) => group.batches,
            Step::Roll(_) => Vec::new(),
        });
        written.chain(group).collect()
    }
}
