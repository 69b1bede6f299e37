//! What a producer may send, and what not.

use bytes::Bytes;
use quorate_batch::{BatchBuilder, BatchError, BatchHeader, records};

fn batch() -> Vec<u8> {
    let mut builder = BatchBuilder::new(1 << 20);
    builder
        .push(5, None, Some(b"value"), &[])
        .expect("the record fits");
    builder
        .push(6, None, Some(b"value"), &[])
        .expect("the record fits");
    builder.finish(None).to_vec()
}

/// A batch with some bytes replaced, and a checksum that fits.
fn batch_with(at: usize, bytes: &[u8]) -> Vec<u8> {
    let mut batch = batch();
    batch[at..at + bytes.len()].copy_from_slice(bytes);
    seal(&mut batch);
    batch
}

fn seal(batch: &mut [u8]) {
    let crc = crc32c::crc32c(&batch[21..]);
    batch[17..21].copy_from_slice(&crc.to_be_bytes());
}

fn verdict(batch: &[u8]) -> Result<BatchHeader, BatchError> {
    BatchHeader::validate_produced(batch, 1000)
}

#[test]
fn a_plain_batch_is_accepted_up_to_the_limit() {
    let batch = batch();
    let bytes = batch.len();
    assert!(BatchHeader::validate_produced(&batch, bytes).is_ok());
    let error = BatchHeader::validate_produced(&batch, bytes - 1).unwrap_err();
    assert_eq!(
        error,
        BatchError::TooLarge {
            bytes,
            bytes_max: bytes - 1
        }
    );
}

#[test]
fn another_format_version_is_refused() {
    assert_eq!(
        verdict(&batch_with(16, &[1])),
        Err(BatchError::Magic { got: 1 })
    );
}

#[test]
fn counts_that_contradict_each_other_are_refused() {
    for (last_offset_delta, records_count) in [
        (1, 0),
        (1, 1),
        (0, 2),
        (1, 3),
        (-1, 0),
        (-1, 2),
        (1, -1),
        (i32::MAX, 2),
    ] {
        let mut batch = batch();
        batch[23..27].copy_from_slice(&i32::to_be_bytes(last_offset_delta));
        batch[57..61].copy_from_slice(&i32::to_be_bytes(records_count));
        seal(&mut batch);
        let expected = BatchError::Counts {
            last_offset_delta,
            records_count,
        };
        assert_eq!(verdict(&batch), Err(expected));
    }
}

#[test]
fn control_batches_and_log_append_time_are_refused() {
    assert_eq!(
        verdict(&batch_with(21, &[0, 1 << 5])),
        Err(BatchError::Control)
    );
    assert_eq!(
        verdict(&batch_with(21, &[0, 1 << 3])),
        Err(BatchError::LogAppendTime)
    );
}

#[test]
fn a_producer_without_a_sequence_is_refused() {
    let id = 9i64.to_be_bytes();
    let expected = BatchError::Producer {
        id: 9,
        epoch: -1,
        base_sequence: -1,
    };
    assert_eq!(verdict(&batch_with(43, &id)), Err(expected));
    assert!(verdict(&batch_with(43, &(-2i64).to_be_bytes())).is_err());
}

#[test]
fn a_base_offset_is_the_leaders_to_set() {
    let expected = BatchError::BaseOffset { got: 4 };
    assert_eq!(verdict(&batch_with(0, &4i64.to_be_bytes())), Err(expected));
    let negative = batch_with(0, &(-4i64).to_be_bytes());
    assert_eq!(
        BatchHeader::parse(&negative),
        Err(BatchError::BaseOffset { got: -4 })
    );
    let close_to_the_end = batch_with(0, &i64::MAX.to_be_bytes());
    assert!(BatchHeader::parse(&close_to_the_end).is_err());
}

#[test]
fn lengths_that_no_batch_has_are_refused() {
    for got in [i32::MIN, -1, 0, 48] {
        let batch = batch_with(8, &got.to_be_bytes());
        assert_eq!(verdict(&batch), Err(BatchError::Length { got }));
    }
}

#[test]
fn compressed_records_pass_but_cannot_be_looked_into() {
    for codec in 1..=4 {
        let batch = batch_with(21, &[0, codec]);
        assert_eq!(verdict(&batch).unwrap().codec(), codec);
        let error = records(&Bytes::from(batch)).unwrap_err();
        assert_eq!(error, BatchError::Compressed { codec });
        assert!(error.to_string().contains("compressed with"));
    }
    assert_eq!(
        verdict(&batch_with(21, &[0, 5])),
        Err(BatchError::UnknownCodec { codec: 5 })
    );
}

#[test]
fn log_append_time_is_the_time_of_every_record() {
    let batch = Bytes::from(batch_with(21, &[0, 1 << 3]));
    let timestamps = records(&batch)
        .unwrap()
        .map(|record| record.unwrap().timestamp);
    assert_eq!(timestamps.collect::<Vec<_>>(), [6, 6]);
}

#[test]
fn more_records_than_fit_into_the_bytes_are_refused() {
    for (attributes, records_count) in [(0_u16, 5), (0, i32::MAX), (1, i32::MAX)] {
        let mut batch = batch();
        batch[21..23].copy_from_slice(&attributes.to_be_bytes());
        batch[23..27].copy_from_slice(&(records_count - 1).to_be_bytes());
        batch[57..61].copy_from_slice(&records_count.to_be_bytes());
        seal(&mut batch);
        let expected = BatchError::Counts {
            last_offset_delta: records_count - 1,
            records_count,
        };
        assert_eq!(verdict(&batch), Err(expected), "codec {attributes}");
    }
}
