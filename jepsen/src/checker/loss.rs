//! What was acknowledged, or read by anybody, stands in the final reading, where it stood.

use std::collections::{BTreeMap, BTreeSet};

use super::{Anomaly, Kind};
use crate::{History, Outcome, Value};

pub(super) fn check(history: &History, anomalies: &mut Vec<Anomaly>) {
    // The longest finished final reading of a partition stands for it; that the others agree with
    // it is the business of the agreement check.
    let mut last: BTreeMap<u32, BTreeMap<u64, Value>> = BTreeMap::new();
    for read in history
        .reads
        .iter()
        .filter(|read| read.is_final && read.finished)
    {
        let values: BTreeMap<u64, Value> = read.values().collect();
        let longest = last.entry(read.partition).or_default();
        if longest.len() < values.len() {
            *longest = values;
        }
    }
    for (partition, expected) in expected(history) {
        let Some(found) = last.get(&partition) else {
            let what = format!(
                "{} records are known, but none was read at the end",
                expected.len()
            );
            anomalies.push(Anomaly::new(Kind::Unread, partition, what));
            continue;
        };
        for (offset, value) in expected {
            if found.get(&offset) != Some(&value) {
                let what = format!("{value} no longer stands at offset {offset}");
                anomalies.push(Anomaly::new(Kind::Lost, partition, what));
            }
        }
    }
}

/// Per partition, what must be there: offsets with the values that anybody was shown there.
fn expected(history: &History) -> BTreeMap<u32, BTreeSet<(u64, Value)>> {
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
