//! Old records go: by size, by age and because somebody asks for it, on all replicas.

use std::path::Path;

use quorate_wire::{Code, Retention};

use crate::client::{batch, fetch_request, sequenced, wait_until};
use crate::rig::Rig;

/// A third of a segment.
const VALUE_BYTES: usize = 20 << 10;

/// Writes batches of one record each; the offset behind the last.
fn fill(rig: &Rig, node: u16, id: u64, count: u64) -> u64 {
    let mut client = rig.client(node);
    let value = "x".repeat(VALUE_BYTES);
    let mut next = 0;
    for _ in 0..count {
        next = client.produce_soon(id, &batch(&[&value])) + 1;
    }
    next
}

/// Three nodes hold a partition with two records that node 1 leads, and node 3 is away.
fn without_the_third() -> (Rig, u64) {
    let mut rig = Rig::start(3);
    let id = rig.create_partition(&[1, 2, 3]);
    fill(&rig, 1, id, 2);
    rig.client(3).read_all(id, 2);
    rig.kill_node(3);
    rig.set_alive(3, false);
    (rig, id)
}

/// The base offsets of the segments on a node's disk.
fn segments(folder: &Path) -> Vec<u64> {
    let entries = std::fs::read_dir(folder).expect("the folder is there");
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let bases = names.filter_map(|name| name.strip_suffix(".log")?.parse().ok());
    let mut bases: Vec<u64> = bases.collect();
    bases.sort_unstable();
    bases
}

fn bytes(bytes: u64) -> Retention {
    Retention {
        ms: None,
        bytes: Some(bytes),
    }
}

#[test]
fn what_is_too_much_goes_on_all_replicas() {
    let mut rig = Rig::start(3);
    let id = rig.create_partition(&[1, 2, 3]);
    fill(&rig, 1, id, 30);
    for node in 1..=3 {
        rig.client(node).read_all(id, 30);
        assert!(segments(&rig.partition_folder(node, id)).len() >= 9);
    }
    rig.retain(id, bytes(100 << 10));
    for node in 1..=3 {
        let folder = rig.partition_folder(node, id);
        wait_until("the first segments are gone", || {
            segments(&folder).len() <= 3
        });
    }
    let status = rig.client(1).describe(id).unwrap();
    assert!(status.log_start_offset >= 20, "{status:?}");
    assert!(status.bytes < 300 << 10, "{status:?}");
    let refusal = rig
        .client(1)
        .fetch_with(fetch_request(id, 0, 0, false))
        .unwrap_err();
    assert_eq!(refusal.code, Code::OffsetOutOfRange);
    let start = status.log_start_offset;
    let fetched = rig
        .client(1)
        .fetch_with(fetch_request(id, start, 0, false))
        .unwrap();
    assert_eq!(fetched.base_offset, start);
    // It is so after a restart of all.
    for node in 1..=3 {
        rig.stop_node(node);
    }
    for node in 1..=3 {
        rig.start_node(node);
    }
    assert_eq!(rig.client(1).produce_soon(id, &batch(&["next"])), 30);
    assert!(rig.client(1).describe(id).unwrap().log_start_offset >= start);
}

#[test]
fn what_is_too_old_goes_though_its_segment_is_not_full() {
    let mut rig = Rig::start(1);
    let id = rig.create_partition(&[1]);
    // The tests write records of the year 1970.
    rig.client(1).produce_soon(id, &batch(&["old"]));
    rig.retain(
        id,
        Retention {
            ms: Some(60_000),
            bytes: None,
        },
    );
    rig.client(1)
        .describe_until(id, |status| status.log_start_offset == 1);
    let folder = rig.partition_folder(1, id);
    wait_until("the first segment is gone", || segments(&folder) == [1]);
    assert_eq!(rig.client(1).produce_soon(id, &batch(&["new"])), 1);
}

#[test]
fn a_replica_that_was_away_begins_where_the_others_begin() {
    let (mut rig, id) = without_the_third();
    fill(&rig, 1, id, 30);
    rig.retain(id, bytes(100 << 10));
    let status = rig
        .client(1)
        .describe_until(id, |status| status.log_start_offset >= 20);
    let start = status.log_start_offset;
    rig.start_node(3);
    rig.set_alive(3, true);
    let status = rig.client(3).describe_until(id, |status| {
        status.log_start_offset >= start && status.high_watermark == 32
    });
    let begin = status.log_start_offset;
    let folder = rig.partition_folder(3, id);
    assert_eq!(segments(&folder)[0], begin);
    let fetched = rig
        .client(3)
        .fetch_with(fetch_request(id, begin, 0, true))
        .unwrap();
    assert_eq!(fetched.base_offset, begin);
    // And it can lead on.
    rig.lead(id, 3);
    assert_eq!(rig.client(3).produce_soon(id, &batch(&["next"])), 32);
}

/// Its acknowledgement may be lost, the records deleted, and the leader another one: a batch that
/// is sent again is still known.
#[test]
fn who_begins_anew_knows_what_deleted_records_told_of_producers() {
    let (mut rig, id) = without_the_third();
    let sent = [0, 1, 2].map(|sequence| sequenced(7, 0, sequence, &["once"]));
    let offsets = [0, 1, 2].map(|at| rig.client(1).produce_soon(id, &sent[at]));
    assert_eq!(offsets, [2, 3, 4]);
    rig.client(1)
        .describe_until(id, |status| status.high_watermark == 5);
    assert_eq!(rig.client(1).delete_records(id, Some(5)), Ok(5));
    // All is gone from the log, and nothing follows that would tell of the producer.
    rig.start_node(3);
    rig.set_alive(3, true);
    rig.client(3)
        .describe_until(id, |status| status.log_start_offset == 5);
    rig.lead(id, 3);
    for (batch, offset) in sent.iter().zip(offsets) {
        assert_eq!(rig.client(3).produce_soon(id, batch), offset);
    }
    let next = sequenced(7, 0, 3, &["next"]);
    assert_eq!(rig.client(3).produce_soon(id, &next), 5);
    // It is known from its own disk from now on.
    rig.client(3)
        .describe_until(id, |status| status.high_watermark == 6);
    rig.stop_node(3);
    rig.set_alive(1, false);
    rig.kill_node(1);
    rig.start_node(3);
    assert_eq!(rig.client(3).produce_soon(id, &sent[2]), offsets[2]);
}

#[test]
fn what_a_live_replica_needs_stays() {
    let mut rig = Rig::start(3);
    let id = rig.create_partition(&[1, 2, 3]);
    fill(&rig, 1, id, 2);
    rig.client(3).read_all(id, 2);
    // The control plane takes it to be alive.
    rig.kill_node(3);
    fill(&rig, 1, id, 30);
    rig.retain(id, bytes(100 << 10));
    let other = rig.create_partition(&[1, 2]);
    fill(&rig, 1, other, 30);
    rig.retain(other, bytes(100 << 10));
    // Both are looked at one after the other, again and again.
    let begun = |status: &quorate_wire::PartitionStatus| status.log_start_offset >= 20;
    rig.client(1).describe_until(other, begun);
    let status = rig.client(1).describe(id).unwrap();
    assert_eq!(status.log_start_offset, 0);
    rig.start_node(3);
    rig.client(3)
        .describe_until(id, |status| status.high_watermark == 32);
    rig.client(1).describe_until(id, begun);
}

#[test]
fn deleted_records_are_gone_on_every_later_leader() {
    let mut rig = Rig::start(3);
    let id = rig.create_partition(&[1, 2, 3]);
    let next = fill(&rig, 1, id, 10);
    let mut client = rig.client(1);
    assert_eq!(client.delete_records(id, Some(7)), Ok(7));
    assert_eq!(client.delete_records(id, Some(3)), Ok(7), "it never falls");
    let refusal = client.delete_records(id, Some(next + 1)).unwrap_err();
    assert_eq!(refusal.code, Code::OffsetOutOfRange);
    assert!(
        refusal.detail.contains("high watermark is 10"),
        "{refusal:?}"
    );
    for leader in [2, 3] {
        rig.lead(id, leader);
        let status = rig
            .client(leader)
            .describe_until(id, |status| status.is_open);
        assert_eq!(status.log_start_offset, 7, "node {leader}");
    }
    assert_eq!(rig.client(3).delete_records(id, None), Ok(10));
    assert_eq!(rig.client(3).produce_soon(id, &batch(&["next"])), 10);
    let refusal = rig.client(1).delete_records(id, None).unwrap_err();
    assert_eq!(refusal.code, Code::NotLeader);
}

#[test]
fn batches_go_as_a_whole() {
    let mut rig = Rig::start(1);
    let id = rig.create_partition(&[1]);
    let mut client = rig.client(1);
    client.produce_soon(id, &batch(&["0", "1", "2"]));
    client.produce_soon(id, &batch(&["3", "4", "5"]));
    assert_eq!(client.delete_records(id, Some(5)), Ok(3));
    assert_eq!(client.delete_records(id, Some(6)), Ok(6));
}

#[test]
fn a_producer_is_known_after_its_records_are_deleted() {
    let mut rig = Rig::start(1);
    let id = rig.create_partition(&[1]);
    rig.client(1)
        .produce_soon(id, &sequenced(4, 0, 0, &["once"]));
    let next = fill(&rig, 1, id, 10);
    assert_eq!(rig.client(1).delete_records(id, None), Ok(next));
    let folder = rig.partition_folder(1, id);
    wait_until("the first segments are gone", || {
        segments(&folder).len() == 1
    });
    rig.kill_node(1);
    rig.start_node(1);
    let again = sequenced(4, 0, 0, &["once"]);
    assert_eq!(
        rig.client(1).produce_soon(id, &again),
        0,
        "it was there once"
    );
}

#[test]
fn a_deleted_topic_leaves_neither_files_nor_open_handles() {
    let mut rig = Rig::start(3);
    let id = rig.create_partition(&[1, 2, 3]);
    fill(&rig, 1, id, 30);
    // Removals are under way while it goes.
    rig.retain(id, bytes(0));
    for node in 1..=3 {
        rig.client(node).fetch_any(id, 29);
    }
    rig.delete_partition(id);
    for node in 1..=3 {
        let folder = rig.partition_folder(node, id);
        wait_until("the folder is gone", || !folder.exists());
        let is_held = || {
            let handles = std::fs::read_dir("/proc/self/fd").unwrap();
            let mut targets = handles.filter_map(|fd| std::fs::read_link(fd.ok()?.path()).ok());
            targets.any(|target| target.starts_with(&folder))
        };
        wait_until("no file of it is open", || !is_held());
    }
}
