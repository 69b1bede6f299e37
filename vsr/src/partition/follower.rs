use std::collections::VecDeque;

use super::compaction::Claim;
use super::{Ack, Marks, Message};
use crate::{Epoch, Offset};

/// How many messages with records may be on their way to one follower.
///
/// Each holds at most a frame, so this bounds what a follower that stands still can make anybody
/// keep. When it is reached, what is appended meanwhile goes out together in the next message: the
/// slower the follower, the larger the messages.
pub(super) const PIPELINE_MAX: usize = 16;

/// What an open leader knows of one follower.
///
/// It holds offsets only, never records, so a dead follower costs nothing that grows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Follower {
    /// The follower has said in this epoch that its log is a prefix of ours.
    pub(super) matched: bool,
    /// Its `log_epoch` is our epoch, on its stable storage.
    pub(super) adopted: bool,
    /// It has everything below on stable storage, and once it has adopted the epoch it keeps it.
    pub(super) durable: Offset,
    /// It knows of everything below that it is committed.
    pub(super) high_watermark: Offset,
    /// Its log start, on its stable storage.
    pub(super) log_start: Offset,
    /// How far it has compacted its log.
    pub(super) claim: Claim,
    /// What it knows of how far the log is compacted everywhere.
    compacted_everywhere: Offset,
    /// What it has been told by a `Commit`, perhaps in vain.
    announced: Marks,
    /// Everything below has been sent.
    pub(super) sent: Offset,
    /// Where the outstanding `SendRecords` begins.
    pub(super) wished: Option<Offset>,
    /// The ends of the messages that are on their way.
    in_flight: VecDeque<Offset>,
    /// Where sending last started over. All messages after a lost one are complained of; only the
    /// first complaint counts.
    rewound_to: Option<Offset>,
    /// It has answered since the last `Timer::Resend`.
    heard: bool,
    /// It has told of something new since then.
    has_advanced: bool,
    /// The high watermark as it was at the last `Timer::Resend`.
    mark: Offset,
}

/// What came of a follower between two `Timer::Resend`.
pub(super) struct Round {
    /// It has said nothing.
    pub(super) is_silent: bool,
    /// It has told of something new. If not, it should be spoken to again.
    pub(super) has_advanced: bool,
}

impl Follower {
    /// Takes an answer in, which may be old.
    pub(super) fn on_ack(&mut self, ack: &Ack) {
        self.heard = true;
        let before = self.reached();
        self.on_ack_durable(ack);
        self.high_watermark = self.high_watermark.max(ack.high_watermark);
        self.log_start = self.log_start.max(ack.log_start);
        self.claim.hear(ack.losses, ack.compacted);
        self.compacted_everywhere = self.compacted_everywhere.max(ack.compacted_everywhere);
        self.has_advanced |= !self.matched || self.reached() != before;
        while self
            .in_flight
            .front()
            .is_some_and(|end| *end <= ack.durable)
        {
            self.in_flight.pop_front();
        }
        if !self.matched {
            self.matched = true;
            self.send_from(ack.received);
        } else if ack.received > self.sent {
            self.send_from(ack.received);
        } else if ack.rewind && ack.received < self.sent {
            self.rewind(ack.received);
        }
    }

    /// All that is awaited of it.
    fn reached(&self) -> (bool, Offset, Offset, Offset, Offset) {
        let Self {
            adopted,
            durable,
            high_watermark,
            log_start,
            compacted_everywhere,
            ..
        } = *self;
        (
            adopted,
            durable,
            high_watermark,
            log_start,
            compacted_everywhere,
        )
    }

    /// It may have lost the end of its log, and will say from where to go on.
    pub(super) fn on_lost(&mut self) {
        self.heard = true;
        self.has_advanced = true;
        self.unmatch();
    }

    /// Whether it needs records next that have expired, so that its log has to begin anew.
    pub(super) fn is_left_behind(&self, log_start: Offset) -> bool {
        self.matched && self.sent < log_start
    }

    /// Nothing is sent to it before it has said from where to go on.
    pub(super) fn unmatch(&mut self) {
        self.matched = false;
        self.send_from(self.sent);
    }

    /// What counts towards a commit is the greatest of the answers given since the adoption: from
    /// then on the follower cuts nothing before the next epoch. What it said earlier is forgotten.
    /// Had it been restarted before the adoption was durable, it would have been told again what to
    /// adopt, and would have cut all that the leader appended after its opening.
    fn on_ack_durable(&mut self, ack: &Ack) {
        match (self.adopted, ack.adopted) {
            (true, true) => self.durable = self.durable.max(ack.durable),
            (true, false) => {}
            (false, _) => self.durable = ack.durable,
        }
        self.adopted |= ack.adopted;
    }

    fn rewind(&mut self, to: Offset) {
        if self.rewound_to == Some(to) {
            return;
        }
        self.send_from(to);
        self.rewound_to = Some(to);
    }

    /// Forgets what was sent from `from` on; a wish that begins elsewhere is out of date.
    fn send_from(&mut self, from: Offset) {
        self.sent = from;
        self.wished = None;
        self.in_flight.clear();
        self.rewound_to = None;
    }

    /// Where the next message with records shall begin, if one may be sent now.
    pub(super) fn wish(&mut self, next: Offset) -> Option<Offset> {
        let may = self.matched && self.wished.is_none() && self.in_flight.len() < PIPELINE_MAX;
        (may && self.sent < next).then(|| {
            self.wished = Some(self.sent);
            self.sent
        })
    }

    /// Nothing is wished for any more from where this replica cannot read.
    pub(super) fn withdraw(&mut self, is_damaged: impl Fn(Offset) -> bool) {
        if self.wished.is_some_and(is_damaged) {
            self.wished = None;
        }
    }

    /// The wish that began at `base` went out, up to `end`.
    pub(super) fn on_sent(&mut self, base: Offset, end: Offset) {
        if self.wished == Some(base) {
            self.wished = None;
            self.sent = end;
            self.in_flight.push_back(end);
        }
    }

    /// Nothing is on its way that would carry the high watermark to it.
    fn is_idle(&self, next: Offset) -> bool {
        self.matched && self.in_flight.is_empty() && self.sent == next
    }

    /// Whether it should be told the high watermark by a message of its own.
    pub(super) fn is_uninformed(&self, next: Offset, marks: Marks) -> bool {
        let Marks {
            high_watermark,
            log_start,
            compacted_everywhere,
        } = self.announced;
        let compacted = self.compacted_everywhere.max(compacted_everywhere);
        self.is_idle(next)
            && (self.high_watermark.max(high_watermark) < marks.high_watermark
                || self.log_start.max(log_start) < marks.log_start
                || compacted < marks.compacted_everywhere)
    }

    /// The `Commit` that goes out to it.
    pub(super) fn announce(&mut self, epoch: Epoch, marks: Marks) -> Message {
        self.announced = marks;
        Message::Commit {
            epoch,
            sent: self.sent,
            marks,
        }
    }

    /// Whether anything is awaited of it.
    pub(super) fn is_behind(&self, next: Offset, marks: Marks) -> bool {
        let has_all = self.adopted && self.durable >= next;
        let is_told = self.high_watermark >= marks.high_watermark
            && self.log_start >= marks.log_start
            && self.compacted_everywhere >= marks.compacted_everywhere;
        !has_all || !is_told
    }

    /// `Timer::Resend` has run out: what came of the follower in the whole time.
    ///
    /// Who has come no further may talk all the same, for instance of how far its log is compacted,
    /// and not know that records to it were lost: nothing came after them that would have shown it.
    pub(super) fn on_resend(&mut self, high_watermark: Offset) -> Round {
        self.mark = high_watermark;
        self.rewound_to = None;
        let has_advanced = std::mem::take(&mut self.has_advanced);
        if !has_advanced {
            // The wish may have been lost with a connection. If not, the new one takes its place.
            self.wished = None;
        }
        Round {
            is_silent: !std::mem::take(&mut self.heard),
            has_advanced,
        }
    }

    /// Whether it has all that was committed when the leader last looked.
    pub(super) fn is_in_sync(&self) -> bool {
        self.adopted && self.durable >= self.mark
    }
}
