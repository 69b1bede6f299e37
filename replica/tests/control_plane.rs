//! The control threads of whole clusters, without shards, on loopback and in temporary folders.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "control_plane/changing.rs"]
mod changing;
#[path = "control_plane/client.rs"]
mod client;
#[path = "control_plane/cluster.rs"]
mod cluster;
#[path = "control_plane/reading.rs"]
mod reading;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Instant;

use quorate_replica::metadata::Metadata;
use quorate_replica::peer::PeerHello;
use quorate_vsr::NodeId;
use quorate_vsr::group::Message;
use quorate_wire::{
    Acks, ClusterId, Code, Consistency, ControlOperation, ControlReply, Frame, Kind, Request,
    Response, Role,
};

use client::{PATIENCE, Session, ask, read_response, register_many};
use cluster::{CLUSTER, Cluster};

fn create(name: &str, partitions: u32, replication: u16) -> ControlOperation {
    ControlOperation::CreateTopic {
        name: name.to_owned(),
        partitions,
        replication,
        compaction: None,
    }
}

fn alive(metadata: &Metadata) -> usize {
    metadata
        .catalog
        .nodes
        .values()
        .filter(|node| node.is_alive)
        .count()
}

fn led_by(metadata: &Metadata, node: u16) -> usize {
    metadata
        .catalog
        .partitions
        .values()
        .filter(|p| p.leader == NodeId(node))
        .count()
}

fn assert_created(reply: ControlReply) {
    assert!(matches!(reply, ControlReply::TopicCreated(_)), "{reply:?}");
}

/// Whom a majority of the cluster takes for the primary, after somebody has asked it something.
fn primary(cluster: &Cluster) -> u16 {
    Session::register(CLUSTER, &cluster.addresses(), 1_000);
    let running = cluster.running();
    let newest = running
        .map(|node| node.metadata.load())
        .max_by_key(|metadata| metadata.view);
    newest.expect("some node runs").primary.0
}

#[test]
fn a_topic_created_through_any_node_is_known_to_all() {
    let cluster = Cluster::start(3);
    cluster.wait_until(|metadata| alive(metadata) == 3);
    for (place, name) in ["a", "b", "c"].into_iter().enumerate() {
        let mut addresses = cluster.addresses();
        addresses.rotate_left(place);
        let mut session = Session::register(CLUSTER, &addresses, place as u128 + 1);
        assert_created(session.control(create(name, 6, 3)));
    }
    cluster.wait_until(|metadata| metadata.catalog.partitions.len() == 18);
    for node in 1..=3 {
        cluster.wait_until(|metadata| led_by(metadata, node) == 6);
    }
}

#[test]
fn a_repeated_request_is_done_once_and_answered_alike() {
    let cluster = Cluster::start(3);
    cluster.wait_until(|metadata| alive(metadata) == 3);
    let mut session = Session::register(CLUSTER, &cluster.addresses(), 1);
    let first = session.control(create("a", 1, 1));
    assert_eq!(session.repeat(create("a", 1, 1)), first);
    let ControlReply::Refused(refusal) = session.control(create("a", 1, 1)) else {
        panic!("a second topic of that name was created");
    };
    assert_eq!(refusal.code, Code::TopicExists);
    let ControlReply::Refused(refusal) = session.control(create("b", 1, 4)) else {
        panic!("four replicas were placed on three nodes");
    };
    assert_eq!(refusal.code, Code::InvalidReplication);
    assert!(refusal.detail.contains("3 nodes"), "{}", refusal.detail);
}

#[test]
fn a_name_of_megabytes_is_refused_shortly_and_the_session_goes_on() {
    let cluster = Cluster::start(1);
    cluster.wait_until(|metadata| alive(metadata) == 1);
    let mut session = Session::register(CLUSTER, &cluster.addresses(), 1);
    let name = "\u{1}".repeat(2 << 20);
    for operation in [
        create(&name, 1, 1),
        ControlOperation::DeleteTopic { name: name.clone() },
    ] {
        let ControlReply::Refused(refusal) = session.control(operation) else {
            panic!("that is no name");
        };
        assert!(refusal.detail.len() < 4096, "{}", refusal.detail.len());
    }
    assert_created(session.control(create("a", 1, 1)));
}

#[test]
fn the_loss_of_the_primary_moves_its_leaderships_and_loses_nothing() {
    let mut cluster = Cluster::start(3);
    cluster.wait_until(|metadata| alive(metadata) == 3);
    let mut session = Session::register(CLUSTER, &cluster.addresses(), 1);
    assert_created(session.control(create("before", 9, 3)));
    let dead = primary(&cluster);
    cluster.kill(dead);
    cluster.wait_until(|metadata| alive(metadata) == 2 && led_by(metadata, dead) == 0);
    assert_created(session.control(create("meanwhile", 3, 2)));
    cluster.restart(dead);
    cluster.wait_until(|metadata| alive(metadata) == 3);
    cluster.wait_until(|metadata| metadata.catalog.topics.len() == 2);
    assert_created(session.control(create("after", 3, 3)));
    cluster.wait_until(|metadata| metadata.catalog.topics.len() == 3);
}

#[test]
fn a_cluster_that_was_stopped_as_a_whole_comes_back_with_everything() {
    let mut cluster = Cluster::start(3);
    cluster.wait_until(|metadata| alive(metadata) == 3);
    let mut session = Session::register(CLUSTER, &cluster.addresses(), 1);
    assert_created(session.control(create("kept", 5, 3)));
    let incarnations = |metadata: &Metadata| -> Vec<_> {
        metadata
            .catalog
            .nodes
            .values()
            .map(|node| node.incarnation)
            .collect()
    };
    let before = incarnations(&cluster.node(1).metadata.load());
    for id in 1..=3 {
        cluster.kill(id);
    }
    for id in 1..=3 {
        cluster.restart(id);
    }
    cluster.wait_until(|metadata| {
        let now = incarnations(metadata);
        alive(metadata) == 3 && now.iter().zip(&before).all(|(now, before)| now != before)
    });
    cluster.wait_until(|metadata| metadata.catalog.topics.contains_key("kept"));
    assert_created(session.control(create("new", 1, 1)));
}

#[test]
fn a_node_that_was_away_for_several_checkpoints_gets_the_state_and_keeps_it() {
    let mut cluster = Cluster::start(3);
    cluster.wait_until(|metadata| alive(metadata) == 3);
    let primary = primary(&cluster);
    let away = primary % 3 + 1;
    cluster.kill(away);
    cluster.wait_until(|metadata| alive(metadata) == 2);
    let mut session = Session::register(CLUSTER, &cluster.addresses(), 1);
    assert_created(session.control(create("meanwhile", 4, 2)));
    let address = cluster.addresses()[usize::from(primary) - 1];
    // A checkpoint is taken every 1024 operations, and the journal reaches back to the one before.
    register_many(address, CLUSTER, 10_000..13_500);
    cluster.restart(away);
    for _ in 0..2 {
        cluster.wait_until(|metadata| metadata.catalog.topics.contains_key("meanwhile"));
        cluster.wait_until(|metadata| alive(metadata) == 3);
        let files = cluster.files(away);
        assert!(files.contains(&"checkpoint-3072".to_owned()), "{files:?}");
        cluster.kill(away);
        cluster.restart(away);
    }
    for id in 1..=3 {
        cluster.kill(id);
        cluster.restart(id);
    }
    cluster.wait_until(|metadata| metadata.catalog.topics.contains_key("meanwhile"));
}

#[test]
fn a_stopping_node_is_relieved_of_its_leaderships() {
    let cluster = Cluster::start(3);
    cluster.wait_until(|metadata| alive(metadata) == 3);
    let mut session = Session::register(CLUSTER, &cluster.addresses(), 1);
    assert_created(session.control(create("a", 9, 3)));
    cluster.node(2).stop.set();
    cluster.wait_until(|metadata| led_by(metadata, 2) == 0 && alive(metadata) == 2);
    cluster.node(2).handed_over.wait_blocking();
}

#[test]
fn a_single_node_is_a_cluster_and_stops_without_waiting_for_others() {
    let mut cluster = Cluster::start(1);
    let mut session = Session::register(CLUSTER, &cluster.addresses(), 1);
    cluster.wait_until(|metadata| alive(metadata) == 1);
    assert_created(session.control(create("a", 2, 1)));
    cluster.node(1).stop.set();
    cluster.node(1).handed_over.wait_blocking();
    cluster.kill(1);
    cluster.restart(1);
    cluster.wait_until(|metadata| metadata.catalog.topics.len() == 1 && alive(metadata) == 1);
}

#[test]
fn without_a_majority_a_client_is_told_so() {
    let mut cluster = Cluster::start(3);
    cluster.wait_until(|metadata| alive(metadata) == 3);
    cluster.kill(2);
    cluster.kill(3);
    let address = cluster.addresses()[0];
    let Response::Refused(refusal) =
        ask(address, CLUSTER, &Request::Register { client: 5 }).unwrap()
    else {
        panic!("a minority has registered a client");
    };
    assert!(
        matches!(refusal.code, Code::Unavailable | Code::NotPrimary),
        "{refusal:?}"
    );
    // What is known can still be read.
    let request = Request::Metadata {
        topics: None,
        consistency: Consistency::AsKnown,
    };
    let response = ask(address, CLUSTER, &request).unwrap();
    assert!(matches!(response, Response::Metadata(_)), "{response:?}");
}

#[test]
fn status_tells_the_role_and_the_view() {
    let cluster = Cluster::start(3);
    cluster.wait_until(|metadata| alive(metadata) == 3);
    let primary = primary(&cluster);
    let address = cluster.addresses()[usize::from(primary) - 1];
    let Response::Status(status) = ask(address, CLUSTER, &Request::Status).unwrap() else {
        panic!("a status was asked for");
    };
    assert_eq!((status.node, status.role), (primary, Role::Primary));
    assert!(status.commit_number >= 3, "{status:?}");
}

#[test]
fn requests_that_do_not_belong_here_are_refused_by_name() {
    let cluster = Cluster::start(1);
    cluster.wait_until(|metadata| alive(metadata) == 1);
    let address = cluster.addresses()[0];
    let code = |asked: ClusterId, request: &Request| match ask(address, asked, request).unwrap() {
        Response::Refused(refusal) => refusal.code,
        other => panic!("{other:?}"),
    };
    assert_eq!(code(ClusterId(1), &Request::Status), Code::ForeignCluster);
    assert_eq!(
        code(ClusterId::UNKNOWN, &Request::Status),
        Code::ForeignCluster
    );
    let produce = Request::Produce {
        partition: 1,
        acks: Acks::Quorum,
    };
    assert_eq!(code(CLUSTER, &produce), Code::WrongShard);
    let uncounted = Request::Control {
        client: 1,
        session: 1,
        request_number: 0,
        operation: create("a", 1, 1),
    };
    assert_eq!(code(CLUSTER, &uncounted), Code::InvalidRequest);
    let foreign = Request::Control {
        client: 1,
        session: 99,
        request_number: 1,
        operation: create("a", 1, 1),
    };
    assert_eq!(code(CLUSTER, &foreign), Code::UnknownSession);
    let request = Request::Metadata {
        topics: None,
        consistency: Consistency::AsKnown,
    };
    let response = ask(address, ClusterId::UNKNOWN, &request).unwrap();
    assert!(matches!(response, Response::Metadata(told) if told.cluster_id() == CLUSTER));
}

#[test]
fn garbage_and_half_a_frame_end_a_connection_and_hurt_nobody_else() {
    let cluster = Cluster::start(1);
    cluster.wait_until(|metadata| alive(metadata) == 1);
    let address = cluster.addresses()[0];
    let mut garbage = TcpStream::connect(address).unwrap();
    garbage.set_read_timeout(Some(PATIENCE)).unwrap();
    garbage.write_all(&[b'x'; 100]).unwrap();
    let mut rest = Vec::new();
    // A reset is as good an end as any.
    let _ = garbage.read_to_end(&mut rest);
    assert!(rest.is_empty());
    let frame = Frame::head(
        Kind::Request,
        CLUSTER,
        7,
        &quorate_wire::encode(&Request::Status),
        0,
    );
    let mut halves = TcpStream::connect(address).unwrap();
    halves.set_read_timeout(Some(PATIENCE)).unwrap();
    halves.write_all(&frame[..frame.len() / 2]).unwrap();
    let status = ask(address, CLUSTER, &Request::Status).unwrap();
    assert!(matches!(status, Response::Status(_)), "{status:?}");
    halves.write_all(&frame[frame.len() / 2..]).unwrap();
    let status = read_response(&mut halves).unwrap();
    assert!(matches!(status, Response::Status(_)), "{status:?}");
    let mut nonsense = TcpStream::connect(address).unwrap();
    nonsense.set_read_timeout(Some(PATIENCE)).unwrap();
    nonsense
        .write_all(&Frame::head(Kind::Request, CLUSTER, 7, b"no request", 0))
        .unwrap();
    let Response::Refused(refusal) = read_response(&mut nonsense).unwrap() else {
        panic!("a request that makes no sense was answered");
    };
    assert_eq!(refusal.code, Code::InvalidRequest);
}

#[test]
fn a_link_of_a_node_ends_its_earlier_links() {
    let mut cluster = Cluster::start(3);
    cluster.wait_until(|metadata| alive(metadata) == 3);
    cluster.kill(3);
    let address = cluster.addresses()[0];
    let dial = |incarnation| {
        let hello = PeerHello {
            from: 3,
            to: 1,
            shard: None,
            incarnation,
            disk: 0,
        };
        let mut link = TcpStream::connect(address).unwrap();
        link.set_write_timeout(Some(PATIENCE)).unwrap();
        link.write_all(&hello.frame(CLUSTER)).unwrap();
        link
    };
    let mut earlier = dial(5);
    let _later = dial(6);
    let (view, promised) = Default::default();
    let message = Message::StartViewChange { view, promised };
    let frame = Frame::head(Kind::Group, CLUSTER, 0, &message.encode(), 0);
    let deadline = Instant::now() + PATIENCE;
    while earlier.write_all(&frame).is_ok() {
        assert!(Instant::now() < deadline, "the earlier link goes on");
    }
}
