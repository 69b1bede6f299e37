use std::collections::VecDeque;

use bytes::Bytes;

/// The newest batches of a log, kept in memory: all that are not durable yet, and before them as
/// many as the limit allows.
#[derive(Debug, Default)]
pub(crate) struct Tail {
    batches: VecDeque<TailBatch>,
    bytes: usize,
}

#[derive(Debug)]
struct TailBatch {
    base_offset: u64,
    next_offset: u64,
    bytes: Bytes,
}

impl Tail {
    pub(crate) fn push(&mut self, base_offset: u64, next_offset: u64, bytes: Bytes) {
        self.bytes += bytes.len();
        self.batches.push_back(TailBatch {
            base_offset,
            next_offset,
            bytes,
        });
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Drops the oldest batches until `bytes_max` are left, but none that ends above `durable`.
    pub(crate) fn shrink(&mut self, bytes_max: usize, durable: u64) {
        while self.bytes > bytes_max {
            match self.batches.front() {
                Some(batch) if batch.next_offset <= durable => self.bytes -= batch.bytes.len(),
                Some(_) | None => return,
            }
            self.batches.pop_front();
        }
    }

    /// Drops all batches at `to` and above.
    pub(crate) fn truncate(&mut self, to: u64) {
        let kept = self
            .batches
            .partition_point(|batch| batch.next_offset <= to);
        self.bytes -= self
            .batches
            .drain(kept..)
            .map(|batch| batch.bytes.len())
            .sum::<usize>();
    }

    /// Whole batches, the first of which holds `from`, of at most `bytes_max` bytes (but one at
    /// least) that end at or below `until`; `None` if `from` lies before or behind the tail.
    pub(crate) fn read(&self, from: u64, bytes_max: usize, until: u64) -> Option<Vec<Bytes>> {
        let first = self
            .batches
            .partition_point(|batch| batch.next_offset <= from);
        if self.batches.get(first)?.base_offset > from {
            return None;
        }
        let mut batches = Vec::new();
        let mut bytes = 0;
        for batch in self.batches.range(first..) {
            bytes += batch.bytes.len();
            if batch.next_offset > until || (bytes > bytes_max && !batches.is_empty()) {
                break;
            }
            batches.push(batch.bytes.clone());
        }
        Some(batches)
    }
}
