//! The way through one segment, from its first byte to its last.

use std::collections::VecDeque;

use bytes::Bytes;
use quorate_platform::File;

use super::super::resync;
use super::super::walk::{FoundBatch, KnownEpochs, batch_at, pass_frames, sound_batch_at};
use super::coverage::Coverage;
use super::index_check::IndexCheck;
use super::piece::{BatchPiece, DamageKind, DamagedPiece, FramePiece, IndexState, Piece};
use crate::chain::Flaw;
use crate::damage::DamagedRange;
use crate::error::LogError;
use crate::frame::{Frame, HEAD_BYTES};
use crate::frontier::Frontier;
use crate::window::Window;

const PIECE_BYTES: u64 = 1 << 20;
/// The bytes at the beginning of a batch that its checksum leaves out.
const UNCHECKED_BYTES: u64 = 17;

/// Where a segment ends, and what follows.
#[derive(Clone, Copy, Debug)]
pub(super) enum Border {
    /// The segment of this base offset.
    Segment(u64),
    /// Nothing: the log ends at this offset and this position.
    End { offset: u64, position: u64 },
    /// Nobody knows.
    Unknown,
}

/// What is behind the end of the log, in its last segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tail {
    Room,
    Torn,
    Uncertain,
}

/// The walk of one segment.
pub(super) struct Passage<F> {
    window: Window<F>,
    epochs: KnownEpochs,
    index_step_bytes: u64,
    border: Border,
    tail: Tail,
    /// The end of the last batch that was passed.
    frontier: Frontier,
    /// Whether the frontier knows all that the batches up to it tell.
    is_complete: bool,
    /// The next byte that is looked at.
    position: u64,
    /// What the index file is compared with, until its state is known.
    check: Option<IndexCheck>,
    index: IndexState,
    coverage: Option<Coverage>,
    /// A frame has just been passed, so that what follows is no frame that is damaged.
    is_behind_frame: bool,
    ready: VecDeque<Piece>,
    is_over: bool,
}

/// What a [`Passage`] is made of.
pub(super) struct Passport<F> {
    pub(super) window: Window<F>,
    pub(super) epochs: KnownEpochs,
    pub(super) index_step_bytes: u64,
    pub(super) border: Border,
    pub(super) tail: Tail,
    pub(super) frontier: Frontier,
    pub(super) is_complete: bool,
    pub(super) check: Option<IndexCheck>,
    /// The state of the index file, if there is nothing to be compared.
    pub(super) index: IndexState,
}

impl<F: File> Passage<F> {
    pub(super) fn new(passport: Passport<F>) -> Self {
        let Passport {
            window,
            epochs,
            index_step_bytes,
            border,
            tail,
            frontier,
            is_complete,
            check,
            index,
        } = passport;
        Self {
            window,
            epochs,
            index_step_bytes,
            border,
            tail,
            frontier,
            is_complete,
            position: 0,
            check,
            index,
            coverage: None,
            is_behind_frame: false,
            ready: VecDeque::new(),
            is_over: false,
        }
    }

    /// Where in the file it is.
    pub(super) fn position(&self) -> u64 {
        match self.is_over {
            true => self.window.end(),
            false => self.position.min(self.window.end()),
        }
    }

    pub(super) async fn next(&mut self) -> Result<Option<Piece>, LogError> {
        loop {
            if let Some(piece) = self.ready.pop_front() {
                return Ok(Some(piece));
            }
            if self.is_over {
                return Ok(None);
            }
            self.advance().await?;
        }
    }

    pub(super) async fn read(&mut self, batch: &BatchPiece) -> Result<Bytes, LogError> {
        self.window
            .bytes(batch.position, batch.header.batch_bytes)
            .await
    }

    /// What the index file is, once the walk is over.
    pub(super) fn index(&self) -> &IndexState {
        &self.index
    }

    /// The frontier behind the segment, and whether it knows all that the batches tell.
    pub(super) fn leave(self) -> (Frontier, bool) {
        (self.frontier, self.is_complete)
    }

    /// Where the log ends in this file.
    fn end(&self) -> u64 {
        match self.border {
            Border::End { position, .. } => position.min(self.window.end()),
            Border::Segment(_) | Border::Unknown => self.window.end(),
        }
    }

    /// One past the last offset of the segment, if that is known.
    fn until(&self) -> Option<u64> {
        match self.border {
            Border::Segment(offset) | Border::End { offset, .. } => Some(offset),
            Border::Unknown => None,
        }
    }

    fn is_full(&self) -> bool {
        self.until()
            .is_some_and(|until| until <= self.frontier.next_offset)
    }

    async fn advance(&mut self) -> Result<(), LogError> {
        let position = self.position;
        if position >= self.end() {
            return self.finish().await;
        }
        if let Some(frame) = self.window.frame_at(position).await? {
            self.position = frame.start();
            self.is_behind_frame = true;
            return self.enter(frame).await;
        }
        if self.is_full() {
            self.position = self.end();
            return self.tell_rest(position).await;
        }
        let is_behind_frame = std::mem::take(&mut self.is_behind_frame);
        match self.batch(position, is_behind_frame).await? {
            Ok(found) if found.is_frame_damaged => self.pass_frame(found.position).await,
            Ok(found) => self.pass_batch(&found).await,
            Err(flaw) => self.pass_damage(flaw).await,
        }
    }

    async fn batch(
        &mut self,
        position: u64,
        is_behind_frame: bool,
    ) -> Result<Result<FoundBatch, Flaw>, LogError> {
        let (window, chain, epochs) = (&mut self.window, self.frontier.chain(), &self.epochs);
        if !is_behind_frame {
            return batch_at(window, position, chain, epochs).await;
        }
        let sound = sound_batch_at(window, position, chain, epochs).await?;
        Ok(sound.map(|header| FoundBatch {
            header,
            position,
            frame: None,
            is_frame_damaged: false,
        }))
    }

    /// What the frame before says ends here, and this one begins to say something.
    async fn enter(&mut self, frame: Frame) -> Result<(), LogError> {
        self.leave_coverage(frame.position);
        self.ready.push_back(Piece::Frame(FramePiece {
            position: frame.position,
            bytes: frame.bytes,
            covered_bytes: frame.covered_bytes,
        }));
        self.coverage = Coverage::of(&mut self.window, frame).await?;
        if self.coverage.is_none() {
            let position = frame.position + HEAD_BYTES;
            let end = frame.start().min(self.window.end()).max(position);
            self.tell(DamageKind::Checksums, (position, end), None, None);
        }
        Ok(())
    }

    fn leave_coverage(&mut self, position: u64) {
        let doubts = self.coverage.take().map(|it| it.leave(position));
        for doubt in doubts.into_iter().flatten() {
            self.ready.push_back(Piece::Damage(DamagedPiece {
                kind: DamageKind::Epoch,
                position: doubt.wrong.position,
                end: doubt.wrong.end,
                offsets: doubt.offsets,
                flaw: None,
                wrong: vec![doubt.wrong],
            }));
        }
    }

    fn tell(
        &mut self,
        kind: DamageKind,
        (position, end): (u64, u64),
        offsets: Option<(u64, Option<u64>)>,
        flaw: Option<Flaw>,
    ) {
        let coverage = self.coverage.as_mut();
        let wrong = coverage
            .map(|it| it.explain(position, end))
            .unwrap_or_default();
        self.ready.push_back(Piece::Damage(DamagedPiece {
            kind,
            position,
            end,
            offsets,
            flaw,
            wrong,
        }));
    }

    /// Moves over a sound batch.
    async fn pass_batch(&mut self, found: &FoundBatch) -> Result<(), LogError> {
        let (position, end) = (found.position, found.end());
        if let Some(check) = &mut self.check {
            let is_complete = &mut self.is_complete;
            check.pass(&mut self.frontier, is_complete, &found.header, position);
        }
        let mut header = found.header;
        self.ready
            .push_back(Piece::Batch(BatchPiece { position, header }));
        let latest = self.frontier.epochs.latest();
        if header.leader_epoch != latest && self.is_doubtful(position, end).await? {
            // Else all that follow would seem to be of an epoch that is too low.
            header.leader_epoch = latest.max(1);
        }
        if let Some(coverage) = &mut self.coverage {
            coverage.pass(position, end, header.base_offset, header.next_offset());
        }
        self.frontier
            .follow(&header, position, self.index_step_bytes);
        self.position = end;
        if self.coverage.as_ref().is_some_and(|it| it.end() <= end) {
            self.leave_coverage(end);
        }
        Ok(())
    }

    /// Whether the epoch of the batch from `position` to `end` stands in a block that is not what
    /// was written.
    async fn is_doubtful(&mut self, position: u64, end: u64) -> Result<bool, LogError> {
        let coverage = self.coverage.as_ref();
        let unchecked = position + UNCHECKED_BYTES;
        let Some(to) = coverage.and_then(|it| it.wrong_block(position, unchecked)) else {
            return Ok(false);
        };
        // Unless another flush was written into it.
        let frames = self.frames_in(end, to.max(end)).await?;
        Ok(frames.is_empty())
    }

    /// Moves over a damaged frame, behind which a sound batch stands at `batch_position`.
    async fn pass_frame(&mut self, batch_position: u64) -> Result<(), LogError> {
        let position = self.position;
        // There may be sound ones right before the batch.
        let mut end = batch_position;
        for frame in self
            .frames_in(position + 1, batch_position)
            .await?
            .iter()
            .rev()
        {
            if frame.start() == end {
                end = frame.position;
            }
        }
        self.leave_coverage(position);
        self.tell(DamageKind::Frame, (position, end), None, None);
        self.position = end;
        self.is_behind_frame = end == batch_position;
        Ok(())
    }

    /// Moves over a broken place: to the next sound batch, or to the end if there is none.
    async fn pass_damage(&mut self, flaw: Flaw) -> Result<(), LogError> {
        self.frontier.segment.bytes = self.position;
        let (window, frontier) = (&mut self.window, &self.frontier);
        let found = resync::damage_at(window, frontier, &self.epochs).await?;
        let until = self.until();
        let is_before = |range: &DamagedRange| until.is_none_or(|until| range.to <= until);
        match found.filter(|(range, _)| is_before(range)) {
            Some((range, _)) => {
                let end = range.end.expect("something sound begins there");
                self.pass_over(range, end, Some(flaw)).await
            }
            None => {
                let position = self.position;
                let end = match self.content_end(position).await? {
                    // How much of the zeros was something else, nobody can tell.
                    end if end == position => self.end(),
                    end => end,
                };
                self.pass_to_end(position, end, Some(flaw)).await?;
                self.tell_room(end);
                Ok(())
            }
        }
    }

    /// Nothing sound follows in this file.
    async fn pass_to_end(
        &mut self,
        position: u64,
        end: u64,
        flaw: Option<Flaw>,
    ) -> Result<(), LogError> {
        let from = self.frontier.next_offset;
        let Some(to) = self.until() else {
            self.leave_coverage(position);
            self.tell(
                DamageKind::Batches,
                (position, end),
                Some((from, None)),
                flaw,
            );
            self.position = self.end();
            self.disturb();
            return Ok(());
        };
        let range = DamagedRange {
            from,
            to,
            segment: self.frontier.segment.base_offset,
            position,
            end: Some(end),
            is_missed: true,
        };
        self.pass_over(range, end, flaw).await?;
        self.position = self.end().max(end);
        Ok(())
    }

    async fn pass_over(
        &mut self,
        range: DamagedRange,
        end: u64,
        flaw: Option<Flaw>,
    ) -> Result<(), LogError> {
        let DamagedRange {
            from, to, position, ..
        } = range;
        self.disturb();
        self.tell_covered(DamageKind::Batches, (position, end), (from, Some(to)), flaw)
            .await?;
        let starts = self.epochs.history.starts();
        self.frontier.pass_over(&range, end, starts);
        self.position = end;
        Ok(())
    }

    /// Tells of damage that may reach over several frames.
    async fn tell_covered(
        &mut self,
        kind: DamageKind,
        (position, end): (u64, u64),
        offsets: (u64, Option<u64>),
        flaw: Option<Flaw>,
    ) -> Result<(), LogError> {
        let coverage = self.coverage.as_mut();
        let mut wrong = coverage
            .map(|it| it.explain(position, end))
            .unwrap_or_default();
        for frame in self.frames_in(position, end).await? {
            self.leave_coverage(frame.position);
            self.coverage = Coverage::of(&mut self.window, frame).await?;
            let coverage = self.coverage.as_mut();
            wrong.extend(
                coverage
                    .map(|it| it.explain(position, end))
                    .unwrap_or_default(),
            );
        }
        self.ready.push_back(Piece::Damage(DamagedPiece {
            kind,
            position,
            end,
            offsets: Some(offsets),
            flaw,
            wrong,
        }));
        Ok(())
    }

    fn disturb(&mut self) {
        self.is_complete = false;
        if let Some(check) = &mut self.check {
            check.disturb();
        }
    }

    /// What stands behind the last batch and all frames, from `position` on.
    async fn tell_rest(&mut self, position: u64) -> Result<(), LogError> {
        let end = self.content_end(position).await?;
        if position < end {
            self.leave_coverage(position);
            self.tell(DamageKind::Rest, (position, end), None, None);
        }
        self.tell_room(end);
        Ok(())
    }

    fn tell_room(&mut self, position: u64) {
        let end = self.end();
        if position < end {
            self.ready.push_back(Piece::Room { position, end });
        }
    }

    /// The end of the segment, or of the log in it.
    async fn finish(&mut self) -> Result<(), LogError> {
        let position = self.position;
        if self
            .until()
            .is_some_and(|until| self.frontier.next_offset < until)
        {
            self.pass_to_end(position, position.max(self.end()), None)
                .await?;
        }
        if let Some(mut check) = self.check.take() {
            if self.tail == Tail::Uncertain {
                check.disturb();
            }
            let end = self.window.end().max(position);
            let (frontier, is_complete) = (&mut self.frontier, &mut self.is_complete);
            self.index = check.finish(frontier, is_complete, end);
        }
        if matches!(self.border, Border::End { .. }) {
            self.tell_tail(position).await?;
        }
        self.leave_coverage(position);
        self.is_over = true;
        Ok(())
    }

    /// What stands behind the end of the log, in its last segment.
    async fn tell_tail(&mut self, position: u64) -> Result<(), LogError> {
        let end = self.window.end();
        let from = self.frontier.next_offset;
        let kind = match self.tail {
            Tail::Room if position < end => {
                self.ready.push_back(Piece::Room { position, end });
                return Ok(());
            }
            Tail::Room => return Ok(()),
            Tail::Torn => DamageKind::Torn,
            Tail::Uncertain => DamageKind::End,
        };
        let start = pass_frames(&mut self.window, position).await?.0;
        let (window, chain, epochs) = (&mut self.window, self.frontier.chain(), &self.epochs);
        let flaw = match start < end {
            true => sound_batch_at(window, start, chain, epochs).await?.err(),
            false => None,
        };
        let end = end.max(position);
        self.tell_covered(kind, (position, end), (from, None), flaw)
            .await
    }

    /// One past the last byte that is not zero, from `position` to the end of the file.
    async fn content_end(&mut self, position: u64) -> Result<u64, LogError> {
        let (mut at, mut content_end) = (position, position);
        while at < self.end() {
            let len = (self.end() - at).min(PIECE_BYTES);
            let bytes = self.window.bytes(at, len as usize).await?;
            if bytes.is_empty() {
                break;
            }
            if let Some(last) = bytes.iter().rposition(|byte| *byte != 0) {
                content_end = at + last as u64 + 1;
            }
            at += bytes.len() as u64;
        }
        Ok(content_end)
    }

    /// The sound frames that begin between `from` and `to`.
    async fn frames_in(&mut self, from: u64, to: u64) -> Result<Vec<Frame>, LogError> {
        let mut frames = Vec::new();
        let mut position = from;
        while position < to {
            let len = (to - position).min(PIECE_BYTES) + HEAD_BYTES - 1;
            let bytes = self.window.bytes(position, len as usize).await?;
            let heads = bytes.windows(HEAD_BYTES as usize);
            let passed = heads.len() as u64;
            let segment = self.window.segment();
            let found = (position..).zip(heads);
            frames.extend(found.filter_map(|(at, head)| Frame::parse(head, segment, at)));
            if passed == 0 {
                break;
            }
            position += passed;
        }
        Ok(frames)
    }
}
