//! One offset, one value: acknowledgements and readings, whenever and wherever, agree on it.

use std::collections::BTreeMap;

use super::{Anomaly, Kind};
use crate::{History, Value};

pub(super) fn check(history: &History, anomalies: &mut Vec<Anomaly>) {
    let mut seen: BTreeMap<(u32, u64), Value> = BTreeMap::new();
    let mut observe = |partition: u32, offset: u64, value: Value| {
        let first = *seen.entry((partition, offset)).or_insert(value);
        if first != value {
            let what = format!("offset {offset} showed {first} and {value}");
            anomalies.push(Anomaly::new(Kind::Inconsistent, partition, what));
        }
    };
    for (partition, offset, value) in history.sightings() {
        observe(partition, offset, value);
    }
}

#[cfg(test)]
mod tests {
    use super::super::Kind;
    use super::super::script::{Script, value};

    #[test]
    fn two_values_at_one_offset_are_inconsistent() {
        let script = Script::default().info(1, 0).info(2, 0);
        let script = script.read(&[(0, value(1, 0))]);
        // The value that was read first is then also lost from the final reading.
        assert_eq!(
            script.final_read(&[(0, value(2, 0))]).verdict(),
            [Kind::Inconsistent, Kind::Lost]
        );
    }

    #[test]
    fn acknowledged_offset_that_shows_another_value_is_inconsistent() {
        let script = Script::default().ok(1, 0, 0).info(2, 0);
        let found = script.final_read(&[(0, value(2, 0))]).verdict();
        assert_eq!(found, [Kind::Inconsistent, Kind::Lost]);
    }

    #[test]
    fn one_value_at_one_offset_read_often_is_fine() {
        let script = Script::default().ok(1, 0, 0).read(&[(0, value(1, 0))]);
        assert!(script.final_read(&[(0, value(1, 0))]).verdict().is_empty());
    }
}
