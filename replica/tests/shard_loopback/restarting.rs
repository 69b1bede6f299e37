use quorate_wire::{Code, Request};

use crate::client::{batch, fetch_request, sequenced};
use crate::rig::Rig;

#[test]
fn a_stopped_node_finds_all_again() {
    let mut rig = Rig::start(1);
    let ids = [rig.create_partition(&[1]), rig.create_partition(&[1])];
    let mut client = rig.client(1);
    for id in ids {
        client.produce_soon(id, &sequenced(4, 0, 0, &["a", "b"]));
    }
    rig.stop_node(1);
    rig.start_unregistered(1);
    let mut client = rig.client(1);
    for id in ids {
        // How far it was committed was kept, so no leader is needed to read.
        assert_eq!(client.read_all(id, 2), ["a", "b"]);
    }
    rig.stop_node(1);
    rig.start_node(1);
    let mut client = rig.client(1);
    assert_eq!(
        client.produce_soon(ids[0], &sequenced(4, 0, 0, &["a", "b"])),
        0
    );
    assert_eq!(client.produce(ids[0], &sequenced(4, 0, 2, &["c"])), Ok(2));
}

#[test]
fn a_killed_cluster_has_everything_that_it_acknowledged() {
    let mut rig = Rig::start(3);
    let id = rig.create_partition(&[1, 2, 3]);
    let mut client = rig.client(1);
    client.produce_soon(id, &batch(&["0"]));
    for number in 1..300 {
        client.produce(id, &batch(&[&format!("{number}")])).unwrap();
    }
    for node in 1..=3 {
        rig.kill_node(node);
    }
    for node in 1..=3 {
        rig.start_node(node);
    }
    let expected: Vec<String> = (0..300).map(|number| format!("{number}")).collect();
    for node in 1..=3 {
        assert_eq!(rig.client(node).read_all(id, 300), expected, "node {node}");
    }
    assert_eq!(rig.client(1).produce_soon(id, &batch(&["300"])), 300);
}

#[test]
fn a_restarted_node_does_not_lead_before_it_is_registered() {
    let mut rig = Rig::start(2);
    let (known, given) = (rig.create_partition(&[1, 2]), rig.create_partition(&[1, 2]));
    for id in [known, given] {
        rig.client(1).produce_soon(id, &batch(&["before"]));
    }
    let other = rig.create_partition(&[2, 1]);
    rig.client(2).produce_soon(other, &batch(&["before"]));
    rig.kill_node(1);
    // One leadership is from before the restart, the other was given to a node that was down.
    rig.lead(given, 1);
    rig.start_unregistered(1);
    // By the time that another partition has a majority, which needs this node, the leaderships
    // would have been taken up as well.
    rig.lead(other, 2);
    rig.client(2).produce_soon(other, &batch(&["first"]));
    for _ in 0..100 {
        rig.client(2).produce(other, &batch(&["more"])).unwrap();
    }
    let mut client = rig.client(1);
    for id in [known, given] {
        let refusal = client.produce(id, &batch(&["too early"])).unwrap_err();
        assert_eq!(refusal.code, Code::NotLeader);
    }
    rig.stop_node(1);
    rig.start_node(1);
    for id in [known, given] {
        assert_eq!(rig.client(1).produce_soon(id, &batch(&["in time"])), 1);
    }
}

#[test]
fn a_folder_that_was_about_to_be_removed_is_not_taken_for_the_partition() {
    let mut rig = Rig::start(1);
    let id = rig.create_partition(&[1]);
    rig.client(1).produce_soon(id, &batch(&["dropped"]));
    rig.stop_node(1);
    // The node held the next partition once, was told to drop it, and was interrupted after the
    // facts were gone.
    let (source, target) = (rig.partition_folder(1, id), rig.partition_folder(1, id + 1));
    std::fs::create_dir(&target).unwrap();
    for entry in std::fs::read_dir(source).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), target.join(entry.file_name())).unwrap();
    }
    rig.start_node(1);
    let again = rig.create_partition(&[1]);
    assert_eq!(again, id + 1);
    let mut client = rig.client(1);
    assert_eq!(client.produce_soon(again, &batch(&["anew"])), 0);
    assert_eq!(client.read_all(again, 1), ["anew"]);
}

#[test]
fn a_deleted_partition_leaves_nothing_behind() {
    let mut rig = Rig::start(2);
    let (kept, gone) = (rig.create_partition(&[1, 2]), rig.create_partition(&[1, 2]));
    let mut client = rig.client(1);
    for id in [kept, gone] {
        client.produce_soon(id, &batch(&["record"]));
    }
    rig.client(2).read_all(gone, 1);
    let mut parked = rig.client(1);
    parked.send(&fetch_request(gone, 1, 60_000, false), &[]);
    rig.delete_partition(gone);
    let (_, response, _) = parked.receive();
    let quorate_wire::Response::Refused(refusal) = response else {
        panic!("{response:?}")
    };
    assert_eq!(refusal.code, Code::UnknownPartition);
    for node in [1, 2] {
        wait_until_gone(&mut rig, node, gone);
    }
    assert_eq!(client.produce(kept, &batch(&["goes on"])), Ok(1));
    // Nothing of it comes back either.
    rig.stop_node(1);
    rig.start_node(1);
    let refusal = rig.client(1).describe(gone).unwrap_err();
    assert_eq!(refusal.code, Code::UnknownPartition);
}

#[test]
fn a_partition_deleted_while_a_node_was_down_is_removed_when_it_returns() {
    let mut rig = Rig::start(2);
    let id = rig.create_partition(&[1, 2]);
    rig.client(1).produce_soon(id, &batch(&["record"]));
    rig.client(2).read_all(id, 1);
    rig.kill_node(2);
    rig.delete_partition(id);
    assert!(rig.partition_folder(2, id).exists());
    rig.start_node(2);
    wait_until_gone(&mut rig, 2, id);
}

#[test]
fn a_stopping_node_answers_what_is_parked() {
    let mut rig = Rig::start(1);
    let id = rig.create_partition(&[1]);
    let mut client = rig.client(1);
    client.produce_soon(id, &batch(&["record"]));
    client.send(&fetch_request(id, 1, 60_000, false), &[]);
    client.call_behind(&Request::Describe { partition: id });
    rig.stop_node(1);
    let (_, response, payload) = client.receive();
    let fetched = crate::client::fetched(response, payload).unwrap();
    assert_eq!((fetched.high_watermark, fetched.batches.len()), (1, 0));
}

/// The folder goes after the answer that the partition is unknown; new partitions are opened by the
/// same task, after it.
pub(crate) fn wait_until_gone(rig: &mut Rig, node: u16, id: u64) {
    let next = rig.create_partition(&[node]);
    rig.client(node).produce_soon(next, &batch(&["opened"]));
    assert!(!rig.partition_folder(node, id).exists(), "node {node}");
}
