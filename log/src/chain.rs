//! How batches follow one another.
//!
//! A batch's checksum covers neither its base offset, nor its length, nor its epoch. What ties
//! these down is the chain: each batch begins at the offset where the one before it ended, and
//! epochs never fall.

use std::fmt;

use quorate_batch::{BatchError, BatchHeader};

/// Where a log has got to: what the next batch must join on to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Chain {
    /// The base offset that the next batch must have.
    pub(crate) next_offset: u64,
    /// The lowest epoch that the next batch may have.
    pub(crate) epoch: u32,
}

impl Chain {
    /// Checks the header at the start of `bytes`, which must leave room for the whole batch in
    /// the `bytes_max` bytes that are left of the file.
    pub(crate) fn check_header(&self, bytes: &[u8], bytes_max: u64) -> Result<BatchHeader, Flaw> {
        let header = BatchHeader::parse(bytes).map_err(Flaw::Batch)?;
        if header.base_offset != self.next_offset {
            return Err(Flaw::Offset {
                expected: self.next_offset,
                got: header.base_offset,
            });
        }
        if header.leader_epoch < self.epoch {
            return Err(Flaw::Epoch {
                expected: self.epoch,
                got: header.leader_epoch,
            });
        }
        if header.batch_bytes as u64 > bytes_max {
            return Err(Flaw::Batch(BatchError::Truncated {
                expected: header.batch_bytes,
                got: usize::try_from(bytes_max).unwrap_or(usize::MAX),
            }));
        }
        Ok(header)
    }

    /// Moves past a batch that was checked.
    pub(crate) fn follow(&mut self, header: &BatchHeader) {
        self.next_offset = header.next_offset();
        self.epoch = header.leader_epoch;
    }
}

/// What is wrong with the bytes of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Flaw {
    /// The bytes are not a whole and undamaged batch.
    Batch(BatchError),
    /// The batch does not begin where the one before it ended.
    Offset {
        /// Where it should begin.
        expected: u64,
        /// Where it says that it begins.
        got: u64,
    },
    /// The batch names another epoch than the one that wrote there.
    Epoch {
        /// The epoch of that place, or the one that had been reached before.
        expected: u32,
        /// The epoch that it names.
        got: u32,
    },
    /// The file is shorter than it was when it was last known to be durable.
    Short {
        /// The bytes that were durable.
        expected: u64,
        /// The bytes that are there.
        got: u64,
    },
    /// A segment is missing.
    Gap {
        /// The offset that the segment should begin with.
        expected: u64,
        /// The offset that it begins with.
        got: u64,
    },
    /// The whole segment is missing.
    SegmentMissing,
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Batch(error) => error.fmt(f),
            Self::Offset { expected, got } => {
                write!(
                    f,
                    "the batch there begins at offset {got} instead of {expected}"
                )
            }
            Self::Epoch { expected, got } => {
                write!(
                    f,
                    "the batch there names epoch {got} in a place of epoch {expected}"
                )
            }
            Self::Short { expected, got } => {
                write!(f, "{expected} bytes were durable, only {got} are left")
            }
            Self::Gap { expected, got } => write!(
                f,
                "the segment begins at offset {got}, but the one before it ends at {expected}"
            ),
            Self::SegmentMissing => f.write_str("the segment is gone"),
        }
    }
}

impl std::error::Error for Flaw {}
