//! Whole clusters in simulation: they work, and one seed is one run.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use quorate_client::{
    Client, ClientConfig, Consumer, ConsumerConfig, ProducerConfig, Record, Until,
};
use quorate_platform::{BufResult, Listener, Network, Reader, Tasks, Writer};
use quorate_tests::simulation::{CLIENTS, Cluster, Shape, SimPlatform, host_name};

const TOPIC: &str = "orders";
const PARTITIONS: u32 = 4;
const RECORDS: u64 = 300;
const PATIENCE: Duration = Duration::from_secs(60);

/// What the client has come to, for whoever steps the cluster.
#[derive(Debug, Default)]
struct Progress {
    acknowledged: u64,
    read: Vec<String>,
    is_done: bool,
}

async fn create(platform: SimPlatform, config: ClientConfig) -> Client<SimPlatform> {
    let client = Client::connect(platform.clone(), config).await.unwrap();
    // Until all nodes have heard of each other there are too few for three replicas.
    while let Err(error) = client.create_topic(TOPIC, PARTITIONS, 3).await {
        platform.note(format!("no topic yet: {error}"));
        platform.sleep(Duration::from_millis(100)).await;
    }
    client
}

async fn write_and_read(
    platform: SimPlatform,
    config: ClientConfig,
    progress: Rc<RefCell<Progress>>,
) {
    let client = create(platform.clone(), config).await;
    let producer = client.producer(ProducerConfig::default()).await.unwrap();
    for number in 0..RECORDS {
        let record = Record::new(format!("record {number}"));
        let ack = producer.send(TOPIC, record).await.unwrap().await.unwrap();
        platform.note(format!("record {number} at {:?}", ack.offset));
        progress.borrow_mut().acknowledged += 1;
    }
    let until = ConsumerConfig {
        until: Until::HighWatermark,
        ..ConsumerConfig::default()
    };
    let mut consumer: Consumer<_> = client.consumer(TOPIC, until).await.unwrap();
    while let Some(record) = consumer.next().await.unwrap() {
        let text = String::from_utf8(record.value.unwrap().to_vec()).unwrap();
        platform.note(format!("read {text}"));
        progress.borrow_mut().read.push(text);
    }
    progress.borrow_mut().is_done = true;
}

/// A run with a crash in its middle; what happened, in one number.
fn run(seed: u64) -> u64 {
    let mut cluster = Cluster::new(seed, &Shape::default());
    let progress = Rc::new(RefCell::new(Progress::default()));
    let (config, shared) = (ClientConfig::new(cluster.bootstrap()), Rc::clone(&progress));
    cluster.spawn(|platform| write_and_read(platform, config, shared));
    let has_written = |part: u64| {
        let progress = Rc::clone(&progress);
        move |_: &Cluster| progress.borrow().acknowledged >= part
    };
    for (written, node) in [(RECORDS / 4, 1), (RECORDS / 2, 2)] {
        let reached = cluster.run_until(PATIENCE, has_written(written));
        assert!(reached.unwrap(), "{}", cluster.trace().timeline());
        cluster.crash(node);
        cluster.run_for(Duration::from_secs(1)).unwrap();
        cluster.start(node);
    }
    let is_done = |_: &Cluster| progress.borrow().is_done;
    let done = cluster.run_until(PATIENCE, is_done).unwrap();
    assert!(done, "{}", cluster.trace().timeline());
    let mut read = progress.borrow().read.clone();
    read.sort();
    let mut written: Vec<_> = (0..RECORDS).map(|n| format!("record {n}")).collect();
    written.sort();
    assert_eq!(read, written);
    assert_eq!(cluster.ended(), []);
    cluster.trace().hash()
}

#[test]
fn a_cluster_keeps_what_it_acknowledged_while_nodes_crash() {
    for seed in 100..104 {
        run(seed);
    }
}

#[test]
fn one_seed_is_one_run() {
    let first = run(1);
    assert_eq!(first, run(1));
    assert_ne!(first, run(2));
}

#[test]
fn a_node_stops_in_order_and_comes_back() {
    let mut cluster = Cluster::new(5, &Shape::default());
    let config = ClientConfig::new(cluster.bootstrap());
    cluster.spawn(|platform| async move { drop(create(platform, config).await) });
    cluster.run_for(Duration::from_secs(5)).unwrap();
    for node in [1, 3] {
        cluster.stop(node);
        let is_off = cluster.run_until(PATIENCE, |cluster| !cluster.is_on(node));
        assert!(is_off.unwrap(), "{}", cluster.trace().timeline());
        let ended = cluster.ended().last().unwrap();
        assert_eq!((ended.node, &ended.result), (node, &Ok(())));
        cluster.start(node);
        cluster.run_for(Duration::from_secs(3)).unwrap();
    }
    assert_eq!(cluster.ended().len(), 2);
}

#[test]
fn a_paused_node_stands_still_and_goes_on() {
    let mut cluster = Cluster::new(6, &Shape::default());
    cluster.run_for(Duration::from_secs(3)).unwrap();
    cluster.pause(2);
    cluster.run_for(Duration::from_secs(5)).unwrap();
    cluster.resume(2);
    let config = ClientConfig::new(cluster.bootstrap());
    let done = Rc::new(RefCell::new(false));
    let shared = Rc::clone(&done);
    cluster.spawn(move |platform| async move {
        drop(create(platform, config).await);
        *shared.borrow_mut() = true;
    });
    let done = cluster.run_until(PATIENCE, |_| *done.borrow()).unwrap();
    assert!(done, "{}", cluster.trace().timeline());
    assert_eq!(cluster.ended(), []);
}

/// Both ends of a connection to itself, once it is reset: what a pending read of each gives, and a
/// write after that.
async fn listen_and_lose(platform: SimPlatform, address: SocketAddr, told: Rc<Cell<u32>>) {
    let listener = platform.listen(address).await.unwrap();
    for round in 1..=2 {
        let (accepted, connected) =
            futures_util::join!(listener.accept(), platform.connect(address));
        let (mut reader, mut writer, _) = accepted.unwrap();
        let (mut other_reader, mut other_writer) = connected.unwrap();
        writer.write_all(vec!["hello".into()]).await.unwrap();
        let BufResult(read, bytes) = other_reader.read_exact(vec![0; 5]).await;
        read.unwrap();
        assert_eq!(bytes, b"hello");
        told.set(2 * round - 1);
        let (BufResult(one, _), BufResult(other, _)) = futures_util::join!(
            reader.read(Vec::with_capacity(8)),
            other_reader.read(Vec::with_capacity(8))
        );
        for error in [
            one.unwrap_err(),
            other.unwrap_err(),
            writer.write_all(vec!["lost".into()]).await.unwrap_err(),
            other_writer
                .write_all(vec!["lost".into()])
                .await
                .unwrap_err(),
        ] {
            assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        }
        told.set(2 * round);
    }
}

#[test]
fn a_connection_that_is_reset_fails_at_both_ends_and_the_next_one_works() {
    let mut cluster = Cluster::new(8, &Shape::default());
    let address = SocketAddr::new(cluster.network().lookup(host_name(CLIENTS)), 9000);
    let told = Rc::new(Cell::new(0));
    let shared = Rc::clone(&told);
    cluster.spawn(move |platform| listen_and_lose(platform, address, shared));
    for stage in [1, 3] {
        let is_there = cluster.run_until(PATIENCE, |_| told.get() == stage);
        assert!(is_there.unwrap(), "{}", cluster.trace().timeline());
        // Nobody else's connections matter.
        cluster.reset(CLIENTS, 1);
        cluster.run_for(Duration::from_millis(100)).unwrap();
        assert_eq!(told.get(), stage);
        cluster.reset(CLIENTS, CLIENTS);
    }
    let is_over = cluster.run_until(PATIENCE, |_| told.get() == 4);
    assert!(is_over.unwrap(), "{}", cluster.trace().timeline());
}

#[test]
fn a_panic_in_any_task_ends_the_run_and_says_where() {
    let mut cluster = Cluster::new(7, &Shape::default());
    cluster.spawn(|_| async { panic!("out of luck") });
    let failure = cluster.run_for(Duration::from_secs(1)).unwrap_err();
    let text = failure.to_string();
    assert!(
        text.contains("out of luck") && text.contains("simulation.rs"),
        "{text}"
    );
}
