//! A crash after any change that a compaction makes.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use bytes::Bytes;
use quorate_batch::{Record, records};
use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};

use super::crash::{Copies, Expected};
use super::scene::*;
use super::watched_disk::Watched;
use crate::{CompactLimits, Compacted, Known, PartitionLog, Spares};

struct Life {
    random: ChaCha8Rng,
    log: PartitionLog<Watched>,
    spares: Option<Spares<Watched>>,
    expected: Rc<RefCell<Expected>>,
    epoch: u32,
    replaced: u32,
}

impl Life {
    fn append(&mut self) {
        let random = &mut self.random;
        let value = "x".repeat(random.random_range(1..100));
        let mut keys = Vec::new();
        for _ in 0..random.random_range(1..4) {
            keys.push(format!("key {}", random.random_range(0..6)));
        }
        let is_tombstone = random.random_bool(0.3);
        let value = (!is_tombstone).then_some(value.as_str());
        let records: Vec<_> = keys.iter().map(|key| (key.as_str(), value)).collect();
        let batch = keyed(self.log.next_offset(), self.epoch, &records);
        self.expected.borrow_mut().batches.push(batch.clone());
        self.log.append(batch);
    }

    async fn flush(&mut self) {
        let durable = flush(&mut self.log).await;
        self.expected.borrow_mut().floor = durable;
        if let Some(spares) = &self.spares
            && let Some(job) = spares.begin_fill()
        {
            spares.finish_fill(job.run().await).unwrap();
        }
    }

    /// Cuts something that is not committed.
    async fn truncate(&mut self) {
        let (to, kept) = {
            let expected = self.expected.borrow();
            let ends = expected.batches.iter().map(|it| header(it).next_offset());
            let ends: Vec<_> = ends.collect();
            let first = ends.partition_point(|end| *end < expected.committed);
            if first == ends.len() {
                return;
            }
            let at = self.random.random_range(first..ends.len());
            (ends[at], at + 1)
        };
        let Some(job) = self.log.begin_truncate(to).unwrap() else {
            return;
        };
        let floor = self.expected.borrow().floor.min(to);
        self.expected.borrow_mut().floor = floor;
        self.log.finish_truncate(job.run().await).unwrap();
        self.expected.borrow_mut().batches.truncate(kept);
        self.epoch += 1;
    }

    /// One step of a pass, with a flush meanwhile.
    async fn compact(&mut self) {
        let until = self.log.durable_offset();
        let tombstones_below = self.log.compacted();
        {
            let mut expected = self.expected.borrow_mut();
            expected.committed = expected.committed.max(until);
            expected.tombstones_below = expected.tombstones_below.max(tombstones_below);
        }
        let limits = CompactLimits {
            keys_max: self.random.random_range(2..10),
            step_bytes: self.random.random_range(100..3000),
        };
        let job = self.log.begin_compact(until, tombstones_below, limits);
        let Some(job) = job.unwrap() else {
            return;
        };
        self.replaced += u32::from(self.log.is_replacing());
        self.append();
        let step = job.run().await;
        self.flush().await;
        match self.log.finish_compact(step).unwrap() {
            Compacted::Unfinished(_) | Compacted::Finished(_) | Compacted::Superseded => {}
            Compacted::Damaged(offset) => panic!("offset {offset} is damaged"),
        }
    }
}

async fn live(
    seed: u64,
    disk: Watched,
    scratch: &Path,
    folder: &Path,
    expected: Rc<RefCell<Expected>>,
) -> u32 {
    let mut log = PartitionLog::open(disk.clone(), folder, SMALL)
        .await
        .unwrap();
    let mut spares = None;
    if seed % 2 == 1 {
        let path = scratch.join("spares");
        let opened = Spares::open(disk, &path, 1 << 20, 2).await.unwrap();
        log.use_spares(opened.clone());
        spares = Some(opened);
    }
    let mut life = Life {
        random: ChaCha8Rng::seed_from_u64(seed),
        log,
        spares,
        expected,
        epoch: 1,
        replaced: 0,
    };
    for _ in 0..220 {
        match life.random.random_range(0..100) {
            0..25 => life.append(),
            25..45 => life.flush().await,
            45..48 => life.truncate().await,
            48..52 if life.log.has_pending() => life.log.roll(),
            _ => life.compact().await,
        }
    }
    life.replaced
}

fn records_of(batch: &Bytes) -> Vec<Record> {
    records(batch).unwrap().map(Result::unwrap).collect()
}

/// What was found has all batches, and of their records all but those that may be gone.
fn check_found(found: &[Bytes], expected: &Expected, context: &str) {
    let mut shadows: BTreeMap<Bytes, u64> = BTreeMap::new();
    for record in expected.batches.iter().flat_map(records_of) {
        if record.offset < expected.committed {
            shadows.insert(record.key.unwrap(), record.offset);
        }
    }
    let mut values: BTreeMap<Bytes, u64> = BTreeMap::new();
    for (found, whole) in found.iter().zip(&expected.batches) {
        let (its, other) = (header(found), header(whole));
        assert_eq!(its.base_offset, other.base_offset, "{context}");
        assert_eq!(its.next_offset(), other.next_offset(), "{context}");
        assert_eq!(its.leader_epoch, other.leader_epoch, "{context}");
        let mut kept = records_of(found).into_iter().peekable();
        for record in records_of(whole) {
            let key = record.key.clone().unwrap();
            if kept.peek() == Some(&record) {
                kept.next();
                if record.value.is_some() {
                    values.insert(key, record.offset);
                }
                continue;
            }
            let is_shadowed = shadows.get(&key).is_some_and(|it| *it > record.offset);
            let is_tombstone = record.value.is_none();
            let is_old = is_tombstone && record.offset < expected.tombstones_below;
            assert!(is_shadowed || is_old, "{context}: {record:?} is gone");
            assert!(
                is_shadowed || !values.contains_key(&key),
                "{context}: {record:?} is gone and what it did away with is there"
            );
        }
        assert_eq!(kept.next(), None, "{context}");
    }
}

async fn check(copy: &Path, expected: &Expected, context: &str) -> bool {
    let known = Known {
        durable_offset: expected.floor,
        ..Known::default()
    };
    let inspected = PartitionLog::inspect(Watched::default(), copy, SMALL, known).await;
    let inspected = inspected.unwrap_or_else(|error| panic!("{context}: {error}"));
    let is_uncertain = inspected.is_uncertain();
    let log = inspected.settle().await.unwrap();
    assert_eq!(log.damaged(), [], "{context}");
    assert!(log.next_offset() >= expected.floor, "{context}: {log:?}");
    let found = read_all(&log).await.unwrap();
    check_found(&found, expected, context);
    let names = names(copy);
    let is_left = |name: &String| name.contains(".compact");
    assert!(!names.iter().any(is_left), "{context}: {names:?}");
    drop(log);
    assert_eq!(
        read_all(&open(copy).await).await.unwrap(),
        found,
        "{context}"
    );
    is_uncertain
}

#[compio::test]
async fn a_crash_after_any_change_leaves_every_latest_record() {
    let (mut crashes, mut uncertain, mut replaced, mut finished) = (0, 0, 0, 0);
    for seed in 0..8 {
        let scratch = memory_folder();
        let folder = scratch.path().join("live");
        let expected = Rc::new(RefCell::new(Expected::default()));
        let taken: Rc<RefCell<Vec<(PathBuf, Expected)>>> = Rc::default();
        let mut copies = Copies {
            folder: folder.clone(),
            copies: scratch.path().join("copies"),
            expected: expected.clone(),
            random: ChaCha8Rng::seed_from_u64(seed),
            chance: 0.1,
            taken: taken.clone(),
        };
        let disk = Watched::default();
        disk.keep(&scratch.path().join("kept"));
        let watched = folder.clone();
        disk.watch(move |durable| {
            // Where one name is about to stand for others, every moment counts.
            let mut names = names(&watched);
            let renamed = durable.renamed.iter().filter_map(|it| it.from.as_ref());
            names.extend(renamed.map(|path| path.display().to_string()));
            let is_close = names.iter().any(|name| name.ends_with(".compacted"));
            copies.chance = if is_close { 0.5 } else { 0.03 };
            copies.take(durable);
        });
        replaced += live(seed, disk, scratch.path(), &folder, expected).await;
        for (at, (copy, expected)) in taken.take().iter().enumerate() {
            crashes += 1;
            let is_begun = names(copy).iter().any(|name| name.ends_with(".compacted"));
            finished += u32::from(is_begun);
            let context = format!("seed {seed} crash {at}");
            uncertain += u32::from(check(copy, expected, &context).await);
        }
    }
    assert!(replaced > 30 && finished > 50, "{replaced} {finished}");
    assert!(uncertain * 20 < crashes, "{uncertain} of {crashes}");
}
