use std::fs;

use quorate_platform::Compio;

use super::block::BLOCK_BYTES;
use super::*;

mod damage;

pub(super) fn numbered(ops: std::ops::RangeInclusive<u64>, word: &str) -> Vec<NumberedEntry> {
    ops.map(|op| (OpNumber(op), format!("{word} {op}").into_bytes()))
        .collect()
}

/// Opens the journal as if nobody remembered anything of it.
pub(super) async fn open(folder: &Path) -> (Journal<Compio>, FoundJournal) {
    open_knowing(folder, Place::default(), 0).await
}

pub(super) async fn open_knowing(
    folder: &Path,
    durable: Place,
    covered: u64,
) -> (Journal<Compio>, FoundJournal) {
    let opened = Journal::open(Compio, folder, durable, OpNumber(covered)).await;
    opened.unwrap()
}

impl Journal<Compio> {
    pub(super) async fn append(&mut self, entries: Vec<NumberedEntry>) {
        self.write(Change::Append, entries).await.unwrap();
    }
}

pub(super) fn certain(entries: Vec<NumberedEntry>) -> FoundJournal {
    FoundJournal {
        is_used: !entries.is_empty(),
        entries,
        is_tail_uncertain: false,
    }
}

pub(super) fn files(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[compio::test]
async fn entries_come_back_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let (mut journal, found) = open(folder.path()).await;
    assert_eq!(found, FoundJournal::default());
    journal.append(numbered(1..=3, "first")).await;
    journal.append(numbered(4..=4, "first")).await;
    let (mut journal, found) = open(folder.path()).await;
    assert_eq!(found, certain(numbered(1..=4, "first")));
    journal.append(numbered(5..=5, "first")).await;
    let (_, found) = open_knowing(folder.path(), journal.place(), 0).await;
    assert_eq!(found, certain(numbered(1..=5, "first")));
}

#[compio::test]
async fn an_entry_replaces_the_one_of_its_number_and_all_behind_it() {
    let folder = tempfile::tempdir().unwrap();
    let (mut journal, _) = open(folder.path()).await;
    journal.append(numbered(1..=5, "old")).await;
    journal.append(numbered(3..=3, "new")).await;
    let expected = [numbered(1..=2, "old"), numbered(3..=3, "new")].concat();
    assert_eq!(open(folder.path()).await.1, certain(expected));
}

#[compio::test]
async fn an_entry_far_behind_the_others_replaces_all_of_them() {
    let folder = tempfile::tempdir().unwrap();
    let (mut journal, _) = open(folder.path()).await;
    journal.append(numbered(1..=2, "old")).await;
    journal.append(numbered(9..=9, "new")).await;
    let found = open(folder.path()).await.1;
    assert_eq!(found, certain(numbered(9..=9, "new")));
}

#[compio::test]
async fn a_mended_entry_replaces_itself_alone() {
    let folder = tempfile::tempdir().unwrap();
    let (mut journal, _) = open(folder.path()).await;
    journal.append(numbered(1..=5, "old")).await;
    let mended = numbered(3..=3, "new");
    journal.write(Change::Mend, mended.clone()).await.unwrap();
    let expected = [numbered(1..=2, "old"), mended, numbered(4..=5, "old")].concat();
    let (mut journal, found) = open(folder.path()).await;
    assert_eq!(found, certain(expected.clone()));
    journal.append(numbered(6..=6, "old")).await;
    let expected = [expected, numbered(6..=6, "old")].concat();
    assert_eq!(open(folder.path()).await.1, certain(expected));
}

#[compio::test]
async fn a_torn_tail_is_cut_wherever_it_ends_and_appending_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let (mut journal, _) = open(folder.path()).await;
    journal.append(numbered(1..=2, "kept")).await;
    let durable = journal.place();
    let path = folder.path().join("journal-1");
    let kept = fs::read(&path).unwrap().len();
    journal.append(numbered(3..=4, "torn")).await;
    let whole = fs::read(&path).unwrap();
    for length in kept..whole.len() {
        fs::write(&path, &whole[..length]).unwrap();
        let (mut journal, found) = open_knowing(folder.path(), durable, 0).await;
        assert_eq!(found, certain(numbered(1..=2, "kept")), "cut to {length}");
        journal.append(numbered(3..=3, "kept")).await;
        let (_, found) = open_knowing(folder.path(), journal.place(), 0).await;
        assert_eq!(found, certain(numbered(1..=3, "kept")), "cut to {length}");
    }
    assert_eq!(files(folder.path()), ["journal-1"]);
}

#[compio::test]
async fn trimming_removes_files_that_nobody_needs_and_keeps_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let (mut journal, _) = open(folder.path()).await;
    journal.append(numbered(1..=4, "word")).await;
    journal.trim(OpNumber(3)).await.unwrap();
    journal.append(numbered(5..=6, "word")).await;
    assert_eq!(files(folder.path()), ["journal-1", "journal-2"]);
    journal.trim(OpNumber(5)).await.unwrap();
    assert_eq!(files(folder.path()), ["journal-2", "journal-3"]);
    let (_, found) = open_knowing(folder.path(), journal.place(), 4).await;
    assert_eq!(found, certain(numbered(5..=6, "word")));
    journal.trim(OpNumber(7)).await.unwrap();
    let (mut journal, found) = open_knowing(folder.path(), journal.place(), 6).await;
    assert_eq!(files(folder.path()), ["journal-3"]);
    assert_eq!((found.entries, found.is_tail_uncertain), (vec![], false));
    journal.append(numbered(7..=7, "word")).await;
    let (_, found) = open_knowing(folder.path(), journal.place(), 6).await;
    assert_eq!(found, certain(numbered(7..=7, "word")));
}

#[compio::test]
async fn a_file_whose_creation_was_interrupted_is_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    let (mut journal, _) = open(folder.path()).await;
    journal.append(numbered(1..=1, "word")).await;
    for unfinished in [&b"QRJF"[..], &[0; BLOCK_BYTES], b""] {
        fs::write(folder.path().join("journal-2"), unfinished).unwrap();
        let (_, found) = open_knowing(folder.path(), journal.place(), 0).await;
        assert_eq!(found, certain(numbered(1..=1, "word")));
        assert_eq!(files(folder.path()), ["journal-1"]);
    }
}

#[compio::test]
async fn a_newer_format_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let (journal, _) = open(folder.path()).await;
    let path = folder.path().join("journal-1");
    let mut header = fs::read(&path).unwrap();
    header[4] = 9;
    let checksum = crc32c::crc32c(&header[..48]).to_le_bytes();
    header[48..52].copy_from_slice(&checksum);
    fs::write(&path, header).unwrap();
    let opened = Journal::open(Compio, folder.path(), journal.place(), OpNumber(0)).await;
    let error = opened.unwrap_err().to_string();
    assert!(
        error.contains("journal-1") && error.contains("format 9"),
        "{error}"
    );
}
