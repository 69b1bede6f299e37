//! What scripts may rely on in `quorate produce` and `quorate consume`.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use quorate_jepsen::{CommandLine, PATIENCE, Process};
use quorate_tests::{TOPIC, cluster_with_topic, sure, take_turn};
use serde_json::Value;

#[test]
fn produce_and_consume_keep_their_promises_to_scripts() {
    let _turn = take_turn();
    let cluster = cluster_with_topic(2);
    let line = cluster.command_line();
    each_acknowledged_batch_is_an_object(&line);
    bytes_come_out_as_they_went_in(&line);
    keys_are_split_off(&line);
    readings_begin_and_end_where_they_are_told_to(&line);
    weaker_acknowledgements_arrive_too(&line);
    following_reader_sees_what_comes_later(&line);
    everything_can_be_listed(&line);
}

#[test]
fn topic_can_be_used_as_soon_as_it_is_created() {
    let _turn = take_turn();
    let cluster = cluster_with_topic(1);
    let line = cluster.command_line();
    for attempt in 0..20 {
        let name = format!("topic-{attempt}");
        fresh_topic(&line, &name);
        assert_eq!(sure(line.partitions(&name)).len(), 1);
        assert!(sure(line.topics()).contains(&name));
        feed(&line, &["produce", &name], b"a record\n");
        assert_eq!(sure(line.run(&["consume", &name])), b"a record\n");
    }
}

fn fresh_topic(line: &CommandLine, name: &str) {
    sure(line.create_topic(name, 1, 3));
}

fn feed(line: &CommandLine, arguments: &[&str], input: &[u8]) -> Vec<u8> {
    let finished = sure(line.feed(arguments, input.to_vec()));
    assert!(
        finished.success,
        "`{}`: {}",
        arguments.join(" "),
        finished.stderr
    );
    finished.stdout
}

fn objects(bytes: &[u8]) -> Vec<Value> {
    let lines = bytes
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty());
    lines
        .map(|line| serde_json::from_slice(line).unwrap())
        .collect()
}

fn each_acknowledged_batch_is_an_object(line: &CommandLine) {
    let text: Vec<u8> = (0..20_000)
        .flat_map(|n| format!("record {n}\n").into_bytes())
        .collect();
    let arguments = ["produce", TOPIC, "--partition", "1", "--output", "json"];
    let mut next = 0;
    for batch in objects(&feed(line, &arguments, &text)) {
        assert_eq!(batch["partition"], 1);
        assert_eq!(
            batch["base_offset"], next,
            "one producer's batches follow each other"
        );
        next += batch["count"].as_u64().unwrap();
    }
    assert_eq!(
        next, 20_000,
        "success means that every line is acknowledged"
    );
    assert!(sure(line.run(&["consume", TOPIC, "--partition", "1"])) == text);
    assert!(sure(line.run(&["consume", TOPIC, "--partition", "0"])).is_empty());
}

fn bytes_come_out_as_they_went_in(line: &CommandLine) {
    fresh_topic(line, "bytes");
    // An empty line, bytes that are no text, a zero, a carriage return, and no end at the end.
    let input = b"plain\n\nv\xc3\xa4lue\n\xff\xfe\x00\x01\nends in \r\n{\"a\": \"b\"}\nlast";
    feed(line, &["produce", "bytes"], input);
    let read = sure(line.run(&["consume", "bytes"]));
    assert_eq!(read, [&input[..], b"\n"].concat());
    let records = objects(&sure(line.run(&["consume", "bytes", "--output", "json"])));
    assert_eq!(records.len(), 7);
    for (offset, record) in records.iter().enumerate() {
        assert_eq!(record["partition"], 0);
        assert_eq!(record["offset"], offset);
        assert!(record["timestamp"].as_i64().unwrap() > 0);
        assert_eq!(record["key"], Value::Null);
    }
    assert_eq!(records[1]["value"], "");
    assert_eq!(records[2]["value"], "välue");
    assert_eq!(records[3]["value_base64"], "//4AAQ==");
    assert!(records[3].get("value").is_none());
}

fn keys_are_split_off(line: &CommandLine) {
    fresh_topic(line, "keys");
    let input = b"a:1\nb:2:3\nno key\n:empty key\n";
    feed(line, &["produce", "keys", "--key-separator", ":"], input);
    let records = objects(&sure(line.run(&["consume", "keys", "--output", "json"])));
    let pair = |record: &Value| (record["key"].clone(), record["value"].clone());
    let pairs: Vec<_> = records.iter().map(pair).collect();
    let text = |text: &str| Value::from(text);
    assert_eq!(pairs[0], (text("a"), text("1")));
    assert_eq!(pairs[1], (text("b"), text("2:3")));
    assert_eq!(pairs[2], (Value::Null, text("no key")));
    assert_eq!(pairs[3], (text(""), text("empty key")));
}

fn readings_begin_and_end_where_they_are_told_to(line: &CommandLine) {
    fresh_topic(line, "places");
    feed(line, &["produce", "places"], b"0\n1\n2\n3\n4\n");
    let consume = |arguments: &[&str]| {
        let bytes = sure(line.run(&[&["consume", "places"], arguments].concat()));
        String::from_utf8(bytes).unwrap()
    };
    assert_eq!(consume(&["--from", "beginning"]), "0\n1\n2\n3\n4\n");
    assert_eq!(consume(&["--from", "3"]), "3\n4\n");
    assert_eq!(consume(&["--from", "5"]), "");
    assert_eq!(consume(&["--from", "end"]), "");
    assert_eq!(consume(&["--max", "2"]), "0\n1\n");
    assert_eq!(consume(&["--from", "1", "--max", "2"]), "1\n2\n");
    assert_eq!(consume(&["--max", "0"]), "");
    feed(line, &["produce", "places"], b"later\n");
    let records = objects(&sure(line.run(&["consume", "places", "--output", "json"])));
    let later = as_date_tells(records[5]["timestamp"].as_i64().unwrap());
    assert_eq!(consume(&["--from", &later]), "later\n");
    let all = "0\n1\n2\n3\n4\nlater\n";
    assert_eq!(consume(&["--from", "1h"]), all);
    assert_eq!(consume(&["--from", "2000-01-01T00:00:00+02:00"]), all);
    assert_eq!(consume(&["--from", "2999-01-01T00:00:00Z"]), "");
}

/// Milliseconds since 1970, as the `date` of the system writes them.
fn as_date_tells(ms: i64) -> String {
    let time = format!("@{}.{:03}", ms / 1_000, ms % 1_000);
    let arguments = ["--utc", "--date", &time, "+%Y-%m-%dT%H:%M:%S.%NZ"];
    let told = std::process::Command::new("date").args(arguments).output();
    let told = String::from_utf8(told.unwrap().stdout).unwrap();
    told.trim().to_owned()
}

fn weaker_acknowledgements_arrive_too(line: &CommandLine) {
    fresh_topic(line, "weak");
    let produce = |acks: &str, input: &[u8]| {
        let arguments = ["produce", "weak", "--acks", acks, "--output", "json"];
        objects(&feed(line, &arguments, input))
    };
    let batches = produce("leader", b"one\ntwo\n");
    assert_eq!(batches[0]["base_offset"], 0);
    for batch in produce("none", b"three\n") {
        assert_eq!(batch["base_offset"], Value::Null);
    }
    // Records without an acknowledgement are on their way; with nothing broken they arrive.
    let arguments = ["consume", "weak", "--follow", "--max", "3"];
    assert_eq!(sure(line.run(&arguments)), b"one\ntwo\nthree\n");
}

fn following_reader_sees_what_comes_later(line: &CommandLine) {
    fresh_topic(line, "later");
    feed(line, &["produce", "later"], b"before\n");
    let mut command = line.command(&["consume", "later", "--follow"]);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let process = sure(Process::find(child.id()));
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "before");
    feed(line, &["produce", "later"], b"after\n");
    assert_eq!(lines.next().unwrap().unwrap(), "after");
    sure(process.interrupt());
    sure(process.wait_ended(PATIENCE));
    assert!(lines.next().is_none());
    let status = child.wait().unwrap();
    assert!(
        status.success(),
        "Ctrl-C is the ordinary way to end it: {status}"
    );
}

fn everything_can_be_listed(line: &CommandLine) {
    let names = sure(line.topics());
    for name in [TOPIC, "bytes", "keys", "places", "weak", "later"] {
        assert!(
            names.iter().any(|known| known == name),
            "{name} is not in {names:?}"
        );
    }
    let partitions = sure(line.partitions(TOPIC));
    let indexes: Vec<_> = partitions.iter().map(|partition| partition.index).collect();
    assert_eq!(indexes, [0, 1]);
    assert_eq!(partitions[1].high_watermark, Some(20_000));
    assert_eq!(partitions[1].replicas.len(), 3);
    sure(line.run(&["topic", "delete", "places"]));
    assert!(!sure(line.topics()).iter().any(|name| name == "places"));
    let table = String::from_utf8(sure(line.run(&["topic", "list"]))).unwrap();
    assert!(table.contains(TOPIC), "{table}");
    let table = String::from_utf8(sure(line.run(&["cluster", "status"]))).unwrap();
    assert!(table.contains("primary"), "{table}");
}
