use std::path::Path;

use super::scene::*;
use crate::{LogError, Sighting};

#[compio::test]
async fn every_time_leads_to_the_first_record_since() {
    let folder = tempfile::tempdir().unwrap();
    let all = batches(40);
    write(folder.path(), &all).await;
    let mut log = open(folder.path()).await;
    log.append(batch(80, 1, &["in memory only"; 9]));
    // Every record is as late as its offset.
    for timestamp in 0..89 {
        let expected = Some((timestamp as u64, timestamp));
        assert_eq!(lookup(&log, timestamp, u64::MAX).await, expected);
    }
    assert_eq!(lookup(&log, i64::MIN, u64::MAX).await, Some((0, 0)));
    assert_eq!(lookup(&log, 89, u64::MAX).await, None);
}

#[compio::test]
async fn records_at_the_limit_and_above_are_not_found() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &batches(40)).await;
    let log = open(folder.path()).await;
    assert_eq!(lookup(&log, 39, 40).await, Some((39, 39)));
    assert_eq!(lookup(&log, 40, 40).await, None);
    assert_eq!(lookup(&log, 0, 0).await, None);
    let empty = tempfile::tempdir().unwrap();
    assert_eq!(lookup(&open(empty.path()).await, 0, u64::MAX).await, None);
}

#[compio::test]
async fn a_stretch_partly_in_memory_is_searched_to_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = open(folder.path()).await;
    log.append(batch(0, 1, &["durable"]));
    flush(&mut log).await;
    log.shrink_tail(0);
    log.append(batch(1, 1, &["not"]));
    assert_eq!(lookup(&log, 0, u64::MAX).await, Some((0, 0)));
    assert_eq!(lookup(&log, 1, u64::MAX).await, Some((1, 1)));
    assert_eq!(lookup(&log, 2, u64::MAX).await, None);
}

/// Where a look for a time meets damage that is not known yet.
async fn damage_met(log: &Log, timestamp: i64) -> u64 {
    let mut from = 0;
    loop {
        let looked = look(log, timestamp, from, u64::MAX).await;
        match looked.unwrap_or_else(|range| panic!("{range:?} is known")) {
            Ok(Sighting::Behind(offset)) => {
                assert!(offset > from, "it comes to an end");
                from = offset;
            }
            Err(LogError::Damaged { offset, .. }) => return offset,
            other => panic!("{timestamp}: {other:?}"),
        }
    }
}

/// A read gives what is sound before the damage: the record is not behind that.
#[compio::test]
async fn damage_that_is_not_known_yet_is_not_passed_over() {
    let folder = tempfile::tempdir().unwrap();
    let all = batches(40);
    write(folder.path(), &all).await;
    for (at, batch) in all.iter().enumerate() {
        let log = open(folder.path()).await;
        let bases = segments(folder.path());
        let offset = 2 * at as u64;
        let base = bases[bases.partition_point(|base| *base <= offset) - 1];
        let path = folder.path().join(format!("{base:020}.log"));
        let sound = std::fs::read(&path).unwrap();
        let mut rotten = sound.clone();
        rotten[place(&sound, batch) + batch.len() - 3] ^= 1;
        std::fs::write(&path, rotten).unwrap();
        for timestamp in [offset as i64, offset as i64 + 1] {
            assert_eq!(damage_met(&log, timestamp).await, offset);
        }
        std::fs::write(&path, sound).unwrap();
    }
}

fn remove_indexes(folder: &Path) {
    for name in names(folder).iter().filter(|name| name.ends_with(".index")) {
        std::fs::remove_file(folder.join(name)).unwrap();
    }
}

/// The damage that a look for a time ends with.
async fn damage_known(log: &mut Log, timestamp: i64) -> Option<(u64, u64)> {
    let mut from = 0;
    loop {
        let looked = match look(log, timestamp, from, u64::MAX).await {
            Ok(looked) => looked,
            Err(range) => return Some((range.from, range.to)),
        };
        match looked {
            Ok(Sighting::Behind(offset)) => {
                assert!(offset > from, "it goes on");
                from = offset;
            }
            Ok(Sighting::Found(_) | Sighting::Nothing) => return None,
            Err(LogError::Damaged { offset, .. }) => {
                let surveyed = log.begin_survey(offset).run().await;
                assert!(log.finish_survey(surveyed).unwrap().is_some());
            }
            Err(error) => panic!("{error}"),
        }
    }
}

/// What is not known to be late may be so: nothing behind it is the first record since a time.
#[compio::test]
async fn damage_that_an_index_was_derived_without_is_not_passed_over() {
    let source = tempfile::tempdir().unwrap();
    let all = batches(40);
    write(source.path(), &all).await;
    let bases = segments(source.path());
    for (at, batch) in all.iter().enumerate().take(all.len() - 1) {
        for is_open_before in [false, true] {
            let folder = tempfile::tempdir().unwrap();
            copy(source.path(), folder.path());
            let mut log = open(folder.path()).await;
            let offset = 2 * at as u64;
            let base = bases[bases.partition_point(|base| *base <= offset) - 1];
            let path = folder.path().join(format!("{base:020}.log"));
            let mut bytes = std::fs::read(&path).unwrap();
            let place = place(&bytes, batch);
            bytes[place + batch.len() - 3] ^= 1;
            std::fs::write(&path, bytes).unwrap();
            remove_indexes(folder.path());
            if !is_open_before {
                log = open(folder.path()).await;
            }
            let range = Some((offset, offset + 2));
            for timestamp in [offset as i64, offset as i64 + 1] {
                let met = damage_known(&mut log, timestamp).await;
                assert_eq!(met, range, "{timestamp} {is_open_before}");
            }
            if at > 8 {
                assert_eq!(damage_known(&mut log, 0).await, None, "it is behind");
            }
            let job = log.begin_rewrite(std::slice::from_ref(batch)).unwrap();
            log.finish_rewrite(job.unwrap().run().await).unwrap();
            for timestamp in 0..80 {
                let expected = Some((timestamp as u64, timestamp));
                assert_eq!(lookup(&log, timestamp, u64::MAX).await, expected);
            }
        }
    }
}
