use quorate_vsr::OpNumber;
use quorate_vsr::group::Replica;

/// What the disk did not give back of what the group had written to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Damage {
    /// How many entries of the journal are known to be damaged.
    entries: usize,
    checkpoint: Option<OpNumber>,
    is_end_uncertain: bool,
}

impl Damage {
    /// What is still missing.
    pub(super) fn of(group: &Replica) -> Self {
        Self {
            entries: group.faulty_ops().count(),
            checkpoint: group.lost_checkpoint(),
            is_end_uncertain: group.is_tail_uncertain(),
        }
    }

    /// Says what has been found or mended since `before`, in a group of so many voters.
    pub(super) fn report(self, before: Self, voters: usize) {
        let Self {
            entries,
            checkpoint,
            is_end_uncertain,
        } = self;
        if self == before {
            return;
        }
        if self == Self::default() {
            tracing::info!(
                entries = before.entries,
                checkpoint = before.checkpoint.map(|op| op.0),
                "what was damaged of the control plane's journal is mended"
            );
        } else if before != Self::default() {
            tracing::debug!(
                entries,
                ?checkpoint,
                is_end_uncertain,
                "part of it is mended"
            );
        } else if voters > 1 {
            tracing::warn!(
                entries,
                checkpoint = checkpoint.map(|op| op.0),
                is_end_uncertain,
                "the control plane's journal is damaged: asking the other nodes"
            );
        } else {
            tracing::error!(
                entries,
                checkpoint = checkpoint.map(|op| op.0),
                is_end_uncertain,
                "the control plane's journal is damaged, and this is its only voter: nobody else \
                 has what is missing. Nothing was cut, and nothing is served. Restore the folder \
                 `control` from a copy that is as new as it is"
            );
        }
    }
}
