//! Of every key the last record stays, and so long as that is there nobody is misled.
//!
//! The last record of a key is the one that stands last of all that anybody was told of. A reading
//! that passes its place shows it. Only if it deletes its key it may be missing, after its time;
//! but then what was before it is gone too. Deletions that ended in doubt may have done the same
//! unseen.

use std::collections::{BTreeMap, BTreeSet};

use super::loss::{expected, last_reading, nanos};
use super::{Anomaly, Kind};
use crate::rules::Keys;
use crate::{History, Moment, Outcome, Read, Value};

pub(super) fn check(history: &History, anomalies: &mut Vec<Anomaly>) {
    let invoked: BTreeMap<Value, Moment> = history
        .appends
        .iter()
        .map(|append| (append.value, append.invoked))
        .collect();
    for (partition, expected) in expected(history) {
        let rules = history.rules_of(partition);
        let Some(keys) = rules.keys.filter(|_| !rules.is_doomed) else {
            continue;
        };
        let lasts = expected.iter().map(|(offset, value)| {
            let last = Last {
                offset: *offset,
                value: *value,
                invoked: invoked.get(value).copied().unwrap_or(Moment(0)),
            };
            (keys.key(value), last)
        });
        let judge = Judge {
            keys,
            doubtful: doubtful(history, partition, keys, &expected),
            lasts: lasts.collect(),
            may_begin_late: rules.may_begin_late(),
        };
        let whole = last_reading(history, partition);
        for read in history.reads.iter().filter(|it| it.partition == partition) {
            let is_whole = whole.is_some_and(|whole| std::ptr::eq(whole, read));
            for (kind, what) in judge.faults_of(read, is_whole) {
                anomalies.push(Anomaly::new(kind, partition, what));
            }
        }
    }
}

/// The last record of a key.
struct Last {
    offset: u64,
    value: Value,
    invoked: Moment,
}

/// When the first tombstone of each key was sent that nobody was told of.
fn doubtful(
    history: &History,
    partition: u32,
    keys: Keys,
    expected: &BTreeSet<(u64, Value)>,
) -> BTreeMap<u32, Moment> {
    let known: BTreeSet<Value> = expected.iter().map(|(_, value)| *value).collect();
    let mut doubtful = BTreeMap::new();
    for append in &history.appends {
        let value = append.value;
        let is_unseen = append.outcome == Outcome::Info && !known.contains(&value);
        if value.partition == partition && keys.is_tombstone(&value) && is_unseen {
            let first = doubtful.entry(keys.key(&value)).or_insert(append.invoked);
            *first = append.invoked.min(*first);
        }
    }
    doubtful
}

struct Judge {
    keys: Keys,
    doubtful: BTreeMap<u32, Moment>,
    lasts: BTreeMap<u32, Last>,
    may_begin_late: bool,
}

impl Judge {
    /// What is wrong with a reading; one that is whole has passed every offset.
    fn faults_of(&self, read: &Read, is_whole: bool) -> Vec<(Kind, String)> {
        let shown: BTreeMap<u32, (u64, Value)> = read
            .values()
            .map(|(offset, value)| (self.keys.key(&value), (offset, value)))
            .collect();
        let from = match read.records.first() {
            Some(first) if self.may_begin_late => first.offset,
            Some(_) | None => read.from,
        };
        let passed = match read.records.last() {
            _ if is_whole => u64::MAX,
            Some(last) => last.offset + 1,
            None => 0,
        };
        let mut faults = Vec::new();
        for (key, last) in &self.lasts {
            let shown = shown.get(key);
            if !(from..passed).contains(&last.offset) || shown == Some(&(last.offset, last.value)) {
                continue;
            }
            let Last { offset, value, .. } = last;
            if let Some((at, stale)) = shown
                && !self.may_be_missed(last, read)
            {
                let what = format!(
                    "key {key} has {value} at offset {offset}, but a reading that passed it \
                     showed {stale} at {at}"
                );
                faults.push((Kind::Returned, what));
            } else if shown.is_none() && !self.may_be_gone(last, read) {
                let what = format!("{value}, the last of key {key}, is not at offset {offset}");
                faults.push((Kind::Lost, what));
            }
        }
        faults
    }

    /// Whether the last record of a key may be gone: by a tombstone that may be gone itself.
    fn may_be_gone(&self, last: &Last, read: &Read) -> bool {
        let stays = nanos(self.keys.tombstones_stay);
        let is_over = |since: &Moment| since.0.saturating_add(stays) <= read.completed.0;
        let is_tombstone = self.keys.is_tombstone(&last.value);
        let doubtful = self.doubtful.get(&self.keys.key(&last.value));
        (is_tombstone && is_over(&last.invoked)) || doubtful.is_some_and(is_over)
    }

    /// Whether a reading may have met what a tombstone deletes and not the tombstone: it has taken
    /// so long that both went meanwhile.
    fn may_be_missed(&self, last: &Last, read: &Read) -> bool {
        let took = read.completed.0.saturating_sub(read.invoked.0);
        self.may_be_gone(last, read) && took >= nanos(self.keys.tombstones_stay)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::Kind;
    use super::super::script::{Script, value};
    use crate::Value;
    use crate::rules::Keys;

    const KEYS: Keys = Keys {
        count: 1,
        tombstone_every: 3,
        tombstones_stay: Duration::from_nanos(10),
    };

    /// Values of process 1 that are tombstones, or are not.
    fn values(is_tombstone: bool) -> impl Iterator<Item = u64> {
        (0..).filter(move |counter| KEYS.is_tombstone(&value(1, *counter)) == is_tombstone)
    }

    /// A script in which `first` and then `second` are acknowledged, and these values.
    fn two(first_is_tombstone: bool, second_is_tombstone: bool) -> (Script, Value, Value) {
        let first = values(first_is_tombstone).next().unwrap();
        let second = values(second_is_tombstone).find(|it| *it > first).unwrap();
        let script = Script::default().keyed(KEYS);
        let script = script.ok(1, first, 0).ok(1, second, 1);
        (script, value(1, first), value(1, second))
    }

    #[test]
    fn record_before_the_last_of_its_key_may_be_gone() {
        let (script, first, last) = two(false, false);
        let script = script.read(&[(0, first), (1, last)]);
        assert!(script.final_read(&[(1, last)]).verdict().is_empty());
    }

    #[test]
    fn last_record_of_a_key_that_is_gone_is_lost() {
        let (script, ..) = two(false, false);
        assert_eq!(script.final_read(&[]).verdict(), [Kind::Lost]);
    }

    #[test]
    fn last_record_that_is_gone_while_an_older_one_is_there_lets_that_return() {
        let (script, first, _) = two(false, false);
        let script = script.final_read(&[(0, first)]);
        assert_eq!(script.verdict(), [Kind::Returned]);
    }

    #[test]
    fn reading_that_ends_before_the_last_record_may_show_an_older_one() {
        let (script, first, last) = two(false, false);
        let script = script.read(&[(0, first)]);
        assert!(script.final_read(&[(1, last)]).verdict().is_empty());
    }

    #[test]
    fn tombstone_may_go_after_its_time_with_what_it_deletes() {
        let (script, ..) = two(false, true);
        let young = two(false, true).0.final_read(&[]);
        assert_eq!(young.verdict(), [Kind::Lost]);
        assert!(script.wait(10).final_read(&[]).verdict().is_empty());
    }

    #[test]
    fn deleted_key_must_not_return_without_its_tombstone() {
        let (script, first, _) = two(false, true);
        let script = script.wait(10).final_read(&[(0, first)]);
        assert_eq!(script.verdict(), [Kind::Returned]);
    }

    #[test]
    fn slow_reading_may_miss_a_tombstone_that_went_meanwhile() {
        let (script, first, _) = two(false, true);
        let script = script.final_read(&[(0, first)]).begun_earlier(10);
        assert!(script.verdict().is_empty());
    }

    #[test]
    fn deletion_in_doubt_may_have_taken_the_last_record() {
        let (script, first, last) = two(false, false);
        let tombstone = values(true).find(|it| *it > last.counter).unwrap();
        let script = script.info(1, tombstone);
        let late = script.wait(10).final_read(&[]);
        assert!(late.verdict().is_empty());
        let (script, ..) = two(false, false);
        let soon = script.info(1, tombstone).final_read(&[(0, first)]);
        assert_eq!(soon.verdict(), [Kind::Returned]);
    }

    #[test]
    fn compaction_takes_nothing_from_other_partitions() {
        let script = Script::default().ok(1, 0, 0).ok(1, 1, 1);
        let found = script.final_read(&[(1, value(1, 1))]).verdict();
        assert_eq!(found, [Kind::Lost, Kind::Hole]);
    }
}
