//! The end of the last segment after a crash: torn, or damaged?

use std::path::{Path, PathBuf};

use quorate_platform::Compio;

use super::scene::*;
use crate::{Inspected, Known, PartitionLog};

/// Five batches in one segment, and no index file.
async fn five(folder: &Path) -> (PathBuf, Vec<u8>, usize) {
    let all = batches(5);
    write(folder, &all).await;
    remove_indexes(folder);
    assert_eq!(segments(folder), [0]);
    (
        folder.join("00000000000000000000.log"),
        all.concat(),
        all[0].len(),
    )
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
async fn a_last_batch_cut_at_any_byte_is_torn_and_goes() {
    let folder = tempfile::tempdir().unwrap();
    let (path, bytes, batch_bytes) = five(folder.path()).await;
    let start = bytes.len() - batch_bytes;
    for len in start..bytes.len() {
        std::fs::write(&path, &bytes[..len]).unwrap();
        let mut log = open(folder.path()).await;
        assert_eq!(log.next_offset(), 8, "cut to {len} bytes");
        assert_eq!(log.recovery().torn_bytes, (len - start) as u64);
        assert_eq!(std::fs::metadata(&path).unwrap().len(), start as u64);
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
    let folder = tempfile::tempdir().unwrap();
    let (path, bytes, batch_bytes) = five(folder.path()).await;
    let start = bytes.len() - batch_bytes;
    for at in start..bytes.len() {
        // A leader's epoch that grew cannot be told from one that was written.
        if (12..16).contains(&(at - start)) {
            continue;
        }
        let mut torn = bytes.clone();
        torn[at] ^= 0x40;
        std::fs::write(&path, &torn).unwrap();
        assert!(inspect(folder.path(), 0).await.is_uncertain(), "byte {at}");
        assert_eq!(std::fs::read(&path).unwrap(), torn, "nothing is cut so far");
        let log = open(folder.path()).await;
        assert_eq!(log.next_offset(), 8, "byte {at}");
        assert_eq!(log.recovery().uncertain_bytes, batch_bytes as u64);
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
async fn what_was_durable_is_not_torn_whatever_it_looks_like() {
    let folder = tempfile::tempdir().unwrap();
    let (path, bytes, batch_bytes) = five(folder.path()).await;
    let start = bytes.len() - batch_bytes;
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

#[compio::test]
async fn blocks_of_a_large_batch_that_were_not_written_are_torn() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("00000000000000000000.log");
    let value = "word ".repeat(700);
    let (first, second) = (batch(0, 1, &["first"]), batch(1, 1, &[&value]));
    let bytes = [&first[..], &second[..]].concat();
    for block in 0..bytes.len().div_ceil(512) {
        let written = block * 512..((block + 1) * 512).min(bytes.len());
        let mut torn = bytes.clone();
        torn[written.start.max(first.len())..written.end].fill(0);
        std::fs::write(&path, &torn).unwrap();
        assert!(
            !inspect(folder.path(), 0).await.is_uncertain(),
            "block {block}"
        );
        assert_eq!(open(folder.path()).await.next_offset(), 1, "block {block}");
        remove_indexes(folder.path());
    }
}

#[compio::test]
async fn a_length_that_reaches_beyond_the_file_is_damage_if_the_batch_is_whole() {
    let folder = tempfile::tempdir().unwrap();
    let (path, bytes, batch_bytes) = five(folder.path()).await;
    let start = bytes.len() - batch_bytes;
    let mut longer = bytes.clone();
    longer[start + 9] ^= 1;
    std::fs::write(&path, &longer).unwrap();
    assert!(inspect(folder.path(), 0).await.is_uncertain());
    longer.truncate(bytes.len() - 1);
    std::fs::write(&path, &longer).unwrap();
    assert!(!inspect(folder.path(), 0).await.is_uncertain());
}

#[compio::test]
async fn an_interrupted_write_of_several_batches_keeps_the_whole_ones() {
    let folder = tempfile::tempdir().unwrap();
    let (path, bytes, batch_bytes) = five(folder.path()).await;
    for len in 0..=bytes.len() {
        std::fs::write(&path, &bytes[..len]).unwrap();
        let log = open(folder.path()).await;
        assert_eq!(log.next_offset(), 2 * (len / batch_bytes) as u64);
        assert_eq!(
            read_all(&log).await.unwrap().concat(),
            bytes[..len - len % batch_bytes]
        );
    }
}

#[compio::test]
async fn zeros_behind_the_last_batch_are_torn_and_noise_is_uncertain() {
    let folder = tempfile::tempdir().unwrap();
    let (path, bytes, _) = five(folder.path()).await;
    let zeros = vec![0; 3_000_000];
    std::fs::write(&path, [bytes.clone(), zeros].concat()).unwrap();
    let log = open(folder.path()).await;
    let recovery = log.recovery();
    assert_eq!((log.next_offset(), recovery.torn_bytes), (10, 3_000_000));
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
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("00000000000000000000.log");
    let value = "x".repeat(1_000_000);
    let all: Vec<_> = (0..12).map(|offset| batch(offset, 1, &[&value])).collect();
    let (bytes, batch_bytes) = (all.concat(), all[0].len());
    let holed = |hole: usize| {
        let mut holed = bytes.clone();
        holed[hole * batch_bytes..hole * batch_bytes + 4096].fill(0);
        holed
    };
    // All behind it fits into one flush.
    std::fs::write(&path, holed(6)).unwrap();
    let inspected = inspect(folder.path(), 6).await;
    assert_eq!(
        (inspected.is_uncertain(), inspected.next_offset()),
        (false, 6)
    );
    // But if it was durable, it is damaged, and so may be what is behind it.
    let inspected = inspect(folder.path(), 7).await;
    assert_eq!(
        (inspected.is_uncertain(), inspected.next_offset()),
        (false, 12)
    );
    assert_eq!(inspected.settle().await.unwrap().damaged().len(), 1);
    // And no flush is as large as what comes behind this one.
    std::fs::write(&path, holed(2)).unwrap();
    let inspected = inspect(folder.path(), 0).await;
    assert_eq!(
        (inspected.is_uncertain(), inspected.next_offset()),
        (false, 12)
    );
    assert_eq!(inspected.settle().await.unwrap().damaged().len(), 1);
}

#[compio::test]
async fn a_missing_segment_is_damage_and_its_index_tells_of_it() {
    let source = tempfile::tempdir().unwrap();
    write(source.path(), &batches(30)).await;
    let all = segments(source.path());
    let end = 60;
    for (at, segment) in all.iter().enumerate() {
        for has_index in [true, false] {
            let folder = tempfile::tempdir().unwrap();
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
    let folder = tempfile::tempdir().unwrap();
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
    let source = tempfile::tempdir().unwrap();
    let all = batches(30);
    write(source.path(), &all).await;
    let (second, batch_bytes) = (segments(source.path())[1], all[0].len());
    let bytes = std::fs::read(source.path().join("00000000000000000000.log")).unwrap();
    for has_indexes in [true, false] {
        for length in (0..bytes.len())
            .step_by(13)
            .chain([batch_bytes, 3 * batch_bytes])
        {
            let folder = tempfile::tempdir().unwrap();
            copy(source.path(), folder.path());
            if !has_indexes {
                remove_indexes(folder.path());
            }
            let path = folder.path().join("00000000000000000000.log");
            std::fs::write(&path, &bytes[..length]).unwrap();
            let mut log = open(folder.path()).await;
            let kept = length / batch_bytes;
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
            assert!(std::fs::read(&path).unwrap() == bytes, "cut to {length}");
        }
    }
}

#[compio::test]
async fn bytes_that_a_checkpoint_vouched_for_do_not_go_missing_unnoticed() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &batches(5)).await;
    assert_eq!(
        names(folder.path()).len(),
        2,
        "one segment and its checkpoint"
    );
    let path = folder.path().join("00000000000000000000.log");
    let bytes = std::fs::read(&path).unwrap();
    let batch_bytes = batches(1)[0].len();
    // The checkpoint was written when it was due: behind the fourth batch.
    std::fs::write(&path, &bytes[..4 * batch_bytes + 7]).unwrap();
    assert!(!inspect(folder.path(), 0).await.is_uncertain());
    std::fs::write(&path, &bytes[..3 * batch_bytes]).unwrap();
    let inspected = inspect(folder.path(), 0).await;
    assert_eq!(
        (inspected.is_uncertain(), inspected.next_offset()),
        (true, 6)
    );
    let log = inspected.settle().await.unwrap();
    assert_eq!(read_all(&log).await.unwrap(), batches(3));
    assert!(!inspect(folder.path(), 0).await.is_uncertain());
}
