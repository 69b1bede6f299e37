//! Bytes that go bad on one node's disk come back from the others.

use std::path::{Path, PathBuf};

use quorate_log::{DamageKind, Finding, Inspection, Known, Piece, Scope, Settings};
use quorate_platform::Compio;
use quorate_wire::{Code, PartitionStatus};

use crate::client::{batch, fetch_request, sequenced, wait_until};
use crate::rig::Rig;

const RECORDS: usize = 200;

/// Three nodes with a partition of so many batches, which all of them have on disk.
fn filled(rig: &mut Rig) -> (u64, Vec<String>) {
    let id = rig.create_partition(&[1, 2, 3]);
    let values: Vec<_> = (0..RECORDS)
        .map(|number| format!("value {number}"))
        .collect();
    let mut client = rig.client(1);
    client.produce_soon(id, &batch(&[&values[0]]));
    for value in &values[1..] {
        client
            .produce(id, &batch(&[value]))
            .expect("its leader is open");
    }
    for node in 1..=3 {
        assert_eq!(
            rig.client(node).read_all(id, RECORDS),
            values,
            "node {node}"
        );
    }
    (id, values)
}

fn segment(rig: &Rig, node: u16, id: u64) -> PathBuf {
    rig.partition_folder(node, id)
        .join("00000000000000000000.log")
}

fn length(path: &Path) -> usize {
    content(path).expect("the segment is sound").1
}

fn damage(path: &Path, position: usize) {
    let mut bytes = std::fs::read(path).expect("the file is there");
    bytes[position] ^= 0x10;
    std::fs::write(path, bytes).expect("the file can be written");
}

/// Where `value` stands, which nothing before it contains.
fn place_of(bytes: &[u8], value: &str) -> usize {
    let mut windows = bytes.windows(value.len());
    let place = windows.position(|window| window == value.as_bytes());
    place.expect("the value is there")
}

/// Damages the batches that hold `values`.
fn rot(rig: &Rig, node: u16, id: u64, values: &[String]) {
    let path = segment(rig, node, id);
    let bytes = std::fs::read(&path).expect("the segment is there");
    for value in values {
        damage(&path, place_of(&bytes, value));
    }
}

/// The batches of a segment without the frames, which tell what a node wrote at once; and where the
/// last one ends. `None` while any of them is damaged.
fn content(path: &Path) -> Option<(Vec<u8>, usize)> {
    let folder = path.parent().expect("a segment lies in a folder");
    let runtime = compio::runtime::Runtime::new().expect("a runtime can be made");
    runtime.block_on(async {
        let (settings, known) = (Settings::default(), Known::default());
        let begun = Inspection::begin(Compio, folder, settings, known, Scope::Segment(0)).await;
        let mut inspection = begun.ok()?;
        let (mut batches, mut end) = (Vec::new(), 0);
        while let Some(finding) = inspection.next().await.ok()? {
            match finding {
                Finding::Piece(Piece::Batch(batch)) => {
                    let bytes = inspection.read(&batch).await.ok()?;
                    end = batch.position as usize + bytes.len();
                    batches.extend_from_slice(&bytes);
                }
                // Frames are put back when a log is opened, and their checksums not at all.
                Finding::Piece(Piece::Damage(damage)) if is_of_frame(damage.kind) => {}
                Finding::Piece(Piece::Damage(_)) => return None,
                Finding::Piece(Piece::Frame(_) | Piece::Room { .. })
                | Finding::Segment { .. }
                | Finding::Index { .. }
                | Finding::Start { .. }
                | Finding::Leftover { .. } => {}
            }
        }
        Some((batches, end))
    })
}

fn is_of_frame(kind: DamageKind) -> bool {
    matches!(kind, DamageKind::Frame | DamageKind::Checksums)
}

fn batches_of(path: &Path) -> Option<Vec<u8>> {
    content(path).map(|(batches, _)| batches)
}

/// Waits until the batches of the node's segment are, byte for byte, those of another one.
fn wait_until_alike(rig: &Rig, node: u16, other: u16, id: u64) {
    let (ours, theirs) = (segment(rig, node, id), segment(rig, other, id));
    wait_until("the segments are alike", || {
        batches_of(&ours).is_some_and(|ours| batches_of(&theirs) == Some(ours))
    });
}

#[test]
fn damage_in_the_middle_is_mended_by_the_others_and_read_from_its_leader() {
    let mut rig = Rig::start(3);
    let (id, values) = filled(&mut rig);
    let path = segment(&rig, 2, id);
    rig.stop_node(2);
    let (sound, length) = (batches_of(&path), length(&path));
    for place in [3, 10, 11, 12, 15] {
        damage(&path, length * place / 20);
    }
    rig.start_node(2);
    wait_until("what was damaged is mended", || batches_of(&path) == sound);
    rig.lead(id, 2);
    assert_eq!(rig.client(2).produce_soon(id, &batch(&["next"])), 200);
    assert_eq!(rig.client(2).read_all(id, RECORDS + 1)[..200], values);
}

#[test]
fn a_leader_with_damage_fetches_it_from_its_followers() {
    let mut rig = Rig::start(3);
    let (id, values) = filled(&mut rig);
    let path = segment(&rig, 1, id);
    rig.stop_node(1);
    let (sound, length) = (batches_of(&path), length(&path));
    damage(&path, 0);
    damage(&path, length / 2);
    rig.start_node(1);
    wait_until("what was damaged is mended", || batches_of(&path) == sound);
    assert_eq!(rig.client(1).produce_soon(id, &batch(&["next"])), 200);
    assert_eq!(rig.client(1).read_all(id, RECORDS + 1)[..200], values);
}

#[test]
fn a_damaged_end_comes_back_from_the_others_and_is_kept_aside() {
    let mut rig = Rig::start(3);
    let (id, values) = filled(&mut rig);
    let path = segment(&rig, 2, id);
    rig.stop_node(2);
    damage(&path, length(&path) - 3);
    rig.start_node(2);
    wait_until_alike(&rig, 2, 1, id);
    let kept = rig
        .partition_folder(2, id)
        .join("00000000000000000000.log.damaged-1");
    assert!(kept.exists());
    rig.lead(id, 2);
    assert_eq!(rig.client(2).produce_soon(id, &batch(&["next"])), 200);
    assert_eq!(rig.client(2).read_all(id, RECORDS + 1)[..200], values);
}

/// After a loss of power the ends of all logs may be torn: nobody needs to be asked about it.
#[test]
fn torn_ends_everywhere_keep_nobody_from_going_on() {
    let mut rig = Rig::start(3);
    let (id, values) = filled(&mut rig);
    let length = |rig: &Rig, node| length(&segment(rig, node, id));
    let starts = [1, 2, 3].map(|node| length(&rig, node));
    let large = "x".repeat(3000);
    rig.client(1).produce(id, &batch(&[&large])).unwrap();
    for node in 1..=3 {
        wait_until("everybody has it", || {
            length(&rig, node) > starts[usize::from(node) - 1] + large.len()
        });
        rig.kill_node(node);
    }
    for node in 1..=3 {
        let path = segment(&rig, node, id);
        let mut bytes = std::fs::read(&path).unwrap();
        // As if some of that write never reached the disk: the begin of it, the end, the middle.
        let start = starts[usize::from(node) - 1];
        match node {
            1 => bytes[start..start + 700].fill(0),
            2 => bytes.truncate(start + 1500),
            _ => bytes[start + 1000..start + 2000].fill(0),
        }
        std::fs::write(&path, bytes).unwrap();
    }
    for node in 1..=3 {
        rig.start_node(node);
    }
    assert_eq!(rig.client(1).produce_soon(id, &batch(&["next"])), 200);
    for node in 1..=3 {
        assert_eq!(rig.client(node).read_all(id, RECORDS + 1)[..200], values);
        let folder = std::fs::read_dir(rig.partition_folder(node, id)).unwrap();
        let mut names = folder.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        assert!(!names.any(|name| name.contains("damaged")), "node {node}");
    }
}

#[test]
fn a_lost_folder_comes_back_from_the_others() {
    let mut rig = Rig::start(3);
    let (id, _) = filled(&mut rig);
    rig.stop_node(3);
    std::fs::remove_dir_all(rig.partition_folder(3, id)).unwrap();
    rig.start_node(3);
    wait_until_alike(&rig, 3, 1, id);
}

#[test]
fn facts_that_are_damaged_once_are_mended_and_lost_ones_keep_the_node_from_starting() {
    let mut rig = Rig::start(1);
    let id = rig.create_partition(&[1]);
    rig.client(1).produce_soon(id, &batch(&["record"]));
    let path = rig.folder_of(1, 0).join("facts");
    for position in [3, 600, 1100] {
        rig.stop_node(1);
        damage(&path, position);
        rig.start_node(1);
        assert_eq!(rig.client(1).read_all(id, 1), ["record"]);
    }
    rig.stop_node(1);
    std::fs::remove_dir_all(rig.folder_of(1, 0)).unwrap();
    rig.start_node(1);
    let error = rig.failure(1).to_string();
    let remedy = "quorate cluster recover --node 1";
    assert!(error.contains("facts") && error.contains(remedy), "{error}");
}

#[test]
fn damage_that_nobody_can_mend_is_refused_and_the_rest_goes_on() {
    let mut rig = Rig::start(1);
    let id = rig.create_partition(&[1]);
    let mut client = rig.client(1);
    client.produce_soon(id, &batch(&["first"]));
    let first = length(&segment(&rig, 1, id));
    for value in ["second", "third"] {
        client.produce(id, &batch(&[value])).unwrap();
    }
    rig.stop_node(1);
    damage(&segment(&rig, 1, id), first + 65);
    rig.start_node(1);
    let mut client = rig.client(1);
    assert_eq!(client.produce_soon(id, &batch(&["fourth"])), 3);
    assert_eq!(client.fetch(id, 0, 0).unwrap().values(0), ["first"]);
    let refusal = client.fetch(id, 1, 0).unwrap_err();
    assert_eq!(refusal.code, Code::DamagedRecords);
    assert!(refusal.detail.contains("from offset 1 to 2"), "{refusal}");
    assert_eq!(
        client.fetch(id, 2, 0).unwrap().values(2),
        ["third", "fourth"]
    );
}

#[test]
fn damage_that_is_met_by_a_reader_is_mended_while_the_node_runs() {
    let mut rig = Rig::start(3);
    let (id, values) = filled(&mut rig);
    // Read from disk, not from memory.
    rig.stop_node(3);
    rig.start_node(3);
    rig.client(3)
        .describe_until(id, |status| status.high_watermark == 200);
    let path = segment(&rig, 3, id);
    let sound = batches_of(&path);
    damage(&path, length(&path) / 2);
    wait_until("a reader gets all of it", || {
        let mut client = rig.client(3);
        let mut read = Vec::new();
        while read.len() < RECORDS {
            let offset = read.len() as u64;
            match client.fetch_with(fetch_request(id, offset, 0, true)) {
                Ok(fetched) => read.extend(fetched.values(offset)),
                Err(refusal) => {
                    assert_eq!(refusal.code, Code::DamagedRecords);
                    return false;
                }
            }
        }
        assert_eq!(read, values);
        true
    });
    assert!(batches_of(&path) == sound);
}

#[test]
fn damage_that_nobody_meets_is_found_and_mended_while_the_node_runs() {
    let mut rig = Rig::start(3);
    let (id, _) = filled(&mut rig);
    let path = segment(&rig, 3, id);
    let sound = batches_of(&path).unwrap();
    let length = length(&path);
    for place in [2, 9, 14] {
        damage(&path, length * place / 20);
    }
    wait_until("what was damaged is mended", || {
        batches_of(&path).is_some_and(|batches| batches == sound)
    });
}

/// No other replica is needed for them, and none has the same ones.
#[test]
fn damaged_checksums_of_writes_are_written_anew_while_the_node_runs() {
    let mut rig = Rig::start(1);
    let id = rig.create_partition(&[1]);
    let mut client = rig.client(1);
    for number in 0..10 {
        client.produce_soon(id, &batch(&[&format!("value {number}")]));
    }
    let path = segment(&rig, 1, id);
    let sound = std::fs::read(&path).unwrap();
    let is_frame = |at: &usize| sound[*at..].starts_with(b"QFR2");
    let frames: Vec<_> = (0..sound.len()).filter(is_frame).collect();
    assert_eq!(frames.len(), 10);
    // The head of one, and what is behind the head of others, the last one included.
    for position in [frames[2] + 5, frames[5] + 22, frames[9] + 23] {
        damage(&path, position);
    }
    wait_until("the frames are as they were", || {
        std::fs::read(&path).unwrap() == sound
    });
    // What is written next begins in the same block.
    client.produce_soon(id, &batch(&["next"]));
    assert!(
        std::fs::read(&path)
            .unwrap()
            .starts_with(&sound[..frames[9] + 24])
    );
    assert_eq!(client.read_all(id, 11)[10], "next");
}

/// What has been shifted does not look like a part of the log any more: it is put aside.
#[test]
fn what_is_behind_a_place_where_bytes_are_missing_comes_back_from_the_others() {
    let mut rig = Rig::start(3);
    let (id, values) = filled(&mut rig);
    let path = segment(&rig, 2, id);
    rig.stop_node(2);
    let mut bytes = std::fs::read(&path).unwrap();
    let place = place_of(&bytes, "value 20");
    bytes.drain(place - 40..place + 8);
    std::fs::write(&path, &bytes).unwrap();
    rig.start_node(2);
    wait_until_alike(&rig, 2, 1, id);
    rig.lead(id, 2);
    assert_eq!(rig.client(2).produce_soon(id, &batch(&["next"])), 200);
    assert_eq!(rig.client(2).read_all(id, RECORDS + 1)[..200], values);
}

/// The log ends at what is known to be committed, in the middle of what cannot be read.
#[test]
fn damage_on_both_sides_of_the_last_commit_that_is_known_is_mended() {
    let mut rig = Rig::start(3);
    let (id, mut values) = filled(&mut rig);
    // An orderly stop notes what is committed. What comes after it is not noted at once.
    rig.stop_node(2);
    rig.start_node(2);
    let mut client = rig.client(1);
    for number in RECORDS..RECORDS + 10 {
        values.push(format!("value {number}"));
        client.produce(id, &batch(&[&values[number]])).unwrap();
    }
    assert_eq!(rig.client(2).read_all(id, values.len()), values);
    rig.kill_node(2);
    rot(&rig, 2, id, &values[RECORDS - 5..RECORDS + 5]);
    rig.start_node(2);
    wait_until("a reader gets all of it", || {
        let mut client = rig.client(2);
        let refused = client.fetch_with(fetch_request(id, RECORDS as u64 - 1, 0, true));
        refused.is_ok()
    });
    assert_eq!(rig.client(2).read_all(id, values.len()), values);
    rig.lead(id, 2);
    let next = values.len() as u64;
    assert_eq!(rig.client(2).produce_soon(id, &batch(&["next"])), next);
    // And so it is found the next time.
    rig.stop_node(2);
    rig.start_node(2);
    assert_eq!(rig.client(2).read_all(id, values.len())[..210], values);
}

#[test]
fn a_range_that_nobody_has_any_more_is_refused_by_name_and_the_rest_is_served() {
    let mut rig = Rig::start(3);
    let (id, values) = filled(&mut rig);
    for node in 1..=3 {
        rig.stop_node(node);
        rot(&rig, node, id, &values[100..101]);
    }
    for node in 1..=3 {
        rig.start_node(node);
    }
    let mut client = rig.client(1);
    assert_eq!(client.produce_soon(id, &batch(&["more"])), 200);
    let refusal = client.fetch(id, 100, 0).unwrap_err();
    assert_eq!(refusal.code, Code::DamagedRecords);
    assert!(
        refusal.detail.contains("from offset 100 to 101"),
        "{refusal}"
    );
    assert_eq!(client.fetch(id, 99, 0).unwrap().values(99), values[99..100]);
    let behind = client.fetch(id, 101, 0).unwrap();
    assert_eq!(behind.values(101)[..99], values[101..]);
}

#[test]
fn a_producer_is_not_told_what_damaged_batches_would_tell() {
    let mut rig = Rig::start(3);
    let id = rig.create_partition(&[1, 2, 3]);
    let mut client = rig.client(1);
    client.produce_soon(id, &sequenced(4, 0, 0, &["first"]));
    let second = sequenced(4, 0, 1, &["second"]);
    client.produce(id, &second).unwrap();
    for node in 1..=3 {
        assert_eq!(rig.client(node).read_all(id, 2), ["first", "second"]);
    }
    for node in 1..=3 {
        rig.stop_node(node);
    }
    rot(&rig, 1, id, &["first".to_owned()]);
    for node in 1..=3 {
        rig.start_node(node);
    }
    // Whether it was appended before is known once "first" is back.
    let mut client = rig.client(1);
    let again = loop {
        match client.produce(id, &sequenced(4, 0, 0, &["first"])) {
            Ok(base_offset) => break base_offset,
            Err(refusal) if refusal.code == Code::DamagedRecords => std::thread::yield_now(),
            Err(refusal) => assert_eq!(refusal.code, Code::NotLeader, "{refusal}"),
        }
    };
    assert_eq!(again, 0);
    assert_eq!(client.produce(id, &sequenced(4, 0, 2, &["third"])), Ok(2));
}

#[test]
fn a_damaged_disk_and_a_dead_node_lose_nothing() {
    let mut rig = Rig::start(3);
    let (id, mut values) = filled(&mut rig);
    rig.kill_node(3);
    values.push("with two".to_owned());
    rig.client(1).produce(id, &batch(&["with two"])).unwrap();
    assert_eq!(rig.client(2).read_all(id, values.len()), values);
    // The only other one that has it is away, and it rots here.
    rig.stop_node(1);
    rig.stop_node(2);
    rot(&rig, 2, id, &values[RECORDS..]);
    rig.lead(id, 2);
    rig.start_node(2);
    rig.start_node(3);
    let mut client = rig.client(2);
    let waits = |status: &PartitionStatus| {
        let waits_for = status.waits_for.as_ref();
        waits_for.is_some_and(|why| why.contains("damaged"))
    };
    client.describe_until(id, waits);
    let refusal = client.produce(id, &batch(&["in its place"])).unwrap_err();
    assert_eq!(refusal.code, Code::NotLeader);
    assert!(refusal.detail.contains("is damaged"), "{refusal}");
    rig.start_node(1);
    assert_eq!(client.produce_soon(id, &batch(&["behind it"])), 201);
    values.push("behind it".to_owned());
    assert_eq!(client.read_all(id, values.len()), values);
}
