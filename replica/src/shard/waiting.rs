use std::collections::VecDeque;

use quorate_wire::{Refusal, Response};

use super::connection::Reply;

/// The producers that wait until what they sent to one partition has come far enough.
///
/// Appends come in the order of their offsets, so each queue is in order; only the repetition of a
/// batch that is still on its way goes in between.
#[derive(Default)]
pub(super) struct Waiting {
    queue: VecDeque<Waiter>,
    bytes: usize,
}

/// One producer's batch that has been appended.
pub(super) struct Waiter {
    /// The offset that the batch got.
    pub(super) base_offset: u64,
    /// The batch has come far enough once everything below this has.
    pub(super) next_offset: u64,
    /// Its size.
    pub(super) bytes: usize,
    /// The way back to the producer.
    pub(super) reply: Reply,
}

impl Waiter {
    /// Tells the producer where its batch is.
    pub(super) fn acknowledge(self) {
        let base_offset = self.base_offset;
        self.reply.send(&Response::Produced { base_offset });
    }
}

impl Waiting {
    pub(super) fn push(&mut self, waiter: Waiter) {
        let before = |other: &Waiter| other.next_offset <= waiter.next_offset;
        self.bytes += waiter.bytes;
        if self.queue.back().is_none_or(before) {
            self.queue.push_back(waiter);
        } else {
            let place = self.queue.partition_point(before);
            self.queue.insert(place, waiter);
        }
    }

    /// Everything below `offset` has come far enough.
    pub(super) fn acknowledge(&mut self, offset: u64) {
        let count = self
            .queue
            .partition_point(|waiter| waiter.next_offset <= offset);
        for waiter in self.queue.drain(..count) {
            self.bytes -= waiter.bytes;
            waiter.acknowledge();
        }
    }

    /// What is still waited for will not be known here.
    pub(super) fn refuse_all(&mut self, refusal: &Refusal) {
        self.bytes = 0;
        for waiter in self.queue.drain(..) {
            waiter.reply.refuse(refusal.clone());
        }
    }

    /// Bytes of batches that are waited for.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }
}
