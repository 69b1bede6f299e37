//! One value, one offset: a retry never appends twice.

use std::collections::BTreeMap;

use super::{Anomaly, Kind};
use crate::{History, Value};

pub(super) fn check(history: &History, anomalies: &mut Vec<Anomaly>) {
    let mut places: BTreeMap<(u32, Value), u64> = BTreeMap::new();
    let mut observe = |partition: u32, offset: u64, value: Value| {
        let first = *places.entry((partition, value)).or_insert(offset);
        if first != offset {
            let what = format!("{value} stands at offsets {first} and {offset}");
            anomalies.push(Anomaly::new(Kind::Duplicate, partition, what));
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
    fn value_at_two_offsets_is_a_duplicate() {
        let script = Script::default().ok(1, 0, 0);
        let found = script
            .final_read(&[(0, value(1, 0)), (1, value(1, 0))])
            .verdict();
        assert!(found.contains(&Kind::Duplicate), "{found:?}");
    }

    #[test]
    fn value_read_elsewhere_than_acknowledged_is_a_duplicate() {
        let script = Script::default().ok(1, 0, 0).info(2, 0);
        let found = script
            .final_read(&[(0, value(2, 0)), (1, value(1, 0))])
            .verdict();
        assert!(found.contains(&Kind::Duplicate), "{found:?}");
    }

    #[test]
    fn neighbouring_values_of_one_process_are_not_duplicates() {
        let script = Script::default()
            .ok(1, 0, 0)
            .ok(1, 1, 1)
            .read(&[(0, value(1, 0))]);
        assert!(
            script
                .final_read(&[(0, value(1, 0)), (1, value(1, 1))])
                .verdict()
                .is_empty()
        );
    }
}
