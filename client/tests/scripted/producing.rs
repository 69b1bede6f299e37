use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use quorate_client::{Acks, Client, Code, Compio, ProducerConfig, Record, Refusal};
use quorate_platform::{Listener, Network, Tasks};
use quorate_wire::Request;

use crate::cluster::{Cluster, one_by_one};
use crate::world::{Twist, World};

async fn send_numbers(client: &Client<Compio>, config: ProducerConfig, count: usize) {
    let producer = client.producer(config).await.unwrap();
    for number in 0..count {
        let record = Record::new(number.to_string());
        producer.send_to("orders", 0, record).await.unwrap();
    }
    producer.flush().await.unwrap();
}

fn assert_numbers(world: &mut World, count: usize) {
    let expected: Vec<String> = (0..count).map(|number| number.to_string()).collect();
    assert_eq!(world.partition("orders", 0).values(), expected);
}

fn is_produce(request: &Request) -> bool {
    matches!(request, Request::Produce { .. })
}

/// Does `twist` to the produce requests numbered in `which`, from 0, and lets the others pass.
fn twist_produce(
    cluster: &Cluster,
    which: &'static [usize],
    mut twist: impl FnMut(&mut World) -> Twist + 'static,
) {
    let seen = Cell::new(0);
    cluster.script(move |world, _, request| {
        if !is_produce(request) {
            return Twist::Pass;
        }
        let number = seen.replace(seen.get() + 1);
        if which.contains(&number) {
            twist(world)
        } else {
            Twist::Pass
        }
    });
}

async fn orders() -> (Cluster, Client<Compio>) {
    let cluster = Cluster::start(3).await;
    cluster.world().add_topic("orders", 1);
    let client = cluster.client().await;
    (cluster, client)
}

#[compio::test]
async fn records_arrive_in_order_and_in_batches() {
    let (cluster, client) = orders().await;
    send_numbers(&client, ProducerConfig::default(), 10_000).await;
    assert_numbers(&mut cluster.world(), 10_000);
    let batches = cluster.count(is_produce);
    assert!(batches < 100, "{batches} batches");
}

#[compio::test]
async fn every_delivery_tells_the_offset_of_its_record() {
    let (_cluster, client) = orders().await;
    let producer = client.producer(ProducerConfig::default()).await.unwrap();
    let mut deliveries = Vec::new();
    for _ in 0..100 {
        deliveries.push(producer.send("orders", Record::new("x")).await.unwrap());
    }
    for (expected, delivery) in deliveries.into_iter().enumerate() {
        assert_eq!(delivery.await.unwrap().offset, Some(expected as u64));
    }
}

#[compio::test]
async fn batches_are_told_of_in_order() {
    let (_cluster, client) = orders().await;
    let producer = client.producer(one_by_one()).await.unwrap();
    let told = Rc::new(RefCell::new(Vec::new()));
    let listener = told.clone();
    producer.on_acknowledged(move |batch| {
        listener
            .borrow_mut()
            .push((batch.base_offset.unwrap(), batch.count));
    });
    for _ in 0..20 {
        producer.send("orders", Record::new("x")).await.unwrap();
    }
    producer.flush().await.unwrap();
    let expected: Vec<_> = (0..20).map(|offset| (offset, 1)).collect();
    assert_eq!(*told.borrow(), expected);
}

#[compio::test]
async fn several_batches_are_under_way_at_once_but_never_more_than_five() {
    let (cluster, client) = orders().await;
    // The first is answered, and then no more.
    twist_produce(&cluster, &[1, 2, 3, 4, 5, 6, 7], |_| Twist::Hold);
    let producer = client.producer(one_by_one()).await.unwrap();
    let first = producer.send("orders", Record::new("0")).await.unwrap();
    first.await.unwrap();
    for number in 1..20 {
        let record = Record::new(number.to_string());
        producer.send("orders", record).await.unwrap();
    }
    while cluster.count(is_produce) < 6 {
        Compio.sleep(Duration::from_millis(1)).await;
    }
    // A question to the same node and its answer: whatever was sent before has arrived by now.
    client.cluster_metadata().await.unwrap();
    assert_eq!(cluster.count(is_produce), 6);
}

#[compio::test]
async fn the_first_batch_of_all_goes_alone() {
    let (cluster, client) = orders().await;
    // A leader that does not know the producer takes any batch as its first: the second must not
    // be there while the first is refused.
    twist_produce(&cluster, &[0, 1], |_| {
        Twist::Refuse(Refusal::new(Code::Overloaded, "too much to do"))
    });
    send_numbers(&client, one_by_one(), 20).await;
    assert_numbers(&mut cluster.world(), 20);
}

#[compio::test]
async fn a_connection_cut_before_the_append_loses_nothing() {
    let (cluster, client) = orders().await;
    twist_produce(&cluster, &[0, 5, 9], |_| Twist::Cut);
    send_numbers(&client, one_by_one(), 30).await;
    assert_numbers(&mut cluster.world(), 30);
}

#[compio::test]
async fn a_batch_whose_acknowledgement_was_lost_is_recognized() {
    let (cluster, client) = orders().await;
    twist_produce(&cluster, &[0, 4, 5, 11], |_| Twist::ApplyThenCut);
    send_numbers(&client, one_by_one(), 30).await;
    assert_numbers(&mut cluster.world(), 30);
    assert!(cluster.world().partition("orders", 0).duplicates >= 4);
}

#[compio::test]
async fn a_leader_change_in_mid_flight_neither_reorders_nor_duplicates() {
    let (cluster, client) = orders().await;
    let next = Cell::new(1);
    twist_produce(&cluster, &[3, 12, 20], move |world| {
        next.set(next.get() % 3 + 1);
        world.move_leader("orders", 0, next.get());
        // The leader that was asked refuses this one and all that follow.
        Twist::Pass
    });
    send_numbers(&client, one_by_one(), 40).await;
    assert_numbers(&mut cluster.world(), 40);
    assert_eq!(cluster.world().partition("orders", 0).info.epoch, 4);
}

#[compio::test]
async fn a_leader_that_lost_its_place_may_or_may_not_have_kept_the_batch() {
    let lost = || Refusal::new(Code::LeadershipLost, "the leadership moved meanwhile");
    for is_kept in [true, false] {
        let (cluster, client) = orders().await;
        twist_produce(&cluster, &[2, 3, 4], move |world| {
            let epoch = world.partition("orders", 0).info.epoch;
            if epoch == 1 && !is_kept {
                world.move_leader("orders", 0, 2);
            }
            if is_kept {
                Twist::ApplyThenRefuse(lost())
            } else {
                Twist::Refuse(lost())
            }
        });
        send_numbers(&client, one_by_one(), 30).await;
        assert_numbers(&mut cluster.world(), 30);
    }
}

#[compio::test]
async fn a_frozen_leader_is_left_for_its_successor() {
    for is_applied in [true, false] {
        let (cluster, client) = orders().await;
        let produced = Cell::new(0);
        cluster.script(move |world, node, request| {
            produced.set(produced.get() + usize::from(is_produce(request)));
            if node != 1 || produced.get() < 3 {
                return Twist::Pass;
            }
            // From the third batch on node 1 takes everything and answers nothing.
            if world.partition("orders", 0).info.epoch == 1 && produced.get() == 5 {
                world.move_leader("orders", 0, 2);
            }
            let leads = world.partition("orders", 0).info.leader == 1;
            match is_produce(request) && is_applied && leads {
                true => Twist::ApplyThenHold,
                false => Twist::Hold,
            }
        });
        send_numbers(&client, one_by_one(), 30).await;
        assert_numbers(&mut cluster.world(), 30);
    }
}

#[compio::test]
async fn garbage_from_the_leader_is_survived() {
    let (cluster, client) = orders().await;
    twist_produce(&cluster, &[1, 6], |_| {
        Twist::Say(b"this is not a frame, and it is long enough to be taken for one")
    });
    send_numbers(&client, one_by_one(), 30).await;
    assert_numbers(&mut cluster.world(), 30);
}

#[compio::test]
async fn a_shard_that_has_not_heard_of_the_partition_is_asked_again() {
    let (cluster, client) = orders().await;
    twist_produce(&cluster, &[0, 1], |_| {
        Twist::Refuse(Refusal::new(
            Code::UnknownPartition,
            "no such partition here",
        ))
    });
    send_numbers(&client, one_by_one(), 5).await;
    assert_numbers(&mut cluster.world(), 5);
}

#[compio::test]
async fn a_key_chooses_its_partition_as_in_kafka() {
    let cluster = Cluster::start(1).await;
    cluster.world().add_topic("orders", 8);
    let client = cluster.client().await;
    let producer = client.producer(ProducerConfig::default()).await.unwrap();
    // The hash of "foobar" is -790332482; without its sign bit and modulo 8 that leaves 6.
    let record = Record::new("value").with_key("foobar");
    let ack = producer
        .send("orders", record)
        .await
        .unwrap()
        .await
        .unwrap();
    assert_eq!(ack.partition, 6);
}

#[compio::test]
async fn records_without_a_key_go_to_all_partitions() {
    let cluster = Cluster::start(3).await;
    cluster.world().add_topic("orders", 6);
    let client = cluster.client().await;
    let config = ProducerConfig {
        batch_bytes: 1_000,
        ..ProducerConfig::default()
    };
    let producer = client.producer(config).await.unwrap();
    for number in 0..1_000 {
        let record = Record::new(format!("value {number}"));
        producer.send("orders", record).await.unwrap();
    }
    producer.flush().await.unwrap();
    for index in 0..6 {
        let records = cluster.world().partition("orders", index).next_offset;
        assert!(records > 0, "partition {index} is empty");
    }
}

#[compio::test]
async fn weaker_acknowledgements_are_batched_and_retried_too() {
    for acks in [Acks::Leader, Acks::None] {
        let (cluster, client) = orders().await;
        let config = ProducerConfig {
            acks,
            ..ProducerConfig::default()
        };
        send_numbers(&client, config, 1_000).await;
        // With `None` the flush tells only that everything was handed to the network.
        while cluster.world().partition("orders", 0).next_offset < 1_000 {
            Compio.sleep(Duration::from_millis(1)).await;
        }
        assert_numbers(&mut cluster.world(), 1_000);
    }
}

#[compio::test]
async fn a_refused_batch_keeps_its_place_without_sequence_numbers_too() {
    let (cluster, client) = orders().await;
    twist_produce(&cluster, &[3, 9], |_| {
        Twist::Refuse(Refusal::new(Code::Overloaded, "too much to do"))
    });
    let config = ProducerConfig {
        acks: Acks::Leader,
        ..one_by_one()
    };
    send_numbers(&client, config, 30).await;
    assert_numbers(&mut cluster.world(), 30);
}

#[compio::test]
async fn a_leader_that_reads_nothing_does_not_freeze_the_client() {
    let cluster = Cluster::start(1).await;
    let silent = Compio.listen(([127, 0, 0, 1], 0).into()).await.unwrap();
    let address = silent.local_address().unwrap().to_string();
    cluster.world().nodes[0].shard_addresses = vec![address];
    // More than the sockets and the connection's queue take together.
    cluster.world().add_topic("orders", 40);
    let client = cluster.client().await;
    let config = ProducerConfig {
        linger: Duration::ZERO,
        buffer_bytes_max: 64 << 20,
        delivery_timeout: Duration::from_secs(3600),
        ..ProducerConfig::default()
    };
    let producer = client.producer(config).await.unwrap();
    for partition in 0..40 {
        let record = Record::new(vec![b'x'; 900_000]);
        producer.send_to("orders", partition, record).await.unwrap();
    }
    let _unread = silent.accept().await.unwrap();
    for _ in 0..10 {
        client.cluster_metadata().await.unwrap();
    }
}

#[compio::test]
async fn what_was_sent_before_the_producer_is_dropped_arrives() {
    let (cluster, client) = orders().await;
    let producer = client.producer(ProducerConfig::default()).await.unwrap();
    let delivery = producer.send("orders", Record::new("0")).await.unwrap();
    drop(producer);
    drop(client);
    delivery.await.unwrap();
    assert_numbers(&mut cluster.world(), 1);
}

/// Everything that can go wrong on the way, at random; the seed is part of the failure.
#[compio::test]
async fn whatever_happens_on_the_way_each_record_is_written_once_and_in_order() {
    for seed in 1..=40u64 {
        let (cluster, client) = orders().await;
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        cluster.script(move |world, _, request| {
            if !is_produce(request) {
                return Twist::Pass;
            }
            // xorshift: small, and the same on every machine.
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let refuse = |code| Refusal::new(code, "at random");
            match state % 40 {
                0 => Twist::Cut,
                1 => Twist::ApplyThenCut,
                2 => Twist::Refuse(refuse(Code::Overloaded)),
                3 => Twist::Refuse(refuse(Code::LeadershipLost)),
                4 => Twist::ApplyThenRefuse(refuse(Code::LeadershipLost)),
                5 => Twist::Refuse(refuse(Code::CorruptBatch)),
                6 | 7 => {
                    let leader = world.partition("orders", 0).info.leader;
                    world.move_leader("orders", 0, leader % 3 + 1);
                    if state % 40 == 6 {
                        Twist::Pass
                    } else {
                        Twist::Hold
                    }
                }
                _ => Twist::Pass,
            }
        });
        let config = ProducerConfig {
            batch_bytes: 200,
            ..ProducerConfig::default()
        };
        let producer = client.producer(config).await.unwrap();
        for number in 0..300 {
            let record = Record::new(number.to_string());
            producer.send_to("orders", 0, record).await.unwrap();
            if number % 7 == 0 {
                Compio.sleep(Duration::ZERO).await;
            }
        }
        let flushed = producer.flush().await;
        assert!(flushed.is_ok(), "seed {seed}: {flushed:?}");
        let values = cluster.world().partition("orders", 0).values();
        let expected: Vec<String> = (0..300).map(|number| number.to_string()).collect();
        assert_eq!(values, expected, "seed {seed}");
    }
}
