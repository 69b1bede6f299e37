//! How much a node may hold at once, where that is nobody's to configure.

use quorate_vsr::group;

/// Limits that are the same in every node. They are no configuration, for nobody gains by another
/// choice; simulated nodes have tiny ones, so that what happens at a limit happens often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Those of the control plane's group.
    pub group: group::Limits,
    /// The most partitions of a shard whose logs have a file open to be written. The files of
    /// others are opened when they are written to.
    pub open_files_max: usize,
    /// Partitions of a shard for which the disk works at once. More would not make it faster, and
    /// each waits in the kernel with a thread of its own.
    pub writing_max: usize,
    /// Bytes of one partition's batches that may wait for a majority. With no majority in sight,
    /// further batches are refused instead of being kept.
    pub uncommitted_bytes_max: usize,
    /// Bytes of a shard that are appended and not yet handed to the disk. Beyond it no connection
    /// is read.
    pub unflushed_bytes_max: u64,
    /// Bytes of batches that a shard has read for fetches and not yet sent. Beyond it fetches wait.
    pub reading_bytes_max: u64,
    /// Messages for partitions that a shard has not opened yet, or that speak of epochs which it
    /// has to hear of from the control plane first. A leader may hear of its epoch a moment before
    /// its followers do. Whatever does not fit in is said again.
    pub early_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            group: group::Limits::default(),
            open_files_max: 64,
            writing_max: 32,
            uncommitted_bytes_max: 64 << 20,
            unflushed_bytes_max: 64 << 20,
            reading_bytes_max: 256 << 20,
            early_max: 4_096,
        }
    }
}
