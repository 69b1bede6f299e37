use std::fmt;

use bytes::Bytes;

use crate::{BatchHeader, HEADER_BYTES, Producer, varint};

/// The most that a length field can say, so the largest batch there can be.
const BATCH_BYTES_MAX: usize = i32::MAX as usize;
const RECORDS_MAX: usize = i32::MAX as usize;

/// Encodes records into one batch.
///
/// Each record is encoded once, when it is pushed; the builder knows at any time how large the
/// batch is, and refuses a record that would make it larger than its limit.
#[derive(Clone, Debug)]
pub struct BatchBuilder {
    /// Room for the header, then the records.
    bytes: Vec<u8>,
    bytes_max: usize,
    records_count: usize,
    base_timestamp: i64,
    max_timestamp: i64,
}

/// The record does not fit into the batch; nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchFull {
    /// The size of the batch if it took the record.
    pub bytes: usize,
    /// The limit.
    pub bytes_max: usize,
}

impl BatchBuilder {
    /// A builder of a batch of at most `bytes_max` bytes, header included.
    pub fn new(bytes_max: usize) -> Self {
        Self {
            bytes: vec![0; HEADER_BYTES],
            bytes_max: bytes_max.min(BATCH_BYTES_MAX),
            records_count: 0,
            base_timestamp: 0,
            max_timestamp: 0,
        }
    }

    /// Appends a record, or says that the batch has no room for it.
    ///
    /// `timestamp` is in milliseconds since 1970. A key or value that is `None` is null, which is
    /// not the same as empty. Header keys may repeat; their order is kept.
    pub fn push(
        &mut self,
        timestamp: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[(&str, Option<&[u8]>)],
    ) -> Result<(), BatchFull> {
        let body_bytes = self.record_body_bytes(timestamp, key, value, headers);
        let bytes = self.bytes.len() + varint::size(body_bytes as i64) + body_bytes;
        if bytes > self.bytes_max || self.records_count == RECORDS_MAX {
            return Err(BatchFull {
                bytes,
                bytes_max: self.bytes_max,
            });
        }
        if self.records_count == 0 {
            self.base_timestamp = timestamp;
            self.max_timestamp = timestamp;
        }
        let out = &mut self.bytes;
        varint::put(out, body_bytes as i64);
        out.push(0);
        varint::put(out, timestamp.wrapping_sub(self.base_timestamp));
        varint::put(out, self.records_count as i64);
        put_nullable(out, key);
        put_nullable(out, value);
        varint::put(out, headers.len() as i64);
        for (key, value) in headers {
            put_nullable(out, Some(key.as_bytes()));
            put_nullable(out, *value);
        }
        assert_eq!(
            out.len(),
            bytes,
            "a record takes the size that was computed for it"
        );
        self.max_timestamp = self.max_timestamp.max(timestamp);
        self.records_count += 1;
        Ok(())
    }

    /// The size of the batch if it took this record too.
    pub fn bytes_with(
        &self,
        timestamp: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[(&str, Option<&[u8]>)],
    ) -> usize {
        let body_bytes = self.record_body_bytes(timestamp, key, value, headers);
        self.bytes.len() + varint::size(body_bytes as i64) + body_bytes
    }

    /// The size of the batch as it is, header included.
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// The number of records pushed so far.
    pub fn records_count(&self) -> usize {
        self.records_count
    }

    /// Whether nothing was pushed yet.
    pub fn is_empty(&self) -> bool {
        self.records_count == 0
    }

    /// The batch, ready to be sent: base offset 0, no leader epoch, checksum set.
    ///
    /// # Panics
    ///
    /// If nothing was pushed: a batch without records cannot be produced.
    pub fn finish(self, producer: Option<Producer>) -> Bytes {
        assert!(!self.is_empty(), "a batch has at least one record");
        let records_count = u32::try_from(self.records_count)
            .expect("push refuses more records than the field can hold");
        let header = BatchHeader {
            base_offset: 0,
            batch_bytes: self.bytes.len(),
            leader_epoch: 0,
            crc: 0,
            attributes: 0,
            last_offset_delta: records_count - 1,
            base_timestamp: self.base_timestamp,
            max_timestamp: self.max_timestamp,
            producer,
            records_count,
        };
        let mut bytes = self.bytes;
        header.encode_into(&mut bytes);
        Bytes::from(bytes)
    }

    /// The size of a record without the length in front of it.
    fn record_body_bytes(
        &self,
        timestamp: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[(&str, Option<&[u8]>)],
    ) -> usize {
        let base_timestamp = if self.is_empty() {
            timestamp
        } else {
            self.base_timestamp
        };
        let headers_bytes: usize = headers
            .iter()
            .map(|(key, value)| nullable_bytes(Some(key.as_bytes())) + nullable_bytes(*value))
            .sum();
        1 + varint::size(timestamp.wrapping_sub(base_timestamp))
            + varint::size(self.records_count as i64)
            + nullable_bytes(key)
            + nullable_bytes(value)
            + varint::size(headers.len() as i64)
            + headers_bytes
    }
}

impl fmt::Display for BatchFull {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { bytes, bytes_max } = self;
        write!(
            f,
            "with this record the batch would have {bytes} bytes, the limit is {bytes_max}"
        )
    }
}

impl std::error::Error for BatchFull {}

fn nullable_bytes(bytes: Option<&[u8]>) -> usize {
    match bytes {
        Some(bytes) => varint::size(bytes.len() as i64) + bytes.len(),
        None => varint::size(-1),
    }
}

fn put_nullable(out: &mut Vec<u8>, bytes: Option<&[u8]>) {
    match bytes {
        Some(bytes) => {
            varint::put(out, bytes.len() as i64);
            out.extend_from_slice(bytes);
        }
        None => varint::put(out, -1),
    }
}
