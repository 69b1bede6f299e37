//! A configuration that is wrong is refused with the key and what is allowed.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;

use quorate_jepsen::{CommandLine, quorate_binary};
use quorate_tests::{assert_clear_error, sure};

const GOOD: &str = r#"
cluster_id = "0123456789abcdef0123456789abcdef"
node_id = 1
data_dir = "data"
control_address = "127.0.0.1:7400"
shard_addresses = ["127.0.0.1:7401"]
pin = false

[[nodes]]
id = 1
control_address = "127.0.0.1:7400"
"#;

/// Runs a node with the good configuration, of which one line is replaced.
fn assert_config_is_refused(line: &str, replacement: &str, words: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("quorate.toml");
    let text = GOOD.replacen(line, replacement, 1);
    assert_ne!(text, GOOD, "the test does not change anything");
    fs::write(&path, text).unwrap();
    let path = path.to_str().expect("temporary folders have plain names");
    let command_line = CommandLine::new(sure(quorate_binary()), String::from("127.0.0.1:1"));
    let finished = sure(command_line.finish(&["node", "--config", path]));
    assert_clear_error(&finished, replacement, &[&[path], words].concat());
    assert!(
        !folder.path().join("data").exists(),
        "a refused node has written something"
    );
}

#[test]
fn wrong_values_are_refused_with_key_and_allowed_values() {
    for (line, replacement, words) in [
        ("node_id = 1", "node_id = 0", &["node_id", "65535"][..]),
        ("node_id = 1", "node_id = 2", &["node_id", "1"]),
        (
            "node_id = 1",
            "node_id = \"one\"",
            &["node_id", "whole number"],
        ),
        (
            "cluster_id = \"0123",
            "cluster_id = \"xyz",
            &["cluster_id", "32 hexadecimal"],
        ),
        ("data_dir = \"data\"", "data_dir = \"\"", &["data_dir"]),
        (
            "\"127.0.0.1:7401\"",
            "\"127.0.0.1\"",
            &["shard_addresses", "IP:PORT"],
        ),
        ("[\"127.0.0.1:7401\"]", "[]", &["shard_addresses"]),
        ("pin = false", "pin = \"perhaps\"", &["pin", "true, false"]),
        ("id = 1\ncontrol", "id = -3\ncontrol", &["nodes[0].id"]),
    ] {
        assert_config_is_refused(line, replacement, words);
    }
}

#[test]
fn missing_and_unknown_keys_are_refused_by_name() {
    assert_config_is_refused("node_id = 1\n", "", &["node_id", "missing"]);
    assert_config_is_refused("pin = false", "pins = false", &["pins", "pin"]);
    assert_config_is_refused("node_id = 1", "node_id = ", &["TOML"]);
}

#[test]
fn missing_file_is_refused_by_name() {
    let command_line = CommandLine::new(sure(quorate_binary()), String::from("127.0.0.1:1"));
    let finished = sure(command_line.finish(&["node", "--config", "/no/such/quorate.toml"]));
    assert_clear_error(&finished, "a missing file", &["/no/such/quorate.toml"]);
}
