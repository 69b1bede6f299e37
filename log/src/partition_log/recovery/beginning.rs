//! Where a log begins that has been opened: at the log start that the caller knows, or, in the
//! segment that holds it, somewhat before.

use quorate_platform::Disk;

use super::super::anchor;
use super::{Known, Opening};
use crate::damage::Damage;

/// Takes those of the segments, which ascend, that have nothing at `log_start` or above, and leaves
/// the others: at least the one that holds the log start, whether it is there or not.
pub(super) fn split_off_expired(base_offsets: &mut Vec<u64>, log_start: u64) -> Vec<u64> {
    let behind = base_offsets.partition_point(|base| *base <= log_start);
    match behind.checked_sub(1) {
        Some(first) => base_offsets.drain(..first).collect(),
        None => {
            base_offsets.insert(0, log_start);
            Vec::new()
        }
    }
}

impl<D: Disk> Opening<D> {
    /// Whether the log reaches up to the log start and continues what is known to stand before it.
    ///
    /// If not, it has lost its end, or was about to be dropped when the process ended; which of the
    /// two cannot be told.
    pub(super) fn continues_start(&self) -> bool {
        let Known {
            log_start_offset,
            log_start_epoch,
            ..
        } = self.known;
        let Some(before) = log_start_offset.checked_sub(1) else {
            return true;
        };
        // A log that begins right there says nothing of what was before.
        let epoch = self.frontier.epochs.epoch_at(before);
        let is_continued = epoch.is_none_or(|epoch| epoch == log_start_epoch);
        self.frontier.next_offset >= log_start_offset && is_continued
    }

    /// Nothing of the log counts: it begins at the log start with nothing in it.
    pub(super) fn begin_anew(&mut self) {
        let Known {
            log_start_offset,
            log_start_epoch,
            ..
        } = self.known;
        self.frontier = anchor::found(log_start_offset, log_start_epoch);
        self.closed.clear();
        self.damage = Damage::default();
        self.covered = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_segment_that_holds_the_log_start_stays() {
        let split = |bases: &[u64], log_start| {
            let mut left = bases.to_vec();
            let expired = split_off_expired(&mut left, log_start);
            (expired, left)
        };
        assert_eq!(split(&[0, 10, 20], 0), (vec![], vec![0, 10, 20]));
        assert_eq!(split(&[0, 10, 20], 9), (vec![], vec![0, 10, 20]));
        assert_eq!(split(&[0, 10, 20], 10), (vec![0], vec![10, 20]));
        assert_eq!(split(&[0, 10, 20], 99), (vec![0, 10], vec![20]));
        assert_eq!(split(&[10, 20], 0), (vec![], vec![0, 10, 20]));
        assert_eq!(split(&[], 7), (vec![], vec![7]));
    }
}
