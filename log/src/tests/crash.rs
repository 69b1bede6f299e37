//! The folder is copied after every change to it, as a crash at that moment would leave it, and
//! every copy is opened.

use std::cell::RefCell;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use bytes::Bytes;
use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};

use super::scene::*;
use super::watched_disk::{Durable, Watched};
use crate::{Known, PartitionLog};

/// What a log that is opened after a crash has to hold.
#[derive(Clone, Default)]
pub(super) struct Expected {
    /// Everything below this was acknowledged and not cut since.
    pub(super) floor: u64,
    /// Everything that may be found, from offset 0 on.
    pub(super) batches: Vec<Bytes>,
    /// Below this offset what is shadowed may be gone.
    pub(super) committed: u64,
    /// Below this offset tombstones may be gone.
    pub(super) tombstones_below: u64,
}

pub(super) struct Copies {
    pub(super) folder: PathBuf,
    pub(super) copies: PathBuf,
    pub(super) expected: Rc<RefCell<Expected>>,
    pub(super) random: ChaCha8Rng,
    /// The part of the moments that is tried: opening a copy costs a few syncs.
    pub(super) chance: f64,
    pub(super) taken: Rc<RefCell<Vec<(PathBuf, Expected)>>>,
}

impl Copies {
    /// What a crash of the process leaves, and what a loss of power might.
    pub(super) fn take(&mut self, durable: &Durable) {
        if !self.random.random_bool(self.chance) {
            return;
        }
        let copied = self.copy();
        self.taken.borrow_mut().push(copied);
        let (copy_folder, expected) = self.copy();
        for name in names(&copy_folder) {
            let original = self.folder.join(&name);
            let is_lost = durable.unsure.contains(&original) && self.random.random_bool(0.5);
            if is_lost {
                std::fs::remove_file(copy_folder.join(&name)).unwrap();
                continue;
            }
            let file = std::fs::File::options()
                .write(true)
                .open(copy_folder.join(&name))
                .unwrap();
            let len = file.metadata().unwrap().len();
            let kept = durable.bytes.get(&original).copied().unwrap_or(0).min(len);
            let len = self.random.random_range(kept..=len);
            file.set_len(len).unwrap();
            self.lose_blocks(&file, kept..len);
        }
        self.lose_names(durable, &copy_folder);
        self.taken.borrow_mut().push((copy_folder, expected));
    }

    /// Some of the last changes of names that were not durable have never been; or some files, out
    /// of order, that were removed are there again.
    fn lose_names(&mut self, durable: &Durable, copy: &Path) {
        let changes = durable
            .renamed
            .iter()
            .filter(|it| it.path.starts_with(&self.folder));
        let changes: Vec<_> = changes.collect();
        if self.random.random_bool(0.5) {
            let left = self.random.random_range(0..=changes.len());
            changes[left..].iter().rev().for_each(|it| it.undo(copy));
            return;
        }
        for change in changes.iter().rev().filter(|it| it.from.is_none()) {
            let name = change.path.file_name().unwrap();
            if self.random.random_bool(0.5) && !copy.join(name).exists() {
                change.undo(copy);
            }
        }
    }

    /// Some blocks of what was not durable are as if they had never been written.
    fn lose_blocks(&mut self, file: &std::fs::File, unsure: Range<u64>) {
        const BLOCK_BYTES: u64 = 512;
        let mut start = unsure.start;
        while start < unsure.end {
            let end = (start / BLOCK_BYTES + 1) * BLOCK_BYTES;
            let end = end.min(unsure.end);
            if self.random.random_bool(0.2) {
                let zeros = vec![0; (end - start) as usize];
                file.write_all_at(&zeros, start).unwrap();
            }
            start = end;
        }
    }

    fn copy(&self) -> (PathBuf, Expected) {
        let number = self.taken.borrow().len();
        let to = self.copies.join(number.to_string());
        copy(&self.folder, &to);
        (to, self.expected.borrow().clone())
    }
}

async fn live(seed: u64, disk: Watched, folder: &Path, expected: Rc<RefCell<Expected>>) {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut log = PartitionLog::open(disk, folder, SMALL).await.unwrap();
    let mut epoch = 1;
    for _ in 0..25 {
        for _ in 0..random.random_range(0..4) {
            let value = "x".repeat(random.random_range(1..200));
            let batch = batch(log.next_offset(), epoch, &[&value, &value]);
            expected.borrow_mut().batches.push(batch.clone());
            log.append(batch);
        }
        if random.random_bool(0.15) {
            let to = 2 * random.random_range(0..=log.next_offset() / 2);
            let job = log.begin_truncate(to).unwrap().unwrap();
            let floor = expected.borrow().floor;
            expected.borrow_mut().floor = floor.min(to);
            log.finish_truncate(job.run().await).unwrap();
            expected.borrow_mut().batches.truncate(to as usize / 2);
            epoch += 1;
        } else {
            let durable = flush(&mut log).await;
            expected.borrow_mut().floor = durable;
        }
    }
}

/// Whether the end of the log is uncertain.
async fn check(seed: u64, copy: &Path, expected: &Expected) -> bool {
    let known = Known {
        durable_offset: expected.floor,
        ..Known::default()
    };
    let inspected = PartitionLog::inspect(Watched::default(), copy, SMALL, known).await;
    let inspected = inspected.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    let is_uncertain = inspected.is_uncertain();
    let log = inspected.settle().await.unwrap();
    assert_eq!(log.damaged(), [], "seed {seed}");
    assert!(log.next_offset() >= expected.floor, "seed {seed}: {log:?}");
    let kept = log.next_offset() as usize / 2;
    let all = read_all(&log).await.unwrap();
    assert_eq!(all, expected.batches[..kept], "seed {seed}");
    is_uncertain
}

#[compio::test]
async fn a_crash_after_any_change_loses_nothing_that_was_acknowledged() {
    let (mut crashes, mut uncertain) = (0, 0);
    for seed in 0..8 {
        let scratch = memory_folder();
        let folder = scratch.path().join("live");
        let expected = Rc::new(RefCell::new(Expected::default()));
        let taken = Rc::new(RefCell::new(Vec::new()));
        let mut copies = Copies {
            folder: folder.clone(),
            copies: scratch.path().join("copies"),
            expected: expected.clone(),
            random: ChaCha8Rng::seed_from_u64(seed),
            chance: 0.15,
            taken: taken.clone(),
        };
        let disk = Watched::default();
        disk.keep(&scratch.path().join("kept"));
        disk.watch(move |durable| copies.take(durable));
        live(seed, disk, &folder, expected).await;
        assert!(taken.borrow().len() > 10);
        let taken = taken.take();
        for (copy, expected) in &taken {
            crashes += 1;
            uncertain += u32::from(check(seed, copy, expected).await);
        }
    }
    // A few lost bytes at the edge of a batch may be bytes that rotted.
    assert!(uncertain * 20 < crashes, "{uncertain} of {crashes}");
}
