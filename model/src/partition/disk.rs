use std::collections::BTreeSet;

use quorate_vsr::partition::{EpochHistory, Facts, Replica, Unsound};
use quorate_vsr::{Epoch, NodeId, Offset};

use crate::thinned::Thinned;

/// One record, in a batch of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Record {
    pub(crate) epoch: Epoch,
    /// Different for every append, so that no two records are the same by accident.
    pub(crate) serial: u8,
}

/// What a crash leaves.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Disk {
    pub(crate) facts: Facts,
    /// From offset 0 on: what has expired stays here, for it still counts, and is read by nobody.
    pub(crate) log: Vec<Record>,
    /// Where the records begin that are really there.
    pub(crate) begin: Offset,
    /// Which records of it cannot be read.
    pub(crate) damaged: BTreeSet<Offset>,
    /// What compaction has made of it, and of the records that are about to get there.
    pub(crate) thinned: Thinned,
}

impl Disk {
    /// Keeps the first records only.
    pub(crate) fn truncate(&mut self, to: Offset) {
        let kept = usize::try_from(to.0).unwrap_or(usize::MAX);
        self.log.truncate(kept);
        self.damaged.retain(|offset| *offset < to);
        self.thinned.truncate(to);
    }

    /// Readable records take the place of what may be damaged; false if they are others than those
    /// that were there.
    pub(crate) fn rewrite(&mut self, base: Offset, records: &[Record], thinned: &Thinned) -> bool {
        let until = Offset(base.0 + records.len() as u64);
        self.thinned.replace(base, until, thinned);
        for offset in (base.0..).map(Offset).take(records.len()) {
            self.damaged.remove(&offset);
        }
        from(&self.log, base).starts_with(records)
    }

    /// How many of these records the disk holds, and can read, from the first one on.
    pub(crate) fn held(&self, records: &[Record]) -> usize {
        let common = self.log.iter().zip(records).take_while(|(a, b)| a == b);
        let damage = self.damaged.first().map_or(u64::MAX, |offset| offset.0);
        common
            .count()
            .min(usize::try_from(damage).unwrap_or(usize::MAX))
    }

    /// The readable records from `base` on, up to `until` or where damage begins.
    pub(crate) fn readable<'a>(
        &self,
        log: &'a [Record],
        base: Offset,
        until: Offset,
    ) -> &'a [Record] {
        if base < self.begin {
            return &[];
        }
        let damage = self.damaged.range(base..).next();
        let until = damage.map_or(until, |damage| until.min(*damage));
        let count = usize::try_from(until.0.saturating_sub(base.0)).unwrap_or(usize::MAX);
        let records = from(log, base);
        &records[..count.min(records.len())]
    }

    /// What is before an offset is removed.
    pub(crate) fn retire(&mut self, below: Offset) {
        self.begin = below;
        self.damaged.retain(|offset| *offset >= below);
    }

    /// The log is dropped, and begins anew at the end of these records, which count as if they were
    /// there.
    pub(crate) fn begin_anew(&mut self, expired: &[Record]) {
        self.log = expired.to_vec();
        self.begin = end(expired);
        self.damaged.clear();
        self.thinned = Thinned::default();
    }

    /// Where the records are that can be read.
    pub(crate) fn places(&self) -> impl Iterator<Item = Offset> {
        let places = (self.begin.0..self.log.len() as u64).map(Offset);
        places.filter(|place| !self.damaged.contains(place))
    }

    /// Whether the log reaches up to its log start and is the one that stands before it.
    pub(crate) fn continues_start(&self) -> bool {
        let Facts {
            log_start,
            log_start_epoch,
            ..
        } = self.facts;
        let before = usize::try_from(log_start.0)
            .unwrap_or(usize::MAX)
            .checked_sub(1);
        let epoch = |before: usize| self.log.get(before).map(|record| record.epoch);
        before.is_none_or(|before| epoch(before) == Some(log_start_epoch))
    }

    /// Starts a replica from what is there.
    pub(crate) fn start(&self, me: NodeId) -> Result<Replica, Unsound> {
        Replica::new(
            me,
            self.facts,
            end(&self.log),
            history(&self.log, self.begin),
        )
    }
}

/// One past the last record.
pub(crate) fn end(log: &[Record]) -> Offset {
    Offset(log.len() as u64)
}

/// The epochs that wrote these records, as recovery reads them from the batch headers that are
/// there.
fn history(log: &[Record], begin: Offset) -> EpochHistory {
    let mut starts: Vec<(Epoch, Offset)> = Vec::new();
    let records = (0..).map(Offset).zip(log);
    for (offset, record) in records.filter(|(offset, _)| *offset >= begin) {
        if starts.last().is_none_or(|last| last.0 != record.epoch) {
            starts.push((record.epoch, offset));
        }
    }
    EpochHistory::from_starts(starts).unwrap_or_default()
}

/// The epoch and offset of each record from `base` on, as they stand in the batch headers.
pub(crate) fn headers(base: Offset, records: &[Record]) -> Vec<(Epoch, Offset)> {
    let offsets = (base.0..).map(Offset);
    offsets
        .zip(records)
        .map(|(offset, record)| (record.epoch, offset))
        .collect()
}

/// The records from `from` on.
pub(crate) fn from(log: &[Record], from: Offset) -> &[Record] {
    let from = usize::try_from(from.0).unwrap_or(usize::MAX);
    log.get(from..).unwrap_or_default()
}
