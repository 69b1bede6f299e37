//! Bytes that were damaged, cut off or made up.

use bytes::Bytes;
use quorate_batch::{BatchBuilder, BatchError, BatchHeader, Batches, HEADER_BYTES, records};
use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};

/// Where the bytes under the checksum begin; the checksum itself is in front of it.
const CRC_FROM: usize = 21;

fn batch(values: &[&[u8]]) -> Bytes {
    let mut builder = BatchBuilder::new(1 << 20);
    for value in values {
        builder
            .push(1, Some(b"key"), Some(value), &[("name", None)])
            .expect("the record fits");
    }
    builder.finish(None)
}

/// Makes the checksum right again, as somebody who lies would.
fn seal(bytes: &mut [u8]) {
    let crc = crc32c::crc32c(&bytes[CRC_FROM..]);
    bytes[17..21].copy_from_slice(&crc.to_be_bytes());
}

#[test]
fn every_flipped_bit_under_or_in_the_checksum_is_noticed() {
    let good = batch(&[b"one", b"two"]);
    for bit in 16 * 8..good.len() * 8 {
        let mut bad = good.to_vec();
        bad[bit / 8] ^= 1 << (bit % 8);
        assert!(BatchHeader::validate(&bad).is_err(), "bit {bit}");
        assert!(records(&Bytes::from(bad)).is_err(), "bit {bit}");
    }
}

#[test]
fn a_batch_cut_anywhere_is_truncated() {
    let good = batch(&[b"one", b"two"]);
    for len in 0..good.len() {
        let expected = if len < HEADER_BYTES {
            HEADER_BYTES
        } else {
            good.len()
        };
        let error = BatchHeader::validate(&good[..len]).unwrap_err();
        assert_eq!(error, BatchError::Truncated { expected, got: len });
    }
}

#[test]
fn bytes_behind_the_one_batch_are_refused() {
    let mut bytes = batch(&[b"one"]).to_vec();
    bytes.push(0);
    let (expected, got) = (bytes.len() - 1, bytes.len());
    assert_eq!(
        BatchHeader::validate(&bytes),
        Err(BatchError::Trailing { expected, got })
    );
}

#[test]
fn records_that_lie_under_a_right_checksum_never_panic() {
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let good = batch(&[b"one", b"two", b"three"]);
    let mut refused = 0;
    for _ in 0..20_000 {
        let mut bad = good.to_vec();
        for _ in 0..random.random_range(1..4) {
            let at = random.random_range(CRC_FROM..bad.len());
            bad[at] = random.random();
        }
        seal(&mut bad);
        let Ok(records) = records(&Bytes::from(bad)) else {
            continue;
        };
        let count = records.header().records_count as usize;
        let all: Vec<_> = records.collect();
        assert!(all.len() <= count + 1);
        refused += usize::from(all.last().is_some_and(Result::is_err));
    }
    assert!(refused > 1000, "hardly any lie was noticed: {refused}");
}

#[test]
fn random_bytes_are_refused() {
    let mut random = ChaCha8Rng::seed_from_u64(2);
    for _ in 0..5000 {
        let len = random.random_range(0..200);
        let mut bytes: Vec<u8> = (0..len).map(|_| random.random()).collect();
        if let Some(magic) = bytes.get_mut(16) {
            *magic = 2;
        }
        assert!(BatchHeader::validate(&bytes).is_err());
        assert!(Batches::new(Bytes::from(bytes)).all(|batch| batch.is_err()));
    }
}

#[test]
fn a_record_count_that_claims_too_much_ends_in_an_error() {
    let mut bytes = batch(&[b"one"]).to_vec();
    bytes[23..27].copy_from_slice(&i32::MAX.to_be_bytes());
    bytes[57..61].copy_from_slice(&i32::MAX.to_be_bytes());
    seal(&mut bytes);
    let all: Vec<_> = records(&Bytes::from(bytes)).unwrap().collect();
    assert_eq!(all.len(), 2);
    assert!(matches!(all[1], Err(BatchError::Record { index: 1, .. })));
}

#[test]
fn batches_are_split_without_copying_and_end_at_the_first_flaw() {
    let (first, second) = (batch(&[b"one"]), batch(&[b"two", b"three"]));
    let mut bytes = [first.clone(), second.clone(), first.clone()].concat();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    let all: Vec<_> = Batches::new(Bytes::from(bytes)).collect();
    assert_eq!(all[0].as_ref().unwrap().1, first);
    assert_eq!(all[1].as_ref().unwrap().1, second);
    assert!(matches!(all[2], Err(BatchError::Crc { .. })));
    assert_eq!(all.len(), 3);
}
