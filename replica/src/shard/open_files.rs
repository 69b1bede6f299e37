use std::collections::BTreeMap;

/// The partitions whose logs have a file open to be written, in the order of their last use.
///
/// A shard may hold any number of partitions; most of them are idle.
#[derive(Debug)]
pub(super) struct OpenFiles {
    limit: usize,
    next_use: u64,
    /// By the number of its last use.
    by_use: BTreeMap<u64, u64>,
    by_partition: BTreeMap<u64, u64>,
}

impl OpenFiles {
    pub(super) const fn new(limit: usize) -> Self {
        Self {
            limit,
            next_use: 0,
            by_use: BTreeMap::new(),
            by_partition: BTreeMap::new(),
        }
    }

    /// Notes that a partition's file was used; gives the one whose file should be closed for it.
    pub(super) fn used(&mut self, id: u64) -> Option<u64> {
        self.closed(id);
        self.by_use.insert(self.next_use, id);
        self.by_partition.insert(id, self.next_use);
        self.next_use += 1;
        if self.by_use.len() <= self.limit {
            return None;
        }
        let (_, oldest) = self.by_use.pop_first()?;
        self.by_partition.remove(&oldest);
        Some(oldest)
    }

    /// Notes that a partition has no file open any more.
    pub(super) fn closed(&mut self, id: u64) {
        if let Some(last) = self.by_partition.remove(&id) {
            self.by_use.remove(&last);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_that_was_used_least_lately_is_closed() {
        let mut files = OpenFiles::new(2);
        assert_eq!([files.used(1), files.used(2), files.used(1)], [None; 3]);
        assert_eq!(files.used(3), Some(2));
        assert_eq!(files.used(2), Some(1));
        files.closed(3);
        assert_eq!([files.used(4), files.used(5)], [None, Some(2)]);
    }
}
