/// Which epoch wrote which offsets: the first offset of each epoch that wrote any.
///
/// Epochs and offsets both ascend strictly.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct EpochHistory {
    starts: Vec<(u32, u64)>,
}

impl EpochHistory {
    /// Epochs with their first offsets, ascending.
    pub fn starts(&self) -> &[(u32, u64)] {
        &self.starts
    }

    /// The latest epoch that wrote anything; 0 if none did.
    pub fn latest(&self) -> u32 {
        self.starts.last().map_or(0, |&(epoch, _)| epoch)
    }

    /// The epoch that wrote `offset`, if the history reaches back to it.
    pub fn epoch_at(&self, offset: u64) -> Option<u32> {
        let behind = self.starts.partition_point(|&(_, start)| start <= offset);
        self.starts[..behind].last().map(|&(epoch, _)| epoch)
    }

    /// Notes that `epoch` wrote a batch at `offset`, at the end of the log.
    pub(crate) fn observe(&mut self, epoch: u32, offset: u64) {
        if self.starts.is_empty() || self.latest() != epoch {
            assert!(self.latest() <= epoch, "epochs never fall along a log");
            self.starts.push((epoch, offset));
        }
    }

    /// Forgets everything at `to` and above.
    pub(crate) fn truncate(&mut self, to: u64) {
        let kept = self.starts.partition_point(|&(_, start)| start < to);
        self.starts.truncate(kept);
    }

    /// The history whose starts are these; `None` if they do not ascend.
    pub(crate) fn from_starts(starts: Vec<(u32, u64)>) -> Option<Self> {
        let ascends = |pair: &[(u32, u64)]| pair[0].0 < pair[1].0 && pair[0].1 < pair[1].1;
        starts.windows(2).all(ascends).then_some(Self { starts })
    }
}
