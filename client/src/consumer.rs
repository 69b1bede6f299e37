mod fetcher;
mod inbox;

use std::collections::BTreeSet;
use std::marker::PhantomData;
use std::rc::Rc;
use std::time::Duration;

use futures_util::future::try_join_all;
use quorate_batch::Records;
use quorate_platform::Platform;
use quorate_wire::{PartitionInfo, TopicInfo};

use fetcher::{Fetcher, Source};
use inbox::{Fetched, Inbox, Item};

use crate::{Client, ConsumedRecord, Error, Header, Offsets};

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
            wait: Duration::from_secs(2),
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
    /// At the first record with this timestamp or a later one, in milliseconds since 1970; behind
    /// the last committed record if there is none. Of a compressed batch at its first record.
    Time(i64),
}

/// Where to end reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// Never: wait for more.
    Forever,
    /// At the high watermark of each partition, as it was at the start.
    HighWatermark,
}

/// Reads committed records: every one once, in order per partition, their checksums verified.
///
/// Each partition is read one response ahead, so at most about
/// [`ConsumerConfig::fetch_bytes_max`] bytes per partition wait here.
pub struct Consumer<P: Platform> {
    platform: PhantomData<P>,
    inbox: Rc<Inbox>,
    topic: String,
    /// Partitions whose fetchers have not ended.
    running: BTreeSet<u32>,
    current: Option<Current>,
}

/// The response that is being given out.
struct Current {
    partition: u32,
    fetched: Fetched,
    records: Option<Records>,
}

impl<P: Platform> Consumer<P> {
    pub(crate) async fn open(
        client: Client<P>,
        topic: &str,
        config: ConsumerConfig,
    ) -> Result<Self, Error> {
        let info = client.inner.metadata.topic(topic).await?;
        let partitions = chosen(&info, config.partitions.as_deref())?;
        let offsets = try_join_all(partitions.iter().map(async |partition| {
            client
                .inner
                .offsets(topic, partition.index, config.leader_patience)
                .await
        }));
        let offsets = offsets.await?;
        let inbox = Rc::new(Inbox::default());
        let mut fetchers = Vec::new();
        let positions = partitions.iter().zip(&offsets);
        let positions = try_join_all(positions.map(async |(partition, offsets)| {
            position(&client, topic, partition.index, config.start, *offsets).await
        }));
        let positions = positions.await?;
        for ((partition, offsets), position) in partitions.iter().zip(offsets).zip(positions) {
            let until = match config.until {
                Until::Forever => u64::MAX,
                Until::HighWatermark => offsets.high_watermark,
            };
            fetchers.push(Fetcher {
                client: client.clone(),
                topic: topic.to_owned(),
                index: partition.index,
                partition: partition.id,
                config: config.clone(),
                inbox: inbox.clone(),
                position,
                until,
                source: Source::new(),
            });
        }
        let running = fetchers.iter().map(|fetcher| fetcher.index).collect();
        for fetcher in fetchers {
            client.inner.platform.spawn(fetcher.run());
        }
        let (platform, topic) = (PhantomData, topic.to_owned());
        Ok(Self {
            platform,
            inbox,
            topic,
            running,
            current: None,
        })
    }

    /// The next record; `None` at the end ([`Until::HighWatermark`]).
    ///
    /// May be cancelled at any time without losing a record. After [`Error::Deadline`], which
    /// says that no replica of a partition has answered for
    /// [`operation_timeout`](crate::ClientConfig::operation_timeout), the consumer goes on trying
    /// and may be asked again. After any other error the partition that it names gives nothing
    /// more.
    pub async fn next(&mut self) -> Result<Option<ConsumedRecord>, Error> {
        loop {
            match self.next_of_current() {
                Some(Ok(record)) => return Ok(Some(record)),
                Some(Err(error)) => return Err(error),
                None => {}
            }
            if self.running.is_empty() {
                return Ok(None);
            }
            let (partition, item) = self.inbox.take().await;
            if !self.running.contains(&partition) {
                continue;
            }
            match item {
                Item::Fetched(fetched) => {
                    self.current = Some(Current {
                        partition,
                        fetched,
                        records: None,
                    });
                }
                Item::Trouble(error) => return Err(error),
                Item::End(reason) => {
                    self.running.remove(&partition);
                    if let Some(error) = reason {
                        return Err(error);
                    }
                }
            }
        }
    }

    /// The next record of the response in hand; `None` behind its last one.
    fn next_of_current(&mut self) -> Option<Result<ConsumedRecord, Error>> {
        let current = self.current.as_mut()?;
        let reason = match current.next() {
            Some(Ok(record)) => return Some(Ok(record)),
            Some(Err(reason)) => reason,
            None => {
                self.current = None;
                return None;
            }
        };
        // What follows in this partition is not given out: it would leave a gap unnoticed.
        let (topic, partition) = (self.topic.clone(), current.partition);
        let (offset, address) = (current.fetched.from, current.fetched.address);
        self.running.remove(&partition);
        self.current = None;
        Some(Err(Error::CorruptRecords {
            topic,
            partition,
            offset,
            address,
            reason,
        }))
    }
}

impl Current {
    fn next(&mut self) -> Option<Result<ConsumedRecord, String>> {
        loop {
            if self.records.is_none() {
                let batch = self.fetched.batches.pop_front()?;
                match quorate_batch::records(&batch) {
                    Ok(records) => self.records = Some(records),
                    Err(error) => return Some(Err(error.to_string())),
                }
            }
            let record = match self.records.as_mut().and_then(Iterator::next) {
                Some(Ok(record)) => record,
                Some(Err(error)) => return Some(Err(error.to_string())),
                None => {
                    self.records = None;
                    continue;
                }
            };
            // Nodes send whole batches: the first may begin before what was asked for.
            if (self.fetched.from..self.fetched.until).contains(&record.offset) {
                return Some(Ok(consumed(self.partition, record)));
            }
        }
    }
}

fn consumed(partition: u32, record: quorate_batch::Record) -> ConsumedRecord {
    let header = |header: quorate_batch::RecordHeader| Header {
        key: String::from_utf8_lossy(&header.key).into_owned(),
        value: header.value,
    };
    ConsumedRecord {
        partition,
        offset: record.offset,
        timestamp: record.timestamp,
        key: record.key,
        value: record.value,
        headers: record.headers.into_iter().map(header).collect(),
    }
}

fn chosen<'a>(
    topic: &'a TopicInfo,
    partitions: Option<&[u32]>,
) -> Result<Vec<&'a PartitionInfo>, Error> {
    let Some(indexes) = partitions else {
        return Ok(topic.partitions.iter().collect());
    };
    let indexes: BTreeSet<u32> = indexes.iter().copied().collect();
    let partition = |index| {
        topic.partition(index).map_err(|refusal| {
            let what = format!("reading topic \"{}\"", topic.name.escape_debug());
            Error::Refused { what, refusal }
        })
    };
    indexes.into_iter().map(partition).collect()
}

async fn position<P: Platform>(
    client: &Client<P>,
    topic: &str,
    partition: u32,
    start: Start,
    offsets: Offsets,
) -> Result<u64, Error> {
    let Offsets {
        log_start,
        high_watermark,
    } = offsets;
    match start {
        Start::Beginning => Ok(log_start),
        Start::End => Ok(high_watermark),
        Start::Time(timestamp) => {
            let since = client.inner.since(topic, partition, timestamp).await?;
            Ok(since.offset)
        }
        Start::Offset(offset) if (log_start..=high_watermark).contains(&offset) => Ok(offset),
        Start::Offset(offset) => {
            let topic = topic.to_owned();
            Err(Error::OffsetOutOfRange {
                topic,
                partition,
                offset,
                log_start,
                high_watermark,
            })
        }
    }
}

impl<P: Platform> Drop for Consumer<P> {
    fn drop(&mut self) {
        self.inbox.close();
    }
}

impl<P: Platform> std::fmt::Debug for Consumer<P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { topic, running, .. } = self;
        f.debug_struct("Consumer")
            .field("topic", topic)
            .field("running", running)
            .finish()
    }
}
