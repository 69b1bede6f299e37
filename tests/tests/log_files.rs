//! `quorate log`: what an operator sees of a node's files, and mends in them.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use quorate_jepsen::{Cluster, Failure, Finished, PATIENCE, wait_until};
use quorate_tests::{
    TOPIC, assert_clear_error, assert_no_panic, assert_works, cluster_with_topic, sure, take_turn,
};
use serde_json::Value;

const ROUNDS: usize = 10;
const LINES: usize = 1_000;

/// Writes so many lines in several batches.
fn produce(cluster: &Cluster) {
    for round in 0..ROUNDS {
        let mut text = String::new();
        for number in 0..LINES / ROUNDS {
            writeln!(text, "line {round} {number}").expect("text can be added to a string");
        }
        let line = cluster.command_line();
        let finished = sure(line.feed(&["produce", TOPIC], text.into_bytes()));
        assert!(finished.success, "{}", finished.stderr);
    }
}

fn consumed(cluster: &Cluster) -> usize {
    let read = sure(cluster.command_line().run(&["consume", TOPIC]));
    read.iter().filter(|byte| **byte == b'\n').count()
}

/// The segment of the topic's only partition.
fn segment(data: &Path) -> PathBuf {
    let mut folders = vec![data.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("the folder can be listed") {
            let path = entry.expect("an entry can be read").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.ends_with("00000000000000000000.log") {
                return path;
            }
        }
    }
    panic!("{} holds no segment", data.display())
}

fn log(cluster: &Cluster, command: &[&str], path: &Path) -> Finished {
    let path = path.to_str().expect("temporary folders have plain names");
    let arguments = [&["log"], command, &[path]].concat();
    sure(cluster.command_line().finish(&arguments))
}

fn stdout(finished: &Finished) -> String {
    String::from_utf8_lossy(&finished.stdout).into_owned()
}

fn objects(finished: &Finished) -> Vec<Value> {
    assert!(!finished.stdout.is_empty(), "{}", finished.stderr);
    let text = stdout(finished);
    let object = |line| serde_json::from_str(line).expect("every line is an object");
    text.lines().map(object).collect()
}

/// Everything below a folder.
fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("the folder can be listed") {
            let path = entry.expect("an entry can be read").path();
            match path.is_dir() {
                true => folders.push(path),
                false => {
                    let bytes = fs::read(&path).expect("a file can be read");
                    files.insert(path, bytes);
                }
            }
        }
    }
    files
}

/// What a sound folder looks like. Gives the positions of the frames.
fn assert_sound(cluster: &Cluster, data: &Path) -> Vec<u64> {
    let verified = log(cluster, &["verify"], data);
    assert_eq!(verified.code, Some(0), "{}", verified.stderr);
    assert!(stdout(&verified).contains("facts"), "{}", stdout(&verified));
    let path = segment(data);
    let found = objects(&log(cluster, &["inspect", "--output", "json"], &path));
    let of_kind =
        |kind: &str| -> Vec<&Value> { found.iter().filter(|it| it["kind"] == kind).collect() };
    assert_eq!(of_kind("segment").len(), 1);
    assert_eq!(of_kind("index").len(), 1);
    assert!(of_kind("damage").is_empty(), "{found:?}");
    let mut next_offset = 0;
    for batch in of_kind("batch") {
        assert_eq!(batch["base_offset"], next_offset, "{batch}");
        assert_eq!(batch["crc_good"], true);
        next_offset = batch["last_offset"].as_u64().expect("a number") + 1;
    }
    assert_eq!(next_offset, LINES as u64);
    let limited = ["inspect", "--from", "500", "--limit", "1", "--records"];
    let limited = log(cluster, &limited, &path);
    let text = stdout(&limited);
    assert!(
        text.contains("offset 500 ") && text.contains("value \"line 5 0\""),
        "{text}"
    );
    let position = |frame: &&Value| frame["position"].as_u64().expect("a number");
    of_kind("frame").iter().map(position).collect()
}

/// Has the damaged segment repaired, which is to be as `expected` then.
fn repair(cluster: &Cluster, data: &Path, expected: &[u8]) {
    let path = segment(data);
    let damaged = fs::read(&path).unwrap();
    let before = contents(data);
    let planned = log(cluster, &["repair"], data);
    let text = stdout(&planned);
    assert!(
        planned.success && text.contains("would write the frame anew"),
        "{text}"
    );
    assert!(contents(data) == before, "nothing is changed without --yes");

    let repaired = log(cluster, &["repair", "--yes"], data);
    assert!(repaired.success, "{}", repaired.stderr);
    assert!(
        fs::read(&path).unwrap() == expected,
        "the frame is back, the batch is not"
    );
    let copies: Vec<_> = contents(data)
        .into_iter()
        .filter(|(copy, _)| !before.contains_key(copy))
        .collect();
    let [(copy, bytes)] = &copies[..] else {
        panic!(
            "{:?}",
            copies.iter().map(|(copy, _)| copy).collect::<Vec<_>>()
        )
    };
    assert!(copy.to_str().unwrap().contains(".log.before-repair-"));
    assert!(*bytes == damaged);
    let again = log(cluster, &["repair", "--yes"], data);
    assert_eq!(stdout(&again), "there is nothing to repair\n");
}

#[test]
fn damage_is_named_and_mended_as_far_as_one_node_can() {
    let _turn = take_turn();
    let mut cluster = cluster_with_topic(1);
    produce(&cluster);
    let victim = sure(cluster.leader(TOPIC, 0));
    let data = cluster.description(victim).data_dir.clone();
    // A node that runs is looked at, and not changed.
    let refused = log(&cluster, &["repair", "--yes"], &data);
    assert_clear_error(&refused, "repair", &["a node is running", "stop it"]);
    assert_eq!(refused.code, Some(3));
    let looked = log(&cluster, &["inspect", "--limit", "1"], &data);
    assert!(
        looked.success && looked.stderr.contains("a node is running"),
        "{}",
        looked.stderr
    );

    sure(cluster.terminate(victim));
    let frames = assert_sound(&cluster, &data);
    assert!(frames.len() >= ROUNDS, "{frames:?}");
    let path = segment(&data);
    let sound = fs::read(&path).unwrap();
    let mut damaged = sound.clone();
    // The head of one frame, and the last byte before another one: that of a batch.
    damaged[frames[1] as usize + 5] ^= 1;
    damaged[frames[4] as usize - 1] ^= 1;
    fs::write(&path, &damaged).unwrap();
    let verified = log(&cluster, &["verify"], &data);
    assert_eq!(verified.code, Some(5), "{}", verified.stderr);
    let text = stdout(&verified);
    for words in [
        "damaged frame: bytes",
        "damaged batches: bytes",
        "wrong by the frame",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
    let rows = objects(&log(&cluster, &["verify", "--output", "json"], &path));
    let whats: Vec<_> = rows[0]["damage"]
        .as_array()
        .expect("a list")
        .iter()
        .collect();
    assert_eq!(whats.len(), 2, "{whats:?}");
    assert_eq!(whats[0]["position"].as_u64(), Some(frames[1]));
    assert_eq!(whats[1]["end"].as_u64(), Some(frames[4]));

    let mut expected = sound.clone();
    expected[frames[4] as usize - 1] ^= 1;
    repair(&cluster, &data, &expected);

    sure(cluster.restart(victim));
    sure(cluster.wait_whole(PATIENCE));
    assert_eq!(consumed(&cluster), LINES);
    // Room behind the last batch is cut when the log is opened.
    let end = sound.iter().rposition(|byte| *byte != 0).unwrap();
    sure(wait_until(
        "the batch is back",
        PATIENCE,
        || match fs::read(&path).is_ok_and(|now| now.starts_with(&sound[..=end])) {
            true => Ok(()),
            false => Err(Failure::new(path.display().to_string())),
        },
    ));
    assert_no_panic(&cluster);
    assert_works(&cluster);
}

#[test]
fn a_path_that_holds_no_log_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let binary = sure(quorate_jepsen::quorate_binary());
    let line = quorate_jepsen::CommandLine::new(binary, String::from("127.0.0.1:1"));
    let path = folder.path().to_str().unwrap();
    for command in ["inspect", "verify", "repair"] {
        let finished = sure(line.finish(&["log", command, path]));
        assert_clear_error(&finished, command, &[path, "neither a segment"]);
        assert_eq!(finished.code, Some(2));
        let finished = sure(line.finish(&["log", command, "/no/such/folder"]));
        assert_clear_error(&finished, command, &["/no/such/folder"]);
        assert_eq!(finished.code, Some(1));
    }
}
