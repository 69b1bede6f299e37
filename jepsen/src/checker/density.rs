//! A reading begins where it was asked to and leaves nothing out. Nothing but records takes an
//! offset in this log, so a hole is always wrong: except where records went that are allowed to.

use super::{Anomaly, Kind};
use crate::History;

pub(super) fn check(history: &History, anomalies: &mut Vec<Anomaly>) {
    for read in &history.reads {
        let mut note = |kind, what| anomalies.push(Anomaly::new(kind, read.partition, what));
        let asked = read.from;
        let rules = history.rules_of(read.partition);
        // Compaction takes records out anywhere, and a log begins where its oldest record is.
        let may_skip = rules.keys.is_some();
        let may_begin_late = may_skip || rules.may_begin_late();
        if let Some(first) = read.records.first().map(|record| record.offset) {
            if first < asked {
                note(
                    Kind::BelowStart,
                    format!("a reading from {asked} returned {first}"),
                );
            } else if first > asked && !may_begin_late {
                note(
                    Kind::Hole,
                    format!("a reading from {asked} began at {first}"),
                );
            }
        }
        for pair in read.records.windows(2) {
            let (offset, next) = (pair[0].offset, pair[1].offset);
            if next <= offset {
                note(
                    Kind::NonMonotonic,
                    format!("a reading returned {next} after {offset}"),
                );
            } else if next > offset + 1 && !may_skip {
                note(
                    Kind::Hole,
                    format!("a reading skipped from {offset} to {next}"),
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Kind;
    use super::super::script::{Script, value};

    fn two() -> Script {
        let script = Script::default().ok(1, 0, 0).ok(1, 1, 1);
        script.final_read(&[(0, value(1, 0)), (1, value(1, 1))])
    }

    #[test]
    fn reading_without_holes_is_fine() {
        assert!(two().verdict().is_empty());
        assert!(
            two()
                .reading(1, &[(1, value(1, 1))], false)
                .verdict()
                .is_empty()
        );
        assert!(two().reading(2, &[], false).verdict().is_empty());
    }

    #[test]
    fn skipped_offset_is_a_hole() {
        let script = Script::default().ok(1, 0, 0).ok(1, 1, 2);
        assert_eq!(
            script
                .final_read(&[(0, value(1, 0)), (2, value(1, 1))])
                .verdict(),
            [Kind::Hole]
        );
    }

    #[test]
    fn reading_that_begins_too_late_has_a_hole() {
        assert_eq!(
            two().reading(0, &[(1, value(1, 1))], false).verdict(),
            [Kind::Hole]
        );
    }

    #[test]
    fn reading_that_begins_too_early_is_below_its_start() {
        let script = two().reading(1, &[(0, value(1, 0)), (1, value(1, 1))], false);
        assert_eq!(script.verdict(), [Kind::BelowStart]);
    }

    #[test]
    fn reading_that_goes_back_is_non_monotonic() {
        let script = two().reading(
            0,
            &[(0, value(1, 0)), (1, value(1, 1)), (1, value(1, 1))],
            false,
        );
        assert_eq!(script.verdict(), [Kind::NonMonotonic]);
    }
}
