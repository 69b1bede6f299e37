use std::pin::pin;
use std::time::Duration;

use futures_util::FutureExt;
use quorate_client::{Certainty, Client, Code, Compio, Error, ProducerConfig, Record, Refusal};
use quorate_platform::Tasks;
use quorate_wire::Request;

use crate::cluster::{Cluster, one_by_one};
use crate::world::Twist;

async fn orders() -> (Cluster, Client<Compio>) {
    let cluster = Cluster::start(3).await;
    cluster.world().add_topic("orders", 1);
    let client = cluster.client().await;
    (cluster, client)
}

fn soon() -> ProducerConfig {
    ProducerConfig {
        delivery_timeout: Duration::from_millis(300),
        ..one_by_one()
    }
}

fn is_produce(request: &Request) -> bool {
    matches!(request, Request::Produce { .. })
}

#[compio::test]
async fn a_batch_that_was_always_refused_is_certainly_not_written() {
    let (cluster, client) = orders().await;
    let producer = client.producer(soon()).await.unwrap();
    let first = producer.send("orders", Record::new("0")).await.unwrap();
    first.await.unwrap();
    cluster.script(|_, _, request| match is_produce(request) {
        true => Twist::Refuse(Refusal::new(
            Code::DiskFull,
            "the disk is full: free some space",
        )),
        false => Twist::Pass,
    });
    let delivery = producer.send("orders", Record::new("lost")).await.unwrap();
    let error = delivery.await.unwrap_err();
    assert_eq!(error.certainty, Certainty::Definite);
    let text = error.to_string();
    for part in [
        "orders",
        "partition 0",
        "node-1",
        "300ms",
        "the disk is full",
    ] {
        assert!(text.contains(part), "{part:?} is missing in: {text}");
    }
    assert!(producer.flush().await.is_err());

    // Nothing is in doubt, so the producer goes on where it was.
    cluster.world().script = None;
    for value in ["1", "2", "3"] {
        producer.send("orders", Record::new(value)).await.unwrap();
    }
    producer.flush().await.unwrap();
    let values = cluster.world().partition("orders", 0).values();
    assert_eq!(values, ["0", "1", "2", "3"]);
}

#[compio::test]
async fn a_batch_that_nobody_answers_may_be_written() {
    let (cluster, client) = orders().await;
    let producer = client.producer(soon()).await.unwrap();
    cluster.script(|_, _, request| match is_produce(request) {
        true => Twist::ApplyThenHold,
        false => Twist::Pass,
    });
    let delivery = producer.send("orders", Record::new("0")).await.unwrap();
    let behind = producer.send("orders", Record::new("1")).await.unwrap();
    let error = delivery.await.unwrap_err();
    assert_eq!(error.certainty, Certainty::Indefinite, "{error}");
    // The second waited for the first, and was never sent.
    let error = behind.await.unwrap_err();
    assert_eq!(error.certainty, Certainty::Definite, "{error}");

    // What comes later could overtake what is in doubt.
    let error = producer.send("orders", Record::new("2")).await.unwrap_err();
    assert!(error.to_string().contains("new producer"), "{error}");
    assert_eq!(error.certainty(), Certainty::Definite);
}

#[compio::test]
async fn a_lost_connection_leaves_the_outcome_open_although_later_tries_were_refused() {
    let (cluster, client) = orders().await;
    let producer = client.producer(soon()).await.unwrap();
    let mut is_first = true;
    cluster.script(move |_, _, request| {
        if !is_produce(request) {
            return Twist::Pass;
        }
        if std::mem::take(&mut is_first) {
            return Twist::ApplyThenCut;
        }
        Twist::Refuse(Refusal::new(Code::Overloaded, "too much to do"))
    });
    let delivery = producer.send("orders", Record::new("0")).await.unwrap();
    let error = delivery.await.unwrap_err();
    assert_eq!(error.certainty, Certainty::Indefinite, "{error}");
}

#[compio::test]
async fn a_cluster_without_a_leader_to_talk_to_fails_definitely_at_the_deadline() {
    let (cluster, client) = orders().await;
    // The leader is known, but nobody listens at its address.
    let listener = quorate_platform::Network::listen(&Compio, ([127, 0, 0, 1], 0).into());
    let listener = listener.await.unwrap();
    let closed = quorate_platform::Listener::local_address(&listener).unwrap();
    drop(listener);
    cluster.world().nodes[0].shard_addresses = vec![closed.to_string()];
    cluster.world().version += 1;
    let producer = client.producer(soon()).await.unwrap();
    let delivery = producer.send("orders", Record::new("0")).await.unwrap();
    let error = delivery.await.unwrap_err();
    assert_eq!(error.certainty, Certainty::Definite, "{error}");
}

#[compio::test]
async fn a_gap_in_the_sequence_stops_the_producer() {
    let (cluster, client) = orders().await;
    let producer = client.producer(one_by_one()).await.unwrap();
    cluster.script(|_, _, request| match is_produce(request) {
        true => Twist::Refuse(Refusal::new(
            Code::OutOfOrderSequence,
            "3 came, 2 was expected",
        )),
        false => Twist::Pass,
    });
    let delivery = producer.send("orders", Record::new("0")).await.unwrap();
    let error = delivery.await.unwrap_err();
    assert!(error.to_string().contains("2 was expected"), "{error}");
    let error = producer.send("orders", Record::new("1")).await.unwrap_err();
    assert!(error.to_string().contains("new producer"), "{error}");
}

#[compio::test]
async fn a_deleted_topic_fails_what_is_under_way() {
    let (cluster, client) = orders().await;
    let producer = client.producer(one_by_one()).await.unwrap();
    let first = producer.send("orders", Record::new("0")).await.unwrap();
    first.await.unwrap();
    client.delete_topic("orders").await.unwrap();
    let delivery = producer.send("orders", Record::new("1")).await.unwrap();
    let error = delivery.await.unwrap_err();
    assert_eq!(error.certainty, Certainty::Definite);
    assert!(error.to_string().contains("no topic"), "{error}");
    drop(cluster);
}

#[compio::test]
async fn records_and_settings_out_of_bounds_are_refused_by_name() {
    let (_cluster, client) = orders().await;
    let producer = client.producer(ProducerConfig::default()).await.unwrap();
    let huge = Record::new(vec![0; 2 << 20]);
    let error = producer.send("orders", huge).await.unwrap_err();
    assert!(matches!(error, Error::RecordTooLarge { .. }), "{error}");
    assert_eq!(producer.buffered_bytes(), 0);
    let error = producer
        .send_to("orders", 7, Record::new("x"))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("no partition 7"), "{error}");
    let error = producer
        .send("nowhere", Record::new("x"))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("nowhere"), "{error}");
    let config = ProducerConfig {
        in_flight_max: 6,
        ..ProducerConfig::default()
    };
    let error = client.producer(config).await.unwrap_err();
    assert!(error.to_string().contains("in_flight_max"), "{error}");
}

#[compio::test]
async fn a_full_buffer_makes_senders_wait() {
    let (cluster, client) = orders().await;
    let buffer_bytes_max = 10_000;
    let config = ProducerConfig {
        buffer_bytes_max,
        ..ProducerConfig::default()
    };
    let producer = client.producer(config).await.unwrap();
    cluster.script(|_, _, request| match is_produce(request) {
        true => Twist::Hold,
        false => Twist::Pass,
    });
    let record = || Record::new(vec![b'x'; 900]);
    producer.send("orders", record()).await.unwrap();
    let mut sent = 1;
    while let Some(delivery) = producer.send("orders", record()).now_or_never() {
        delivery.unwrap();
        sent += 1;
        assert!(producer.buffered_bytes() <= buffer_bytes_max);
        assert!(sent <= 10, "the buffer has no bound");
    }
    assert!(sent > 5, "{sent}");

    // One waits; once there is room again, it goes on.
    let mut waiting = pin!(producer.send("orders", record()));
    assert!(waiting.as_mut().now_or_never().is_none());
    while cluster.count(is_produce) == 0 {
        Compio.sleep(Duration::from_millis(1)).await;
    }
    cluster.world().script = None;
    // The answer that is held will never come, but its leader gets a successor.
    cluster.world().move_leader("orders", 0, 2);
    waiting.await.unwrap();
    producer.flush().await.unwrap();
    assert_eq!(producer.buffered_bytes(), 0);
    assert_eq!(cluster.world().partition("orders", 0).next_offset, sent + 1);
}
