use quorate_platform::Compio;
use quorate_vsr::ViewNumber;
use quorate_vsr::group::{ClientTable, Content, Contents, Head};

use super::*;

fn prepares(count: u64) -> Vec<Prepare> {
    let mut head = Head::default();
    let mut prepares = Vec::new();
    for number in 0..count {
        let operation = format!("operation {number}").into_bytes();
        let prepare = Prepare::new(head, ViewNumber(1), Content::Proposal { operation });
        head = prepare.head();
        prepares.push(prepare);
    }
    prepares
}

fn superblock(sequence: u64, checkpoint: Head) -> Superblock {
    Superblock {
        sequence,
        view: ViewNumber(sequence),
        checkpoint,
        ..Superblock::default()
    }
}

fn checkpoint(head: Head) -> Checkpoint {
    Checkpoint::new(&Contents {
        head,
        client_table: ClientTable::default(),
        state: b"state".to_vec(),
    })
}

/// Runs `jobs` as the node would and gives what was reported.
async fn run(folder: &Path, jobs: Vec<Job>) -> Vec<Event> {
    let (storage, _) = Storage::open(Compio, folder).await.unwrap();
    let (sender, receiver) = flume::unbounded();
    let (done, reports) = flume::unbounded();
    for job in jobs {
        sender.send(job).unwrap();
    }
    drop(sender);
    storage.run(receiver, done).await;
    reports.into_iter().map(Result::unwrap).collect()
}

async fn recover(folder: &Path) -> Recovered {
    Storage::open(Compio, folder).await.unwrap().1
}

#[compio::test]
async fn an_unused_folder_gives_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("control");
    assert_eq!(recover(&folder).await, Recovered::default());
    assert_eq!(recover(&folder).await, Recovered::default());
}

#[compio::test]
async fn what_was_reported_as_durable_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let prepares = prepares(3);
    let mut jobs = vec![Job::Persist(superblock(1, Head::default()))];
    jobs.extend(prepares.iter().cloned().map(Job::Append));
    let events = run(folder.path(), jobs).await;
    let mut expected = vec![Event::SuperblockDurable { sequence: 1 }];
    expected.extend(prepares.iter().map(|p| Event::PrepareDurable {
        op: p.op,
        checksum: p.checksum,
    }));
    assert_eq!(events, expected);
    let recovered = recover(folder.path()).await;
    assert_eq!(recovered.superblock, Some(superblock(1, Head::default())));
    assert_eq!(recovered.journal, prepares);
}

#[compio::test]
async fn the_checkpoint_that_the_superblock_names_comes_back_and_the_journal_follows_it() {
    let folder = tempfile::tempdir().unwrap();
    let prepares = prepares(6);
    let (first, second) = (prepares[1].head(), prepares[3].head());
    let mut jobs: Vec<_> = prepares[..4].iter().cloned().map(Job::Append).collect();
    jobs.extend([
        Job::PersistCheckpoint(checkpoint(first)),
        Job::Persist(superblock(1, first)),
        Job::TrimJournal {
            below: first.op.next(),
        },
        Job::Append(prepares[4].clone()),
        Job::Append(prepares[5].clone()),
        Job::PersistCheckpoint(checkpoint(second)),
    ]);
    run(folder.path(), jobs).await;
    assert_eq!(
        recover(folder.path()).await.checkpoint,
        Some(checkpoint(first))
    );
    let named = vec![
        Job::Persist(superblock(2, second)),
        Job::TrimJournal {
            below: second.op.next(),
        },
    ];
    run(folder.path(), named).await;
    let recovered = recover(folder.path()).await;
    assert_eq!(recovered.checkpoint, Some(checkpoint(second)));
    assert_eq!(recovered.journal, prepares[4..]);
    assert!(!checkpoint::path_of(folder.path(), first.op).exists());
}

#[compio::test]
async fn a_journal_without_its_superblock_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    run(
        folder.path(),
        prepares(1).into_iter().map(Job::Append).collect(),
    )
    .await;
    let error = Storage::open(Compio, folder.path())
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("superblock") && error.contains("restore"),
        "{error}"
    );
}

#[compio::test]
async fn a_missing_or_damaged_checkpoint_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let prepares = prepares(1);
    let head = prepares[0].head();
    let jobs = vec![
        Job::Append(prepares[0].clone()),
        Job::PersistCheckpoint(checkpoint(head)),
        Job::Persist(superblock(1, head)),
    ];
    run(folder.path(), jobs).await;
    let path = checkpoint::path_of(folder.path(), head.op);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[20] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let error = Storage::open(Compio, folder.path())
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("checkpoint-1"), "{error}");
    std::fs::remove_file(&path).unwrap();
    assert!(Storage::open(Compio, folder.path()).await.is_err());
}
