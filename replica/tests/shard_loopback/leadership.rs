use std::collections::BTreeSet;

use quorate_vsr::NodeId;
use quorate_wire::{Acks, Code, Request, Response};

use crate::client::{Client, batch, sequenced};
use crate::rig::Rig;

#[test]
fn a_new_leader_goes_on_where_the_old_one_ended() {
    let mut rig = Rig::start(3);
    let id = rig.create_partition(&[1, 2, 3]);
    let mut expected = Vec::new();
    for round in 0..9 {
        let leader = 1 + round % 3;
        rig.lead(id, leader);
        let mut client = rig.client(leader);
        let first = format!("{round}.0");
        assert_eq!(
            client.produce_soon(id, &batch(&[&first])),
            expected.len() as u64
        );
        let second = format!("{round}.1");
        client.produce(id, &batch(&[&second])).unwrap();
        expected.extend([first, second]);
    }
    for node in 1..=3 {
        assert_eq!(
            rig.client(node).read_all(id, expected.len()),
            expected,
            "node {node}"
        );
    }
}

#[test]
fn a_batch_that_the_old_leader_has_acknowledged_is_not_appended_by_the_new_one() {
    let mut rig = Rig::start(3);
    let id = rig.create_partition(&[1, 2, 3]);
    rig.client(1).produce_soon(id, &sequenced(7, 0, 0, &["a"]));
    rig.client(1)
        .produce(id, &sequenced(7, 0, 1, &["b"]))
        .unwrap();
    rig.kill_node(1);
    rig.lead(id, 2);
    let mut client = rig.client(2);
    assert_eq!(client.produce_soon(id, &sequenced(7, 0, 1, &["b"])), 1);
    assert_eq!(client.produce(id, &sequenced(7, 0, 0, &["a"])), Ok(0));
    assert_eq!(client.produce(id, &sequenced(7, 0, 2, &["c"])), Ok(2));
    assert_eq!(client.read_all(id, 3), ["a", "b", "c"]);
}

#[test]
fn who_waits_for_a_leader_that_steps_down_is_told_that_the_outcome_is_unknown() {
    let mut rig = Rig::start(3);
    let id = rig.create_partition(&[1, 2, 3]);
    let mut client = rig.client(1);
    client.produce_soon(id, &batch(&["committed"]));
    rig.kill_node(2);
    rig.kill_node(3);
    let request = Request::Produce {
        partition: id,
        acks: Acks::Quorum,
    };
    client.send(&request, &batch(&["lonely"]));
    rig.client(1)
        .describe_until(id, |status| status.replicas[0].next_offset == 2);
    rig.lead(id, 2);
    let (_, Response::Refused(refusal), _) = client.receive() else {
        panic!("a refusal comes")
    };
    assert_eq!(refusal.code, Code::LeadershipLost);
    assert!(!refusal.code.is_definite());
}

#[test]
fn who_waits_for_a_partition_that_is_deleted_is_told_that_the_outcome_is_unknown() {
    let mut rig = Rig::start(3);
    let id = rig.create_partition(&[1, 2, 3]);
    let mut client = rig.client(1);
    client.produce_soon(id, &batch(&["committed"]));
    rig.kill_node(2);
    rig.kill_node(3);
    let request = Request::Produce {
        partition: id,
        acks: Acks::Quorum,
    };
    client.send(&request, &batch(&["lonely"]));
    rig.client(1)
        .describe_until(id, |status| status.replicas[0].next_offset == 2);
    rig.delete_partition(id);
    let (_, Response::Refused(refusal), _) = client.receive() else {
        panic!("a refusal comes")
    };
    assert_eq!(refusal.code, Code::LeadershipLost);
    assert!(!refusal.code.is_definite());
    assert!(refusal.detail.contains("deleted"), "{refusal}");
    let refusal = client.produce(id, &batch(&["too late"])).unwrap_err();
    assert_eq!(refusal.code, Code::UnknownPartition);
}

#[test]
fn records_of_a_deposed_leader_that_no_majority_has_are_cut() {
    let mut rig = Rig::start(3);
    let id = rig.create_partition(&[1, 2, 3]);
    let mut client = rig.client(1);
    client.produce_soon(id, &batch(&["kept"]));
    for node in [2, 3] {
        rig.client(node).read_all(id, 1);
    }
    rig.kill_node(2);
    rig.kill_node(3);
    assert_eq!(
        client.produce_with(id, Acks::Leader, &batch(&["lost"])),
        Ok(1)
    );
    rig.kill_node(1);
    rig.start_node(2);
    rig.start_node(3);
    rig.lead(id, 2);
    assert_eq!(rig.client(2).produce_soon(id, &batch(&["new"])), 1);
    rig.start_node(1);
    assert_eq!(rig.client(1).read_all(id, 2), ["kept", "new"]);
}

#[test]
fn a_follower_that_was_down_catches_up() {
    let mut rig = Rig::start(3);
    let id = rig.create_partition(&[1, 2, 3]);
    let mut client = rig.client(1);
    client.produce_soon(id, &batch(&["0"]));
    rig.kill_node(3);
    let expected: Vec<String> = (0..2_000).map(|number| format!("{number}")).collect();
    for value in &expected[1..] {
        client.produce(id, &batch(&[value])).unwrap();
    }
    client.describe_until(id, |status| {
        status.replicas.iter().any(|replica| !replica.in_sync)
    });
    rig.start_node(3);
    assert_eq!(rig.client(3).read_all(id, expected.len()), expected);
    client.describe_until(id, |status| {
        status.replicas.iter().all(|replica| replica.in_sync)
    });
}

#[test]
fn the_status_names_who_lags_and_forgets_who_has_caught_up() {
    let mut rig = Rig::start(3);
    let ids = [
        rig.create_partition(&[1, 2, 3]),
        rig.create_partition(&[1, 3, 2]),
    ];
    let mut client = rig.client(1);
    let is_whole = |client: &mut Client, wanted: bool| {
        for id in ids {
            client.describe_until(id, |status| {
                let in_sync = status.replicas.iter().all(|replica| replica.in_sync);
                status.is_open && in_sync == wanted
            });
        }
    };
    is_whole(&mut client, true);
    let summary = rig.status(1).summary();
    assert_eq!(
        (
            summary.replicas,
            summary.leaderships,
            summary.under_replicated
        ),
        (2, 2, 0)
    );
    assert_eq!(rig.status(2).summary().leaderships, 0);
    rig.kill_node(3);
    for id in ids {
        client.produce(id, &batch(&["x"])).unwrap();
    }
    is_whole(&mut client, false);
    let summary = rig.status(1).summary();
    assert_eq!(summary.under_replicated, 2);
    assert_eq!(summary.lagging, BTreeSet::from([NodeId(3)]));
    rig.start_node(3);
    is_whole(&mut client, true);
    assert_eq!(rig.status(1).summary().lagging, BTreeSet::new());
}

#[test]
fn a_majority_that_lost_its_leader_serves_without_the_third() {
    let mut rig = Rig::start(3);
    let ids: Vec<u64> = (0..20).map(|_| rig.create_partition(&[1, 2, 3])).collect();
    for id in &ids {
        rig.client(1).produce_soon(*id, &batch(&["before"]));
    }
    rig.kill_node(1);
    for id in &ids {
        rig.lead(*id, 3);
    }
    let mut client = rig.client(3);
    for id in ids {
        assert_eq!(client.produce_soon(id, &batch(&["after"])), 1);
        assert_eq!(client.read_all(id, 2), ["before", "after"]);
    }
}

#[test]
fn every_shard_replicates_with_its_counterparts_and_names_the_right_one() {
    let mut rig = Rig::start_sharded(3, 2);
    let ids: Vec<u64> = (0..6).map(|_| rig.create_partition(&[1, 2, 3])).collect();
    for (round, id) in ids.iter().enumerate() {
        let leader = 1 + (round % 3) as u16;
        rig.lead(*id, leader);
        let mut client = Client::connect(rig.address_of(leader, *id));
        client.produce_soon(*id, &batch(&["a record"]));
        for node in 1..=3 {
            let mut client = Client::connect(rig.address_of(node, *id));
            assert_eq!(client.read_all(*id, 1), ["a record"]);
            assert!(rig.partition_folder(node, *id).exists());
        }
        // The other shard of the leader knows where to go instead.
        let mut astray = Client::connect(rig.address_of(leader, id + 1));
        let refusal = astray.produce(*id, &batch(&["astray"])).unwrap_err();
        assert_eq!(refusal.code, Code::WrongShard);
        assert_eq!(
            refusal.instead,
            Some(rig.address_of(leader, *id).to_string())
        );
    }
}
