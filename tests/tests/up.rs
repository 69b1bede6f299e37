//! What scripts may rely on in `quorate up`.

use std::collections::BTreeSet;
use std::fs;
use std::net::TcpListener;
use std::process::Command;

use quorate_jepsen::{
    Cluster, CommandLine, Failure, Options, PATIENCE, free_block, quorate_binary, wait_until,
};
use quorate_tests::{TOPIC, assert_clear_error, assert_works, cluster_with_topic, sure, take_turn};
use serde_json::Value;

#[test]
fn cluster_file_and_ready_line_tell_where_everything_is() {
    let _turn = take_turn();
    let cluster = sure(Cluster::start(Options {
        shards: 2,
        ..Options::default()
    }));
    let port = cluster.base_port();
    let ready = format!("ready bootstrap=127.0.0.1:{port}");
    let output = cluster.up_output();
    assert_eq!(
        output.lines().filter(|line| **line == ready).count(),
        1,
        "{output}"
    );

    let file: Value = serde_json::from_slice(&fs::read(cluster.cluster_file()).unwrap()).unwrap();
    let nodes = file["nodes"].as_array().unwrap();
    assert_eq!(nodes.len(), 3);
    let (mut pids, mut addresses) = (BTreeSet::new(), BTreeSet::new());
    for (id, node) in (1..).zip(nodes) {
        assert_eq!(node["id"], id);
        pids.insert(node["pid"].as_u64().unwrap());
        addresses.insert(node["control_address"].as_str().unwrap().to_owned());
        let shards = node["shard_addresses"].as_array().unwrap();
        assert_eq!(shards.len(), 2);
        addresses.extend(
            shards
                .iter()
                .map(|shard| shard.as_str().unwrap().to_owned()),
        );
        assert!(
            fs::metadata(node["data_dir"].as_str().unwrap())
                .unwrap()
                .is_dir()
        );
        assert!(
            fs::metadata(node["log_file"].as_str().unwrap())
                .unwrap()
                .is_file()
        );
        let config = cluster
            .data_dir()
            .join(format!("node-{id}"))
            .join("quorate.toml");
        assert!(fs::metadata(config).unwrap().is_file());
        assert!(cluster.is_running(id));
    }
    let up = u64::from(cluster.up_process().unwrap().pid());
    assert_eq!(pids.len(), 3, "one process per node");
    assert!(!pids.contains(&up), "a node is a process of its own");
    let expected = (port..port + 9).map(|port| format!("127.0.0.1:{port}"));
    assert_eq!(addresses, expected.collect());
    let without_arguments = CommandLine::new(sure(quorate_binary()), format!("127.0.0.1:{port}"));
    assert_eq!(sure(without_arguments.status()).nodes.len(), 3);
}

#[test]
fn interrupt_ends_every_node_and_a_second_start_finds_all_data() {
    let _turn = take_turn();
    let mut cluster = cluster_with_topic(2);
    let text: Vec<u8> = (0..5000)
        .flat_map(|line| format!("line {line}\n").into_bytes())
        .collect();
    let arguments = ["produce", TOPIC, "--partition", "1"];
    let finished = sure(cluster.command_line().feed(&arguments, text.clone()));
    assert!(finished.success, "{}", finished.stderr);

    let status = sure(cluster.interrupt());
    assert!(
        status.success(),
        "Ctrl-C is the ordinary way to end it: {status}"
    );
    for (id, log) in cluster.logs() {
        assert!(!cluster.is_running(id));
        assert!(!log.contains("panicked at"), "node {id} panicked: {log}");
    }
    sure(cluster.up());
    let line = cluster.command_line();
    assert_eq!(sure(line.topics()), [TOPIC]);
    assert!(sure(line.run(&["consume", TOPIC, "--partition", "1"])) == text);
    assert_works(&cluster);
}

/// On a full disk, too: that the cluster's own file cannot be written ends nobody else.
#[test]
fn dead_node_is_shown_and_stays_dead() {
    let _turn = take_turn();
    let mut cluster = cluster_with_topic(1);
    let mut part = cluster.cluster_file().into_os_string();
    part.push(".new");
    std::os::unix::fs::symlink("/dev/full", part).unwrap();
    sure(cluster.kill(2));
    sure(wait_until("the death is shown", PATIENCE, || {
        let output = cluster.up_output();
        let is_told = |line: &str| line.starts_with("node=2 state=dead");
        match output.lines().any(is_told) {
            true => Ok(()),
            false => Err(Failure::new(output)),
        }
    }));
    assert_works(&cluster);
    assert!(!cluster.is_running(2));
    let alive = |cluster: &Cluster| {
        let status = sure(cluster.command_line().status());
        status
            .nodes
            .iter()
            .find(|node| node.id == 2)
            .is_some_and(|node| node.alive)
    };
    assert!(!alive(&cluster), "somebody has started it again");
    sure(cluster.restart(2));
    sure(cluster.wait_whole(PATIENCE));
    assert!(alive(&cluster));
}

#[test]
fn dead_node_is_started_again_where_that_is_asked_for() {
    let _turn = take_turn();
    let arguments = vec![String::from("--restart")];
    let mut cluster = sure(Cluster::start(Options {
        arguments,
        ..Options::default()
    }));
    let old = cluster.process(2);
    sure(cluster.kill(2));
    sure(wait_until("node 2 has another process", PATIENCE, || {
        cluster.find_processes()?;
        match cluster.process(2) == old || !cluster.is_running(2) {
            true => Err(Failure::new("it is dead")),
            false => Ok(()),
        }
    }));
    sure(cluster.wait_whole(PATIENCE));
}

#[test]
fn busy_port_is_refused_before_anything_starts() {
    let _turn = take_turn();
    let base = sure(free_block(3));
    // The busy one is the second node's.
    let port = base + 2;
    let _busy = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let base = base.to_string();
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let data = data.to_str().expect("temporary folders have plain names");
    let line = CommandLine::new(sure(quorate_binary()), String::from("127.0.0.1:1"));
    let command = [
        "up",
        "--nodes",
        "3",
        "--shards",
        "1",
        "--data-dir",
        data,
        "--base-port",
        &base,
    ];
    let finished = sure(line.finish(&command));
    assert_clear_error(
        &finished,
        "up on a busy port",
        &[&port.to_string(), "--base-port"],
    );
    assert!(
        !folder.path().join("data/node-1").exists(),
        "something has started"
    );
}

#[test]
fn folder_in_use_is_refused_before_anything_starts() {
    let _turn = take_turn();
    let cluster = cluster_with_topic(1);
    let before = fs::read(cluster.cluster_file()).unwrap();
    let data = cluster.data_dir();
    let data = data.to_str().expect("temporary folders have plain names");
    let finished = sure(cluster.command_line().finish(&["up", "--data-dir", data]));
    assert_clear_error(&finished, "a second up on the folder", &[data]);
    assert_eq!(fs::read(cluster.cluster_file()).unwrap(), before);
    assert_works(&cluster);
}

#[test]
fn nodes_do_not_outlive_up() {
    let _turn = take_turn();
    let cluster = cluster_with_topic(1);
    sure(cluster.up_process().expect("it is running").kill());
    for id in cluster.node_ids() {
        sure(cluster.process(id).wait_ended(PATIENCE));
    }
}

/// A log file on a full disk: the lines are lost, and the node serves.
#[test]
fn node_whose_log_lines_find_no_room_goes_on() {
    let _turn = take_turn();
    let folder = tempfile::tempdir().unwrap();
    let port = sure(free_block(2));
    let (control, shard) = (port, port + 1);
    let config = format!(
        "cluster_id = \"0123456789abcdef0123456789abcdef\"\nnode_id = 1\ndata_dir = \"data\"\n\
         control_address = \"127.0.0.1:{control}\"\n\
         shard_addresses = [\"127.0.0.1:{shard}\"]\npin = false\n\
         [[nodes]]\nid = 1\ncontrol_address = \"127.0.0.1:{control}\"\n"
    );
    let path = folder.path().join("quorate.toml");
    fs::write(&path, config).unwrap();
    let full = fs::OpenOptions::new().write(true).open("/dev/full");
    let mut node = Command::new(sure(quorate_binary()))
        .args(["node", "--new-cluster", "--log", "debug", "--config"])
        .arg(&path)
        .stderr(full.unwrap())
        .spawn()
        .unwrap();
    let line = CommandLine::new(sure(quorate_binary()), format!("127.0.0.1:{control}"));
    let created = wait_until("a topic is created", PATIENCE, || {
        let finished = line.finish(&["topic", "create", TOPIC, "--replication", "1"])?;
        match finished.success {
            true => Ok(()),
            false => Err(Failure::new(finished.stderr)),
        }
    });
    let ended = node.try_wait();
    node.kill().unwrap();
    node.wait().unwrap();
    sure(created);
    assert!(ended.unwrap().is_none(), "the node has ended");
}
