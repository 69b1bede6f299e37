//! Whatever is damaged: an entry comes back as it was or not at all, and that it does not is seen.

use super::super::block::{self, Found};
use super::*;

const MENDED: u64 = 2;

/// A journal of three files with everything in it that a journal can have, how far it got, and what
/// counts in it: entries 1 to 9.
async fn rich(folder: &Path) -> (Place, Vec<NumberedEntry>) {
    let (mut journal, _) = open(folder).await;
    journal.append(numbered(1..=2, "old")).await;
    journal.append(numbered(3..=5, "replaced")).await;
    let turned = [numbered(4..=4, "new"), numbered(5..=5, "replaced")].concat();
    journal.append(turned).await;
    journal.trim(OpNumber(1)).await.unwrap();
    journal.append(numbered(5..=6, "new")).await;
    journal.append(numbered(7..=7, "new")).await;
    let mended = numbered(MENDED..=MENDED, "mended");
    journal.write(Change::Mend, mended.clone()).await.unwrap();
    journal.trim(OpNumber(1)).await.unwrap();
    let long = (OpNumber(8), vec![8; 1000]);
    journal.append(vec![long.clone()]).await;
    journal.append(numbered(9..=9, "new")).await;
    let expected = [
        numbered(1..=1, "old"),
        mended,
        numbered(3..=3, "replaced"),
        numbered(4..=7, "new"),
        vec![long],
        numbered(9..=9, "new"),
    ];
    (journal.place(), expected.concat())
}

fn copy(from: &Path, to: &Path) {
    for name in files(to) {
        fs::remove_file(to.join(name)).unwrap();
    }
    for name in files(from) {
        fs::copy(from.join(&name), to.join(&name)).unwrap();
    }
}

/// Nothing comes back that did not count, and if something is missing that is seen.
fn check(found: &FoundJournal, expected: &[NumberedEntry], what: &str) {
    for entry in &found.entries {
        // A mended entry that is damaged again is what it was before.
        let is_first = *entry == (OpNumber(MENDED), b"old 2".to_vec());
        assert!(expected.contains(entry) || is_first, "{what}: {entry:?}");
    }
    let last = found.entries.last().map(|(op, _)| *op);
    let is_end_seen = last == Some(OpNumber(9)) || found.is_tail_uncertain;
    assert!(is_end_seen, "{what}: ends with {last:?}");
}

#[compio::test]
async fn every_flipped_byte_costs_what_it_hits_and_is_noticed() {
    let (source, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (place, expected) = rich(source.path()).await;
    let (_, found) = open_knowing(source.path(), place, 0).await;
    assert_eq!(found, certain(expected.clone()));
    for name in files(source.path()) {
        let bytes = fs::read(source.path().join(&name)).unwrap();
        // A byte of every field; the tests of the content flip all of them.
        for position in (0..bytes.len()).filter(|at| {
            let at = at % BLOCK_BYTES;
            (at < 64 && at % 4 == 1) || at == BLOCK_BYTES - 1
        }) {
            let what = format!("{name} byte {position}");
            copy(source.path(), folder.path());
            let mut damaged = bytes.clone();
            damaged[position] ^= 0x21;
            fs::write(folder.path().join(&name), damaged).unwrap();
            let (_, found) = open_knowing(folder.path(), place, 0).await;
            check(&found, &expected, &what);
            let block = position / BLOCK_BYTES * BLOCK_BYTES;
            let is_turn = match block::read(&bytes[block..block + BLOCK_BYTES]) {
                Found::Good(head) => head.kind.is_turn(),
                Found::Zero | Found::Bad => false,
            };
            let lost = expected.len() - found.entries.len();
            assert!(lost <= 1 || is_turn, "{what}: {lost} lost");
            // And the journal is the same when it is opened again.
            assert_eq!(
                open_knowing(folder.path(), place, 0).await.1,
                found,
                "{what}"
            );
        }
    }
}

#[compio::test]
async fn every_lost_block_and_every_lost_end_is_noticed() {
    let (source, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (place, expected) = rich(source.path()).await;
    for name in files(source.path()) {
        let bytes = fs::read(source.path().join(&name)).unwrap();
        for start in (0..bytes.len()).step_by(BLOCK_BYTES) {
            let mut zeroed = bytes.clone();
            zeroed[start..start + BLOCK_BYTES].fill(0);
            for damaged in [
                zeroed,
                bytes[..start].to_vec(),
                bytes[..start + 100].to_vec(),
            ] {
                copy(source.path(), folder.path());
                fs::write(folder.path().join(&name), damaged).unwrap();
                let (_, found) = open_knowing(folder.path(), place, 0).await;
                check(&found, &expected, &format!("{name} block at {start}"));
                assert_eq!(open_knowing(folder.path(), place, 0).await.1, found);
            }
        }
    }
}

#[compio::test]
async fn every_missing_file_is_noticed() {
    let (source, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (place, expected) = rich(source.path()).await;
    for missing in 1..8 {
        copy(source.path(), folder.path());
        for number in (1..=3).filter(|number| missing & (1 << (number - 1)) != 0) {
            fs::remove_file(path_of(folder.path(), number)).unwrap();
        }
        let (_, found) = open_knowing(folder.path(), place, 0).await;
        check(&found, &expected, &format!("missing {missing:b}"));
        assert_ne!(found.entries, expected);
        let (_, again) = open_knowing(folder.path(), place, 0).await;
        assert_eq!(again.entries, found.entries);
        assert_eq!(again.is_tail_uncertain, found.is_tail_uncertain);
    }
}

#[compio::test]
async fn entries_that_a_lost_one_may_have_replaced_are_not_believed() {
    let folder = tempfile::tempdir().unwrap();
    let (mut journal, _) = open(folder.path()).await;
    journal.append(numbered(1..=4, "old")).await;
    let start = journal.place().end;
    journal.append(numbered(3..=3, "new")).await;
    let end = journal.place().end;
    journal.append(numbered(4..=5, "new")).await;
    let path = folder.path().join("journal-1");
    let whole = fs::read(&path).unwrap();
    let mut damaged = whole.clone();
    damaged[start as usize + 100] ^= 1;
    fs::write(&path, &damaged).unwrap();
    let (_, found) = open_knowing(folder.path(), journal.place(), 0).await;
    assert_eq!(found.entries, numbered(4..=5, "new"));
    // The same if nothing follows, as long as anybody remembers that it was there.
    fs::write(&path, &damaged[..end as usize]).unwrap();
    let (_, found) = open_knowing(folder.path(), journal.place(), 0).await;
    assert_eq!((found.entries, found.is_tail_uncertain), (vec![], true));
}

#[compio::test]
async fn an_uncertain_end_stays_so_until_something_is_written_and_is_kept_aside() {
    let folder = tempfile::tempdir().unwrap();
    let (mut journal, _) = open(folder.path()).await;
    journal.append(numbered(1..=2, "word")).await;
    journal.append(numbered(3..=3, "word")).await;
    let path = folder.path().join("journal-1");
    let mut damaged = fs::read(&path).unwrap();
    let at = damaged.len() - 1;
    damaged[at] ^= 1;
    fs::write(&path, &damaged).unwrap();
    let uncertain = FoundJournal {
        is_tail_uncertain: true,
        ..certain(numbered(1..=2, "word"))
    };
    for _ in 0..3 {
        assert_eq!(open(folder.path()).await.1, uncertain);
        assert_eq!(files(folder.path()), ["journal-1", "journal-2"]);
    }
    let (mut journal, _) = open(folder.path()).await;
    // Not even if the group already makes room.
    journal.trim(OpNumber(3)).await.unwrap();
    let (mut journal, found) = open_knowing(folder.path(), journal.place(), 2).await;
    assert!(found.is_tail_uncertain);
    journal.append(numbered(3..=4, "other")).await;
    let (_, found) = open_knowing(folder.path(), journal.place(), 2).await;
    assert_eq!(found.entries.last(), numbered(4..=4, "other").last());
    assert!(!found.is_tail_uncertain);
}

#[compio::test]
async fn what_is_damaged_before_the_end_is_mended_behind_it() {
    let folder = tempfile::tempdir().unwrap();
    let (mut journal, _) = open(folder.path()).await;
    for op in 1..=4 {
        journal.append(numbered(op..=op, "word")).await;
    }
    let path = folder.path().join("journal-1");
    let mut damaged = fs::read(&path).unwrap();
    damaged[2 * BLOCK_BYTES + 7] ^= 1;
    fs::write(&path, &damaged).unwrap();
    let (mut journal, found) = open_knowing(folder.path(), journal.place(), 0).await;
    let left = [numbered(1..=1, "word"), numbered(3..=4, "word")].concat();
    assert_eq!(found, certain(left));
    let mended = numbered(2..=2, "word");
    journal.write(Change::Mend, mended).await.unwrap();
    journal.append(numbered(5..=5, "word")).await;
    let (_, found) = open_knowing(folder.path(), journal.place(), 0).await;
    assert_eq!(found, certain(numbered(1..=5, "word")));
    assert!(
        fs::read(&path).unwrap().starts_with(&damaged),
        "the evidence is kept"
    );
}
