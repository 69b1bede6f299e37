//! Whatever is asked for that cannot be had: a clear error, and the cluster goes on.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;

use quorate_jepsen::{Cluster, CommandLine};
use quorate_tests::{
    TOPIC, assert_clear_error, assert_no_panic, assert_refused, assert_works, cluster_with_topic,
    sure, take_turn,
};

#[test]
fn bad_requests_are_refused_by_name_and_harm_nobody() {
    let _turn = take_turn();
    let cluster = cluster_with_topic(2);
    let line = cluster.command_line();
    refuses_unknown_topics(&line);
    refuses_unknown_partitions_and_offsets(&line);
    refuses_impossible_topics(&line);
    refuses_odd_names(&line);
    refuses_records_that_are_too_large(&cluster);
    refuses_bad_options(&line);
    assert_no_panic(&cluster);
    assert_works(&cluster);
}

fn refuses_unknown_topics(line: &CommandLine) {
    for command in [
        &["produce", "nowhere"][..],
        &["consume", "nowhere"],
        &["topic", "describe", "nowhere"],
        &["topic", "delete", "nowhere"],
    ] {
        assert_refused(line, command, &["nowhere"]);
    }
    let finished = sure(line.feed(&["produce", "nowhere"], b"a record\n".to_vec()));
    assert_clear_error(&finished, "produce to an unknown topic", &["nowhere"]);
    assert!(finished.stdout.is_empty());
}

fn refuses_unknown_partitions_and_offsets(line: &CommandLine) {
    let partition = ["--partition", "99"];
    assert_refused(
        line,
        &[&["consume", TOPIC], &partition[..]].concat(),
        &[TOPIC, "99"],
    );
    let arguments = [&["produce", TOPIC], &partition[..]].concat();
    let finished = sure(line.feed(&arguments, b"a record\n".to_vec()));
    assert_clear_error(&finished, "produce to an unknown partition", &[TOPIC, "99"]);
    assert_refused(
        line,
        &["consume", TOPIC, "--partition", "0", "--from", "77777"],
        &["77777"],
    );
}

fn refuses_impossible_topics(line: &CommandLine) {
    let create = ["topic", "create"];
    assert_refused(line, &[&create[..], &[TOPIC]].concat(), &[TOPIC, "exists"]);
    let too_many_replicas = ["four", "--partitions", "1", "--replication", "4"];
    assert_refused(
        line,
        &[&create[..], &too_many_replicas].concat(),
        &["4", "3"],
    );
    let too_few_partitions = ["none", "--partitions", "0", "--replication", "3"];
    assert_refused(line, &[&create[..], &too_few_partitions].concat(), &["0"]);
    let too_many_partitions = ["many", "--partitions", "4000000000", "--replication", "3"];
    assert_refused(
        line,
        &[&create[..], &too_many_partitions].concat(),
        &["4000000000"],
    );
    let topics = sure(line.topics());
    assert_eq!(topics, [TOPIC], "a refused topic is there nevertheless");
}

fn refuses_odd_names(line: &CommandLine) {
    let too_long = "x".repeat(250);
    for name in [
        "", ".", "..", "a/b", "../up", "a b", "ümläut", "a\nb", "a\u{7}b", &too_long,
    ] {
        assert_refused(line, &["topic", "create", name], &["249"]);
    }
    let longest = "x".repeat(249);
    for name in ["a", "A.b_c-9", "...", "con", &longest] {
        sure(line.run(&["topic", "create", name]));
        sure(line.run(&["topic", "delete", name]));
    }
}

fn refuses_records_that_are_too_large(cluster: &Cluster) {
    let line = cluster.command_line();
    let file = cluster.folder().join("too-large");
    let large = "x".repeat(2_000_000);
    fs::write(&file, format!("first\nsecond\n{large}\nfourth\n")).unwrap();
    let file = file.to_str().expect("temporary folders have plain names");
    let arguments = ["produce", TOPIC, "--partition", "1", "--file", file];
    assert_refused(&line, &arguments, &["line 3"]);
    let read = sure(line.run(&["consume", TOPIC, "--partition", "1"]));
    let read = String::from_utf8_lossy(&read);
    assert!(
        "first\nsecond\n".starts_with(&*read),
        "what stands before it is kept or not: {read}"
    );
}

fn refuses_bad_options(line: &CommandLine) {
    assert_refused(
        line,
        &["consume", TOPIC, "--from", "yesterday"],
        &["yesterday", "beginning", "15m"],
    );
    assert_refused(
        line,
        &["consume", TOPIC, "--from", "2026-02-30T00:00:00Z"],
        &["2026-02-30T00:00:00Z", "no such day"],
    );
    assert_refused(
        line,
        &["produce", TOPIC, "--acks", "maybe"],
        &["maybe", "quorum"],
    );
    assert_refused(
        line,
        &["produce", TOPIC, "--file", "/no/such/file"],
        &["/no/such/file"],
    );
    assert_refused(
        line,
        &["topic", "list", "--bootstrap", "nonsense"],
        &["nonsense"],
    );
    // Port 1 of this machine, where nobody listens.
    assert_refused(
        line,
        &["topic", "list", "--bootstrap", "127.0.0.1:1"],
        &["127.0.0.1:1"],
    );
}
