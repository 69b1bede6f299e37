use std::fs;

use quorate_platform::Compio;

use super::*;

async fn open(folder: &Path) -> Result<Option<FoundSuperblock>, Forgotten> {
    SuperblockFile::open(&Compio, folder).await.unwrap().1
}

async fn read(folder: &Path) -> Option<Vec<u8>> {
    open(folder).await.unwrap().map(|found| found.body)
}

async fn write(folder: &Path, bodies: &[&str]) {
    let (mut file, _) = SuperblockFile::open(&Compio, folder).await.unwrap();
    for body in bodies {
        let body = body.as_bytes().to_vec();
        file.write(body, Place::default()).await.unwrap();
    }
}

fn damage(whole: &[u8], slots: impl IntoIterator<Item = usize>) -> Vec<u8> {
    let mut bytes = whole.to_vec();
    for slot in slots {
        bytes[slot * SLOT_BYTES + HEADER_BYTES] ^= 4;
    }
    bytes
}

#[compio::test]
async fn the_newest_superblock_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(read(folder.path()).await, None);
    write(folder.path(), &["one", "two", "three"]).await;
    assert_eq!(read(folder.path()).await.unwrap(), b"three");
    write(folder.path(), &["four"]).await;
    assert_eq!(read(folder.path()).await.unwrap(), b"four");
}

#[compio::test]
async fn the_place_in_the_journal_can_be_noted_with_an_unchanged_superblock() {
    let folder = tempfile::tempdir().unwrap();
    let (mut file, _) = SuperblockFile::open(&Compio, folder.path()).await.unwrap();
    let first = Place::default();
    file.note(first).await.unwrap();
    assert_eq!(open(folder.path()).await, Ok(None));
    let place = Place::decode(&[3; Place::BYTES]);
    file.write(b"body".to_vec(), first).await.unwrap();
    file.note(place).await.unwrap();
    let found = open(folder.path()).await.unwrap().unwrap();
    assert_eq!((found.body, found.journal), (b"body".to_vec(), place));
}

#[compio::test]
async fn one_good_copy_is_enough_and_mends_the_others() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &["one", "two"]).await;
    let path = folder.path().join("superblock");
    let whole = fs::read(&path).unwrap();
    for good in 0..SLOTS {
        let others = (0..SLOTS).filter(|slot| *slot != good);
        fs::write(&path, damage(&whole, others)).unwrap();
        assert_eq!(read(folder.path()).await.unwrap(), b"two", "slot {good}");
        assert!(fs::read(&path).unwrap() == whole, "slot {good}");
    }
    for length in (SLOT_BYTES..whole.len()).step_by(500) {
        fs::write(&path, &whole[..length]).unwrap();
        assert_eq!(
            read(folder.path()).await.unwrap(),
            b"two",
            "cut to {length}"
        );
    }
    assert!(fs::read(&path).unwrap() == whole);
}

#[compio::test]
async fn any_flipped_bit_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &["one", "two"]).await;
    let path = folder.path().join("superblock");
    let whole = fs::read(&path).unwrap();
    for slot in 0..SLOTS {
        for byte in 0..HEADER_BYTES + 3 {
            let mut bytes = whole.clone();
            bytes[slot * SLOT_BYTES + byte] ^= 0x40;
            fs::write(&path, bytes).unwrap();
            assert_eq!(read(folder.path()).await.unwrap(), b"two", "{slot} {byte}");
        }
    }
}

/// Whatever a crash leaves of a write: either the superblock before it or the new one comes back,
/// and then stays.
#[compio::test]
async fn an_interrupted_write_brings_back_the_old_superblock_or_the_new_one() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &["one", "two"]).await;
    let path = folder.path().join("superblock");
    let old = fs::read(&path).unwrap();
    write(folder.path(), &["three"]).await;
    let new = fs::read(&path).unwrap();
    // Of the slots that are written at one time, each can be old, new or torn.
    for first in [0, SLOTS / 2] {
        for states in 0..9 {
            let mut bytes = [&new[..first * SLOT_BYTES], &old[first * SLOT_BYTES..]].concat();
            for (slot, state) in [(first, states % 3), (first + 1, states / 3)] {
                let start = slot * SLOT_BYTES;
                let written = [0, 30, SLOT_BYTES][state];
                bytes[start..start + written].copy_from_slice(&new[start..start + written]);
            }
            fs::write(&path, &bytes).unwrap();
            let found = read(folder.path()).await.unwrap();
            let has_new = first > 0 || states % 3 == 2 || states / 3 == 2;
            let expected: &[u8] = if has_new { b"three" } else { b"two" };
            assert_eq!(found, expected, "slots from {first}, {states}");
            for slot in 0..SLOTS {
                let bytes = damage(&fs::read(&path).unwrap(), [slot]);
                fs::write(&path, bytes).unwrap();
                assert_eq!(read(folder.path()).await.unwrap(), expected);
            }
        }
    }
}

#[compio::test]
async fn without_a_good_copy_the_promises_are_forgotten() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &["one"]).await;
    let path = folder.path().join("superblock");
    let whole = damage(&fs::read(&path).unwrap(), 0..SLOTS);
    fs::write(&path, &whole).unwrap();
    assert_eq!(open(folder.path()).await, Err(Forgotten));
    assert!(fs::read(&path).unwrap() == whole, "it is left as evidence");
}
