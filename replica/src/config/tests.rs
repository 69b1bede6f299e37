use super::*;

const GOOD: &str = r#"
cluster_id = "0123456789abcdef0123456789abcdef"
node_id = 2
data_dir = "data"
control_address = "127.0.0.1:7402"
shard_addresses = ["127.0.0.1:7403"]
pin = true
first_core = 3

[[nodes]]
id = 2
control_address = "127.0.0.1:7402"

[[nodes]]
id = 1
control_address = "127.0.0.1:7400"
"#;

/// What `GOOD` is refused with once `line` has become `changed`.
fn refusal(line: &str, changed: &str) -> String {
    assert!(GOOD.contains(line), "the text to change is there: {line}");
    let text = GOOD.replacen(line, changed, 1);
    Config::parse(&text)
        .expect_err("the changed file is refused")
        .to_string()
}

#[test]
fn a_good_file_is_read_with_its_nodes_in_order() {
    let config = Config::parse(GOOD).unwrap();
    assert_eq!(
        config.cluster_id.0,
        0x0123_4567_89ab_cdef_0123_4567_89ab_cdef
    );
    assert_eq!(config.node_id, 2);
    assert_eq!(
        config.shard_addresses,
        ["127.0.0.1:7403".parse::<SocketAddr>().unwrap()]
    );
    assert!(config.pin);
    assert_eq!(
        config.nodes.iter().map(|node| node.id).collect::<Vec<_>>(),
        [1, 2]
    );
}

#[test]
fn what_is_written_is_read_back_the_same() {
    let config = Config::parse(GOOD).unwrap();
    assert_eq!(Config::parse(&config.to_toml()).unwrap(), config);
}

#[test]
fn a_relative_data_folder_starts_at_the_folder_of_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("quorate.toml");
    fs::write(&path, GOOD).unwrap();
    assert_eq!(
        Config::read(&path).unwrap().data_dir,
        folder.path().join("data")
    );
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let error = Config::read(Path::new("/nowhere/quorate.toml"))
        .unwrap_err()
        .to_string();
    assert!(error.contains("/nowhere/quorate.toml"), "{error}");
}

#[test]
fn text_that_is_not_toml_is_refused_with_its_line() {
    let error = Config::parse("node_id = = 1").unwrap_err().to_string();
    assert!(error.contains("line 1"), "{error}");
}

#[test]
fn an_unknown_key_is_named_with_the_keys_that_there_are() {
    let error = refusal("pin = true", "pinn = true");
    assert!(
        error.contains("`pinn`") && error.contains("shard_addresses"),
        "{error}"
    );
    let error = refusal("id = 1", "id = 1\ncolour = \"red\"");
    assert!(
        error.contains("`nodes[1].colour`") && error.contains("control_address"),
        "{error}"
    );
}

#[test]
fn a_missing_key_is_named_with_its_allowed_values() {
    let error = refusal("data_dir = \"data\"", "");
    assert!(
        error.contains("`data_dir` is missing") && error.contains("a folder"),
        "{error}"
    );
    let error = refusal("id = 1", "");
    assert!(
        error.contains("`nodes[1].id` is missing") && error.contains("65535"),
        "{error}"
    );
}

const SHARDS: &str = "shard_addresses = [\"127.0.0.1:7403\"]";

/// Part of `GOOD`, what it becomes, and what the refusal tells.
const BAD_VALUES: &[(&str, &str, &[&str])] = &[
    (
        "0123456789abcdef0123456789abcdef",
        "12",
        &["cluster_id", "\"12\"", "32 hexadecimal"],
    ),
    (
        "0123456789abcdef0123456789abcdef",
        "+123456789abcdef0123456789abcdef",
        &["cluster_id"],
    ),
    (
        "node_id = 2",
        "node_id = 0",
        &["`node_id`", " 0;", "1 to 65535"],
    ),
    (
        "node_id = 2",
        "node_id = 65536",
        &["`node_id`", "65536", "1 to 65535"],
    ),
    (
        "node_id = 2",
        "node_id = \"2\"",
        &["`node_id`", "\"2\"", "whole number"],
    ),
    ("node_id = 2", "node_id = 3", &["`node_id`", " 3;", "1, 2"]),
    (
        "node_id = 2",
        "node_id = 1",
        &["`control_address`", "7402", "7400"],
    ),
    ("\"data\"", "\"\"", &["`data_dir`", "a folder"]),
    (
        "\"127.0.0.1:7402\"\nshard",
        "\"localhost\"\nshard",
        &["`control_address`", "IP:PORT"],
    ),
    (
        "\"127.0.0.1:7402\"\nshard",
        "\"0.0.0.0:7\"\nshard",
        &["`control_address`", "dial"],
    ),
    (
        SHARDS,
        "shard_addresses = []",
        &["`shard_addresses`", "[]", "1 to 128"],
    ),
    (
        SHARDS,
        "shard_addresses = [5]",
        &["`shard_addresses[0]`", " 5;", "IP:PORT"],
    ),
    (
        SHARDS,
        "shard_addresses = [\"127.0.0.1:0\"]",
        &["`shard_addresses[0]`", ":0"],
    ),
    (
        SHARDS,
        "shard_addresses = [\"127.0.0.1:7400\"]",
        &["`shard_addresses[0]`", "7400"],
    ),
    ("pin = true", "pin = 1", &["`pin`", " 1;", "true, false"]),
    (
        "id = 1",
        "id = 2",
        &["`nodes[1].id`", " 2;", "no other node"],
    ),
    (
        "127.0.0.1:7400",
        "127.0.0.1:7402",
        &["`nodes[1].control_address`", "no other node"],
    ),
];

#[test]
fn every_bad_value_is_named_with_its_key_and_the_allowed_values() {
    for (line, changed, parts) in BAD_VALUES {
        let error = refusal(line, changed);
        for part in *parts {
            assert!(error.contains(part), "\"{part}\" is in: {error}");
        }
    }
}

#[test]
fn too_many_shards_are_refused() {
    let addresses: Vec<_> = (0..=SHARDS_MAX)
        .map(|n| format!("\"10.0.0.1:{}\"", n + 1))
        .collect();
    let error = refusal("\"127.0.0.1:7403\"", &addresses.join(","));
    assert!(
        error.contains("`shard_addresses`") && error.contains("1 to 128"),
        "{error}"
    );
}

#[test]
fn shards_are_bound_to_neighbouring_cores_only_if_asked_to() {
    let config = Config::parse(GOOD).unwrap();
    assert_eq!((config.core_of(0), config.core_of(2)), (Some(3), Some(5)));
    assert_eq!(
        Config {
            pin: false,
            ..config
        }
        .core_of(0),
        None
    );
}
