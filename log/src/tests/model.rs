//! Random operations, compared with a list of batches in memory.

use std::path::Path;

use bytes::Bytes;
use quorate_batch::Producer;
use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};

use super::scene::*;
use crate::{EpochHistory, ProducerTable};

/// All batches of the log, from offset 0 on.
#[derive(Default)]
struct Model {
    batches: Vec<Bytes>,
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
}

impl Run {
    fn append(&mut self) {
        let random = &mut self.random;
        let value = "x".repeat(random.random_range(0..300));
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
        let back = self.random.random_range(0..boundaries.len().min(8));
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
        let expected = (timestamp < self.log.next_offset()).then_some(timestamp);
        let got = lookup(&self.log, timestamp as i64, u64::MAX).await;
        assert_eq!(got.map(|(offset, _)| offset), expected);
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
    for seed in 0..40 {
        let folder = tempfile::tempdir().unwrap();
        let mut run = Run {
            random: ChaCha8Rng::seed_from_u64(seed),
            log: open(folder.path()).await,
            model: Model::default(),
            epoch: 1,
        };
        for step in 0..150 {
            let choice = run.random.random_range(0..100);
            println!("seed {seed} step {step} choice {choice}");
            match choice {
                0..40 => run.append(),
                40..65 => run.flush().await,
                65..85 => run.read().await,
                85..92 => run.lookup().await,
                92..97 => run.truncate().await,
                _ => run.reopen(folder.path()).await,
            }
            run.check();
        }
        assert_eq!(
            read_all(&run.log).await.unwrap(),
            run.model.batches,
            "seed {seed}"
        );
    }
}
