//! Index files are derived: with them opening is short, without them nothing is lost.

use super::scene::*;
use crate::LogError;

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
            known: 2,
            ..
        }
    ));
    assert!(error.to_string().contains("run a newer program"));
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
