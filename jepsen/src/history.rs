//! What the clients saw.
//!
//! All nodes and all clients share the harness's machine, so one monotonic clock orders
//! everything. A moment *before* sending and one *after* the answer bracket the time at which an
//! operation took effect; nothing finer is known or needed.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::{Damage, FaultEvent, Rules, Value};

/// Nanoseconds of the monotonic clock since the trial began.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(pub u64);

impl Moment {
    /// Now, in a trial that began at `origin`.
    pub fn since(origin: Instant) -> Self {
        Self(u64::try_from(origin.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }
}

/// How an append ended. Only what certainly did not happen is `Fail`; every doubt is `Info`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Acknowledged, at this offset.
    Ok {
        /// Where the acknowledgement says that the record stands.
        offset: u64,
    },
    /// Refused: it must never be seen.
    Fail,
    /// Unknown: it may be there or not, now or later.
    Info,
}

/// One record that a writer sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Append {
    /// What was sent, where to and by whom.
    pub value: Value,
    /// Before it was handed to the producer.
    pub invoked: Moment,
    /// After the outcome was known.
    pub completed: Moment,
    /// How it ended.
    pub outcome: Outcome,
}

/// The bytes of a record that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payload {
    /// Whole.
    Value(Value),
    /// Not what any writer sends.
    Damaged(Damage),
}

/// One record that a reader got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Where it stands.
    pub offset: u64,
    /// What it is.
    pub payload: Payload,
}

/// One reading of a partition, from an offset to the end that was known at its start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Read {
    /// The partition.
    pub partition: u32,
    /// The first offset asked for.
    pub from: u64,
    /// Before the reader was started.
    pub invoked: Moment,
    /// After it ended.
    pub completed: Moment,
    /// Whether it ended well. What it returned before it failed counts all the same.
    pub finished: bool,
    /// Whether it is one of the last readings, from the beginning, with all faults healed: what
    /// such a reading lacks is lost.
    pub is_final: bool,
    /// What it returned, in that order.
    pub records: Vec<Record>,
}

impl Read {
    /// The offsets and values of the whole records.
    pub(crate) fn values(&self) -> impl Iterator<Item = (u64, Value)> + '_ {
        self.records
            .iter()
            .filter_map(|record| match record.payload {
                Payload::Value(value) => Some((record.offset, value)),
                Payload::Damaged(_) => None,
            })
    }
}

/// Everything that the clients of a trial did and saw, and what was done to the nodes meanwhile.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// The appends, in any order.
    pub appends: Vec<Append>,
    /// The readings, in any order.
    pub reads: Vec<Read>,
    /// Producers that claimed success without acknowledging everything, or acknowledged more
    /// than they were given: in words.
    pub broken_promises: Vec<String>,
    /// What was done to the nodes.
    pub faults: Vec<FaultEvent>,
    /// What may go, for the partitions that do not keep everything.
    pub rules: BTreeMap<u32, Rules>,
    /// From when to when some nodes could not hear others, or stood still.
    pub parted: Vec<(Moment, Moment)>,
}

/// Nodes have heard of everything that they missed so long after nothing is in their way any more:
/// a stream counts as broken after 10 s, and then they speak anew.
const HEARD_WITHIN: Duration = Duration::from_secs(15);

/// What holds for a partition of which nothing may go.
static KEEPS_ALL: Rules = Rules {
    is_doomed: false,
    retention: None,
    deletions: Vec::new(),
    keys: None,
};

impl History {
    /// Whether at `moment` some node may not have heard of what was done at `done`, because it was
    /// parted from others then, and perhaps still is.
    pub(crate) fn may_be_unheard(&self, done: Moment, moment: Moment) -> bool {
        let later = |moment: Moment| {
            let within = HEARD_WITHIN.as_nanos() as u64;
            Moment(moment.0.saturating_add(within))
        };
        let overlaps =
            |(begin, end): &(Moment, Moment)| *begin <= later(done) && later(*end) >= moment;
        self.parted.iter().any(overlaps)
    }

    /// Every value that was acknowledged or read, with its partition and offset.
    pub fn sightings(&self) -> impl Iterator<Item = (u32, u64, Value)> + '_ {
        let acknowledged = self
            .appends
            .iter()
            .filter_map(|append| match append.outcome {
                Outcome::Ok { offset } => Some((append.value.partition, offset, append.value)),
                Outcome::Fail | Outcome::Info => None,
            });
        let read = self.reads.iter().flat_map(|read| {
            let values = read.values();
            values.map(|(offset, value)| (read.partition, offset, value))
        });
        acknowledged.chain(read)
    }

    /// What may go from a partition.
    pub fn rules_of(&self, partition: u32) -> &Rules {
        self.rules.get(&partition).unwrap_or(&KEEPS_ALL)
    }

    /// How many appends were acknowledged.
    pub fn acknowledged(&self) -> usize {
        let is_ok = |append: &&Append| matches!(append.outcome, Outcome::Ok { .. });
        self.appends.iter().filter(is_ok).count()
    }

    /// The longest time in which a partition acknowledged nothing, between two times that it did.
    pub fn longest_silence(&self) -> Duration {
        let mut times: BTreeMap<u32, Vec<Moment>> = BTreeMap::new();
        for append in &self.appends {
            if let Outcome::Ok { .. } = append.outcome {
                times
                    .entry(append.value.partition)
                    .or_default()
                    .push(append.completed);
            }
        }
        let longest = times.values_mut().filter_map(|times| {
            times.sort_unstable();
            times.windows(2).map(|pair| pair[1].0 - pair[0].0).max()
        });
        Duration::from_nanos(longest.max().unwrap_or(0))
    }

    /// How many appends ended in doubt.
    pub fn indeterminate(&self) -> usize {
        self.appends
            .iter()
            .filter(|append| append.outcome == Outcome::Info)
            .count()
    }
}
