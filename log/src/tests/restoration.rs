//! What was damaged is put back by a replica that has compacted more or less.

use std::path::Path;

use bytes::Bytes;
use quorate_platform::Disk;

use super::scene::*;
use crate::{Misfit, PartitionLog, Rewriting};

/// `count` batches of two records each, whose keys take turns.
fn keyed_batches(count: u64) -> Vec<Bytes> {
    let batch = |at: u64| {
        let (one, other) = (format!("key {}", at % 5), format!("key {}", at % 3));
        let value = "value".repeat(3 + at as usize % 4);
        let records = [(one.as_str(), Some(value.as_str())), (&other, Some(&value))];
        keyed(2 * at, 1, &records)
    };
    (0..count).map(batch).collect()
}

/// A log of these, and what a replica has that has compacted them.
async fn scene(folder: &Path, other: &Path) -> (Vec<Bytes>, Vec<Bytes>) {
    let whole = keyed_batches(40);
    write(folder, &whole).await;
    copy(folder, other);
    let mut log = open(other).await;
    compact(&mut log, 0).await;
    let part = read_all(&log).await.unwrap();
    assert!(part != whole);
    (whole, part)
}

/// Damages these batches on disk, and has a reader find that.
async fn damage(folder: &Path, log: &mut Log, batches: &[Bytes]) {
    for batch in batches {
        let segments = segments(folder).into_iter().rev();
        let base_offset = header(batch).base_offset;
        let segment = segments
            .into_iter()
            .find(|base| *base <= base_offset)
            .unwrap();
        let path = folder.join(format!("{segment:020}.log"));
        let mut bytes = std::fs::read(&path).unwrap();
        let at = place(&bytes, batch);
        bytes[at + 30..at + 61].fill(0xff);
        std::fs::write(&path, bytes).unwrap();
    }
    read_around(log).await;
    assert!(!log.damaged().is_empty());
}

/// Puts batches back; gives up to where, and whether the segment was written anew.
async fn restore<D: Disk>(log: &mut PartitionLog<D>, batches: &[Bytes]) -> (u64, bool) {
    let mut job = log.begin_rewrite(batches).unwrap().unwrap();
    let mut is_anew = false;
    loop {
        match log.finish_rewrite(job.run().await).unwrap() {
            Rewriting::Done(to) => return (to, is_anew),
            Rewriting::Next(next) => job = next,
        }
        is_anew = true;
        assert!(log.is_replacing());
        read_around(log).await;
    }
}

#[compio::test]
async fn batches_that_are_shorter_or_longer_are_put_back() {
    let mut anew = 0;
    for is_compacted in [false, true] {
        let [folder, other] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        let (whole, part) = scene(folder.path(), other.path()).await;
        let (path, ours, theirs) = match is_compacted {
            false => (folder.path(), whole, part),
            true => (other.path(), part, whole),
        };
        for (from, to) in [(0, 1), (3, 6), (9, 11), (20, 22)] {
            let mut log = open(path).await;
            damage(path, &mut log, &ours[from..to]).await;
            let ranges: Vec<_> = log.damaged().to_vec();
            for range in &ranges {
                let inside = range.from as usize / 2..range.to as usize / 2;
                let (restored, is_anew) = restore(&mut log, &theirs[inside]).await;
                anew += u32::from(is_anew);
                assert_eq!(restored, range.to);
            }
            assert_eq!(log.damaged(), []);
            assert!(log.compacted() <= 2 * from as u64);
            let mut expected = read_all(&log).await.unwrap();
            for (at, batch) in expected.iter().enumerate() {
                assert!(*batch == ours[at] || *batch == theirs[at], "batch {at}");
            }
            drop(log);
            let mut log = open(path).await;
            assert_eq!(read_all(&log).await.unwrap(), expected);
            // As it was, for what comes next.
            log.shrink_tail(0);
            expected.clear();
            std::fs::remove_dir_all(path).unwrap();
            write(path, &keyed_batches(40)).await;
            if is_compacted {
                compact(&mut open(path).await, 0).await;
            }
        }
    }
    assert!(anew > 2, "{anew} times");
}

#[compio::test]
async fn what_is_sent_in_parts_finds_room_and_a_missing_file_is_written_anew() {
    let [folder, other] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let (whole, part) = scene(folder.path(), other.path()).await;
    let mut log = open(other.path()).await;
    let first = other.path().join(format!("{:020}.log", 0));
    std::fs::remove_file(&first).unwrap();
    read_around(&mut log).await;
    let mut anew = 0;
    while let Some(range) = log.damaged().first().copied() {
        let next = range.from as usize / 2;
        let (to, is_anew) = restore(&mut log, &whole[next..=next]).await;
        assert_eq!(to, range.from + 2);
        anew += u32::from(is_anew);
    }
    assert!((1..4).contains(&anew), "{anew} times");
    let all = read_all(&log).await.unwrap();
    let is_either = |at: usize| all[at] == whole[at] || all[at] == part[at];
    assert!(all.len() == whole.len() && (0..all.len()).all(is_either));
    assert!(all[..4] == whole[..4]);
    assert_eq!(read_all(&open(other.path()).await).await.unwrap(), all);
}

#[compio::test]
async fn a_segment_that_is_still_written_is_closed_before() {
    let [folder, other] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let (whole, _) = scene(folder.path(), other.path()).await;
    let mut log = open(folder.path()).await;
    let last = *segments(folder.path()).last().unwrap() as usize / 2;
    damage(folder.path(), &mut log, &whole[last..=last]).await;
    let value = "longer".repeat(30);
    let longer = keyed(2 * last as u64, 1, &[("a", None), ("b", Some(&value))]);
    let batches = [longer.clone()];
    assert_eq!(log.begin_rewrite(&batches).err(), Some(Misfit::Open));
    log.roll();
    flush(&mut log).await;
    assert_eq!(
        restore(&mut log, &batches).await,
        (2 * last as u64 + 2, true)
    );
    assert_eq!(log.damaged(), []);
    let mut expected = whole;
    expected[last] = longer;
    assert_eq!(read_all(&log).await.unwrap(), expected);
    assert_eq!(
        read_all(&open(folder.path()).await).await.unwrap(),
        expected
    );
}

/// The log begins inside of what is damaged: what was before is lost for good, and not missed.
#[compio::test]
async fn what_is_damaged_around_the_log_start_is_put_back_from_there_on() {
    for is_index_lost in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let whole = keyed_batches(40);
        write(folder.path(), &whole).await;
        let mut log = open(folder.path()).await;
        damage(folder.path(), &mut log, &whole[..7]).await;
        let range = log.damaged()[0];
        let to = range.to;
        assert!(range.from == 0 && to > 12, "{range:?}");
        log.raise_start(6);
        assert_eq!(log.damaged(), [range]);
        let stray = log.begin_rewrite(&whole[4..8]).err();
        assert_eq!(stray, Some(Misfit::Elsewhere), "the log begins before");
        assert_eq!(restore(&mut log, &whole[3..5]).await, (10, true));
        let rest = log.damaged().to_vec();
        assert_eq!(rest.len(), 1);
        assert_eq!((rest[0].from, rest[0].to), (10, to));
        let rest = &whole[5..to as usize / 2];
        assert_eq!(restore(&mut log, rest).await, (to, false));
        assert_eq!(log.damaged(), []);
        assert_eq!(read_all(&log).await.unwrap(), whole[3..]);
        drop(log);
        if is_index_lost {
            std::fs::remove_file(folder.path().join(format!("{:020}.index", 0))).unwrap();
        }
        let (log, _) = open_from(folder.path(), known(6, 1)).await;
        assert_eq!(log.damaged(), []);
        assert_eq!(read_all(&log).await.unwrap(), whole[3..]);
        // Nothing is left of it for anybody to stumble over.
        assert_eq!(open(folder.path()).await.damaged(), []);
    }
}
