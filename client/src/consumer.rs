use std::marker::PhantomData;
use std::time::Duration;

use quorate_platform::Platform;

use crate::{ConsumedRecord, Error};

/// What a [`Consumer`] reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerConfig {
    /// The partitions by index; `None` reads all.
    pub partitions: Option<Vec<u32>>,
    /// Where to start in each partition.
    pub start: Start,
    /// Where to end.
    pub until: Until,
    /// How long a node holds back its answer while there is nothing new.
    pub wait: Duration,
    /// Bytes of record batches per response; a larger batch still comes, alone.
    pub fetch_bytes_max: u32,
    /// How long no leader may answer before followers are read, which may be a little behind.
    pub leader_patience: Duration,
}

impl Default for ConsumerConfig {
    fn default() -> Self {
        Self {
            partitions: None,
            start: Start::Beginning,
            until: Until::Forever,
            wait: Duration::from_secs(5),
            fetch_bytes_max: 1 << 20,
            leader_patience: Duration::from_secs(3),
        }
    }
}

/// Where to start reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// At the first record that is there.
    Beginning,
    /// Behind the last committed record.
    End,
    /// At this offset.
    Offset(u64),
}

/// Where to end reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// Never: wait for more.
    Forever,
    /// At the high watermark of each partition, as it was at the start.
    HighWatermark,
}

/// Reads records; in order per partition.
#[derive(Debug)]
pub struct Consumer<P: Platform> {
    platform: PhantomData<P>,
}

impl<P: Platform> Consumer<P> {
    /// The next record; `None` at the end ([`Until::HighWatermark`]).
    ///
    /// May be cancelled at any time without losing a record.
    pub async fn next(&mut self) -> Result<Option<ConsumedRecord>, Error> {
        todo!()
    }
}
