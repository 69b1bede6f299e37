//! Small histories for the checkers' own tests.

use std::time::Duration;

use super::Kind;
use crate::{
    Append, Deletion, History, Keys, Moment, Outcome, Payload, Read, Record, Rules, Value,
};

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

    /// Makes the last reading begin `nanos` earlier.
    pub(super) fn begun_earlier(mut self, nanos: u64) -> Self {
        self = self.wait(nanos);
        let last = self.history.reads.last_mut();
        last.expect("the script has a reading").completed = Moment(self.now);
        self
    }

    /// Lets time pass.
    pub(super) fn wait(mut self, nanos: u64) -> Self {
        self.now += nanos;
        self
    }

    /// For so long some nodes do not hear others.
    pub(super) fn parted(mut self, nanos: u64) -> Self {
        let begin = Moment(self.now);
        self = self.wait(nanos);
        self.history.parted.push((begin, Moment(self.now)));
        self
    }

    /// The records before `before` were deleted; the log begins at `start` now.
    pub(super) fn deleted(self, before: Option<u64>, start: u64) -> Self {
        self.deletion(before, Outcome::Ok { offset: start })
    }

    /// It was asked in vain that the records before `before` go.
    pub(super) fn delete_refused(self, before: Option<u64>) -> Self {
        self.deletion(before, Outcome::Fail)
    }

    /// The same, and it is not known whether they have.
    pub(super) fn delete_in_doubt(self, before: Option<u64>) -> Self {
        self.deletion(before, Outcome::Info)
    }

    fn deletion(mut self, before: Option<u64>, outcome: Outcome) -> Self {
        let (invoked, completed) = self.tick();
        self.rules().deletions.push(Deletion {
            before,
            invoked,
            completed,
            outcome,
        });
        self
    }

    /// The partition is compacted.
    pub(super) fn keyed(mut self, keys: Keys) -> Self {
        self.rules().keys = Some(keys);
        self
    }

    /// Records expire that are so old.
    pub(super) fn retained(mut self, nanos: u64) -> Self {
        self.rules().retention = Some(Duration::from_nanos(nanos));
        self
    }

    /// The topic is to be deleted.
    pub(super) fn doomed(mut self) -> Self {
        self.rules().is_doomed = true;
        self
    }

    fn rules(&mut self) -> &mut Rules {
        self.history.rules.entry(0).or_default()
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
