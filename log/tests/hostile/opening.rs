use std::path::Path;

use compio::runtime::Runtime;
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::FileFailurePersistence;
use quorate_log::{Inspection, Known, LogError, PartitionLog, Plan, Read, Scope};
use quorate_platform::Compio;

use crate::files::{BATCHES, Files, SETTINGS, seal_index};
use crate::mutation::mutations;

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig {
        cases,
        failure_persistence: Some(Box::new(FileFailurePersistence::WithSource("regressions"))),
        source_file: Some(file!()),
        ..ProptestConfig::default()
    }
}

/// What somebody may know of such a log.
fn known() -> impl Strategy<Value = Known> {
    let epoch_max = prop_oneof![Just(u32::MAX), Just(2), Just(0)];
    (0..2 * BATCHES + 2, epoch_max, any::<bool>()).prop_map(
        |(durable_offset, epoch_max, is_old)| Known {
            durable_offset,
            epoch_max,
            is_old,
            ..Known::default()
        },
    )
}

/// Looks at the log in `folder`, repairs it, and looks and opens it again.
pub(crate) async fn go_through(folder: &Path, known: Known, cuts: bool) {
    let mut repairs = plan(folder, known, cuts).await;
    for repair in &repairs {
        repair.run(&Compio, folder).await.unwrap();
    }
    // What one repair uncovers, the next one mends; and it comes to an end.
    for _ in 0..3 {
        repairs = plan(folder, known, cuts).await;
        for repair in &repairs {
            repair.run(&Compio, folder).await.unwrap();
        }
    }
    assert_eq!(plan(folder, known, cuts).await, [], "after {repairs:?}");
    open(folder, known).await;
}

async fn plan(folder: &Path, known: Known, cuts: bool) -> Vec<quorate_log::Repair> {
    let begun = Inspection::begin(Compio, folder, SETTINGS, known, Scope::All).await;
    let mut inspection = begun.unwrap();
    let mut plan = Plan::default();
    while let Some(finding) = inspection.next().await.unwrap() {
        plan.note(&finding);
    }
    let cut = plan.cut().filter(|_| cuts);
    let mut repairs = plan.repairs(inspection.ending());
    if let Some(cut) = cut {
        repairs.retain(|repair| cut.keeps(repair));
        // To cut where it is cut changes nothing, and what was durable is missing all the same.
        let before = cut
            .paths(folder)
            .into_iter()
            .map(|path| std::fs::read(path).ok());
        let before: Vec<_> = before.collect();
        cut.run(&Compio, folder).await.unwrap();
        let after = cut
            .paths(folder)
            .into_iter()
            .map(|path| std::fs::read(path).ok());
        if !after.eq(before) {
            repairs.push(cut);
        }
    }
    repairs
}

async fn open(folder: &Path, known: Known) {
    let inspected = PartitionLog::inspect(Compio, folder, SETTINGS, known).await;
    let log = match inspected {
        Ok(inspected) => inspected.settle().await,
        Err(error) => Err(error),
    };
    let mut log = match log {
        Ok(log) => log,
        Err(LogError::Damaged { .. } | LogError::Version { .. }) => return,
        Err(error) => panic!("{error}"),
    };
    let mut from = log.log_start_offset();
    while from < log.next_offset() {
        let read = match log.begin_read(from, 500, u64::MAX) {
            Read::Ready(batches) => Ok(batches),
            Read::Job(job) => job.run().await,
            Read::Damaged(range) => {
                assert!(range.to > from);
                from = range.to;
                continue;
            }
            Read::OutOfRange => panic!("offset {from} is out of range in {log:?}"),
        };
        match read {
            Ok(batches) => {
                // A batch that says it has more offsets than the log is not given out.
                let Some(last) = batches.last() else { return };
                from = quorate_batch::BatchHeader::validate(last)
                    .unwrap()
                    .next_offset();
            }
            // It is known from here on, and so nobody meets it again and again.
            Err(LogError::Damaged { offset, .. }) => {
                let surveyed = log.begin_survey(offset).run().await;
                let range = log.finish_survey(surveyed).unwrap();
                assert!(range.is_some(), "there is damage at {offset} in {log:?}");
            }
            Err(error) => panic!("{error}"),
        }
    }
}

fn run(files: &Files, known: Known, cuts: bool) {
    let folder = tempfile::tempdir().unwrap();
    files.write(folder.path());
    let runtime = Runtime::new().unwrap();
    runtime.block_on(go_through(folder.path(), known, cuts));
}

fn sound() -> Files {
    Runtime::new().unwrap().block_on(Files::sound())
}

/// Some bytes of one file are changed, with their checksums as they were or made to fit.
#[test]
fn changed_bytes_do_no_harm() {
    let sound = sound();
    let case = (
        any::<Index>(),
        mutations(),
        any::<bool>(),
        known(),
        any::<bool>(),
    );
    proptest!(config(1_500), |((file, mutations, seals, known, cuts) in case)| {
        let mut files = sound.clone();
        let file = file.index(files.files.len());
        for mutation in &mutations {
            mutation.apply(&mut files.files[file].1);
        }
        if seals {
            files.seal(file);
        }
        run(&files, known, cuts);
    });
}

/// Any bytes stand in the place of a file.
#[test]
fn any_bytes_do_no_harm() {
    let sound = sound();
    let bytes = prop::collection::vec(any::<u8>(), 0..600);
    let case = (any::<Index>(), bytes, any::<bool>(), known(), any::<bool>());
    proptest!(config(500), |((file, mut bytes, seals, known, cuts) in case)| {
        let mut files = sound.clone();
        let file = file.index(files.files.len());
        if seals {
            let head = files.files[file].1.iter().take(12);
            bytes.splice(0..0, head.copied());
            seal_index(&mut bytes);
        }
        files.files[file].1 = bytes;
        run(&files, known, cuts);
    });
}

/// What once did harm does none any more.
#[test]
fn the_corpus_does_no_harm() {
    let sound = sound();
    for (kind, ending) in [("segment", ".log"), ("index", ".index")] {
        for (path, bytes) in crate::corpus::of(kind) {
            for file in sound.of_kind(ending) {
                let mut files = sound.clone();
                files.files[file].1.clone_from(&bytes);
                println!("{} as {}", path.display(), files.files[file].0);
                for cuts in [false, true] {
                    run(&files, Known::default(), cuts);
                }
            }
        }
    }
}
