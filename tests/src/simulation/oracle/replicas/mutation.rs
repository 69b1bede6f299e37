//! Good copies, made at random, and each made bad in one place.

use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};

use super::sample::{Segment, batch};
use super::{Copy, Partition, Trouble, compare};

const SEEDS: u64 = 200;
const BATCHES: u64 = 30;

/// A batch as all replicas have it.
#[derive(Clone, Debug)]
struct Written {
    base_offset: u64,
    epoch: u32,
    producer: i64,
    sequence: i32,
    records: Vec<(u8, Option<u8>)>,
}

/// A log as its leaders have written it.
fn log(random: &mut ChaCha8Rng) -> Vec<Written> {
    let (mut base_offset, mut epoch, mut sequences) = (0, 1, [0; 3]);
    let mut log = Vec::new();
    for _ in 0..BATCHES {
        epoch += u32::from(random.random_range(0..6) == 0);
        let producer = random.random_range(0..3);
        let count = random.random_range(1..=3);
        let record = |_| {
            let value = random.random_range(0..5) > 0;
            let value = value.then(|| random.random());
            (random.random_range(0..4), value)
        };
        let records: Vec<_> = (0..count).map(record).collect();
        log.push(Written {
            base_offset,
            epoch,
            producer: producer as i64,
            sequence: sequences[producer],
            records,
        });
        base_offset += count;
        sequences[producer] += count as i32;
    }
    log
}

fn end_of(log: &[Written]) -> u64 {
    log.last()
        .map_or(0, |last| last.base_offset + last.records.len() as u64)
}

/// A replica's files: its own segments and frames, and what it has compacted.
fn copy(log: &[Written], compacts: bool, random: &mut ChaCha8Rng) -> Segment {
    let all = log.iter().flat_map(|written| {
        let records = written.records.iter().enumerate();
        records.map(|(at, (key, _))| (written.base_offset + at as u64, *key))
    });
    let keys: Vec<_> = all.collect();
    let is_shadowed = |offset: u64, key: u8| keys.iter().any(|it| it.0 > offset && it.1 == key);
    let mut segment = Segment::new(0);
    for written in log {
        if written.base_offset > 0 && random.random_range(0..8) == 0 {
            segment = segment.and(Segment::new(written.base_offset));
        }
        if random.random() {
            segment = segment.frame();
        }
        let count = written.records.len() as i32;
        let sample = batch(written.base_offset, written.epoch)
            .by(written.producer, written.sequence)
            .spanning(count);
        let records = (0..).zip(&written.records);
        let sample = records.fold(sample, |sample, (at, (key, value))| {
            let offset = written.base_offset + u64::from(at);
            match compacts && is_shadowed(offset, *key) && random.random() {
                true => sample,
                false => sample.record_at(at, *key, *value),
            }
        });
        segment = segment.put(sample);
    }
    segment.zeros(random.random_range(0..2000))
}

fn troubles(partition: &Partition, segments: &[Segment]) -> Vec<(u16, Trouble)> {
    let files: Vec<_> = segments.iter().map(Segment::files).collect();
    let copies: Vec<_> = (1..)
        .zip(&files)
        .map(|(node, files)| Copy::read(node, partition.id, files))
        .collect();
    let found = compare(partition, &copies).into_iter();
    found.map(|it| (it.node, it.trouble)).collect()
}

fn partition(log: &[Written], is_compacted: bool) -> Partition {
    Partition {
        id: 1,
        log_start: 0,
        high_watermark: end_of(log),
        is_compacted,
        may_be_damaged: false,
    }
}

/// Makes the log of one replica another one, and expects this trouble with it.
fn assert_found(
    is_expected: impl Fn(Trouble) -> bool,
    mutate: impl Fn(&mut Vec<Written>, &mut ChaCha8Rng),
) {
    for seed in 0..SEEDS {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let is_compacted = random.random();
        let log = log(&mut random);
        let mut bad = log.clone();
        mutate(&mut bad, &mut random);
        let good = copy(&log, is_compacted, &mut random);
        let copies = [good, copy(&bad, false, &mut random)];
        let found = troubles(&partition(&log, is_compacted), &copies);
        let is_found = found
            .iter()
            .any(|(node, trouble)| *node == 2 && is_expected(*trouble));
        assert!(is_found, "seed {seed}: {found:?}");
    }
}

#[test]
fn good_copies_agree() {
    for seed in 0..SEEDS {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let is_compacted = random.random();
        let log = log(&mut random);
        let copies = [(); 3].map(|()| copy(&log, is_compacted, &mut random));
        let found = troubles(&partition(&log, is_compacted), &copies);
        assert!(found.is_empty(), "seed {seed}: {found:?}");
    }
}

#[test]
fn other_value_is_found() {
    let differs = |trouble| matches!(trouble, Trouble::Differs { with: 1 });
    assert_found(differs, |log, random| {
        // The last of the log has no successor of its key, so no copy may have lost it.
        let last = log.last_mut().unwrap().records.last_mut().unwrap();
        last.1 = match last.1 {
            Some(value) => Some(value.wrapping_add(random.random_range(1..255))),
            None => Some(0),
        };
    });
}

#[test]
fn other_epoch_is_found() {
    let differs = |trouble| matches!(trouble, Trouble::Differs { with: 1 });
    assert_found(differs, |log, random| {
        let at = random.random_range(0..log.len());
        log[at].epoch += 100;
    });
}

#[test]
fn missing_end_is_found() {
    let is_short = |trouble| trouble == Trouble::Short;
    assert_found(is_short, |log, random| {
        log.truncate(random.random_range(0..log.len()));
    });
}

#[test]
fn missing_middle_is_found() {
    // Behind it the file cannot be read on, or a segment begins anew.
    let is_gap = |trouble| matches!(trouble, Trouble::Short | Trouble::Hole);
    assert_found(is_gap, |log, random| {
        log.remove(random.random_range(1..log.len() - 1));
    });
}

#[test]
fn repeated_batch_is_found() {
    let is_repeated = |trouble| matches!(trouble, Trouble::Sequence { .. });
    assert_found(is_repeated, |log, random| {
        let mut again = log[random.random_range(0..log.len())].clone();
        again.base_offset = end_of(log);
        again.epoch = log.last().unwrap().epoch;
        log.push(again);
    });
}
