//! Taking records out of a batch.

use bytes::Bytes;
use quorate_batch::{
    BatchBuilder, BatchError, BatchHeader, HEADER_BYTES, Producer, Record, Sifted, records, sift,
    stamp,
};
use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};

/// Records with every combination of null keys, null values and headers, at offset 40.
fn batch() -> Vec<u8> {
    let mut builder = BatchBuilder::new(1 << 20);
    let headers: [(&str, Option<&[u8]>); 2] = [("name", Some(b"value")), ("null", None)];
    for (at, key) in [Some("a"), None, Some("b"), Some("a"), Some("")]
        .iter()
        .enumerate()
    {
        let value = (at != 3).then_some(b"some value".as_slice());
        let headers = &headers[..at % 3];
        builder
            .push(100 - at as i64, key.map(str::as_bytes), value, headers)
            .expect("the record fits");
    }
    let mut batch = builder
        .finish(Some(Producer {
            id: 3,
            epoch: 1,
            base_sequence: 70,
        }))
        .to_vec();
    stamp(&mut batch, 40, 6);
    batch
}

fn all_of(batch: &[u8]) -> Vec<Record> {
    let records = records(&Bytes::copy_from_slice(batch)).expect("the batch is sound");
    records.map(|record| record.expect("it is sound")).collect()
}

/// Keeps the records with such offset deltas.
fn sift_by(batch: &[u8], is_kept: impl Fn(u32) -> bool) -> Result<Sifted, BatchError> {
    let header = BatchHeader::validate(batch)?;
    sift(&header, batch, |record| is_kept(record.offset_delta))
}

fn part(sifted: Sifted) -> Vec<u8> {
    match sifted {
        Sifted::Part(part) => part,
        Sifted::Whole => panic!("nothing was taken out"),
    }
}

/// Every choice of records to be kept.
#[test]
fn what_is_kept_is_what_it_was_and_the_rest_of_the_header_stays() {
    let batch = batch();
    let whole = BatchHeader::validate(&batch).unwrap();
    for choice in 0..1u32 << 5 {
        let is_kept = |delta: u32| choice & (1 << delta) != 0;
        let sifted = sift_by(&batch, is_kept).unwrap();
        if choice == 31 {
            assert_eq!(sifted, Sifted::Whole);
            continue;
        }
        let part = part(sifted);
        let mut kept = all_of(&batch);
        kept.retain(|record| is_kept((record.offset - 40) as u32));
        assert_eq!(all_of(&part), kept);
        let header = BatchHeader::validate(&part).unwrap();
        let expected = BatchHeader {
            batch_bytes: part.len(),
            crc: header.crc,
            records_count: kept.len() as u32,
            ..whole
        };
        assert_eq!(header, expected);
        assert_eq!(header.next_offset(), 45);
        assert!(part.len() < batch.len());
    }
}

#[test]
fn a_batch_of_which_nothing_is_left_is_a_header_and_can_be_sifted_again() {
    let emptied = part(sift_by(&batch(), |_| false).unwrap());
    assert_eq!(emptied.len(), HEADER_BYTES);
    assert_eq!(all_of(&emptied), []);
    assert_eq!(sift_by(&emptied, |_| false).unwrap(), Sifted::Whole);
}

#[test]
fn records_are_taken_out_step_by_step_as_well_as_at_once() {
    let once = part(sift_by(&batch(), |delta| delta == 2).unwrap());
    let first = part(sift_by(&batch(), |delta| delta < 4).unwrap());
    let then = part(sift_by(&first, |delta| delta == 2).unwrap());
    assert_eq!(once, then);
}

#[test]
fn what_has_lost_records_may_be_stored_but_not_produced() {
    let mut batch = batch();
    stamp(&mut batch, 0, 1);
    assert!(BatchHeader::validate_produced(&batch, 1000).is_ok());
    for kept in [0, 1, 4] {
        let part = part(sift_by(&batch, |delta| delta < kept).unwrap());
        assert!(BatchHeader::validate(&part).is_ok());
        let expected = BatchError::Counts {
            last_offset_delta: 4,
            records_count: kept as i32,
        };
        let produced = BatchHeader::validate_produced(&part, 1000);
        assert_eq!(produced, Err(expected));
    }
}

#[test]
fn compressed_records_are_left_alone() {
    let mut batch = batch();
    batch[22] |= 2;
    seal(&mut batch);
    let expected = BatchError::Compressed { codec: 2 };
    assert_eq!(sift_by(&batch, |_| false), Err(expected));
}

fn seal(batch: &mut [u8]) {
    let crc = crc32c::crc32c(&batch[21..]);
    batch[17..21].copy_from_slice(&crc.to_be_bytes());
}

/// Bytes that lie, under a right checksum or not: a sieve says that they are wrong, or leaves a
/// sound batch with the records that were kept.
#[test]
fn bytes_that_lie_do_no_harm() {
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let good = batch();
    let (mut refused, mut sifted) = (0, 0);
    for case in 0..40_000 {
        let mut bad = good.clone();
        for _ in 0..random.random_range(1..4) {
            let at = random.random_range(0..bad.len());
            bad[at] = random.random();
        }
        if random.random_bool(0.1) {
            bad.truncate(random.random_range(0..bad.len()));
        }
        if random.random_bool(0.9) && bad.len() > HEADER_BYTES {
            seal(&mut bad);
        }
        let keep: u64 = random.random();
        let is_kept = |delta: u32| (keep >> (delta % 64)) & 1 == 1;
        let reference = records(&Bytes::copy_from_slice(&bad));
        let reference = reference.and_then(Iterator::collect::<Result<Vec<_>, _>>);
        let base_offset = BatchHeader::parse(&bad).map_or(0, |header| header.base_offset);
        let delta = |record: &Record| (record.offset - base_offset) as u32;
        match (sift_by(&bad, is_kept), reference) {
            (Ok(Sifted::Whole), Ok(all)) => {
                assert!(all.iter().all(|it| is_kept(delta(it))), "case {case}");
            }
            (Ok(Sifted::Part(part)), Ok(mut all)) => {
                all.retain(|record| is_kept(delta(record)));
                assert_eq!(all_of(&part), all, "case {case}");
                sifted += 1;
            }
            (Err(error), Err(reference)) => {
                assert_eq!(error, reference, "case {case}");
                refused += 1;
            }
            (sifted, reference) => panic!("case {case}: {sifted:?} {reference:?}"),
        }
    }
    assert!(refused > 1000 && sifted > 1000, "{refused} {sifted}");
}
