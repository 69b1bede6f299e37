//! The clients and the judges of the simulation at real nodes, of which one dies meanwhile.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use quorate_client::{ClientConfig, Platform};
use quorate_jepsen::{Cluster, Keys};
use quorate_platform::{Compio, Tasks};
use quorate_tests::simulation::oracle::Verdict;
use quorate_tests::simulation::oracle::replicas::{Copy, compare};
use quorate_tests::simulation::workload::settle::{Damage, Settled, settle};
use quorate_tests::simulation::workload::{
    Desk, Fate, Target, Topic, Workload, administer, consume, members, produce,
};
use quorate_tests::{assert_no_panic, cluster_of_small_segments, sure, take_turn};
use rand::SeedableRng;
use rand::rngs::ChaCha8Rng;

const KEYS: Keys = Keys {
    count: 20,
    tombstone_every: 10,
    tombstones_stay: Duration::from_secs(2),
};
/// What is one second old may go; the clock of the nodes is the clock of the clients.
const EXPIRING: Fate = Fate::Expiring {
    after: Duration::from_secs(2),
    not_before: Duration::from_secs(1),
};
const BOUND: Duration = Duration::from_secs(40);

fn topic(name: &str, fate: Fate) -> Topic {
    Topic {
        name: name.to_owned(),
        partitions: 2,
        replication: 3,
        fate,
    }
}

/// The bytes of a partition's folder on a node, by the names of the files.
fn files(data_dir: &Path, partition: u64) -> BTreeMap<String, Vec<u8>> {
    let folder = data_dir.join(format!("shard-0/partitions/{partition}"));
    let entries = fs::read_dir(folder).into_iter().flatten();
    entries
        .map(|entry| {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            (name, fs::read(entry.path()).unwrap())
        })
        .collect()
}

/// Something of every kind has succeeded, or the judges would have nothing to judge.
fn assert_everything_happened<P: Platform>(desk: &Desk<P>) {
    let tallies = desk.ledger.tallies();
    for kind in [
        "append",
        "read",
        "create topic",
        "delete topic",
        "delete records",
    ] {
        let tally = tallies.get(kind);
        assert!(tally.is_some_and(|it| it.done > 0), "{kind}: {tallies:?}");
    }
}

/// Bytes that are spoilt in one copy do not go unseen: so it was these bytes that were compared.
fn assert_spoilt_copy_is_found(cluster: &Cluster, settled: &[Settled]) {
    let Settled { partition, holders } = &settled[0];
    let mut folders = holders
        .iter()
        .map(|node| files(&cluster.description(*node).data_dir, partition.id));
    let (first, mut other) = (folders.next().unwrap(), folders.next().unwrap());
    let end = |files| Copy::read(1, partition.id, files).next_offset();
    assert_eq!([end(&first), end(&other)], [partition.high_watermark; 2]);
    let batch = Copy::read(2, partition.id, &other).batches[0]
        .bytes
        .to_vec();
    let mut logs = other.iter_mut().filter(|(name, _)| name.ends_with(".log"));
    let (_, bytes) = logs.next().unwrap();
    let at = bytes.windows(batch.len()).position(|bytes| bytes == batch);
    bytes[at.unwrap() + batch.len() - 1] ^= 1;
    let copies = [
        Copy::read(1, partition.id, &first),
        Copy::read(2, partition.id, &other),
    ];
    assert!(!compare(partition, &copies).is_empty());
}

/// Clients of every kind, at topics of every kind; the partitions to which they write.
async fn start(workload: &mut Workload<Compio>) -> Vec<Target> {
    let fates = [
        ("kept", Fate::Kept),
        ("trimmed", Fate::Kept),
        ("expiring", EXPIRING),
        ("compacted", Fate::Compacted(KEYS)),
    ];
    let (mut all, mut names) = (Vec::new(), Vec::new());
    for (name, fate) in fates {
        let targets = workload.create(&topic(name, fate)).await;
        names.push(name.to_owned());
        for _ in 0..2 {
            let read = targets.clone();
            workload.start(|desk, random| consume::consume(desk, random, read, Default::default()));
        }
        if name == "trimmed" {
            let trimmed = targets.clone();
            workload.start(|desk, random| {
                administer::delete_records(desk, random, trimmed, 100..=1000)
            });
        }
        all.extend(targets);
    }
    for _ in 0..2 {
        let written = all.clone();
        workload.start(|desk, random| produce::produce(desk, random, written, Default::default()));
        let names = vec!["one".to_owned(), "two".to_owned()];
        workload.start(|desk, random| administer::juggle(desk, random, names, 0..=100));
    }
    let mortal = topic("mortal", Fate::Kept);
    workload.start(|desk, random| administer::recreate(desk, random, mortal, Default::default()));
    workload.start(|desk, random| administer::watch(desk, random, names, 0..=300));
    workload.ledger().note_founders(&[1, 2, 3]);
    workload.start(|desk, random| {
        administer::transfer_primary(desk, random, vec![1, 2, 3], 500..=2000)
    });
    workload.start(|desk, random| {
        members::change_members(desk, random, Vec::new(), vec![1, 2, 3, 4], 0..=300)
    });
    all
}

#[test]
fn real_nodes_keep_their_promises_to_the_clients_of_the_simulation() {
    let _turn = take_turn();
    let mut cluster = cluster_of_small_segments();
    let bootstrap = cluster.command_line().bootstrap().to_owned();
    let config = ClientConfig::new(bootstrap.split(','));
    let runtime = compio::runtime::Runtime::new().unwrap();
    let (ledger, conclusion) = runtime.block_on(async {
        let mut workload = Workload::new(Compio, config, 7);
        let all = start(&mut workload).await;
        Compio.sleep(Duration::from_secs(3)).await;
        sure(cluster.kill(1));
        Compio.sleep(Duration::from_secs(4)).await;
        sure(cluster.restart(1));
        Compio.sleep(Duration::from_secs(3)).await;
        let desk = workload.finish().await;
        let conclusion = settle(
            &desk,
            ChaCha8Rng::seed_from_u64(8),
            &all,
            BOUND,
            Damage::None,
        )
        .await;
        assert_everything_happened(&desk);
        (desk.ledger, conclusion)
    });
    sure(cluster.interrupt());
    let folder = |node, partition| files(&cluster.description(node).data_dir, partition);
    let verdict = Verdict::of(&ledger, &conclusion, folder);
    assert_eq!(verdict, Verdict::Pass, "{verdict}");
    assert_eq!(conclusion.settled.len(), 8);
    assert_spoilt_copy_is_found(&cluster, &conclusion.settled);
    assert_no_panic(&cluster);
}
