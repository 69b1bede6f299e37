use quorate_batch::{Producer, stamp};

use super::scene::*;
use crate::{LogError, ProducerTable, Verdict};

#[compio::test]
async fn a_cut_at_every_boundary_leaves_what_was_below_it() {
    let all = batches(40);
    let original = tempfile::tempdir().unwrap();
    write(original.path(), &all).await;
    for kept in 0..=40 {
        let folder = tempfile::tempdir().unwrap();
        copy(original.path(), folder.path());
        let mut log = open(folder.path()).await;
        let to = 2 * kept as u64;
        assert_eq!(truncate(&mut log, to).await, to);
        assert_eq!((log.next_offset(), log.durable_offset()), (to, to));
        assert_eq!(read_all(&log).await.unwrap(), all[..kept]);
        let log = open(folder.path()).await;
        assert_eq!((log.next_offset(), log.recovery().torn_bytes), (to, 0));
        assert_eq!(read_all(&log).await.unwrap(), all[..kept]);
    }
}

#[compio::test]
async fn after_a_cut_the_log_goes_on_with_other_batches() {
    let folder = tempfile::tempdir().unwrap();
    let all = batches(40);
    write(folder.path(), &all).await;
    let mut log = open(folder.path()).await;
    truncate(&mut log, 30).await;
    let mut expected = all[..15].to_vec();
    for offset in 30..60 {
        expected.push(batch(offset, 2, &["of another leader"]));
        log.append(expected[expected.len() - 1].clone());
        flush(&mut log).await;
    }
    assert_eq!(log.epochs().starts(), [(1, 0), (2, 30)]);
    assert_eq!(read_all(&log).await.unwrap(), expected);
    let log = open(folder.path()).await;
    assert_eq!(log.epochs().starts(), [(1, 0), (2, 30)]);
    assert_eq!(read_all(&log).await.unwrap(), expected);
}

#[compio::test]
async fn no_segment_is_closed_while_the_log_is_cut() {
    let folder = tempfile::tempdir().unwrap();
    let all = batches(8);
    write(folder.path(), &all).await;
    let mut log = open(folder.path()).await;
    let job = log.begin_truncate(6).unwrap().unwrap();
    log.roll();
    log.finish_truncate(job.run().await).unwrap();
    log.append(all[3].clone());
    flush(&mut log).await;
    assert_eq!(read_all(&log).await.unwrap(), all[..4]);
}

#[compio::test]
async fn a_cut_of_what_is_not_durable_keeps_what_is_below_pending() {
    let folder = tempfile::tempdir().unwrap();
    let all = batches(40);
    let mut log = open(folder.path()).await;
    for batch in &all[..3] {
        log.append(batch.clone());
    }
    flush(&mut log).await;
    for batch in &all[3..] {
        log.append(batch.clone());
    }
    let job = log.begin_truncate(60).unwrap().unwrap();
    assert_eq!((log.next_offset(), log.durable_offset()), (60, 6));
    assert_eq!(read(&log, 58, 1, u64::MAX).await.unwrap(), all[29..30]);
    assert!(log.begin_flush().unwrap().is_none(), "the cut comes first");
    assert_eq!(log.finish_truncate(job.run().await).unwrap(), 60);
    assert_eq!((log.next_offset(), log.durable_offset()), (60, 6));
    assert_eq!(read_all(&log).await.unwrap(), all[..30]);
    assert_eq!(flush(&mut log).await, 60);
    assert_eq!(
        read_all(&open(folder.path()).await).await.unwrap(),
        all[..30]
    );
}

#[compio::test]
async fn a_cut_at_the_end_or_behind_it_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let all = batches(4);
    let mut log = open(folder.path()).await;
    log.append(all[0].clone());
    flush(&mut log).await;
    log.append(all[1].clone());
    assert_eq!(truncate(&mut log, 4).await, 4);
    assert_eq!(truncate(&mut log, 100).await, 4);
    assert_eq!((log.durable_offset(), log.has_pending()), (2, true));
    assert_eq!(flush(&mut log).await, 4);
}

#[compio::test]
async fn a_cut_inside_of_a_batch_is_refused_and_nothing_is_cut_on_disk() {
    let folder = tempfile::tempdir().unwrap();
    let all = batches(10);
    write(folder.path(), &all).await;
    let mut log = open(folder.path()).await;
    let job = log.begin_truncate(7).unwrap().unwrap();
    let error = log.finish_truncate(job.run().await).unwrap_err();
    assert!(
        matches!(error, LogError::NotABoundary { offset: 7, .. }),
        "{error}"
    );
    assert!(matches!(log.begin_flush(), Err(LogError::Poisoned { .. })));
    drop(log);
    assert_eq!(read_all(&open(folder.path()).await).await.unwrap(), all);
}

#[compio::test]
async fn a_read_that_a_cut_overtakes_says_so() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &batches(10)).await;
    let mut log = open(folder.path()).await;
    let crate::Read::Job(job) = log.begin_read(12, 100, u64::MAX) else {
        panic!("nothing is in memory");
    };
    truncate(&mut log, 4).await;
    assert!(matches!(job.run().await, Err(LogError::Superseded)));
}

#[compio::test]
async fn the_producers_forget_what_is_cut() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = open(folder.path()).await;
    let mut tables = vec![ProducerTable::default()];
    let mut all = Vec::new();
    for offset in 0..60u64 {
        let producer = Producer {
            id: (offset % 3) as i64,
            epoch: 0,
            base_sequence: (offset / 3) as i32,
        };
        let batch = batch_of(offset, 1, &["some value"], Some(producer));
        let header = header(&batch);
        assert_eq!(log.producers().check(&header), Verdict::Accept);
        log.append(batch.clone());
        assert_eq!(
            log.producers().check(&header),
            Verdict::Duplicate {
                base_offset: offset
            }
        );
        tables.push(log.producers().clone());
        all.push(batch);
        flush(&mut log).await;
    }
    for to in [55, 43, 42, 20, 1, 0] {
        truncate(&mut log, to).await;
        assert_eq!(*log.producers(), tables[to as usize], "cut at {to}");
        let log = open(folder.path()).await;
        assert_eq!(
            *log.producers(),
            tables[to as usize],
            "cut at {to}, reopened"
        );
    }
    // The first batch again, from a later leader: it is not a duplicate any more.
    let mut again = all[0].to_vec();
    stamp(&mut again, 0, 2);
    assert_eq!(log.producers().check(&header(&again)), Verdict::Accept);
}
