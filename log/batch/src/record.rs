use bytes::Bytes;

use crate::view::{RecordView, Rules, take_header};
use crate::{BatchError, BatchHeader};

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
    Ok(Records {
        header,
        batch: batch.clone(),
        rules: Rules::of(&header)?,
    })
}

/// Iterates over the records of a batch; see [`records`]. It ends after the first error.
#[derive(Clone, Debug)]
pub struct Records {
    header: BatchHeader,
    batch: Bytes,
    rules: Rules,
}

impl Records {
    /// The header of the batch.
    pub fn header(&self) -> &BatchHeader {
        &self.header
    }
}

impl Iterator for Records {
    type Item = Result<Record, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        let Self {
            header,
            batch,
            rules,
        } = self;
        let view = rules.next(batch)?;
        Some(view.map(|view| shared(header, batch, &view)))
    }
}

/// The record that `view` shows, as one that outlives the borrow.
fn shared(header: &BatchHeader, batch: &Bytes, view: &RecordView<'_>) -> Record {
    let timestamp = if header.is_log_append_time() {
        header.max_timestamp
    } else {
        header.base_timestamp.wrapping_add(view.timestamp_delta)
    };
    let share = |bytes: &[u8]| batch.slice_ref(bytes);
    let mut rest = view.headers;
    let headers = std::iter::from_fn(|| take_header(&mut rest).ok());
    let headers = headers
        .take(view.headers_count)
        .map(|(key, value)| RecordHeader {
            key: share(key),
            value: value.map(share),
        });
    Record {
        offset: header.base_offset + u64::from(view.offset_delta),
        timestamp,
        key: view.key.map(share),
        value: view.value.map(share),
        headers: headers.collect(),
    }
}
