//! The cluster itself changes: it grows and shrinks, loses a disk, and hands over its primary,
//! while it is written to and read.

use std::fs;

use quorate_jepsen::{Cluster, Failure, PATIENCE, wait_until};
use quorate_tests::{
    Load, TOPIC, assert_no_panic, assert_refused, assert_works, cluster_with_topic, sure, take_turn,
};

const PARTITIONS: u32 = 2;

/// What `quorate cluster status` says of a node in the group, such as "voter".
fn member(cluster: &Cluster, id: u16) -> Option<String> {
    let status = sure(cluster.command_line().status());
    let node = status.nodes.into_iter().find(|node| node.id == id)?;
    node.member
}

fn members(cluster: &Cluster) -> Vec<(u16, Option<String>)> {
    let status = sure(cluster.command_line().status());
    let nodes = status.nodes.into_iter();
    nodes.map(|node| (node.id, node.member)).collect()
}

fn voters(ids: &[u16]) -> Vec<(u16, Option<String>)> {
    ids.iter()
        .map(|id| (*id, Some("voter".to_owned())))
        .collect()
}

fn cluster_add(id: u16, address: &str) -> Vec<String> {
    let id = id.to_string();
    let line = [
        "cluster",
        "add",
        "--node",
        &id,
        "--control-address",
        address,
    ];
    line.map(str::to_owned).to_vec()
}

fn run(cluster: &Cluster, arguments: &[String]) -> String {
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    let said = sure(cluster.command_line().run(&arguments));
    String::from_utf8_lossy(&said).into_owned()
}

fn wait_voters(cluster: &Cluster, ids: &[u16]) {
    sure(wait_until(
        "the right nodes vote",
        PATIENCE,
        || match members(cluster) {
            members if members == voters(ids) => Ok(()),
            members => Err(Failure::new(format!("{members:?}"))),
        },
    ));
}

#[test]
fn a_cluster_grows_from_three_to_five_nodes_and_back_under_load() {
    let _turn = take_turn();
    let mut cluster = cluster_with_topic(PARTITIONS);
    let load = Load::start(&cluster, PARTITIONS);
    // The fourth is started first and added then, the fifth the other way round.
    let address = sure(cluster.start_newcomer(4));
    let said = run(&cluster, &cluster_add(4, &address));
    assert_eq!(said, "node 4 is a part of the cluster\n");
    assert_eq!(member(&cluster, 4).as_deref(), Some("standby"));
    load.wait_progress();
    let address = sure(cluster.start_newcomer(5));
    sure(cluster.kill(5));
    run(
        &cluster,
        &[&cluster_add(5, &address)[..], &["--no-wait".to_owned()]].concat(),
    );
    sure(cluster.restart(5));
    assert_eq!(
        run(&cluster, &cluster_add(5, &address)),
        "node 5 is a part of the cluster\n"
    );
    wait_voters(&cluster, &[1, 2, 3, 4, 5]);
    load.wait_progress();
    let line = cluster.command_line();
    sure(line.run(&["topic", "alter", TOPIC, "--replicas", "3,4,5"]));
    load.wait_progress();
    // Two of the founders leave, and are stopped.
    for id in [1, 2] {
        sure(line.run(&["cluster", "remove", "--node", &id.to_string()]));
        sure(cluster.dismiss(id));
        load.wait_progress();
    }
    wait_voters(&cluster, &[3, 4, 5]);
    // Without them, and with configurations that name them, the rest starts again.
    sure(cluster.kill(4));
    load.wait_progress();
    sure(cluster.restart(4));
    sure(cluster.wait_whole(PATIENCE));
    load.wait_progress();
    load.judge(&cluster);
    let again = sure(
        cluster
            .command_line()
            .finish(&["cluster", "remove", "--node", "1"]),
    );
    assert!(
        again.success && again.stderr.contains("no member"),
        "{again:?}"
    );
}

#[test]
fn a_lost_disk_is_told_takes_part_in_nothing_and_is_recovered() {
    let _turn = take_turn();
    let mut cluster = cluster_with_topic(PARTITIONS);
    let load = Load::start(&cluster, PARTITIONS);
    let folder = cluster.description(3).data_dir.clone();
    let aside = |name: &str| folder.with_file_name(name);
    sure(cluster.kill(3));
    fs::rename(&folder, aside("lost")).expect("a folder can be renamed");
    load.wait_progress();
    sure(cluster.restart(3));
    let line = cluster.command_line();
    wait_disk_lost(&cluster);
    let told = sure(line.finish(&["cluster", "status"]));
    assert!(told.stderr.contains("cluster recover --node 3"), "{told:?}");
    // Its word counts for nothing: with another node away there is no majority.
    sure(cluster.pause(2));
    assert_no_majority(&cluster);
    sure(cluster.resume(2));
    load.wait_progress();
    let said = sure(line.run(&["cluster", "recover", "--node", "3"]));
    assert_eq!(
        String::from_utf8_lossy(&said),
        "node 3 is a full part of the cluster again\n"
    );
    sure(cluster.wait_whole(PATIENCE));
    wait_voters(&cluster, &[1, 2, 3]);
    load.wait_progress();
    // Now it counts: another node may go.
    sure(cluster.kill(1));
    load.wait_progress();
    sure(cluster.restart(1));
    sure(cluster.wait_whole(PATIENCE));
    load.judge(&cluster);
    assert_refused(
        &line,
        &["cluster", "recover", "--node", "3"],
        &["nothing to recover"],
    );
    // The lost folder turns up again. It is not taken back, and the one that counts is.
    sure(cluster.kill(3));
    fs::rename(&folder, aside("counts")).expect("a folder can be renamed");
    fs::rename(aside("lost"), &folder).expect("a folder can be renamed");
    sure(cluster.restart(3));
    wait_disk_lost(&cluster);
    assert_refused(
        &line,
        &["cluster", "recover", "--node", "3"],
        &["given up before", "empty data folder"],
    );
    sure(cluster.kill(3));
    fs::remove_dir_all(&folder).expect("a folder can be removed");
    fs::rename(aside("counts"), &folder).expect("a folder can be renamed");
    sure(cluster.restart(3));
    sure(cluster.wait_whole(PATIENCE));
}

/// Waits until the cluster says that node 3 runs on another disk than the one that counts.
fn wait_disk_lost(cluster: &Cluster) {
    sure(wait_until("the lost disk is told", PATIENCE, || {
        let status = cluster.command_line().status()?;
        let node = status.nodes.iter().find(|node| node.id == 3);
        match node {
            Some(node) if node.disk_lost && !node.alive => Ok(()),
            node => Err(Failure::new(format!("{node:?}"))),
        }
    }));
}

/// Nothing can be decided: neither a topic be created nor a record be acknowledged.
fn assert_no_majority(cluster: &Cluster) {
    let line = cluster.command_line();
    let created = sure(line.finish(&["topic", "create", "in-vain"]));
    assert!(!created.success, "a topic was created by one node of three");
}

#[test]
fn the_primary_is_handed_over_to_whom_one_likes() {
    let _turn = take_turn();
    let cluster = cluster_with_topic(PARTITIONS);
    let load = Load::start(&cluster, PARTITIONS);
    let line = cluster.command_line();
    for id in [3, 1, 2] {
        let said = sure(line.run(&["cluster", "transfer", "--to", &id.to_string()]));
        assert_eq!(
            String::from_utf8_lossy(&said),
            format!("node {id} is the primary\n")
        );
        assert_eq!(sure(cluster.primary()), id);
        load.wait_progress();
    }
    assert_refused(&line, &["cluster", "transfer", "--to", "9"], &["node 9"]);
    load.judge(&cluster);
}

#[test]
fn a_change_of_the_cluster_that_cannot_be_is_refused_with_its_reason() {
    let _turn = take_turn();
    let mut cluster = cluster_with_topic(1);
    let line = cluster.command_line();
    let remove = |id: &'static str| ["cluster", "remove", "--node", id];
    assert_refused(&line, &remove("3"), &["node 3", "--force-shrink"]);
    let taken = cluster.description(1).control_address.clone();
    let add = ["cluster", "add", "--node", "4", "--control-address", &taken];
    assert_refused(&line, &add, &["node 1", &taken]);
    assert_refused(
        &line,
        &["cluster", "recover", "--node", "1"],
        &["nothing to recover"],
    );
    assert_refused(&line, &["cluster", "recover", "--node", "8"], &["node 8"]);
    sure(cluster.kill(3));
    sure(wait_until("node 3 is missed", PATIENCE, || {
        let status = line.status()?;
        match status.nodes.iter().any(|node| node.id == 3 && !node.alive) {
            true => Ok(()),
            false => Err(Failure::new("it counts as alive")),
        }
    }));
    assert_refused(
        &line,
        &["cluster", "recover", "--node", "3"],
        &["node 3 is not heard"],
    );
    // Of nodes 1 and 3, one would be left to vote for both.
    let shrink = [&remove("2")[..], &["--force-shrink"]].concat();
    sure(line.run(&[&shrink[..], &["--no-wait"]].concat()));
    sure(cluster.heal());
    sure(line.run(&shrink));
    sure(cluster.dismiss(2));
    assert_eq!(members(&cluster).len(), 2);
    assert_works_with_two(&cluster);
}

fn assert_works_with_two(cluster: &Cluster) {
    let line = cluster.command_line();
    let finished = sure(line.feed(&["produce", TOPIC], b"alive\n".to_vec()));
    assert!(finished.success, "{finished:?}");
    assert_no_panic(cluster);
}

#[test]
fn a_stranger_waits_and_hurts_nobody() {
    let _turn = take_turn();
    let mut cluster = cluster_with_topic(1);
    let address = sure(cluster.start_newcomer(4));
    let line = cluster.command_line();
    sure(wait_until("the stranger is told of", PATIENCE, || {
        let logs = cluster.logs();
        match logs.values().any(|log| log.contains("cluster add")) {
            true => Ok(()),
            false => Err(Failure::new("nobody has said a word")),
        }
    }));
    assert_eq!(members(&cluster), voters(&[1, 2, 3]));
    assert_works(&cluster);
    // Its folder was never a part of anything, so it may be emptied before it is added.
    sure(cluster.lose_disk(4));
    assert!(!fs::exists(&cluster.description(4).data_dir).is_ok_and(|exists| exists));
    sure(cluster.restart(4));
    run(&cluster, &cluster_add(4, &address));
    // A mere standby without partitions may lose its disk and needs nobody's word for it.
    sure(cluster.lose_disk(4));
    sure(cluster.restart(4));
    sure(wait_until("node 4 is back", PATIENCE, || {
        let status = line.status()?;
        let is_back = |node: &quorate_jepsen::NodeStatus| {
            node.id == 4 && node.alive && !node.disk_lost && node.role.as_deref() == Some("standby")
        };
        match status.nodes.iter().any(is_back) {
            true => Ok(()),
            false => Err(Failure::new("it is not a standby")),
        }
    }));
    assert_no_panic(&cluster);
}

#[test]
fn a_cluster_starts_again_with_a_lost_disk_and_after_nodes_have_come_and_gone() {
    let _turn = take_turn();
    let mut cluster = cluster_with_topic(PARTITIONS);
    let load = Load::start(&cluster, PARTITIONS);
    let address = sure(cluster.start_newcomer(4));
    run(&cluster, &cluster_add(4, &address));
    let line = cluster.command_line();
    sure(line.run(&["topic", "alter", TOPIC, "--replicas", "1,3,4"]));
    load.wait_progress();
    sure(line.run(&["cluster", "remove", "--node", "2"]));
    sure(cluster.dismiss(2));
    load.wait_progress();
    // The power fails, and one disk with it. `quorate up` knows nothing of the fourth node, and
    // starts the second as well, which has left.
    sure(cluster.kill_all());
    sure(cluster.lose_disk(1));
    sure(cluster.interrupt());
    sure(cluster.restart(4));
    sure(cluster.up());
    load.wait_progress();
    sure(line.run(&["cluster", "recover", "--node", "1"]));
    sure(cluster.dismiss(2));
    sure(cluster.wait_whole(PATIENCE));
    wait_voters(&cluster, &[1, 3, 4]);
    load.wait_progress();
    load.judge(&cluster);
}
