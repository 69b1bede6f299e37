//! A write or a sync that fails ends the log, and nothing that was acknowledged is lost by it.

use std::io;
use std::path::Path;

use bytes::Bytes;

use super::scene::*;
use super::watched_disk::Watched;
use crate::{LogError, PartitionLog};

/// Opens, appends and flushes; answers with the durable offset and the error that ended it.
async fn script(disk: Watched, folder: &Path, all: &[Bytes]) -> (u64, Result<(), LogError>) {
    let mut log = match PartitionLog::open(disk, folder, SMALL).await {
        Ok(log) => log,
        Err(error) => return (0, Err(error)),
    };
    for batch in all {
        log.append(batch.clone());
        if let Err(error) = try_flush(&mut log).await {
            let again = try_flush(&mut log).await.unwrap_err();
            assert!(matches!(again, LogError::Poisoned { .. }), "{again}");
            assert!(again.to_string().contains(&error.to_string()));
            assert!(log.begin_truncate(0).is_err());
            return (log.durable_offset(), Err(error));
        }
    }
    (log.durable_offset(), Ok(()))
}

/// The device fails, is mounted read-only, is full, or the quota is used up.
const FAILURES: [io::ErrorKind; 4] = [
    io::ErrorKind::Other,
    io::ErrorKind::ReadOnlyFilesystem,
    io::ErrorKind::StorageFull,
    io::ErrorKind::QuotaExceeded,
];

#[compio::test]
async fn whichever_change_fails_the_acknowledged_batches_survive() {
    let all = batches(12);
    let disk = Watched::default();
    let folder = tempfile::tempdir().unwrap();
    let (durable, result) = script(disk.clone(), folder.path(), &all).await;
    assert_eq!((durable, result.is_ok()), (24, true));
    for change in 1..=disk.changes() {
        let kind = FAILURES[change as usize % FAILURES.len()];
        let what = format!("change {change}: {kind}");
        let folder = tempfile::tempdir().unwrap();
        let disk = Watched::default();
        disk.fail(change, kind);
        let (durable, result) = script(disk, folder.path(), &all).await;
        let error = result.expect_err(&what);
        let is_told = match &error {
            LogError::Io { .. } => matches!(
                kind,
                io::ErrorKind::Other | io::ErrorKind::ReadOnlyFilesystem
            ),
            LogError::DiskFull { .. } => matches!(
                kind,
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
            ),
            _ => false,
        };
        assert!(is_told, "{what}: {error}");
        let named = folder.path().to_str().unwrap();
        assert!(error.to_string().contains(named), "{what}: {error}");
        let log = open(folder.path()).await;
        assert!(log.next_offset() >= durable, "{what}");
        let kept = log.next_offset() as usize / 2;
        assert!(read_all(&log).await.unwrap() == all[..kept], "{what}");
    }
}

#[compio::test]
async fn a_full_disk_is_told_from_other_failures_and_named() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Watched::default();
    let mut log = PartitionLog::open(disk.clone(), folder.path(), SMALL)
        .await
        .unwrap();
    log.append(batch(0, 1, &["value"]));
    disk.fail(disk.changes() + 1, io::ErrorKind::StorageFull);
    let error = try_flush(&mut log).await.unwrap_err();
    let LogError::DiskFull {
        operation: "write",
        path,
        ..
    } = &error
    else {
        panic!("{error}")
    };
    assert_eq!(*path, folder.path().join("00000000000000000000.log"));
    assert!(error.to_string().contains("free some space"));
    assert_eq!(log.durable_offset(), 0);
}
