//! Index files are derived: with them opening is short, without them nothing is lost.

use super::scene::*;
use crate::LogError;
use crate::frontier::Frontier;

#[compio::test]
async fn opening_walks_only_behind_the_last_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let all = batches(60);
    write(folder.path(), &all).await;
    let log = open(folder.path()).await;
    assert!(log.recovery().walked_bytes <= SMALL.checkpoint_bytes);
    assert_eq!(log.recovery().indexes_rebuilt, 0);
    assert_eq!(read_all(&log).await.unwrap(), all);
}

#[compio::test]
async fn missing_indexes_are_rebuilt_as_they_were() {
    let folder = tempfile::tempdir().unwrap();
    let all = batches(60);
    write(folder.path(), &all).await;
    let indexes = || {
        let mut names = names(folder.path());
        names.retain(|name| name.ends_with(".index"));
        // The one of the last segment is written when it is due again.
        names.truncate(segments(folder.path()).len() - 1);
        names
    };
    let before: Vec<_> = indexes()
        .iter()
        .map(|name| std::fs::read(folder.path().join(name)).unwrap())
        .collect();
    assert!(before.len() > 3);
    indexes()
        .iter()
        .for_each(|name| std::fs::remove_file(folder.path().join(name)).unwrap());
    let log = open(folder.path()).await;
    assert_eq!(log.recovery().indexes_rebuilt as usize, before.len());
    assert_eq!(read_all(&log).await.unwrap(), all);
    let after: Vec<_> = indexes()
        .iter()
        .map(|name| std::fs::read(folder.path().join(name)).unwrap())
        .collect();
    assert_eq!(before, after);
}

#[compio::test]
async fn an_index_damaged_at_any_byte_is_rebuilt() {
    let folder = tempfile::tempdir().unwrap();
    let all = batches(15);
    write(folder.path(), &all).await;
    let path = folder.path().join("00000000000000000000.index");
    let good = std::fs::read(&path).unwrap();
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 1;
        std::fs::write(&path, &bad).unwrap();
        let log = open(folder.path()).await;
        assert_eq!(log.recovery().indexes_rebuilt, 1, "byte {at}");
        assert_eq!(log.next_offset(), 30, "byte {at}");
        assert_eq!(std::fs::read(&path).unwrap(), good, "byte {at}");
    }
    for len in 0..good.len() {
        std::fs::write(&path, &good[..len]).unwrap();
        assert_eq!(
            open(folder.path()).await.recovery().indexes_rebuilt,
            1,
            "cut to {len}"
        );
    }
}

#[compio::test]
async fn an_index_of_a_later_version_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &batches(15)).await;
    let path = folder.path().join("00000000000000000000.index");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[8] = 9;
    let body = bytes.len() - 4;
    let crc = crc32c::crc32c(&bytes[..body]).to_le_bytes();
    bytes[body..].copy_from_slice(&crc);
    std::fs::write(&path, bytes).unwrap();
    let error = try_open(folder.path()).await.unwrap_err();
    assert!(matches!(
        error,
        LogError::Version {
            got: 9,
            known: 3,
            ..
        }
    ));
    assert!(error.to_string().contains("run a newer program"));
}

/// How many closed segments have their index in memory, and how many there are.
fn in_memory(log: &Log) -> (usize, usize) {
    let closed = log.closed_segments();
    let kept = closed.iter().filter(|closed| closed.index().is_some());
    (kept.count(), closed.len())
}

#[compio::test]
async fn indexes_of_closed_segments_are_left_to_their_files() {
    let folder = tempfile::tempdir().unwrap();
    let all = batches(60);
    let mut log = open(folder.path()).await;
    for batch in &all {
        log.append(batch.clone());
    }
    let (kept, closed) = in_memory(&log);
    assert!(kept == closed && closed > 3, "no file holds them yet");
    flush(&mut log).await;
    assert_eq!(in_memory(&log), (0, closed));
    assert_eq!(read_all(&log).await.unwrap(), all);
    drop(log);
    let log = open(folder.path()).await;
    assert_eq!(in_memory(&log), (0, closed));
    for timestamp in (0..120).rev() {
        let expected = Some((timestamp as u64, timestamp));
        assert_eq!(lookup(&log, timestamp, u64::MAX).await, expected);
    }
    assert_eq!(in_memory(&log), (0, closed));
}

#[compio::test]
async fn an_index_that_is_lost_while_the_log_is_open_is_derived_again() {
    let folder = tempfile::tempdir().unwrap();
    let all = batches(60);
    write(folder.path(), &all).await;
    for is_cached in [false, true] {
        let log = open(folder.path()).await;
        if is_cached {
            assert_eq!(read_all(&log).await.unwrap(), all);
        }
        for segment in segments(folder.path()) {
            // Removed, damaged, and of a moment when there was less.
            let path = folder.path().join(format!("{segment:020}.index"));
            match segment % 3 {
                0 => std::fs::remove_file(&path).unwrap_or_default(),
                1 => std::fs::write(&path, "nonsense").unwrap(),
                _ => {
                    let early = Frontier::new(segment).encode(true);
                    std::fs::write(&path, early).unwrap();
                }
            }
        }
        assert_eq!(read_all(&log).await.unwrap(), all);
        for timestamp in 0..120 {
            let expected = Some((timestamp as u64, timestamp));
            assert_eq!(lookup(&log, timestamp, u64::MAX).await, expected);
        }
    }
}

#[compio::test]
async fn an_index_is_not_taken_for_that_of_a_segment_that_was_cut() {
    let folder = tempfile::tempdir().unwrap();
    let all = batches(60);
    write(folder.path(), &all).await;
    let mut log = open(folder.path()).await;
    assert_eq!(read_all(&log).await.unwrap(), all);
    // Batches of another size come to stand where the others stood.
    let from = 40;
    assert_eq!(truncate(&mut log, from).await, from);
    let mut expected = all[..from as usize / 2].to_vec();
    for offset in from..100 {
        expected.push(batch(offset, 1, &["short"]));
        log.append(expected.last().unwrap().clone());
        flush(&mut log).await;
    }
    assert_eq!(read_all(&log).await.unwrap(), expected);
    for offset in from..100 {
        let found = lookup(&log, offset as i64, u64::MAX).await;
        assert_eq!(found, Some((offset, offset as i64)));
    }
}

#[compio::test]
async fn a_damaged_batch_on_disk_is_never_served() {
    let folder = tempfile::tempdir().unwrap();
    let all = batches(30);
    write(folder.path(), &all).await;
    let path = folder.path().join("00000000000000000000.log");
    let good = std::fs::read(&path).unwrap();
    let start = place(&good, &all[1]);
    for at in start..start + all[1].len() {
        let mut bad = good.clone();
        bad[at] ^= 1;
        std::fs::write(&path, &bad).unwrap();
        // The index vouches for the segment, so opening does not look.
        let log = open(folder.path()).await;
        let error = read(&log, 2, 1000, u64::MAX).await.unwrap_err();
        let LogError::Damaged {
            position,
            offset: 2,
            ..
        } = error
        else {
            panic!("{error}")
        };
        assert_eq!(position, start as u64, "byte {at}");
        assert_eq!(read(&log, 0, 1, u64::MAX).await.unwrap(), all[..1]);
        // What is sound before it is served, and it alone.
        assert_eq!(read(&log, 0, 1000, u64::MAX).await.unwrap(), all[..1]);
        assert!(read_all(&log).await.is_err());
    }
}
