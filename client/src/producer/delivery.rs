use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::ProduceError;
use crate::signal::Signal;

/// A batch that was acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acknowledged {
    /// The topic.
    pub topic: String,
    /// The partition's index.
    pub partition: u32,
    /// The offset of its first record; `None` with [`Acks::None`](crate::Acks::None).
    pub base_offset: Option<u64>,
    /// Its records.
    pub count: u32,
    /// Its size, in bytes.
    pub bytes: usize,
    /// From the sending of its first record to the acknowledgement.
    pub latency: Duration,
}

/// Where a record now stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ack {
    /// The partition's index.
    pub partition: u32,
    /// The record's offset; `None` with [`Acks::None`](crate::Acks::None).
    pub offset: Option<u64>,
}

/// Resolves when the record is acknowledged or has failed. May be dropped.
#[derive(Debug)]
pub struct Delivery {
    outcome: Rc<Outcome>,
    partition: u32,
    /// The record's place in its batch.
    place: u64,
    ticket: Option<u64>,
}

impl Delivery {
    pub(super) fn new(outcome: Rc<Outcome>, partition: u32, place: u64) -> Self {
        Self {
            outcome,
            partition,
            place,
            ticket: None,
        }
    }
}

impl Future for Delivery {
    type Output = Result<Ack, ProduceError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let (partition, place) = (this.partition, this.place);
        if let Some(result) = &*this.outcome.result.borrow() {
            let ack = |base: &Option<u64>| Ack {
                partition,
                offset: base.map(|base| base + place),
            };
            return Poll::Ready(result.as_ref().map(ack).map_err(|error| (**error).clone()));
        }
        this.outcome
            .settled
            .register(&mut this.ticket, context.waker());
        Poll::Pending
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        self.outcome.settled.forget(self.ticket);
    }
}

/// What came of a batch: the offset of its first record, if one is told, or why it failed.
pub(super) type BatchResult = Result<Option<u64>, Rc<ProduceError>>;

/// What became of a batch, for all who wait for one of its records.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    result: RefCell<Option<BatchResult>>,
    settled: Signal,
}

impl Outcome {
    pub(super) fn settle(&self, result: BatchResult) {
        *self.result.borrow_mut() = Some(result);
        self.settled.notify();
    }

    /// Waits until it is settled, either way.
    pub(super) async fn settled(&self) {
        self.settled
            .wait_until(|| self.result.borrow().is_some().then_some(()))
            .await;
    }
}
