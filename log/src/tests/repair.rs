//! What is mended without other replicas, and what is not.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use quorate_platform::Compio;

use super::inspection::{Seen, look, look_at};
use super::scene::*;
use crate::{DamageKind, Ending, IndexState, Known, Plan, Repair, Scope};

/// What `quorate log repair` does: looks, plans, does. Gives what was done.
async fn repair(folder: &Path, known: Known, cuts: bool) -> Vec<Repair> {
    let seen = look_at(folder, known, Scope::All).await;
    let plan: Plan = seen.plan();
    let cut = plan.cut().filter(|_| cuts);
    let mut repairs = plan.repairs(&seen.ending);
    if let Some(cut) = cut {
        repairs.retain(|repair| cut.keeps(repair));
        repairs.push(cut);
    }
    for repair in &repairs {
        repair.run(&Compio, folder).await.unwrap();
        // As after a crash: what was done is done again.
        repair.run(&Compio, folder).await.unwrap();
    }
    repairs
}

fn kinds(seen: &Seen) -> Vec<DamageKind> {
    seen.damage()
        .into_iter()
        .map(|(_, piece)| piece.kind)
        .collect()
}

async fn assert_sound(folder: &Path, all: &[Bytes]) {
    let seen = look(folder).await;
    assert!(matches!(seen.ending, Ending::Whole), "{:?}", seen.damage());
    assert_eq!((seen.damage(), seen.indexes()), (Vec::new(), Vec::new()));
    assert_eq!(repair(folder, Known::default(), true).await, []);
    let log = open(folder).await;
    assert!(read_all(&log).await.unwrap() == all, "{log:?}");
}

/// A log of three segments. Gives the path of each.
async fn three(folder: &Path) -> (Vec<Bytes>, Vec<PathBuf>) {
    let all = batches(19);
    write(folder, &all).await;
    // Opening it cuts the room behind the last batch.
    open(folder).await;
    let paths = segments(folder);
    let paths = paths
        .iter()
        .map(|base| folder.join(format!("{base:020}.log")));
    (all, paths.collect())
}

fn change(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = std::fs::read(path).unwrap();
    change(&mut bytes);
    std::fs::write(path, bytes).unwrap();
}

#[compio::test]
async fn a_damaged_frame_is_written_anew_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let (all, paths) = three(folder.path()).await;
    let sound: Vec<_> = paths
        .iter()
        .map(|path| std::fs::read(path).unwrap())
        .collect();
    // A head, and the checksums of another frame.
    let start = place(&sound[0], &all[1]);
    change(&paths[0], |bytes| {
        bytes[start - frame_len(&all[1]) + 2] ^= 1
    });
    let start = place(
        &sound[1],
        all.iter().find(|it| is_in(&sound[1], it)).unwrap(),
    );
    change(&paths[1], |bytes| bytes[start - 3] ^= 1);
    let seen = look(folder.path()).await;
    assert_eq!(kinds(&seen), [DamageKind::Frame, DamageKind::Checksums]);
    let done = repair(folder.path(), Known::default(), false).await;
    assert_eq!(done.len(), 2, "{done:?}");
    for (path, sound) in paths.iter().zip(&sound) {
        assert!(&std::fs::read(path).unwrap() == sound, "{}", path.display());
    }
    assert_sound(folder.path(), &all).await;
}

fn is_in(segment: &[u8], batch: &[u8]) -> bool {
    segment.windows(batch.len()).any(|bytes| bytes == batch)
}

#[compio::test]
async fn a_torn_end_is_cut_and_the_log_goes_on_behind_it() {
    let folder = tempfile::tempdir().unwrap();
    let (all, paths) = three(folder.path()).await;
    let last = paths.last().unwrap();
    let whole = std::fs::read(last).unwrap();
    for len in whole.len() - 100..whole.len() {
        std::fs::write(last, &whole[..len]).unwrap();
        let seen = look(folder.path()).await;
        assert!(matches!(seen.ending, Ending::Torn), "{len}");
        assert_eq!(kinds(&seen), [DamageKind::Torn], "{len}");
        let done = repair(folder.path(), Known::default(), false).await;
        let [Repair::Torn { end, .. }] = &done[..] else {
            panic!("{done:?}")
        };
        assert_eq!(*end, len as u64);
        assert_sound(folder.path(), &all[..18]).await;
        for name in names(folder.path()) {
            if name.ends_with(".index") && name[..20] == *last.file_stem().unwrap() {
                std::fs::remove_file(folder.path().join(name)).unwrap();
            }
        }
    }
}

#[compio::test]
async fn zeros_behind_the_log_are_room_and_noise_is_a_damaged_end() {
    let folder = tempfile::tempdir().unwrap();
    let (all, paths) = three(folder.path()).await;
    let last = paths.last().unwrap();
    change(last, |bytes| bytes.extend([7; 700]));
    let seen = look(folder.path()).await;
    assert!(matches!(seen.ending, Ending::Uncertain));
    assert_eq!(kinds(&seen), [DamageKind::End]);
    assert_eq!(repair(folder.path(), Known::default(), false).await, []);
    let done = repair(folder.path(), Known::default(), true).await;
    assert!(
        matches!(done[..], [Repair::Cut { offset: 38, .. }]),
        "{done:?}"
    );
    assert_sound(folder.path(), &all).await;
    // In a segment with a successor it is only in the way of nothing.
    change(&paths[0], |bytes| bytes.extend([0; 700]));
    assert_eq!(kinds(&look(folder.path()).await), []);
    change(&paths[0], |bytes| bytes.extend([7; 7]));
    let seen = look(folder.path()).await;
    assert_eq!(kinds(&seen), [DamageKind::Rest]);
    assert_eq!(seen.damage()[0].1.offsets, None);
    assert_eq!(seen.batches().len(), all.len());
}

#[compio::test]
async fn damaged_batches_stay_unless_everything_behind_is_given_up() {
    let source = tempfile::tempdir().unwrap();
    let (all, paths) = three(source.path()).await;
    let known = Known {
        durable_offset: 38,
        ..Known::default()
    };
    for (at, batch) in all.iter().enumerate() {
        let folder = tempfile::tempdir().unwrap();
        copy(source.path(), folder.path());
        let holds = |path: &&PathBuf| is_in(&std::fs::read(path).unwrap(), batch);
        let path = folder
            .path()
            .join(paths.iter().find(holds).unwrap().file_name().unwrap());
        change(&path, |bytes| {
            let start = place(bytes, batch);
            bytes[start + 70] ^= 1;
        });
        let before = std::fs::read(&path).unwrap();
        assert_eq!(repair(folder.path(), known, false).await, [], "batch {at}");
        assert!(std::fs::read(&path).unwrap() == before);
        let done = repair(folder.path(), known, true).await;
        let [Repair::Cut { offset, .. }] = done[..] else {
            panic!("batch {at}: {done:?}")
        };
        assert_eq!(offset, 2 * at as u64);
        assert_sound(folder.path(), &all[..at]).await;
    }
}

#[compio::test]
async fn a_missing_segment_is_named_with_its_offsets() {
    let source = tempfile::tempdir().unwrap();
    let (all, paths) = three(source.path()).await;
    let bases = segments(source.path());
    for (at, path) in paths.iter().enumerate() {
        let folder = tempfile::tempdir().unwrap();
        copy(source.path(), folder.path());
        std::fs::remove_file(folder.path().join(path.file_name().unwrap())).unwrap();
        let seen = look(folder.path()).await;
        let damage = seen.damage();
        let [(_, piece)] = &damage[..] else {
            panic!("segment {at}: {damage:?}")
        };
        match bases.get(at + 1) {
            Some(next) => {
                assert_eq!(piece.kind, DamageKind::Batches);
                assert_eq!(piece.offsets, Some((bases[at], Some(*next))));
            }
            None => {
                assert_eq!(piece.kind, DamageKind::End);
                assert_eq!(piece.offsets, Some((bases[at], None)));
            }
        }
        let kept = all.iter().filter(|batch| {
            let offset = header(batch).base_offset;
            offset < bases[at] || bases.get(at + 1).is_some_and(|next| offset >= *next)
        });
        assert_eq!(seen.batches().len(), kept.count(), "segment {at}");
    }
}

#[compio::test]
async fn an_index_that_lies_is_found_and_goes() {
    let folder = tempfile::tempdir().unwrap();
    let (all, _) = three(folder.path()).await;
    // Sound by itself, but of a log in which something else was written.
    let other = tempfile::tempdir().unwrap();
    let value = "another value of the same length".split_at(16).0;
    let others: Vec<_> = (0..19)
        .map(|at| batch(2 * at, 2, &[value, value]))
        .collect();
    write(other.path(), &others).await;
    let names = names(folder.path());
    for name in names.iter().filter(|name| name.ends_with(".index")) {
        let sound = std::fs::read(folder.path().join(name)).unwrap();
        std::fs::copy(other.path().join(name), folder.path().join(name)).unwrap();
        let seen = look(folder.path()).await;
        let states = seen.indexes();
        // The newest one is believed in what it says of the epochs of all.
        if !matches!(states[..], [IndexState::Wrong { .. }]) {
            assert!(
                states
                    .iter()
                    .all(|it| matches!(it, IndexState::Unconfirmed { .. }))
            );
            assert_ne!(seen.damage(), []);
            std::fs::write(folder.path().join(name), sound).unwrap();
            continue;
        }
        let done = repair(folder.path(), Known::default(), false).await;
        assert!(
            matches!(done[..], [Repair::Index { .. }]),
            "{name}: {done:?}"
        );
        assert!(!folder.path().join(name).exists());
        let log = open(folder.path()).await;
        assert!(read_all(&log).await.unwrap() == all, "{name}");
    }
}

/// Flushes that were cut later on know of sectors that hold something else now.
#[compio::test]
async fn what_was_written_where_a_flush_was_cut_is_sound() {
    let all = batches(8);
    for to in 1..8 {
        let folder = tempfile::tempdir().unwrap();
        let mut log = open(folder.path()).await;
        all.iter().for_each(|batch| log.append(batch.clone()));
        while log.has_pending() {
            flush(&mut log).await;
        }
        truncate(&mut log, 2 * to).await;
        let behind = [batch(2 * to, 2, &["x"]), batch(2 * to + 1, 3, &["y", "z"])];
        for batch in &behind {
            log.append(batch.clone());
            flush(&mut log).await;
        }
        drop(log);
        let expected = [&all[..to as usize], &behind].concat();
        assert_sound(folder.path(), &expected).await;
    }
}
