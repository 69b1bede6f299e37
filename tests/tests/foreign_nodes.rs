//! Nodes and folders that do not belong together do not come together.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::path::{Path, PathBuf};

use quorate_jepsen::{Cluster, Failure, Options, PATIENCE, wait_until};
use quorate_tests::{
    Guarded, assert_clear_error, assert_no_panic, assert_works, cluster_with_topic, sure, take_turn,
};

/// Writes a changed copy of a node's configuration beside the old one.
fn changed_config(cluster: &Cluster, id: u16, changes: &[(&str, String)]) -> PathBuf {
    let original = &cluster.description(id).config_file;
    let mut text = fs::read_to_string(original).unwrap();
    for (key, value) in changes {
        let old = text
            .lines()
            .find(|line| line.starts_with(&format!("{key} =")));
        let old = old
            .unwrap_or_else(|| panic!("{key} is not in {text}"))
            .to_owned();
        text = text.replacen(&old, &format!("{key} = {value:?}"), 1);
    }
    let path = original.with_file_name("changed.toml");
    fs::write(&path, text).unwrap();
    path
}

fn start_node(cluster: &Cluster, config: &Path) -> quorate_jepsen::Finished {
    let config = config.to_str().expect("temporary folders have plain names");
    sure(cluster.command_line().finish(&["node", "--config", config]))
}

#[test]
fn node_of_another_cluster_is_refused_by_name() {
    let _turn = take_turn();
    let mut cluster = cluster_with_topic(1);
    let stranger = 3;
    sure(cluster.terminate(stranger));
    let id = "0123456789abcdef0123456789abcdef";
    let empty = cluster.folder().join("stranger");
    let changes = [
        ("cluster_id", id.to_owned()),
        (
            "data_dir",
            empty
                .to_str()
                .expect("temporary folders have plain names")
                .to_owned(),
        ),
    ];
    let config = changed_config(&cluster, stranger, &changes);
    let config = config.to_str().expect("temporary folders have plain names");
    let _node = Guarded::start(
        cluster
            .command_line()
            .command(&["node", "--config", config]),
    );
    sure(wait_until(
        "somebody refuses the stranger by name",
        PATIENCE,
        || {
            let mut logs = cluster.logs().into_values();
            match logs.any(|log| log.contains(id)) {
                true => Ok(()),
                false => Err(Failure::new("nobody has said a word")),
            }
        },
    ));
    assert_works(&cluster);
    // The node whose place it took is missed, and the stranger does not stand in for it.
    let line = cluster.command_line();
    sure(wait_until("node 3 is held to be dead", PATIENCE, || {
        let held = line
            .status()?
            .nodes
            .into_iter()
            .find(|node| node.id == stranger);
        match held.is_some_and(|node| !node.alive) {
            true => Ok(()),
            false => Err(Failure::new("it counts as alive")),
        }
    }));
    assert_works(&cluster);
}

#[test]
fn folder_of_another_node_is_refused() {
    let _turn = take_turn();
    let mut cluster = cluster_with_topic(1);
    sure(cluster.terminate(2));
    sure(cluster.terminate(3));
    let folder = cluster
        .description(2)
        .data_dir
        .to_str()
        .expect("plain names")
        .to_owned();
    let config = changed_config(&cluster, 3, &[("data_dir", folder.clone())]);
    let finished = start_node(&cluster, &config);
    assert_clear_error(
        &finished,
        "node 3 on the folder of node 2",
        &[&folder, "2", "3"],
    );
    sure(cluster.heal());
    assert_works(&cluster);
}

#[test]
fn folder_of_another_cluster_is_refused() {
    let _turn = take_turn();
    let mut cluster = cluster_with_topic(1);
    sure(cluster.terminate(3));
    let id = "0123456789abcdef0123456789abcdef".to_owned();
    let config = changed_config(&cluster, 3, &[("cluster_id", id.clone())]);
    let finished = start_node(&cluster, &config);
    assert_clear_error(&finished, "a node on the folder of another cluster", &[&id]);
    sure(cluster.heal());
    assert_works(&cluster);
}

#[test]
fn folder_in_use_is_refused() {
    let _turn = take_turn();
    let cluster = cluster_with_topic(1);
    let config = cluster.description(2).config_file.clone();
    let finished = start_node(&cluster, &config);
    let folder = cluster
        .description(2)
        .data_dir
        .to_str()
        .expect("plain names")
        .to_owned();
    assert_clear_error(&finished, "a second node on a folder", &[&folder]);
    assert_works(&cluster);
}

#[test]
fn folder_of_a_newer_format_is_refused_and_left_alone() {
    let _turn = take_turn();
    let mut cluster = sure(Cluster::start(Options::default()));
    sure(cluster.terminate(3));
    let identity = cluster.description(3).data_dir.join("identity");
    let original = fs::read(&identity).unwrap();
    let newer = as_newer_format(&original);
    fs::write(&identity, &newer).unwrap();
    let config = cluster.description(3).config_file.clone();
    let finished = start_node(&cluster, &config);
    let folder = cluster
        .description(3)
        .data_dir
        .to_str()
        .expect("plain names")
        .to_owned();
    assert_clear_error(&finished, "a node on a newer format", &[&folder, "format"]);
    assert_eq!(
        fs::read(&identity).unwrap(),
        newer,
        "the folder was changed"
    );
    fs::write(&identity, original).unwrap();
    sure(cluster.heal());
    assert_no_panic(&cluster);
}

/// The same identity, written by a program that is ahead of this one.
fn as_newer_format(identity: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(identity).into_owned();
    let line = text.lines().find(|line| line.contains("format"));
    let line = line.unwrap_or_else(|| panic!("no format in {text}"));
    text.replacen(line, &line.replace('1', "9999"), 1)
        .into_bytes()
}
