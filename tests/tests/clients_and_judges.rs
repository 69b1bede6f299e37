//! The clients and the judges of the simulation at real nodes, of which one dies meanwhile.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use quorate_client::ClientConfig;
use quorate_jepsen::{Cluster, Keys, check};
use quorate_platform::{Compio, Tasks};
use quorate_tests::simulation::oracle::facts;
use quorate_tests::simulation::oracle::replicas::{Copy, compare};
use quorate_tests::simulation::workload::settle::{Settled, settle};
use quorate_tests::simulation::workload::{
    Desk, Fate, Topic, Workload, administer, consume, produce,
};
use quorate_tests::{assert_no_panic, cluster_of_small_segments, sure, take_turn};
use rand::SeedableRng;
use rand::rngs::ChaCha8Rng;

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

/// Compares the copies of all partitions after the nodes have stopped.
fn compare_copies(cluster: &Cluster, settled: &[Settled]) {
    for Settled { partition, holders } in settled {
        let folders = holders.iter().map(|node| {
            let data_dir = &cluster.description(*node).data_dir;
            (*node, files(data_dir, partition.id))
        });
        let folders: Vec<_> = folders.collect();
        let copies: Vec<_> = folders
            .iter()
            .map(|(node, files)| Copy::read(*node, partition.id, files))
            .collect();
        assert_eq!(copies.len(), 3);
        let found: Vec<_> = compare(partition, &copies)
            .iter()
            .map(ToString::to_string)
            .collect();
        assert!(found.is_empty(), "{partition:?}: {found:#?}");
        let end = copies[0].next_offset();
        assert_eq!(end, partition.high_watermark, "{partition:?}");
    }
}

fn judge<P: quorate_client::Platform>(desk: &Desk<P>) {
    let tallies = desk.ledger.tallies();
    for kind in [
        "append",
        "read",
        "create topic",
        "delete topic",
        "delete records",
    ] {
        assert!(
            tallies.get(kind).is_some_and(|it| it.done > 0),
            "{kind}: {tallies:?}"
        );
    }
    let history = desk.ledger.take_history();
    let found: Vec<_> = check(&history).iter().map(ToString::to_string).collect();
    assert!(found.is_empty(), "{found:#?}\n{tallies:#?}");
    let found: Vec<_> = desk.ledger.take_control().check();
    assert!(found.is_empty(), "{found:#?}");
    let found: Vec<_> = facts::check(&desk.ledger.take_seen());
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn real_nodes_keep_their_promises_to_the_clients_of_the_simulation() {
    let _turn = take_turn();
    let mut cluster = cluster_of_small_segments();
    let bootstrap = cluster.command_line().bootstrap().to_owned();
    let config = ClientConfig::new(bootstrap.split(','));
    let runtime = compio::runtime::Runtime::new().unwrap();
    let settled = runtime.block_on(async {
        let mut workload = Workload::new(Compio, config, 7);
        let keys = Keys {
            count: 20,
            tombstone_every: 10,
            tombstones_stay: Duration::from_secs(2),
        };
        let kept = workload.create(&topic("kept", Fate::Kept)).await;
        let trimmed = workload.create(&topic("trimmed", Fate::Kept)).await;
        let compacted = workload
            .create(&topic("compacted", Fate::Compacted(keys)))
            .await;
        let mortal = topic("mortal", Fate::Kept);
        let all = [kept.clone(), trimmed.clone(), compacted.clone()].concat();
        let habits = (produce::Habits::default(), consume::Habits::default());
        for _ in 0..2 {
            workload.start(|desk, random| {
                produce::produce(desk, random, all.clone(), habits.0.clone())
            });
            for targets in [&kept, &trimmed, &compacted] {
                workload.start(|desk, random| {
                    consume::consume(desk, random, targets.clone(), habits.1.clone())
                });
            }
            let names = vec!["one".to_owned(), "two".to_owned()];
            workload.start(|desk, random| administer::juggle(desk, random, names, 0..=100));
        }
        workload.start(|desk, random| administer::recreate(desk, random, mortal, habits));
        workload.start(|desk, random| {
            administer::delete_records(desk, random, trimmed.clone(), 100..=1000)
        });
        let names = ["kept", "trimmed", "compacted"].map(str::to_owned).to_vec();
        workload.start(|desk, random| administer::watch(desk, random, names, 0..=300));
        Compio.sleep(Duration::from_secs(3)).await;
        sure(cluster.kill(1));
        Compio.sleep(Duration::from_secs(4)).await;
        sure(cluster.restart(1));
        Compio.sleep(Duration::from_secs(3)).await;
        let desk = workload.finish().await;
        let conclusion = settle(&desk, ChaCha8Rng::seed_from_u64(8), &all, BOUND).await;
        assert!(conclusion.problems.is_empty(), "{:#?}", conclusion.problems);
        judge(&desk);
        conclusion.settled
    });
    assert_eq!(settled.len(), 6);
    sure(cluster.interrupt());
    compare_copies(&cluster, &settled);
    assert_no_panic(&cluster);
}
