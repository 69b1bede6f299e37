//! Walking over the segments of a log that is opened, and over what is damaged in them.

use quorate_platform::Disk;

use super::super::pending::FLUSH_BYTES_MAX;
use super::super::reframe::BrokenFrame;
use super::super::resync;
use super::super::torn::{self, Broken};
use super::super::walk::{self, FoundBatch, KnownEpochs, batch_at, pass_frames};
use super::{Before, End, Opening};
use crate::chain::{Chain, Flaw};
use crate::closed_segment::ClosedSegment;
use crate::damage::DamagedRange;
use crate::epoch_history::EpochHistory;
use crate::error::LogError;
use crate::frontier::{Checkpoint, Frontier};
use crate::segment::Segment;
use crate::window::Window;

/// The walk of one segment.
pub(super) struct Crossing<F> {
    window: Window<F>,
    /// The base offset of the next segment; `None` in the last one.
    next: Option<u64>,
    /// The file is shorter than it was when the checkpoint was written.
    is_short: bool,
    /// Another segment followed when the checkpoint was written.
    is_followed: bool,
}

/// An epoch that is greater than the one before, and what the log was before it.
pub(super) struct Rise {
    before: Before,
    batches: u32,
}

/// What becomes of a broken place.
enum Outcome {
    /// The walk goes on behind it.
    Passed,
    /// Nothing sound is behind it in this file.
    Stopped,
    /// The log ends.
    Ended(End),
}

impl<D: Disk> Opening<D> {
    /// Walks over the segment from its checkpoint, if it has one; tells how the log ends if it does
    /// in this segment.
    pub(super) async fn enter(
        &mut self,
        base_offset: u64,
        next: Option<u64>,
    ) -> Result<Option<End>, LogError> {
        let mut crossing = Crossing {
            window: walk::open_window(&self.disk, &self.folder, base_offset).await?,
            next,
            is_short: false,
            is_followed: false,
        };
        self.covered = 0;
        self.frame = None;
        self.enter_checkpoint(base_offset, &mut crossing).await?;
        let from = self.frontier.segment.bytes;
        let end = self.cross(&mut crossing).await?;
        self.recovery.walked_bytes += self.frontier.segment.bytes.saturating_sub(from);
        match (end, next) {
            (Some(end), _) => Ok(Some(end)),
            (None, Some(next)) => self.close(&mut crossing, next).await.map(|()| None),
            (None, None) => self.end(&mut crossing).await.map(Some),
        }
    }

    async fn enter_checkpoint(
        &mut self,
        base_offset: u64,
        crossing: &mut Crossing<D::File>,
    ) -> Result<(), LogError> {
        let checkpoint = walk::read_checkpoint(&self.disk, &self.folder, base_offset).await?;
        let Some(checkpoint) = checkpoint else {
            return Ok(());
        };
        let Checkpoint {
            frontier,
            is_followed,
        } = checkpoint;
        crossing.is_short = frontier.segment.bytes > crossing.window.end();
        crossing.is_followed = is_followed;
        if crossing.is_short && crossing.next.is_none() {
            // What it knows of the end is of no use where the end is missing.
            return Ok(());
        }
        self.covered = frontier.segment.bytes;
        self.frontier = frontier;
        self.doubt = None;
        self.rise = None;
        self.damage.miss_nothing();
        if crossing.is_short {
            let range = self.missing_end(crossing).await?;
            self.damage.insert(range);
        }
        Ok(())
    }

    /// What is missing at the end of a segment whose checkpoint knows how long it was.
    async fn missing_end(
        &self,
        crossing: &mut Crossing<D::File>,
    ) -> Result<DamagedRange, LogError> {
        let segment = &self.frontier.segment;
        let near = segment.index.entry_near(crossing.window.end());
        let mut walked = Frontier::new(segment.base_offset);
        walked.segment.bytes = near.map_or(0, |entry| entry.position);
        walked.next_offset = near.map_or(segment.base_offset, |entry| entry.offset);
        let step_bytes = self.settings.index_step_bytes;
        let window = &mut crossing.window;
        // Where it stops there is damage as well, or the end: both are part of what is missing.
        walk::walk(window, &mut walked, u64::MAX, &self.epochs, step_bytes).await?;
        Ok(DamagedRange {
            from: walked.next_offset,
            to: self.frontier.next_offset,
            segment: segment.base_offset,
            position: walked.segment.bytes,
            end: Some(segment.bytes),
            is_missed: false,
        })
    }

    /// Walks to the end of the file, over what is damaged; tells how the log ends if it does so
    /// before.
    async fn cross(&mut self, crossing: &mut Crossing<D::File>) -> Result<Option<End>, LogError> {
        while self.frontier.segment.bytes < crossing.window.end() {
            let position = self.frontier.segment.bytes;
            let (window, chain) = (&mut crossing.window, self.frontier.chain());
            let outcome = match batch_at(window, position, chain, &self.epochs).await? {
                Ok(found) if found.is_frame_damaged && self.is_flush_torn(crossing).await? => {
                    Outcome::Ended(End::Torn)
                }
                Ok(found) => self.follow(&found),
                Err(flaw) => self.pass(crossing, flaw).await?,
            };
            match outcome {
                Outcome::Passed => {}
                Outcome::Stopped => return Ok(None),
                Outcome::Ended(end) => return Ok(Some(end)),
            }
        }
        Ok(None)
    }

    /// Moves over a sound batch.
    fn follow(&mut self, found: &FoundBatch) -> Outcome {
        let header = &found.header;
        let latest = self.frontier.epochs.latest();
        if let Some(doubt) = self.doubt.take()
            && header.leader_epoch != latest
        {
            return Outcome::Ended(self.end_before(doubt));
        }
        if header.leader_epoch > latest && latest > 0 && header.base_offset >= self.epochs.end {
            self.rise = Some(Rise {
                before: self.before(),
                batches: 0,
            });
        }
        if let Some(rise) = &mut self.rise {
            rise.batches += 1;
        }
        if found.is_frame_damaged {
            self.broken_frames.push(BrokenFrame {
                segment: self.frontier.segment.base_offset,
                position: self.frontier.segment.bytes,
                end: found.position,
                covered_bytes: None,
            });
        }
        self.frame = found.frame.or(self.frame);
        let step_bytes = self.settings.index_step_bytes;
        self.frontier.follow(header, found.position, step_bytes);
        Outcome::Passed
    }

    /// Moves over a broken place to the next sound batch, if there is one.
    async fn pass(
        &mut self,
        crossing: &mut Crossing<D::File>,
        flaw: Flaw,
    ) -> Result<Outcome, LogError> {
        if let Flaw::Epoch { got, .. } = flaw
            && got < self.frontier.epochs.latest()
            && let Some(rise) = self.rise.take()
            && rise.batches == 1
            && rise.before.frontier.epochs.latest() <= got
        {
            return self.blame_rise(crossing, rise).await;
        }
        if self.is_rest_empty(crossing).await? {
            return Ok(Outcome::Stopped);
        }
        let (window, frontier) = (&mut crossing.window, &self.frontier);
        let Some((range, epoch)) = resync::damage_at(window, frontier, &self.epochs).await? else {
            self.check_facts(crossing, flaw).await?;
            return Ok(Outcome::Stopped);
        };
        if self.is_flush_torn(crossing).await? {
            return Ok(Outcome::Ended(End::Torn));
        }
        let end = range.end.expect("something sound begins there");
        let before = self.doubt.take().unwrap_or_else(|| self.before());
        self.pass_over(range, end);
        if range.to > self.epochs.end && epoch != self.frontier.epochs.latest() {
            return Ok(Outcome::Ended(self.end_before(before)));
        }
        Ok(Outcome::Passed)
    }

    fn pass_over(&mut self, range: DamagedRange, end: u64) {
        // Epochs begin with 1, so that a log whose second batch is of epoch 1 began with it.
        let is_unknown = self.frontier.epochs.latest() == 0 && self.epochs.end <= range.from;
        let first = [(1, range.from)];
        let starts = match is_unknown {
            true => &first[..],
            false => self.epochs.history.starts(),
        };
        self.frontier.pass_over(&range, end, starts);
        self.damage.insert(range);
        self.rise = None;
    }

    /// Whether no flush has come as far as here, nor farther than one flush can.
    ///
    /// A segment may have much room that was written in advance, so it is only sampled: more than a
    /// flush of batches does not fit in between.
    async fn is_rest_empty(&self, crossing: &mut Crossing<D::File>) -> Result<bool, LogError> {
        const STEP_BYTES: usize = 1 << 20;
        const SAMPLE_BYTES: usize = 4096;
        let position = self.frontier.segment.bytes;
        let window = &mut crossing.window;
        let was_durable = self.frontier.next_offset < self.known.durable_offset;
        if crossing.next.is_some() || was_durable {
            return Ok(false);
        }
        if torn::judge(window, position, self.frame).await? != Broken::Empty {
            return Ok(false);
        }
        let from = position + FLUSH_BYTES_MAX;
        for sample in (from..window.end()).step_by(STEP_BYTES) {
            let bytes = window.peek(sample, SAMPLE_BYTES).await?;
            if bytes.iter().any(|byte| *byte != 0) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether a flush that was interrupted left what begins here, sound batches included.
    async fn is_flush_torn(&self, crossing: &mut Crossing<D::File>) -> Result<bool, LogError> {
        let position = self.frontier.segment.bytes;
        let was_durable = self.frontier.next_offset < self.known.durable_offset;
        let is_in_reach = crossing.window.end() - position <= FLUSH_BYTES_MAX;
        if crossing.next.is_some() || was_durable || !is_in_reach {
            return Ok(false);
        }
        let broken = torn::judge(&mut crossing.window, position, self.frame).await?;
        Ok(broken != Broken::Damaged)
    }

    /// The batch here is of a lower epoch than the one before, which was the first one of its
    /// epoch: one of the two is damaged. If this one and the next go on with the epoch from before
    /// both, it is the other one; else it cannot be told.
    async fn blame_rise(
        &mut self,
        crossing: &mut Crossing<D::File>,
        rise: Rise,
    ) -> Result<Outcome, LogError> {
        let risen = &rise.before.frontier;
        let epoch = risen.epochs.latest();
        if !self.are_of_epoch(crossing, epoch).await? {
            return Ok(Outcome::Ended(self.end_before(rise.before)));
        }
        let is_in_closed = risen.segment.base_offset != self.frontier.segment.base_offset;
        let closed = self.closed.last().filter(|_| is_in_closed);
        let end = closed.map_or(self.frontier.segment.bytes, |closed| closed.bytes);
        let range = DamagedRange {
            from: risen.next_offset,
            to: self.frontier.next_offset,
            segment: risen.segment.base_offset,
            position: risen.segment.bytes,
            end: Some(end),
            is_missed: true,
        };
        self.end_before(rise.before);
        self.pass_over(range, end);
        if is_in_closed {
            let closed = ClosedSegment::in_memory(self.frontier.roll());
            self.closed.push(closed);
        }
        Ok(Outcome::Passed)
    }

    /// Whether the next two batches are sound and of `epoch`.
    async fn are_of_epoch(
        &self,
        crossing: &mut Crossing<D::File>,
        epoch: u32,
    ) -> Result<bool, LogError> {
        let next_offset = self.frontier.next_offset;
        let mut chain = Chain { next_offset, epoch };
        let mut position = self.frontier.segment.bytes;
        for _ in 0..2 {
            let next = crossing.next.filter(|next| *next == chain.next_offset);
            let batch = match next {
                Some(next) => {
                    let mut window = walk::open_window(&self.disk, &self.folder, next).await?;
                    batch_at(&mut window, 0, chain, &self.epochs).await?
                }
                None => {
                    let window = &mut crossing.window;
                    batch_at(window, position, chain, &self.epochs).await?
                }
            };
            match batch {
                Ok(found) if found.header.leader_epoch == epoch => {
                    chain.follow(&found.header);
                    position = found.end();
                }
                Ok(_) | Err(_) => return Ok(false),
            }
        }
        Ok(true)
    }

    /// Batches of an epoch that nobody may have heard of are damage if there is one of them. If
    /// there are more, it is the caller who has forgotten something.
    async fn check_facts(
        &self,
        crossing: &mut Crossing<D::File>,
        flaw: Flaw,
    ) -> Result<(), LogError> {
        let mut chain = self.frontier.chain();
        let mut position = self.frontier.segment.bytes;
        let any_epoch = KnownEpochs {
            history: EpochHistory::default(),
            end: 0,
            max: u32::MAX,
        };
        for _ in 0..2 {
            let window = &mut crossing.window;
            match batch_at(window, position, chain, &any_epoch).await? {
                Ok(found) if found.header.leader_epoch > self.known.epoch_max => {
                    chain.follow(&found.header);
                    position = found.end();
                }
                Ok(_) | Err(_) => return Ok(()),
            }
        }
        Err(self.damaged(crossing.window.path(), flaw))
    }

    /// The segment is walked over, and the one at `next` follows.
    async fn close(&mut self, crossing: &mut Crossing<D::File>, next: u64) -> Result<(), LogError> {
        self.pass_marks(crossing).await?;
        let from = self.frontier.next_offset;
        let Segment {
            base_offset: segment,
            bytes,
            ..
        } = self.frontier.segment;
        let (position, _) = pass_frames(&mut crossing.window, bytes).await?;
        let mut is_in_file = from == next && self.covered >= crossing.window.end();
        if from > next {
            let (expected, got) = (from, next);
            return Err(self.damaged(crossing.window.path(), Flaw::Gap { expected, got }));
        }
        if from < next {
            let range = DamagedRange {
                from,
                to: next,
                segment,
                position,
                end: None,
                is_missed: true,
            };
            let before = self.doubt.take().unwrap_or_else(|| self.before());
            self.pass_over(range, crossing.window.end().max(position));
            self.doubt = (range.to > self.epochs.end).then_some(before);
        } else if self.covered < crossing.window.end() && self.is_believed() {
            let checkpoint = self.frontier.encode(true);
            walk::write_checkpoint(&self.disk, &self.folder, segment, checkpoint).await?;
            self.recovery.indexes_rebuilt += 1;
            is_in_file = true;
        }
        let closed = match is_in_file && !self.damage.is_in(segment) {
            true => ClosedSegment::on_disk,
            false => ClosedSegment::in_memory,
        };
        self.closed.push(closed(self.frontier.roll()));
        Ok(())
    }

    /// Whether what was derived from the batches so far is complete, and no single one of them
    /// could have misled it.
    fn is_believed(&self) -> bool {
        let is_agreed = self.rise.as_ref().is_none_or(|rise| rise.batches > 1);
        is_agreed && !self.damage.has_missed()
    }

    /// The last segment is walked over, as far as it is sound.
    async fn end(&mut self, crossing: &mut Crossing<D::File>) -> Result<End, LogError> {
        if let Some(doubt) = self.doubt.take() {
            return Ok(self.end_before(doubt));
        }
        self.pass_marks(crossing).await?;
        let position = self.frontier.segment.bytes;
        let was_durable = self.frontier.next_offset < self.known.durable_offset;
        // An old log has at least one segment, however little there is in it.
        let is_missing = self.known.is_old && crossing.window.is_missing();
        if was_durable || crossing.is_short || crossing.is_followed || is_missing {
            return Ok(End::Uncertain);
        }
        if position == crossing.window.end() {
            return Ok(End::Clean);
        }
        let broken = torn::judge(&mut crossing.window, position, self.frame).await?;
        Ok(match broken {
            Broken::Empty => End::Clean,
            Broken::Torn => End::Torn,
            Broken::Damaged => End::Uncertain,
        })
    }

    /// Moves past frames at the end of the segment that cover nothing.
    async fn pass_marks(&mut self, crossing: &mut Crossing<D::File>) -> Result<(), LogError> {
        let segment = &mut self.frontier.segment;
        while let Some(frame) = crossing.window.frame_at(segment.bytes).await?
            && frame.covered_bytes == 0
        {
            segment.bytes = frame.start();
            self.frame = Some(frame);
        }
        Ok(())
    }
}
