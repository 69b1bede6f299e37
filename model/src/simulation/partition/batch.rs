//! Records, as far as anybody looks at them.

use quorate_vsr::{Epoch, Offset};

/// Some records that were appended together. The payload is drawn once, so two batches are the same
/// only if one is a copy of the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Batch {
    pub(crate) epoch: Epoch,
    pub(crate) base: Offset,
    pub(crate) count: u32,
    pub(crate) payload: u32,
    /// Stands for this batch and all before it: logs with the same chain at a place are equal up to
    /// there.
    pub(crate) chain: u64,
}

impl Batch {
    pub(crate) fn new(
        last: Option<&Self>,
        epoch: Epoch,
        base: Offset,
        count: u32,
        payload: u32,
    ) -> Self {
        let mut batch = Self {
            epoch,
            base,
            count,
            payload,
            chain: 0,
        };
        batch.chain = batch.chain_after(last);
        batch
    }

    pub(crate) fn end(&self) -> Offset {
        Offset(self.base.0 + u64::from(self.count))
    }

    /// Whether it stood after this very batch when it was appended for the first time.
    pub(crate) fn follows(&self, last: Option<&Self>) -> bool {
        self.base == last.map_or(Offset(0), Self::end) && self.chain == self.chain_after(last)
    }

    fn chain_after(&self, last: Option<&Self>) -> u64 {
        let mut chain = last.map_or(0, |last| last.chain);
        for value in [
            u64::from(self.epoch.0),
            self.base.0,
            u64::from(self.payload),
        ] {
            chain = (chain ^ value).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            chain ^= chain >> 29;
        }
        chain
    }
}
