//! What may go from a partition.
//!
//! Most logs keep everything. Some lose their oldest records: because these have grown too old, or
//! because somebody asked for it. Some keep only the last record of every key. And some are
//! deleted. What goes beyond that is lost, and what has gone must not come back.

use std::time::Duration;

use crate::{Moment, Outcome, Value};

/// What the settings of a topic, and what was asked of it, allow to go from one of its partitions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// The deletion of its topic was asked for: at the end everything may be gone.
    pub is_doomed: bool,
    /// Its oldest records go by themselves, but not those that were acknowledged less than so
    /// long ago.
    pub retention: Option<Duration>,
    /// What was asked to be deleted from its beginning.
    pub deletions: Vec<Deletion>,
    /// Only the last record of every key stays.
    pub keys: Option<Keys>,
}

/// One request to delete the oldest records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deletion {
    /// The records before this offset shall go; `None` is all that are committed.
    pub before: Option<u64>,
    /// Before it was asked for.
    pub invoked: Moment,
    /// After the outcome was known.
    pub completed: Moment,
    /// How it ended; the offset is that of the first record that is still there.
    pub outcome: Outcome,
}

/// The keys of a compacted partition. Which key a value has, and whether it deletes that key, is
/// worked out from the value, so that writers, readers and the judge need not tell each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keys {
    /// How many there are.
    pub count: u32,
    /// About one of so many records is a tombstone; with 0 none is.
    pub tombstone_every: u32,
    /// A tombstone stays at least so long.
    pub tombstones_stay: Duration,
}

impl Rules {
    /// Whether the log may begin elsewhere than at 0.
    pub fn may_begin_late(&self) -> bool {
        let is_trimmed = |deletion: &Deletion| deletion.outcome != Outcome::Fail;
        self.retention.is_some() || self.deletions.iter().any(is_trimmed)
    }

    /// Everything before this offset may have been deleted on request.
    pub(crate) fn deleted_before(&self) -> u64 {
        let before = |deletion: &Deletion| match deletion.outcome {
            Outcome::Ok { offset } => Some(deletion.before.unwrap_or(offset)),
            Outcome::Info => Some(deletion.before.unwrap_or(u64::MAX)),
            Outcome::Fail => None,
        };
        self.deletions.iter().filter_map(before).max().unwrap_or(0)
    }

    /// Nothing before this offset may be shown to whoever begins to read at `moment`. Deletions
    /// count that were completed before and of which everybody `has_heard`, given when they were.
    pub(crate) fn begins_at(&self, moment: Moment, has_heard: impl Fn(Moment) -> bool) -> u64 {
        let counts = |completed: Moment| completed < moment && has_heard(completed);
        let start = |deletion: &Deletion| match deletion.outcome {
            Outcome::Ok { offset } if counts(deletion.completed) => Some(offset),
            Outcome::Ok { .. } | Outcome::Info | Outcome::Fail => None,
        };
        self.deletions.iter().filter_map(start).max().unwrap_or(0)
    }
}

impl Keys {
    /// The number of the key of `value`, from 0.
    pub fn key(&self, value: &Value) -> u32 {
        (mixed(value) % u64::from(self.count.max(1))) as u32
    }

    /// Whether `value` is sent as a record without a value, which deletes its key.
    pub fn is_tombstone(&self, value: &Value) -> bool {
        let draw = mixed(value) >> 32;
        self.tombstone_every > 0 && draw.is_multiple_of(u64::from(self.tombstone_every))
    }
}

/// Spreads values evenly, in no order that a log could have.
fn mixed(value: &Value) -> u64 {
    let mut mixed = (u64::from(value.process) << 40) ^ value.counter;
    for factor in [0xff51_afd7_ed55_8ccd, 0xc4ce_b9fe_1a85_ec53] {
        mixed ^= mixed >> 33;
        mixed = mixed.wrapping_mul(factor);
    }
    mixed ^ (mixed >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deletion(before: Option<u64>, completed: u64, outcome: Outcome) -> Deletion {
        Deletion {
            before,
            invoked: Moment(completed - 1),
            completed: Moment(completed),
            outcome,
        }
    }

    #[test]
    fn only_deletions_that_may_have_happened_let_a_log_begin_late() {
        let refused = deletion(Some(9), 5, Outcome::Fail);
        let doubtful = deletion(Some(4), 6, Outcome::Info);
        let done = deletion(Some(3), 7, Outcome::Ok { offset: 2 });
        let rules = |deletions: &[Deletion]| Rules {
            deletions: deletions.to_vec(),
            ..Rules::default()
        };
        assert!(!rules(&[refused]).may_begin_late());
        assert!(rules(&[refused, doubtful]).may_begin_late());
        assert_eq!(rules(&[refused, done]).deleted_before(), 3);
        assert_eq!(rules(&[refused, done, doubtful]).deleted_before(), 4);
        let all = rules(&[refused, done, doubtful]);
        assert_eq!(all.begins_at(Moment(7), |_| true), 0);
        assert_eq!(all.begins_at(Moment(8), |_| true), 2);
        assert_eq!(all.begins_at(Moment(8), |_| false), 0);
    }

    #[test]
    fn every_key_has_values_and_some_of_them_are_tombstones() {
        let keys = Keys {
            count: 8,
            tombstone_every: 4,
            tombstones_stay: Duration::ZERO,
        };
        let value = |counter| Value {
            process: 3,
            counter,
            partition: 1,
        };
        let mut seen = [0; 8];
        let mut tombstones = 0;
        for value in (0..800).map(value) {
            seen[keys.key(&value) as usize] += 1;
            tombstones += u32::from(keys.is_tombstone(&value));
        }
        assert!(
            seen.iter().all(|count| (50..150).contains(count)),
            "{seen:?}"
        );
        assert!((150..250).contains(&tombstones), "{tombstones} of 800");
        let none = Keys {
            tombstone_every: 0,
            ..keys
        };
        assert!(!(0..800).map(value).any(|value| none.is_tombstone(&value)));
    }
}
