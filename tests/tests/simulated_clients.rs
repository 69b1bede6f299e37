//! Clients of all kinds at a simulated cluster whose nodes crash, and all judges.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use quorate_client::ClientConfig;
use quorate_jepsen::Keys;
use quorate_platform::Tasks;
use quorate_tests::simulation::oracle::Verdict;
use quorate_tests::simulation::sometimes::{Sometimes, listen, take_heard};
use quorate_tests::simulation::workload::settle::{Damage, settle};
use quorate_tests::simulation::workload::{
    Fate, Target, Topic, Workload, administer, consume, produce,
};
use quorate_tests::simulation::{Cluster, Shape, SimPlatform, partition_folder};
use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};

const BOUND: Duration = Duration::from_secs(60);
const PATIENCE: Duration = Duration::from_secs(600);

fn topic(name: &str, fate: Fate) -> Topic {
    Topic {
        name: name.to_owned(),
        partitions: 2,
        replication: 3,
        fate,
    }
}

/// Clients of every kind, at topics of every kind; the partitions to which they write.
async fn start(workload: &mut Workload<SimPlatform>) -> Vec<Target> {
    let keys = Keys {
        count: 20,
        tombstone_every: 10,
        tombstones_stay: Duration::from_secs(5),
    };
    let mut all = Vec::new();
    for (name, fate) in [
        ("kept", Fate::Kept),
        ("trimmed", Fate::Kept),
        ("compacted", Fate::Compacted(keys)),
    ] {
        let targets = workload.create(&topic(name, fate)).await;
        let read = targets.clone();
        workload.start(|desk, random| consume::consume(desk, random, read, Default::default()));
        if name == "trimmed" {
            let trimmed = targets.clone();
            workload.start(|desk, random| {
                administer::delete_records(desk, random, trimmed, 500..=4000)
            });
        }
        all.extend(targets);
    }
    let written = all.clone();
    workload.start(|desk, random| produce::produce(desk, random, written, Default::default()));
    for _ in 0..2 {
        let names = vec!["one".to_owned(), "two".to_owned()];
        workload.start(|desk, random| administer::juggle(desk, random, names, 0..=500));
    }
    let mortal = topic("mortal", Fate::Kept);
    workload.start(|desk, random| administer::recreate(desk, random, mortal, Default::default()));
    let names = vec!["kept".to_owned(), "compacted".to_owned()];
    workload.start(|desk, random| administer::watch(desk, random, names, 100..=1000));
    workload.start(|desk, random| {
        administer::transfer_primary(desk, random, vec![1, 2, 3], 1000..=9000)
    });
    all
}

type Folders = BTreeMap<(u16, u64), BTreeMap<String, Vec<u8>>>;

/// A run: work while nodes crash, come to rest, judgement. What happened, in one number.
fn run(seed: u64, sometimes: &mut Sometimes) -> u64 {
    listen();
    let mut shape = Shape::default();
    shape.storage.segment_bytes = 1 << 16;
    let mut cluster = Cluster::new(seed, &shape);
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut config = ClientConfig::new(cluster.bootstrap());
    config.operation_timeout = Duration::from_millis(random.random_range(1000..15_000));
    let is_over = Rc::new(Cell::new(false));
    let verdict = Rc::new(RefCell::new(None));
    let (over, told) = (Rc::clone(&is_over), Rc::clone(&verdict));
    let disks: Vec<_> = cluster
        .node_ids()
        .map(|node| (node, cluster.disk(node), cluster.config(node).clone()))
        .collect();
    cluster.spawn(move |platform| async move {
        let mut workload = Workload::new(platform.clone(), config, seed);
        let all = start(&mut workload).await;
        while !over.get() {
            platform.sleep(Duration::from_millis(100)).await;
        }
        let desk = workload.finish().await;
        let random = ChaCha8Rng::seed_from_u64(seed);
        let conclusion = settle(&desk, random, &all, BOUND, Damage::None).await;
        let mut folders = Folders::new();
        for settled in &conclusion.settled {
            let id = settled.partition.id;
            for (node, disk, config) in &disks {
                let folder = partition_folder(config, id);
                folders.insert((*node, id), disk.folder(&folder));
            }
        }
        let judged = Verdict::of(&desk.ledger, &conclusion, |node, id| {
            folders.get(&(node, id)).cloned().unwrap_or_default()
        });
        platform.note(format!("{:?}", desk.ledger.tallies()));
        *told.borrow_mut() = Some(judged);
    });
    for _ in 0..6 {
        cluster
            .run_for(Duration::from_millis(random.random_range(2000..8000)))
            .unwrap();
        let node = random.random_range(1..=3);
        cluster.crash(node);
        cluster
            .run_for(Duration::from_millis(random.random_range(100..5000)))
            .unwrap();
        cluster.start(node);
        take_heard().iter().for_each(|heard| sometimes.count(heard));
    }
    is_over.set(true);
    let is_judged = |_: &Cluster| verdict.borrow().is_some();
    let is_judged = cluster.run_until(PATIENCE, is_judged).unwrap();
    assert!(is_judged, "seed {seed}: {}", cluster.trace().timeline());
    let verdict = verdict.take().unwrap();
    assert_eq!(verdict, Verdict::Pass, "seed {seed}: {verdict}");
    assert_eq!(cluster.ended(), [], "seed {seed}");
    take_heard().iter().for_each(|heard| sometimes.count(heard));
    cluster.trace().hash()
}

#[test]
fn crashes_break_no_promise_to_any_client() {
    let mut sometimes = Sometimes::default();
    for seed in 1..=3 {
        run(seed, &mut sometimes);
    }
    let happened: BTreeMap<_, _> = sometimes.rows().collect();
    for name in [
        "a view change begins",
        "a leader opens",
        "records are deleted on request",
        "a partition is removed from a node",
    ] {
        assert!(happened[name] > 0, "{name} has never happened\n{sometimes}");
    }
}

#[test]
fn one_seed_is_one_run_with_all_clients() {
    let run = |seed| run(seed, &mut Sometimes::default());
    assert_eq!(run(7), run(7));
}
