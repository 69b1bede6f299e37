//! What travels on a link between two shards: messages of many partitions in one frame.
//!
//! The body is a list of [`Envelope`]s. Record batches are the frame's payload: those of the first
//! envelope that has any, then those of the next, and so on, never re-encoded.

use bytes::Bytes;
use quorate_batch::Batches;
use quorate_vsr::partition::{Message, RecordsHead};
use quorate_vsr::{Epoch, NodeId, Offset};
use quorate_wire::{BATCH_BYTES_MAX, Frame};
use rkyv::{Archive, Deserialize, Serialize};

use super::kept::keep;
use super::producers::OfProducers;

/// One message and the partition that it is about.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub(super) struct Envelope {
    pub(super) partition: u64,
    pub(super) said: Said,
}

/// What is in an [`Envelope`].
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub(super) enum Said {
    Message(Message),
    OfProducers(OfProducers),
    Records {
        head: RecordsHead,
        /// How much of the frame's payload is theirs, in bytes.
        payload_len: u32,
    },
    /// Committed records that are damaged where they are sent to.
    Repair {
        base_offset: Offset,
        /// Up to where their sender had claimed that its log is compacted.
        compacted: Offset,
        /// How much of the frame's payload is theirs, in bytes.
        payload_len: u32,
    },
}

/// Records that a peer sent, checked: whole batches, right checksums, contiguous offsets.
#[derive(Debug)]
pub(super) struct Records {
    pub(super) base_offset: Offset,
    pub(super) next_offset: Offset,
    pub(super) epochs: Vec<(Epoch, Offset)>,
    pub(super) batches: Vec<Bytes>,
}

/// One message, ready for the partition that it is about.
#[derive(Debug)]
pub(super) enum Heard {
    Message(Message),
    OfProducers(OfProducers),
    Records(RecordsHead, Records),
    /// With it, up to where their sender had claimed that its log is compacted.
    Repair(Records, Offset),
}

/// Reads a frame of a link; an error is a reason to end the link.
pub(super) fn open(frame: Frame) -> Result<Vec<(u64, Heard)>, String> {
    let envelopes: Vec<Envelope> =
        quorate_wire::decode(&frame.body).map_err(|invalid| invalid.to_string())?;
    let mut payload = frame.payload.freeze();
    let received = payload.len();
    let mut heard = Vec::with_capacity(envelopes.len());
    for Envelope { partition, said } in envelopes {
        let said = match said {
            Said::Message(message) => Heard::Message(message),
            Said::OfProducers(said) => Heard::OfProducers(said),
            Said::Records { head, payload_len } => {
                let batches = take(&mut payload, partition, payload_len)?;
                let records = Records::check(partition, head.base_offset, batches, received)?;
                Heard::Records(head, records)
            }
            Said::Repair {
                base_offset,
                compacted,
                payload_len,
            } => {
                let batches = take(&mut payload, partition, payload_len)?;
                let records = Records::check(partition, base_offset, batches, received)?;
                Heard::Repair(records, compacted)
            }
        };
        heard.push((partition, said));
    }
    Ok(heard)
}

fn take(payload: &mut Bytes, partition: u64, len: u32) -> Result<Bytes, String> {
    if len as usize > payload.len() {
        return Err(format!("the records of partition {partition} are cut off"));
    }
    Ok(payload.split_to(len as usize))
}

impl Records {
    /// Checks what stands in a frame whose whole payload has `received` bytes.
    fn check(
        partition: u64,
        base_offset: Offset,
        payload: Bytes,
        received: usize,
    ) -> Result<Self, String> {
        let is_most = payload.len() * 2 >= received;
        Self::check_batches(base_offset, payload, is_most)
            .map_err(|problem| format!("the records of partition {partition}: {problem}"))
    }

    fn check_batches(base_offset: Offset, payload: Bytes, is_most: bool) -> Result<Self, String> {
        let mut next_offset = base_offset;
        let (mut epochs, mut batches) = (Vec::new(), Vec::new());
        for batch in Batches::new(payload) {
            let (header, batch) = batch.map_err(|error| error.to_string())?;
            if header.batch_bytes > BATCH_BYTES_MAX || header.leader_epoch == 0 {
                // Neither can have been taken by a leader that keeps the same rules.
                return Err(format!(
                    "a batch of {} bytes and of epoch {} is not one that a leader takes",
                    header.batch_bytes, header.leader_epoch
                ));
            }
            if header.base_offset != next_offset.0 {
                let base = header.base_offset;
                return Err(format!(
                    "offset {base} stands where {next_offset} should be"
                ));
            }
            epochs.push((Epoch(header.leader_epoch), next_offset));
            next_offset = Offset(header.next_offset());
            batches.push(keep(batch, is_most));
        }
        Ok(Self {
            base_offset,
            next_offset,
            epochs,
            batches,
        })
    }
}

/// A wish to send records: from where, and in which epoch it was wished.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wish {
    pub(super) to: NodeId,
    pub(super) epoch: Epoch,
    pub(super) from: Offset,
}
