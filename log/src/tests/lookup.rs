use super::scene::*;

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
