//! Old records go from the disks of all nodes, by size and on request, and a node that was away
//! begins where the others begin now.

use std::fs;
use std::path::{Path, PathBuf};

use quorate_jepsen::{Cluster, Failure, PATIENCE, wait_until};
use quorate_tests::{
    TOPIC, assert_no_panic, assert_refused, cluster_of_small_segments, sure, take_turn,
};

/// The folder of the topic's only partition on a node.
fn folder(cluster: &Cluster, id: u16) -> PathBuf {
    let partitions = cluster.description(id).data_dir.join("shard-0/partitions");
    let mut entries = sure(fs::read_dir(&partitions));
    sure(entries.next().expect("it holds the partition")).path()
}

/// The bytes and the first offset of the segments in a folder.
fn stored(folder: &Path) -> (u64, u64) {
    let entries = sure(fs::read_dir(folder)).filter_map(Result::ok);
    let segments = entries.filter_map(|entry| {
        let name = entry.file_name().into_string().ok()?;
        let base: u64 = name.strip_suffix(".log")?.parse().ok()?;
        Some((base, entry.metadata().ok()?.len()))
    });
    let segments: Vec<_> = segments.collect();
    let first = segments.iter().map(|segment| segment.0).min();
    let bytes = segments.iter().map(|segment| segment.1).sum();
    // There is none for a moment while a log begins anew.
    (bytes, first.unwrap_or(0))
}

fn log_start(cluster: &Cluster) -> u64 {
    let said: serde_json::Value = sure(cluster.command_line().json(&["topic", "describe", TOPIC]));
    let start = said["partitions"][0]["log_start_offset"].as_u64();
    start.expect("the leader answers")
}

fn produce(cluster: &Cluster, lines: std::ops::Range<u32>) {
    let text: String = lines.map(|line| format!("{line:0100}\n")).collect();
    let finished = sure(
        cluster
            .command_line()
            .feed(&["produce", TOPIC], text.into_bytes()),
    );
    assert!(finished.success, "{}", finished.stderr);
}

/// Waits until a node has removed the first segments.
fn wait_removed(cluster: &Cluster, id: u16) {
    let folder = folder(cluster, id);
    let what = format!("node {id} has removed old segments");
    sure(wait_until(&what, PATIENCE, || match stored(&folder) {
        (bytes, first) if bytes < 1 << 20 && first > 0 => Ok(()),
        stored => Err(Failure::new(format!("it stores {stored:?}"))),
    }));
}

#[test]
fn old_records_go_everywhere_and_a_node_that_was_away_begins_behind_them() {
    let _turn = take_turn();
    let mut cluster = cluster_of_small_segments();
    let line = cluster.command_line();
    sure(line.create_topic(TOPIC, 1, 3));
    produce(&cluster, 0..1_000);
    let leader = sure(cluster.leader(TOPIC, 0));
    let away = cluster.node_ids().into_iter().find(|id| *id != leader);
    let away = away.expect("there are three nodes");
    sure(cluster.kill(away));
    produce(&cluster, 1_000..30_000);
    sure(line.run(&["topic", "alter", TOPIC, "--retention-bytes", "200KiB"]));
    for id in cluster.node_ids().into_iter().filter(|id| *id != away) {
        wait_removed(&cluster, id);
    }
    let start = log_start(&cluster);
    assert!(start > 1_000, "{start}");

    sure(cluster.restart(away));
    wait_removed(&cluster, away);
    produce(&cluster, 30_000..31_000);
    let read = sure(line.run(&["consume", TOPIC]));
    let read = String::from_utf8(read).unwrap();
    let lines: Vec<u32> = read.lines().map(|line| line.parse().unwrap()).collect();
    let first = *lines.first().expect("some records stay");
    assert!(u64::from(first) >= start);
    assert_eq!(lines, (first..31_000).collect::<Vec<_>>());

    assert_refused(&line, &["consume", TOPIC, "--from", "5"], &["offset 5"]);
    let delete = ["topic", "delete-records", TOPIC, "--partition", "0"];
    let beyond = [&delete[..], &["--before", "31001"]].concat();
    assert_refused(&line, &beyond, &["31000"]);
    sure(line.run(&[&delete[..], &["--before", "end"]].concat()));
    assert_eq!(log_start(&cluster), 31_000);
    assert_eq!(sure(line.run(&["consume", TOPIC])), b"");
    produce(&cluster, 31_000..31_001);
    let read = sure(line.run(&["consume", TOPIC]));
    assert_eq!(
        String::from_utf8(read).unwrap(),
        format!("{:0100}\n", 31_000)
    );
    assert_no_panic(&cluster);
}
