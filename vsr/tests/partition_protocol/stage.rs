//! What the stories share: a replica from given facts, and short words for long events.

use quorate_vsr::partition::{
    Ack, Adopt, Effect, EpochHistory, Event, Facts, Marks, Message, Promise, RecordsHead, Replica,
    Timer,
};
use quorate_vsr::{Epoch, NodeId, Offset};

pub(crate) const A: NodeId = NodeId(1);
pub(crate) const B: NodeId = NodeId(2);
pub(crate) const C: NodeId = NodeId(3);
pub(crate) const D: NodeId = NodeId(4);
pub(crate) const E: NodeId = NodeId(5);

pub(crate) fn history(starts: &[(u32, u64)]) -> EpochHistory {
    let starts = starts
        .iter()
        .map(|&(epoch, offset)| (Epoch(epoch), Offset(offset)));
    EpochHistory::from_starts(starts.collect()).expect("the starts increase")
}

pub(crate) fn facts(promised: u32, log_epoch: u32, high_watermark: u64) -> Facts {
    Facts {
        promised: Epoch(promised),
        log_epoch: Epoch(log_epoch),
        high_watermark: Offset(high_watermark),
        ..Facts::default()
    }
}

/// A replica with its disk, which does what it is told when it is told to.
pub(crate) struct Actor {
    pub(crate) replica: Replica,
    /// What the disk has been told and has not confirmed.
    facts: Option<Facts>,
}

impl Actor {
    pub(crate) fn new(me: NodeId) -> Self {
        Self::restarted(me, Facts::default(), 0, &[])
    }

    pub(crate) fn restarted(me: NodeId, facts: Facts, next: u64, starts: &[(u32, u64)]) -> Self {
        let replica = Replica::new(me, facts, Offset(next), history(starts));
        let replica = replica.expect("log and facts belong together");
        Self {
            replica,
            facts: None,
        }
    }

    /// A leader of epoch 1 among three, open, with an empty log and both followers at its side.
    pub(crate) fn leader() -> Self {
        let mut leader = Self::new(A);
        leader.assign(1, A);
        leader.facts_durable();
        leader.hear(B, promise(1, 0, 0, &[]));
        assert!(
            leader
                .facts_durable()
                .contains(&Effect::Opened { epoch: Epoch(1) })
        );
        for follower in [B, C] {
            leader.hear(
                follower,
                Message::Ack(Ack {
                    adopted: true,
                    ..ack(1, 0, 0)
                }),
            );
        }
        leader
    }

    pub(crate) fn step(&mut self, event: Event) -> Vec<Effect> {
        let mut effects = Vec::new();
        self.replica.step(event, &mut effects);
        for effect in &effects {
            if let Effect::PersistFacts(facts) = effect {
                self.facts = Some(*facts);
            }
        }
        effects
    }

    pub(crate) fn assign(&mut self, epoch: u32, leader: NodeId) -> Vec<Effect> {
        self.step(Event::Assign {
            epoch: Epoch(epoch),
            leader,
            voters: vec![A, B, C],
            previous: Vec::new(),
            learners: Vec::new(),
        })
    }

    /// A change of voters is under way: some are to become others, or learners to become voters.
    pub(crate) fn assign_change(
        &mut self,
        epoch: u32,
        leader: NodeId,
        (voters, previous, learners): (&[NodeId], &[NodeId], &[NodeId]),
    ) -> Vec<Effect> {
        self.step(Event::Assign {
            epoch: Epoch(epoch),
            leader,
            voters: voters.to_vec(),
            previous: previous.to_vec(),
            learners: learners.to_vec(),
        })
    }

    pub(crate) fn hear(&mut self, from: NodeId, message: Message) -> Vec<Effect> {
        self.step(Event::Message { from, message })
    }

    pub(crate) fn facts_durable(&mut self) -> Vec<Effect> {
        let facts = self.facts.take().expect("facts are on their way to disk");
        self.step(Event::FactsDurable(facts))
    }

    pub(crate) fn log_durable(&mut self, next: u64) -> Vec<Effect> {
        self.step(Event::LogDurable {
            next_offset: Offset(next),
        })
    }

    pub(crate) fn timeout(&mut self, timer: Timer) -> Vec<Effect> {
        self.step(Event::Timeout(timer))
    }

    /// One batch of `epoch` from `base` to `next`, sent in `epoch`.
    pub(crate) fn records(
        &mut self,
        from: NodeId,
        epoch: u32,
        base: u64,
        next: u64,
        high_watermark: u64,
    ) -> Vec<Effect> {
        self.step(Event::Records {
            from,
            head: head(epoch, base, high_watermark),
            next_offset: Offset(next),
            epochs: vec![(Epoch(epoch), Offset(base))],
        })
    }

    /// One batch that `of` wrote, from `base` to `next`, sent in `epoch`.
    pub(crate) fn records_of(
        &mut self,
        from: NodeId,
        epoch: u32,
        of: u32,
        base: u64,
        next: u64,
    ) -> Vec<Effect> {
        self.step(Event::Records {
            from,
            head: head(epoch, base, 0),
            next_offset: Offset(next),
            epochs: vec![(Epoch(of), Offset(base))],
        })
    }

    pub(crate) fn append(&mut self, count: u32) -> Vec<Effect> {
        let mut effects = Vec::new();
        self.replica
            .append(count, &mut effects)
            .expect("the leader is open");
        effects
    }

    /// The pump serves the wish of this replica for `to`, up to `next`.
    pub(crate) fn send_records(&mut self, to: NodeId, from: u64, next: u64) -> Vec<Effect> {
        let epoch = self.replica.epoch();
        let head = self
            .replica
            .records_head(to, epoch, Offset(from))
            .expect("it is wished for");
        self.step(Event::RecordsSent {
            to,
            head,
            next_offset: Offset(next),
        })
    }
}

pub(crate) fn head(epoch: u32, base: u64, high_watermark: u64) -> RecordsHead {
    RecordsHead {
        epoch: Epoch(epoch),
        base_offset: Offset(base),
        marks: marks(high_watermark, 0),
    }
}

/// Nothing is compacted.
pub(crate) fn marks(high_watermark: u64, log_start: u64) -> Marks {
    Marks {
        high_watermark: Offset(high_watermark),
        log_start: Offset(log_start),
        ..Marks::default()
    }
}

pub(crate) fn promise(epoch: u32, log_epoch: u32, next: u64, starts: &[(u32, u64)]) -> Message {
    Message::Promise(Promise {
        epoch: Epoch(epoch),
        log_epoch: Epoch(log_epoch),
        next_offset: Offset(next),
        high_watermark: Offset(0),
        log_start: Offset(0),
        history: history(starts),
        is_uncertain: false,
    })
}

/// The same, of a voter that may have lost what it does not have.
pub(crate) fn uncertain(epoch: u32, log_epoch: u32, next: u64, starts: &[(u32, u64)]) -> Message {
    match promise(epoch, log_epoch, next, starts) {
        Message::Promise(promise) => Message::Promise(Promise {
            is_uncertain: true,
            ..promise
        }),
        other => other,
    }
}

pub(crate) fn adopt(epoch: u32, opening: u64, high_watermark: u64, log: &[(u32, u64)]) -> Message {
    Message::Adopt(Adopt {
        epoch: Epoch(epoch),
        opening_offset: Offset(opening),
        high_watermark: Offset(high_watermark),
        log_start: Offset(0),
        history: history(log),
        loss: 0,
    })
}

/// The leader's log as it is now, for a follower that has told of a loss.
pub(crate) fn adopt_after(loss: u32, adopt: Message) -> Message {
    match adopt {
        Message::Adopt(adopt) => Message::Adopt(Adopt { loss, ..adopt }),
        other => other,
    }
}

/// A follower that has received `received` and has it durable up to `durable`, not yet adopted.
pub(crate) fn ack(epoch: u32, received: u64, durable: u64) -> Ack {
    Ack {
        epoch: Epoch(epoch),
        received: Offset(received),
        durable: Offset(durable),
        high_watermark: Offset(0),
        log_start: Offset(0),
        compacted: Offset(0),
        losses: 0,
        compacted_everywhere: Offset(0),
        adopted: false,
        rewind: false,
    }
}

/// A follower that has adopted the epoch and holds everything below `durable`.
pub(crate) fn holds(epoch: u32, durable: u64) -> Message {
    Message::Ack(Ack {
        adopted: true,
        ..ack(epoch, durable, durable)
    })
}

pub(crate) fn committed(high_watermark: u64) -> Effect {
    Effect::Committed {
        high_watermark: Offset(high_watermark),
    }
}

pub(crate) fn send_records(to: NodeId, epoch: u32, from: u64) -> Effect {
    Effect::SendRecords {
        to,
        epoch: Epoch(epoch),
        from: Offset(from),
    }
}

pub(crate) fn messages(effects: &[Effect]) -> Vec<(NodeId, &Message)> {
    let sends = effects.iter().filter_map(|effect| match effect {
        Effect::Send { to, message } => Some((*to, message)),
        _ => None,
    });
    sends.collect()
}
