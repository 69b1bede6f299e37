use std::path::PathBuf;

use super::*;
use crate::{AlignedBuffer, BLOCK_BYTES, read_around};

/// Bytes of which no two neighbouring blocks are alike.
fn bytes(len: usize) -> Vec<u8> {
    (0..len)
        .map(|at| (at % 251) as u8 ^ (at / BLOCK_BYTES) as u8)
        .collect()
}

fn aligned(bytes: &[u8]) -> AlignedBuffer {
    let mut buffer = AlignedBuffer::with_capacity(bytes.len());
    buffer.extend_from_slice(bytes);
    buffer
}

/// Folders on different file systems: wherever temporary files go, and in memory.
fn folders() -> Vec<tempfile::TempDir> {
    let mut folders = vec![tempfile::tempdir().unwrap()];
    folders.extend(tempfile::tempdir_in("/dev/shm").ok());
    folders
}

#[compio::test]
async fn what_was_written_durably_is_read_back_by_everybody() {
    for folder in folders() {
        let path = folder.path().join("file");
        let file = Compio
            .open(&path, OpenMode::CreateNew.direct())
            .await
            .unwrap();
        let mut expected = vec![0; 20 * BLOCK_BYTES];
        file.write_all_at(aligned(&expected), 0).await.0.unwrap();
        for (block, blocks) in [(3, 1), (4, 16), (0, 2)] {
            let (from, len) = (block * BLOCK_BYTES, blocks * BLOCK_BYTES);
            let written = bytes(len);
            let BufResult(result, buffer) =
                file.write_durable_at(aligned(&written), from as u64).await;
            result.unwrap();
            assert!(*buffer == written[..], "the buffer comes back as it was");
            expected[from..from + len].copy_from_slice(&written);
        }
        let buffer = AlignedBuffer::with_capacity(expected.len());
        let BufResult(count, read) = file.read_at(buffer, 0).await;
        assert_eq!(count.unwrap(), expected.len());
        assert!(*read == expected[..]);
        assert!(std::fs::read(&path).unwrap() == expected);
    }
}

#[compio::test]
async fn an_ordinary_file_is_written_durably_at_any_place_and_grows() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    let file = Compio.open(&path, OpenMode::CreateNew).await.unwrap();
    assert!(!file.is_direct());
    file.write_durable_at(Vec::new(), 5).await.0.unwrap();
    assert_eq!(file.len().await.unwrap(), 0);
    file.write_durable_at(bytes(10_000), 3).await.0.unwrap();
    file.write_durable_at(b"abc".to_vec(), 0).await.0.unwrap();
    let expected = [b"abc".to_vec(), bytes(10_000)].concat();
    assert!(std::fs::read(&path).unwrap() == expected);
}

#[compio::test]
async fn any_part_of_a_direct_file_can_be_read() {
    for folder in folders() {
        let path = folder.path().join("file");
        let all = bytes(5 * BLOCK_BYTES + 1000);
        std::fs::write(&path, &all).unwrap();
        let file = Compio.open(&path, OpenMode::Read.direct()).await.unwrap();
        let ends = [
            0, 1, 4095, 4096, 4097, 12_288, 20_480, 21_479, 21_480, 99_999,
        ];
        for from in ends {
            for to in ends.into_iter().filter(|to| from <= *to) {
                let read = read_around(&file, from as u64, to - from).await.unwrap();
                let expected = &all[from.min(all.len())..to.min(all.len())];
                assert!(read == expected, "bytes {from} to {to}");
            }
        }
    }
}

#[compio::test]
async fn a_file_system_that_cannot_do_it_gives_an_ordinary_file() {
    // Files of the kernel's own have no disk to go to, whatever the kernel's version.
    let path = PathBuf::from("/proc/version");
    let file = Compio.open(&path, OpenMode::Read.direct()).await.unwrap();
    assert!(!file.is_direct());
    let BufResult(count, text) = file.read_at(Vec::with_capacity(9), 3).await;
    assert!(count.unwrap() > 0);
    assert!(std::fs::read(&path).unwrap()[3..].starts_with(&text));
}

#[compio::test]
async fn a_write_that_the_disk_refuses_is_an_error_and_gives_the_buffer_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    std::fs::write(&path, "as it was").unwrap();
    let file = Compio.open(&path, OpenMode::Read).await.unwrap();
    let BufResult(result, buffer) = file.write_durable_at(b"new".to_vec(), 0).await;
    assert!(result.is_err());
    assert_eq!(buffer, b"new");
    assert_eq!(std::fs::read(&path).unwrap(), b"as it was");
}
