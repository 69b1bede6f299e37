//! What the control plane has on disk gets damaged while its node is down.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::path::{Path, PathBuf};

use quorate_jepsen::{Cluster, Failure, PATIENCE, wait_until};
use quorate_tests::{
    assert_clear_error, assert_no_panic, assert_works, cluster_with_topic, sure, take_turn,
};

const DAMAGED: u16 = 3;

fn control_folder(cluster: &Cluster) -> PathBuf {
    let data_dir = &cluster.description(DAMAGED).data_dir;
    Path::new(data_dir).join("control")
}

/// The files of the control folder whose names begin so.
fn files(folder: &Path, prefix: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap();
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| {
        path.file_name()
            .unwrap()
            .to_str()
            .unwrap()
            .starts_with(prefix)
    });
    assert!(!paths.is_empty(), "{} has {prefix}", folder.display());
    paths.sort();
    paths
}

/// Inverts the bytes at these places, given in thousandths of the file.
fn damage(path: &Path, places: &[usize]) {
    let mut bytes = fs::read(path).unwrap();
    for place in places {
        let place = bytes.len() * place / 1000;
        bytes[place] = !bytes[place];
    }
    fs::write(path, bytes).unwrap();
}

fn topic(number: usize) -> String {
    format!("topic-{number:02}")
}

fn create_topics(cluster: &Cluster, numbers: std::ops::Range<usize>) {
    for number in numbers {
        sure(cluster.command_line().create_topic(&topic(number), 1, 3));
    }
}

fn wait_log(cluster: &Cluster, what: &str, words: &str) {
    sure(wait_until(what, PATIENCE, || {
        let logs = cluster.logs();
        match logs[&DAMAGED].contains(words) {
            true => Ok(()),
            false => Err(Failure::new(format!("its log does not say `{words}`"))),
        }
    }));
}

#[test]
fn a_node_gets_back_what_its_disk_has_lost_of_the_control_plane() {
    let _turn = take_turn();
    let mut cluster = cluster_with_topic(1);
    create_topics(&cluster, 0..12);
    sure(cluster.kill(DAMAGED));
    let folder = control_folder(&cluster);
    damage(&files(&folder, "journal-")[0], &[300, 500, 700]);
    // Two of the copies.
    damage(&files(&folder, "superblock")[0], &[10, 510]);
    sure(cluster.restart(DAMAGED));
    wait_log(
        &cluster,
        "the copies are made good",
        "copies of the superblock are damaged",
    );
    wait_log(
        &cluster,
        "the damage is told",
        "the control plane's journal is damaged",
    );
    wait_log(
        &cluster,
        "the damage is mended",
        "of the control plane's journal is mended",
    );
    sure(cluster.wait_whole(PATIENCE));
    // Now it counts: with the help of one other it decides, and knows all that there was.
    sure(cluster.kill(1));
    create_topics(&cluster, 12..14);
    let line = cluster.command_line_of(DAMAGED);
    sure(wait_until("the node knows all topics", PATIENCE, || {
        let known = line.topics()?;
        match (0..14).map(topic).find(|topic| !known.contains(topic)) {
            None => Ok(()),
            Some(topic) => Err(Failure::new(format!("{topic} is missing in {known:?}"))),
        }
    }));
    // What was mended is on the disk, and is read from there.
    sure(cluster.kill(DAMAGED));
    sure(cluster.restart(DAMAGED));
    sure(cluster.restart(1));
    sure(cluster.wait_whole(PATIENCE));
    assert_works(&cluster);
    assert_no_panic(&cluster);
}

#[test]
fn a_node_that_has_lost_its_promises_says_so_and_does_not_start() {
    let _turn = take_turn();
    let mut cluster = cluster_with_topic(1);
    sure(cluster.kill(DAMAGED));
    let file = files(&control_folder(&cluster), "superblock").remove(0);
    let whole = fs::read(&file).unwrap();
    damage(&file, &[10, 260, 510, 760]);
    let config = &cluster.description(DAMAGED).config_file;
    let config = config.to_str().expect("temporary folders have plain names");
    let finished = sure(cluster.command_line().finish(&["node", "--config", config]));
    let file_name = file.to_str().expect("temporary folders have plain names");
    assert_clear_error(
        &finished,
        "a node without its promises",
        &[file_name, "cluster recover"],
    );
    // Nothing was changed, so a copy of the file would help.
    assert_works(&cluster);
    fs::write(&file, whole).unwrap();
    sure(cluster.restart(DAMAGED));
    sure(cluster.wait_whole(PATIENCE));
    assert_no_panic(&cluster);
}
