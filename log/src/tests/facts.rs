use std::collections::BTreeMap;
use std::path::Path;

use quorate_platform::{Compio, Disk};
use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};

use super::watched_disk::Watched;
use crate::{FactStore, LogError};

async fn open(path: &Path) -> FactStore<Compio> {
    FactStore::open(Compio, path).await.unwrap()
}

async fn flush<D: Disk>(store: &mut FactStore<D>) -> Result<u64, LogError> {
    match store.begin_flush()? {
        Some(job) => store.finish_flush(job.run().await),
        None => Ok(store.durable_changes()),
    }
}

fn facts(pairs: &[(u64, &str)]) -> BTreeMap<u64, Vec<u8>> {
    pairs
        .iter()
        .map(|&(key, value)| (key, value.as_bytes().to_vec()))
        .collect()
}

#[compio::test]
async fn facts_come_back_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("facts");
    let mut store = open(&path).await;
    assert!(store.facts().is_empty());
    assert_eq!(store.put(1, b"one".to_vec()), 1);
    assert_eq!(store.put(2, b"two".to_vec()), 2);
    assert_eq!(store.put(1, b"uno".to_vec()), 3);
    assert_eq!(store.put(3, Vec::new()), 4);
    assert_eq!((store.durable_changes(), store.has_pending()), (0, true));
    assert_eq!(flush(&mut store).await.unwrap(), 4);
    assert_eq!(store.remove(2), 5);
    assert_eq!(flush(&mut store).await.unwrap(), 5);
    assert!(!store.has_pending());
    drop(store);
    let store = open(&path).await;
    assert_eq!(*store.facts(), facts(&[(1, "uno"), (3, "")]));
    assert_eq!(
        (store.get(1), store.get(2)),
        (Some(b"uno".as_slice()), None)
    );
}

#[compio::test]
async fn what_changes_during_a_flush_is_durable_with_the_next_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("facts");
    let mut store = open(&path).await;
    store.put(1, b"first".to_vec());
    let job = store.begin_flush().unwrap().unwrap();
    let change = store.put(1, b"second".to_vec());
    assert!(
        store.begin_flush().unwrap().is_none(),
        "one flush at a time"
    );
    assert!(store.finish_flush(job.run().await).unwrap() < change);
    assert_eq!(*open(&path).await.facts(), facts(&[(1, "first")]));
    assert_eq!(flush(&mut store).await.unwrap(), change);
    assert_eq!(*open(&path).await.facts(), facts(&[(1, "second")]));
}

/// A file of two writes, of one fact and of three, and where the first of them ends.
async fn two_writes(path: &Path) -> (Vec<u8>, usize) {
    let mut store = FactStore::open(Watched::default(), path).await.unwrap();
    store.put(1, b"one".to_vec());
    flush(&mut store).await.unwrap();
    let first = std::fs::metadata(path).unwrap().len() as usize;
    for key in 2..5 {
        store.put(key, vec![key as u8; 300]);
    }
    store.remove(1);
    flush(&mut store).await.unwrap();
    (std::fs::read(path).unwrap(), first)
}

/// Opens the file with these bytes, twice: what is found stays. Then changes something.
async fn reopen(path: &Path, bytes: &[u8]) -> Result<BTreeMap<u64, Vec<u8>>, LogError> {
    std::fs::write(path, bytes).unwrap();
    let store = FactStore::open(Watched::default(), path).await?;
    let facts = store.facts().clone();
    drop(store);
    let mut store = FactStore::open(Watched::default(), path).await?;
    assert_eq!(*store.facts(), facts);
    store.put(9, b"nine".to_vec());
    flush(&mut store).await?;
    drop(store);
    let store = FactStore::open(Watched::default(), path).await?;
    assert_eq!(store.facts().len(), facts.len() + 1);
    Ok(facts)
}

#[compio::test]
async fn an_interrupted_write_leaves_some_of_its_changes_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("facts");
    let (bytes, first) = two_writes(&path).await;
    // The changes of a write are in it in the order of their keys.
    let mut states = vec![facts(&[(1, "one")]), BTreeMap::new()];
    for key in 2..5 {
        let mut next = states.last().unwrap().clone();
        next.insert(key, vec![key as u8; 300]);
        states.push(next);
    }
    for len in (first..bytes.len()).step_by(7) {
        let found = reopen(&path, &bytes[..len]).await.unwrap();
        assert!(states.contains(&found), "cut to {len}: {found:?}");
    }
    let found = reopen(&path, &bytes[..first + 20]).await.unwrap();
    assert_eq!(found, states[0]);
    // Each block of the last write is there or not.
    let blocks = (bytes.len() - first) / 512;
    assert_eq!(blocks, 6);
    for present in 0..1 << blocks {
        let mut torn = bytes.clone();
        for block in (0..blocks).filter(|block| present & (1 << block) == 0) {
            torn[first + block * 512..][..512].fill(0);
        }
        let found = reopen(&path, &torn).await.unwrap();
        assert!(states.contains(&found), "{present:b}: {found:?}");
    }
}

#[compio::test]
async fn any_flipped_byte_costs_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("facts");
    let (bytes, _) = two_writes(&path).await;
    let expected = reopen(&path, &bytes).await.unwrap();
    assert_eq!(expected.len(), 3);
    assert!(!path.with_extension("damaged").exists());
    for at in 0..bytes.len() {
        let mut bad = bytes.clone();
        bad[at] ^= 1;
        assert_eq!(reopen(&path, &bad).await.unwrap(), expected, "byte {at}");
    }
    // What was damaged is kept beside what took its place.
    assert_eq!(
        std::fs::read(path.with_extension("damaged")).unwrap().len(),
        bytes.len()
    );
}

#[compio::test]
async fn a_change_that_is_missing_in_both_copies_is_a_lost_promise() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("facts");
    let (bytes, first) = two_writes(&path).await;
    let mut bad = bytes.clone();
    // The first write has one block in each copy, behind the two heads.
    for block in [first - 1024, first - 512] {
        bad[block + 33] ^= 1;
    }
    std::fs::write(&path, &bad).unwrap();
    let error = FactStore::open(Compio, &path).await.unwrap_err();
    assert!(matches!(error, LogError::FactsDamaged { .. }), "{error}");
    assert_eq!(std::fs::read(&path).unwrap(), bad, "nothing is changed");
    std::fs::write(&path, &bytes[512 + 16..]).unwrap();
    let error = FactStore::open(Compio, &path).await.unwrap_err();
    assert!(matches!(error, LogError::FactsDamaged { .. }), "{error}");
}

#[compio::test]
async fn a_file_of_history_is_compacted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("facts");
    let mut store = open(&path).await;
    let mut largest = 0;
    for round in 0..300u64 {
        for key in 0..10 {
            store.put(key, vec![round as u8; 1000]);
        }
        assert_eq!(flush(&mut store).await.unwrap(), (round + 1) * 10);
        largest = largest.max(std::fs::metadata(&path).unwrap().len());
    }
    assert!(largest < 1_150_000, "{largest}");
    assert!(std::fs::metadata(&path).unwrap().len() < largest);
    drop(store);
    let store = open(&path).await;
    assert_eq!(store.facts().len(), 10);
    assert!(store.facts().values().all(|value| *value == vec![43; 1000]));
}

#[compio::test]
async fn random_changes_are_what_a_map_would_hold() {
    for seed in 0..10 {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("facts");
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut store = open(&path).await;
        let mut durable = BTreeMap::new();
        for _ in 0..200 {
            match random.random_range(0..10) {
                0..5 => {
                    let value = vec![random.random(); random.random_range(0..20_000)];
                    store.put(random.random_range(0..20), value);
                }
                5..6 => {
                    store.remove(random.random_range(0..20));
                }
                6..9 => {
                    flush(&mut store).await.unwrap();
                    durable = store.facts().clone();
                }
                _ => {
                    store = open(&path).await;
                    assert_eq!(*store.facts(), durable, "seed {seed}");
                }
            }
        }
    }
}

#[compio::test]
async fn whichever_change_fails_the_durable_facts_survive() {
    let script = async |disk: Watched, path: &Path| -> (u64, Result<(), LogError>) {
        let mut store = match FactStore::open(disk, path).await {
            Ok(store) => store,
            Err(error) => return (0, Err(error)),
        };
        for change in 1..=12u64 {
            store.put(7, vec![change as u8; 300_000]);
            if let Err(error) = flush(&mut store).await {
                assert!(matches!(
                    store.begin_flush(),
                    Err(LogError::Poisoned { .. })
                ));
                return (store.durable_changes(), Err(error));
            }
        }
        (store.durable_changes(), Ok(()))
    };
    let folder = tempfile::tempdir().unwrap();
    let disk = Watched::default();
    assert_eq!(
        script(disk.clone(), &folder.path().join("facts")).await.0,
        12
    );
    for change in 1..=disk.changes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("facts");
        let disk = Watched::default();
        disk.fail(change, std::io::ErrorKind::Other);
        let (durable, result) = script(disk, &path).await;
        assert!(result.is_err(), "change {change} was not missed");
        let store = open(&path).await;
        let found = store.get(7).map_or(0, |value| u64::from(value[0]));
        assert!((durable..=durable + 1).contains(&found), "change {change}");
    }
}

#[compio::test]
async fn a_file_of_a_later_version_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("facts");
    drop(open(&path).await);
    let mut bytes = std::fs::read(&path).unwrap();
    for head in [0, 512] {
        bytes[head + 8] = 9;
        let crc = crc32c::crc32c(&bytes[head..head + 12]).to_le_bytes();
        bytes[head + 12..head + 16].copy_from_slice(&crc);
    }
    std::fs::write(&path, bytes).unwrap();
    let error = FactStore::open(Compio, &path).await.unwrap_err();
    assert!(
        matches!(
            error,
            LogError::Version {
                got: 9,
                known: 2,
                ..
            }
        ),
        "{error}"
    );
}
