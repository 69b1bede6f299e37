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

#[compio::test]
async fn an_interrupted_write_is_cut_off_at_every_byte() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("facts");
    let mut store = open(&path).await;
    store.put(1, b"one".to_vec());
    flush(&mut store).await.unwrap();
    let sound = std::fs::metadata(&path).unwrap().len() as usize;
    store.put(2, b"two".to_vec());
    flush(&mut store).await.unwrap();
    let bytes = std::fs::read(&path).unwrap();
    for len in sound..bytes.len() {
        std::fs::write(&path, &bytes[..len]).unwrap();
        let mut store = open(&path).await;
        assert_eq!(*store.facts(), facts(&[(1, "one")]), "cut to {len}");
        store.put(3, b"three".to_vec());
        flush(&mut store).await.unwrap();
        assert_eq!(
            *open(&path).await.facts(),
            facts(&[(1, "one"), (3, "three")])
        );
        let mut torn = bytes.clone();
        torn[len] ^= 0x10;
        std::fs::write(&path, &torn).unwrap();
        assert_eq!(
            *open(&path).await.facts(),
            facts(&[(1, "one")]),
            "byte {len}"
        );
    }
}

#[compio::test]
async fn a_broken_frame_with_a_sound_one_behind_it_is_damage() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("facts");
    let mut store = open(&path).await;
    store.put(1, b"one".to_vec());
    flush(&mut store).await.unwrap();
    let sound = std::fs::metadata(&path).unwrap().len() as usize;
    store.put(2, b"two".to_vec());
    flush(&mut store).await.unwrap();
    let bytes = std::fs::read(&path).unwrap();
    for at in 0..sound {
        let mut bad = bytes.clone();
        bad[at] ^= 1;
        std::fs::write(&path, &bad).unwrap();
        let error = FactStore::open(Compio, &path).await.unwrap_err();
        assert!(
            matches!(error, LogError::FactsDamaged { .. }),
            "byte {at}: {error}"
        );
        assert_eq!(std::fs::read(&path).unwrap(), bad, "nothing is cut");
    }
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
    assert!(largest < 1_100_000, "{largest}");
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
    bytes[8] = 2;
    let crc = crc32c::crc32c(&bytes[..12]).to_le_bytes();
    bytes[12..16].copy_from_slice(&crc);
    std::fs::write(&path, bytes).unwrap();
    let error = FactStore::open(Compio, &path).await.unwrap_err();
    assert!(
        matches!(
            error,
            LogError::Version {
                got: 2,
                known: 1,
                ..
            }
        ),
        "{error}"
    );
}
