use std::collections::BTreeMap;
use std::fmt;

use quorate_jepsen::{Anomaly, Kind, check};

use super::replicas::{Copy, Trouble, compare};
use super::{facts, replicas};
use crate::simulation::workload::settle::{Conclusion, Damage, Settled};
use crate::simulation::workload::{Ledger, Tally};

/// Fewer acknowledged appends than this prove nothing.
const ACKNOWLEDGED_MIN: u64 = 20;
/// How many findings of one judge are told.
const TOLD_MAX: usize = 20;

/// What a run has shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing that may not be seen was seen.
    Pass,
    /// These promises were broken, in words.
    Fail(Vec<String>),
    /// Too little happened to tell, and why.
    Unknown(String),
}

impl Verdict {
    /// Has all judges look at a run that is over: at what clients noted, at what was found once all
    /// was healed, and at the bytes that the nodes have left. `files` gives the folder of a
    /// partition on a node, by the names of its files; the notes are taken out of the ledger.
    pub fn of(
        ledger: &Ledger,
        conclusion: &Conclusion,
        files: impl Fn(u16, u64) -> BTreeMap<String, Vec<u8>>,
    ) -> Self {
        let mut found = Vec::new();
        let mut anomalies = check(&ledger.take_history());
        match conclusion.damage {
            Damage::None | Damage::Mendable => {
                tell(&mut found, "liveness", &conclusion.problems);
            }
            Damage::Any => anomalies.retain(|anomaly| !is_excused(anomaly, conclusion)),
        }
        tell(&mut found, "records", &anomalies);
        tell(&mut found, "control plane", &ledger.take_control().check());
        tell(&mut found, "leaders", &facts::check(&ledger.take_seen()));
        let mut discords = discords(&conclusion.settled, files);
        let is_lack =
            |trouble| matches!(trouble, Trouble::Hole | Trouble::Short | Trouble::LateStart);
        discords.retain(|it| conclusion.damage != Damage::Any || !is_lack(it.trouble));
        tell(&mut found, "replicas", &discords);
        if !found.is_empty() {
            return Self::Fail(found);
        }
        let tallies = ledger.tallies();
        if ledger.acknowledged() < ACKNOWLEDGED_MIN {
            let acknowledged = ledger.acknowledged();
            return Self::Unknown(format!("only {acknowledged} appends were acknowledged"));
        }
        let in_vain = |(kind, tally): (&&'static str, &Tally)| {
            let tries = tally.refused + tally.doubtful;
            (tally.done == 0 && tries > 0).then_some((*kind, tries))
        };
        // Some operations are rare, and may have met a fault each time.
        match tallies
            .iter()
            .filter_map(in_vain)
            .find(|(_, tries)| *tries >= 20)
        {
            Some((kind, tries)) => {
                Self::Unknown(format!("\"{kind}\" was tried {tries} times and never done"))
            }
            None => Self::Pass,
        }
    }
}

/// Whether records cannot be read in the end where every copy may be damaged. As long as nobody
/// leads a partition, what its replicas know to be committed can be read, and it may be little;
/// once somebody does, nothing may be missing.
fn is_excused(anomaly: &Anomaly, conclusion: &Conclusion) -> bool {
    let is_missing = matches!(anomaly.kind, Kind::Unread | Kind::Lost);
    let mut partition = anomaly.partition.into_iter();
    is_missing && partition.any(|log| conclusion.unwell.contains(&log))
}

fn tell<T: fmt::Display>(found: &mut Vec<String>, judge: &str, said: &[T]) {
    found.extend(
        said.iter()
            .take(TOLD_MAX)
            .map(|it| format!("{judge}: {it}")),
    );
    if said.len() > TOLD_MAX {
        let more = said.len() - TOLD_MAX;
        found.push(format!("{judge}: and {more} more"));
    }
}

fn discords(
    settled: &[Settled],
    files: impl Fn(u16, u64) -> BTreeMap<String, Vec<u8>>,
) -> Vec<replicas::Discord> {
    let mut found = Vec::new();
    for Settled { partition, holders } in settled {
        let folders: Vec<_> = holders
            .iter()
            .map(|node| (*node, files(*node, partition.id)))
            .collect();
        let copies: Vec<_> = folders
            .iter()
            .map(|(node, files)| Copy::read(*node, partition.id, files))
            .collect();
        found.extend(compare(partition, &copies));
    }
    found
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pass => f.write_str("pass"),
            Self::Unknown(why) => write!(f, "unknown: {why}"),
            Self::Fail(found) => {
                f.write_str("fail:")?;
                found.iter().try_for_each(|what| write!(f, "\n  {what}"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulation::oracle::replicas::Partition;

    fn nothing(_: u16, _: u64) -> BTreeMap<String, Vec<u8>> {
        BTreeMap::new()
    }

    #[test]
    fn run_in_which_nothing_happened_proves_nothing() {
        let verdict = Verdict::of(&Ledger::default(), &Conclusion::default(), nothing);
        assert!(matches!(verdict, Verdict::Unknown(_)), "{verdict}");
    }

    #[test]
    fn finding_of_any_judge_fails_the_run_however_little_happened() {
        let ledger = Ledger::default();
        ledger.promise_broken("something hangs");
        let verdict = Verdict::of(&ledger, &Conclusion::default(), nothing);
        assert!(verdict.to_string().contains("records: "), "{verdict}");
        let late = Conclusion {
            problems: vec!["not in time".to_owned()],
            ..Conclusion::default()
        };
        let verdict = Verdict::of(&Ledger::default(), &late, nothing);
        assert!(
            verdict.to_string().contains("liveness: not in time"),
            "{verdict}"
        );
        let partition = Partition {
            id: 1,
            log_start: 0,
            high_watermark: 5,
            is_compacted: false,
            may_be_damaged: false,
        };
        let holders = vec![1, 2];
        let short = Conclusion {
            settled: vec![Settled { partition, holders }],
            ..Conclusion::default()
        };
        let verdict = Verdict::of(&Ledger::default(), &short, nothing);
        assert!(
            verdict
                .to_string()
                .contains("replicas: partition 1 on node 2"),
            "{verdict}"
        );
    }
}
