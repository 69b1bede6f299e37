//! The order of offsets agrees with the order in which things were sent.
//!
//! Within one process: what it sent first stands first. Between processes: an append that was
//! invoked after another had been acknowledged stands behind it.

use std::collections::BTreeMap;

use super::{Anomaly, Kind};
use crate::{Append, History, Moment, Outcome, Value};

pub(super) fn check(history: &History, anomalies: &mut Vec<Anomaly>) {
    for (partition, placed) in placed(history) {
        check_processes(partition, &placed, anomalies);
        check_real_time(partition, &placed, anomalies);
    }
}

/// An append with its offset. The completion of one that ended in doubt is never known.
struct Placed {
    offset: u64,
    value: Value,
    invoked: Moment,
    completed: Moment,
}

/// Per partition and by offset, all appends whose place is known by acknowledgement or reading.
fn placed(history: &History) -> BTreeMap<u32, Vec<Placed>> {
    let mut read: BTreeMap<Value, u64> = BTreeMap::new();
    for reading in &history.reads {
        for (offset, value) in reading.values() {
            read.entry(value).or_insert(offset);
        }
    }
    let mut placed: BTreeMap<u32, Vec<Placed>> = BTreeMap::new();
    for Append {
        value,
        invoked,
        completed,
        outcome,
    } in &history.appends
    {
        let (offset, completed) = match outcome {
            Outcome::Ok { offset } => (Some(*offset), *completed),
            Outcome::Info => (read.get(value).copied(), Moment(u64::MAX)),
            Outcome::Fail => (None, *completed),
        };
        if let Some(offset) = offset {
            let append = Placed {
                offset,
                value: *value,
                invoked: *invoked,
                completed,
            };
            placed.entry(value.partition).or_default().push(append);
        }
    }
    for appends in placed.values_mut() {
        appends.sort_by_key(|append| append.offset);
    }
    placed
}

fn check_processes(partition: u32, placed: &[Placed], anomalies: &mut Vec<Anomaly>) {
    let mut last: BTreeMap<u32, &Placed> = BTreeMap::new();
    for append in placed {
        if let Some(before) = last.insert(append.value.process, append)
            && before.value.counter > append.value.counter
        {
            let (earlier, later) = (append.value, before.value);
            let (at, before) = (append.offset, before.offset);
            let what = format!("{earlier} stands at {at}, but {later} at {before}");
            anomalies.push(Anomaly::new(Kind::Reordered, partition, what));
        }
    }
}

/// From the end to the beginning, remembers the earliest completion of all that stands behind.
fn check_real_time(partition: u32, placed: &[Placed], anomalies: &mut Vec<Anomaly>) {
    let mut earliest: Option<&Placed> = None;
    for append in placed.iter().rev() {
        if let Some(behind) = earliest
            && behind.completed < append.invoked
            && behind.value.process != append.value.process
        {
            let (first, second) = (behind.value, append.value);
            let (at, before) = (behind.offset, append.offset);
            let what = format!(
                "{first} was acknowledged at {at} before {second} was sent, which stands at \
                 {before}"
            );
            anomalies.push(Anomaly::new(Kind::AgainstRealTime, partition, what));
        }
        if earliest.is_none_or(|behind| append.completed < behind.completed) {
            earliest = Some(append);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Kind;
    use super::super::script::{Script, value};

    #[test]
    fn later_value_of_a_process_that_stands_earlier_is_reordered() {
        let script = Script::default().ok(1, 0, 1).ok(1, 1, 0);
        let found = script
            .final_read(&[(0, value(1, 1)), (1, value(1, 0))])
            .verdict();
        assert_eq!(found, [Kind::Reordered]);
    }

    #[test]
    fn doubtful_values_of_a_process_keep_their_order_too() {
        let script = Script::default().info(1, 0).info(1, 1);
        let found = script
            .final_read(&[(0, value(1, 1)), (1, value(1, 0))])
            .verdict();
        assert_eq!(found, [Kind::Reordered]);
    }

    #[test]
    fn values_of_two_processes_may_alternate() {
        let script = Script::default().ok(1, 0, 0).ok(2, 0, 1).ok(1, 1, 2);
        let order = [(0, value(1, 0)), (1, value(2, 0)), (2, value(1, 1))];
        assert!(script.final_read(&order).verdict().is_empty());
    }

    #[test]
    fn append_after_an_acknowledgement_that_stands_before_it_is_against_real_time() {
        let script = Script::default().ok(1, 0, 1).ok(2, 0, 0);
        let found = script
            .final_read(&[(0, value(2, 0)), (1, value(1, 0))])
            .verdict();
        assert_eq!(found, [Kind::AgainstRealTime]);
    }

    #[test]
    fn overlapping_appends_may_stand_in_any_order() {
        let script = Script::default()
            .ok(1, 0, 1)
            .ok(2, 0, 0)
            .begun_at_the_start();
        let order = [(0, value(2, 0)), (1, value(1, 0))];
        assert!(script.final_read(&order).verdict().is_empty());
    }

    #[test]
    fn doubtful_append_that_was_sent_too_late_for_its_place_is_against_real_time() {
        let script = Script::default().ok(1, 0, 1).info(2, 0);
        let found = script
            .final_read(&[(0, value(2, 0)), (1, value(1, 0))])
            .verdict();
        assert_eq!(found, [Kind::AgainstRealTime]);
    }

    #[test]
    fn doubtful_append_may_take_its_place_late() {
        let script = Script::default().info(1, 0).ok(2, 0, 0);
        let order = [(0, value(2, 0)), (1, value(1, 0))];
        assert!(script.final_read(&order).verdict().is_empty());
    }
}
