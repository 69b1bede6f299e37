//! A leader that stands still for ten seconds and does not know it.

use std::thread;
use std::time::{Duration, Instant};

use quorate_jepsen::{PATIENCE, Shape, Workload};
use quorate_tests::{
    Load, TOPIC, cluster_with_topic, read_to_the_end, sure, take_turn, wait_led_by_another,
};

const PAUSE: Duration = Duration::from_secs(10);

#[test]
fn stale_leader_neither_acknowledges_nor_corrupts() {
    let _turn = take_turn();
    let mut cluster = cluster_with_topic(1);
    let load = Load::start(&cluster, 1);
    let stale = sure(cluster.leader(TOPIC, 0));
    sure(cluster.pause(stale));
    let paused = Instant::now();

    // More writers, which know only the node that sleeps: what they send waits in its sockets
    // and meets it the moment it wakes.
    let shape = Shape {
        first_process: 1000,
        reads: false,
        ..Shape::new(TOPIC, 1)
    };
    let sleepers = Workload::start(cluster.command_line_of(stale), shape, load.origin());

    wait_led_by_another(&cluster, 0, stale);
    load.wait_progress();
    thread::sleep(PAUSE.saturating_sub(paused.elapsed()));
    sure(cluster.resume(stale));

    load.wait_progress();
    sure(sleepers.wait_acknowledged(1, PATIENCE));
    sure(cluster.wait_whole(PATIENCE));
    load.judge_with(&cluster, sleepers.stop());
    assert!(cluster.is_running(stale));
    read_to_the_end(&cluster, 0, Instant::now());
}
