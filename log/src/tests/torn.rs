//! The end of the last segment after a crash: torn, or damaged?

use std::path::{Path, PathBuf};

use super::scene::*;
use crate::{Flaw, LogError};

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
async fn a_last_batch_with_any_byte_changed_is_torn_and_goes() {
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
        assert_eq!(open(folder.path()).await.next_offset(), 8, "byte {at}");
    }
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
async fn zeros_and_noise_behind_the_last_batch_are_torn() {
    let folder = tempfile::tempdir().unwrap();
    let (path, bytes, _) = five(folder.path()).await;
    let noise: Vec<u8> = (0..3_000_000u64).map(|at| ((at * at) >> 7) as u8).collect();
    for tail in [vec![0; 3_000_000], noise] {
        std::fs::write(&path, [bytes.clone(), tail].concat()).unwrap();
        let log = open(folder.path()).await;
        assert_eq!(
            (log.next_offset(), log.recovery().torn_bytes),
            (10, 3_000_000)
        );
    }
}

#[compio::test]
async fn a_broken_batch_with_a_sound_one_behind_it_is_damage_and_named() {
    let folder = tempfile::tempdir().unwrap();
    let (path, bytes, batch_bytes) = five(folder.path()).await;
    for at in 0..bytes.len() - batch_bytes {
        if (12..16).contains(&(at % batch_bytes)) {
            continue;
        }
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x40;
        std::fs::write(&path, &damaged).unwrap();
        let error = try_open(folder.path()).await.unwrap_err();
        let index = at / batch_bytes;
        let LogError::Damaged {
            path: named,
            position,
            offset,
            ..
        } = &error
        else {
            panic!("byte {at}: {error}");
        };
        assert_eq!(
            (named, *position),
            (&path, (index * batch_bytes) as u64),
            "byte {at}"
        );
        assert_eq!(*offset, 2 * index as u64, "byte {at}");
        assert!(error.to_string().contains("restore the folder from a copy"));
        assert_eq!(std::fs::read(&path).unwrap(), damaged, "nothing is cut");
    }
}

#[compio::test]
async fn a_hole_in_the_middle_is_damage() {
    let folder = tempfile::tempdir().unwrap();
    let (path, bytes, batch_bytes) = five(folder.path()).await;
    let mut holed = bytes.clone();
    holed[batch_bytes..3 * batch_bytes].fill(0);
    std::fs::write(&path, &holed).unwrap();
    let error = try_open(folder.path()).await.unwrap_err();
    assert!(
        matches!(error, LogError::Damaged { offset: 2, .. }),
        "{error}"
    );
}

#[compio::test]
async fn a_batch_that_is_missing_from_the_middle_is_damage() {
    let folder = tempfile::tempdir().unwrap();
    let (path, bytes, batch_bytes) = five(folder.path()).await;
    let missing = [&bytes[..batch_bytes], &bytes[2 * batch_bytes..]].concat();
    std::fs::write(&path, &missing).unwrap();
    let error = try_open(folder.path()).await.unwrap_err();
    let LogError::Damaged {
        flaw, offset: 2, ..
    } = error
    else {
        panic!("{error}")
    };
    assert_eq!(
        flaw,
        Flaw::Offset {
            expected: 2,
            got: 4
        }
    );
}

#[compio::test]
async fn a_torn_segment_with_a_successor_is_damage() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &batches(30)).await;
    let segments = segments(folder.path());
    let path = folder.path().join("00000000000000000000.log");
    let bytes = std::fs::read(&path).unwrap();
    remove_indexes(folder.path());
    std::fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
    let error = try_open(folder.path()).await.unwrap_err();
    let expected = segments[1] - 2;
    assert!(
        matches!(error, LogError::Damaged { offset, .. } if offset == expected),
        "{error}"
    );
    // Even if it ends between two batches.
    let batch_bytes = batches(1)[0].len();
    std::fs::write(&path, &bytes[..bytes.len() - batch_bytes]).unwrap();
    let error = try_open(folder.path()).await.unwrap_err();
    let LogError::Damaged {
        flaw, position: 0, ..
    } = error
    else {
        panic!("{error}")
    };
    assert_eq!(
        flaw,
        Flaw::Gap {
            expected,
            got: segments[1]
        }
    );
}

#[compio::test]
async fn a_missing_segment_is_damage() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &batches(30)).await;
    let segments = segments(folder.path());
    let last = folder
        .path()
        .join(format!("{:020}", segments[segments.len() - 1]));
    std::fs::remove_file(last.with_extension("log")).unwrap();
    std::fs::write(last.with_extension("index"), "anything").unwrap();
    let error = try_open(folder.path()).await.unwrap_err();
    assert!(
        matches!(
            error,
            LogError::Damaged {
                flaw: Flaw::SegmentMissing,
                ..
            }
        ),
        "{error}"
    );
    std::fs::remove_file(last.with_extension("index")).unwrap();
    std::fs::remove_file(folder.path().join(format!("{:020}.log", segments[1]))).unwrap();
    std::fs::remove_file(folder.path().join(format!("{:020}.index", segments[1]))).unwrap();
    let error = try_open(folder.path()).await.unwrap_err();
    assert!(
        matches!(
            error,
            LogError::Damaged {
                flaw: Flaw::Gap { .. },
                ..
            }
        ),
        "{error}"
    );
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
    assert_eq!(open(folder.path()).await.next_offset(), 8);
    std::fs::write(&path, &bytes[..3 * batch_bytes]).unwrap();
    let error = try_open(folder.path()).await.unwrap_err();
    assert!(
        matches!(
            error,
            LogError::Damaged {
                flaw: Flaw::Short { .. },
                ..
            }
        ),
        "{error}"
    );
}
