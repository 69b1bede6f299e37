//! Two of three nodes are dead: nothing can be acknowledged, but what was can be read.

use std::time::Instant;

use quorate_jepsen::{Cluster, PATIENCE, Payload};
use quorate_tests::{
    TOPIC, assert_clear_error, assert_works, cluster_with_topic, read_to_the_end, sure, take_turn,
};

const RECORDS: usize = 1000;

fn produce(cluster: &Cluster) {
    let text: String = (0..RECORDS).map(|line| format!("line {line}\n")).collect();
    let finished = sure(
        cluster
            .command_line()
            .feed(&["produce", TOPIC], text.into_bytes()),
    );
    assert!(finished.success, "{}", finished.stderr);
}

fn kill_all_but(cluster: &mut Cluster, survivor: u16) {
    for id in cluster.node_ids() {
        if id != survivor {
            sure(cluster.kill(id));
        }
    }
}

fn assert_produce_fails_at_its_deadline(cluster: &Cluster) {
    let arguments = [
        "produce",
        TOPIC,
        "--delivery-timeout",
        "3s",
        "--output",
        "json",
    ];
    let finished = sure(
        cluster
            .command_line()
            .feed(&arguments, b"too late\n".to_vec()),
    );
    assert_clear_error(&finished, "produce without a majority", &[TOPIC]);
    assert!(
        finished.stdout.is_empty(),
        "nothing can have been acknowledged"
    );
}

#[test]
fn produce_fails_at_its_deadline_and_the_surviving_leader_still_gives_everything() {
    let _turn = take_turn();
    let mut cluster = cluster_with_topic(1);
    produce(&cluster);
    let leader = sure(cluster.leader(TOPIC, 0));
    kill_all_but(&mut cluster, leader);
    assert_produce_fails_at_its_deadline(&cluster);
    let reading = read_to_the_end(&cluster, 0, Instant::now());
    assert_eq!(reading.records.len(), RECORDS);
    sure(cluster.heal());
    assert_record_count_is_at_least(&cluster, RECORDS);
}

#[test]
fn surviving_follower_still_gives_what_it_knows_to_be_committed() {
    let _turn = take_turn();
    let mut cluster = cluster_with_topic(1);
    produce(&cluster);
    let leader = sure(cluster.leader(TOPIC, 0));
    let follower = cluster.node_ids().into_iter().find(|id| *id != leader);
    kill_all_but(&mut cluster, follower.expect("there are three nodes"));
    assert_produce_fails_at_its_deadline(&cluster);
    let finished = sure(cluster.command_line().finish(&["consume", TOPIC]));
    let read = String::from_utf8_lossy(&finished.stdout);
    assert!(
        read.lines().count() > 0,
        "nothing can be read: {}",
        finished.stderr
    );
    for (number, line) in read.lines().enumerate() {
        assert_eq!(line, format!("line {number}"));
    }
    sure(cluster.heal());
    assert_record_count_is_at_least(&cluster, RECORDS);
}

/// The record that was sent too late may have survived or not; the others must have.
fn assert_record_count_is_at_least(cluster: &Cluster, count: usize) {
    sure(cluster.wait_whole(PATIENCE));
    let reading = read_to_the_end(cluster, 0, Instant::now());
    assert!(
        reading.records.len() >= count,
        "only {} records",
        reading.records.len()
    );
    // These records are plain text, which a reader of values takes for damaged ones.
    assert!(
        reading
            .records
            .iter()
            .all(|record| matches!(record.payload, Payload::Damaged(_)))
    );
}

#[test]
fn cluster_works_again_when_the_majority_returns() {
    let _turn = take_turn();
    let mut cluster = cluster_with_topic(1);
    let leader = sure(cluster.leader(TOPIC, 0));
    kill_all_but(&mut cluster, leader);
    sure(cluster.heal());
    assert_works(&cluster);
}
