//! What was acknowledged, or read by anybody, stands in the final reading, where it stood; unless
//! it was among what may go.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::{Anomaly, Kind};
use crate::{History, Moment, Outcome, Read, Value};

pub(super) fn check(history: &History, anomalies: &mut Vec<Anomaly>) {
    let acknowledged_at = acknowledged_at(history);
    for (partition, expected) in expected(history) {
        let rules = history.rules_of(partition);
        if rules.is_doomed {
            continue;
        }
        let Some(last) = last_reading(history, partition) else {
            let what = format!(
                "{} records are known, but none was read at the end",
                expected.len()
            );
            anomalies.push(Anomaly::new(Kind::Unread, partition, what));
            continue;
        };
        let found: BTreeMap<u64, Value> = last.values().collect();
        let begins_at = match last.records.first() {
            Some(first) => first.offset,
            None => last.from,
        };
        let deleted_before = rules.deleted_before();
        let is_old = |value: &Value, stay: Duration| {
            let since = acknowledged_at.get(value).copied();
            since.is_none_or(|since| since.0.saturating_add(nanos(stay)) <= last.completed.0)
        };
        for (offset, value) in expected {
            let may_be_gone = offset < begins_at
                && (offset < deleted_before
                    || rules.retention.is_some_and(|stay| is_old(&value, stay)));
            // What compaction may take out is judged by itself.
            let is_there = found.get(&offset) == Some(&value) || rules.keys.is_some();
            if !is_there && !may_be_gone {
                let what = format!("{value} no longer stands at offset {offset}");
                anomalies.push(Anomaly::new(Kind::Lost, partition, what));
            }
        }
    }
}

/// The longest finished final reading of a partition stands for it; that the others agree with it
/// is the business of the agreement check.
pub(super) fn last_reading(history: &History, partition: u32) -> Option<&Read> {
    let is_last = |read: &&Read| read.partition == partition && read.is_final && read.finished;
    let readings = history.reads.iter().filter(is_last);
    // Of several of one length the first.
    readings.rev().max_by_key(|read| read.values().count())
}

/// When each value was acknowledged.
fn acknowledged_at(history: &History) -> BTreeMap<Value, Moment> {
    let acknowledged = history
        .appends
        .iter()
        .filter_map(|append| match append.outcome {
            Outcome::Ok { .. } => Some((append.value, append.completed)),
            Outcome::Fail | Outcome::Info => None,
        });
    acknowledged.collect()
}

/// Per partition, what must be there: offsets with the values that anybody was shown there.
pub(super) fn expected(history: &History) -> BTreeMap<u32, BTreeSet<(u64, Value)>> {
    let mut expected: BTreeMap<u32, BTreeSet<(u64, Value)>> = BTreeMap::new();
    for append in &history.appends {
        if let Outcome::Ok { offset } = append.outcome {
            let partition = append.value.partition;
            expected
                .entry(partition)
                .or_default()
                .insert((offset, append.value));
        }
    }
    for read in &history.reads {
        expected
            .entry(read.partition)
            .or_default()
            .extend(read.values());
    }
    expected
}

pub(super) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::Kind;
    use super::super::script::{Script, value};

    #[test]
    fn acknowledged_value_that_is_not_there_is_lost() {
        let script = Script::default().ok(1, 0, 0).ok(1, 1, 1);
        assert_eq!(
            script.final_read(&[(0, value(1, 0))]).verdict(),
            [Kind::Lost]
        );
    }

    #[test]
    fn acknowledged_value_in_the_middle_that_is_not_there_is_lost() {
        let script = Script::default().ok(1, 0, 0).ok(1, 1, 1).ok(1, 2, 2);
        let found = script
            .final_read(&[(0, value(1, 0)), (2, value(1, 2))])
            .verdict();
        assert_eq!(found, [Kind::Lost, Kind::Hole]);
    }

    #[test]
    fn value_that_was_read_once_and_is_gone_is_lost() {
        let script = Script::default().ok(1, 0, 0).info(1, 1);
        let script = script.read(&[(0, value(1, 0)), (1, value(1, 1))]);
        assert_eq!(
            script.final_read(&[(0, value(1, 0))]).verdict(),
            [Kind::Lost]
        );
    }

    #[test]
    fn doubtful_value_that_nobody_saw_is_not_lost() {
        let script = Script::default().ok(1, 0, 0).info(1, 1);
        assert!(script.final_read(&[(0, value(1, 0))]).verdict().is_empty());
    }

    #[test]
    fn acknowledged_partition_without_a_final_reading_is_unread() {
        let script = Script::default().ok(1, 0, 0).read(&[(0, value(1, 0))]);
        assert_eq!(script.verdict(), [Kind::Unread]);
    }

    #[test]
    fn final_reading_that_was_cut_short_proves_nothing() {
        let script = Script::default()
            .ok(1, 0, 0)
            .final_read(&[(0, value(1, 0))])
            .cut_short();
        assert_eq!(script.verdict(), [Kind::Unread]);
    }
}
