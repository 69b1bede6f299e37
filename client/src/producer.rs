use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use quorate_platform::Platform;
use quorate_wire::Acks;

use crate::{Error, ProduceError, Record};

/// How a [`Producer`] batches, how much it keeps under way, and when it gives up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProducerConfig {
    /// When a record counts as acknowledged.
    ///
    /// With [`Acks::Quorum`] it is never lost again, and retries are recognized: nothing is
    /// written twice. With [`Acks::Leader`] it is lost if the leader fails, and a retry may write
    /// it twice. With [`Acks::None`] it counts as soon as it was handed to the network, is lost if
    /// anything fails, and its offset is not known.
    pub acks: Acks,
    /// A batch that has reached this many bytes is sent.
    pub batch_bytes: usize,
    /// A batch that is not full waits this long for more records while earlier ones are under
    /// way. With nothing under way it is sent at once.
    pub linger: Duration,
    /// Batches under way per partition, 1 to 5: a leader recognizes the last five.
    pub in_flight_max: usize,
    /// Time from sending a record to its acknowledgement, all retries included.
    pub delivery_timeout: Duration,
    /// Bytes of unacknowledged records; [`Producer::send`] waits while there is no room.
    pub buffer_bytes_max: usize,
}

impl Default for ProducerConfig {
    fn default() -> Self {
        Self {
            acks: Acks::Quorum,
            batch_bytes: 64 << 10,
            linger: Duration::from_millis(5),
            in_flight_max: 5,
            delivery_timeout: Duration::from_secs(30),
            buffer_bytes_max: 32 << 20,
        }
    }
}

/// Writes records: batched, pipelined, each once, in the order of sending per partition.
#[derive(Clone, Debug)]
pub struct Producer<P: Platform> {
    platform: PhantomData<P>,
}

impl<P: Platform> Producer<P> {
    /// Takes a record on its way to the partition that its key chooses; without a key to some
    /// partition, changing with every batch. Waits while the buffer is full.
    ///
    /// The delivery need not be awaited: see [`Producer::flush`].
    pub async fn send(&self, topic: &str, record: Record) -> Result<Delivery, Error> {
        let _ = (topic, record);
        todo!()
    }

    /// Like [`Producer::send`], to the partition of this index.
    pub async fn send_to(
        &self,
        topic: &str,
        partition: u32,
        record: Record,
    ) -> Result<Delivery, Error> {
        let _ = (topic, partition, record);
        todo!()
    }

    /// Sends what is still being batched and waits until every record sent so far is acknowledged
    /// or has failed. Gives the first failure since the last flush.
    pub async fn flush(&self) -> Result<(), ProduceError> {
        todo!()
    }

    /// Calls `listener` for every acknowledged batch, in order per partition. One listener; a
    /// later one replaces it.
    pub fn on_acknowledged(&self, listener: impl FnMut(Acknowledged) + 'static) {
        let _ = listener;
        todo!()
    }

    /// Bytes of records that are not yet acknowledged.
    pub fn buffered_bytes(&self) -> usize {
        todo!()
    }
}

/// A batch that was acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acknowledged {
    /// The topic.
    pub topic: String,
    /// The partition's index.
    pub partition: u32,
    /// The offset of its first record; `None` with [`Acks::None`].
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
    /// The record's offset; `None` with [`Acks::None`].
    pub offset: Option<u64>,
}

/// Resolves when the record is acknowledged or has failed. May be dropped.
#[derive(Debug)]
pub struct Delivery {}

impl Future for Delivery {
    type Output = Result<Ack, ProduceError>;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        todo!()
    }
}
