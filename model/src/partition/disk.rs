use quorate_vsr::partition::{EpochHistory, Facts, Replica, Unsound};
use quorate_vsr::{Epoch, NodeId, Offset};

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
    pub(crate) log: Vec<Record>,
}

impl Disk {
    /// Starts a replica from what is there.
    pub(crate) fn start(&self, me: NodeId) -> Result<Replica, Unsound> {
        Replica::new(me, self.facts, end(&self.log), history(&self.log))
    }
}

/// One past the last record.
pub(crate) fn end(log: &[Record]) -> Offset {
    Offset(log.len() as u64)
}

/// The epochs that wrote these records, as recovery reads them from the batch headers.
fn history(log: &[Record]) -> EpochHistory {
    let mut starts: Vec<(Epoch, Offset)> = Vec::new();
    for (offset, record) in (0..).map(Offset).zip(log) {
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
