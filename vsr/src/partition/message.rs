use rkyv::{Archive, Deserialize, Serialize};

use super::EpochHistory;
use crate::{Epoch, Offset};

/// What the replicas of a partition say to each other, apart from the records themselves.
///
/// Any message may be lost, repeated, delayed and overtaken. Every message carries the epoch in
/// which it was said, and an older epoch than the receiver has promised to is not listened to.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq, Hash)]
pub enum Message {
    /// The leader of `epoch` asks a voter to obey no older leader any more.
    RequestPromise {
        /// The leader's epoch.
        epoch: Epoch,
    },
    /// A voter obeys no leader older than this, and says what log it has.
    Promise(Promise),
    /// The leader, not yet open, lacks records that the receiver has promised to have.
    Pull {
        /// The leader's epoch.
        epoch: Epoch,
        /// The first offset that it lacks.
        from: Offset,
    },
    /// The leader is open; the receiver shall make the leader's log its own.
    Adopt(Adopt),
    /// A follower that had adopted this very epoch may have lost records at the end of its log, and
    /// with them some that it has acknowledged. The leader answers with [`Adopt`].
    Lost {
        /// The leader's epoch.
        epoch: Epoch,
        /// Which of its losses it is; no two have the same number.
        loss: u32,
    },
    /// Some of the sender's bytes are damaged, in whole batches that are committed. Who has them
    /// sends them.
    ///
    /// What is committed is committed in every epoch, so this is heard in any.
    RequestRepair {
        /// The sender's epoch.
        epoch: Epoch,
        /// The first damaged offset.
        from: Offset,
        /// One past the last.
        to: Offset,
        /// Up to where the sender has claimed that its log is compacted. Records below that are of
        /// use only from somebody who claims as much.
        compacted: Offset,
    },
    /// How far a follower has come.
    Ack(Ack),
    /// The leader tells its high watermark where no records carry it. A follower answers with an
    /// [`Ack`], so this also finds out what was lost on the way.
    Commit {
        /// The leader's epoch.
        epoch: Epoch,
        /// The leader has sent everything below this.
        sent: Offset,
        /// What else there is to tell.
        marks: Marks,
    },
}

/// How far a leader's log is this and that; it is told with all records, and by itself where there
/// are none.
#[derive(
    Archive,
    Serialize,
    Deserialize,
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
)]
pub struct Marks {
    /// The first offset that is not committed.
    pub high_watermark: Offset,
    /// The first offset that has not expired.
    pub log_start: Offset,
    /// Up to here the log is compacted at all members.
    pub compacted_everywhere: Offset,
}

impl Message {
    /// The epoch in which this was said.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        match self {
            Self::RequestPromise { epoch }
            | Self::Pull { epoch, .. }
            | Self::Lost { epoch, .. }
            | Self::RequestRepair { epoch, .. }
            | Self::Commit { epoch, .. }
            | Self::Promise(Promise { epoch, .. })
            | Self::Adopt(Adopt { epoch, .. })
            | Self::Ack(Ack { epoch, .. }) => *epoch,
        }
    }

    /// Whether a receiver that has not heard of the epoch yet promises to it because of this.
    ///
    /// A driver may keep such a message back until the control plane has told of the epoch.
    #[must_use]
    pub fn begins_epoch(&self) -> bool {
        match self {
            Self::RequestPromise { .. } | Self::Adopt(_) => true,
            Self::Promise(_)
            | Self::Pull { .. }
            | Self::Lost { .. }
            | Self::RequestRepair { .. }
            | Self::Ack(_)
            | Self::Commit { .. } => false,
        }
    }
}

impl Promise {
    /// Whether a log can be like the one that is promised.
    pub(super) fn is_sound(&self) -> bool {
        self.log_epoch <= self.epoch
            && self.history.is_of_log_up_to(self.next_offset, self.epoch)
            && self.log_start <= self.high_watermark
            && self
                .history
                .is_of_log_from(self.log_start, self.next_offset)
    }
}

impl Adopt {
    /// Whether a log can be like the one that is to be adopted.
    pub(super) fn is_sound(&self) -> bool {
        self.history
            .is_of_log_up_to(self.opening_offset, self.epoch)
            && self.log_start <= self.high_watermark
            && self
                .history
                .is_of_log_from(self.log_start, self.opening_offset)
    }
}

/// A voter's promise, and the log on which the new leader may build.
///
/// When it leaves, the promise and every record below `next_offset` are on stable storage.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq, Hash)]
pub struct Promise {
    /// The epoch that is promised to.
    pub epoch: Epoch,
    /// The epoch whose leader's log the voter has completely adopted.
    pub log_epoch: Epoch,
    /// One past the voter's last record.
    pub next_offset: Offset,
    /// Below this the voter knows everything to be committed.
    pub high_watermark: Offset,
    /// The first offset that has not expired there.
    pub log_start: Offset,
    /// Which epochs wrote the voter's log, from the record before `log_start` on.
    pub history: EpochHistory,
    /// Whether the voter may have lost records behind that log which it had acknowledged: what it
    /// does not have is then no evidence.
    pub is_uncertain: bool,
}

/// The log of a leader as it was when the leader opened, or when a follower told of a loss.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq, Hash)]
pub struct Adopt {
    /// The leader's epoch.
    pub epoch: Epoch,
    /// One past the leader's last record at that time.
    pub opening_offset: Offset,
    /// The leader's high watermark.
    pub high_watermark: Offset,
    /// The first offset that has not expired; `opening_offset` is never below it.
    pub log_start: Offset,
    /// Which epochs wrote the leader's log below `opening_offset`, from the record before
    /// `log_start` on.
    pub history: EpochHistory,
    /// The number of the loss that this is the answer to; 0 at the opening.
    pub loss: u32,
}

/// How far a follower has come with the leader's log.
///
/// It is only sent once the follower's log is a prefix of the leader's.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq, Hash)]
pub struct Ack {
    /// The leader's epoch.
    pub epoch: Epoch,
    /// One past the last record that the follower has received.
    pub received: Offset,
    /// One past the last record that the follower has on stable storage.
    pub durable: Offset,
    /// The follower's high watermark.
    pub high_watermark: Offset,
    /// The follower's log start, on stable storage.
    pub log_start: Offset,
    /// Up to where the follower claims, on stable storage, that its log is compacted.
    pub compacted: Offset,
    /// How many losses it has had, on stable storage. What it claimed with fewer is void.
    pub losses: u32,
    /// Up to where it has heard that the log is compacted everywhere.
    pub compacted_everywhere: Offset,
    /// Whether `log_epoch` is this epoch on stable storage; only then does `durable` count towards
    /// a commit.
    pub adopted: bool,
    /// Whether the leader should go on from `received`, because something did not arrive.
    pub rewind: bool,
}

/// What stands before records on the wire.
///
/// The driver gets it from [`Replica::records_head`](super::Replica::records_head) at the moment
/// it sends, and the receiving driver turns it into [`Event::Records`](super::Event::Records).
#[derive(Archive, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RecordsHead {
    /// The leader's epoch.
    pub epoch: Epoch,
    /// The first offset of the records.
    pub base_offset: Offset,
    /// What else the sender has to tell.
    pub marks: Marks,
}
