use std::collections::BTreeSet;
use std::future::Future;
use std::hash::{DefaultHasher, Hash, Hasher};

use futures_util::future::join;
use quorate_platform::{AlignedBuffer, BLOCK_BYTES, BufResult, File};

use super::*;

mod log;

fn run<F: Future>(future: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build();
    runtime.unwrap().block_on(future)
}

fn path(name: &str) -> PathBuf {
    Path::new("/data").join(name)
}

async fn disk(seed: u64) -> SimDisk {
    let disk = SimDisk::new(seed);
    disk.create_folder(Path::new("/data")).await.unwrap();
    disk
}

/// A file with these durable bytes and a durable name.
async fn file(disk: &SimDisk, name: &str, bytes: &[u8]) -> SimFile {
    let file = disk.open(&path(name), OpenMode::CreateNew).await.unwrap();
    file.write_all_at(bytes.to_vec(), 0).await.0.unwrap();
    file.sync_data().await.unwrap();
    disk.sync_folder(Path::new("/data")).await.unwrap();
    file
}

async fn read(file: &SimFile, len: usize) -> io::Result<Vec<u8>> {
    let BufResult(result, bytes) = file.read_at(Vec::with_capacity(len), 0).await;
    result.map(|_| bytes)
}

fn seen(disk: &SimDisk, name: &str) -> Option<Vec<u8>> {
    disk.current_bytes(&path(name))
}

#[test]
fn what_was_synced_survives_and_of_the_rest_any_sectors() {
    let mut outcomes = BTreeSet::new();
    for seed in 0..200 {
        let left = run(async {
            let disk = disk(seed).await;
            let file = file(&disk, "a", &[1; 2000]).await;
            file.write_all_at(vec![2; 1200], 500).await.0.unwrap();
            assert_eq!(read(&file, 3).await.unwrap(), [1, 1, 1]);
            disk.crash();
            assert!(read(&file, 1).await.is_err(), "the handle is dead");
            seen(&disk, "a").unwrap()
        });
        assert_eq!(left.len(), 2000);
        assert!(left[..500].iter().chain(&left[1700..]).all(|it| *it == 1));
        let sectors = [500..512, 512..1024, 1024..1536, 1536..1700];
        let kept = sectors.map(|sector| {
            let first = left[sector.start];
            assert!(left[sector].iter().all(|it| *it == first));
            first
        });
        outcomes.insert(kept);
    }
    assert!(outcomes.len() > 8, "{outcomes:?}");
}

#[test]
fn a_sync_covers_what_had_completed_when_it_began() {
    let mut is_later_lost = false;
    for seed in 0..100 {
        let (first, second) = run(async {
            let disk = disk(seed).await;
            let file = file(&disk, "a", &[0; 10]).await;
            file.write_all_at(vec![1], 0).await.0.unwrap();
            let later = async { file.write_all_at(vec![1], 600).await.0.unwrap() };
            let (synced, ()) = join(file.sync_data(), later).await;
            synced.unwrap();
            disk.crash();
            let bytes = seen(&disk, "a").unwrap();
            (bytes[0], bytes.get(600).copied())
        });
        assert_eq!(first, 1);
        is_later_lost |= second.is_none();
    }
    assert!(is_later_lost);
}

#[test]
fn a_durable_write_speaks_for_itself_and_for_the_length_before_it() {
    let mut others = BTreeSet::new();
    for seed in 0..100 {
        let bytes = run(async {
            let disk = disk(seed).await;
            let file = file(&disk, "a", &[1; 600]).await;
            file.write_all_at(vec![2; 10], 0).await.0.unwrap();
            file.set_len(5000).await.unwrap();
            file.write_durable_at(vec![3; 10], 5).await.0.unwrap();
            disk.crash();
            seen(&disk, "a").unwrap()
        });
        assert_eq!((bytes.len(), &bytes[5..15]), (5000, &[3; 10][..]));
        others.insert(bytes[0]);
    }
    assert_eq!(others, BTreeSet::from([1, 2]));
}

#[test]
fn names_survive_once_their_folder_is_synced_and_a_rename_is_never_half_done() {
    let mut outcomes = BTreeSet::new();
    for seed in 0..200 {
        let (old, new, created) = run(async {
            let disk = disk(seed).await;
            file(&disk, "a", b"old").await;
            file(&disk, "b", b"new").await;
            disk.rename(&path("b"), &path("a")).await.unwrap();
            let made = disk.open(&path("c"), OpenMode::CreateNew).await.unwrap();
            made.write_durable_at(b"c".to_vec(), 0).await.0.unwrap();
            assert_eq!(disk.list(&path("")).await.unwrap().len(), 2);
            disk.crash();
            (
                seen(&disk, "a").unwrap(),
                seen(&disk, "b"),
                seen(&disk, "c"),
            )
        });
        match &new {
            Some(new) => assert_eq!((&old[..], &new[..]), (&b"old"[..], &b"new"[..])),
            None => assert_eq!(old, b"new"),
        }
        assert!(created.as_ref().is_none_or(|it| it == b"c"));
        outcomes.insert((new.is_some(), created.is_some()));
    }
    assert_eq!(outcomes.len(), 4);
}

#[test]
fn a_failed_sync_loses_what_a_later_one_does_not_bring_back() {
    let mut kept = BTreeSet::new();
    for seed in 0..50 {
        let bytes = run(async {
            let disk = disk(seed).await;
            let file = file(&disk, "a", &[1; 10]).await;
            file.write_all_at(vec![2; 10], 0).await.0.unwrap();
            disk.set_faults(DiskFaults {
                sync_error: 1.0,
                ..DiskFaults::default()
            });
            let error = file.sync_data().await.unwrap_err();
            assert_eq!(error.raw_os_error(), Some(DEVICE_ERROR));
            disk.set_faults(DiskFaults::default());
            file.sync_data().await.unwrap();
            assert_eq!(read(&file, 1).await.unwrap(), [2]);
            disk.crash();
            seen(&disk, "a").unwrap()
        });
        kept.insert(bytes[0]);
    }
    assert_eq!(kept, BTreeSet::from([1, 2]));
}

#[test]
fn worn_and_rotten_sectors_stay_so_until_they_are_written() {
    run(async {
        let disk = disk(1).await;
        let file = file(&disk, "a", &[1; 2000]).await;
        disk.wear_out(&path("a"), 600..601).unwrap();
        disk.rot(&path("a"), 1, &[4, 6]).unwrap();
        assert_eq!(read(&file, 4).await.unwrap(), [1, 5, 7, 1]);
        let error = read(&file, 2000).await.unwrap_err();
        assert_eq!(error.raw_os_error(), Some(DEVICE_ERROR));
        file.write_all_at(vec![9; 512], 512).await.0.unwrap();
        assert_eq!(read(&file, 2000).await.unwrap().len(), 2000);
        assert_eq!(disk.durable_bytes(&path("a")).unwrap()[600], 1);
        disk.set_damage_rule(|_| false);
        let before = disk.durable_bytes(&path("a"));
        disk.rot_any();
        assert_eq!(disk.durable_bytes(&path("a")), before);
        disk.set_damage_rule(|_| true);
        disk.rot_any();
        assert_ne!(disk.durable_bytes(&path("a")), before);
    });
}

#[test]
fn a_full_disk_refuses_until_something_is_removed() {
    run(async {
        let disk = disk(1).await;
        disk.set_capacity(8192);
        let first = file(&disk, "a", &[0; 5000]).await;
        let second = disk.open(&path("b"), OpenMode::CreateNew).await.unwrap();
        let error = second.write_all_at(vec![1], 0).await.0.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        first.set_len(3).await.unwrap();
        second.write_all_at(vec![1], 0).await.0.unwrap();
        assert_eq!(disk.available_bytes(Path::new("/")).unwrap(), 0);
        disk.remove_file(&path("a")).await.unwrap();
        assert_eq!(disk.used_bytes(), 4096);
    });
}

#[test]
fn a_held_disk_ends_nothing_before_it_is_released_or_crashes() {
    run(async {
        let disk = disk(1).await;
        let file = file(&disk, "a", &[1]).await;
        disk.hold();
        let wait = async |wish: SimFile| {
            tokio::time::timeout(Duration::from_secs(9), wish.sync_data()).await
        };
        assert!(wait(file.clone()).await.is_err());
        let later = async { disk.release() };
        let (synced, ()) = join(file.sync_data(), later).await;
        synced.unwrap();
        disk.hold();
        let later = async { disk.crash() };
        let (synced, ()) = join(file.sync_data(), later).await;
        assert!(synced.is_err());
    });
}

#[test]
fn a_lock_is_held_until_it_is_dropped_or_its_process_ends() {
    run(async {
        let disk = disk(1).await;
        let lock = disk.lock(&path("lock")).unwrap();
        let error = disk.lock(&path("lock")).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        drop(lock);
        let old = disk.lock(&path("lock")).unwrap();
        disk.kill();
        let new = disk.lock(&path("lock")).unwrap();
        drop(old);
        assert!(disk.lock(&path("lock")).is_err(), "it is the new one's");
        drop(new);
    });
}

#[test]
#[should_panic(expected = "no direct I/O")]
fn direct_files_take_whole_blocks_only() {
    run(async {
        let disk = disk(1).await;
        let how = OpenMode::CreateNew.direct();
        let file = disk.open(&path("a"), how).await.unwrap();
        let mut buffer = AlignedBuffer::with_capacity(BLOCK_BYTES);
        buffer.extend_zeros(BLOCK_BYTES);
        file.write_all_at(buffer, 0).await.0.unwrap();
        let _ = file.write_all_at(vec![0; 10], 0).await;
    });
}

#[test]
fn a_seed_is_one_outcome() {
    let live = |seed| {
        run(async {
            let disk = disk(seed).await;
            let hash = Rc::new(RefCell::new(DefaultHasher::new()));
            let hook = Rc::clone(&hash);
            disk.on_event(move |event| {
                format!("{event:?}").hash(&mut *hook.borrow_mut());
            });
            disk.set_faults(DiskFaults {
                read_error: 0.1,
                write_error: 0.1,
                slow: 0.3,
                slow_max: Duration::from_millis(50),
                rot: 0.1,
                ..DiskFaults::default()
            });
            for round in 0..20u8 {
                let name = format!("{}", round % 3);
                let opened = disk.open(&path(&name), OpenMode::CreateOrWrite).await;
                let file = opened.unwrap();
                let writes = join(
                    file.write_all_at(vec![round; 3000], 0),
                    file.write_all_at(vec![!round; 3000], 1000),
                );
                writes.await.0.0.ok();
                file.sync_data().await.unwrap();
                read(&file, 9000).await.ok();
                if round % 7 == 6 {
                    disk.crash();
                }
            }
            let files = disk.files().into_iter();
            let bytes: Vec<_> = files.map(|path| disk.current_bytes(&path)).collect();
            bytes.hash(&mut *hash.borrow_mut());
            hash.borrow().finish()
        })
    };
    let hashes: BTreeSet<_> = (0..20).map(live).collect();
    assert_eq!(hashes.len(), 20);
    assert_eq!(hashes, (0..20).map(live).collect());
}
