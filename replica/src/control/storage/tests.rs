use quorate_platform::Compio;
use quorate_vsr::group::{ClientTable, Content, Contents, Head, Membership};
use quorate_vsr::{NodeId, ViewNumber};

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
        membership: Membership::founded_by(&[NodeId(1)]),
        client_table: ClientTable::default(),
        state: b"state".to_vec(),
    })
}

/// Runs `jobs` as the node would and gives what was reported.
async fn run(folder: &Path, jobs: Vec<Job>) -> Vec<Event> {
    let (storage, _) = open(folder).await.unwrap();
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
    open(folder).await.unwrap().1
}

async fn open(folder: &Path) -> Result<(Storage<Compio>, Recovered), NodeError> {
    Storage::open(Compio, folder, NodeId(3)).await
}

/// The message with which the node does not start.
async fn refusal(folder: &Path) -> String {
    open(folder).await.unwrap_err().to_string()
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
async fn a_node_without_its_promises_is_refused_and_told_the_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let prepares = prepares(1);
    let mut jobs = vec![Job::Persist(superblock(1, Head::default()))];
    jobs.extend(prepares.iter().cloned().map(Job::Append));
    run(folder, jobs).await;
    let path = folder.join("superblock");
    std::fs::write(&path, vec![0xff; 4 * 4096]).unwrap();
    let error = refusal(folder).await;
    let remedy = "quorate cluster recover --node 3";
    assert!(
        error.contains("superblock") && error.contains(remedy),
        "{error}"
    );
    std::fs::remove_file(&path).unwrap();
    let error = refusal(folder).await;
    assert!(
        error.contains("superblock") && error.contains(remedy),
        "{error}"
    );
    // What was found did not change what is there.
    assert_eq!(refusal(folder).await, error);
}

#[compio::test]
async fn a_checkpoint_without_a_superblock_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let head = prepares(1)[0].head();
    run(
        folder.path(),
        vec![Job::PersistCheckpoint(checkpoint(head))],
    )
    .await;
    let error = refusal(folder.path()).await;
    assert!(error.contains("superblock"), "{error}");
}

/// A used folder: a superblock that names a checkpoint, and two prepares behind it.
async fn used(folder: &Path) -> (Head, Vec<Prepare>) {
    let prepares = prepares(3);
    let head = prepares[0].head();
    let jobs = vec![
        Job::Append(prepares[0].clone()),
        Job::PersistCheckpoint(checkpoint(head)),
        Job::Persist(superblock(1, head)),
        Job::Append(prepares[1].clone()),
        Job::Append(prepares[2].clone()),
    ];
    run(folder, jobs).await;
    (head, prepares)
}

#[compio::test]
async fn a_missing_or_damaged_checkpoint_is_left_to_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let (head, prepares) = used(folder.path()).await;
    let path = checkpoint::path_of(folder.path(), head.op);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[20] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let recovered = recover(folder.path()).await;
    assert_eq!(recovered.checkpoint, None);
    assert_eq!(recovered.superblock, Some(superblock(1, head)));
    assert_eq!(recovered.journal, prepares);
    std::fs::remove_file(&path).unwrap();
    assert_eq!(recover(folder.path()).await.checkpoint, None);
}

#[compio::test]
async fn a_missing_journal_is_left_to_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let (head, _) = used(folder.path()).await;
    std::fs::remove_file(folder.path().join("journal-1")).unwrap();
    for _ in 0..2 {
        let recovered = recover(folder.path()).await;
        assert_eq!(recovered.superblock, Some(superblock(1, head)));
        assert_eq!(recovered.checkpoint, Some(checkpoint(head)));
        assert_eq!(
            (recovered.journal, recovered.is_tail_uncertain),
            (vec![], true)
        );
    }
}

#[compio::test]
async fn a_new_file_of_the_journal_does_not_get_lost_unnoticed() {
    let folder = tempfile::tempdir().unwrap();
    let (head, prepares) = used(folder.path()).await;
    let below = head.op.next();
    run(folder.path(), vec![Job::TrimJournal { below }]).await;
    assert!(!recover(folder.path()).await.is_tail_uncertain);
    std::fs::remove_file(folder.path().join("journal-2")).unwrap();
    let recovered = recover(folder.path()).await;
    assert_eq!(recovered.journal, prepares);
    assert!(recovered.is_tail_uncertain);
}

#[compio::test]
async fn a_damaged_prepare_is_left_out_and_a_mended_one_is_back() {
    let folder = tempfile::tempdir().unwrap();
    let (_, prepares) = used(folder.path()).await;
    let path = folder.path().join("journal-1");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[2 * 512 + 99] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let recovered = recover(folder.path()).await;
    assert!(!recovered.is_tail_uncertain);
    let left = [prepares[0].clone(), prepares[2].clone()];
    assert_eq!(recovered.journal, left);
    let events = run(folder.path(), vec![Job::Mend(prepares[1].clone())]).await;
    let durable = Event::PrepareDurable {
        op: prepares[1].op,
        checksum: prepares[1].checksum,
    };
    assert_eq!(events, [durable]);
    assert_eq!(recover(folder.path()).await.journal, prepares);
}
