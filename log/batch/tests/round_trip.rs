//! What is encoded comes back, whatever it is.

use bytes::Bytes;
use quorate_batch::{BatchBuilder, BatchHeader, Producer, Record, RecordHeader, records};
use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};

fn random_bytes(random: &mut ChaCha8Rng, len_max: usize) -> Bytes {
    let len = random.random_range(0..=len_max);
    (0..len).map(|_| random.random::<u8>()).collect()
}

fn random_nullable(random: &mut ChaCha8Rng, len_max: usize) -> Option<Bytes> {
    let is_null = random.random_bool(0.2);
    (!is_null).then(|| random_bytes(random, len_max))
}

fn random_record(random: &mut ChaCha8Rng, offset: u64) -> Record {
    let headers_count = random.random_range(0..4);
    let headers = (0..headers_count).map(|_| RecordHeader {
        // Keys repeat on purpose.
        key: Bytes::from_static(["", "a", "schlüssel"][random.random_range(0..3)].as_bytes()),
        value: random_nullable(random, 20),
    });
    let headers = headers.collect();
    let timestamp = match random.random_range(0..10) {
        0 => random.random(),
        _ => random.random_range(-1000..1000),
    };
    let (key, value) = (random_nullable(random, 30), random_nullable(random, 300));
    Record {
        offset,
        timestamp,
        key,
        value,
        headers,
    }
}

fn push(builder: &mut BatchBuilder, record: &Record) {
    let headers: Vec<(&str, Option<&[u8]>)> = record
        .headers
        .iter()
        .map(|it| {
            (
                std::str::from_utf8(&it.key).expect("keys are text"),
                it.value.as_deref(),
            )
        })
        .collect();
    let (key, value) = (record.key.as_deref(), record.value.as_deref());
    let bytes = builder.bytes_with(record.timestamp, key, value, &headers);
    builder
        .push(record.timestamp, key, value, &headers)
        .expect("the record fits");
    assert_eq!(builder.bytes(), bytes);
}

#[test]
fn records_come_back_as_they_went_in() {
    for seed in 0..300 {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let count = random.random_range(1..100);
        let input: Vec<_> = (0..count)
            .map(|at| random_record(&mut random, at))
            .collect();
        let mut builder = BatchBuilder::new(usize::MAX);
        input.iter().for_each(|record| push(&mut builder, record));
        let producer = random.random_bool(0.5).then(|| Producer {
            id: random.random_range(0..i64::MAX),
            epoch: random.random_range(0..i16::MAX),
            base_sequence: random.random_range(0..i32::MAX),
        });
        let bytes = builder.bytes();
        let batch = builder.finish(producer);
        assert_eq!(batch.len(), bytes, "seed {seed}");
        let header = BatchHeader::validate_produced(&batch, bytes).unwrap();
        assert_eq!(header.producer, producer, "seed {seed}");
        let max_timestamp = input.iter().map(|record| record.timestamp).max().unwrap();
        assert_eq!(header.max_timestamp, max_timestamp, "seed {seed}");
        let output: Result<Vec<_>, _> = records(&batch).unwrap().collect();
        assert_eq!(output.unwrap(), input, "seed {seed}");
    }
}

#[test]
fn a_full_batch_refuses_a_record_and_stays_as_it_was() {
    let mut builder = BatchBuilder::new(100);
    builder.push(1, None, Some(b"first"), &[]).unwrap();
    let bytes = builder.bytes();
    let full = builder.push(1, None, Some(&[7; 40]), &[]).unwrap_err();
    assert_eq!((full.bytes, full.bytes_max), (bytes + 47, 100));
    assert_eq!((builder.bytes(), builder.records_count()), (bytes, 1));
    builder
        .push(1, None, Some(&[7; 100 - 12 - 61 - 7]), &[])
        .unwrap();
    assert_eq!(builder.bytes(), 100);
    assert_eq!(records(&builder.finish(None)).unwrap().count(), 2);
}
