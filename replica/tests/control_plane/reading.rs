//! What is told as the truth is the truth, or nothing is told.

use std::time::Instant;

use quorate_wire::{ClusterMetadata, Code, Consistency, Request, Response};

use crate::client::{PATIENCE, Session, ask};
use crate::cluster::{CLUSTER, Cluster};
use crate::{alive, assert_created, create, primary};

fn read() -> Request {
    Request::Metadata {
        topics: None,
        consistency: Consistency::Linearizable,
    }
}

/// Asks one node, which has to be the primary.
fn read_at(cluster: &Cluster, node: u16) -> Result<ClusterMetadata, Code> {
    let address = cluster.addresses()[usize::from(node) - 1];
    match ask(address, CLUSTER, &read()).unwrap() {
        Response::Metadata(metadata) => Ok(metadata),
        Response::Refused(refusal) => Err(refusal.code),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_read_after_an_acknowledged_create_sees_it_whoever_was_asked_for_either() {
    let cluster = Cluster::start(3);
    cluster.wait_until(|metadata| alive(metadata) == 3);
    let sessions = (0..3usize).map(|place| {
        let mut addresses = cluster.addresses();
        addresses.rotate_left(place);
        Session::register(CLUSTER, &addresses, place as u128 + 1)
    });
    let mut sessions: Vec<_> = sessions.collect();
    for number in 0..30 {
        let name = format!("topic-{number}");
        assert_created(sessions[number % 3].control(create(&name, 1, 3)));
        let Response::Metadata(metadata) = sessions[(number + 1) % 3].ask_primary(&read()) else {
            panic!("a read of the metadata is answered by the metadata");
        };
        assert_eq!(metadata.topics.len(), number + 1);
        assert!(metadata.topic(&name).is_ok());
    }
}

/// Whatever it knows, it may be out of date, and the others may have gone on without it.
#[test]
fn a_primary_that_is_left_alone_stops_answering_from_its_memory() {
    let mut cluster = Cluster::start(3);
    cluster.wait_until(|metadata| alive(metadata) == 3);
    let primary = primary(&cluster);
    assert!(read_at(&cluster, primary).is_ok());
    for node in (1..=3).filter(|node| *node != primary) {
        cluster.kill(node);
    }
    // Its lease holds for a moment, in which the others could not have gone on either.
    let deadline = Instant::now() + PATIENCE;
    while read_at(&cluster, primary).is_ok() {
        assert!(Instant::now() < deadline, "it still tells what it knows");
    }
    for _ in 0..5 {
        let told = read_at(&cluster, primary);
        let is_refused = matches!(told, Err(Code::NotPrimary | Code::Unavailable));
        assert!(is_refused, "{told:?}");
    }
}

#[test]
fn a_backup_names_the_primary_and_tells_nothing() {
    let cluster = Cluster::start(3);
    cluster.wait_until(|metadata| alive(metadata) == 3);
    let primary = primary(&cluster);
    let backup = (1..=3).find(|node| *node != primary).unwrap();
    let addresses = cluster.addresses();
    let backup = addresses[usize::from(backup) - 1];
    let Response::Refused(refusal) = ask(backup, CLUSTER, &read()).unwrap() else {
        panic!("a backup has told what it knows as if it were the truth");
    };
    assert_eq!(refusal.code, Code::NotPrimary);
    let primary = addresses[usize::from(primary) - 1].to_string();
    assert_eq!(refusal.instead, Some(primary));
}

#[test]
fn the_only_node_of_a_cluster_answers_at_once() {
    let cluster = Cluster::start(1);
    cluster.wait_until(|metadata| alive(metadata) == 1);
    let metadata = read_at(&cluster, 1).unwrap();
    assert_eq!(metadata.nodes.len(), 1);
}
