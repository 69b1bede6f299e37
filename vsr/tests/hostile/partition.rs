//! A replica of a partition among peers that say anything at all, one thing after the other, while
//! its own driver does as it is told. It must not panic.

use proptest::prelude::*;
use quorate_vsr::partition::{
    Ack, Adopt, Effect, EpochHistory, Event, Facts, Marks, Message, Promise, RecordsHead, Replica,
    Timer,
};
use quorate_vsr::{Epoch, NodeId, Offset};
use rkyv::rancor::Failure;

/// What happens to the replica.
#[derive(Clone, Debug)]
enum Happening {
    Assign(Epoch, NodeId),
    Hear(NodeId, Message),
    Records(NodeId, RecordsHead, u64, Epoch),
    Append(u32),
    Timeout(Timer),
    Expire(Offset),
    Compacted(Offset),
    /// The driver reports the oldest thing that it has done.
    Report,
}

fn epoch() -> impl Strategy<Value = Epoch> {
    prop_oneof![9 => 0..6u32, 1 => Just(u32::MAX)].prop_map(Epoch)
}

fn offset() -> impl Strategy<Value = Offset> {
    prop_oneof![9 => 0..8u64, 1 => Just(u64::MAX)].prop_map(Offset)
}

/// Mostly nothing has expired.
fn start() -> impl Strategy<Value = Offset> {
    prop_oneof![3 => Just(Offset(0)), 1 => offset()]
}

fn peer() -> impl Strategy<Value = NodeId> {
    (2..=4u16).prop_map(NodeId)
}

/// A history as a peer may make it up: through bytes, for no constructor gives a wrong one.
fn history() -> impl Strategy<Value = EpochHistory> {
    prop::collection::vec((epoch(), offset()), 0..4).prop_map(|mut starts| {
        if starts.len() % 2 == 0 {
            starts.sort();
        }
        let bytes = rkyv::to_bytes::<Failure>(&starts).unwrap();
        rkyv::from_bytes::<EpochHistory, Failure>(&bytes).unwrap()
    })
}

fn promise() -> impl Strategy<Value = Message> {
    let promise = (
        epoch(),
        epoch(),
        offset(),
        offset(),
        start(),
        history(),
        any::<bool>(),
    );
    promise.prop_map(
        |(epoch, log_epoch, next_offset, mark, log_start, history, lost)| {
            Message::Promise(Promise {
                epoch,
                log_epoch,
                next_offset,
                high_watermark: mark,
                log_start,
                history,
                is_uncertain: lost,
            })
        },
    )
}

fn adopt() -> impl Strategy<Value = Message> {
    let adopt = (epoch(), offset(), offset(), start(), history(), 0..2u32);
    adopt.prop_map(
        |(epoch, opening_offset, high_watermark, log_start, history, loss)| {
            Message::Adopt(Adopt {
                epoch,
                opening_offset,
                high_watermark,
                log_start,
                history,
                loss,
            })
        },
    )
}

fn message() -> impl Strategy<Value = Message> {
    let ack = (
        epoch(),
        offset(),
        offset(),
        offset(),
        start(),
        (offset(), 0..3u32, offset()),
        any::<(bool, bool)>(),
    );
    let ack = ack.prop_map(
        |(epoch, received, durable, high_watermark, log_start, claim, (adopted, rewind))| {
            let (compacted, losses, compacted_everywhere) = claim;
            Message::Ack(Ack {
                epoch,
                received,
                durable,
                high_watermark,
                log_start,
                compacted,
                losses,
                compacted_everywhere,
                adopted,
                rewind,
            })
        },
    );
    let commit = (epoch(), offset(), marks());
    let commit = commit.prop_map(|(epoch, sent, marks)| Message::Commit { epoch, sent, marks });
    prop_oneof![
        1 => epoch().prop_map(|epoch| Message::RequestPromise { epoch }),
        1 => (epoch(), offset()).prop_map(|(epoch, from)| Message::Pull { epoch, from }),
        1 => (epoch(), 0..2u32).prop_map(|(epoch, loss)| Message::Lost { epoch, loss }),
        1 => (epoch(), offset(), offset(), offset()).prop_map(|(epoch, from, to, compacted)| {
            Message::RequestRepair {
                epoch,
                from,
                to,
                compacted,
            }
        }),
        3 => promise(),
        3 => adopt(),
        2 => ack,
        2 => commit,
    ]
}

fn marks() -> impl Strategy<Value = Marks> {
    (offset(), start(), offset()).prop_map(|(high_watermark, log_start, compacted_everywhere)| {
        Marks {
            high_watermark,
            log_start,
            compacted_everywhere,
        }
    })
}

fn happening() -> impl Strategy<Value = Happening> {
    let head = (epoch(), offset(), marks());
    let head = head.prop_map(|(epoch, base_offset, marks)| RecordsHead {
        epoch,
        base_offset,
        marks,
    });
    let timer = prop_oneof![
        Just(Timer::Resend),
        Just(Timer::Commit),
        Just(Timer::SaveWatermark),
        Just(Timer::Repair),
    ];
    prop_oneof![
        1 => (1..6u32, 1..=3u16).prop_map(|(at, of)| Happening::Assign(Epoch(at), NodeId(of))),
        6 => (peer(), message()).prop_map(|(from, it)| Happening::Hear(from, it)),
        2 => (peer(), head, 0..4u64, epoch())
            .prop_map(|(from, head, count, of)| Happening::Records(from, head, count, of)),
        1 => (1..3u32).prop_map(Happening::Append),
        1 => timer.prop_map(Happening::Timeout),
        1 => offset().prop_map(Happening::Expire),
        1 => offset().prop_map(Happening::Compacted),
        8 => Just(Happening::Report),
    ]
}

/// The driver: it does as it is told, and reports when it is let.
struct Driver {
    replica: Replica,
    reports: Vec<Event>,
}

impl Driver {
    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Assign(epoch, leader) => self.step(Event::Assign {
                epoch,
                leader,
                voters: [1, 2, 3].map(NodeId).to_vec(),
                previous: Vec::new(),
                learners: vec![NodeId(4)],
            }),
            Happening::Hear(from, message) => self.step(Event::Message { from, message }),
            Happening::Records(from, head, count, epoch) => {
                // The driver has checked batches by then: they follow one another.
                if let Some(next) = head.base_offset.0.checked_add(count + 1) {
                    self.step(Event::Records {
                        from,
                        head,
                        next_offset: Offset(next),
                        epochs: vec![(epoch, head.base_offset)],
                    });
                }
            }
            Happening::Append(count) => {
                let mut effects = Vec::new();
                if self.replica.next_offset().0 < u64::MAX - 9
                    && self.replica.append(count, &mut effects).is_ok()
                {
                    self.flush();
                    self.carry_out(effects);
                }
            }
            Happening::Timeout(timer) => self.step(Event::Timeout(timer)),
            Happening::Expire(before) => self.step(Event::Expire { before }),
            Happening::Compacted(to) => self.step(Event::Compacted { to }),
            Happening::Report if self.reports.is_empty() => {}
            Happening::Report => {
                let report = self.reports.remove(0);
                self.step(report);
            }
        }
    }

    fn step(&mut self, event: Event) {
        let mut effects = Vec::new();
        self.replica.step(event, &mut effects);
        self.carry_out(effects);
    }

    fn flush(&mut self) {
        let next_offset = self.replica.next_offset();
        self.reports.push(Event::LogDurable { next_offset });
    }

    fn carry_out(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::PersistFacts(facts) => self.reports.push(Event::FactsDurable(facts)),
                Effect::Accept => self.flush(),
                Effect::Truncate { to } => {
                    self.reports.push(Event::Truncated { next_offset: to });
                }
                Effect::BeginAnew { at, .. } => self.reports.push(Event::BegunAnew { at }),
                Effect::SendRecords { to, epoch, from } => {
                    let next_offset = self.replica.next_offset();
                    if let Some(head) = self.replica.records_head(to, epoch, from)
                        && from < next_offset
                    {
                        self.step(Event::RecordsSent {
                            to,
                            head,
                            next_offset,
                        });
                    }
                }
                Effect::Send { .. }
                | Effect::Retire { .. }
                | Effect::SendRepair { .. }
                | Effect::Compact { .. }
                | Effect::Rewrite
                | Effect::Opened { .. }
                | Effect::SteppedDown
                | Effect::Resigned { .. }
                | Effect::Committed { .. }
                | Effect::Distrust { .. }
                | Effect::Arm(_)
                | Effect::Disarm(_) => {}
            }
        }
    }
}

#[test]
fn no_peer_makes_a_replica_of_a_partition_panic() {
    let config = ProptestConfig {
        cases: 6_000,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let happenings = prop::collection::vec(happening(), 1..40);
    proptest!(config, |(happenings in happenings)| {
        let history = EpochHistory::default();
        let replica = Replica::new(NodeId(1), Facts::default(), Offset(0), history);
        let mut driver = Driver {
            replica: replica.unwrap(),
            reports: Vec::new(),
        };
        for happening in happenings {
            driver.happen(happening);
        }
    });
}
