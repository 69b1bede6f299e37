//! Of every key the last record stays on all nodes, also on one that was killed and away meanwhile;
//! deleted keys go for good.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::ops::Range;

use quorate_jepsen::{Cluster, CommandLine, Failure, PATIENCE, wait_until};
use quorate_tests::{
    TOPIC, assert_clear_error, assert_no_panic, cluster_of_small_segments, sure, take_turn,
    wait_led_by_another,
};

const KEYS: u32 = 50;
/// Of these the last record deletes the key.
const DELETED: u32 = 10;
const ROUNDS: u32 = 60;

/// Each of these keys is given a new value in each of these rounds.
fn overwrite(line: &CommandLine, keys: Range<u32>, rounds: Range<u32>) {
    let mut text = String::new();
    for round in rounds {
        for key in keys.clone() {
            writeln!(text, "{key}={round:0100}").expect("a string takes it");
        }
    }
    feed(line, text);
}

fn delete(line: &CommandLine, keys: Range<u32>) {
    feed(line, keys.map(|key| format!("{key}=NULL\n")).collect());
}

fn feed(line: &CommandLine, text: String) {
    let arguments = [
        "produce",
        TOPIC,
        "--key-separator",
        "=",
        "--null-value",
        "NULL",
    ];
    let finished = sure(line.feed(&arguments, text.into_bytes()));
    assert!(finished.success, "{}", finished.stderr);
}

/// What a consumer reads from the beginning: the key of each record, and its value if it has one.
fn read(line: &CommandLine) -> Result<Vec<(u32, Option<String>)>, Failure> {
    let read = line.run(&["consume", TOPIC, "--output", "json"])?;
    let text = String::from_utf8(read).expect("JSON is text");
    let records = text.lines().map(|line| {
        let record: serde_json::Value = serde_json::from_str(line).expect("each line is JSON");
        let key = record["key"].as_str().expect("there is a key");
        let key = key.parse().expect("it is a number");
        (key, record["value"].as_str().map(str::to_owned))
    });
    Ok(records.collect())
}

/// Waits until a reader finds each key once: these as deleted, and the others with `last` as value.
fn wait_thin(line: &CommandLine, deleted: Range<u32>, last: u32) {
    let gone = deleted.map(|key| (key, None));
    let there = (DELETED..KEYS).map(|key| (key, Some(format!("{last:0100}"))));
    let expected: BTreeMap<_, _> = gone.chain(there).collect();
    sure(wait_until(
        "only the last records are left",
        PATIENCE,
        || {
            let records = read(line)?;
            let count = records.len();
            let table: BTreeMap<_, _> = records.into_iter().collect();
            match count == table.len() && table == expected {
                true => Ok(()),
                false => {
                    let keys = table.len();
                    let problem = format!("there are {count} records of {keys} keys");
                    Err(Failure::new(problem))
                }
            }
        },
    ));
}

/// Has the leader end until node `id` leads the only partition.
fn have_lead(cluster: &mut Cluster, id: u16) {
    loop {
        let leader = sure(cluster.leader(TOPIC, 0));
        if leader == id {
            return;
        }
        sure(cluster.terminate(leader));
        wait_led_by_another(cluster, 0, leader);
        sure(cluster.restart(leader));
        sure(cluster.wait_whole(PATIENCE));
    }
}

#[test]
fn of_every_key_the_last_record_stays_also_on_a_node_that_was_away() {
    let _turn = take_turn();
    let mut cluster = cluster_of_small_segments();
    let line = cluster.command_line();
    let create = ["topic", "create", TOPIC, "--partitions", "1"];
    let compacted = [
        "--replication",
        "3",
        "--compact",
        "--keep-tombstones",
        "500ms",
    ];
    sure(line.run(&[&create[..], &compacted].concat()));
    overwrite(&line, 0..KEYS, 0..ROUNDS);
    let leader = sure(cluster.leader(TOPIC, 0));
    let away = cluster.node_ids().into_iter().find(|id| *id != leader);
    let away = away.expect("there are three nodes");
    sure(cluster.kill(away));
    delete(&line, 0..DELETED);
    // What deletes a key stays while a node is away that may hold what it deletes, however often
    // the others go over their logs meanwhile.
    for round in ROUNDS..ROUNDS + 3 {
        overwrite(&line, DELETED..KEYS, round..round + 1);
        wait_thin(&line, 0..DELETED, round);
    }
    let last = ROUNDS + 2;

    sure(cluster.restart(away));
    wait_thin(&line, 0..0, last);
    // It is the same whoever leads, also if it is the node that was away.
    have_lead(&mut cluster, away);
    wait_thin(&line, 0..0, last);
    let keyless = sure(line.feed(&["produce", TOPIC], b"without a key\n".to_vec()));
    assert_clear_error(&keyless, "produce", &["key"]);
    assert_no_panic(&cluster);
}
