//! What a partition remembers of its idempotent producers, so that a batch that is sent twice is
//! appended once, and never behind a gap.
//!
//! The table is a pure function of the batches in the log: every replica comes to the same one.

use std::collections::{BTreeMap, VecDeque};

use quorate_batch::{BatchHeader, Producer};

/// A producer keeps at most five requests in flight, so a resent batch is among the last five.
const BATCHES_MAX: usize = 5;
/// The producers of one partition that are remembered: about a megabyte. Beyond it the one that
/// has been silent for longest (in offsets) is forgotten, as if it had never produced.
const PRODUCERS_MAX: usize = 8192;

/// The idempotent producers of one partition and the last batches of each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProducerTable {
    producers: BTreeMap<i64, State>,
    /// Producer ids by the base offset of their latest batch.
    by_latest: BTreeMap<u64, i64>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct State {
    epoch: i16,
    /// Never empty, oldest first.
    batches: VecDeque<Sequences>,
}

/// The sequence numbers of one batch, both inclusive, and where it went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Sequences {
    first: i32,
    last: i32,
    base_offset: u64,
}

/// What is to be done with a batch that a producer sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Append it.
    Accept,
    /// It is in the log already; acknowledge it once that offset is committed.
    Duplicate {
        /// Where it was appended.
        base_offset: u64,
    },
    /// Batches before it are missing, or it is older than all that are remembered.
    OutOfOrder {
        /// The sequence number that the producer should continue with.
        expected: i32,
    },
    /// The same producer has started a newer epoch.
    Fenced {
        /// That epoch.
        epoch: i16,
    },
}

impl ProducerTable {
    /// Judges a batch that is about to be appended.
    ///
    /// A batch without a producer is always accepted, and so is any batch of a producer that is
    /// not known: it may have been forgotten.
    pub fn check(&self, header: &BatchHeader) -> Verdict {
        let Some(producer) = header.producer else {
            return Verdict::Accept;
        };
        let Some(state) = self.producers.get(&producer.id) else {
            return Verdict::Accept;
        };
        if producer.epoch < state.epoch {
            return Verdict::Fenced { epoch: state.epoch };
        }
        if producer.epoch > state.epoch {
            return match producer.base_sequence {
                0 => Verdict::Accept,
                _ => Verdict::OutOfOrder { expected: 0 },
            };
        }
        let sequences = Sequences::of(header, producer, 0);
        let same =
            |known: &&Sequences| known.first == sequences.first && known.last == sequences.last;
        if let Some(known) = state.batches.iter().find(same) {
            return Verdict::Duplicate {
                base_offset: known.base_offset,
            };
        }
        let expected = sequence_after(state.latest().last);
        if producer.base_sequence == expected {
            Verdict::Accept
        } else {
            Verdict::OutOfOrder { expected }
        }
    }

    /// Remembers a batch that was appended at `base_offset`. The log does this itself.
    pub fn observe(&mut self, header: &BatchHeader, base_offset: u64) {
        let Some(producer) = header.producer else {
            return;
        };
        let sequences = Sequences::of(header, producer, base_offset);
        let state = self.producers.entry(producer.id).or_insert_with(|| State {
            epoch: producer.epoch,
            batches: VecDeque::with_capacity(BATCHES_MAX),
        });
        if let Some(latest) = state.batches.back() {
            self.by_latest.remove(&latest.base_offset);
        }
        if state.epoch != producer.epoch {
            state.epoch = producer.epoch;
            state.batches.clear();
        }
        if state.batches.len() == BATCHES_MAX {
            state.batches.pop_front();
        }
        state.batches.push_back(sequences);
        self.by_latest.insert(base_offset, producer.id);
        self.forget_beyond_max();
    }

    /// Remembers a batch that could not be read when those behind it were remembered.
    pub(crate) fn observe_late(&mut self, header: &BatchHeader, base_offset: u64) {
        let Some(producer) = header.producer else {
            return;
        };
        let Some(state) = self.producers.get_mut(&producer.id) else {
            return self.observe(header, base_offset);
        };
        if state.latest().base_offset < base_offset {
            return self.observe(header, base_offset);
        }
        let place = state
            .batches
            .partition_point(|batch| batch.base_offset < base_offset);
        let is_known = state
            .batches
            .get(place)
            .is_some_and(|batch| batch.base_offset == base_offset);
        // What was forgotten for its age stays forgotten, and what a newer epoch has ended too.
        let is_full = state.batches.len() == BATCHES_MAX;
        if state.epoch == producer.epoch && !is_known && (place > 0 || !is_full) {
            let sequences = Sequences::of(header, producer, base_offset);
            state.batches.insert(place, sequences);
            if is_full {
                state.batches.pop_front();
            }
        }
    }

    /// What batches before `offset` have told, as far as it is remembered.
    pub fn before(&self, offset: u64) -> Self {
        let mut table = Self::default();
        for (id, state) in &self.producers {
            let mut batches = state.batches.clone();
            batches.retain(|batch| batch.base_offset < offset);
            if let Some(latest) = batches.back() {
                table.by_latest.insert(latest.base_offset, *id);
                let epoch = state.epoch;
                table.producers.insert(*id, State { epoch, batches });
            }
        }
        table
    }

    /// Remembers what `earlier` batches have told, all of which stand before those that are
    /// remembered, or are among them.
    pub fn join_earlier(&mut self, earlier: &Self) {
        for (id, earlier) in &earlier.producers {
            let Some(state) = self.producers.get_mut(id) else {
                let latest = earlier.latest().base_offset;
                self.by_latest.insert(latest, *id);
                self.producers.insert(*id, earlier.clone());
                continue;
            };
            // A newer epoch has ended what was before.
            if state.epoch != earlier.epoch {
                continue;
            }
            let first = state.batches.front().map(|batch| batch.base_offset);
            let is_before = |batch: &&Sequences| first > Some(batch.base_offset);
            for batch in earlier.batches.iter().rev().filter(is_before) {
                if state.batches.len() < BATCHES_MAX {
                    state.batches.push_front(*batch);
                }
            }
        }
        self.forget_beyond_max();
    }

    /// The number of producers that are remembered.
    pub fn len(&self) -> usize {
        self.producers.len()
    }

    /// Whether no producer is remembered.
    pub fn is_empty(&self) -> bool {
        self.producers.is_empty()
    }

    fn forget_beyond_max(&mut self) {
        while self.producers.len() > PRODUCERS_MAX {
            let (_, id) = self
                .by_latest
                .pop_first()
                .expect("every producer has a latest batch");
            self.producers.remove(&id);
        }
    }

    /// Appends the table to `out`; [`ProducerTable::decode`] reads it.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&(self.producers.len() as u32).to_le_bytes());
        for (id, state) in &self.producers {
            out.extend_from_slice(&id.to_le_bytes());
            out.extend_from_slice(&state.epoch.to_le_bytes());
            out.push(state.batches.len() as u8);
            for batch in &state.batches {
                out.extend_from_slice(&batch.first.to_le_bytes());
                out.extend_from_slice(&batch.last.to_le_bytes());
                out.extend_from_slice(&batch.base_offset.to_le_bytes());
            }
        }
    }

    /// Reads a table that was encoded; `None` if these bytes are not exactly one.
    pub fn decode(mut bytes: &[u8]) -> Option<Self> {
        let bytes = &mut bytes;
        let mut table = Self::default();
        let count = u32::from_le_bytes(take(bytes)?);
        for _ in 0..count {
            let id = i64::from_le_bytes(take(bytes)?);
            let epoch = i16::from_le_bytes(take(bytes)?);
            let [batches_count] = take::<1>(bytes)?;
            let mut batches = VecDeque::with_capacity(BATCHES_MAX);
            for _ in 0..batches_count {
                batches.push_back(Sequences {
                    first: i32::from_le_bytes(take(bytes)?),
                    last: i32::from_le_bytes(take(bytes)?),
                    base_offset: u64::from_le_bytes(take(bytes)?),
                });
            }
            let is_sound = (1..=BATCHES_MAX).contains(&batches.len());
            let latest = batches.back().filter(|_| is_sound)?.base_offset;
            let is_new = table.by_latest.insert(latest, id).is_none()
                && table
                    .producers
                    .insert(id, State { epoch, batches })
                    .is_none();
            if !is_new {
                return None;
            }
        }
        bytes.is_empty().then_some(table)
    }
}

impl State {
    fn latest(&self) -> &Sequences {
        self.batches
            .back()
            .expect("a producer is known by at least one batch")
    }
}

impl Sequences {
    fn of(header: &BatchHeader, producer: Producer, base_offset: u64) -> Self {
        let first = producer.base_sequence;
        let span = i64::from(header.last_offset_delta);
        let last = (i64::from(first) + span) % (i64::from(i32::MAX) + 1);
        let last = i32::try_from(last).expect("the remainder is below 2^31");
        Self {
            first,
            last,
            base_offset,
        }
    }
}

/// Sequence numbers start again at 0 after the largest.
fn sequence_after(last: i32) -> i32 {
    last.checked_add(1).unwrap_or(0)
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (head, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*head)
}

#[cfg(test)]
mod tests;
