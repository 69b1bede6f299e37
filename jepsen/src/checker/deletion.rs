//! What was deleted on request is shown to nobody who begins to read afterwards, once all nodes
//! have heard of it: one that is cut off may still take itself for the leader.

use super::{Anomaly, Kind};
use crate::{History, Read};

pub(super) fn check(history: &History, anomalies: &mut Vec<Anomaly>) {
    for read in &history.reads {
        let has_heard = |deleted| !history.may_be_unheard(deleted, read.invoked);
        let rules = history.rules_of(read.partition);
        let begins_at = rules.begins_at(read.invoked, has_heard);
        if let Some(offset) = first_below(read, begins_at) {
            let what = format!("offset {offset} was read after all before {begins_at} was deleted");
            anomalies.push(Anomaly::new(Kind::Returned, read.partition, what));
        }
    }
}

fn first_below(read: &Read, start: u64) -> Option<u64> {
    let mut offsets = read.records.iter().map(|record| record.offset);
    offsets.find(|offset| *offset < start)
}

#[cfg(test)]
mod tests {
    use super::super::Kind;
    use super::super::script::{Script, value};

    fn three() -> Script {
        Script::default().ok(1, 0, 0).ok(1, 1, 1).ok(1, 2, 2)
    }

    #[test]
    fn records_may_be_gone_that_were_to_go() {
        let script = three().deleted(Some(2), 2);
        assert!(script.final_read(&[(2, value(1, 2))]).verdict().is_empty());
        let script = three().delete_in_doubt(Some(1));
        let rest = [(1, value(1, 1)), (2, value(1, 2))];
        assert!(script.final_read(&rest).verdict().is_empty());
    }

    #[test]
    fn all_records_may_be_gone_that_were_to_go() {
        let script = three().deleted(None, 3);
        assert!(script.reading(3, &[], true).verdict().is_empty());
    }

    #[test]
    fn more_than_was_to_go_is_lost() {
        let script = three().deleted(Some(1), 1);
        let found = script.final_read(&[(2, value(1, 2))]).verdict();
        assert_eq!(found, [Kind::Lost]);
        let script = three().delete_in_doubt(Some(1));
        let found = script.final_read(&[(2, value(1, 2))]).verdict();
        assert_eq!(found, [Kind::Lost]);
    }

    #[test]
    fn refused_deletion_lets_nothing_go() {
        let script = three().delete_refused(Some(1));
        let rest = [(1, value(1, 1)), (2, value(1, 2))];
        assert_eq!(script.final_read(&rest).verdict(), [Kind::Lost, Kind::Hole]);
    }

    #[test]
    fn deleted_records_that_are_read_later_have_returned() {
        let script = three().deleted(Some(2), 2);
        let rest = [(1, value(1, 1)), (2, value(1, 2))];
        assert_eq!(script.final_read(&rest).verdict(), [Kind::Returned]);
    }

    #[test]
    fn deleted_records_may_be_shown_by_who_was_cut_off_and_by_nobody_later() {
        let rest = [(1, value(1, 1)), (2, value(1, 2))];
        let script = || three().parted(1).deleted(Some(2), 2);
        assert!(script().final_read(&rest).verdict().is_empty());
        let soon = script().wait(10_000_000_000).final_read(&rest);
        assert!(soon.verdict().is_empty());
        let late = script().wait(16_000_000_000).final_read(&rest);
        assert_eq!(late.verdict(), [Kind::Returned]);
        // Everybody had heard of it before anybody was cut off.
        let script = three().deleted(Some(2), 2).wait(16_000_000_000).parted(1);
        assert_eq!(script.final_read(&rest).verdict(), [Kind::Returned]);
    }

    #[test]
    fn deleted_records_may_be_read_by_who_began_before() {
        let all = [(0, value(1, 0)), (1, value(1, 1)), (2, value(1, 2))];
        let script = three().read(&all).deleted(Some(2), 2);
        assert!(script.final_read(&all[2..]).verdict().is_empty());
    }

    #[test]
    fn record_that_is_missing_behind_the_beginning_is_lost_whatever_was_to_go() {
        let script = three().deleted(Some(2), 0);
        let found = script.final_read(&[(0, value(1, 0)), (2, value(1, 2))]);
        assert_eq!(found.verdict(), [Kind::Lost, Kind::Hole]);
    }

    #[test]
    fn nothing_is_lost_with_a_topic_that_is_deleted() {
        assert_eq!(three().verdict(), [Kind::Unread]);
        assert!(three().doomed().verdict().is_empty());
    }

    #[test]
    fn old_records_may_expire_and_young_ones_may_not() {
        // The reading ends at 8, and the second record was acknowledged at 4.
        let rest = [(2, value(1, 2))];
        let retained = |nanos| three().retained(nanos).final_read(&rest).verdict();
        assert!(retained(4).is_empty());
        assert_eq!(retained(5), [Kind::Lost]);
    }
}
