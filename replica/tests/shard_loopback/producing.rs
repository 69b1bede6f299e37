use quorate_batch::{BatchHeader, HEADER_BYTES};
use quorate_wire::{Acks, BATCH_BYTES_MAX, Code, Compaction, Request, Response};

use crate::client::{batch, keyed, sequenced};
use crate::rig::Rig;

#[test]
fn a_batch_comes_back_byte_for_byte_but_for_its_stamp() {
    let mut rig = Rig::start(1);
    let id = rig.create_partition(&[1]);
    let mut client = rig.client(1);
    let sent = batch(&["one", "two", "three"]);
    assert_eq!(client.produce_soon(id, &sent), 0);
    assert_eq!(client.produce(id, &sent), Ok(3));
    let fetched = client.fetch(id, 3, 0).unwrap();
    let [got] = fetched.batches.as_slice() else {
        panic!("{fetched:?}")
    };
    assert_eq!(
        got[16..],
        sent[16..],
        "all behind base offset, length and epoch"
    );
    let header = BatchHeader::parse(got).unwrap();
    assert_eq!((header.base_offset, header.leader_epoch), (3, 1));
    assert_eq!((fetched.base_offset, fetched.high_watermark), (3, 6));
}

#[test]
fn every_replica_gets_every_acknowledged_record() {
    let mut rig = Rig::start(3);
    let id = rig.create_partition(&[1, 2, 3]);
    let mut leader = rig.client(1);
    let expected: Vec<String> = (0..200).map(|number| format!("record {number}")).collect();
    leader.produce_soon(id, &batch(&[&expected[0]]));
    for value in &expected[1..] {
        leader.produce(id, &batch(&[value])).unwrap();
    }
    for node in 1..=3 {
        assert_eq!(
            rig.client(node).read_all(id, expected.len()),
            expected,
            "node {node}"
        );
    }
    let status = leader.describe_until(id, |status| {
        status
            .replicas
            .iter()
            .all(|replica| replica.in_sync && replica.next_offset == 200)
    });
    assert_eq!(status.replicas.len(), 3);
    assert_eq!(rig.status(1).appended_records(), 200);
    assert_eq!(rig.status(2).appended_records(), 0);
}

#[test]
fn requests_of_one_connection_are_appended_in_their_order() {
    let mut rig = Rig::start(3);
    let id = rig.create_partition(&[2, 3, 1]);
    let mut client = rig.client(2);
    client.produce_soon(id, &batch(&["first"]));
    let request = Request::Produce {
        partition: id,
        acks: Acks::Quorum,
    };
    for number in 1..500 {
        client.send(&request, &batch(&[&format!("{number}")]));
    }
    let mut offsets: Vec<_> = (1..500)
        .map(|_| match client.receive() {
            (correlation, Response::Produced { base_offset }, _) => (correlation, base_offset),
            (_, other, _) => panic!("{other:?}"),
        })
        .collect();
    offsets.sort_unstable();
    let places: Vec<_> = offsets.iter().map(|(_, offset)| *offset).collect();
    assert_eq!(places, (1..500).collect::<Vec<u64>>());
}

#[test]
fn a_batch_sent_twice_is_appended_once() {
    let mut rig = Rig::start(1);
    let id = rig.create_partition(&[1]);
    let mut client = rig.client(1);
    assert_eq!(client.produce_soon(id, &sequenced(9, 0, 0, &["a", "b"])), 0);
    assert_eq!(client.produce(id, &sequenced(9, 0, 2, &["c"])), Ok(2));
    assert_eq!(client.produce(id, &sequenced(9, 0, 0, &["a", "b"])), Ok(0));
    assert_eq!(client.produce(id, &sequenced(9, 0, 2, &["c"])), Ok(2));
    let gap = client.produce(id, &sequenced(9, 0, 5, &["f"])).unwrap_err();
    assert_eq!(gap.code, Code::OutOfOrderSequence);
    assert_eq!(client.produce(id, &sequenced(9, 1, 0, &["d"])), Ok(3));
    let fenced = client.produce(id, &sequenced(9, 0, 3, &["x"])).unwrap_err();
    assert_eq!(fenced.code, Code::FencedProducer);
    assert_eq!(client.read_all(id, 4), ["a", "b", "c", "d"]);
}

#[test]
fn a_repetition_waits_for_the_commit_like_its_first_sending() {
    let mut rig = Rig::start(2);
    let id = rig.create_partition(&[1, 2]);
    let mut client = rig.client(1);
    client.produce_soon(id, &sequenced(9, 0, 0, &["a"]));
    rig.kill_node(2);
    let request = Request::Produce {
        partition: id,
        acks: Acks::Quorum,
    };
    let first = client.send(&request, &sequenced(9, 0, 1, &["b"]));
    let second = client.send(&request, &sequenced(9, 0, 1, &["b"]));
    // Requests are carried out in order: both are in by the time that this is answered.
    assert_eq!(client.describe(id).unwrap().node, 1);
    rig.start_node(2);
    let mut answered = [client.receive(), client.receive()].map(|(correlation, response, _)| {
        assert_eq!(response, Response::Produced { base_offset: 1 });
        correlation
    });
    answered.sort_unstable();
    assert_eq!(answered, [first, second]);
}

#[test]
fn acks_of_the_leader_alone_do_not_wait_for_others() {
    let mut rig = Rig::start(2);
    let id = rig.create_partition(&[1, 2]);
    let mut client = rig.client(1);
    client.produce_soon(id, &batch(&["committed"]));
    rig.kill_node(2);
    assert_eq!(
        client.produce_with(id, Acks::Leader, &batch(&["leader only"])),
        Ok(1)
    );
    let request = Request::Produce {
        partition: id,
        acks: Acks::None,
    };
    client.send(&request, &batch(&["unanswered"]));
    // The next answer belongs to the next request, so nothing was answered to the one before.
    let status = client.describe(id).unwrap();
    assert_eq!(status.high_watermark, 1, "consumers see none of it yet");
    rig.start_node(2);
    assert_eq!(
        client.read_all(id, 3),
        ["committed", "leader only", "unanswered"]
    );
}

#[test]
fn bad_batches_are_refused_by_name_and_change_nothing() {
    let mut rig = Rig::start(1);
    let id = rig.create_partition(&[1]);
    let mut client = rig.client(1);
    client.produce_soon(id, &batch(&["good"]));
    let good = batch(&["more"]);
    let mut refused = |bytes: &[u8]| client.produce(id, bytes).unwrap_err().code;

    let mut damaged = good.to_vec();
    damaged[HEADER_BYTES + 2] ^= 1;
    assert_eq!(refused(&damaged), Code::CorruptBatch);
    assert_eq!(refused(&good[..good.len() - 1]), Code::CorruptBatch);
    assert_eq!(
        refused(&[good.clone(), good.clone()].concat()),
        Code::CorruptBatch
    );
    assert_eq!(refused(&[]), Code::CorruptBatch);
    assert_eq!(refused(&[0xff; 100]), Code::InvalidBatch);
    let mut elsewhere = good.to_vec();
    elsewhere[7] = 5;
    assert_eq!(
        refused(&elsewhere),
        Code::InvalidBatch,
        "the base offset is the leader's"
    );
    let large = batch(&["x".repeat(BATCH_BYTES_MAX).as_str()]);
    assert_eq!(refused(&large), Code::BatchTooLarge);

    assert_eq!(client.describe(id).unwrap().high_watermark, 1);
    assert_eq!(client.produce(id, &good), Ok(1), "the connection goes on");
}

#[test]
fn a_compacted_topic_takes_only_what_can_be_compacted() {
    let mut rig = Rig::start(1);
    let id = rig.create_partition(&[1]);
    let other = rig.create_partition(&[1]);
    let mut client = rig.client(1);
    let keyed = keyed(&[("a", Some("1")), ("", Some("2")), ("a", None)]);
    client.produce_soon(id, &keyed);
    client.produce_soon(other, &batch(&["without a key"]));
    rig.compact(id, Compaction::default());
    // The shard hears of it at some time; nothing else tells when.
    let refusal = loop {
        match client.produce(id, &batch(&["without a key"])) {
            Ok(_) => std::thread::yield_now(),
            Err(refusal) => break refusal,
        }
    };
    assert_eq!(refusal.code, Code::InvalidBatch);
    assert!(
        refusal.detail.contains("partition 0 is compacted")
            && refusal.detail.contains("record 0 of the batch has no key"),
        "{refusal:?}"
    );
    let end = client.describe(id).unwrap().high_watermark;
    let compressed = compressed(&keyed);
    let refusal = client.produce(id, &compressed).unwrap_err();
    assert!(
        refusal.detail.contains("compressed with gzip"),
        "{refusal:?}"
    );
    assert_eq!(
        client.produce(other, &compressed),
        Ok(1),
        "no other topic minds"
    );
    assert_eq!(client.produce(id, &keyed), Ok(end), "nothing was appended");
}

/// The batch, as one of a producer that compresses: what is in it is nobody's business.
fn compressed(batch: &[u8]) -> Vec<u8> {
    let mut batch = batch.to_vec();
    batch[22] |= 1;
    let crc = crc32c::crc32c(&batch[21..]);
    batch[17..21].copy_from_slice(&crc.to_be_bytes());
    batch
}

#[test]
fn whoever_asks_the_wrong_node_learns_the_right_one() {
    let mut rig = Rig::start(2);
    let id = rig.create_partition(&[2, 1]);
    rig.client(2).produce_soon(id, &batch(&["here"]));
    let mut follower = rig.client(1);
    let right = Some(rig.address(2).to_string());
    let refusal = follower.produce(id, &batch(&["there"])).unwrap_err();
    assert_eq!(
        (refusal.code, refusal.instead),
        (Code::NotLeader, right.clone())
    );
    let refusal = follower.fetch(id, 0, 0).unwrap_err();
    assert_eq!((refusal.code, refusal.instead), (Code::NotLeader, right));

    let gone = rig.create_partition(&[2]);
    rig.delete_partition(gone);
    let refusal = rig
        .client(2)
        .produce(gone, &batch(&["nowhere"]))
        .unwrap_err();
    assert_eq!(refusal.code, Code::UnknownPartition);
    // A client may know of a partition before this node does.
    let refusal = rig
        .client(2)
        .produce(gone + 1, &batch(&["nowhere"]))
        .unwrap_err();
    assert_eq!(refusal.code, Code::NotLeader);
}
