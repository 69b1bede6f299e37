use std::cell::Cell;

use bytes::Bytes;
use quorate_client::{
    Client, Code, Compio, ConsumerConfig, ProducerConfig, Record, Refusal, Since, Start, Until,
};
use quorate_wire::{Request, Response};

use crate::cluster::Cluster;
use crate::world::Twist;

/// Records with these timestamps, one after the other.
async fn timed(timestamps: &[i64]) -> (Cluster, Client<Compio>) {
    let cluster = Cluster::start(3).await;
    cluster.world().add_topic("orders", 1);
    let client = cluster.client().await;
    let producer = client.producer(ProducerConfig::default()).await.unwrap();
    for timestamp in timestamps {
        let record = Record {
            timestamp: Some(*timestamp),
            ..Record::new(timestamp.to_string())
        };
        producer.send("orders", record).await.unwrap();
    }
    producer.flush().await.unwrap();
    (cluster, client)
}

fn is_lookup(request: &Request) -> bool {
    matches!(request, Request::Lookup { .. })
}

fn found(offset: u64, timestamp: i64) -> Since {
    Since {
        offset,
        timestamp: Some(timestamp),
    }
}

#[compio::test]
async fn a_time_leads_to_the_first_record_since_or_to_the_end() {
    let (_cluster, client) = timed(&[100, 300, 200, 400]).await;
    for (time, expected) in [
        (i64::MIN, found(0, 100)),
        (101, found(1, 300)),
        (300, found(1, 300)),
        (301, found(3, 400)),
    ] {
        let since = client.since("orders", 0, time).await.unwrap();
        assert_eq!(since, expected, "{time}");
    }
    let none = client.since("orders", 0, 401).await.unwrap();
    assert_eq!((none.offset, none.timestamp), (4, None));
}

#[compio::test]
async fn a_consumer_starts_at_a_time() {
    let (_cluster, client) = timed(&[100, 300, 200, 400]).await;
    for (time, expected) in [(0, &[0, 1, 2, 3][..]), (150, &[1, 2, 3]), (401, &[])] {
        let config = ConsumerConfig {
            start: Start::Time(time),
            until: Until::HighWatermark,
            ..ConsumerConfig::default()
        };
        let mut consumer = client.consumer("orders", config).await.unwrap();
        let mut offsets = Vec::new();
        while let Some(record) = consumer.next().await.unwrap() {
            offsets.push(record.offset);
        }
        assert_eq!(offsets, expected, "{time}");
    }
}

#[compio::test]
async fn the_new_leader_is_asked_and_an_old_one_not_believed() {
    let (cluster, client) = timed(&[100, 200]).await;
    let asked = Cell::new(0);
    cluster.script(move |world, _, request| {
        if !is_lookup(request) {
            return Twist::Pass;
        }
        asked.set(asked.get() + 1);
        match asked.get() {
            // It has led before, and has not heard yet that it does no more.
            1 => {
                let old = Response::Found {
                    epoch: world.partition("orders", 0).info.epoch - 1,
                    offset: 0,
                    timestamp: None,
                };
                Twist::Claim(old, Bytes::new())
            }
            2 => {
                world.move_leader("orders", 0, 2);
                Twist::Pass
            }
            _ => Twist::Pass,
        }
    });
    let since = client.since("orders", 0, 150).await.unwrap();
    assert_eq!(since, found(1, 200));
    assert_eq!(cluster.count(is_lookup), 3);
}

#[compio::test]
async fn what_keeps_a_time_from_being_found_is_told() {
    let (cluster, client) = timed(&[100]).await;
    cluster.script(|_, _, request| match is_lookup(request) {
        true => Twist::Refuse(Refusal::new(Code::DamagedRecords, "offset 0 is damaged")),
        false => Twist::Pass,
    });
    let error = client.since("orders", 0, 50).await.unwrap_err().to_string();
    let is_told = error.contains("offset 0 is damaged") && error.contains("topic \"orders\"");
    assert!(is_told, "{error}");
    assert!(cluster.count(is_lookup) > 1, "it may be mended meanwhile");
    let error = client.since("orders", 7, 50).await.unwrap_err().to_string();
    assert!(error.contains("no partition 7"), "{error}");
}
