use bytes::Bytes;

use crate::{BatchHeader, HEADER_BYTES, stamp};

/// A batch without records, such as one that compaction has left nothing of: it stands where
/// nothing is needed any more, so that what follows has its place.
///
/// It spans the offsets from `base_offset` up to `next_offset`, written in `leader_epoch`, at the
/// time `timestamp` in milliseconds since 1970, and takes [`HEADER_BYTES`].
///
/// # Panics
///
/// If it spans no offset, or more than 2^31.
#[must_use]
pub fn hollow(base_offset: u64, next_offset: u64, leader_epoch: u32, timestamp: i64) -> Bytes {
    let span = next_offset.checked_sub(base_offset);
    let last = span.and_then(|span| span.checked_sub(1));
    let last = last.and_then(|last| i32::try_from(last).ok());
    let header = BatchHeader {
        base_offset: 0,
        batch_bytes: HEADER_BYTES,
        leader_epoch: 0,
        crc: 0,
        attributes: 0,
        last_offset_delta: last
            .expect("a batch spans offsets, and not too many")
            .cast_unsigned(),
        base_timestamp: timestamp,
        max_timestamp: timestamp,
        producer: None,
        records_count: 0,
    };
    let mut batch = vec![0; HEADER_BYTES];
    header.encode_into(&mut batch);
    stamp(&mut batch, base_offset, leader_epoch);
    batch.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_a_sound_batch_that_spans_its_offsets() {
        let batch = hollow(7, 19, 3, 1234);
        let header = BatchHeader::validate(&batch).unwrap();
        assert_eq!((header.base_offset, header.next_offset()), (7, 19));
        assert_eq!((header.leader_epoch, header.records_count), (3, 0));
        assert_eq!((header.producer, header.max_timestamp), (None, 1234));
        assert_eq!(crate::records(&batch).unwrap().count(), 0);
    }
}
