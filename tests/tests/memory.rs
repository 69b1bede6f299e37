//! What a replica cannot get rid of is not piled up in memory.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::thread;
use std::time::Duration;

use quorate_jepsen::{Failure, PATIENCE, Process, wait_until};
use quorate_tests::{assert_no_panic, cluster_with_topic, sure, take_turn};

const LINES: u64 = 200_000;
const LINE_BYTES: usize = 1000;
/// Far below the 200 MB that are written, far above what a node needs.
const GROWTH_MAX: u64 = 96 << 20;

fn write_lines(path: &Path) {
    let mut file = BufWriter::new(File::create(path).unwrap());
    for line in 0..LINES {
        writeln!(file, "{line:0LINE_BYTES$}").unwrap();
    }
    file.flush().unwrap();
}

fn resident(process: Process) -> u64 {
    sure(process.usage()).resident_bytes
}

#[test]
fn records_for_a_follower_that_sleeps_are_not_kept_in_memory() {
    let _turn = take_turn();
    let mut cluster = cluster_with_topic(1);
    let line = cluster.command_line();
    sure(line.create_topic("lagging", 1, 2));
    let partition = sure(wait_until("the topic is whole", PATIENCE, || {
        let partition = line.partitions("lagging")?.remove(0);
        partition.check_whole().map(|()| partition)
    }));
    let leader = partition.leader;
    let replicas = partition.replicas.iter().map(|replica| replica.node);
    let follower = replicas
        .into_iter()
        .find(|node| *node != leader)
        .expect("there are two");
    let file = cluster.folder().join("lines");
    write_lines(&file);

    sure(cluster.pause(follower));
    let process = cluster.process(leader);
    let before = resident(process);
    let producing = {
        let line = line.clone();
        let file = file
            .to_str()
            .expect("temporary folders have plain names")
            .to_owned();
        let run = move || line.run(&["produce", "lagging", "--acks", "leader", "--file", &file]);
        thread::spawn(run)
    };
    let mut peak = before;
    while !producing.is_finished() {
        peak = peak.max(resident(process));
        thread::sleep(Duration::from_millis(20));
    }
    sure(producing.join().unwrap());
    let growth = peak - before;
    assert!(growth < GROWTH_MAX, "the leader grew by {growth} bytes");

    sure(cluster.resume(follower));
    sure(wait_until("the follower has caught up", PATIENCE, || {
        let partition = line.partitions("lagging")?.remove(0);
        match partition.high_watermark {
            Some(LINES) => partition.check_whole(),
            other => Err(Failure::new(format!("{other:?} of {LINES} are committed"))),
        }
    }));
    let growth = resident(cluster.process(follower)).saturating_sub(before);
    assert!(growth < GROWTH_MAX, "the follower grew by {growth} bytes");
    assert_no_panic(&cluster);
}
