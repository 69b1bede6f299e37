use super::scene::*;
use crate::{PartitionLog, Read, Settings, frame};
use quorate_platform::Compio;

#[compio::test]
async fn what_is_appended_can_be_read_at_once_and_is_durable_after_a_flush() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = open(&folder.path().join("partition")).await;
    let all = batches(3);
    log.append(all[0].clone());
    assert_eq!((log.next_offset(), log.durable_offset()), (2, 0));
    assert_eq!(read(&log, 0, 1000, u64::MAX).await.unwrap(), all[..1]);
    assert!(log.has_pending());
    assert_eq!(flush(&mut log).await, 2);
    assert!(!log.has_pending());
    assert!(log.begin_flush().unwrap().is_none());
}

#[compio::test]
async fn what_arrives_during_a_flush_joins_the_next_one() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = open(folder.path()).await;
    let all = batches(4);
    log.append(all[0].clone());
    log.append(all[1].clone());
    let first = log.begin_flush().unwrap().unwrap();
    log.append(all[2].clone());
    assert!(log.begin_flush().unwrap().is_none(), "one flush at a time");
    log.append(all[3].clone());
    assert_eq!(log.finish_flush(first.run().await).unwrap(), 4);
    let second = log.begin_flush().unwrap().unwrap();
    assert_eq!(log.finish_flush(second.run().await).unwrap(), 8);
    assert_eq!(read_all(&log).await.unwrap(), all);
}

#[compio::test]
async fn a_reopened_log_has_everything_that_was_durable() {
    let folder = tempfile::tempdir().unwrap();
    let all = batches(40);
    write(folder.path(), &all).await;
    let mut log = open(folder.path()).await;
    assert_eq!((log.next_offset(), log.durable_offset()), (80, 80));
    assert_eq!(log.recovery().torn_bytes, 0);
    assert_eq!(read_all(&log).await.unwrap(), all);
    log.append(batch(80, 2, &["later"]));
    flush(&mut log).await;
    assert_eq!(log.epochs().starts(), [(1, 0), (2, 80)]);
    drop(log);
    let log = open(folder.path()).await;
    assert_eq!(log.epochs().starts(), [(1, 0), (2, 80)]);
    assert_eq!(log.next_offset(), 81);
}

#[compio::test]
async fn segments_roll_by_size_and_are_named_by_their_first_offset() {
    let folder = tempfile::tempdir().unwrap();
    let all = batches(20);
    let bytes = (frame_len(&all[0]) + all[0].len()) as u64;
    let per_segment = SMALL.segment_bytes_max / bytes;
    write(folder.path(), &all).await;
    let expected: Vec<u64> = (0..20)
        .step_by(per_segment as usize)
        .map(|at| 2 * at)
        .collect();
    assert!(expected.len() > 2);
    assert_eq!(segments(folder.path()), expected);
    for base_offset in &expected[..expected.len() - 1] {
        let path = folder.path().join(format!("{base_offset:020}.log"));
        assert_eq!(std::fs::metadata(path).unwrap().len(), per_segment * bytes);
    }
}

#[compio::test]
async fn one_flush_rolls_as_often_as_it_has_to() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = open(folder.path()).await;
    let all = batches(40);
    all.iter().for_each(|batch| log.append(batch.clone()));
    assert_eq!(flush(&mut log).await, 80);
    assert!(segments(folder.path()).len() > 3);
    assert_eq!(read_all(&log).await.unwrap(), all);
    assert_eq!(read_all(&open(folder.path()).await).await.unwrap(), all);
}

#[compio::test]
async fn a_segment_holds_the_batches_of_a_flush_byte_for_byte_behind_their_frame() {
    let folder = tempfile::tempdir().unwrap();
    let all = batches(5);
    let mut log = open(folder.path()).await;
    let mut expected = Vec::new();
    for flushed in [&all[..1], &all[1..5]] {
        flushed.iter().for_each(|batch| log.append(batch.clone()));
        flush(&mut log).await;
        expected.extend(frame::encode(0, expected.len() as u64, flushed));
        flushed
            .iter()
            .for_each(|batch| expected.extend_from_slice(batch));
    }
    let file = std::fs::read(folder.path().join("00000000000000000000.log")).unwrap();
    let (written, rest) = file.split_at(expected.len());
    assert!(written == expected && rest.iter().all(|byte| *byte == 0));
}

#[compio::test]
async fn a_batch_larger_than_a_segment_has_one_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let large = "x".repeat(70_000);
    let all = [
        batch(0, 1, &["small"]),
        batch(1, 1, &[&large]),
        batch(2, 1, &["small"]),
    ];
    write(folder.path(), &all).await;
    assert_eq!(segments(folder.path()), [0, 1, 2]);
    assert_eq!(read_all(&open(folder.path()).await).await.unwrap(), all);
}

#[compio::test]
async fn reads_give_whole_batches_within_their_limits() {
    let folder = tempfile::tempdir().unwrap();
    let all = batches(6);
    let bytes = all[0].len();
    let mut log = open(folder.path()).await;
    all.iter().for_each(|batch| log.append(batch.clone()));
    flush(&mut log).await;
    for is_cold in [false, true] {
        if is_cold {
            log.shrink_tail(0);
            assert_eq!(log.tail_bytes(), 0);
        }
        // In the middle of a batch: the batch that holds the offset comes first.
        assert_eq!(read(&log, 3, 2 * bytes, u64::MAX).await.unwrap(), all[1..3]);
        assert_eq!(
            read(&log, 2, 2 * bytes - 1, u64::MAX).await.unwrap(),
            all[1..2]
        );
        assert_eq!(read(&log, 2, 0, u64::MAX).await.unwrap(), all[1..2]);
        assert_eq!(read(&log, 0, 10 * bytes, 6).await.unwrap(), all[0..3]);
        assert_eq!(read(&log, 6, 10 * bytes, 6).await.unwrap().len(), 0);
        assert_eq!(read(&log, 12, 10 * bytes, u64::MAX).await.unwrap().len(), 0);
        assert!(matches!(log.begin_read(13, 10, u64::MAX), Read::OutOfRange));
    }
}

#[compio::test]
async fn memory_keeps_the_newest_batches_and_all_that_is_not_durable() {
    let folder = tempfile::tempdir().unwrap();
    let all = batches(20);
    let bytes = all[0].len();
    let mut log = open(folder.path()).await;
    all.iter().for_each(|batch| log.append(batch.clone()));
    assert_eq!(log.tail_bytes(), 20 * bytes);
    log.shrink_tail(0);
    assert_eq!(log.tail_bytes(), 20 * bytes);
    flush(&mut log).await;
    assert!(log.tail_bytes() <= SMALL.tail_bytes_max);
    assert!(matches!(log.begin_read(38, 1, u64::MAX), Read::Ready(_)));
    assert!(matches!(log.begin_read(0, 1, u64::MAX), Read::Job(_)));
}

#[compio::test]
async fn large_and_small_batches_of_one_flush_keep_their_order() {
    let folder = tempfile::tempdir().unwrap();
    let large = "x".repeat(50_000);
    let settings = Settings {
        segment_bytes_max: 1 << 20,
        ..SMALL
    };
    let mut log = PartitionLog::open(Compio, folder.path(), settings)
        .await
        .unwrap();
    let mut all = Vec::new();
    for offset in 0..30 {
        let value = if offset % 4 == 1 {
            large.as_str()
        } else {
            "small"
        };
        all.push(batch(offset, 1, &[value]));
        log.append(all[offset as usize].clone());
    }
    flush(&mut log).await;
    log.shrink_tail(0);
    assert_eq!(read_all(&log).await.unwrap(), all);
    drop(log);
    let log = PartitionLog::open(Compio, folder.path(), settings)
        .await
        .unwrap();
    assert_eq!(read_all(&log).await.unwrap(), all);
}

#[compio::test]
async fn a_removed_log_is_gone_and_removing_it_again_is_fine() {
    let folder = tempfile::tempdir().unwrap();
    let partition = folder.path().join("17");
    write(&partition, &batches(30)).await;
    PartitionLog::remove(&Compio, &partition).await.unwrap();
    assert!(!partition.exists());
    PartitionLog::remove(&Compio, &partition).await.unwrap();
    assert_eq!(open(&partition).await.next_offset(), 0);
}

#[compio::test]
#[should_panic(expected = "the batch there begins at offset 5 instead of 0")]
async fn a_batch_for_another_place_is_not_appended() {
    let folder = tempfile::tempdir().unwrap();
    open(folder.path()).await.append(batch(5, 1, &["value"]));
}
