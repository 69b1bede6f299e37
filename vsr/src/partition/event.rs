use super::{Facts, Message, RecordsHead};
use crate::{Epoch, NodeId, Offset};

/// Everything that can happen to a replica.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// The control plane has decided who leads the partition.
    ///
    /// It may come late, or again; an epoch older than one already heard of changes nothing.
    Assign {
        /// The epoch; never given out twice.
        epoch: Epoch,
        /// The only node that may write in it.
        leader: NodeId,
        /// The replicas whose majority commits.
        voters: Vec<NodeId>,
        /// The voters of before, while others take their place; empty when no change is under way.
        /// The epoch is then *joint*: whatever takes a majority takes one of each. See
        /// [the page of this module](super#changing-the-voters) for what the control plane owes.
        previous: Vec<NodeId>,
        /// Replicas that get the records and count for nothing yet.
        learners: Vec<NodeId>,
    },
    /// A peer said something.
    Message {
        /// Who.
        from: NodeId,
        /// What.
        message: Message,
    },
    /// A peer sent records.
    ///
    /// The driver has checked them: whole batches, right checksums, contiguous offsets. It keeps
    /// them at hand while it steps, and appends them if the effects say
    /// [`Effect::Accept`](super::Effect::Accept); otherwise it drops them.
    Records {
        /// Who sent them.
        from: NodeId,
        /// What stood before them.
        head: RecordsHead,
        /// One past the last of them.
        next_offset: Offset,
        /// The epoch and base offset of each batch, in order.
        epochs: Vec<(Epoch, Offset)>,
    },
    /// These facts, as given with [`Effect::PersistFacts`](super::Effect::PersistFacts), are on
    /// stable storage.
    FactsDurable(Facts),
    /// Every record below `next_offset` is on stable storage.
    LogDurable {
        /// One past the last durable record.
        next_offset: Offset,
    },
    /// The cut is done and on stable storage.
    Truncated {
        /// Where the log ends now: the offset of [`Effect::Truncate`](super::Effect::Truncate).
        next_offset: Offset,
    },
    /// What is before this offset has grown too old, or too much, or is to be deleted.
    ///
    /// It is where a batch begins, or the end of the log. It changes nothing unless this replica is
    /// an open leader, has everything before it on stable storage and knows it to be committed.
    Expire {
        /// The new log start.
        before: Offset,
    },
    /// The log holds no record below `to` that a later record below `to` shadows; that is on
    /// stable storage. The driver may say it again, so that the leader hears of it if it has not.
    Compacted {
        /// Up to where.
        to: Offset,
    },
    /// The log was dropped and begins anew, on stable storage.
    BegunAnew {
        /// Where it begins: the offset of [`Effect::BeginAnew`](super::Effect::BeginAnew).
        at: Offset,
    },
    /// Whole batches that were durable are damaged on disk: found at the start, by a read or by a
    /// scrubber.
    ///
    /// They stay part of the log. Its [`EpochHistory`](super::EpochHistory) has to be right in them
    /// as well; if it is not known which epochs wrote them, the log has to be opened as one that
    /// ends before them and is uncertain (see [`Facts::with_loss`]). The driver keeps what it reads
    /// from them to itself: what it sends and serves ends where they begin.
    Damaged {
        /// The first offset of the first of them.
        from: Offset,
        /// One past the last.
        to: Offset,
    },
    /// A peer sent records for a damaged range, after
    /// [`Effect::SendRepair`](super::Effect::SendRepair).
    ///
    /// The driver has checked them like those of [`Event::Records`], and keeps them at hand while
    /// it steps. If the effects say [`Effect::Rewrite`](super::Effect::Rewrite) it puts them in
    /// their place, otherwise it drops them.
    Repair {
        /// The first offset of the records.
        base_offset: Offset,
        /// One past the last of them.
        next_offset: Offset,
        /// The epoch and base offset of each batch, in order.
        epochs: Vec<(Epoch, Offset)>,
        /// Up to where the peer had claimed that its log is compacted, before it read them.
        compacted: Offset,
    },
    /// A [`Effect::Rewrite`](super::Effect::Rewrite) has ended, and its records are on stable
    /// storage; or these offsets are no longer part of the log, because they were too old to be
    /// kept.
    Repaired {
        /// The first offset.
        from: Offset,
        /// One past the last; it is `from` if the records did not fit and nothing was written.
        to: Offset,
    },
    /// Records went out, as [`Effect::SendRecords`](super::Effect::SendRecords) had asked.
    RecordsSent {
        /// To whom.
        to: NodeId,
        /// The head that went before them.
        head: RecordsHead,
        /// One past the last of them.
        next_offset: Offset,
    },
    /// A timer that was armed has run out; it is disarmed now.
    Timeout(Timer),
}

/// The timers of a replica; the driver owns how long each is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Timer {
    /// Armed on a leader while it waits for an answer, so that lost messages are said again.
    ///
    /// Well above a round trip with a sync; in the order of half a second.
    Resend,
    /// Armed on an open leader when followers do not know of the latest commits and no records are
    /// on their way that would tell them.
    ///
    /// The delay that a follower's readers may see on a partition that falls idle; some
    /// milliseconds.
    Commit,
    /// Armed while a replica waits for another one to make good what its own disk has lost.
    ///
    /// Well above a round trip; in the order of half a second.
    Repair,
    /// Armed when the high watermark has outrun its durable lower bound.
    ///
    /// Only recovery profits from it; some seconds.
    SaveWatermark,
}

impl Timer {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::Resend,
        Self::Commit,
        Self::Repair,
        Self::SaveWatermark,
    ];
}
