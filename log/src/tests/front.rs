//! Where logs begin: segments that are removed, and logs that are dropped to begin anew.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use bytes::Bytes;
use quorate_batch::Producer;
use quorate_platform::Disk;

use super::scene::*;
use super::watched_disk::Watched;
use crate::{LogError, PartitionLog, Read, Verdict};

async fn retire<D: Disk>(log: &mut PartitionLog<D>, log_start: u64) {
    log.raise_start(log_start);
    if let Some(job) = log.begin_retire().unwrap() {
        log.finish_retire(job.run().await).unwrap();
    }
}

async fn reset<D: Disk>(log: &mut PartitionLog<D>, to: u64, epoch: u32) -> u64 {
    let job = log.begin_reset(to, epoch).unwrap().unwrap();
    log.finish_reset(job.run().await).unwrap()
}

/// The base offsets of the segments of a log of `batches(40)`.
async fn scene(folder: &Path) -> Vec<u64> {
    write(folder, &batches(40)).await;
    let bases = segments(folder);
    assert!(bases.len() >= 5, "{bases:?}");
    bases
}

#[compio::test]
async fn whole_segments_go_and_the_rest_can_be_read_from_the_log_start_on() {
    let folder = tempfile::tempdir().unwrap();
    let bases = scene(folder.path()).await;
    let mut log = open(folder.path()).await;
    let log_start = bases[3] + 2;
    retire(&mut log, log_start).await;
    assert_eq!(log.log_start_offset(), log_start);
    assert!(matches!(
        log.begin_read(log_start - 1, 500, 80),
        Read::OutOfRange
    ));
    let kept = &batches(40)[log_start as usize / 2..];
    assert_eq!(read_all(&log).await.unwrap(), kept);
    assert_eq!(segments(folder.path()), bases[3..]);
    assert!(!log.is_retirable());
    let (log, is_uncertain) = open_from(folder.path(), known(log_start, 1)).await;
    assert!(!is_uncertain);
    assert_eq!(log.damaged(), []);
    assert_eq!(log.log_start_offset(), log_start);
    assert_eq!(read_all(&log).await.unwrap(), kept);
}

#[compio::test]
async fn a_log_start_never_falls_and_the_last_segment_never_goes() {
    let folder = tempfile::tempdir().unwrap();
    let bases = scene(folder.path()).await;
    let mut log = open(folder.path()).await;
    retire(&mut log, 80).await;
    retire(&mut log, 2).await;
    assert_eq!(log.log_start_offset(), 80);
    assert_eq!(segments(folder.path()), bases[bases.len() - 1..]);
    assert_eq!(read_all(&log).await.unwrap(), Vec::<Bytes>::new());
    log.append(batch(80, 1, &["next"]));
    assert_eq!(flush(&mut log).await, 81);
    assert_eq!(read_all(&log).await.unwrap(), [batch(80, 1, &["next"])]);
}

#[compio::test]
async fn producers_and_epochs_outlive_the_segments_that_told_of_them() {
    let folder = tempfile::tempdir().unwrap();
    let producer = |base_sequence| Producer {
        id: 7,
        epoch: 0,
        base_sequence,
    };
    let mut log = open(folder.path()).await;
    log.append(batch_of(0, 1, &["only once"], Some(producer(0))));
    for batch in batches(20).iter().skip(1) {
        let offset = log.next_offset();
        let epoch = 1 + u32::from(offset > 3);
        let mut bytes = batch.to_vec();
        quorate_batch::stamp(&mut bytes, offset, epoch);
        log.append(bytes.into());
        flush(&mut log).await;
    }
    let last = *segments(folder.path()).last().unwrap();
    let (producers, epochs) = (log.producers().clone(), log.epochs().clone());
    retire(&mut log, last).await;
    // Without any checkpoint, and with one segment only.
    for name in names(folder.path()) {
        if name.ends_with(".index") {
            std::fs::remove_file(folder.path().join(name)).unwrap();
        }
    }
    let (mut log, _) = open_from(folder.path(), known(last, 2)).await;
    assert_eq!(log.producers(), &producers);
    assert_eq!(log.epochs(), &epochs);
    let again = header(&batch_of(0, 1, &["only once"], Some(producer(0))));
    let duplicate = Verdict::Duplicate { base_offset: 0 };
    assert_eq!(log.producers().check(&again), duplicate);
    truncate(&mut log, last).await;
    assert_eq!(
        log.producers().check(&again),
        duplicate,
        "nor does a cut forget it"
    );
}

#[compio::test]
async fn a_read_of_what_is_removed_meanwhile_finds_no_damage() {
    let folder = tempfile::tempdir().unwrap();
    let bases = scene(folder.path()).await;
    let mut log = open(folder.path()).await;
    let Read::Job(read) = log.begin_read(0, 500, 80) else {
        panic!("the first batch is in memory");
    };
    retire(&mut log, bases[2]).await;
    assert!(matches!(read.run().await, Err(LogError::Superseded)));
    assert_eq!(log.damaged(), []);
}

#[compio::test]
async fn a_segment_that_is_closed_early_can_be_removed() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = open(folder.path()).await;
    log.append(batch(0, 1, &["old"]));
    flush(&mut log).await;
    log.roll();
    log.roll();
    assert!(log.has_pending());
    assert_eq!(log.spans().len(), 2);
    log.raise_start(1);
    assert!(!log.is_retirable(), "the next one is not there yet");
    flush(&mut log).await;
    retire(&mut log, 1).await;
    assert_eq!(segments(folder.path()), [1]);
    let (mut log, is_uncertain) = open_from(folder.path(), known(1, 1)).await;
    assert!(!is_uncertain);
    log.append(batch(1, 1, &["new"]));
    assert_eq!(flush(&mut log).await, 2);
    assert_eq!(read_all(&log).await.unwrap(), [batch(1, 1, &["new"])]);
}

#[compio::test]
async fn a_log_begins_anew_where_it_is_told_and_goes_on_from_there() {
    let folder = tempfile::tempdir().unwrap();
    scene(folder.path()).await;
    let mut log = open(folder.path()).await;
    assert_eq!(reset(&mut log, 1000, 3).await, 1000);
    assert_eq!((log.log_start_offset(), log.durable_offset()), (1000, 1000));
    assert_eq!(log.epochs().starts(), [(3, 999)]);
    log.append(batch(1000, 3, &["new"]));
    flush(&mut log).await;
    assert_eq!(segments(folder.path()), [1000]);
    let (log, is_uncertain) = open_from(folder.path(), known(1000, 3)).await;
    assert!(!is_uncertain);
    assert_eq!(log.epochs().starts(), [(3, 999)]);
    assert_eq!(read_all(&log).await.unwrap(), [batch(1000, 3, &["new"])]);
}

#[compio::test]
async fn a_log_that_does_not_reach_its_start_or_parts_before_it_is_dropped() {
    for known in [known(100, 1), known(41, 2)] {
        let folder = tempfile::tempdir().unwrap();
        scene(folder.path()).await;
        let (mut log, is_uncertain) = open_from(folder.path(), known).await;
        assert!(is_uncertain, "its end may have been lost");
        let start = known.log_start_offset;
        assert_eq!((log.log_start_offset(), log.next_offset()), (start, start));
        log.append(batch(start, 2, &["new"]));
        flush(&mut log).await;
        assert_eq!(segments(folder.path()), [start]);
        let (log, is_uncertain) = open_from(folder.path(), known).await;
        assert!(!is_uncertain);
        assert_eq!(log.next_offset(), start + 1);
    }
}

/// Copies of the folder after every change to it, as crashes at these moments would leave it.
fn watched(folder: &Path, scratch: &Path) -> (Watched, Rc<RefCell<Vec<PathBuf>>>) {
    let disk = Watched::default();
    let taken = Rc::new(RefCell::new(Vec::new()));
    let (folder, scratch, copies) = (folder.to_owned(), scratch.to_owned(), taken.clone());
    disk.watch(move |_| {
        let to = scratch.join(copies.borrow().len().to_string());
        copy(&folder, &to);
        copies.borrow_mut().push(to);
    });
    (disk, taken)
}

#[compio::test]
async fn a_crash_at_any_moment_of_a_removal_leaves_the_same_log() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path().join("live");
    let bases = scene(&folder).await;
    let (disk, taken) = watched(&folder, scratch.path());
    let mut log = PartitionLog::open(disk, &folder, SMALL).await.unwrap();
    let log_start = bases[3] + 2;
    let before = taken.borrow().len();
    let kept = &batches(40)[log_start as usize / 2..];
    retire(&mut log, log_start).await;
    let taken = taken.borrow_mut().split_off(before);
    assert!(taken.len() > 8, "{}", taken.len());
    for copy in &taken {
        let (log, is_uncertain) = open_from(copy, known(log_start, 1)).await;
        assert!(!is_uncertain, "{}", copy.display());
        assert_eq!(log.damaged(), []);
        assert_eq!(read_all(&log).await.unwrap(), kept);
        assert_eq!(
            segments(copy),
            bases[3..],
            "what a crash has left is removed"
        );
    }
}

#[compio::test]
async fn a_crash_at_any_moment_of_a_new_beginning_leaves_the_new_log() {
    // Its own records right before the new start are of another epoch than the leader's.
    for (to, epoch) in [(1000, 3), (41, 2)] {
        let scratch = tempfile::tempdir().unwrap();
        let folder = scratch.path().join("live");
        scene(&folder).await;
        let (disk, taken) = watched(&folder, scratch.path());
        let mut log = PartitionLog::open(disk, &folder, SMALL).await.unwrap();
        let before = taken.borrow().len();
        reset(&mut log, to, epoch).await;
        let taken = taken.borrow_mut().split_off(before);
        assert!(taken.len() > 8, "{}", taken.len());
        for copy in &taken {
            let (log, _) = open_from(copy, known(to, epoch)).await;
            assert_eq!(log.damaged(), [], "{}", copy.display());
            assert_eq!((log.log_start_offset(), log.next_offset()), (to, to));
            assert_eq!(segments(copy), [to]);
        }
    }
}
