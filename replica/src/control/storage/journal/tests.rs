use std::fs;

use quorate_platform::Compio;

use super::*;

fn numbered(ops: std::ops::RangeInclusive<u64>, word: &str) -> Vec<NumberedEntry> {
    ops.map(|op| (OpNumber(op), format!("{word} {op}").into_bytes()))
        .collect()
}

async fn open(folder: &Path) -> (Journal<Compio>, Vec<NumberedEntry>) {
    open_behind(folder, 0).await.unwrap()
}

async fn open_behind(
    folder: &Path,
    checkpoint: u64,
) -> Result<(Journal<Compio>, Vec<NumberedEntry>), NodeError> {
    Journal::open(Compio, folder, OpNumber(checkpoint)).await
}

fn files(folder: &Path) -> Vec<String> {
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
    let (mut journal, live) = open(folder.path()).await;
    assert_eq!(live, []);
    journal.append(&numbered(1..=3, "first")).await.unwrap();
    journal.append(&numbered(4..=4, "first")).await.unwrap();
    let (mut journal, live) = open(folder.path()).await;
    assert_eq!(live, numbered(1..=4, "first"));
    journal.append(&numbered(5..=5, "first")).await.unwrap();
    assert_eq!(open(folder.path()).await.1, numbered(1..=5, "first"));
}

#[compio::test]
async fn an_entry_replaces_the_one_of_its_number_and_all_behind_it() {
    let folder = tempfile::tempdir().unwrap();
    let (mut journal, _) = open(folder.path()).await;
    journal.append(&numbered(1..=5, "old")).await.unwrap();
    journal.append(&numbered(3..=3, "new")).await.unwrap();
    let expected = [numbered(1..=2, "old"), numbered(3..=3, "new")].concat();
    assert_eq!(open(folder.path()).await.1, expected);
}

#[compio::test]
async fn a_torn_tail_is_cut_wherever_it_ends_and_appending_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let (mut journal, _) = open(folder.path()).await;
    journal.append(&numbered(1..=2, "kept")).await.unwrap();
    let path = folder.path().join("journal-1");
    let kept = fs::read(&path).unwrap().len();
    journal.append(&numbered(3..=3, "torn")).await.unwrap();
    let whole = fs::read(&path).unwrap();
    for length in kept..whole.len() {
        fs::write(&path, &whole[..length]).unwrap();
        let (mut journal, live) = open(folder.path()).await;
        assert_eq!(live, numbered(1..=2, "kept"), "cut to {length}");
        journal.append(&numbered(3..=3, "kept")).await.unwrap();
        assert_eq!(
            open(folder.path()).await.1,
            numbered(1..=3, "kept"),
            "cut to {length}"
        );
    }
}

#[compio::test]
async fn damage_before_good_entries_is_refused_and_nothing_is_cut() {
    let folder = tempfile::tempdir().unwrap();
    let (mut journal, _) = open(folder.path()).await;
    for op in 1..=3 {
        journal.append(&numbered(op..=op, "word")).await.unwrap();
    }
    let path = folder.path().join("journal-1");
    let mut bytes = fs::read(&path).unwrap();
    bytes[60] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let error = open_behind(folder.path(), 0).await.unwrap_err().to_string();
    assert!(
        error.contains("journal-1") && error.contains("restore the file"),
        "{error}"
    );
    assert_eq!(fs::read(&path).unwrap(), bytes);
}

#[compio::test]
async fn trimming_removes_files_that_nobody_needs_and_keeps_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let (mut journal, _) = open(folder.path()).await;
    journal.append(&numbered(1..=4, "word")).await.unwrap();
    journal.trim(OpNumber(3)).await.unwrap();
    journal.append(&numbered(5..=6, "word")).await.unwrap();
    assert_eq!(files(folder.path()), ["journal-1", "journal-2"]);
    journal.trim(OpNumber(5)).await.unwrap();
    assert_eq!(files(folder.path()), ["journal-2", "journal-3"]);
    let (_, live) = open_behind(folder.path(), 4).await.unwrap();
    assert_eq!(live, numbered(5..=6, "word"));
}

#[compio::test]
async fn a_gap_is_refused_unless_a_checkpoint_fills_it() {
    let folder = tempfile::tempdir().unwrap();
    let (mut journal, _) = open(folder.path()).await;
    journal.append(&numbered(1..=2, "word")).await.unwrap();
    journal.append(&numbered(9..=9, "word")).await.unwrap();
    assert!(open_behind(folder.path(), 7).await.is_err());
    let (_, live) = open_behind(folder.path(), 8).await.unwrap();
    assert_eq!(live, numbered(9..=9, "word"));
}

#[compio::test]
async fn a_missing_file_in_the_middle_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (mut journal, _) = open(folder.path()).await;
    for op in 1..=3 {
        journal.append(&numbered(op..=op, "word")).await.unwrap();
        journal.trim(OpNumber(1)).await.unwrap();
    }
    fs::remove_file(folder.path().join("journal-2")).unwrap();
    let error = open_behind(folder.path(), 0).await.unwrap_err().to_string();
    assert!(error.contains("journal-2"), "{error}");
}

#[compio::test]
async fn a_file_whose_creation_was_interrupted_is_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    let (mut journal, _) = open(folder.path()).await;
    journal.append(&numbered(1..=1, "word")).await.unwrap();
    fs::write(folder.path().join("journal-2"), b"QRJF").unwrap();
    let (mut journal, live) = open(folder.path()).await;
    assert_eq!(live, numbered(1..=1, "word"));
    journal.append(&numbered(2..=2, "word")).await.unwrap();
    assert_eq!(open(folder.path()).await.1, numbered(1..=2, "word"));
}
