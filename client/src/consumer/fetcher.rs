//! Reads one partition ahead of the application, one response at a time.
//!
//! A fetch is a long poll: the node holds it while there is nothing new. The leader is asked, and
//! followed when it changes. While no leader has answered for some time, the other replicas are
//! asked in turn, for what is committed can be read from any of them, until there is a new leader.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{FutureExt, select_biased};
use quorate_batch::Batches;
use quorate_platform::{Instant, Platform};
use quorate_wire::{Code, Refusal, Request, Response};

use super::ConsumerConfig;
use super::inbox::{Fetched, Inbox, Item};
use crate::backoff::Backoff;
use crate::connection::Answer;
use crate::metadata::Leader;
use crate::pool::Use;
use crate::{Certainty, Client, Error};

/// How often records that fail their checks are fetched again, for they may have been damaged on
/// the way.
const CORRUPT_TRIES_MAX: u32 = 3;

pub(super) struct Fetcher<P: Platform> {
    pub(super) client: Client<P>,
    pub(super) topic: String,
    pub(super) index: u32,
    pub(super) partition: u64,
    pub(super) config: ConsumerConfig,
    pub(super) inbox: Rc<Inbox>,
    /// The next offset to read.
    pub(super) position: u64,
    /// One past the last offset to read.
    pub(super) until: u64,
    pub(super) source: Source,
}

/// Whom a fetcher asks, and how that went.
pub(super) struct Source {
    backoff: Backoff,
    /// Since when no answer came, or since the last time that the application was told so.
    silent_since: Option<Instant>,
    /// Since when the leader of this epoch did not answer.
    leader_lost: Option<(u32, Instant)>,
    /// Which of the other replicas comes next.
    turn: usize,
    corrupt_tries: u32,
}

/// One node to ask.
struct Replica {
    leader: Leader,
    node: u16,
    is_follower: bool,
}

impl Source {
    pub(super) fn new() -> Self {
        let backoff = Backoff::new();
        Self {
            backoff,
            silent_since: None,
            leader_lost: None,
            turn: 0,
            corrupt_tries: 0,
        }
    }
}

impl<P: Platform> Fetcher<P> {
    /// Reads until the end, or until nobody is interested any more.
    pub(super) async fn run(mut self) {
        let inbox = self.inbox.clone();
        while self.position < self.until {
            let fetched = self.fetch();
            let item = {
                let mut fetched = std::pin::pin!(fetched.fuse());
                let mut closed = std::pin::pin!(inbox.closed().fuse());
                select_biased! {
                    () = closed => return,
                    fetched = fetched => fetched,
                }
            };
            let item = match item {
                Ok(Some(fetched)) => Item::Fetched(fetched),
                Ok(None) => continue,
                Err(failure) => match self.on_failure(failure).await {
                    Some(item) => item,
                    None => continue,
                },
            };
            let is_end = matches!(item, Item::End(_));
            if !inbox.put(self.index, item).await || is_end {
                return;
            }
        }
        inbox.put(self.index, Item::End(None)).await;
    }

    /// One try. `None` if there was nothing new.
    async fn fetch(&mut self) -> Result<Option<Fetched>, Error> {
        let replica = self.choose().await?;
        let inner = self.client.inner.clone();
        let address = inner.metadata.shard_address(replica.node, self.partition)?;
        let asked_at = inner.platform.now();
        let outcome = self.ask(&replica, address).await;
        let outcome = outcome.and_then(|answer| self.accept(address, answer));
        if replica.is_follower || matches!(outcome, Ok(None)) {
            // Somebody may lead again; and a leader that has nothing new may have been replaced
            // without having heard of it.
            inner.metadata.refresh_soon();
        }
        match &outcome {
            Ok(fetched) => {
                if replica.is_follower && fetched.is_none() {
                    // Another one may have heard of more.
                    self.source.turn += 1;
                }
                self.source.silent_since = None;
                self.source.corrupt_tries = 0;
                self.source.backoff.reset();
                if !replica.is_follower {
                    self.source.leader_lost = None;
                }
            }
            Err(_) if replica.is_follower => self.source.turn += 1,
            Err(_) => {
                self.source
                    .leader_lost
                    .get_or_insert((replica.leader.epoch, asked_at));
            }
        }
        // What a follower says of the end of the log, or of its part in it, is not the last word.
        match outcome {
            Err(Error::Refused { what, mut refusal }) if replica.is_follower => {
                refusal.code = Code::Unavailable;
                Err(Error::Refused { what, refusal })
            }
            outcome => outcome,
        }
    }

    /// The leader, unless it has been lost for too long.
    async fn choose(&mut self) -> Result<Replica, Error> {
        let metadata = &self.client.inner.metadata;
        let topic = match metadata.known_topic(&self.topic) {
            Some(topic) => topic,
            None => metadata.topic_at_primary(&self.topic).await?,
        };
        let info = topic.partitions.get(self.index as usize);
        let info = info
            .filter(|info| info.id == self.partition)
            .ok_or_else(|| {
                let detail = "the topic was deleted, and created again under its name";
                let refusal = Refusal::new(Code::UnknownPartition, detail);
                Error::Refused {
                    what: self.what(),
                    refusal,
                }
            })?;
        let (partition, node, epoch) = (info.id, info.leader, info.epoch);
        let leader = Leader {
            partition,
            node,
            epoch,
        };
        let now = self.client.inner.platform.now();
        let patience = self.config.leader_patience;
        let is_lost = |(lost, since): (u32, Instant)| lost == epoch && now.since(since) >= patience;
        let mut others = info.readers();
        others.retain(|reader| *reader != node);
        if self
            .source
            .leader_lost
            .is_some_and(|(lost, _)| lost != epoch)
        {
            self.source.leader_lost = None;
        }
        if self.source.leader_lost.is_some_and(is_lost) && !others.is_empty() {
            let node = others[self.source.turn % others.len()];
            return Ok(Replica {
                leader,
                node,
                is_follower: true,
            });
        }
        Ok(Replica {
            leader,
            node,
            is_follower: false,
        })
    }

    async fn ask(&self, replica: &Replica, address: SocketAddr) -> Result<Answer, Error> {
        let inner = self.client.inner.clone();
        let connection = inner.pool.get(address, Use::Fetch).await?;
        connection.room().await;
        let wait = self.config.wait;
        let request = Request::Fetch {
            partition: self.partition,
            offset: self.position,
            bytes_max: self.config.fetch_bytes_max,
            wait_ms: u32::try_from(wait.as_millis()).unwrap_or(u32::MAX),
            from_follower: replica.is_follower,
        };
        let deadline = inner.platform.now() + wait + inner.config.request_timeout;
        let answer = connection.request(&request, Bytes::new(), deadline);
        let moved = inner
            .metadata
            .leader_other_than(&self.topic, self.index, &replica.leader);
        let late = wait + inner.config.suspicion_timeout;
        let silent = async {
            inner.platform.sleep(late).await;
            inner.metadata.refresh_soon();
            inner.platform.sleep(self.config.leader_patience).await;
        };
        let mut answer = std::pin::pin!(answer.fuse());
        let mut moved = std::pin::pin!(moved.fuse());
        let mut silent = std::pin::pin!(silent.fuse());
        let after = late + self.config.leader_patience;
        select_biased! {
            answer = answer => answer,
            () = moved => Err(Error::Disconnected {
                address,
                reason: "the partition has a new leader".to_owned(),
                sent: true,
            }),
            () = silent => Err(Error::Silent { address, after }),
        }
    }

    /// Checks what came, and moves on behind it.
    fn accept(&mut self, address: SocketAddr, answer: Answer) -> Result<Option<Fetched>, Error> {
        match &answer.response {
            Response::Fetched { .. } => {}
            Response::Refused(refusal) => {
                let what = self.what();
                return Err(Error::Refused {
                    what,
                    refusal: refusal.clone(),
                });
            }
            other => return Err(Error::unexpected(address, other)),
        }
        if answer.payload.is_empty() {
            return Ok(None);
        }
        let (batches, next) = verify(answer.payload, self.position).map_err(|reason| {
            let (topic, partition) = (self.topic.clone(), self.index);
            Error::CorruptRecords {
                topic,
                partition,
                offset: self.position,
                address,
                reason,
            }
        })?;
        let from = std::mem::replace(&mut self.position, next);
        Ok(Some(Fetched {
            batches,
            from,
            until: self.until,
            address,
        }))
    }

    /// Makes the best of it; gives what the application has to hear, if anything.
    async fn on_failure(&mut self, failure: Error) -> Option<Item> {
        let inner = self.client.inner.clone();
        let mut failure = failure;
        if let Error::Refused { refusal, .. } = &failure {
            inner.metadata.prefer(refusal.instead.as_deref());
            match refusal.code {
                Code::OffsetOutOfRange => failure = self.out_of_range(failure).await,
                Code::UnknownTopic | Code::UnknownPartition => {
                    // A node that has not heard of it yet is not the one to deny it.
                    failure = match inner.metadata.topic_at_primary(&self.topic).await {
                        Err(confirmed) => confirmed,
                        Ok(_) => match self.choose().await {
                            Err(gone) => gone,
                            Ok(_) => Error::Refused {
                                what: self.what(),
                                refusal: busy(refusal),
                            },
                        },
                    };
                }
                _ => {}
            }
        }
        if matches!(failure, Error::CorruptRecords { .. }) {
            self.source.corrupt_tries += 1;
            if self.source.corrupt_tries < CORRUPT_TRIES_MAX {
                return None;
            }
        }
        if !failure.is_retriable() {
            return Some(Item::End(Some(failure)));
        }
        tracing::debug!(topic = self.topic, partition = self.index, %failure, "fetching again");
        let before = inner.metadata.leader(&self.topic, self.index);
        // If nobody answers, the next try says so.
        let _ = inner.metadata.refresh().await;
        if before == inner.metadata.leader(&self.topic, self.index) {
            inner
                .platform
                .sleep(self.source.backoff.next_pause(&inner.platform))
                .await;
        }
        let now = inner.platform.now();
        let silence = now.since(*self.source.silent_since.get_or_insert(now));
        self.tell(silence, failure)
    }

    /// Whether it is time to tell the application that nobody answers.
    fn tell(&mut self, silence: Duration, failure: Error) -> Option<Item> {
        let after = self.client.inner.config.operation_timeout;
        if silence < after {
            return None;
        }
        self.source.silent_since = None;
        let (certainty, last) = (Certainty::Definite, Some(Box::new(failure)));
        Some(Item::Trouble(Error::Deadline {
            what: self.what(),
            after,
            certainty,
            last,
        }))
    }

    /// Says which offsets there are. A leader that has just taken over may know less of the end
    /// than its predecessor told: then the offset is there after all.
    async fn out_of_range(&self, refused: Error) -> Error {
        let patience = self.config.leader_patience;
        match self
            .client
            .inner
            .offsets(&self.topic, self.index, patience)
            .await
        {
            Ok(offsets)
                if !(offsets.log_start..=offsets.high_watermark).contains(&self.position) =>
            {
                Error::OffsetOutOfRange {
                    topic: self.topic.clone(),
                    partition: self.index,
                    offset: self.position,
                    log_start: offsets.log_start,
                    high_watermark: offsets.high_watermark,
                }
            }
            Ok(_) => match refused {
                Error::Refused { what, refusal } => Error::Refused {
                    what,
                    refusal: busy(&refusal),
                },
                other => other,
            },
            Err(error) => error,
        }
    }

    fn what(&self) -> String {
        let Self {
            topic,
            index,
            position,
            ..
        } = self;
        format!("reading topic \"{topic}\" partition {index} from offset {position}")
    }
}

/// The same refusal, but one that passes.
fn busy(refusal: &Refusal) -> Refusal {
    Refusal {
        code: Code::Unavailable,
        ..refusal.clone()
    }
}

/// The batches in `payload`, undamaged and without a gap from `position` on, and the offset behind
/// them.
fn verify(payload: Bytes, position: u64) -> Result<(VecDeque<Bytes>, u64), String> {
    let mut batches = VecDeque::new();
    let mut next = None;
    for batch in Batches::new(payload) {
        let (header, bytes) = batch.map_err(|error| error.to_string())?;
        let (base, end) = (header.base_offset, header.next_offset());
        match next {
            None if position < base || end <= position => {
                return Err(format!(
                    "the first batch holds {base} up to {end} (exclusive)"
                ));
            }
            Some(next) if next != base => {
                return Err(format!(
                    "after offset {next} (exclusive) comes a batch at {base}"
                ));
            }
            None | Some(_) => next = Some(end),
        }
        batches.push_back(bytes);
    }
    let next = next.ok_or_else(|| "there is no batch in it".to_owned())?;
    Ok((batches, next))
}
