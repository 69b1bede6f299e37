//! Random operations, compared with a list of batches in memory.

use std::collections::BTreeMap;
use std::path::Path;

use bytes::Bytes;
use quorate_batch::{BatchHeader, Producer, Record, records};
use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};

use super::scene::*;
use crate::{CompactLimits, Compacted, EpochHistory, ProducerTable};

fn records_of(batch: &Bytes) -> Vec<Record> {
    records(batch).unwrap().map(Result::unwrap).collect()
}

/// All batches of the log, from offset 0 on.
#[derive(Default)]
struct Model {
    batches: Vec<Bytes>,
    /// The records that compactions have taken out.
    gone: usize,
}

impl Model {
    fn next_offset(&self) -> u64 {
        self.batches
            .last()
            .map_or(0, |batch| header(batch).next_offset())
    }

    /// The boundaries between batches, both ends included.
    fn boundaries(&self) -> Vec<u64> {
        let ends = self.batches.iter().map(|batch| header(batch).next_offset());
        [0].into_iter().chain(ends).collect()
    }

    fn truncate(&mut self, to: u64) {
        self.batches
            .retain(|batch| header(batch).next_offset() <= to);
    }

    /// What a read gives that is not stopped early by the end of a segment.
    fn read(&self, from: u64, bytes_max: usize, until: u64) -> Vec<Bytes> {
        let mut found: Vec<Bytes> = Vec::new();
        let mut bytes = 0;
        for batch in self
            .batches
            .iter()
            .filter(|batch| header(batch).next_offset() > from)
        {
            bytes += batch.len();
            let is_over = bytes > bytes_max && !found.is_empty();
            if is_over || header(batch).next_offset() > until {
                break;
            }
            found.push(batch.clone());
        }
        found
    }

    /// Takes over what a compaction has `found` to stay.
    fn compact(&mut self, found: &[Bytes], until: u64, tombstones_below: u64) {
        let latest = self.latest(until);
        assert_eq!(found.len(), self.batches.len(), "no batch goes");
        for (batch, found) in self.batches.iter_mut().zip(found) {
            let mut kept = records_of(found).into_iter().peekable();
            for record in records_of(batch) {
                if kept.next_if_eq(&record).is_some() {
                    continue;
                }
                let key = record.key.as_ref().expect("what has no key stays");
                let is_shadowed = latest.get(key).is_some_and(|it| *it > record.offset);
                let is_old = record.value.is_none() && record.offset < tombstones_below;
                assert!(is_shadowed || is_old, "{record:?} is gone");
                self.gone += 1;
            }
            assert_eq!(kept.next(), None);
            let (before, after) = (header(batch), header(found));
            let expected = BatchHeader {
                batch_bytes: after.batch_bytes,
                crc: after.crc,
                records_count: after.records_count,
                ..before
            };
            assert_eq!(after, expected);
            batch.clone_from(found);
        }
    }

    /// Nothing below `cleaned` is shadowed there, and no tombstone is left that had to go.
    fn check_cleaned(&self, cleaned: u64, tombstones_below: u64) {
        let latest = self.latest(cleaned);
        for record in self.batches.iter().flat_map(records_of) {
            let is_latest = |key| latest.get(key) == Some(&record.offset);
            if let Some(key) = record.key.as_ref().filter(|_| record.offset < cleaned) {
                assert!(is_latest(key), "{record:?} should be gone");
                let is_old = record.value.is_none() && record.offset < tombstones_below;
                assert!(!is_old, "{record:?} should be gone");
            }
        }
    }

    /// The latest record of every key below an offset.
    fn latest(&self, until: u64) -> BTreeMap<Bytes, u64> {
        let records = self.batches.iter().flat_map(records_of);
        let below = records.filter(|record| record.offset < until);
        below.filter_map(|it| Some((it.key?, it.offset))).collect()
    }

    fn epochs(&self) -> EpochHistory {
        let mut epochs = EpochHistory::default();
        for batch in &self.batches {
            epochs.observe(header(batch).leader_epoch, header(batch).base_offset);
        }
        epochs
    }

    fn producers(&self) -> ProducerTable {
        let mut producers = ProducerTable::default();
        for batch in &self.batches {
            producers.observe(&header(batch), header(batch).base_offset);
        }
        producers
    }
}

struct Run {
    random: ChaCha8Rng,
    log: Log,
    model: Model,
    epoch: u32,
    /// What compactions were told to be committed.
    committed: u64,
}

impl Run {
    fn append(&mut self) {
        let random = &mut self.random;
        let value = "x".repeat(random.random_range(0..300));
        if random.random_bool(0.7) {
            let keys = (0..random.random_range(1..5)).map(|_| random.random_range(b'a'..b'j'));
            let keys: Vec<_> = keys.map(|key| char::from(key).to_string()).collect();
            let value = random.random_bool(0.8).then_some(value.as_str());
            let records: Vec<_> = keys.iter().map(|key| (key.as_str(), value)).collect();
            let batch = keyed(self.log.next_offset(), self.epoch, &records);
            self.model.batches.push(batch.clone());
            return self.log.append(batch);
        }
        // Without keys: these stay.
        let values = vec![value.as_str(); random.random_range(1..4)];
        let producer = random.random_bool(0.5).then(|| Producer {
            id: random.random_range(0..4),
            epoch: 0,
            base_sequence: random.random_range(0..3),
        });
        let batch = batch_of(self.log.next_offset(), self.epoch, &values, producer);
        self.model.batches.push(batch.clone());
        self.log.append(batch);
    }

    async fn flush(&mut self) {
        let Some(job) = self.log.begin_flush().unwrap() else {
            return;
        };
        let end = self.log.next_offset();
        if self.random.random_bool(0.5) {
            self.append();
        }
        let flushed = job.run().await;
        if self.random.random_bool(0.5) {
            self.append();
        }
        assert_eq!(self.log.finish_flush(flushed).unwrap(), end);
    }

    async fn truncate(&mut self) {
        let boundaries = self.model.boundaries();
        // Mostly a short tail, as after a change of leaders.
        // What was compacted was committed, and stays.
        let committed = boundaries.partition_point(|end| *end < self.committed);
        let back = self
            .random
            .random_range(0..(boundaries.len() - committed).min(8));
        let to = boundaries[boundaries.len() - 1 - back];
        assert_eq!(truncate(&mut self.log, to).await, to);
        self.model.truncate(to);
        self.epoch += 1;
    }

    async fn read(&mut self) {
        let from = self.random.random_range(0..=self.log.next_offset());
        let boundaries = self.model.boundaries();
        let until = match self.random.random_bool(0.5) {
            true => u64::MAX,
            false => boundaries[self.random.random_range(0..boundaries.len())],
        };
        let bytes_max = self.random.random_range(0..2000);
        let got = read(&self.log, from, bytes_max, until).await.unwrap();
        let expected = if from < until {
            self.model.read(from, bytes_max, until)
        } else {
            Vec::new()
        };
        assert!(
            expected.starts_with(&got),
            "read {from} {bytes_max} {until}"
        );
        assert_eq!(
            got.is_empty(),
            expected.is_empty(),
            "read {from} {bytes_max} {until}"
        );
    }

    async fn lookup(&mut self) {
        // Every record is as late as its offset.
        let timestamp = self.random.random_range(0..=self.log.next_offset());
        let records = self.model.batches.iter().flat_map(records_of);
        let mut offsets = records.map(|record| record.offset);
        let expected = offsets.find(|offset| *offset >= timestamp);
        let got = lookup(&self.log, timestamp as i64, u64::MAX).await;
        assert_eq!(got.map(|(offset, _)| offset), expected);
    }

    /// A pass up to somewhere: what is gone is what may go, and of what it says that it has cleaned
    /// nothing is left that had to go.
    async fn compact(&mut self) {
        let durable = self.log.durable_offset();
        let boundaries = self.model.boundaries();
        let durable = boundaries.partition_point(|end| *end <= durable);
        let until = boundaries[self.random.random_range(0..durable)];
        self.committed = self.committed.max(until);
        let tombstones_below = self.log.compacted();
        let limits = CompactLimits {
            keys_max: self.random.random_range(1..12),
            step_bytes: self.random.random_range(1..3000),
        };
        let to = loop {
            let log = &mut self.log;
            let begun = log.begin_compact(until, tombstones_below, limits);
            let Some(job) = begun.unwrap() else { return };
            let step = job.run().await;
            match self.log.finish_compact(step).unwrap() {
                Compacted::Unfinished(_) => {}
                Compacted::Finished(cleaning) => break cleaning.to,
                other @ (Compacted::Damaged(_) | Compacted::Superseded) => panic!("{other:?}"),
            }
        };
        let found = read_all(&self.log).await.unwrap();
        self.model.compact(&found, until, tombstones_below);
        let passed = to.min(tombstones_below);
        self.model.check_cleaned(self.log.compacted(), passed);
    }

    async fn reopen(&mut self, folder: &Path) {
        let durable = self.log.durable_offset();
        self.log = open(folder).await;
        assert_eq!(self.log.recovery().torn_bytes, 0);
        self.model.truncate(durable);
    }

    fn check(&self) {
        assert_eq!(self.log.next_offset(), self.model.next_offset());
        assert!(self.log.durable_offset() <= self.log.next_offset());
        assert_eq!(*self.log.epochs(), self.model.epochs());
        assert_eq!(*self.log.producers(), self.model.producers());
        let bytes: usize = self.model.batches.iter().map(Bytes::len).sum();
        assert!(self.log.bytes() >= bytes as u64);
    }
}

#[compio::test]
async fn the_log_does_what_a_list_of_batches_would() {
    let mut gone = 0;
    for seed in 0..40 {
        let folder = memory_folder();
        let mut run = Run {
            random: ChaCha8Rng::seed_from_u64(seed),
            log: open(folder.path()).await,
            model: Model::default(),
            epoch: 1,
            committed: 0,
        };
        for step in 0..150 {
            let choice = run.random.random_range(0..100);
            println!("seed {seed} step {step} choice {choice}");
            match choice {
                0..40 => run.append(),
                40..65 => run.flush().await,
                65..85 => run.read().await,
                85..92 => run.lookup().await,
                92..94 => run.truncate().await,
                94..97 => run.compact().await,
                _ => run.reopen(folder.path()).await,
            }
            run.check();
        }
        assert_eq!(
            read_all(&run.log).await.unwrap(),
            run.model.batches,
            "seed {seed}"
        );
        gone += run.model.gone;
    }
    assert!(gone > 500, "only {gone} records were compacted away");
}
