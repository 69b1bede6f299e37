use bytes::Bytes;

use crate::{BatchError, BatchHeader};

/// Splits bytes that hold batches one behind the other; each is shared, not copied.
///
/// Every batch is validated, its checksum included. The iteration ends after the first error.
#[derive(Clone, Debug)]
pub struct Batches {
    rest: Bytes,
}

impl Batches {
    /// The batches in `bytes`.
    pub fn new(bytes: Bytes) -> Self {
        Self { rest: bytes }
    }

    fn take_batch(&mut self) -> Result<(BatchHeader, Bytes), BatchError> {
        let expected = BatchHeader::parse(&self.rest)?.batch_bytes;
        if self.rest.len() < expected {
            return Err(BatchError::Truncated {
                expected,
                got: self.rest.len(),
            });
        }
        let batch = self.rest.split_to(expected);
        Ok((BatchHeader::validate(&batch)?, batch))
    }
}

impl Iterator for Batches {
    type Item = Result<(BatchHeader, Bytes), BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let batch = self.take_batch();
        if batch.is_err() {
            self.rest = Bytes::new();
        }
        Some(batch)
    }
}
