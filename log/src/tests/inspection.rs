//! A look at a log that nobody has opened: all that is damaged is named, and nothing else.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use quorate_batch::Producer;
use quorate_platform::Compio;

use super::scene::*;
use crate::{
    DamageKind, DamagedPiece, Ending, Finding, IndexState, Inspection, Known, PartitionLog, Piece,
    Plan, Scope,
};

/// All that a look has found.
pub(super) struct Seen {
    pub(super) ending: Ending,
    findings: Vec<Finding>,
}

impl Seen {
    pub(super) fn damage(&self) -> Vec<(PathBuf, DamagedPiece)> {
        let mut file = PathBuf::new();
        let mut damage = Vec::new();
        for finding in &self.findings {
            match finding {
                Finding::Segment { path, .. } => file.clone_from(path),
                Finding::Piece(Piece::Damage(piece)) => damage.push((file.clone(), piece.clone())),
                Finding::Piece(_)
                | Finding::Index { .. }
                | Finding::Start { .. }
                | Finding::Leftover { .. } => {}
            }
        }
        damage
    }

    /// The states of the index files that are not right.
    pub(super) fn indexes(&self) -> Vec<IndexState> {
        let states = self.findings.iter().filter_map(|finding| match finding {
            Finding::Index { state, .. } => Some(state.clone()),
            Finding::Segment { .. }
            | Finding::Piece(_)
            | Finding::Start { .. }
            | Finding::Leftover { .. } => None,
        });
        states
            .filter(|state| !matches!(state, IndexState::Sound { .. } | IndexState::Missing))
            .collect()
    }

    pub(super) fn batches(&self) -> Vec<u64> {
        let batches = self.findings.iter().filter_map(|finding| match finding {
            Finding::Piece(Piece::Batch(batch)) => Some(batch.header.base_offset),
            Finding::Piece(_)
            | Finding::Segment { .. }
            | Finding::Index { .. }
            | Finding::Start { .. }
            | Finding::Leftover { .. } => None,
        });
        batches.collect()
    }

    pub(super) fn plan(&self) -> Plan {
        let mut plan = Plan::default();
        self.findings.iter().for_each(|finding| plan.note(finding));
        plan
    }
}

pub(super) async fn look_at(folder: &Path, known: Known, scope: Scope) -> Seen {
    let before = contents(folder);
    let begun = Inspection::begin(Compio, folder, SMALL, known, scope);
    let mut inspection = begun.await.unwrap();
    let mut findings = Vec::new();
    while let Some(finding) = inspection.next().await.unwrap() {
        findings.push(finding);
    }
    assert!(contents(folder) == before, "it changes nothing");
    let ending = ending_of(&inspection);
    Seen { ending, findings }
}

fn ending_of(inspection: &Inspection<Compio>) -> Ending {
    match inspection.ending() {
        Ending::Whole => Ending::Whole,
        Ending::Torn => Ending::Torn,
        Ending::Uncertain => Ending::Uncertain,
        Ending::Refused(error) => panic!("{error}"),
    }
}

pub(super) async fn look(folder: &Path) -> Seen {
    look_at(folder, Known::default(), Scope::All).await
}

fn contents(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let read = |name: String| {
        let bytes = std::fs::read(folder.join(&name)).unwrap();
        (name, bytes)
    };
    names(folder).into_iter().map(read).collect()
}

/// Batches in three epochs, with two producers.
fn eventful() -> Vec<Bytes> {
    let batch = |at: u64| {
        let epoch = 1 + u32::from(at > 4) + u32::from(at > 13);
        let producer = Producer {
            id: 7 + at as i64 % 2,
            epoch: 0,
            base_sequence: 2 * (at as i32 / 2),
        };
        let value = |offset: u64| format!("value {offset:010}");
        let values = [value(2 * at), value(2 * at + 1)];
        batch_of(2 * at, epoch, &[&values[0], &values[1]], Some(producer))
    };
    (0..19).map(batch).collect()
}

/// A log of several segments whose flushes have one batch or two.
async fn write_eventful(folder: &Path) {
    let mut log = open(folder).await;
    for (at, batch) in eventful().into_iter().enumerate() {
        log.append(batch);
        if at % 3 != 1 {
            flush(&mut log).await;
        }
    }
    flush(&mut log).await;
    while log.has_pending() {
        flush(&mut log).await;
    }
    drop(log);
    // Opening it cuts the room behind the last batch.
    open(folder).await;
}

#[compio::test]
async fn a_sound_log_is_sound_and_all_of_it_is_seen() {
    let folder = memory_folder();
    write_eventful(folder.path()).await;
    assert!(segments(folder.path()).len() > 2);
    let seen = look(folder.path()).await;
    assert!(matches!(seen.ending, Ending::Whole));
    assert_eq!((seen.damage(), seen.indexes()), (Vec::new(), Vec::new()));
    let offsets: Vec<_> = (0..19).map(|at| 2 * at).collect();
    assert_eq!(seen.batches(), offsets);
    assert_eq!(seen.plan().repairs(&seen.ending), []);
    // What is found is all that there is, byte for byte.
    let mut end = 0;
    for finding in &seen.findings {
        let (position, len) = match finding {
            Finding::Segment { .. } => (0, 0),
            Finding::Piece(Piece::Frame(frame)) => (frame.position, frame.bytes),
            Finding::Piece(Piece::Batch(batch)) => {
                (batch.position, batch.header.batch_bytes as u64)
            }
            Finding::Piece(other) => panic!("{other:?}"),
            Finding::Start { .. } | Finding::Leftover { .. } => {
                panic!("nothing was before the log, and nothing compacted")
            }
            Finding::Index { path, .. } => {
                let segment = std::fs::metadata(path.with_extension("log")).unwrap();
                (segment.len(), 0)
            }
        };
        end = if position == 0 { 0 } else { end };
        assert_eq!(position, end);
        end += len;
    }
}

#[compio::test]
async fn a_part_of_a_log_is_looked_at_alone() {
    let folder = memory_folder();
    write_eventful(folder.path()).await;
    let all = segments(folder.path());
    let known = Known::default();
    let seen = look_at(folder.path(), known, Scope::Segment(all[1])).await;
    assert_eq!(seen.batches()[0], all[1]);
    assert_eq!(*seen.batches().last().unwrap() + 2, all[2]);
    assert_eq!((seen.damage(), seen.indexes()), (Vec::new(), Vec::new()));
    let seen = look_at(folder.path(), known, Scope::From(all[1] + 1)).await;
    assert_eq!(seen.batches()[0], all[1]);
    assert_eq!(*seen.batches().last().unwrap(), 36);
    assert_eq!((seen.damage(), seen.indexes()), (Vec::new(), Vec::new()));
    assert_eq!(
        look_at(folder.path(), known, Scope::Segment(1))
            .await
            .findings,
        []
    );
}

/// Every byte of every file is changed in turn: it is named, and nothing else is.
async fn flip_every_byte(has_indexes: bool, flip: u8) {
    let folder = memory_folder();
    write_eventful(folder.path()).await;
    let known = Known {
        epoch_max: 3,
        ..Known::default()
    };
    if !has_indexes {
        for name in names(folder.path())
            .iter()
            .filter(|name| name.ends_with(".index"))
        {
            std::fs::remove_file(folder.path().join(name)).unwrap();
        }
    }
    for (name, sound) in contents(folder.path()) {
        let path = folder.path().join(&name);
        for at in 0..sound.len() {
            let mut flipped = sound.clone();
            flipped[at] ^= flip;
            std::fs::write(&path, &flipped).unwrap();
            let seen = look_at(folder.path(), known, Scope::All).await;
            let what = format!("{name}, byte {at}: {:?}", seen.damage());
            if name.ends_with(".index") {
                assert_eq!(seen.indexes(), [IndexState::Damaged], "{what}");
                assert_eq!(seen.damage(), [], "{what}");
                assert_eq!(seen.batches().len(), 19, "{what}");
                continue;
            }
            let damage = seen.damage();
            let Some(((file, piece), behind)) = damage.split_first() else {
                panic!("{what}")
            };
            let at = at as u64;
            assert_eq!(file, &path, "{what}");
            assert!((piece.position..piece.end).contains(&at), "{what}");
            if !behind.is_empty() {
                // What is of which epoch cannot be told then, and the node ends the log there.
                assert!(
                    !has_indexes && matches!(seen.ending, Ending::Uncertain),
                    "{what}"
                );
                assert!(
                    matches!(piece.kind, DamageKind::Epoch | DamageKind::End),
                    "{what}"
                );
                assert!(is_wrong(piece, at), "{what}");
                assert!(
                    behind.iter().all(|it| it.1.kind == DamageKind::End),
                    "{what}"
                );
                continue;
            }
            check_kind(&seen, piece, &sound, at, &what);
        }
        std::fs::write(&path, &sound).unwrap();
    }
}

/// What the damaged byte belongs to, and how much else is called damaged.
fn check_kind(seen: &Seen, piece: &DamagedPiece, sound: &[u8], at: u64, what: &str) {
    let all = eventful();
    let is_in = |batch: &&Bytes| {
        let places = sound
            .windows(batch.len())
            .position(|bytes| bytes == &batch[..]);
        places.is_some_and(|start| (start as u64..(start + batch.len()) as u64).contains(&at))
    };
    let lost = match piece.kind {
        DamageKind::Frame | DamageKind::Checksums => {
            assert!(!all.iter().any(|batch| is_in(&batch)), "{what}");
            assert_eq!((piece.offsets, &piece.wrong[..]), (None, &[][..]), "{what}");
            0
        }
        DamageKind::Batches | DamageKind::End => {
            let batch = all.iter().find(is_in);
            let header = header(batch.unwrap_or_else(|| panic!("{what}")));
            let (from, to) = piece.offsets.unwrap();
            assert_eq!(from, header.base_offset, "{what}");
            assert!(to.is_none_or(|to| to == header.next_offset()), "{what}");
            assert!(piece.flaw.is_some(), "{what}");
            1
        }
        DamageKind::Epoch => {
            let header = header(all.iter().find(is_in).unwrap());
            let (from, to) = piece.offsets.unwrap();
            assert!(from <= header.base_offset && header.next_offset() <= to.unwrap());
            0
        }
        DamageKind::Rest | DamageKind::Torn => panic!("{what}"),
    };
    if lost > 0 || piece.kind == DamageKind::Epoch {
        assert!(is_wrong(piece, at), "{what}");
        assert!(
            piece.wrong.iter().all(|it| it.end - it.position <= 4096),
            "{what}"
        );
    }
    assert_eq!(seen.batches().len(), 19 - lost, "{what}");
    assert_eq!(seen.indexes(), unconfirmed(seen), "{what}");
}

/// Whether the frame tells that the block of the byte is not what was written.
fn is_wrong(piece: &DamagedPiece, at: u64) -> bool {
    let is_it = |it: &crate::WrongBytes| it.position <= at && at < it.end && !it.is_missing;
    piece.wrong.iter().any(is_it)
}

/// An index that covers something damaged cannot be compared; all others can.
fn unconfirmed(seen: &Seen) -> Vec<IndexState> {
    let mut states = seen.indexes();
    states.retain(|state| matches!(state, IndexState::Unconfirmed { .. }));
    states
}

#[compio::test]
async fn every_damaged_byte_is_named_and_no_other() {
    flip_every_byte(true, 0x01).await;
    flip_every_byte(true, 0x80).await;
}

#[compio::test]
async fn every_damaged_byte_is_named_without_indexes() {
    flip_every_byte(false, 0x40).await;
    flip_every_byte(false, 0x02).await;
}

/// A log whose first segments have expired.
async fn write_with_start(folder: &Path) -> PathBuf {
    write_eventful(folder).await;
    let second = segments(folder)[1];
    let known = Known::default();
    let opened = PartitionLog::inspect(Compio, folder, SMALL, known).await;
    let mut log = opened.unwrap().settle().await.unwrap();
    log.raise_start(second);
    let job = log.begin_retire().unwrap().unwrap();
    log.finish_retire(job.run().await).unwrap();
    folder.join(format!("{second:020}.start"))
}

#[compio::test]
async fn what_is_kept_of_the_log_before_its_first_segment_is_looked_at() {
    let folder = memory_folder();
    let path = write_with_start(folder.path()).await;
    let base_offset = segments(folder.path())[0];
    let known = Known {
        log_start_offset: base_offset,
        ..Known::default()
    };
    let sound = std::fs::read(&path).unwrap();
    let state = async || {
        let seen = look_at(folder.path(), known, Scope::All).await;
        let mut states = seen.findings.iter().filter_map(|finding| match finding {
            Finding::Start { path: its, state } => Some((its.clone(), state.clone())),
            Finding::Segment { .. }
            | Finding::Piece(_)
            | Finding::Index { .. }
            | Finding::Leftover { .. } => None,
        });
        let (its, state) = states.next().unwrap();
        assert_eq!((its, states.next()), (path.clone(), None));
        state
    };
    let expected = IndexState::Sound {
        next_offset: base_offset,
        bytes: 0,
    };
    assert_eq!(state().await, expected);
    for at in 0..sound.len() {
        let mut flipped = sound.clone();
        flipped[at] ^= 4;
        std::fs::write(&path, flipped).unwrap();
        let state = state().await;
        let is_told = matches!(state, IndexState::Damaged | IndexState::Newer { .. });
        assert!(is_told, "byte {at}: {state:?}");
    }
    // That of another place, sound by itself.
    let other = crate::segment::checkpoint_path(folder.path(), base_offset);
    std::fs::copy(other, &path).unwrap();
    assert!(matches!(state().await, IndexState::Wrong { .. }));
    std::fs::remove_file(&path).unwrap();
    assert_eq!(state().await, IndexState::Missing);
}

#[compio::test]
async fn what_a_compaction_has_not_written_to_its_end_is_named_and_harmless() {
    let folder = memory_folder();
    write_eventful(folder.path()).await;
    let [first, second] = [0, 1].map(|at| segments(folder.path())[at]);
    let before = look(folder.path()).await;
    let path = crate::segment::compacting_path(folder.path(), first, second);
    std::fs::write(&path, b"some of it").unwrap();
    let seen = look(folder.path()).await;
    let (last, others) = seen.findings.split_last().unwrap();
    let bytes = 10;
    let leftover = Finding::Leftover {
        path: path.clone(),
        bytes,
    };
    assert_eq!(*last, leftover);
    assert_eq!(others, before.findings);
    assert!(seen.damage().is_empty());
    let one = look_at(folder.path(), Known::default(), Scope::Segment(first)).await;
    assert!(!one.findings.contains(&leftover), "it is of no segment");
    open(folder.path()).await;
    assert!(!path.exists());
    assert_eq!(look(folder.path()).await.findings, before.findings);
}
