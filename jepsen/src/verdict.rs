use std::collections::BTreeMap;
use std::fmt;

use crate::{Anomaly, History, Kind, check};

/// Fewer acknowledged appends than this prove nothing.
const ACKNOWLEDGED_MIN: usize = 100;
/// How many anomalies of a kind are printed.
const SHOWN_MAX: usize = 5;

/// What a trial showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing that may not be seen was seen, under faults that took effect.
    Pass,
    /// Something was seen that may not be.
    Fail(Vec<Anomaly>),
    /// Too little happened to tell, and why.
    Unknown(String),
}

impl Verdict {
    /// Judges a history; `faults_wanted` tells whether there should have been faults.
    ///
    /// What is certainly wrong is wrong however little happened.
    pub fn of(history: &History, faults_wanted: bool) -> Self {
        let anomalies = check(history);
        if !anomalies.is_empty() {
            return Self::Fail(anomalies);
        }
        let acknowledged = history.acknowledged();
        if acknowledged < ACKNOWLEDGED_MIN {
            let why = format!("only {acknowledged} appends were acknowledged");
            return Self::Unknown(why);
        }
        if faults_wanted && !history.faults.iter().any(|fault| fault.took_effect) {
            return Self::Unknown(String::from("no fault took effect"));
        }
        Self::Pass
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pass => f.write_str("pass"),
            Self::Unknown(why) => write!(f, "unknown: {why}"),
            Self::Fail(anomalies) => {
                write!(f, "fail: {} anomalies", anomalies.len())?;
                let mut kinds: BTreeMap<Kind, Vec<&Anomaly>> = BTreeMap::new();
                for anomaly in anomalies {
                    kinds.entry(anomaly.kind).or_default().push(anomaly);
                }
                for (kind, anomalies) in kinds {
                    write!(f, "\n  {kind:?}: {}", anomalies.len())?;
                    for anomaly in anomalies.iter().take(SHOWN_MAX) {
                        write!(f, "\n    {anomaly}")?;
                    }
                }
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Append, Fault, FaultEvent, Moment, Outcome, Payload, Read, Record, Value};

    fn history(count: u64, took_effect: bool) -> History {
        let value = |counter| Value {
            process: 0,
            counter,
            partition: 0,
        };
        let append = |counter| Append {
            value: value(counter),
            invoked: Moment(counter),
            completed: Moment(counter),
            outcome: Outcome::Ok { offset: counter },
        };
        let record = |offset| Record {
            offset,
            payload: Payload::Value(value(offset)),
        };
        let read = Read {
            partition: 0,
            from: 0,
            invoked: Moment(count),
            completed: Moment(count),
            finished: true,
            is_final: true,
            records: (0..count).map(record).collect(),
        };
        let fault = FaultEvent {
            fault: Fault::Kill,
            nodes: vec![1],
            at: Moment(1),
            took_effect,
        };
        History {
            appends: (0..count).map(append).collect(),
            reads: vec![read],
            broken_promises: Vec::new(),
            faults: vec![fault],
            rules: BTreeMap::new(),
            parted: Vec::new(),
        }
    }

    #[test]
    fn enough_appends_under_faults_pass() {
        assert_eq!(Verdict::of(&history(1000, true), true), Verdict::Pass);
    }

    #[test]
    fn too_few_appends_are_no_proof() {
        assert!(matches!(
            Verdict::of(&history(99, true), true),
            Verdict::Unknown(_)
        ));
    }

    #[test]
    fn faults_without_effect_are_no_proof_where_faults_were_wanted() {
        assert!(matches!(
            Verdict::of(&history(1000, false), true),
            Verdict::Unknown(_)
        ));
        assert_eq!(Verdict::of(&history(1000, false), false), Verdict::Pass);
    }

    #[test]
    fn one_anomaly_fails_however_little_happened() {
        let mut history = history(2, false);
        history.reads[0].records.pop();
        assert!(matches!(Verdict::of(&history, true), Verdict::Fail(_)));
    }
}
