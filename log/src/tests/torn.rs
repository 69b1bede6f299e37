//! The end of the last segment after a crash: torn, or damaged?

use std::path::{Path, PathBuf};

use bytes::Bytes;
use quorate_platform::Compio;

use super::scene::*;
use crate::frame::HEAD_BYTES;
use crate::{Inspected, Known, PartitionLog, Settings};

/// A log with these batches in one segment, of which each list was flushed at once, and without an
/// index file. Gives the segment's path and bytes.
async fn flushed(folder: &Path, flushes: &[&[Bytes]]) -> (PathBuf, Vec<u8>) {
    let settings = Settings {
        segment_bytes_max: 1 << 30,
        ..SMALL
    };
    let mut log = PartitionLog::open(Compio, folder, settings).await.unwrap();
    for batches in flushes {
        batches.iter().for_each(|batch| log.append(batch.clone()));
        while log.has_pending() {
            flush(&mut log).await;
        }
    }
    remove_indexes(folder);
    let path = folder.join("00000000000000000000.log");
    let mut bytes = std::fs::read(&path).unwrap();
    // Behind it there are zeros up to the end of the block.
    bytes.truncate(log.bytes() as usize);
    (path, bytes)
}

/// Five batches, each flushed alone. Gives also where the frame of the last one begins.
async fn five(folder: &Path) -> (PathBuf, Vec<u8>, usize) {
    let all = batches(5);
    let flushes: Vec<_> = all.chunks(1).collect();
    let (path, bytes) = flushed(folder, &flushes).await;
    let start = place(&bytes, &all[4]) - frame_len(&all[4]);
    (path, bytes, start)
}

async fn inspect(folder: &Path, durable_offset: u64) -> Inspected<Compio> {
    let known = Known {
        durable_offset,
        ..Known::default()
    };
    let inspected = PartitionLog::inspect(Compio, folder, SMALL, known).await;
    inspected.unwrap()
}

fn remove_indexes(folder: &Path) {
    for name in names(folder).iter().filter(|name| name.ends_with(".index")) {
        std::fs::remove_file(folder.join(name)).unwrap();
    }
}

#[compio::test]
async fn a_last_flush_cut_at_any_byte_is_torn_and_goes() {
    let folder = memory_folder();
    let (path, bytes, start) = five(folder.path()).await;
    for len in start..bytes.len() {
        std::fs::write(&path, &bytes[..len]).unwrap();
        let mut log = open(folder.path()).await;
        assert_eq!(log.next_offset(), 8, "cut to {len} bytes");
        assert_eq!(log.recovery().torn_bytes, (len - start) as u64);
        let mark = if len > start { HEAD_BYTES } else { 0 };
        let expected = start as u64 + mark;
        assert_eq!(std::fs::metadata(&path).unwrap().len(), expected);
        log.append(batch(8, 1, &["another"]));
        flush(&mut log).await;
        drop(log);
        let log = open(folder.path()).await;
        assert_eq!((log.next_offset(), log.recovery().torn_bytes), (9, 0));
        remove_indexes(folder.path());
    }
}

#[compio::test]
async fn a_last_batch_with_any_byte_changed_is_uncertain_and_put_aside() {
    let folder = memory_folder();
    let (path, bytes, start) = five(folder.path()).await;
    let batch_start = start + frame_len(&batches(1)[0]);
    for at in batch_start..bytes.len() {
        // A leader's epoch that grew cannot be told from one that was written.
        if (12..16).contains(&(at - batch_start)) {
            continue;
        }
        let mut torn = bytes.clone();
        torn[at] ^= 0x40;
        std::fs::write(&path, &torn).unwrap();
        assert!(inspect(folder.path(), 0).await.is_uncertain(), "byte {at}");
        assert_eq!(std::fs::read(&path).unwrap(), torn, "nothing is cut so far");
        let log = open(folder.path()).await;
        assert_eq!(log.next_offset(), 8, "byte {at}");
        assert_eq!(log.recovery().uncertain_bytes, (bytes.len() - start) as u64);
        let mut aside = names(folder.path());
        aside.retain(|name| name.contains("damaged"));
        assert!(aside.len() <= 2, "byte {at}: {aside:?}");
        let newest = aside
            .iter()
            .map(|name| std::fs::read(folder.path().join(name)).unwrap());
        assert!(
            newest.into_iter().any(|kept| kept == torn[start..]),
            "byte {at}"
        );
        assert!(!inspect(folder.path(), 0).await.is_uncertain());
    }
}

#[compio::test]
async fn a_frame_with_any_byte_changed_costs_nothing() {
    let folder = memory_folder();
    let (path, bytes, start) = five(folder.path()).await;
    for at in start..start + HEAD_BYTES as usize {
        let mut flipped = bytes.clone();
        flipped[at] ^= 0x40;
        std::fs::write(&path, &flipped).unwrap();
        assert!(!inspect(folder.path(), 0).await.is_uncertain(), "byte {at}");
        let log = open(folder.path()).await;
        assert_eq!((log.next_offset(), log.recovery().frames_damaged), (10, 1));
        assert_eq!(read_all(&log).await.unwrap(), batches(5));
        drop(log);
        remove_indexes(folder.path());
    }
}

#[compio::test]
async fn what_was_durable_is_not_torn_whatever_it_looks_like() {
    let folder = memory_folder();
    let (path, bytes, start) = five(folder.path()).await;
    let mut zeroed = bytes.clone();
    zeroed[start..].fill(0);
    for torn in [
        zeroed,
        bytes[..start].to_vec(),
        bytes[..start + 70].to_vec(),
    ] {
        std::fs::write(&path, &torn).unwrap();
        assert!(!inspect(folder.path(), 8).await.is_uncertain());
        assert!(inspect(folder.path(), 10).await.is_uncertain());
    }
}

/// A small batch and a large one of `byte`s, each flushed alone.
async fn small_and_large(folder: &Path, byte: char) -> (PathBuf, Vec<u8>, usize) {
    let value = byte.to_string().repeat(3500);
    let all = [batch(0, 1, &["first"]), batch(1, 1, &[&value])];
    let (path, bytes) = flushed(folder, &[&all[..1], &all[1..]]).await;
    let start = place(&bytes, &all[0]) + all[0].len();
    (path, bytes, start)
}

#[compio::test]
async fn sectors_that_were_not_written_are_torn_and_changed_ones_are_not() {
    for byte in ['x', '\0'] {
        let folder = memory_folder();
        let (path, bytes, start) = small_and_large(folder.path(), byte).await;
        for sector in 0..bytes.len().div_ceil(512) {
            let written = sector * 512..((sector + 1) * 512).min(bytes.len());
            let written = written.start.max(start)..written.end;
            let mut torn = bytes.clone();
            torn[written.clone()].fill(0);
            std::fs::write(&path, &torn).unwrap();
            let inspected = inspect(folder.path(), 0).await;
            // Zeros that were written as zeros are there.
            let next_offset = if torn == bytes { 2 } else { 1 };
            assert!(!inspected.is_uncertain(), "sector {sector}");
            assert_eq!(inspected.next_offset(), next_offset, "sector {sector}");
            // If anything is missing the flush was torn, whatever else is wrong with it.
            let mut both = torn.clone();
            both[start + 200] ^= 1;
            std::fs::write(&path, &both).unwrap();
            let inspected = inspect(folder.path(), 0).await;
            let is_changed = written.contains(&(start + 200));
            let is_uncertain = torn == bytes || (sector > 0 && is_changed);
            assert_eq!(inspected.is_uncertain(), is_uncertain, "sector {sector}");
            let mut changed = bytes.clone();
            changed[written.end - 1] ^= 1;
            std::fs::write(&path, &changed).unwrap();
            let inspected = inspect(folder.path(), 0).await;
            assert!(inspected.is_uncertain(), "sector {sector}");
        }
    }
}

#[compio::test]
async fn a_length_that_reaches_beyond_the_file_is_damage_if_the_flush_is_whole() {
    let folder = memory_folder();
    let (path, bytes, start) = five(folder.path()).await;
    let mut longer = bytes.clone();
    longer[start + frame_len(&batches(1)[0]) + 9] ^= 1;
    std::fs::write(&path, &longer).unwrap();
    assert!(inspect(folder.path(), 0).await.is_uncertain());
    longer.truncate(bytes.len() - 1);
    std::fs::write(&path, &longer).unwrap();
    assert!(!inspect(folder.path(), 0).await.is_uncertain());
}

#[compio::test]
async fn an_interrupted_flush_of_several_batches_keeps_the_whole_ones() {
    let folder = memory_folder();
    let all = batches(5);
    let (path, bytes) = flushed(folder.path(), &[&all]).await;
    let ends: Vec<_> = all
        .iter()
        .map(|batch| place(&bytes, batch) + batch.len())
        .collect();
    for len in 0..=bytes.len() {
        std::fs::write(&path, &bytes[..len]).unwrap();
        let log = open(folder.path()).await;
        let kept = ends.iter().filter(|end| **end <= len).count();
        assert_eq!(log.next_offset(), 2 * kept as u64, "cut to {len}");
        assert_eq!(read_all(&log).await.unwrap(), all[..kept]);
    }
}

#[compio::test]
async fn zeros_behind_the_last_batch_are_room_and_noise_is_uncertain() {
    let folder = memory_folder();
    let (path, bytes, _) = five(folder.path()).await;
    let zeros = vec![0; 3_000_000];
    std::fs::write(&path, [bytes.clone(), zeros].concat()).unwrap();
    let log = open(folder.path()).await;
    let recovery = log.recovery();
    assert_eq!((log.next_offset(), recovery.torn_bytes), (10, 0));
    assert_eq!(std::fs::read(&path).unwrap(), bytes);
    let noise: Vec<u8> = (0..3_000_000u64)
        .map(|at| ((at * at) >> 7) as u8 | 1)
        .collect();
    std::fs::write(&path, [bytes.clone(), noise].concat()).unwrap();
    let log = open(folder.path()).await;
    let recovery = log.recovery();
    assert_eq!(
        (log.next_offset(), recovery.uncertain_bytes),
        (10, 3_000_000)
    );
}

#[compio::test]
async fn a_hole_in_the_last_flush_is_torn_and_one_before_it_is_damage() {
    let folder = memory_folder();
    let value = "x".repeat(1_000_000);
    let all: Vec<_> = (0..12).map(|offset| batch(offset, 1, &[&value])).collect();
    // More than one flush may have: the first takes eight.
    let (path, bytes) = flushed(folder.path(), &[&all]).await;
    let holed = |hole: usize| {
        let mut holed = bytes.clone();
        let start = place(&bytes, &all[hole]);
        holed[start..start + 4096].fill(0);
        holed
    };
    std::fs::write(&path, holed(9)).unwrap();
    let inspected = inspect(folder.path(), 9).await;
    assert_eq!(
        (inspected.is_uncertain(), inspected.next_offset()),
        (false, 9)
    );
    // But if it was durable, it is damaged, and so may be what is behind it.
    let inspected = inspect(folder.path(), 10).await;
    assert_eq!(
        (inspected.is_uncertain(), inspected.next_offset()),
        (false, 12)
    );
    assert_eq!(inspected.settle().await.unwrap().damaged().len(), 1);
    // And a flush that another one followed was durable.
    std::fs::write(&path, holed(6)).unwrap();
    let inspected = inspect(folder.path(), 0).await;
    assert_eq!(
        (inspected.is_uncertain(), inspected.next_offset()),
        (false, 12)
    );
    assert_eq!(inspected.settle().await.unwrap().damaged().len(), 1);
}

#[compio::test]
async fn what_is_written_where_a_flush_was_cut_is_not_judged_by_its_frame() {
    let folder = memory_folder();
    let all = batches(8);
    let path = folder.path().join("00000000000000000000.log");
    let mut log = open(folder.path()).await;
    all.iter().for_each(|batch| log.append(batch.clone()));
    flush(&mut log).await;
    truncate(&mut log, 6).await;
    log.append(all[3].clone());
    flush(&mut log).await;
    drop(log);
    remove_indexes(folder.path());
    let bytes = std::fs::read(&path).unwrap();
    let start = place(&bytes, &all[3]) - frame_len(&all[3]);
    // The frame and the batch are both damaged, and nothing stands where the old flush went on.
    let mut damaged = bytes.clone();
    damaged[start + 5] ^= 1;
    damaged[start + 100] ^= 1;
    std::fs::write(&path, &damaged).unwrap();
    let inspected = inspect(folder.path(), 0).await;
    assert_eq!(
        (inspected.is_uncertain(), inspected.next_offset()),
        (true, 6)
    );
}

#[compio::test]
async fn a_missing_segment_is_damage_and_its_index_tells_of_it() {
    let source = memory_folder();
    write(source.path(), &batches(30)).await;
    let all = segments(source.path());
    let end = 60;
    for (at, segment) in all.iter().enumerate() {
        for has_index in [true, false] {
            let folder = memory_folder();
            copy(source.path(), folder.path());
            let path = folder.path().join(format!("{segment:020}"));
            std::fs::remove_file(path.with_extension("log")).unwrap();
            if !has_index {
                std::fs::remove_file(path.with_extension("index")).unwrap_or_default();
            }
            let is_last = at + 1 == all.len();
            // How far the log reached is known to others, or the index before tells that there was
            // more. To look changes nothing of that.
            for durable_offset in [end, 0, 0] {
                let inspected = inspect(folder.path(), durable_offset).await;
                assert_eq!(inspected.is_uncertain(), is_last, "segment {segment}");
            }
            let inspected = inspect(folder.path(), 0).await;
            let log = inspected.settle().await.unwrap();
            if is_last {
                assert_eq!((log.next_offset(), log.damaged().len()), (*segment, 0));
            } else {
                let [range] = log.damaged() else {
                    panic!("{log:?}")
                };
                assert_eq!((range.from, range.to), (*segment, all[at + 1]));
            }
        }
    }
}

#[compio::test]
async fn a_log_that_was_there_and_has_no_segment_has_lost_it() {
    let folder = memory_folder();
    let look = async |is_old| {
        let known = Known {
            is_old,
            ..Known::default()
        };
        let inspected = PartitionLog::inspect(Compio, folder.path(), SMALL, known).await;
        inspected.unwrap()
    };
    for is_old in [true, true, false] {
        assert_eq!(look(is_old).await.is_uncertain(), is_old);
    }
    let log = look(true).await.settle().await.unwrap();
    assert_eq!((log.log_start_offset(), log.next_offset()), (0, 0));
    assert!(!look(true).await.is_uncertain(), "it has begun anew");
}

#[compio::test]
async fn a_segment_with_a_successor_that_is_cut_is_damage() {
    let source = memory_folder();
    let all = batches(30);
    write(source.path(), &all).await;
    let second = segments(source.path())[1];
    let bytes = std::fs::read(source.path().join("00000000000000000000.log")).unwrap();
    let step = frame_len(&all[0]) + all[0].len();
    for has_indexes in [true, false] {
        for length in (0..bytes.len()).step_by(13).chain([step, 3 * step]) {
            let folder = memory_folder();
            copy(source.path(), folder.path());
            if !has_indexes {
                remove_indexes(folder.path());
            }
            let path = folder.path().join("00000000000000000000.log");
            std::fs::write(&path, &bytes[..length]).unwrap();
            let mut log = open(folder.path()).await;
            let kept = length / step;
            let [range] = log.damaged() else {
                panic!("cut to {length}: {log:?}")
            };
            assert_eq!(
                (range.from, range.to),
                (2 * kept as u64, second),
                "cut to {length}"
            );
            let lost = &all[kept..second as usize / 2];
            let job = log.begin_rewrite(lost).unwrap().unwrap();
            log.finish_rewrite(job.run().await).unwrap();
            assert_eq!(read_all(&log).await.unwrap(), all, "cut to {length}");
        }
    }
}

#[compio::test]
async fn bytes_that_a_checkpoint_vouched_for_do_not_go_missing_unnoticed() {
    let folder = memory_folder();
    write(folder.path(), &batches(5)).await;
    assert_eq!(
        names(folder.path()).len(),
        2,
        "one segment and its checkpoint"
    );
    let path = folder.path().join("00000000000000000000.log");
    let bytes = std::fs::read(&path).unwrap();
    let step = frame_len(&batches(1)[0]) + batches(1)[0].len();
    // The checkpoint was written when it was due: behind the fourth batch.
    std::fs::write(&path, &bytes[..4 * step + 7]).unwrap();
    assert!(!inspect(folder.path(), 0).await.is_uncertain());
    std::fs::write(&path, &bytes[..3 * step]).unwrap();
    let inspected = inspect(folder.path(), 0).await;
    assert_eq!(
        (inspected.is_uncertain(), inspected.next_offset()),
        (true, 6)
    );
    let log = inspected.settle().await.unwrap();
    assert_eq!(read_all(&log).await.unwrap(), batches(3));
    assert!(!inspect(folder.path(), 0).await.is_uncertain());
}
