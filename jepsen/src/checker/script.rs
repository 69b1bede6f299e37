//! Small histories for the checkers' own tests.

use super::Kind;
use crate::{Append, History, Moment, Outcome, Payload, Read, Record, Value};

/// Value `counter` of `process`, sent to partition 0.
pub(super) fn value(process: u32, counter: u64) -> Value {
    Value {
        process,
        counter,
        partition: 0,
    }
}

/// Builds a history line by line; every line happens after the one before, unless told otherwise.
#[derive(Default)]
pub(super) struct Script {
    history: History,
    now: u64,
}

impl Script {
    /// An append that was acknowledged at `offset`.
    pub(super) fn ok(self, process: u32, counter: u64, offset: u64) -> Self {
        self.append(process, counter, Outcome::Ok { offset })
    }

    /// An append that ended in doubt.
    pub(super) fn info(self, process: u32, counter: u64) -> Self {
        self.append(process, counter, Outcome::Info)
    }

    /// An append that was refused.
    pub(super) fn fail(self, process: u32, counter: u64) -> Self {
        self.append(process, counter, Outcome::Fail)
    }

    fn append(mut self, process: u32, counter: u64, outcome: Outcome) -> Self {
        let (invoked, completed) = self.tick();
        let value = value(process, counter);
        self.history.appends.push(Append {
            value,
            invoked,
            completed,
            outcome,
        });
        self
    }

    /// Makes the last append begin at the very start, so that it overlaps everything.
    pub(super) fn begun_at_the_start(mut self) -> Self {
        let last = self.history.appends.last_mut();
        last.expect("the script has an append").invoked = Moment(0);
        self
    }

    /// A reading on the way, from its first offset.
    pub(super) fn read(self, records: &[(u64, Value)]) -> Self {
        let from = records.first().map_or(0, |(offset, _)| *offset);
        self.reading(from, records, false)
    }

    /// The final reading, from the beginning.
    pub(super) fn final_read(self, records: &[(u64, Value)]) -> Self {
        self.reading(0, records, true)
    }

    /// A reading that asked for `from`.
    pub(super) fn reading(mut self, from: u64, records: &[(u64, Value)], is_final: bool) -> Self {
        let (invoked, completed) = self.tick();
        let record = |(offset, value): &(u64, Value)| Record {
            offset: *offset,
            payload: Payload::Value(*value),
        };
        self.history.reads.push(Read {
            partition: 0,
            from,
            invoked,
            completed,
            finished: true,
            is_final,
            records: records.iter().map(record).collect(),
        });
        self
    }

    /// Makes the last reading end early.
    pub(super) fn cut_short(mut self) -> Self {
        self.history
            .reads
            .last_mut()
            .expect("the script has a reading")
            .finished = false;
        self
    }

    pub(super) fn history(self) -> History {
        self.history
    }

    /// The kinds of what the whole judge finds.
    pub(super) fn verdict(self) -> Vec<Kind> {
        crate::check(&self.history)
            .iter()
            .map(|anomaly| anomaly.kind)
            .collect()
    }

    fn tick(&mut self) -> (Moment, Moment) {
        self.now += 2;
        (Moment(self.now - 1), Moment(self.now))
    }
}
