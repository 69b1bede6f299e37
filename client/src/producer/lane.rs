//! The records on their way to one partition, in order.
//!
//! A record is first in the open batch, then in a sealed one. Sealing fixes what a batch contains
//! and which sequence numbers it bears; both stay as they are through all tries, because by them
//! the leader recognizes a batch that it has seen. A sealed batch leaves when it is acknowledged,
//! or when the lane gives up and fails everything in it: a record is never written after one that
//! was sent before it has failed.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use quorate_batch::{BatchBuilder, Producer as Identity};
use quorate_platform::Instant;
use quorate_wire::BATCH_BYTES_MAX;

use super::delivery::{Delivery, Outcome};
use crate::signal::Signal;
use crate::{Certainty, Error, ProduceError, Record};

#[derive(Debug)]
pub(super) struct Lane {
    pub(super) topic: Rc<str>,
    pub(super) index: u32,
    /// What the leader recognizes retries by; `None` if it is not to.
    producer_id: Option<i64>,
    state: RefCell<State>,
    /// There is something to send that was not there before.
    pub(super) filled: Signal,
}

#[derive(Debug, Default)]
struct State {
    open: Option<OpenBatch>,
    /// In the order of their sequences, the oldest first.
    sealed: VecDeque<Batch>,
    next_sequence: i32,
    closed: Option<String>,
}

#[derive(Debug)]
struct OpenBatch {
    builder: BatchBuilder,
    opened_at: Instant,
    outcome: Rc<Outcome>,
    buffered: usize,
    /// Somebody waits for it: do not linger.
    is_due: bool,
}

/// A batch as it is sent, again and again if need be.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) bytes: Bytes,
    pub(super) count: u32,
    pub(super) base_sequence: i32,
    pub(super) opened_at: Instant,
    pub(super) outcome: Rc<Outcome>,
    /// What its records take of the producer's buffer.
    pub(super) buffered: usize,
    /// The offset of its first record, once it is acknowledged.
    pub(super) acknowledged: Option<Option<u64>>,
    /// A try is under way.
    pub(super) is_under_way: bool,
    /// An earlier try may have succeeded.
    pub(super) is_uncertain: bool,
}

impl Lane {
    pub(super) fn new(topic: Rc<str>, index: u32, producer_id: Option<i64>) -> Self {
        let (state, filled) = (RefCell::default(), Signal::default());
        Self {
            topic,
            index,
            producer_id,
            state,
            filled,
        }
    }

    /// Puts a record behind all others. `batch_bytes` is where a batch is full.
    pub(super) fn push(
        &self,
        record: &Record,
        timestamp: i64,
        now: Instant,
        batch_bytes: usize,
        buffered: usize,
    ) -> Result<Delivery, Error> {
        let (key, value) = (record.key.as_deref(), record.value.as_deref());
        let headers: Vec<(&str, Option<&[u8]>)> = record
            .headers
            .iter()
            .map(|header| (header.key.as_str(), header.value.as_deref()))
            .collect();
        let mut state = self.state.borrow_mut();
        if let Some(reason) = &state.closed {
            return Err(self.error(None, Certainty::Definite, reason.clone()).into());
        }
        let is_full = |open: &OpenBatch| {
            open.builder.bytes_with(timestamp, key, value, &headers) > batch_bytes
        };
        if state.open.as_ref().is_some_and(is_full) {
            self.seal(&mut state);
        }
        let mut open = state.open.take().unwrap_or_else(|| OpenBatch {
            builder: BatchBuilder::new(BATCH_BYTES_MAX),
            opened_at: now,
            outcome: Rc::default(),
            buffered: 0,
            is_due: false,
        });
        let place = open.builder.records_count() as u64;
        let pushed = open.builder.push(timestamp, key, value, &headers);
        if let Err(full) = pushed {
            // Batches are sealed well below the limit, so the record found an empty one.
            let (bytes, bytes_max) = (full.bytes, full.bytes_max);
            return Err(Error::RecordTooLarge { bytes, bytes_max });
        }
        open.buffered += buffered;
        open.is_due |= open.builder.bytes() >= batch_bytes;
        let delivery = Delivery::new(open.outcome.clone(), self.index, place);
        state.open = Some(open);
        drop(state);
        self.filled.notify();
        Ok(delivery)
    }

    /// Whether a record of about `bytes` would join others in the open batch.
    pub(super) fn has_room_for(&self, bytes: usize, batch_bytes: usize) -> bool {
        let state = self.state.borrow();
        let has_room = |open: &OpenBatch| open.builder.bytes() + bytes <= batch_bytes;
        state.open.as_ref().is_some_and(has_room)
    }

    /// Lets the open batch go without waiting for more records. Gives the outcome of the last one.
    pub(super) fn flush(&self) -> Option<Rc<Outcome>> {
        let mut state = self.state.borrow_mut();
        let last = match &mut state.open {
            Some(open) => {
                open.is_due = true;
                Some(open.outcome.clone())
            }
            None => state.sealed.back().map(|batch| batch.outcome.clone()),
        };
        drop(state);
        self.filled.notify();
        last
    }

    pub(super) fn is_empty(&self) -> bool {
        let state = self.state.borrow();
        state.open.is_none() && state.sealed.is_empty()
    }

    /// The place of the first batch from `sent` on that is not acknowledged yet.
    pub(super) fn skip_acknowledged(&self, sent: usize) -> usize {
        let state = self.state.borrow();
        let behind = state.sealed.iter().skip(sent);
        sent + behind
            .take_while(|batch| batch.acknowledged.is_some())
            .count()
    }

    /// Whether there is a batch behind the first `sent` ones that may go now.
    pub(super) fn may_send(&self, sent: usize, now: Instant, linger: Duration) -> bool {
        let state = self.state.borrow();
        let may_open_go = |open: &OpenBatch| {
            // With nothing under way there is nothing to gain by waiting.
            sent == 0 || open.is_due || now.since(open.opened_at) >= linger
        };
        sent < state.sealed.len() || state.open.as_ref().is_some_and(may_open_go)
    }

    /// The batch behind the first `sent` ones, sealed if it was not; now it is under way.
    pub(super) fn send_next(&self, sent: usize) -> (i32, Bytes) {
        let mut state = self.state.borrow_mut();
        if sent == state.sealed.len() {
            self.seal(&mut state);
        }
        let batch = &mut state.sealed[sent];
        batch.is_under_way = true;
        (batch.base_sequence, batch.bytes.clone())
    }

    /// Nobody waits any more for the outcomes of the tries under way: they stay unknown.
    pub(super) fn abandon_tries(&self) {
        for batch in &mut self.state.borrow_mut().sealed {
            batch.is_uncertain |= std::mem::take(&mut batch.is_under_way);
        }
    }

    /// When the open batch has lingered long enough.
    pub(super) fn linger_deadline(&self, linger: Duration) -> Option<Instant> {
        self.state
            .borrow()
            .open
            .as_ref()
            .map(|open| open.opened_at + linger)
    }

    /// When the oldest record was sent.
    pub(super) fn oldest(&self) -> Option<Instant> {
        let state = self.state.borrow();
        let sealed = state.sealed.front().map(|batch| batch.opened_at);
        sealed.or_else(|| state.open.as_ref().map(|open| open.opened_at))
    }

    /// Looks at, and changes, the sealed batch at `place`.
    pub(super) fn with_batch<T>(&self, place: usize, visit: impl FnOnce(&mut Batch) -> T) -> T {
        let mut state = self.state.borrow_mut();
        visit(
            state
                .sealed
                .get_mut(place)
                .expect("a place that was given out is not yet settled"),
        )
    }

    /// The place of the sealed batch that begins with this sequence number.
    pub(super) fn place_of(&self, base_sequence: i32) -> Option<usize> {
        let state = self.state.borrow();
        state
            .sealed
            .iter()
            .position(|batch| batch.base_sequence == base_sequence)
    }

    /// Takes the oldest batch away if it is acknowledged.
    pub(super) fn take_acknowledged(&self) -> Option<Batch> {
        let mut state = self.state.borrow_mut();
        state
            .sealed
            .front()
            .filter(|batch| batch.acknowledged.is_some())?;
        state.sealed.pop_front()
    }

    /// Takes everything away because the oldest batch cannot be written.
    ///
    /// If no try of any batch is uncertain, the leader has seen none of their sequence numbers
    /// and the lane goes on with the first of them. Otherwise nobody knows which number comes
    /// next, and whatever is sent later could end up before what is still on its way: the lane
    /// closes.
    pub(super) fn give_up(&self, is_fatal: bool, reason: &str) -> Vec<Batch> {
        let mut state = self.state.borrow_mut();
        if state.open.is_some() {
            self.seal(&mut state);
        }
        let failed: Vec<Batch> = state.sealed.drain(..).collect();
        if is_fatal || failed.iter().any(|batch| batch.is_uncertain) {
            state.closed = Some(format!(
                "the producer stopped writing to this partition, for it is not known what of the \
                 records before was written ({reason}); make a new producer to go on"
            ));
        } else if let Some(first) = failed.first() {
            state.next_sequence = first.base_sequence;
        }
        failed
    }

    pub(super) fn error(
        &self,
        leader: Option<u16>,
        certainty: Certainty,
        reason: String,
    ) -> ProduceError {
        let (topic, partition) = (self.topic.to_string(), self.index);
        ProduceError {
            topic,
            partition,
            leader,
            certainty,
            reason,
        }
    }

    fn seal(&self, state: &mut State) {
        let open = state.open.take().expect("only an open batch is sealed");
        let count = open.builder.records_count();
        let count = i32::try_from(count).expect("a batch of a megabyte has fewer records");
        let base_sequence = state.next_sequence;
        // After the greatest sequence number comes 0.
        state.next_sequence = base_sequence.wrapping_add(count) & i32::MAX;
        let identity = self.producer_id.map(|id| Identity {
            id,
            epoch: 0,
            base_sequence,
        });
        state.sealed.push_back(Batch {
            bytes: open.builder.finish(identity),
            count: count as u32,
            base_sequence,
            opened_at: open.opened_at,
            outcome: open.outcome,
            buffered: open.buffered,
            acknowledged: None,
            is_under_way: false,
            is_uncertain: false,
        });
    }
}
