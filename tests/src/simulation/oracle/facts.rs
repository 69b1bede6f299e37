//! What a leader says of its partition never goes back.
//!
//! A leader that has settled, which is to say that a majority of the voters has adopted its log,
//! knows everything that was ever committed. So its high watermark is at least what any leader of
//! an earlier epoch has named, whenever that was; and within one epoch it grows with time.

use std::collections::BTreeMap;
use std::fmt;

use quorate_jepsen::Moment;

use crate::simulation::workload::Seen;

/// A leader that named less than was known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Regress {
    /// The partition's id.
    pub partition: u64,
    /// What went back, in words.
    pub what: String,
}

/// Everything that went back.
pub fn check(seen: &[Seen]) -> Vec<Regress> {
    let mut partitions: BTreeMap<u64, Vec<Told>> = BTreeMap::new();
    for seen in seen.iter().filter(|seen| is_settled(seen)) {
        let told = Told {
            invoked: seen.invoked,
            completed: seen.completed,
            epoch: seen.status.epoch,
            high_watermark: seen.status.high_watermark,
            log_start: seen.status.log_start_offset,
        };
        partitions.entry(seen.info.id).or_default().push(told);
    }
    let mut found = Vec::new();
    for (partition, mut told) in partitions {
        told.sort_by_key(|told| (told.epoch, told.invoked));
        let mut note = |what| found.push(Regress { partition, what });
        check_epochs(&told, &mut note);
        let epochs = told.chunk_by(|one, next| one.epoch == next.epoch);
        epochs.for_each(|epoch| check_epoch(epoch, &mut note));
    }
    found
}

/// What a settled leader said.
struct Told {
    invoked: Moment,
    completed: Moment,
    epoch: u32,
    high_watermark: u64,
    log_start: u64,
}

/// By its own words, without a look at those of the nodes.
fn is_settled(seen: &Seen) -> bool {
    let (info, status) = (&seen.info, &seen.status);
    let adopted = |node: &&u16| {
        let mut replicas = status.replicas.iter();
        replicas.any(|replica| replica.node == **node && replica.in_sync)
    };
    let has_majority = |set: &[u16]| 2 * set.iter().filter(adopted).count() > set.len();
    let is_leader = status.is_open && status.epoch == info.epoch && status.node == info.leader;
    let is_previous = info.previous.is_empty() || has_majority(&info.previous);
    is_leader && has_majority(&info.voters) && is_previous
}

/// Whatever an earlier epoch has committed, a later one knows.
fn check_epochs(told: &[Told], note: &mut impl FnMut(String)) {
    let mut earlier: Option<&Told> = None;
    for pair in told.windows(2) {
        let (one, next) = (&pair[0], &pair[1]);
        if earlier.is_none_or(|earlier| earlier.high_watermark < one.high_watermark) {
            earlier = Some(one);
        }
        if let Some(earlier) = earlier
            && earlier.epoch < next.epoch
            && earlier.high_watermark > next.high_watermark
        {
            note(format!(
                "the leader of epoch {} named the high watermark {}, and that of epoch {} only {}",
                earlier.epoch, earlier.high_watermark, next.epoch, next.high_watermark
            ));
        }
    }
}

/// Within one epoch, what is asked later is not less.
fn check_epoch(told: &[Told], note: &mut impl FnMut(String)) {
    for (at, next) in told.iter().enumerate() {
        let before = told[..at].iter().filter(|one| one.completed < next.invoked);
        let (mut high_watermark, mut log_start) = (0, 0);
        for one in before {
            high_watermark = one.high_watermark.max(high_watermark);
            log_start = one.log_start.max(log_start);
        }
        if next.high_watermark < high_watermark || next.log_start < log_start {
            note(format!(
                "the leader of epoch {} said {log_start}..{high_watermark} and then {}..{}",
                next.epoch, next.log_start, next.high_watermark
            ));
        }
    }
}

impl fmt::Display for Regress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "partition {}: {}", self.partition, self.what)
    }
}

#[cfg(test)]
mod tests {
    use quorate_client::{PartitionInfo, PartitionStatus, ReplicaStatus};

    use super::*;

    /// Said at a time, by the leader of an epoch of whom so many have adopted the log.
    fn said(at: u64, epoch: u32, adopted: u16, log_start: u64, high_watermark: u64) -> Seen {
        let replica = |node| ReplicaStatus {
            node,
            next_offset: high_watermark,
            in_sync: node <= adopted,
        };
        Seen {
            invoked: Moment(10 * at),
            completed: Moment(10 * at + 5),
            info: PartitionInfo {
                id: 1,
                index: 0,
                leader: 1,
                epoch,
                voters: vec![1, 2, 3],
                previous: Vec::new(),
                learners: Vec::new(),
                replicas: vec![1, 2, 3],
                absent: Vec::new(),
            },
            status: PartitionStatus {
                partition: 1,
                node: 1,
                leader: 1,
                epoch,
                is_open: true,
                log_start_offset: log_start,
                high_watermark,
                bytes: 0,
                replicas: (1..=3).map(replica).collect(),
                damaged_ranges: 0,
                waits_for: None,
            },
        }
    }

    #[test]
    fn what_grows_is_fine() {
        let seen = [
            said(1, 1, 2, 0, 5),
            said(2, 1, 3, 1, 5),
            said(3, 2, 2, 0, 9),
        ];
        assert_eq!(check(&seen), []);
    }

    #[test]
    fn later_epoch_that_knows_less_is_found_however_early_it_said_so() {
        let seen = [said(1, 2, 2, 0, 4), said(2, 1, 2, 0, 5)];
        assert_eq!(check(&seen).len(), 1);
        let seen = [said(1, 2, 2, 0, 5), said(2, 1, 2, 0, 5)];
        assert_eq!(check(&seen), []);
    }

    #[test]
    fn leader_that_has_not_settled_may_know_less() {
        let seen = [
            said(1, 1, 2, 0, 5),
            said(2, 2, 1, 0, 0),
            said(3, 2, 2, 0, 5),
        ];
        assert_eq!(check(&seen), []);
        let mut closed = said(2, 2, 2, 0, 0);
        closed.status.is_open = false;
        assert_eq!(check(&[said(1, 1, 2, 0, 5), closed]), []);
    }

    #[test]
    fn leader_that_goes_back_is_found_unless_both_answers_overlap() {
        let seen = [said(1, 1, 2, 0, 5), said(2, 1, 2, 0, 4)];
        assert_eq!(check(&seen).len(), 1);
        let seen = [said(1, 1, 2, 2, 5), said(2, 1, 2, 1, 5)];
        assert_eq!(check(&seen).len(), 1);
        let mut overlapping = said(1, 1, 2, 0, 5);
        overlapping.completed = Moment(20);
        assert_eq!(check(&[overlapping, said(2, 1, 2, 0, 4)]), []);
    }
}
