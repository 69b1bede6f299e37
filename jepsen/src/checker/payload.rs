//! Every record that was read is a value that somebody had sent there before, and that was not
//! refused.

use std::collections::BTreeMap;

use super::{Anomaly, Kind};
use crate::{Append, History, Outcome, Payload, Read, Value};

pub(super) fn check(history: &History, anomalies: &mut Vec<Anomaly>) {
    let sent: BTreeMap<Value, &Append> = history
        .appends
        .iter()
        .map(|append| (append.value, append))
        .collect();
    for read in &history.reads {
        for record in &read.records {
            if let Some((kind, what)) = judge(&sent, read, &record.payload) {
                let what = format!("at offset {}: {what}", record.offset);
                anomalies.push(Anomaly::new(kind, read.partition, what));
            }
        }
    }
}

fn judge(
    sent: &BTreeMap<Value, &Append>,
    read: &Read,
    payload: &Payload,
) -> Option<(Kind, String)> {
    let value = match payload {
        Payload::Damaged(damage) => return Some((Kind::Corrupt, damage.to_string())),
        Payload::Value(value) => value,
    };
    let Some(append) = sent.get(value) else {
        return Some((Kind::Phantom, format!("{value}, which nobody sent")));
    };
    if append.outcome == Outcome::Fail {
        return Some((Kind::Phantom, format!("{value}, which was refused")));
    }
    if value.partition != read.partition {
        let home = value.partition;
        return Some((
            Kind::Misplaced,
            format!("{value}, which was sent to partition {home}"),
        ));
    }
    let too_early = read.completed < append.invoked;
    too_early.then(|| (Kind::FromTheFuture, format!("{value}, before it was sent")))
}

#[cfg(test)]
mod tests {
    use super::super::Kind;
    use super::super::script::{Script, value};
    use crate::{Damage, Payload, check};

    #[test]
    fn value_that_nobody_sent_is_a_phantom() {
        let script = Script::default().ok(1, 0, 0);
        let found = script
            .final_read(&[(0, value(1, 0)), (1, value(9, 0))])
            .verdict();
        assert_eq!(found, [Kind::Phantom]);
    }

    #[test]
    fn refused_value_that_is_seen_is_a_phantom() {
        let script = Script::default().ok(1, 0, 0).fail(1, 1);
        let found = script
            .final_read(&[(0, value(1, 0)), (1, value(1, 1))])
            .verdict();
        assert_eq!(found, [Kind::Phantom]);
    }

    #[test]
    fn doubtful_value_may_be_seen_or_not() {
        let script = Script::default().ok(1, 0, 0).info(2, 0).info(3, 0);
        assert!(
            script
                .final_read(&[(0, value(1, 0)), (1, value(2, 0))])
                .verdict()
                .is_empty()
        );
    }

    #[test]
    fn value_read_before_it_was_sent_is_from_the_future() {
        let script = Script::default().read(&[(0, value(1, 0))]).ok(1, 0, 0);
        assert_eq!(
            script.final_read(&[(0, value(1, 0))]).verdict(),
            [Kind::FromTheFuture]
        );
    }

    #[test]
    fn value_read_before_its_acknowledgement_is_fine() {
        let script = Script::default()
            .read(&[(0, value(1, 0))])
            .ok(1, 0, 0)
            .begun_at_the_start();
        assert!(script.final_read(&[(0, value(1, 0))]).verdict().is_empty());
    }

    #[test]
    fn value_of_another_partition_is_misplaced() {
        let mut history = Script::default()
            .ok(1, 0, 0)
            .final_read(&[(0, value(1, 0))])
            .history();
        history.reads[0].partition = 1;
        let kinds: Vec<_> = check(&history).iter().map(|anomaly| anomaly.kind).collect();
        assert!(kinds.contains(&Kind::Misplaced), "{kinds:?}");
    }

    #[test]
    fn damaged_bytes_are_corrupt() {
        let mut history = Script::default()
            .ok(1, 0, 0)
            .info(1, 1)
            .final_read(&[(0, value(1, 0)), (1, value(1, 1))])
            .history();
        assert!(check(&history).is_empty());
        history.reads[0].records[1].payload = Payload::Damaged(Damage::Hash);
        let kinds: Vec<_> = check(&history).iter().map(|anomaly| anomaly.kind).collect();
        assert_eq!(kinds, [Kind::Corrupt]);
    }
}
