use quorate_wire::{Code, Consistency, Request, Response};

use crate::client::{batch, fetch_request, fetched};
use crate::rig::Rig;

#[test]
fn a_parked_fetch_is_answered_by_the_next_commit() {
    let mut rig = Rig::start(3);
    let id = rig.create_partition(&[1, 2, 3]);
    rig.client(1).produce_soon(id, &batch(&["before"]));
    let (mut at_leader, mut at_follower) = (rig.client(1), rig.client(2));
    at_follower.fetch_any(id, 0);
    at_leader.send(&fetch_request(id, 1, 60_000, false), &[]);
    at_follower.send(&fetch_request(id, 1, 60_000, true), &[]);
    rig.client(1).produce(id, &batch(&["awaited"])).unwrap();
    for mut client in [at_leader, at_follower] {
        let (_, response, payload) = client.receive();
        assert_eq!(fetched(response, payload).unwrap().values(1), ["awaited"]);
    }
}

#[test]
fn a_parked_fetch_holds_nobody_up_on_its_connection() {
    let mut rig = Rig::start(1);
    let id = rig.create_partition(&[1]);
    let mut client = rig.client(1);
    client.produce_soon(id, &batch(&["first"]));
    let parked = client.send(&fetch_request(id, 1, 60_000, false), &[]);
    let described = client.send(&Request::Describe { partition: id }, &[]);
    assert_eq!(client.receive().0, described);
    rig.client(1).produce(id, &batch(&["second"])).unwrap();
    assert_eq!(client.receive().0, parked);
}

#[test]
fn a_fetch_brings_whole_batches_from_the_one_that_holds_the_offset() {
    let mut rig = Rig::start(1);
    let id = rig.create_partition(&[1]);
    let mut client = rig.client(1);
    client.produce_soon(id, &batch(&["0", "1", "2"]));
    client.produce(id, &batch(&["3", "4"])).unwrap();
    client.produce(id, &batch(&["5"])).unwrap();
    let fetched = client.fetch(id, 1, 0).unwrap();
    assert_eq!((fetched.base_offset, fetched.batches.len()), (0, 3));
    assert_eq!((fetched.log_start_offset, fetched.high_watermark), (0, 6));
    assert_eq!(fetched.values(1), ["1", "2", "3", "4", "5"]);
    let least = |offset| Request::Fetch {
        partition: id,
        offset,
        bytes_max: 1,
        wait_ms: 0,
        from_follower: false,
    };
    let one = client.fetch_with(least(4)).unwrap();
    assert_eq!(
        (one.base_offset, one.batches.len()),
        (3, 1),
        "the first batch always comes"
    );
}

#[test]
fn offsets_that_do_not_exist_are_refused_and_the_end_is_not_an_error() {
    let mut rig = Rig::start(2);
    let id = rig.create_partition(&[1, 2]);
    let mut client = rig.client(1);
    client.produce_soon(id, &batch(&["0", "1"]));
    let at_end = client.fetch(id, 2, 0).unwrap();
    assert_eq!(
        (
            at_end.base_offset,
            at_end.high_watermark,
            at_end.batches.len()
        ),
        (2, 2, 0)
    );
    assert_eq!(
        client.fetch(id, 3, 0).unwrap_err().code,
        Code::OffsetOutOfRange
    );
    // What is appended and not committed exists, and is not shown.
    rig.kill_node(2);
    let request = Request::Produce {
        partition: id,
        acks: Default::default(),
    };
    client.send(&request, &batch(&["2"]));
    let mut other = rig.client(1);
    other.describe_until(id, |status| status.replicas[0].next_offset == 3);
    let unseen = other.fetch(id, 2, 0).unwrap();
    assert_eq!((unseen.high_watermark, unseen.batches.len()), (2, 0));
    assert_eq!(other.fetch(id, 3, 0).unwrap().batches.len(), 0);
}

#[test]
fn batches_larger_than_memory_keeps_come_back_from_disk() {
    let mut rig = Rig::start(2);
    let id = rig.create_partition(&[1, 2]);
    let mut client = rig.client(1);
    let value = |number: usize| format!("{number}:{}", "v".repeat(900_000));
    client.produce_soon(id, &batch(&[&value(0)]));
    for number in 1..16 {
        client.produce(id, &batch(&[&value(number)])).unwrap();
    }
    for node in [1, 2] {
        let values = rig.client(node).read_all(id, 16);
        let expected = (0..16).map(value);
        assert!(values.into_iter().eq(expected), "node {node}");
    }
}

#[test]
fn a_shard_tells_the_metadata_to_whoever_does_not_know_the_cluster_yet() {
    let mut rig = Rig::start(2);
    rig.create_partition(&[2, 1]);
    let mut client = rig.client(1);
    let request = Request::Metadata {
        topics: None,
        consistency: Consistency::AsKnown,
    };
    client.send_as(quorate_wire::ClusterId::UNKNOWN, &request, &[]);
    let (_, Response::Metadata(metadata), _) = client.receive() else {
        panic!("no metadata")
    };
    assert_eq!(metadata.topics[0].partitions[0].leader, 2);
    let refusal = match client.call(&Request::Status, &[]).0 {
        Response::Refused(refusal) => refusal,
        other => panic!("{other:?}"),
    };
    assert_eq!(refusal.code, Code::NotPrimary);
    assert!(refusal.instead.is_some(), "it names a control address");
}
