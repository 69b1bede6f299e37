use super::{Facts, Message, Timer};
use crate::{Epoch, NodeId, Offset};

/// What the driver shall do, in the order in which it is told.
///
/// The driver has no decisions to make. What depends on stable storage is held back by the replica
/// until the completion has come in as an event, so a `Send` may leave at once.
///
/// # What the driver owes
///
/// * **Order.** Effects are begun in order, and all effects of one step before the next step.
/// * **Log writes.** Appended records ([`Effect::Accept`], and those of a successful
///   [`Replica::append`](super::Replica::append)) are made durable by the driver on its own accord,
///   in order and soon, and reported by [`Event::LogDurable`](super::Event::LogDurable) in that
///   order.
/// * **Cuts.** [`Effect::Truncate`] is told only when every appended record has been reported
///   durable, so no flush is in flight, and until [`Event::Truncated`](super::Event::Truncated)
///   nothing is appended, so none begins. Reads may be in flight: below the high watermark they are
///   not touched, and above it they can only have been made for [`Effect::SendRecords`], whose
///   sending is then refused by [`Replica::records_head`](super::Replica::records_head).
/// * **Facts.** Later facts include earlier ones. The driver may skip facts that were overtaken
///   before their write began, and may write many partitions' facts at once; it must not write
///   earlier facts over later ones.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Send a message to a peer; it may get lost, and is then said again by a timer.
    ///
    /// While there is no connection it is best dropped.
    Send {
        /// To whom.
        to: NodeId,
        /// What.
        message: Message,
    },
    /// Make these facts durable, then report [`Event::FactsDurable`](super::Event::FactsDurable).
    PersistFacts(Facts),
    /// Append the records that came with the event of this step.
    Accept,
    /// Cut the log so that it ends at `to`, make that durable, then report
    /// [`Event::Truncated`](super::Event::Truncated). `to` is a boundary between two batches.
    Truncate {
        /// The next offset after the cut.
        to: Offset,
    },
    /// Everything below this offset has expired, durably: remove what is no longer needed for
    /// anything else, at leisure. Nothing is reported.
    Retire {
        /// The log start.
        below: Offset,
    },
    /// Drop the whole log and begin another one at `at`, make that durable, then report
    /// [`Event::BegunAnew`](super::Event::BegunAnew).
    ///
    /// Like a cut it is told only when no flush is in flight, and until the report nothing is
    /// appended. The facts that say so are durable, so that the driver can finish it when it opens
    /// the log again (see [`Facts::begun_anew`]).
    BeginAnew {
        /// The log start.
        at: Offset,
        /// The epoch of the record before it.
        epoch: Epoch,
    },
    /// Send records to a peer as soon as the link has room.
    ///
    /// The driver reads whole batches from `from` on, as many as fit into a frame and durable here
    /// or not, asks [`Replica::records_head`](super::Replica::records_head) for what goes before
    /// them, sends both and reports [`Event::RecordsSent`](super::Event::RecordsSent). If there is
    /// no head, the wish is out of date and is dropped. There is at most one wish for each peer: a
    /// newer one takes the place of an older one. A wish may get lost; it is then wished again.
    SendRecords {
        /// To whom.
        to: NodeId,
        /// The epoch in which this is wished.
        epoch: Epoch,
        /// The first offset.
        from: Offset,
    },
    /// Send committed records to a peer for which they are damaged.
    ///
    /// The driver reads whole batches from `from` on, as many as fit into a frame, none at `until`
    /// or above, and checks them. What is damaged here as well is not sent, but reported with
    /// [`Event::Damaged`](super::Event::Damaged). No permission is needed at the time of sending:
    /// what is committed does not change. The peer's driver turns it into
    /// [`Event::Repair`](super::Event::Repair). There is at most one such wish for each peer; it
    /// may get lost.
    SendRepair {
        /// To whom.
        to: NodeId,
        /// Which.
        wish: RepairWish,
    },
    /// Compact the log up to this offset at least, as soon as it can be done: a peer lacks records
    /// that are damaged there, and has no use for them before. Nothing is reported but
    /// [`Event::Compacted`](super::Event::Compacted). The peer asks again.
    Compact {
        /// Up to where.
        to: Offset,
    },
    /// Put the records that came with the event of this step in the place of the damaged ones, make
    /// that durable, then report [`Event::Repaired`](super::Event::Repaired).
    ///
    /// They take exactly the bytes that the damaged ones took; if they do not, nothing is written,
    /// and nothing is reported as repaired. Until the report there is no further `Rewrite`.
    Rewrite,
    /// This replica leads, and takes appends from now on.
    Opened {
        /// The epoch that it leads.
        epoch: Epoch,
    },
    /// This replica led, open or not yet, and does not any more. What was appended and is not
    /// committed may or may not survive: whoever waits for it must be told that the outcome is
    /// unknown.
    SteppedDown,
    /// This replica cannot go on leading the epoch, because its disk has damaged records that were
    /// not committed yet. It has stepped down already. The control plane has to be told, and gives
    /// out a new epoch; the best leader is another voter.
    Resigned {
        /// The epoch that it led.
        epoch: Epoch,
    },
    /// Everything below is committed: acknowledgements and readers that wait for it are released.
    ///
    /// Followers say it as well.
    Committed {
        /// The first offset that is not committed; it never moves back.
        high_watermark: Offset,
    },
    /// Report that a message was dropped which no sound replica sends.
    ///
    /// Its sender is broken or lies, or this replica is broken. Nothing was done on account of the
    /// message; a person should look at both.
    Distrust {
        /// Who sent it.
        from: NodeId,
        /// What is wrong with it.
        why: &'static str,
    },
    /// (Re)start a timer from its full length.
    Arm(Timer),
    /// Stop a timer.
    Disarm(Timer),
}

/// Committed records that a peer needs, because they are damaged there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RepairWish {
    /// The first offset.
    pub from: Offset,
    /// One past the last offset that may be sent.
    pub until: Offset,
    /// What goes with them: up to where this log was claimed to be compacted before they are read.
    pub compacted: Offset,
}
