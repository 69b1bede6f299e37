//! Reading old batches from front to back.

use std::path::Path;

use bytes::Bytes;
use quorate_platform::Compio;

use super::scene::*;
use crate::{PartitionLog, Readers, Settings};

const SETTINGS: Settings = Settings {
    segment_bytes_max: 3 << 20,
    growing_bytes_max: 3 << 20,
    tail_bytes_max: 0,
    index_step_bytes: 4 << 10,
    checkpoint_bytes: 1 << 20,
};

/// Batches from tiny to larger than what is read at once: some lie across many pieces.
fn uneven() -> Vec<Bytes> {
    let lengths = [1, 700_000, 40_000, 3, 950_000, 130_000, 5000, 99, 300_000];
    let value = |at: u64| {
        let len = lengths[at as usize % lengths.len()];
        let letter = char::from(b'a' + (at % 26) as u8);
        letter.to_string().repeat(len)
    };
    (0..40).map(|at| batch(at, 1, &[&value(at)])).collect()
}

async fn write(folder: &Path, batches: &[Bytes]) -> Log {
    let mut log = PartitionLog::open(Compio, folder, SETTINGS).await.unwrap();
    for batches in batches.chunks(3) {
        batches.iter().for_each(|batch| log.append(batch.clone()));
        flush(&mut log).await;
    }
    log
}

/// Reads once; gives where to go on.
async fn read_on(log: &Log, from: u64, bytes_max: usize, expected: &[Bytes]) -> u64 {
    let batches = read(log, from, bytes_max, u64::MAX).await.unwrap();
    let next = header(batches.last().unwrap()).next_offset();
    assert!(
        batches == expected[from as usize..next as usize],
        "from {from}"
    );
    next
}

#[compio::test]
async fn what_is_read_ahead_is_what_stands_there() {
    let folder = tempfile::tempdir().unwrap();
    let all = uneven();
    let log = write(folder.path(), &all).await;
    for bytes_max in [1, 64 << 10, 500_000, 1 << 20, 5 << 20] {
        let mut from = 0;
        while from < 40 {
            from = read_on(&log, from, bytes_max, &all).await;
        }
    }
}

#[compio::test]
async fn many_read_at_different_places_though_there_is_room_for_few() {
    let folder = tempfile::tempdir().unwrap();
    let all = uneven();
    let mut log = write(folder.path(), &all).await;
    for room in [0, 1, 3, 9] {
        log.use_readers(&Readers::new(room));
        let mut places = [0, 7, 0, 20, 33];
        while places.iter().any(|from| *from < 40) {
            for from in places.iter_mut().filter(|from| **from < 40) {
                *from = read_on(&log, *from, 100_000, &all).await;
            }
        }
    }
}

#[compio::test]
async fn a_reader_at_the_end_goes_on_with_what_comes_and_with_nothing_that_was_cut() {
    let folder = tempfile::tempdir().unwrap();
    let mut all = uneven();
    let mut log = write(folder.path(), &all[..20]).await;
    let mut from = 0;
    while from < 18 {
        from = read_on(&log, from, 1, &all).await;
    }
    // What is read ahead of here is cut, and something else comes in its place.
    assert_eq!(truncate(&mut log, from).await, from);
    for offset in from..40 {
        all[offset as usize] = batch(offset, 2, &["another one"]);
    }
    for offset in from..40 {
        log.append(all[offset as usize].clone());
        flush(&mut log).await;
        assert_eq!(read_on(&log, offset, 1 << 20, &all).await, offset + 1);
    }
}
