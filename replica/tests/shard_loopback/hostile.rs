use quorate_replica::peer::PeerHello;
use quorate_wire::{Acks, ClusterId, Code, Frame, HEADER_BYTES, Header, Kind, Request, Response};

use crate::client::{Client, batch};
use crate::rig::{CLUSTER, DISK, Rig};

fn hello(cluster: ClusterId, to: u16, disk: u64) -> Vec<u8> {
    let hello = PeerHello {
        from: 2,
        to,
        shard: Some(0),
        incarnation: 1,
        disk,
    };
    hello.frame(cluster).to_vec()
}

#[test]
fn garbage_on_the_port_ends_its_connection_and_hurts_nobody() {
    let mut rig = Rig::start(1);
    let id = rig.create_partition(&[1]);
    let mut good = rig.client(1);
    good.produce_soon(id, &batch(&["before"]));
    let request = Request::Describe { partition: id };
    let body = quorate_wire::encode(&request);
    let frame = [&Frame::head(Kind::Request, CLUSTER, 1, &body, 0)[..]].concat();
    let mut damaged_header = frame.clone();
    damaged_header[12] ^= 1;
    let mut damaged_body = frame.clone();
    damaged_body[HEADER_BYTES] ^= 1;
    let mut newer = Header::decode(frame.first_chunk().unwrap())
        .unwrap()
        .encode();
    newer[8] = 9;
    let checksum = crc32c::crc32c(&newer[8..]);
    newer[4..8].copy_from_slice(&checksum.to_le_bytes());
    let bad: [&[u8]; 9] = [
        b"GET / HTTP/1.1\r\nHost: somewhere\r\nAccept: everything and more\r\n\r\n",
        &[0; 64],
        &damaged_header,
        &damaged_body,
        &newer,
        &Frame::head(Kind::Response, CLUSTER, 0, &[], 0),
        &Frame::head(Kind::Partitions, CLUSTER, 0, &[], 0),
        &hello(ClusterId(99), 1, DISK),
        &hello(CLUSTER, 3, DISK),
    ];
    for bytes in bad {
        let mut client = rig.client(1);
        client.send_raw(bytes);
        assert!(client.is_closed(), "{:?}", bytes.escape_ascii().to_string());
    }
    let mut peer = rig.client(1);
    peer.send_raw(&hello(CLUSTER, 1, DISK));
    peer.send_raw(&Frame::head(
        Kind::Partitions,
        CLUSTER,
        0,
        b"no list of messages",
        0,
    ));
    assert!(peer.is_closed(), "a peer that is not understood");
    assert_eq!(good.produce(id, &batch(&["after"])), Ok(1));
}

#[test]
fn a_node_is_heard_only_from_the_disk_that_counts_as_its_own() {
    let rig = Rig::start(2);
    let nothing = quorate_wire::encode(&Vec::<u64>::new());
    let frame = Frame::head(Kind::Partitions, CLUSTER, 0, &nothing, 0);
    let mut peer = rig.client(1);
    peer.send_raw(&hello(CLUSTER, 1, DISK));
    // If it were closed, there would soon be nobody to take them.
    (0..5_000).for_each(|_| peer.send_raw(&frame));
    let mut other = rig.client(1);
    other.send_raw(&hello(CLUSTER, 1, DISK + 1));
    other.send_raw(&frame);
    assert!(other.is_closed());
}

#[test]
fn half_a_frame_and_silence_keeps_nobody_else_waiting() {
    let mut rig = Rig::start(1);
    let id = rig.create_partition(&[1]);
    let body = quorate_wire::encode(&Request::Produce {
        partition: id,
        acks: Acks::Quorum,
    });
    let head = Frame::head(Kind::Request, CLUSTER, 1, &body, 1 << 20);
    let mut halves: Vec<Client> = Vec::new();
    for len in [0, 1, HEADER_BYTES, head.len(), head.len()] {
        let mut client = rig.client(1);
        client.send_raw(&head[..len]);
        halves.push(client);
    }
    assert_eq!(rig.client(1).produce_soon(id, &batch(&["whole"])), 0);
    drop(halves);
    assert_eq!(
        rig.client(1).produce(id, &batch(&["and after they left"])),
        Ok(1)
    );
}

#[test]
fn requests_for_another_cluster_or_without_sense_are_refused_by_name() {
    let mut rig = Rig::start(1);
    let id = rig.create_partition(&[1]);
    let mut client = rig.client(1);
    let mut refusal = |cluster, request: &Request, payload: &[u8]| {
        client.send_as(cluster, request, payload);
        match client.receive() {
            (_, Response::Refused(refusal), _) => refusal.code,
            (_, other, _) => panic!("{other:?}"),
        }
    };
    let describe = Request::Describe { partition: id };
    assert_eq!(refusal(ClusterId(99), &describe, &[]), Code::ForeignCluster);
    assert_eq!(
        refusal(ClusterId::UNKNOWN, &describe, &[]),
        Code::ForeignCluster
    );
    assert_eq!(
        refusal(CLUSTER, &describe, b"payload"),
        Code::InvalidRequest
    );
    client.send_raw(&Frame::head(
        Kind::Request,
        CLUSTER,
        7,
        b"not a request at all",
        0,
    ));
    let (correlation, Response::Refused(refusal), _) = client.receive() else {
        panic!("refused")
    };
    assert_eq!((correlation, refusal.code), (7, Code::InvalidRequest));
    client.describe_until(id, |status| status.is_open);
}

#[test]
fn a_connection_is_read_only_while_few_of_its_bytes_wait_for_a_majority() {
    const SENT: usize = 60;
    let mut rig = Rig::start(3);
    let id = rig.create_partition(&[1, 2, 3]);
    rig.client(1).produce_soon(id, &batch(&["committed"]));
    rig.kill_node(2);
    rig.kill_node(3);
    // Each is nearly a megabyte, and nobody will ever confirm it.
    let large = batch(&["x".repeat(1_000_000).as_str()]);
    let mut client = rig.client(1);
    let mut writer = client.clone_stream();
    let written = std::thread::spawn(move || {
        let request = Request::Produce {
            partition: id,
            acks: Acks::Quorum,
        };
        for _ in 0..SENT {
            writer.send(&request, &large);
        }
    });
    let mut other = rig.client(1);
    other.describe_until(id, |status| status.replicas[0].next_offset > 32);
    // What was taken in so far is refused now; what was not is refused for another reason.
    rig.lead(id, 2);
    let codes = (0..SENT).map(|_| match client.receive() {
        (_, Response::Refused(refusal), _) => refusal.code,
        (_, other, _) => panic!("{other:?}"),
    });
    let taken_in = codes.filter(|code| *code == Code::LeadershipLost).count();
    written.join().unwrap();
    assert!(
        (32..=35).contains(&taken_in),
        "{taken_in} batches were taken in"
    );
}

#[test]
fn a_partition_without_a_majority_refuses_more_than_it_may_keep() {
    let mut rig = Rig::start(3);
    let (alone, well) = (rig.create_partition(&[1, 2, 3]), rig.create_partition(&[1]));
    rig.client(1).produce_soon(alone, &batch(&["committed"]));
    rig.client(1).produce_soon(well, &batch(&["committed"]));
    rig.kill_node(2);
    rig.kill_node(3);
    let large = batch(&["x".repeat(1_000_000).as_str()]);
    let request = Request::Produce {
        partition: alone,
        acks: Acks::Quorum,
    };
    let mut clients: Vec<Client> = Vec::new();
    let mut sent = 0;
    let refusal = loop {
        let mut client = rig.client(1);
        for _ in 0..16 {
            client.send(&request, &large);
        }
        sent += 16;
        // The request behind them is answered first, unless one of them is refused.
        let describe = client.send(&Request::Describe { partition: alone }, &[]);
        let (correlation, response, _) = client.receive();
        clients.push(client);
        match response {
            Response::Refused(refusal) => break refusal,
            _ => assert_eq!(correlation, describe),
        }
        assert!(sent <= 160, "{sent} megabytes wait for a majority");
    };
    assert_eq!(refusal.code, Code::Overloaded);
    assert!(sent >= 64, "only {sent} megabytes were taken in");
    assert_eq!(rig.client(1).produce(well, &batch(&["goes on"])), Ok(1));
}
