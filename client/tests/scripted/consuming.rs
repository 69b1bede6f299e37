use std::cell::Cell;
use std::pin::pin;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::FutureExt;
use quorate_batch::{BatchHeader, RecordView, Sifted, sift};
use quorate_client::{
    Client, ClientConfig, Code, Compio, ConsumedRecord, Consumer, ConsumerConfig, Error,
    ProducerConfig, Record, Refusal, Start, Until,
};
use quorate_platform::Tasks;
use quorate_wire::{Consistency, Request, Response};

use crate::cluster::Cluster;
use crate::world::Twist;

/// Ten batches of ten records, `0` to `99`.
async fn hundred() -> (Cluster, Client<Compio>) {
    let cluster = Cluster::start(3).await;
    cluster.world().add_topic("orders", 1);
    let client = cluster.client().await;
    for batch in 0..10 {
        write(&client, batch * 10..batch * 10 + 10).await;
    }
    assert_eq!(cluster.world().partition("orders", 0).batches.len(), 10);
    (cluster, client)
}

async fn write(client: &Client<Compio>, numbers: std::ops::Range<u64>) {
    let producer = client.producer(ProducerConfig::default()).await.unwrap();
    for number in numbers {
        let record = Record::new(number.to_string());
        producer.send("orders", record).await.unwrap();
    }
    producer.flush().await.unwrap();
}

fn to_the_end() -> ConsumerConfig {
    ConsumerConfig {
        until: Until::HighWatermark,
        ..ConsumerConfig::default()
    }
}

async fn read_all(consumer: &mut Consumer<Compio>) -> Vec<u64> {
    let mut numbers = Vec::new();
    while let Some(record) = consumer.next().await.unwrap() {
        numbers.push(number(&record));
    }
    numbers
}

/// The number in the record, which is its offset as well.
fn number(record: &ConsumedRecord) -> u64 {
    let value = record.value.as_ref().unwrap();
    let number = std::str::from_utf8(value).unwrap().parse().unwrap();
    assert_eq!(record.offset, number);
    number
}

fn is_fetch(request: &Request) -> bool {
    matches!(request, Request::Fetch { .. })
}

#[compio::test]
async fn a_consumer_starts_where_it_is_told() {
    let (_cluster, client) = hundred().await;
    for (start, first) in [
        (Start::Beginning, 0),
        (Start::Offset(37), 37),
        (Start::End, 100),
    ] {
        let config = ConsumerConfig {
            start,
            ..to_the_end()
        };
        let mut consumer = client.consumer("orders", config).await.unwrap();
        let expected: Vec<u64> = (first..100).collect();
        assert_eq!(read_all(&mut consumer).await, expected, "{start:?}");
    }
}

#[compio::test]
async fn small_fetches_give_the_same_as_large_ones() {
    let (cluster, client) = hundred().await;
    let config = ConsumerConfig {
        fetch_bytes_max: 1,
        ..to_the_end()
    };
    let mut consumer = client.consumer("orders", config).await.unwrap();
    assert_eq!(read_all(&mut consumer).await.len(), 100);
    assert_eq!(cluster.count(is_fetch), 10);
}

/// What compaction leaves of a partition: batches with fewer records, and some without any.
#[compio::test]
async fn batches_that_lost_records_are_read_and_passed() {
    let (cluster, client) = hundred().await;
    let is_kept = |offset: u64| offset % 7 == 3 && !(20..50).contains(&offset) && offset < 90;
    for batch in &mut cluster.world().partition("orders", 0).batches {
        let header = BatchHeader::parse(batch).unwrap();
        let is_kept =
            |view: &RecordView<'_>| is_kept(header.base_offset + u64::from(view.offset_delta));
        match sift(&header, batch, is_kept).unwrap() {
            Sifted::Whole => panic!("each batch loses some"),
            Sifted::Part(bytes) => *batch = bytes.into(),
        }
    }
    let expected: Vec<u64> = (0..100).filter(|offset| is_kept(*offset)).collect();
    for (fetch_bytes_max, fetches) in [(1 << 20, 1), (1, 10)] {
        let before = cluster.count(is_fetch);
        let config = ConsumerConfig {
            fetch_bytes_max,
            ..to_the_end()
        };
        let mut consumer = client.consumer("orders", config).await.unwrap();
        assert_eq!(read_all(&mut consumer).await, expected);
        assert_eq!(cluster.count(is_fetch) - before, fetches);
    }
    // One that begins in the middle of a batch without records, and waits behind the last one.
    let config = ConsumerConfig {
        start: Start::Offset(25),
        ..ConsumerConfig::default()
    };
    let mut consumer = client.consumer("orders", config).await.unwrap();
    for expected in expected.iter().filter(|offset| **offset >= 25) {
        assert_eq!(number(&consumer.next().await.unwrap().unwrap()), *expected);
    }
    write(&client, 100..101).await;
    assert_eq!(number(&consumer.next().await.unwrap().unwrap()), 100);
}

#[compio::test]
async fn the_end_is_where_it_was_at_the_start() {
    let (_cluster, client) = hundred().await;
    let mut consumer = client.consumer("orders", to_the_end()).await.unwrap();
    write(&client, 100..110).await;
    assert_eq!(read_all(&mut consumer).await.len(), 100);
}

#[compio::test]
async fn all_partitions_of_a_topic_are_read() {
    let cluster = Cluster::start(3).await;
    cluster.world().add_topic("orders", 5);
    let client = cluster.client().await;
    let producer = client.producer(ProducerConfig::default()).await.unwrap();
    for number in 0..100u32 {
        let record = Record::new("x").with_key(number.to_le_bytes().to_vec());
        producer.send("orders", record).await.unwrap();
    }
    producer.flush().await.unwrap();
    let mut consumer = client.consumer("orders", to_the_end()).await.unwrap();
    let mut seen = std::collections::BTreeSet::new();
    while let Some(record) = consumer.next().await.unwrap() {
        assert!(seen.insert((record.partition, record.offset)));
    }
    assert_eq!(seen.len(), 100);
}

#[compio::test]
async fn a_long_poll_wakes_when_something_is_written() {
    let (cluster, client) = hundred().await;
    let config = ConsumerConfig {
        start: Start::End,
        wait: Duration::from_secs(3600),
        ..ConsumerConfig::default()
    };
    let mut consumer = client.consumer("orders", config).await.unwrap();
    let mut next = pin!(consumer.next().fuse());
    assert!(next.as_mut().now_or_never().is_none());
    while cluster.count(is_fetch) == 0 {
        Compio.sleep(Duration::from_millis(1)).await;
    }
    write(&client, 100..101).await;
    let record = next.await.unwrap().unwrap();
    assert_eq!(number(&record), 100);
    // One fetch was answered and the next is under way: nobody has polled in a loop.
    assert!(cluster.count(is_fetch) <= 2);
}

#[compio::test]
async fn a_wait_that_is_cancelled_loses_no_record() {
    let (_cluster, client) = hundred().await;
    let mut consumer = client.consumer("orders", to_the_end()).await.unwrap();
    let mut numbers = Vec::new();
    while numbers.len() < 100 {
        // Polled once and dropped.
        match consumer.next().now_or_never() {
            Some(record) => numbers.push(number(&record.unwrap().unwrap())),
            None => Compio.sleep(Duration::from_millis(1)).await,
        }
    }
    assert_eq!(numbers, (0..100).collect::<Vec<u64>>());
}

#[compio::test]
async fn only_one_response_is_read_ahead() {
    let (cluster, client) = hundred().await;
    let config = ConsumerConfig {
        fetch_bytes_max: 1,
        ..to_the_end()
    };
    let mut consumer = client.consumer("orders", config).await.unwrap();
    consumer.next().await.unwrap();
    // The one in hand, the one in the inbox and the one behind it.
    while cluster.count(is_fetch) < 3 {
        Compio.sleep(Duration::from_millis(1)).await;
    }
    for _ in 0..10 {
        client.cluster_metadata().await.unwrap();
    }
    assert_eq!(cluster.count(is_fetch), 3);
}

#[compio::test]
async fn a_consumer_follows_the_leader() {
    let (cluster, client) = hundred().await;
    let config = ConsumerConfig {
        fetch_bytes_max: 1,
        ..to_the_end()
    };
    let fetches = Cell::new(0);
    cluster.script(move |world, _, request| {
        if !is_fetch(request) {
            return Twist::Pass;
        }
        fetches.set(fetches.get() + 1);
        match fetches.get() {
            3 => world.move_leader("orders", 0, 2),
            5 => return Twist::Cut,
            7 => {
                world.move_leader("orders", 0, 3);
                return Twist::Hold;
            }
            9 => return Twist::Refuse(Refusal::new(Code::Stopping, "it stops")),
            _ => {}
        }
        Twist::Pass
    });
    let mut consumer = client.consumer("orders", config).await.unwrap();
    assert_eq!(read_all(&mut consumer).await.len(), 100);
}

#[compio::test]
async fn followers_are_read_while_no_leader_answers() {
    let (cluster, _client) = hundred().await;
    let client = {
        let config = ClientConfig {
            suspicion_timeout: Duration::from_millis(20),
            ..ClientConfig::new([cluster.address(2).to_string()])
        };
        Client::connect(Compio, config).await.unwrap()
    };
    // The leader is dead, and nobody can choose another one.
    cluster.script(|_, node, _| if node == 1 { Twist::Cut } else { Twist::Pass });
    let config = ConsumerConfig {
        leader_patience: Duration::from_millis(50),
        ..to_the_end()
    };
    let mut consumer = client.consumer("orders", config).await.unwrap();
    assert_eq!(read_all(&mut consumer).await.len(), 100);
}

#[compio::test]
async fn a_follower_that_has_nothing_new_is_left_for_another() {
    let (cluster, _client) = hundred().await;
    let client = Client::connect(
        Compio,
        ClientConfig {
            suspicion_timeout: Duration::from_millis(20),
            ..ClientConfig::new([cluster.address(2).to_string()])
        },
    );
    let client = client.await.unwrap();
    cluster.script(|_, node, request| match (node, request) {
        (1, _) => Twist::Cut,
        (2, Request::Fetch { offset, .. }) => nothing_new(*offset),
        _ => Twist::Pass,
    });
    let config = ConsumerConfig {
        leader_patience: Duration::from_millis(50),
        ..to_the_end()
    };
    let mut consumer = client.consumer("orders", config).await.unwrap();
    assert_eq!(read_all(&mut consumer).await.len(), 100);
}

#[compio::test]
async fn a_leader_that_is_cut_off_and_knows_nothing_of_its_successor_is_left() {
    let (cluster, client) = hundred().await;
    let config = ConsumerConfig {
        start: Start::End,
        wait: Duration::from_millis(20),
        ..ConsumerConfig::default()
    };
    let mut consumer = client.consumer("orders", config).await.unwrap();
    let topics = Some(vec!["orders".to_owned()]);
    let consistency = Consistency::AsKnown;
    let request = Request::Metadata {
        topics,
        consistency,
    };
    let (old, _) = cluster.world().carry_out(1, &request, &[]);
    cluster.script(move |_, node, request| match (node, request) {
        (1, Request::Metadata { .. }) => Twist::Claim(old.clone(), Bytes::new()),
        (1, Request::Fetch { offset, .. }) => nothing_new(*offset),
        _ => Twist::Pass,
    });
    cluster.world().primary = 2;
    cluster.world().move_leader("orders", 0, 2);
    let other = ClientConfig::new([cluster.address(2).to_string()]);
    let other = Client::connect(Compio, other).await.unwrap();
    write(&other, 100..101).await;
    assert_eq!(number(&consumer.next().await.unwrap().unwrap()), 100);
}

/// The end of a long poll that brought nothing.
fn nothing_new(offset: u64) -> Twist {
    let response = Response::Fetched {
        base_offset: offset,
        high_watermark: offset,
        log_start_offset: 0,
    };
    Twist::Claim(response, Bytes::new())
}

#[compio::test]
async fn a_consumer_that_nobody_answers_says_so_and_goes_on() {
    let (cluster, client) = hundred().await;
    let config = ConsumerConfig {
        leader_patience: Duration::from_millis(50),
        ..to_the_end()
    };
    let mut consumer = client.consumer("orders", config).await.unwrap();
    cluster.script(|_, _, request| match is_fetch(request) {
        true => Twist::Refuse(Refusal::new(Code::Overloaded, "too much to do")),
        false => Twist::Pass,
    });
    let error = loop {
        match consumer.next().await {
            Ok(record) => assert!(record.is_some()),
            Err(error) => break error,
        }
        // Records may have been read ahead before the script took effect.
    };
    assert!(matches!(error, Error::Deadline { .. }), "{error}");
    assert!(error.to_string().contains("too much to do"), "{error}");
    cluster.world().script = None;
    read_all(&mut consumer).await;
}

#[compio::test]
async fn an_offset_that_is_not_there_is_a_clear_error() {
    let (cluster, client) = hundred().await;
    cluster.world().partition("orders", 0).log_start = 10;
    for offset in [5, 101] {
        let config = ConsumerConfig {
            start: Start::Offset(offset),
            ..to_the_end()
        };
        let error = client.consumer("orders", config).await.unwrap_err();
        assert!(matches!(error, Error::OffsetOutOfRange { .. }), "{error}");
        assert!(error.to_string().contains("10 up to 100"), "{error}");
    }
}

#[compio::test]
async fn records_that_are_deleted_before_they_were_read_are_missed_loudly() {
    let (cluster, client) = hundred().await;
    let config = ConsumerConfig {
        fetch_bytes_max: 1,
        ..to_the_end()
    };
    let mut consumer = client.consumer("orders", config).await.unwrap();
    consumer.next().await.unwrap();
    cluster.world().partition("orders", 0).log_start = 95;
    let error = loop {
        match consumer.next().await {
            Ok(record) => assert!(record.is_some(), "the consumer ended as if all was well"),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, Error::OffsetOutOfRange { .. }), "{error}");
    assert!(consumer.next().await.unwrap().is_none());
}

/// Lets every fetch be answered with what `forge` makes of the right answer.
fn forge(cluster: &Cluster, mut forge: impl FnMut(BytesMut) -> BytesMut + 'static) {
    cluster.script(move |world, node, request| {
        if !is_fetch(request) {
            return Twist::Pass;
        }
        let (response, payload) = world.carry_out(node, request, &[]);
        Twist::Claim(response, forge(BytesMut::from(payload)).freeze())
    });
}

async fn error_of_forged(change: impl FnMut(BytesMut) -> BytesMut + 'static) -> Error {
    let (cluster, client) = hundred().await;
    forge(&cluster, change);
    let mut consumer = client.consumer("orders", to_the_end()).await.unwrap();
    let error = consumer.next().await.unwrap_err();
    assert!(consumer.next().await.unwrap().is_none());
    error
}

#[compio::test]
async fn damaged_records_are_never_given_out() {
    let error = error_of_forged(|mut payload| {
        payload[100] ^= 1;
        payload
    });
    let error = error.await;
    assert!(matches!(error, Error::CorruptRecords { .. }), "{error}");
    assert!(error.to_string().contains("checksum"), "{error}");
}

#[compio::test]
async fn damage_on_the_way_is_cured_by_fetching_again() {
    let (cluster, client) = hundred().await;
    let mut is_first = true;
    forge(&cluster, move |mut payload| {
        if std::mem::take(&mut is_first) {
            payload[100] ^= 1;
        }
        payload
    });
    let mut consumer = client.consumer("orders", to_the_end()).await.unwrap();
    assert_eq!(read_all(&mut consumer).await.len(), 100);
}

#[compio::test]
async fn a_gap_between_batches_is_noticed() {
    let error = error_of_forged(|payload| {
        let batches: Vec<Bytes> = quorate_batch::Batches::new(payload.freeze())
            .map(|batch| batch.unwrap().1)
            .collect();
        [&batches[0][..], &batches[2][..]]
            .concat()
            .as_slice()
            .into()
    });
    let error = error.await;
    assert!(error.to_string().contains("after offset 10"), "{error}");
}

#[compio::test]
async fn batches_from_elsewhere_in_the_log_are_noticed() {
    let error = error_of_forged(|payload| {
        let batches = quorate_batch::Batches::new(payload.freeze());
        batches.last().unwrap().unwrap().1.as_ref().into()
    });
    let error = error.await;
    assert!(error.to_string().contains("90 up to 100"), "{error}");
}

#[compio::test]
async fn a_topic_created_again_is_not_the_same() {
    let (cluster, client) = hundred().await;
    let config = ConsumerConfig {
        start: Start::End,
        wait: Duration::from_millis(50),
        ..ConsumerConfig::default()
    };
    let mut consumer = client.consumer("orders", config).await.unwrap();
    client.delete_topic("orders").await.unwrap();
    client.create_topic("orders", 1, 3).await.unwrap();
    assert_eq!(cluster.world().partition("orders", 0).next_offset, 0);
    let error = consumer.next().await.unwrap_err();
    assert!(error.to_string().contains("deleted"), "{error}");
}

#[compio::test]
async fn the_leader_is_waited_for_until_it_knows_the_end() {
    let (cluster, client) = hundred().await;
    let asked = Cell::new(0);
    cluster.script(move |world, node, request| {
        let Request::Describe { partition } = request else {
            return Twist::Pass;
        };
        // A leader that has just opened: its followers have not adopted its log, and it knows only
        // a lower bound of what its predecessor has acknowledged.
        asked.set(asked.get() + 1);
        let mut status = world.by_id(*partition).unwrap().status(node);
        if asked.get() < 3 {
            status.high_watermark = 40;
            for replica in &mut status.replicas {
                replica.in_sync = replica.node == node;
            }
        }
        Twist::Claim(Response::Partition(status), Bytes::new())
    });
    assert_eq!(
        client.offsets("orders", 0).await.unwrap().high_watermark,
        100
    );
}
