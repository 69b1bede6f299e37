use quorate_wire::Code;

use crate::client::{batch, sequenced, wait_until};
use crate::restarting::wait_until_gone;
use crate::rig::Rig;

#[test]
fn a_partition_moves_to_other_nodes_with_everything_and_leaves_nothing_behind() {
    let mut rig = Rig::start(6);
    let id = rig.create_partition(&[1, 2, 3]);
    let mut client = rig.client(1);
    client.produce_soon(id, &sequenced(7, 0, 0, &["a"]));
    client
        .produce(id, &sequenced(7, 0, 1, &["b", "c"]))
        .unwrap();
    rig.move_to(id, &[4, 5, 6]);
    let leader = rig.partition(id).leader.0;
    assert!([4, 5, 6].contains(&leader), "node {leader} leads");
    // The new leader knows what the old one has acknowledged, and goes on where it ended.
    let mut client = rig.client(leader);
    assert_eq!(client.produce_soon(id, &sequenced(7, 0, 1, &["b", "c"])), 1);
    assert_eq!(client.produce(id, &sequenced(7, 0, 3, &["d"])), Ok(3));
    for node in 4..=6 {
        assert_eq!(
            rig.client(node).read_all(id, 4),
            ["a", "b", "c", "d"],
            "node {node}"
        );
    }
    for node in 1..=3 {
        wait_until_gone(&mut rig, node, id);
        let refusal = rig.client(node).describe(id).unwrap_err();
        assert_eq!(refusal.code, Code::NotLeader, "it is known to be elsewhere");
    }
}

#[test]
fn a_learner_counts_for_nothing_and_a_joint_epoch_needs_both_majorities() {
    let mut rig = Rig::start(4);
    let id = rig.create_partition(&[1, 2, 3]);
    rig.client(1).produce_soon(id, &batch(&["a"]));
    rig.wish(id, &[1, 4]);
    rig.advance(id);
    rig.wait_done(id);
    // Two voters are dead: the learner, which has everything, does not make up for them.
    rig.kill_node(2);
    rig.kill_node(3);
    let mut client = rig.client(1);
    client.send_produce(id, &batch(&["b"]));
    rig.client(4)
        .describe_until(id, |status| status.replicas[0].next_offset == 2);
    assert_eq!(rig.client(1).describe(id).unwrap().high_watermark, 1);
    rig.start_node(2);
    assert!(client.receive_produced().is_ok());
    rig.advance(id);
    rig.wait_done(id);
    assert_eq!(rig.client(1).produce(id, &batch(&["c"])), Ok(2));
    // Of the new voters one is gone; all of the previous ones would not be enough.
    rig.start_node(3);
    rig.kill_node(4);
    let mut client = rig.client(1);
    client.send_produce(id, &batch(&["d"]));
    rig.client(3)
        .describe_until(id, |status| status.replicas[0].next_offset == 4);
    assert_eq!(rig.client(1).describe(id).unwrap().high_watermark, 3);
    rig.start_node(4);
    assert!(client.receive_produced().is_ok());
}

#[test]
fn a_node_that_was_down_while_its_partition_moved_drops_it_when_it_returns() {
    let mut rig = Rig::start(4);
    let id = rig.create_partition(&[1, 2, 3]);
    rig.client(1).produce_soon(id, &batch(&["a"]));
    rig.client(3).read_all(id, 1);
    rig.kill_node(3);
    rig.move_to(id, &[1, 2, 4]);
    assert!(rig.partition_folder(3, id).exists());
    rig.start_node(3);
    wait_until_gone(&mut rig, 3, id);
    assert_eq!(rig.client(1).produce(id, &batch(&["b"])), Ok(1));
    // Once more with the same node, which begins with nothing.
    rig.move_to(id, &[1, 2, 3]);
    assert_eq!(rig.client(3).read_all(id, 2), ["a", "b"]);
}

#[test]
fn an_unregistered_node_drops_nothing_and_begins_nothing() {
    let mut rig = Rig::start(3);
    let moved = rig.create_partition(&[1, 2, 3]);
    let deleted = [(); 2].map(|()| rig.create_partition(&[1, 2, 3]));
    for id in [moved, deleted[0], deleted[1]] {
        rig.client(1).produce_soon(id, &batch(&["a"]));
        rig.client(3).read_all(id, 1);
    }
    rig.kill_node(3);
    rig.move_to(moved, &[1, 2]);
    let new = rig.create_partition(&[1, 2, 3]);
    // What it knows may be from long ago: only its registration tells that it is not.
    rig.start_unregistered(3);
    for id in deleted {
        rig.delete_partition(id);
        wait_until("what was deleted is gone", || {
            !rig.partition_folder(3, id).exists()
        });
    }
    // Before it removes the second it has done all else that it had to do with the first.
    assert!(rig.partition_folder(3, moved).exists());
    assert!(!rig.partition_folder(3, new).exists());
    rig.stop_node(3);
    rig.start_node(3);
    wait_until_gone(&mut rig, 3, moved);
    rig.client(1).produce_soon(new, &batch(&["b"]));
    assert_eq!(rig.client(3).read_all(new, 1), ["b"]);
}
