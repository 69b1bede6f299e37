//! Of every key the latest record stays, and nothing else changes.

use bytes::Bytes;
use quorate_batch::records;
use quorate_platform::Disk;

use super::scene::*;
use crate::{CompactLimits, Compacted, LogError, PartitionLog, Read, ScrubPlace};

/// A log of so many batches of two records, each flushed alone, of which the keys take turns.
async fn scene<D: Disk>(log: &mut PartitionLog<D>, count: u64, keys: u64) -> Vec<Bytes> {
    let mut batches = Vec::new();
    for at in 0..count {
        let key = |offset: u64| format!("key {}", offset % keys);
        let value = format!("value {at:010}");
        let (one, other) = (key(2 * at), key(2 * at + 1));
        let records = [(one.as_str(), Some(value.as_str())), (&other, Some(&value))];
        let batch = keyed(2 * at, 1, &records);
        log.append(batch.clone());
        flush(log).await;
        batches.push(batch);
    }
    batches
}

/// The offsets of the records in `batches`.
fn offsets(batches: &[Bytes]) -> Vec<u64> {
    let records = batches.iter().flat_map(|batch| records(batch).unwrap());
    records.map(|record| record.unwrap().offset).collect()
}

fn boundaries(batches: &[Bytes]) -> Vec<(u64, u64)> {
    let ends = batches.iter().map(|batch| {
        let header = header(batch);
        (header.base_offset, header.next_offset())
    });
    ends.collect()
}

fn limits(keys_max: usize) -> CompactLimits {
    CompactLimits {
        keys_max,
        step_bytes: 300,
    }
}

#[compio::test]
async fn the_latest_record_of_every_key_stays_and_all_batches_begin_and_end_as_before() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = open(folder.path()).await;
    let batches = scene(&mut log, 60, 10).await;
    let bases = segments(folder.path());
    let closed = *bases.last().unwrap();
    let (epochs, producers) = (log.epochs().clone(), log.producers().clone());
    assert!(log.is_compactable(u64::MAX, 0));
    let cleaning = compact(&mut log, 0).await;
    assert_eq!((cleaning.to, log.compacted()), (closed, closed));
    assert!(!log.is_compactable(u64::MAX, u64::MAX) && !log.is_compacting());
    let all = read_all(&log).await.unwrap();
    assert_eq!(boundaries(&all), boundaries(&batches));
    let expected: Vec<_> = (closed - 10..120).collect();
    assert_eq!(offsets(&all), expected);
    assert_eq!(cleaning.records, closed - 10);
    assert!(cleaning.bytes_after < cleaning.bytes_before);
    let left = segments(folder.path());
    assert!(left.len() <= bases.len() / 2 + 1, "{left:?} of {bases:?}");
    drop(log);
    let log = open(folder.path()).await;
    assert_eq!(read_all(&log).await.unwrap(), all);
    assert_eq!(log.recovery(), crate::Recovery::default());
    assert_eq!((log.epochs(), log.producers()), (&epochs, &producers));
    assert_eq!(log.compacted(), 0, "after opening nothing is known");
}

#[compio::test]
async fn nothing_that_is_not_committed_or_not_closed_is_touched() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = open(folder.path()).await;
    let batches = scene(&mut log, 40, 2).await;
    let bases = segments(folder.path());
    for until in [0, bases[1] - 1] {
        assert!(!log.is_compactable(until, u64::MAX));
        assert!(log.begin_compact(until, 0, limits(9)).unwrap().is_none());
    }
    let mut to = 0;
    while let Some(job) = log.begin_compact(bases[2] + 1, 0, limits(9)).unwrap() {
        if let Compacted::Finished(cleaning) = log.finish_compact(job.run().await).unwrap() {
            to = cleaning.to;
            break;
        }
    }
    assert_eq!(to, bases[2]);
    let all = read_all(&log).await.unwrap();
    let first = bases[2] as usize / 2;
    assert_eq!(all[first..], batches[first..]);
    assert_eq!(offsets(&all[..first]), [bases[2] - 2, bases[2] - 1]);
}

#[compio::test]
async fn a_tombstone_stays_until_it_may_go_and_then_makes_it_time() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = open(folder.path()).await;
    log.append(keyed(0, 1, &[("a", Some("1")), ("b", Some("1"))]));
    log.append(keyed(2, 1, &[("a", None), ("c", None), ("b", Some("2"))]));
    log.append(keyed(5, 1, &[("c", Some("3"))]));
    log.roll();
    flush(&mut log).await;
    log.shrink_tail(0);
    assert_eq!(compact(&mut log, 0).await.to, 6);
    assert_eq!(offsets(&read_all(&log).await.unwrap()), [2, 4, 5]);
    assert!(!log.is_compactable(u64::MAX, 2));
    assert!(log.is_compactable(u64::MAX, 3));
    assert_eq!(compact(&mut log, 3).await.records, 1);
    assert_eq!(offsets(&read_all(&log).await.unwrap()), [4, 5]);
    assert!(!log.is_compactable(u64::MAX, u64::MAX));
    let log = open(folder.path()).await;
    assert_eq!(offsets(&read_all(&log).await.unwrap()), [4, 5]);
}

#[compio::test]
async fn a_pass_that_has_learned_enough_ends_and_the_next_one_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = open(folder.path()).await;
    scene(&mut log, 60, 40).await;
    let closed = *segments(folder.path()).last().unwrap();
    let mut ends = Vec::new();
    while log.compacted() < closed {
        let job = log.begin_compact(u64::MAX, 0, limits(10)).unwrap().unwrap();
        if let Compacted::Finished(cleaning) = log.finish_compact(job.run().await).unwrap() {
            ends.push(cleaning.to);
        }
    }
    assert!(ends.len() > 5 && ends.is_sorted(), "{ends:?}");
    let expected: Vec<_> = (closed - 40..120).collect();
    assert_eq!(offsets(&read_all(&log).await.unwrap()), expected);
}

#[compio::test]
async fn appends_and_reads_go_on_while_a_pass_is_under_way() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = open(folder.path()).await;
    let mut batches = scene(&mut log, 60, 10).await;
    let (mut replaced, mut superseded) = (0, 0);
    loop {
        let early = log.begin_read(0, 2000, u64::MAX);
        let job = log.begin_compact(u64::MAX, 0, limits(99)).unwrap().unwrap();
        let batch = keyed(log.next_offset(), 1, &[("new", Some("value"))]);
        log.append(batch.clone());
        batches.push(batch);
        let flushing = log.begin_flush().unwrap().unwrap();
        let late = log.begin_read(0, 2000, u64::MAX);
        let is_replacing = log.is_replacing();
        let step = job.run().await;
        for (read, is_old) in [(early, is_replacing), (late, false)] {
            let Read::Job(read) = read else { panic!() };
            match read.run().await {
                Ok(batches) => assert!(!batches.is_empty() && !is_old),
                Err(LogError::Superseded) => superseded += u32::from(is_old),
                Err(error) => panic!("{error}"),
            }
        }
        log.finish_flush(flushing.run().await).unwrap();
        // The files are what they will be, and the log does not know yet.
        let all = read_all(&log).await.unwrap();
        assert_eq!(boundaries(&all), boundaries(&batches));
        let surveyed = log.begin_survey(0).run().await;
        assert_eq!(log.finish_survey(surveyed).unwrap(), None);
        let scrub = log.begin_scrub(ScrubPlace::default(), 5000).unwrap();
        assert!(!scrub.run().await.unwrap().is_damaged);
        if is_replacing {
            replaced += 1;
            assert!(log.begin_truncate(0).unwrap().is_none());
            assert!(log.begin_reset(500, 1).unwrap().is_none());
            assert!(log.begin_retire().unwrap().is_none());
        }
        if let Compacted::Finished(_) = log.finish_compact(step).unwrap() {
            break;
        }
    }
    assert!(
        replaced > 1 && superseded == replaced,
        "{superseded} of {replaced}"
    );
    assert_eq!(log.damaged(), []);
    let all = read_all(&log).await.unwrap();
    assert_eq!(boundaries(&all), boundaries(&batches));
    let log = open(folder.path()).await;
    assert_eq!(read_all(&log).await.unwrap(), all);
}
