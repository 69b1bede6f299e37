//! Whatever becomes of the files: nothing but what was written is read, and what is missing is
//! named.

use std::path::Path;

use bytes::Bytes;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use super::scene::*;
use super::watched_disk::Watched;
use crate::{Known, PartitionLog, ScrubPlace};

type Log = PartitionLog<Watched>;

/// About 40 batches in three epochs and several segments.
fn batches_of(random: &mut SmallRng) -> Vec<Bytes> {
    let (mut epoch, mut offset) = (1, 0);
    let mut all = Vec::new();
    for _ in 0..random.random_range(20..60) {
        if epoch < 3 && random.random_bool(0.05) {
            epoch += 1;
        }
        let value = "v".repeat(random.random_range(1..200));
        let batch = batch(offset, epoch, &[&value, "w"]);
        offset = header(&batch).next_offset();
        all.push(batch);
    }
    all
}

/// Does one thing to one of the files in `folder`.
fn rot(random: &mut SmallRng, folder: &Path) {
    let names = names(folder);
    let path = folder.join(&names[random.random_range(0..names.len())]);
    let mut bytes = std::fs::read(&path).unwrap();
    let len = bytes.len();
    let at = random.random_range(0..=len);
    let end = (at + random.random_range(1..300)).min(len);
    match random.random_range(0..8) {
        0..=2 if at < len => bytes[at] ^= 1 << random.random_range(0..8),
        0..=3 => bytes[at..end]
            .iter_mut()
            .for_each(|it| *it = random.random()),
        4 => bytes[at..end].fill(0xff),
        5 => bytes.truncate(at),
        6 => {
            let from = random.random_range(0..=len - (end - at));
            bytes.copy_within(at..end, from);
        }
        _ => return std::fs::remove_file(path).unwrap(),
    }
    std::fs::write(path, bytes).unwrap();
}

/// Puts back everything that is damaged, in pieces; and what is missing at the end.
async fn mend(random: &mut SmallRng, log: &mut Log, all: &[Bytes]) {
    while let Some(range) = log.damaged().first().copied() {
        let inside = |batch: &&Bytes| (range.from..range.to).contains(&header(batch).base_offset);
        let lost: Vec<_> = all.iter().filter(inside).cloned().collect();
        let piece = &lost[..random.random_range(1..=lost.len())];
        let job = log.begin_rewrite(piece).unwrap().unwrap();
        log.finish_rewrite(job.run().await).unwrap();
    }
    let next_offset = log.next_offset();
    for batch in all
        .iter()
        .filter(|it| header(it).base_offset >= next_offset)
    {
        log.append(batch.clone());
    }
    flush(log).await;
}

/// If the caller does not know how far the log was durable, its end may look torn.
async fn live(seed: u64, knows_end: bool) {
    let random = &mut SmallRng::seed_from_u64(seed);
    let all = batches_of(random);
    let end = header(all.last().unwrap()).next_offset();
    let folder = memory_folder();
    write(folder.path(), &all).await;
    for _ in 0..random.random_range(1..4) {
        rot(random, folder.path());
    }
    let known = Known {
        log_start_offset: 0,
        log_start_epoch: 0,
        durable_offset: if knows_end { end } else { 0 },
        epoch_max: 3,
        is_old: true,
    };
    let inspected = PartitionLog::inspect(Watched::default(), folder.path(), SMALL, known).await;
    let inspected = inspected.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    let (is_uncertain, next_offset) = (inspected.is_uncertain(), inspected.next_offset());
    assert!(
        is_uncertain || next_offset == end || !knows_end,
        "seed {seed}: {inspected:?}"
    );
    let mut log = inspected.settle().await.unwrap();
    let read = read_around(&mut log).await;
    let is_named = |batch: &&Bytes| {
        let offset = header(batch).base_offset;
        let mut ranges = log.damaged().iter();
        offset >= next_offset || ranges.any(|range| range.from <= offset && offset < range.to)
    };
    let sound: Vec<_> = all.iter().filter(|it| !is_named(it)).cloned().collect();
    assert!(read == sound, "seed {seed}: {log:?} {:?}", log.damaged());
    if random.random_bool(0.5) && log.next_offset() > 0 {
        let kept = random.random_range(0..all.len());
        let to = header(&all[kept]).base_offset.min(log.next_offset());
        truncate(&mut log, to).await;
        assert!(
            read_around(&mut log)
                .await
                .iter()
                .eq(all.iter().take(kept).filter(|batch| sound.contains(batch))),
            "seed {seed}: cut to {to}"
        );
    }
    mend(random, &mut log, &all).await;
    assert!(read_all(&log).await.unwrap() == all, "seed {seed}: {log:?}");
    drop(log);
    let inspected = PartitionLog::inspect(Watched::default(), folder.path(), SMALL, known).await;
    let inspected = inspected.unwrap();
    assert!(!inspected.is_uncertain(), "seed {seed}: {inspected:?}");
    let log = inspected.settle().await.unwrap();
    assert_eq!(log.damaged(), [], "seed {seed}");
    assert!(read_all(&log).await.unwrap() == all, "seed {seed}: {log:?}");
}

#[compio::test]
async fn whatever_rots_is_named_and_can_be_put_back() {
    for seed in 0..40 {
        live(seed, true).await;
    }
}

#[compio::test]
async fn nothing_but_what_was_written_is_read_whatever_is_known_of_the_end() {
    for seed in 1000..1040 {
        live(seed, false).await;
    }
}

#[compio::test]
async fn damaged_frames_at_the_front_of_a_segment_hide_no_batch_and_are_put_back() {
    let folder = memory_folder();
    let all = batches(19);
    write(folder.path(), &all).await;
    let sound = std::fs::read(folder.path().join("00000000000000000018.log")).unwrap();
    // Behind the first batch the log does not seem to go on, and so it is not found by its looks.
    let mut bytes = sound.clone();
    bytes[0] ^= 1;
    bytes[frame_len(&all[9]) + all[9].len()] ^= 1;
    let path = folder.path().join("00000000000000000018.log");
    std::fs::write(&path, bytes).unwrap();
    let mut log = open(folder.path()).await;
    assert_eq!(read(&log, 18, 1, u64::MAX).await.unwrap(), all[9..10]);
    assert_eq!(read_all(&log).await.unwrap(), all);
    let mut frames = 0;
    let mut from = ScrubPlace::at(18);
    while let Some(job) = log.begin_scrub(from, 1) {
        let scrubbed = job.run().await.unwrap();
        assert!(!scrubbed.is_damaged, "{scrubbed:?}");
        from = scrubbed.next;
        if let Some(job) = log.begin_reframe(scrubbed.broken_frames) {
            frames += log.finish_reframe(job.run().await).unwrap();
        }
    }
    assert_eq!(frames, 2);
    assert_eq!(std::fs::read(&path).unwrap(), sound);
}
