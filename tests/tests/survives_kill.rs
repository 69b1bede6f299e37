//! Whoever is killed while a producer writes: what is read afterwards is what was acknowledged.

use quorate_jepsen::{Cluster, PATIENCE};
use quorate_tests::{Load, TOPIC, cluster_with_topic, sure, take_turn};

const PARTITIONS: u32 = 2;

/// Kills a node under load, lets the others go on, starts it again, and judges.
fn kill_under_load(choose: impl FnOnce(&Cluster) -> u16) {
    let mut cluster = cluster_with_topic(PARTITIONS);
    let load = Load::start(&cluster, PARTITIONS);
    let victim = choose(&cluster);
    sure(cluster.kill(victim));
    load.wait_progress();
    sure(cluster.restart(victim));
    sure(cluster.wait_whole(PATIENCE));
    load.wait_progress();
    load.judge(&cluster);
}

#[test]
fn acknowledged_records_survive_the_leader() {
    let _turn = take_turn();
    kill_under_load(|cluster| sure(cluster.leader(TOPIC, 0)));
}

#[test]
fn acknowledged_records_survive_the_control_plane_primary() {
    let _turn = take_turn();
    kill_under_load(|cluster| sure(cluster.primary()));
}

#[test]
fn acknowledged_records_survive_a_follower() {
    let _turn = take_turn();
    kill_under_load(|cluster| {
        let leader = sure(cluster.leader(TOPIC, 0));
        let others = cluster.node_ids().into_iter().filter(|id| *id != leader);
        others.max().expect("there are three nodes")
    });
}

#[test]
fn acknowledged_records_survive_each_node_in_turn() {
    let _turn = take_turn();
    let mut cluster = cluster_with_topic(PARTITIONS);
    let load = Load::start(&cluster, PARTITIONS);
    for id in cluster.node_ids() {
        sure(cluster.kill(id));
        load.wait_progress();
        sure(cluster.restart(id));
        sure(cluster.wait_whole(PATIENCE));
    }
    load.wait_progress();
    load.judge(&cluster);
}

#[test]
fn acknowledged_records_survive_all_nodes_at_once() {
    let _turn = take_turn();
    let mut cluster = cluster_with_topic(PARTITIONS);
    let load = Load::start(&cluster, PARTITIONS);
    sure(cluster.kill_all());
    // A cold start, as after a power failure: nobody is left to ask.
    sure(cluster.interrupt());
    sure(cluster.up());
    sure(cluster.wait_whole(PATIENCE));
    load.wait_progress();
    load.judge(&cluster);
}
