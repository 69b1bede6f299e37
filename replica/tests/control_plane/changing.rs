use quorate_replica::metadata::Metadata;
use quorate_vsr::NodeId;
use quorate_vsr::group::Member;
use quorate_wire::{Code, ControlOperation, ControlReply, Request, Response, Role};

use super::{alive, assert_created, create, primary};
use crate::client::{Session, ask};
use crate::cluster::{CLUSTER, Cluster};

fn voters(metadata: &Metadata) -> Vec<u16> {
    ids(metadata.membership.voters())
}

fn standbys(metadata: &Metadata) -> Vec<u16> {
    ids(metadata.membership.standbys())
}

fn ids(members: &[Member]) -> Vec<u16> {
    members.iter().map(|member| member.node.0).collect()
}

fn founded(nodes: u16) -> (Cluster, Session) {
    let cluster = Cluster::start(nodes);
    cluster.wait_until(|metadata| alive(metadata) == usize::from(nodes));
    let session = Session::register(CLUSTER, &cluster.addresses(), 1);
    (cluster, session)
}

fn add(cluster: &Cluster, node: u16) -> ControlOperation {
    let address = cluster.addresses()[usize::from(node) - 1];
    ControlOperation::AddNode {
        node,
        control_address: address.to_string(),
    }
}

fn remove(node: u16) -> ControlOperation {
    let may_shrink = false;
    ControlOperation::RemoveNode { node, may_shrink }
}

fn role(cluster: &Cluster, node: u16) -> Role {
    let address = cluster.addresses()[usize::from(node) - 1];
    match ask(address, CLUSTER, &Request::Status).unwrap() {
        Response::Status(status) => status.role,
        other => panic!("a status was asked for: {other:?}"),
    }
}

#[test]
fn nodes_beyond_an_odd_number_stand_by() {
    let (cluster, _) = founded(4);
    cluster.wait_until(|metadata| standbys(metadata) == [4]);
    assert_eq!(role(&cluster, 4), Role::Standby);
    let (cluster, _) = founded(2);
    cluster.wait_until(|metadata| voters(metadata) == [1] && standbys(metadata) == [2]);
}

#[test]
fn a_cluster_grows_whether_a_node_is_added_or_started_first() {
    let (mut cluster, mut session) = founded(3);
    cluster.start_newcomer();
    assert_eq!(role(&cluster, 4), Role::Blank);
    assert_eq!(session.control(add(&cluster, 4)), ControlReply::Accepted);
    assert_eq!(session.control(add(&cluster, 4)), ControlReply::Accepted);
    cluster.wait_until(|metadata| standbys(metadata) == [4] && alive(metadata) == 4);
    cluster.start_newcomer();
    cluster.kill(5);
    assert_eq!(session.control(add(&cluster, 5)), ControlReply::Accepted);
    cluster.wait_until(|metadata| metadata.catalog.members.len() == 5);
    cluster.restart(5);
    cluster.wait_until(|metadata| voters(metadata) == [1, 2, 3, 4, 5] && alive(metadata) == 5);
    // The new ones count: with them two of the founders can be spared.
    cluster.kill(primary(&cluster));
    let next = cluster.running().next().unwrap().metadata.load().primary.0;
    let spared = (1..=3)
        .find(|id| cluster.is_running(*id) && *id != next)
        .unwrap();
    cluster.kill(spared);
    assert_created(session.control(create("a", 1, 3)));
}

#[test]
fn a_node_that_was_away_while_all_others_were_replaced_finds_the_cluster() {
    let (mut cluster, mut session) = founded(3);
    for node in [4, 5] {
        cluster.start_newcomer();
        assert_eq!(session.control(add(&cluster, node)), ControlReply::Accepted);
        cluster.wait_until(|metadata| alive(metadata) == usize::from(node));
    }
    cluster.wait_until(|metadata| voters(metadata) == [1, 2, 3, 4, 5]);
    cluster.kill(3);
    cluster.wait_until(|metadata| alive(metadata) == 4);
    let mut session = Session::register(CLUSTER, &cluster.addresses(), 2);
    for node in [1, 2] {
        assert_eq!(session.control(remove(node)), ControlReply::Accepted);
    }
    for node in [4, 5] {
        let has_left = |metadata: &Metadata| metadata.catalog.members.len() == 3;
        cluster.node(node).wait_until(has_left);
    }
    for node in [1, 2] {
        cluster.kill(node);
    }
    // It knows nobody who is still there.
    cluster.restart_knowing(3, 3);
    cluster.wait_until(|metadata| voters(metadata) == [3, 4, 5] && alive(metadata) == 3);
    cluster.kill(5);
    assert_created(session.control(create("a", 1, 3)));
}

#[test]
fn a_node_leaves_once_another_one_votes_in_its_place() {
    let (mut cluster, mut session) = founded(4);
    cluster.wait_until(|metadata| standbys(metadata) == [4]);
    let leaving = primary(&cluster);
    assert_eq!(session.control(remove(leaving)), ControlReply::Accepted);
    let others: Vec<_> = (1..=4).filter(|id| *id != leaving).collect();
    let others_know = |cluster: &Cluster| {
        for id in &others {
            cluster.node(*id).wait_until(|metadata| {
                let is_member = metadata.catalog.members.contains_key(&NodeId(leaving));
                voters(metadata) == others && !is_member
            });
        }
    };
    others_know(&cluster);
    cluster.kill(leaving);
    assert_created(session.control(create("a", 1, 3)));
    // Its configuration and its disk are those of before: it is no member all the same.
    cluster.restart(leaving);
    assert_created(session.control(create("b", 1, 3)));
    others_know(&cluster);
    let ControlReply::Refused(refusal) = session.control(remove(leaving)) else {
        panic!("it has left already");
    };
    assert_eq!(refusal.code, Code::UnknownNode);
    // It may come back with all that it has.
    assert_eq!(
        session.control(add(&cluster, leaving)),
        ControlReply::Accepted
    );
    cluster.wait_until(|metadata| alive(metadata) == 4);
}

#[test]
fn a_lost_disk_counts_for_nothing_until_it_is_given_up() {
    let (mut cluster, mut session) = founded(3);
    assert_created(session.control(create("kept", 3, 3)));
    let lost = primary(&cluster);
    cluster.lose_disk(lost);
    cluster.restart(lost);
    let others: Vec<_> = (1..=3).filter(|id| *id != lost).collect();
    for id in &others {
        cluster
            .node(*id)
            .wait_until(|metadata| alive(metadata) == 2);
    }
    assert_eq!(role(&cluster, lost), Role::Blank);
    let recover = ControlOperation::RecoverNode { node: lost };
    assert_eq!(session.control(recover.clone()), ControlReply::Accepted);
    cluster.wait_until(|metadata| {
        let voters = metadata.membership.voters();
        let blank = voters.iter().filter(|voter| voter.disk.0 != 0);
        alive(metadata) == 3 && voters.len() == 3 && blank.count() == 1
    });
    cluster.wait_until(|metadata| {
        let mut partitions = metadata.catalog.partitions.values();
        partitions.all(|it| it.absent == [NodeId(lost)] && it.leader != NodeId(lost))
    });
    // Now it counts again. Asked once more, there is nothing left to do.
    assert_eq!(session.control(recover), ControlReply::Accepted);
    cluster.kill(others[0]);
    assert_created(session.control(create("new", 1, 3)));
}

#[test]
fn a_disk_is_not_given_up_while_its_node_is_away_or_has_it() {
    let (mut cluster, mut session) = founded(3);
    cluster.kill(3);
    cluster.wait_until(|metadata| alive(metadata) == 2);
    let recover = ControlOperation::RecoverNode { node: 3 };
    let ControlReply::Refused(refusal) = session.control(recover.clone()) else {
        panic!("nobody has seen another disk");
    };
    assert!(refusal.detail.contains("not heard"), "{refusal}");
    cluster.restart(3);
    cluster.wait_until(|metadata| alive(metadata) == 3);
    let before = cluster.node(1).metadata.load().catalog.clone();
    assert_eq!(session.control(recover), ControlReply::Accepted);
    assert_eq!(
        cluster.node(1).metadata.load().catalog,
        before,
        "it has its disk"
    );
}

#[test]
fn the_primary_is_who_one_likes() {
    let (cluster, _) = founded(4);
    cluster.wait_until(|metadata| standbys(metadata) == [4]);
    for to in [3, 1, 2] {
        let from = primary(&cluster);
        let address = cluster.addresses()[usize::from(from) - 1];
        let answer = ask(address, CLUSTER, &Request::Transfer { to }).unwrap();
        assert_eq!(answer, Response::TransferBegun, "from {from} to {to}");
        cluster.wait_until(|metadata| metadata.primary == NodeId(to));
    }
    let address = cluster.addresses()[usize::from(primary(&cluster)) - 1];
    for to in [4, 9] {
        let Response::Refused(refusal) = ask(address, CLUSTER, &Request::Transfer { to }).unwrap()
        else {
            panic!("node {to} has no vote");
        };
        assert!(refusal.detail.contains("nodes 1, 2, 3"), "{refusal}");
    }
}
