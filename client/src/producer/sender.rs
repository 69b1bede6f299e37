//! Sends the batches of one lane, in order, through whatever happens to the leader.
//!
//! The task works in rounds. A round begins by finding the leader, sends from the oldest
//! unacknowledged batch on, several at a time, and goes on as long as all goes well. At the first
//! trouble it sends nothing new, and waits until the outcomes of all tries under way are known, or
//! cannot be known because their connection is dead or the partition has another leader. Then a
//! new round resends everything that is not acknowledged, the oldest first. Nothing is duplicated
//! by that, because a leader recognizes a producer's last five batches by their sequence numbers,
//! and never more than five are under way; nothing is reordered, because a leader refuses a batch
//! whose predecessor it does not have.
//!
//! The first batch of all, and the first after trouble, goes alone until it is acknowledged. A
//! leader that has never heard of a producer takes any sequence number as the first, so a second
//! batch must not be able to arrive while the first may still be refused.

use std::rc::Rc;

use futures_util::future::LocalBoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt};
use futures_util::{FutureExt, select_biased};
use quorate_platform::{Instant, Platform};
use quorate_wire::{Acks, Code, Refusal, Request, Response};

use super::Shared;
use super::lane::Lane;
use crate::backoff::Backoff;
use crate::connection::Connection;
use crate::metadata::Leader;
use crate::pool::Use;
use crate::{Certainty, Error};

/// How often a gap in the sequence is taken for a leader's confusion rather than for a loss.
const OUT_OF_ORDER_TRIES_MAX: u32 = 3;

pub(super) struct Sender<P: Platform> {
    shared: Rc<Shared<P>>,
    lane: Rc<Lane>,
    /// Whom the lane writes to for good: a topic created again under its name is another one.
    partition: Option<u64>,
    leader: Option<Leader>,
    backoff: Backoff,
    last_reason: Option<String>,
    /// A node denied that the partition exists: the primary has to confirm that it does.
    must_confirm: bool,
    out_of_order_tries: u32,
    /// How many batches may be under way.
    window: usize,
}

/// Why a round ended.
enum Trouble {
    /// Another round may do better.
    Passing(String),
    /// The oldest batch cannot be written.
    Final(String),
    /// The same, and the producer must not write to this partition any more.
    Fatal(String),
    /// The oldest batch has run out of time.
    Expired,
}

/// A batch on its way, by its sequence; it comes back with an offset if there is one.
type Try = LocalBoxFuture<'static, (i32, Result<Option<u64>, Error>)>;

/// One round with one leader.
struct Round {
    /// How many of the sealed batches are sent in this round and not yet settled.
    sent: usize,
    tries: FuturesUnordered<Try>,
    trouble: Option<Trouble>,
    /// When the leader was last heard of, or last suspected.
    quiet_since: Instant,
}

impl<P: Platform> Sender<P> {
    pub(super) fn new(shared: Rc<Shared<P>>, lane: Rc<Lane>) -> Self {
        Self {
            shared,
            lane,
            partition: None,
            leader: None,
            backoff: Backoff::new(),
            last_reason: None,
            must_confirm: false,
            out_of_order_tries: 0,
            window: 1,
        }
    }

    /// Sends until the producer is dropped and nothing is left to send.
    pub(super) async fn run(mut self) {
        while self.has_records().await {
            match self.round().await {
                Ok(()) => {}
                Err(Trouble::Passing(reason)) => {
                    tracing::debug!(
                        topic = &*self.lane.topic,
                        partition = self.lane.index,
                        reason,
                        "retrying"
                    );
                    self.last_reason = Some(reason);
                    self.recover().await;
                }
                Err(Trouble::Final(reason)) => self.give_up(false, &reason),
                Err(Trouble::Fatal(reason)) => self.give_up(true, &reason),
                Err(Trouble::Expired) => {
                    let timeout = self.shared.config.delivery_timeout;
                    let last = self.last_reason.take();
                    let last = last.as_deref().unwrap_or("the leader does not answer");
                    self.give_up(
                        false,
                        &format!("not acknowledged within {timeout:?}: {last}"),
                    );
                }
            }
        }
    }

    async fn has_records(&self) -> bool {
        let ready = || {
            if !self.lane.is_empty() {
                return Some(true);
            }
            self.shared.is_dropped.get().then_some(false)
        };
        self.lane.filled.wait_until(ready).await
    }

    async fn round(&mut self) -> Result<(), Trouble> {
        let shared = self.shared.clone();
        let Some(left) = self.time_left() else {
            return Err(Trouble::Expired);
        };
        let route = shared
            .client
            .inner
            .platform
            .timeout(left, self.route())
            .await;
        let (leader, connection) = route.unwrap_or(Err(Trouble::Expired))?;
        let result = self.stream(&leader, &connection).await;
        self.lane.abandon_tries();
        if result.is_err() {
            self.window = 1;
        }
        result
    }

    /// Learns where the cluster has moved to; pauses if it has not.
    async fn recover(&mut self) {
        let shared = self.shared.clone();
        let inner = &shared.client.inner;
        let Some(left) = self.time_left() else { return };
        // If nobody answers, the next round says so.
        let _ = inner.platform.timeout(left, inner.metadata.refresh()).await;
        if self.leader == inner.metadata.leader(&self.lane.topic, self.lane.index) {
            let pause = self.backoff.next_pause(&inner.platform);
            inner.platform.sleep(pause.min(left)).await;
        }
    }

    fn time_left(&self) -> Option<std::time::Duration> {
        let deadline = self.lane.oldest()? + self.shared.config.delivery_timeout;
        let left = deadline.since(self.shared.client.inner.platform.now());
        (!left.is_zero()).then_some(left)
    }

    async fn route(&mut self) -> Result<(Leader, Rc<Connection>), Trouble> {
        let shared = self.shared.clone();
        let (inner, lane) = (&shared.client.inner, self.lane.clone());
        let mut leader = inner.metadata.leader(&lane.topic, lane.index);
        if self.must_confirm || leader.is_none() {
            inner
                .metadata
                .topic_at_primary(&lane.topic)
                .await
                .map_err(trouble_of)?;
            self.must_confirm = false;
            leader = inner.metadata.leader(&lane.topic, lane.index);
        }
        let Some(leader) = leader else {
            return Err(Trouble::Final(
                "the topic has no such partition any more".to_owned(),
            ));
        };
        if *self.partition.get_or_insert(leader.partition) != leader.partition {
            let reason = "the topic was deleted, and created again under its name";
            return Err(Trouble::Fatal(reason.to_owned()));
        }
        self.leader = Some(leader.clone());
        let address = inner.metadata.shard_address(leader.node, leader.partition);
        let address = address.map_err(trouble_of)?;
        let connection = inner
            .pool
            .get(address, Use::Produce)
            .await
            .map_err(trouble_of)?;
        Ok((leader, connection))
    }

    /// Sends to `leader` until there is nothing left or trouble comes.
    async fn stream(&mut self, leader: &Leader, connection: &Connection) -> Result<(), Trouble> {
        let shared = self.shared.clone();
        let (inner, linger) = (&shared.client.inner, shared.config.linger);
        let lane = self.lane.clone();
        let quiet_since = inner.platform.now();
        let tries = FuturesUnordered::new();
        let mut round = Round {
            sent: 0,
            tries,
            trouble: None,
            quiet_since,
        };
        loop {
            self.stream_send(&mut round, leader, connection);
            if round.tries.is_empty() {
                if let Some(trouble) = round.trouble {
                    return Err(trouble);
                }
                if lane.is_empty() {
                    return Ok(());
                }
            }
            let Some(left) = self.time_left() else {
                return Err(Trouble::Expired);
            };
            // Without room nothing can be sent, however long it has lingered: to wake up for that
            // would be to wake up for nothing, again and again.
            let may_send =
                round.trouble.is_none() && round.tries.len() < self.window && connection.has_room();
            let linger_at = lane.linger_deadline(linger).filter(|_| may_send);
            let sent = round.sent;
            let news = lane.filled.wait_until(|| {
                let now = inner.platform.now();
                let is_news =
                    lane.may_send(sent, now, linger) || lane.linger_deadline(linger) != linger_at;
                (may_send && is_news).then_some(())
            });
            let wake = self.stream_wake(&round, left, linger_at);
            let room = async {
                if !connection.has_room() {
                    connection.room().await;
                } else {
                    std::future::pending().await
                }
            };
            let moved = inner
                .metadata
                .leader_other_than(&lane.topic, lane.index, leader);
            let (mut news, mut room) = (news.fuse(), std::pin::pin!(room.fuse()));
            let mut moved = std::pin::pin!(moved.fuse());
            let mut wake = std::pin::pin!(inner.platform.sleep(wake).fuse());
            select_biased! {
                (sequence, outcome) = round.tries.select_next_some() => {
                    self.on_outcome(&mut round, sequence, outcome);
                }
                () = moved => {
                    let reason = "the leader was replaced while batches were under way";
                    return Err(Trouble::Passing(reason.to_owned()));
                }
                () = news => {}
                () = room => {}
                () = wake => self.on_wake(&mut round),
            }
        }
    }

    /// Sends as many batches as may be under way.
    fn stream_send(&self, round: &mut Round, leader: &Leader, connection: &Connection) {
        let inner = &self.shared.client.inner;
        let acks = self.shared.config.acks;
        let request = Request::Produce {
            partition: leader.partition,
            acks,
        };
        let now = inner.platform.now();
        round.sent = self.lane.skip_acknowledged(round.sent);
        while round.trouble.is_none()
            && round.tries.len() < self.window
            && connection.has_room()
            && self
                .lane
                .may_send(round.sent, now, self.shared.config.linger)
        {
            if round.tries.is_empty() {
                round.quiet_since = now;
            }
            let (sequence, bytes) = self.lane.send_next(round.sent);
            round.sent = self.lane.skip_acknowledged(round.sent + 1);
            let deadline = now + inner.config.request_timeout;
            let address = connection.address();
            round.tries.push(if acks == Acks::None {
                let written = connection.notify(&request, bytes, deadline);
                async move { (sequence, written.await.map(|()| None)) }.boxed_local()
            } else {
                let answer = connection.request(&request, bytes, deadline);
                async move {
                    let response = answer.await.map(|answer| answer.response);
                    let outcome = response.and_then(|response| match response {
                        Response::Produced { base_offset } => Ok(Some(base_offset)),
                        Response::Refused(refusal) => Err(Error::Refused {
                            what: format!("writing at {address}"),
                            refusal,
                        }),
                        other => Err(Error::unexpected(address, &other)),
                    });
                    (sequence, outcome)
                }
                .boxed_local()
            });
        }
    }

    /// How long the round may sleep before there is something to do without news.
    fn stream_wake(
        &self,
        round: &Round,
        left: std::time::Duration,
        linger_at: Option<Instant>,
    ) -> std::time::Duration {
        let inner = &self.shared.client.inner;
        let now = inner.platform.now();
        let mut wake = left;
        if let Some(linger_at) = linger_at {
            wake = wake.min(linger_at.since(now));
        }
        if !round.tries.is_empty() {
            let suspicion_at = round.quiet_since + inner.config.suspicion_timeout;
            wake = wake.min(suspicion_at.since(now));
        }
        wake
    }

    fn on_wake(&self, round: &mut Round) {
        let inner = &self.shared.client.inner;
        let now = inner.platform.now();
        let is_quiet = now.since(round.quiet_since) >= inner.config.suspicion_timeout;
        if is_quiet && !round.tries.is_empty() {
            round.quiet_since = now;
            inner.metadata.refresh_soon();
        }
    }

    fn on_outcome(
        &mut self,
        round: &mut Round,
        sequence: i32,
        outcome: Result<Option<u64>, Error>,
    ) {
        round.quiet_since = self.shared.client.inner.platform.now();
        let place = self
            .lane
            .place_of(sequence)
            .expect("a batch under way is not yet settled");
        self.lane
            .with_batch(place, |batch| batch.is_under_way = false);
        let error = match outcome {
            Ok(base_offset) => {
                self.lane
                    .with_batch(place, |batch| batch.acknowledged = Some(base_offset));
                self.window = match self.shared.config.acks {
                    Acks::Quorum | Acks::None => self.shared.config.in_flight_max,
                    // Without sequences, a batch that is sent again would come behind the next one.
                    Acks::Leader => 1,
                };
                // Batches may leave that were acknowledged in an earlier round, out of their turn.
                round.sent = round.sent.saturating_sub(self.settle_acknowledged());
                self.backoff.reset();
                self.last_reason = None;
                self.out_of_order_tries = 0;
                if base_offset.is_none() {
                    // A leader that is not asked for answers does not say when it leads no more.
                    self.shared.client.inner.metadata.refresh_soon();
                }
                return;
            }
            Err(error) => error,
        };
        if error.certainty() == Certainty::Indefinite {
            self.lane
                .with_batch(place, |batch| batch.is_uncertain = true);
        }
        let trouble = self.classify(error, place == 0);
        // Only the oldest batch is judged. Another one may have failed because of those before it,
        // and gets its own judgement when it is the oldest.
        let trouble = match trouble {
            Trouble::Final(reason) | Trouble::Fatal(reason) if place > 0 => {
                Trouble::Passing(reason)
            }
            trouble => trouble,
        };
        if place == 0 || round.trouble.is_none() {
            round.trouble = Some(trouble);
        }
    }

    fn classify(&mut self, error: Error, is_oldest: bool) -> Trouble {
        let Error::Refused { refusal, .. } = &error else {
            return trouble_of(error);
        };
        let Refusal {
            code,
            detail,
            instead,
        } = refusal;
        self.shared.client.inner.metadata.prefer(instead.as_deref());
        match code {
            Code::UnknownTopic | Code::UnknownPartition => {
                self.must_confirm = true;
                Trouble::Passing(detail.clone())
            }
            Code::CorruptBatch => Trouble::Passing(detail.clone()),
            Code::OutOfOrderSequence if self.out_of_order_tries < OUT_OF_ORDER_TRIES_MAX => {
                self.out_of_order_tries += u32::from(is_oldest);
                Trouble::Passing(detail.clone())
            }
            Code::OutOfOrderSequence | Code::FencedProducer => Trouble::Fatal(detail.clone()),
            _ => trouble_of(error),
        }
    }

    /// Lets go of the batches that are acknowledged, in order; gives how many.
    fn settle_acknowledged(&self) -> usize {
        let mut settled = 0;
        while let Some(batch) = self.lane.take_acknowledged() {
            settled += 1;
            self.shared.on_acknowledged(&self.lane, batch);
        }
        settled
    }

    fn give_up(&mut self, is_fatal: bool, reason: &str) {
        let leader = self.leader.as_ref().map(|leader| leader.node);
        for batch in self.lane.give_up(is_fatal, reason) {
            let certainty = if batch.is_uncertain {
                Certainty::Indefinite
            } else {
                Certainty::Definite
            };
            let error = self.lane.error(leader, certainty, reason.to_owned());
            self.shared.on_failed(batch, error);
        }
        self.backoff.reset();
        self.out_of_order_tries = 0;
    }
}

fn trouble_of(error: Error) -> Trouble {
    let reason = match &error {
        Error::Refused { refusal, .. } => refusal.detail.clone(),
        error => error.to_string(),
    };
    if error.is_retriable() {
        Trouble::Passing(reason)
    } else {
        Trouble::Final(reason)
    }
}
