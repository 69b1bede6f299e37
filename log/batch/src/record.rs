use bytes::Bytes;

use crate::{BatchError, BatchHeader, HEADER_BYTES, varint};

/// One record of a batch; its parts share the batch's memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The record's place in its partition.
    pub offset: u64,
    /// Milliseconds since 1970.
    pub timestamp: i64,
    /// The key; `None` is null.
    pub key: Option<Bytes>,
    /// The value; `None` is null.
    pub value: Option<Bytes>,
    /// The headers, in order.
    pub headers: Vec<RecordHeader>,
}

/// A name and a value that travel with a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordHeader {
    /// The name, UTF-8 by convention; not checked.
    pub key: Bytes,
    /// The value; `None` is null.
    pub value: Option<Bytes>,
}

/// The records of `batch`, which must be exactly one undamaged batch.
///
/// Fails if the batch does not validate or if its records are compressed.
pub fn records(batch: &Bytes) -> Result<Records, BatchError> {
    let header = BatchHeader::validate(batch)?;
    if header.codec() != 0 {
        return Err(BatchError::Compressed {
            codec: header.codec(),
        });
    }
    Ok(Records {
        header,
        batch: batch.clone(),
        position: HEADER_BYTES,
        index: 0,
        next_delta: 0,
    })
}

/// Iterates over the records of a batch; see [`records`]. It ends after the first error.
#[derive(Clone, Debug)]
pub struct Records {
    header: BatchHeader,
    batch: Bytes,
    /// Where the next record begins.
    position: usize,
    /// The place of the next record among those of the batch.
    index: u32,
    /// The smallest offset delta that the next record may have.
    next_delta: u32,
}

impl Records {
    /// The header of the batch.
    pub fn header(&self) -> &BatchHeader {
        &self.header
    }

    fn take_record(&mut self) -> Result<Record, &'static str> {
        let mut rest = &self.batch[self.position..];
        let body_bytes = varint::take_i32(&mut rest).ok_or("its length is cut off")?;
        let body_bytes = usize::try_from(body_bytes).map_err(|_| "its length is negative")?;
        let body = rest
            .get(..body_bytes)
            .ok_or("it is longer than the batch")?;
        let end = self.batch.len() - rest.len() + body_bytes;
        let (record, delta) = self.take_body(body)?;
        self.position = end;
        self.next_delta = delta + 1;
        self.index += 1;
        Ok(record)
    }

    fn take_body(&self, body: &[u8]) -> Result<(Record, u32), &'static str> {
        let (_attributes, mut rest) = body.split_first().ok_or("it is empty")?;
        let rest = &mut rest;
        let timestamp_delta = varint::take(rest).ok_or("its timestamp is cut off")?;
        let delta = varint::take_i32(rest).ok_or("its offset is cut off")?;
        let delta = u32::try_from(delta).map_err(|_| "its offset is negative")?;
        if delta < self.next_delta || delta > self.header.last_offset_delta {
            return Err("its offset is out of order");
        }
        let key = self.take_nullable(rest)?;
        let value = self.take_nullable(rest)?;
        let headers = self.take_headers(rest)?;
        if !rest.is_empty() {
            return Err("bytes follow its last header");
        }
        let timestamp = if self.header.is_log_append_time() {
            self.header.max_timestamp
        } else {
            self.header.base_timestamp.wrapping_add(timestamp_delta)
        };
        let offset = self.header.base_offset + u64::from(delta);
        let record = Record {
            offset,
            timestamp,
            key,
            value,
            headers,
        };
        Ok((record, delta))
    }

    fn take_headers(&self, rest: &mut &[u8]) -> Result<Vec<RecordHeader>, &'static str> {
        let count = varint::take_i32(rest).ok_or("its number of headers is cut off")?;
        let count = usize::try_from(count).map_err(|_| "its number of headers is negative")?;
        // A header takes two bytes at least, so a count that lies cannot make us allocate much.
        if count > rest.len() / 2 {
            return Err("it has fewer headers than it claims");
        }
        let mut headers = Vec::with_capacity(count);
        for _ in 0..count {
            let key = self
                .take_nullable(rest)?
                .ok_or("the key of a header is null")?;
            headers.push(RecordHeader {
                key,
                value: self.take_nullable(rest)?,
            });
        }
        Ok(headers)
    }

    fn take_nullable(&self, rest: &mut &[u8]) -> Result<Option<Bytes>, &'static str> {
        let length = varint::take_i32(rest).ok_or("a length in it is cut off")?;
        if length == -1 {
            return Ok(None);
        }
        let length = usize::try_from(length).map_err(|_| "a length in it is negative")?;
        let (bytes, behind) = rest.split_at_checked(length).ok_or("it is cut off")?;
        *rest = behind;
        Ok(Some(self.batch.slice_ref(bytes)))
    }
}

impl Iterator for Records {
    type Item = Result<Record, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.index == self.header.records_count {
            let is_done = self.position == self.batch.len();
            self.position = self.batch.len();
            let reason = "bytes follow the last record";
            return (!is_done).then_some(Err(BatchError::Record {
                index: self.index,
                reason,
            }));
        }
        let record = self.take_record();
        Some(record.map_err(|reason| {
            let index = self.index;
            self.index = self.header.records_count;
            self.position = self.batch.len();
            BatchError::Record { index, reason }
        }))
    }
}
