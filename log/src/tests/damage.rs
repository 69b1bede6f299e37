//! Damage in the middle of a log is named, passed over and mended; all else can be read.

use std::ops::Range;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use quorate_batch::Producer;

use super::scene::*;
use super::watched_disk::Watched;
use crate::{
    Inspection, Known, LogError, Lookup, Misfit, PartitionLog, Read, Scope, ScrubPlace, Settings,
};

/// Three segments, the last with a checkpoint in its middle, in three epochs that begin in the
/// middle of segments.
fn three_epochs() -> Vec<Bytes> {
    let epoch = |offset| match offset {
        0..8 => 1,
        8..22 => 2,
        _ => 3,
    };
    let value = |offset| format!("value {offset:010}");
    let offsets = (0..19).map(|at| 2 * at);
    offsets
        .map(|offset| batch(offset, epoch(offset), &[&value(offset), &value(offset + 1)]))
        .collect()
}

fn log_path(folder: &Path, base_offset: u64) -> PathBuf {
    folder.join(format!("{base_offset:020}.log"))
}

fn remove_indexes(folder: &Path) {
    for name in names(folder).iter().filter(|name| name.ends_with(".index")) {
        std::fs::remove_file(folder.join(name)).unwrap();
    }
}

type Log = PartitionLog<Watched>;

async fn open_knowing(folder: &Path, known: Known) -> (Log, bool) {
    let inspected = PartitionLog::inspect(Watched::default(), folder, SMALL, known).await;
    let inspected = inspected.unwrap();
    let is_uncertain = inspected.is_uncertain();
    (inspected.settle().await.unwrap(), is_uncertain)
}

fn damaged(log: &Log) -> Vec<Range<u64>> {
    let ranges = log.damaged().iter();
    ranges.map(|range| range.from..range.to).collect()
}

/// Puts back everything that is damaged.
async fn mend(log: &mut Log, all: &[Bytes]) {
    while let Some(range) = log.damaged().first().copied() {
        let inside = |batch: &&Bytes| (range.from..range.to).contains(&header(batch).base_offset);
        // One at a time, as if they came in small pieces.
        let batch = all.iter().find(inside).unwrap();
        let job = log
            .begin_rewrite(std::slice::from_ref(batch))
            .unwrap()
            .unwrap();
        log.finish_rewrite(job.run().await).unwrap();
    }
}

/// What damage of one batch does: nothing else is lost, and it can be mended.
async fn check_one(folder: &Path, source: &Path, all: &[Bytes], at: usize, what: &str) {
    let known = Known {
        durable_offset: 2,
        epoch_max: 3,
        ..Known::default()
    };
    let (mut log, is_uncertain) = open_knowing(folder, known).await;
    let read = read_around(&mut log).await;
    let others: Vec<_> = [&all[..at], &all[at + 1..]].concat();
    assert!(read == others, "{what}: {log:?} has {:?}", damaged(&log));
    let offset = 2 * at as u64;
    if at + 1 == all.len() {
        assert_eq!((is_uncertain, log.next_offset()), (true, offset), "{what}");
        assert_eq!(damaged(&log), [], "{what}");
        log.append(all[at].clone());
        flush(&mut log).await;
    } else {
        assert!(!is_uncertain, "{what}");
        assert!(damaged(&log).iter().eq([&(offset..offset + 2)]), "{what}");
        mend(&mut log, all).await;
    }
    assert_eq!(log.epochs().starts(), [(1, 0), (2, 8), (3, 22)], "{what}");
    assert!(read_all(&log).await.unwrap() == all, "{what}");
    drop(log);
    assert_eq!(segments(folder), segments(source), "{what}");
    let (log, is_uncertain) = open_knowing(folder, known).await;
    assert!(!is_uncertain && log.damaged().is_empty(), "{what}");
    assert!(read_all(&log).await.unwrap() == all, "{what}");
}

/// What damage at a border between epochs may do: the log ends before it.
async fn check_epochs(folder: &Path, all: &[Bytes], what: &str) {
    let known = Known {
        epoch_max: 3,
        ..Known::default()
    };
    let (mut log, is_uncertain) = open_knowing(folder, known).await;
    assert!(is_uncertain, "{what}: {log:?}");
    let kept = log.next_offset() as usize / 2;
    assert!(read_around(&mut log).await == all[..kept], "{what}");
    let mut history = vec![(1, 0), (2, 8), (3, 22)];
    history.retain(|(_, start)| *start < log.next_offset());
    assert_eq!(log.epochs().starts(), history, "{what}");
}

/// What damage of a frame does: nothing.
async fn check_frame(folder: &Path, all: &[Bytes], what: &str) {
    let known = Known {
        epoch_max: 3,
        ..Known::default()
    };
    let (log, is_uncertain) = open_knowing(folder, known).await;
    assert!(!is_uncertain && log.damaged().is_empty(), "{what}: {log:?}");
    assert!(read_all(&log).await.unwrap() == all, "{what}: {log:?}");
}

async fn check_every_byte(has_indexes: bool, flip: u8) {
    let all = three_epochs();
    let source = memory_folder();
    write(source.path(), &all).await;
    assert_eq!(segments(source.path()).len(), 3);
    if !has_indexes {
        remove_indexes(source.path());
    }
    let (batch_bytes, frame_bytes) = (all[0].len(), frame_len(&all[0]));
    let step = frame_bytes + batch_bytes;
    let mut before = 0;
    for base_offset in segments(source.path()) {
        let mut bytes = std::fs::read(log_path(source.path(), base_offset)).unwrap();
        let batches = (bytes.len() / step).min(all.len() - before);
        // Behind the last one there are zeros up to the end of the block.
        bytes.truncate(batches * step);
        for position in 0..bytes.len() {
            let at = before + position / step;
            let what = format!("segment {base_offset}, byte {position}");
            let folder = memory_folder();
            copy(source.path(), folder.path());
            let mut damaged = bytes.clone();
            damaged[position] ^= flip;
            std::fs::write(log_path(folder.path(), base_offset), damaged).unwrap();
            if position % step < frame_bytes {
                check_frame(folder.path(), &all, &what).await;
                continue;
            }
            // Without a checkpoint nobody knows which epoch wrote a batch between two epochs, nor
            // whether a batch of its own epoch is the first or the last one of another.
            let is_between = [3, 4, 10, 11].contains(&at);
            let is_epoch = position % step == frame_bytes + 15;
            if !has_indexes && is_epoch && [10, 11].contains(&at) {
                // The last batch of an epoch looks like the first one of the next, or the other way
                // round, with nobody to contradict it.
                continue;
            }
            if !has_indexes && (is_between || (is_epoch && [9, 12].contains(&at))) {
                check_epochs(folder.path(), &all, &what).await;
            } else {
                check_one(folder.path(), source.path(), &all, at, &what).await;
            }
        }
        before += batches;
    }
}

#[compio::test]
async fn every_flipped_byte_costs_one_batch_and_is_mended() {
    check_every_byte(true, 0x40).await;
}

#[compio::test]
async fn every_flipped_byte_costs_one_batch_without_indexes_too() {
    check_every_byte(false, 1).await;
}

/// A log of 19 batches, of which those from `from` to `to` (both included) are overwritten.
async fn damaged_log(folder: &Path, from: usize, to: usize) -> (Log, Vec<Bytes>) {
    let all = three_epochs();
    write(folder, &all).await;
    let path = log_path(folder, 0);
    let mut bytes = std::fs::read(&path).unwrap();
    let end = place(&bytes, &all[to]) + all[to].len();
    let start = place(&bytes, &all[from]);
    bytes[start + 70..end].fill(7);
    std::fs::write(&path, bytes).unwrap();
    let (mut log, _) = open_knowing(folder, Known::default()).await;
    let read = read_around(&mut log).await;
    assert_eq!(read, [&all[..from], &all[to + 1..]].concat());
    (log, all)
}

#[compio::test]
async fn only_what_stood_there_is_put_back() {
    let folder = memory_folder();
    let (mut log, all) = damaged_log(folder.path(), 2, 4).await;
    let before = std::fs::read(log_path(folder.path(), 0)).unwrap();
    assert!(damaged(&log).iter().eq([&(4..10)]));
    let value = "value 0000000004";
    let longer = batch(4, 1, &["x".repeat(400).as_str(); 2]);
    let misfits = [
        (vec![all[3].clone()], Misfit::Elsewhere),
        (vec![all[6].clone()], Misfit::Elsewhere),
        (vec![all[2].clone(), all[4].clone()], Misfit::Unsound),
        (vec![all[2].slice(..70)], Misfit::Unsound),
        (vec![batch(4, 2, &[value, value])], Misfit::Epoch),
        (vec![batch(4, 1, &[value; 7])], Misfit::Length),
        (vec![longer.clone(), all[4].clone()], Misfit::Unsound),
        (vec![longer, batch(6, 2, &[value, value])], Misfit::Epoch),
    ];
    for (batches, expected) in misfits {
        let misfit = log.begin_rewrite(&batches).unwrap_err();
        assert_eq!(misfit, expected, "{batches:?}");
    }
    assert!(std::fs::read(log_path(folder.path(), 0)).unwrap() == before);
    let job = log.begin_rewrite(&all[2..4]).unwrap().unwrap();
    assert!(
        log.begin_rewrite(&all[2..4]).unwrap().is_none(),
        "one thing at a time"
    );
    log.finish_rewrite(job.run().await).unwrap();
    assert!(damaged(&log).iter().eq([&(8..10)]));
    assert_eq!(read(&log, 0, 1000, u64::MAX).await.unwrap(), all[..4]);
    assert!(matches!(log.begin_read(9, 1000, u64::MAX), Read::Damaged(range) if range.from == 8));
}

#[compio::test]
async fn a_time_whose_record_may_be_damaged_is_not_answered() {
    let folder = memory_folder();
    let (mut log, all) = damaged_log(folder.path(), 2, 2).await;
    assert_eq!(lookup(&log, 20, u64::MAX).await, Some((20, 20)));
    let Lookup::Damaged(range) = log.begin_lookup(4, 0, u64::MAX) else {
        panic!("a time within what is damaged")
    };
    assert_eq!((range.from, range.to), (4, 6));
    mend(&mut log, &all).await;
    assert_eq!(lookup(&log, 4, u64::MAX).await, Some((4, 4)));
}

#[compio::test]
async fn a_log_is_cut_behind_damage_and_before_it() {
    let all = three_epochs();
    for (to, left) in [(12, 1), (6, 1), (4, 0)] {
        let folder = memory_folder();
        let (mut log, _) = damaged_log(folder.path(), 2, 2).await;
        assert_eq!(truncate(&mut log, to).await, to);
        assert_eq!(log.damaged().len(), left);
        assert_eq!(log.lacks_producers(), left > 0);
        let kept = to as usize / 2;
        let mut expected = all[..kept].to_vec();
        if left > 0 {
            expected.remove(2);
        }
        assert_eq!(read_around(&mut log).await, expected, "cut to {to}");
        mend(&mut log, &all).await;
        assert!(!log.lacks_producers());
        assert_eq!(read_all(&log).await.unwrap(), all[..kept], "cut to {to}");
    }
}

/// How many bytes a part of a damaged range took is not known: another segment begins at the cut.
#[compio::test]
async fn a_log_is_cut_within_damage() {
    let all = three_epochs();
    for (from, to, cut) in [(2, 4, 3), (0, 2, 1), (1, 3, 2)] {
        let what = format!("batches {from} to {to}, cut before {cut}");
        let folder = memory_folder();
        let (mut log, _) = damaged_log(folder.path(), from, to).await;
        let offset = 2 * cut as u64;
        assert_eq!(truncate(&mut log, offset).await, offset, "{what}");
        let range = 2 * from as u64..offset;
        assert_eq!(damaged(&log), std::slice::from_ref(&range), "{what}");
        assert!(read_around(&mut log).await == all[..from], "{what}");
        for batch in &all[cut..] {
            log.append(batch.clone());
        }
        flush(&mut log).await;
        assert!(read_around(&mut log).await == [&all[..from], &all[cut..]].concat());
        drop(log);
        let known = Known {
            durable_offset: offset,
            ..Known::default()
        };
        let (mut log, is_uncertain) = open_knowing(folder.path(), known).await;
        assert!(!is_uncertain, "{what}: {log:?}");
        assert_eq!(damaged(&log), [range], "{what}");
        mend(&mut log, &all).await;
        assert!(read_all(&log).await.unwrap() == all, "{what}");
        drop(log);
        let (log, is_uncertain) = open_knowing(folder.path(), known).await;
        assert!(!is_uncertain && log.damaged().is_empty(), "{what}");
        assert!(read_all(&log).await.unwrap() == all, "{what}");
    }
}

/// Which epoch wrote it nobody can tell any more, if it was cut between two of them.
#[compio::test]
async fn a_log_that_was_cut_within_damage_between_two_epochs_ends_before_it() {
    let all = three_epochs();
    let folder = memory_folder();
    let (mut log, _) = damaged_log(folder.path(), 2, 5).await;
    truncate(&mut log, 8).await;
    assert_eq!(log.epochs().starts(), [(1, 0)]);
    log.append(all[4].clone());
    flush(&mut log).await;
    drop(log);
    let (mut log, is_uncertain) = open_knowing(folder.path(), Known::default()).await;
    assert!(is_uncertain);
    assert!(read_around(&mut log).await == all[..2]);
}

#[compio::test]
async fn producers_are_the_same_when_everything_is_mended() {
    let producer = |id, base_sequence| {
        Some(Producer {
            id,
            epoch: 0,
            base_sequence,
        })
    };
    let all: Vec<_> = (0..9)
        .map(|at| batch_of(at, 1, &["value"], producer(at as i64 % 2, at as i32 / 2)))
        .collect();
    let source = memory_folder();
    write(source.path(), &all).await;
    let expected = open(source.path()).await.producers().clone();
    remove_indexes(source.path());
    for at in 0..8 {
        let folder = memory_folder();
        copy(source.path(), folder.path());
        let path = log_path(folder.path(), 0);
        let mut bytes = std::fs::read(&path).unwrap();
        let start = place(&bytes, &all[at]);
        bytes[start + 70] ^= 1;
        std::fs::write(&path, bytes).unwrap();
        let (mut log, _) = open_knowing(folder.path(), Known::default()).await;
        assert!(log.lacks_producers(), "batch {at}");
        mend(&mut log, &all).await;
        assert!(!log.lacks_producers(), "batch {at}");
        assert_eq!(*log.producers(), expected, "batch {at}");
    }
}

#[compio::test]
async fn records_that_look_like_batches_are_not_taken_for_them() {
    let folder = memory_folder();
    let mut log = open(folder.path()).await;
    let inner = batch(2, 1, &["somebody stores batches in records"]);
    let mut all = vec![batch(0, 1, &["first"])];
    let mut builder = quorate_batch::BatchBuilder::new(1 << 20);
    builder.push(1, None, Some(&inner), &[]).unwrap();
    let mut outer = builder.finish(None).to_vec();
    quorate_batch::stamp(&mut outer, 1, 1);
    all.push(Bytes::from(outer));
    all.push(batch(2, 1, &["last"]));
    for batch in &all {
        log.append(batch.clone());
    }
    flush(&mut log).await;
    remove_indexes(folder.path());
    let path = log_path(folder.path(), 0);
    let mut bytes = std::fs::read(&path).unwrap();
    let start = place(&bytes, &all[1]);
    bytes[start + 62] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let (mut log, _) = open_knowing(folder.path(), Known::default()).await;
    assert!(damaged(&log).iter().eq([&(1..2)]));
    assert_eq!(
        read_around(&mut log).await,
        [all[0].clone(), all[2].clone()]
    );
}

#[compio::test]
async fn batches_of_an_epoch_that_nobody_has_heard_of_are_refused() {
    let folder = memory_folder();
    write(folder.path(), &three_epochs()).await;
    remove_indexes(folder.path());
    let known = Known {
        epoch_max: 2,
        ..Known::default()
    };
    let inspected = PartitionLog::inspect(Watched::default(), folder.path(), SMALL, known).await;
    let error = inspected.unwrap_err();
    assert!(
        matches!(error, LogError::Damaged { offset: 22, .. }),
        "{error}"
    );
}

#[compio::test]
async fn a_segment_that_vanishes_while_the_log_is_open_is_put_back() {
    let folder = memory_folder();
    let all = three_epochs();
    write(folder.path(), &all).await;
    let (mut log, _) = open_knowing(folder.path(), Known::default()).await;
    let path = log_path(folder.path(), 0);
    let bytes = std::fs::read(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    assert_eq!(read_around(&mut log).await, all[9..]);
    mend(&mut log, &all).await;
    assert_eq!(read_all(&log).await.unwrap(), all);
    assert_eq!(std::fs::metadata(&path).unwrap().len(), bytes.len() as u64);
    drop(log);
    let (log, is_uncertain) = open_knowing(folder.path(), Known::default()).await;
    assert!(!is_uncertain && log.damaged().is_empty());
    assert_eq!(read_all(&log).await.unwrap(), all);
}

#[compio::test]
async fn a_flush_takes_no_more_than_its_share() {
    let folder = memory_folder();
    let mut log = open(folder.path()).await;
    let value = "x".repeat(1_000_000);
    let all: Vec<_> = (0..12).map(|offset| batch(offset, 1, &[&value])).collect();
    all.iter().for_each(|batch| log.append(batch.clone()));
    let job = log.begin_flush().unwrap().unwrap();
    assert_eq!(job.bytes(), 8 * all[0].len() as u64);
    assert_eq!(log.finish_flush(job.run().await).unwrap(), 8);
    assert!(log.has_pending());
    assert_eq!(flush(&mut log).await, 12);
    assert_eq!(read_all(&log).await.unwrap(), all);
    assert_eq!(read_all(&open(folder.path()).await).await.unwrap(), all);
}

#[compio::test]
async fn what_the_disk_cannot_read_is_damage_and_is_put_back() {
    let folder = memory_folder();
    let value = "x".repeat(5000);
    let all: Vec<_> = (0..9).map(|offset| batch(offset, 1, &[&value])).collect();
    let disk = Watched::default();
    let opened = PartitionLog::open(disk.clone(), folder.path(), SMALL).await;
    let mut log = opened.unwrap();
    for batch in &all {
        log.append(batch.clone());
        flush(&mut log).await;
    }
    drop(log);
    // Each batch has a segment of its own.
    disk.wear_out(&log_path(folder.path(), 4), 4096..4500);
    let opened = PartitionLog::open(disk.clone(), folder.path(), SMALL).await;
    let mut log = opened.unwrap();
    let expected = [&all[..4], &all[5..]].concat();
    assert!(read_around(&mut log).await == expected);
    assert!(damaged(&log).iter().eq([&(4..5)]));
    mend(&mut log, &all).await;
    assert!(read_all(&log).await.unwrap() == all);
    // The same at the end, which no checkpoint covers, and so it is uncertain.
    drop(log);
    std::fs::remove_file(log_path(folder.path(), 8).with_extension("index")).unwrap();
    disk.wear_out(&log_path(folder.path(), 8), 0..100);
    let known = Known::default();
    let inspected = PartitionLog::inspect(disk, folder.path(), SMALL, known).await;
    let inspected = inspected.unwrap();
    assert!(inspected.is_uncertain());
    assert_eq!(inspected.settle().await.unwrap().next_offset(), 8);
}

#[compio::test]
async fn a_scrub_meets_whatever_is_damaged_and_frames_are_put_back() {
    let all = three_epochs();
    let source = memory_folder();
    write(source.path(), &all).await;
    let step = frame_len(&all[0]) + all[0].len();
    for base_offset in segments(source.path()) {
        let path = log_path(source.path(), base_offset);
        let mut bytes = std::fs::read(&path).unwrap();
        let batches = all.len() - base_offset as usize / 2;
        bytes.truncate(batches * step);
        for position in 0..bytes.len() {
            let (mut log, _) = open_knowing(source.path(), Known::default()).await;
            let mut flipped = bytes.clone();
            flipped[position] ^= 0x10;
            std::fs::write(&path, &flipped).unwrap();
            let (mut from, mut frames, mut ranges) = (ScrubPlace::default(), 0, 0);
            while let Some(job) = log.begin_scrub(from, 300) {
                let scrubbed = job.run().await.unwrap();
                from = scrubbed.next;
                if let Some(job) = log.begin_reframe(scrubbed.broken_frames) {
                    frames += log.finish_reframe(job.run().await).unwrap();
                    assert!(std::fs::read(&path).unwrap() == bytes, "byte {position}");
                }
                if scrubbed.is_damaged {
                    let surveyed = log.begin_survey(from.offset).run().await;
                    let range = log.finish_survey(surveyed).unwrap().unwrap();
                    from = ScrubPlace::at(range.to);
                    ranges += 1;
                }
            }
            let what = format!("segment {base_offset}, byte {position}");
            assert_eq!((from.offset, frames + ranges), (38, 1), "{what}");
            std::fs::write(&path, &bytes).unwrap();
        }
    }
}

/// Otherwise the checksums would be those of the damage.
#[compio::test]
async fn a_frame_is_not_put_back_before_the_batches_that_it_covers() {
    let all = three_epochs();
    let folder = memory_folder();
    let (mut log, _) = open_knowing(folder.path(), Known::default()).await;
    all[..4].iter().for_each(|batch| log.append(batch.clone()));
    flush(&mut log).await;
    let path = log_path(folder.path(), 0);
    let sound = std::fs::read(&path).unwrap();
    let end = log.bytes() as usize;
    // One of its checksums, and the last batch.
    let mut damaged = sound.clone();
    damaged[22] ^= 1;
    damaged[end - 1] ^= 1;
    std::fs::write(&path, &damaged).unwrap();
    let scrub = |log: &Log| log.begin_scrub(ScrubPlace::default(), 1 << 20);
    let scrubbed = scrub(&log).unwrap().run().await.unwrap();
    assert_eq!(scrubbed.broken_frames.count(), 1);
    let job = log.begin_reframe(scrubbed.broken_frames).unwrap();
    assert_eq!(log.finish_reframe(job.run().await).unwrap(), 0);
    assert!(std::fs::read(&path).unwrap() == damaged);

    let offset = header(&all[3]).base_offset;
    let surveyed = log.begin_survey(offset).run().await;
    log.finish_survey(surveyed).unwrap().unwrap();
    mend(&mut log, &all[..4]).await;
    let scrubbed = scrub(&log).unwrap().run().await.unwrap();
    let job = log.begin_reframe(scrubbed.broken_frames.clone()).unwrap();
    assert_eq!(log.finish_reframe(job.run().await).unwrap(), 1);
    assert!(std::fs::read(&path).unwrap() == sound);
    // After a cut something else may stand there.
    truncate(&mut log, 2).await;
    assert!(log.begin_reframe(scrubbed.broken_frames).is_none());
}

/// Before the checksum is compared, a length is worth nothing.
#[compio::test]
async fn a_length_that_has_rotted_takes_no_memory() {
    const LARGE: usize = 64 << 10;
    let (folder, disk) = (memory_folder(), Watched::default());
    let opened = PartitionLog::open(disk.clone(), folder.path(), Settings::default());
    let mut log = opened.await.unwrap();
    for offset in 0..100 {
        log.append(batch(offset, 1, &[&"v".repeat(LARGE)]));
        flush(&mut log).await;
    }
    let path = log_path(folder.path(), 0);
    let mut bytes = std::fs::read(&path).unwrap();
    let position = frame_len(&batch(0, 1, &[&"v".repeat(LARGE)]));
    let length = (bytes.len() - position - 100) as u32;
    bytes[position + 8..position + 12].copy_from_slice(&length.to_be_bytes());
    std::fs::write(&path, bytes).unwrap();

    let scrubbed = log.begin_scrub(ScrubPlace::default(), 1 << 20).unwrap();
    assert!(scrubbed.run().await.unwrap().is_damaged);
    let surveyed = log.begin_survey(0).run().await;
    let range = log.finish_survey(surveyed).unwrap().unwrap();
    assert_eq!((range.from, range.to), (0, 1));
    drop(log);
    let known = Known::default();
    let settings = Settings::default();
    let begun = Inspection::begin(disk.clone(), folder.path(), settings, known, Scope::All);
    let mut inspection = begun.await.unwrap();
    while inspection.next().await.unwrap().is_some() {}
    // A piece, and the block that it begins in.
    let largest = disk.largest_read();
    assert!(largest <= (1 << 20) + 2 * 4096, "{largest}");
}
