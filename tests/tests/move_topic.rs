//! A topic moves to other nodes while it is written and read, and nobody notices.

use std::fs;

use quorate_jepsen::{Cluster, Failure, Options, PATIENCE, wait_until};
use quorate_tests::{Load, TOPIC, assert_refused, sure, take_turn};

const PARTITIONS: u32 = 2;

fn cluster() -> Cluster {
    let options = Options {
        nodes: 5,
        ..Options::default()
    };
    let cluster = sure(Cluster::start(options));
    let line = cluster.command_line();
    sure(line.create_topic(TOPIC, PARTITIONS, 3));
    sure(line.run(&["topic", "alter", TOPIC, "--replicas", "1,2,3"]));
    sure(cluster.wait_whole(PATIENCE));
    cluster
}

/// The nodes of all partitions, as the topic's description has them.
fn holders(cluster: &Cluster) -> Vec<Vec<u16>> {
    let partitions = sure(cluster.command_line().partitions(TOPIC));
    let nodes = |it: quorate_jepsen::PartitionDescription| {
        it.replicas.iter().map(|replica| replica.node).collect()
    };
    partitions.into_iter().map(nodes).collect()
}

#[test]
fn a_topic_moves_to_other_nodes_under_load() {
    let _turn = take_turn();
    let cluster = cluster();
    let load = Load::start(&cluster, PARTITIONS);
    let line = cluster.command_line();
    let said = sure(line.run(&["topic", "alter", TOPIC, "--replicas", "5,4,3"]));
    assert_eq!(
        String::from_utf8_lossy(&said),
        "topic orders is held by nodes 3,4,5\n"
    );
    assert_eq!(holders(&cluster), [[3, 4, 5], [3, 4, 5]]);
    load.wait_progress();
    // Asked twice it is done already; one partition alone goes back.
    sure(line.run(&["topic", "alter", TOPIC, "--replicas", "3,4,5"]));
    let back = [
        "topic",
        "alter",
        TOPIC,
        "--replicas",
        "1",
        "--partition",
        "1",
    ];
    sure(line.run(&back));
    assert_eq!(holders(&cluster), [vec![3, 4, 5], vec![1]]);
    load.wait_progress();
    load.judge(&cluster);
    // The old nodes keep nothing of it.
    let folder = cluster.description(2).data_dir.join("shard-0/partitions");
    sure(wait_until(
        "node 2 has dropped its copies",
        PATIENCE,
        || match fs::read_dir(&folder).map_or(0, Iterator::count) {
            0 => Ok(()),
            left => Err(Failure::new(format!("{left} are left"))),
        },
    ));
    assert!(folder.exists());
}

#[test]
fn a_change_survives_the_leader_and_the_primary() {
    let _turn = take_turn();
    let mut cluster = cluster();
    let load = Load::start(&cluster, PARTITIONS);
    let line = cluster.command_line();
    let wish = ["topic", "alter", TOPIC, "--replicas", "2,4,5"];
    sure(line.run(&[&wish[..], &["--no-wait"]].concat()));
    for victim in [sure(cluster.leader(TOPIC, 0)), sure(cluster.primary())] {
        // The leader may be the primary.
        if cluster.is_running(victim) {
            sure(cluster.kill(victim));
            load.wait_progress();
            sure(cluster.restart(victim));
        }
    }
    sure(line.run(&wish));
    sure(cluster.wait_whole(PATIENCE));
    assert_eq!(holders(&cluster), [[2, 4, 5], [2, 4, 5]]);
    load.wait_progress();
    load.judge(&cluster);
}

#[test]
fn a_move_that_cannot_be_is_refused_with_its_reason() {
    let _turn = take_turn();
    let cluster = sure(Cluster::start(Options::default()));
    let line = cluster.command_line();
    sure(line.create_topic(TOPIC, 1, 3));
    let alter = |replicas: &'static str| ["topic", "alter", TOPIC, "--replicas", replicas];
    let refused = assert_refused(&line, &alter("1,7"), &["node 7", "cluster status"]);
    assert_eq!(refused.code, Some(3));
    assert_refused(&line, &alter("1,1"), &["node 1", "twice"]);
    let nowhere = ["topic", "alter", "nothing", "--replicas", "1"];
    assert_refused(&line, &nowhere, &["nothing"]);
    let absent = [&alter("1")[..], &["--partition", "9"]].concat();
    assert_refused(&line, &absent, &["partition 9"]);
}
