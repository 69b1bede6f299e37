//! Bytes that go bad on the disk of one node: it starts all the same, and gets them back from the
//! others.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use quorate_jepsen::{Cluster, Failure, PATIENCE, wait_until};
use quorate_tests::{TOPIC, assert_no_panic, assert_works, cluster_with_topic, sure, take_turn};

const PARTITIONS: u32 = 3;
const LINES: usize = 6_000;

/// Writes so many lines, in many small batches; gives them.
fn produce(cluster: &Cluster) -> BTreeSet<String> {
    let line = cluster.command_line();
    for round in 0..20 {
        let mut text = String::new();
        for number in 0..LINES / 20 {
            writeln!(text, "line {round} {number}").expect("text can be added to a string");
        }
        let finished = sure(line.feed(&["produce", TOPIC], text.into_bytes()));
        assert!(finished.success, "{}", finished.stderr);
    }
    consumed(cluster)
}

fn consumed(cluster: &Cluster) -> BTreeSet<String> {
    let read = sure(cluster.command_line().run(&["consume", TOPIC]));
    let text = String::from_utf8(read).expect("text comes out as it went in");
    let lines: BTreeSet<_> = text.lines().map(str::to_owned).collect();
    assert_eq!(lines.len(), LINES);
    lines
}

/// The segments with records that a node holds.
fn segments(node: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![node.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("the folder can be listed") {
            let path = entry.expect("an entry can be read").path();
            let is_segment = path.extension().is_some_and(|extension| extension == "log")
                && path
                    .parent()
                    .and_then(Path::parent)
                    .is_some_and(|it| it.ends_with("partitions"));
            if path.is_dir() {
                folders.push(path);
            } else if is_segment && fs::metadata(&path).is_ok_and(|it| it.len() > 1000) {
                found.push(path);
            }
        }
    }
    found
}

/// Waits until the node has everything, and leads its share again.
fn wait_leading(cluster: &Cluster, id: u16) {
    sure(cluster.wait_whole(PATIENCE));
    sure(wait_until("the node leads again", PATIENCE, || {
        let partitions = cluster.command_line().partitions(TOPIC)?;
        match partitions.iter().any(|partition| partition.leader == id) {
            true => Ok(()),
            false => Err(Failure::new("it leads nothing")),
        }
    }));
}

/// Waits until every node says that nothing on its disk is damaged any more.
fn wait_undamaged(cluster: &Cluster) {
    let line = cluster.command_line();
    sure(wait_until("nothing is damaged", PATIENCE, || {
        let status = line.run(&["cluster", "status", "--output", "json"])?;
        let status = String::from_utf8_lossy(&status).into_owned();
        match status.matches(r#""damaged_ranges":0,"#).count() {
            3 => Ok(()),
            _ => Err(Failure::new(status)),
        }
    }));
}

#[test]
fn damaged_records_come_back_from_the_other_nodes() {
    let _turn = take_turn();
    let mut cluster = cluster_with_topic(PARTITIONS);
    let expected = produce(&cluster);
    let victim = sure(cluster.leader(TOPIC, 0));
    let folder = cluster.description(victim).data_dir.clone();
    sure(cluster.terminate(victim));

    let mut sound = Vec::new();
    for path in segments(&folder) {
        let batches = batches_of(&path).unwrap();
        let bytes = fs::read(&path).unwrap();
        let mut damaged = bytes.clone();
        for place in [3, 4, 7] {
            damaged[bytes.len() * place / 10] ^= 0x20;
        }
        fs::write(&path, damaged).unwrap();
        sound.push((path, batches));
    }
    assert_eq!(sound.len(), PARTITIONS as usize);
    sure(cluster.restart(victim));
    for (path, batches) in &sound {
        sure(wait_until(
            "the segment is mended",
            PATIENCE,
            || match batches_of(path).is_some_and(|now| now.starts_with(batches)) {
                true => Ok(()),
                false => Err(Failure::new(path.display().to_string())),
            },
        ));
    }
    wait_leading(&cluster, victim);
    assert_eq!(consumed(&cluster), expected);
    wait_undamaged(&cluster);
    assert_no_panic(&cluster);

    // What was mended stays so: the next start finds nothing to complain about.
    let complaints = |cluster: &Cluster| {
        let log = &cluster.logs()[&victim];
        let complaints = log.lines().filter(|line| line.contains("asking the other"));
        complaints.count()
    };
    let before = complaints(&cluster);
    assert!(before > sound.len(), "{before}");
    sure(cluster.terminate(victim));
    sure(cluster.restart(victim));
    wait_leading(&cluster, victim);
    assert_eq!(complaints(&cluster), before);
    assert_works(&cluster);
}

/// The batches of a segment without the frames, which tell what a node wrote at once; and where the
/// last one ends. Behind it there are zeros.
fn content(path: &Path) -> Option<(Vec<u8>, usize)> {
    let segment = fs::read(path).ok()?;
    let (mut rest, mut batches) = (&segment[..], Vec::new());
    while rest.iter().any(|byte| *byte != 0) {
        let is_frame = rest.starts_with(b"QFR2");
        let length = match is_frame {
            true => u32::from_le_bytes(*rest[4..].first_chunk()?),
            false => u32::from_be_bytes(*rest.get(8..)?.first_chunk()?).checked_add(12)?,
        };
        let (piece, behind) = rest.split_at_checked(length as usize)?;
        if !is_frame {
            batches.extend_from_slice(piece);
        }
        rest = behind;
    }
    Some((batches, segment.len() - rest.len()))
}

fn batches_of(path: &Path) -> Option<Vec<u8>> {
    content(path).map(|(batches, _)| batches)
}

/// The end of a log is judged when it is opened: what has rotted there was not torn, so it counts
/// as lost, and is fetched with the rest that the node lacks.
#[test]
fn damaged_last_records_come_back_from_the_other_nodes() {
    let _turn = take_turn();
    let mut cluster = cluster_with_topic(PARTITIONS);
    let expected = produce(&cluster);
    let victim = sure(cluster.leader(TOPIC, 0));
    let other = victim % 3 + 1;
    let folder = cluster.description(victim).data_dir.clone();
    let other_folder = cluster.description(other).data_dir.clone();
    sure(cluster.terminate(victim));
    let damaged = segments(&folder);
    assert_eq!(damaged.len(), PARTITIONS as usize);
    for path in &damaged {
        let mut bytes = fs::read(path).unwrap();
        let (_, end) = content(path).unwrap();
        bytes[end - 40..end]
            .iter_mut()
            .for_each(|byte| *byte ^= 0x20);
        fs::write(path, bytes).unwrap();
    }
    sure(cluster.restart(victim));
    wait_leading(&cluster, victim);
    for path in &damaged {
        let twin = other_folder.join(path.strip_prefix(&folder).unwrap());
        sure(wait_until(
            "the segments are alike",
            PATIENCE,
            || match batches_of(path).is_some_and(|ours| batches_of(&twin) == Some(ours)) {
                true => Ok(()),
                false => Err(Failure::new(path.display().to_string())),
            },
        ));
    }
    assert_eq!(consumed(&cluster), expected);
    wait_undamaged(&cluster);
    assert_no_panic(&cluster);
    assert_works(&cluster);
}

#[test]
fn a_lost_partition_comes_back_from_the_other_nodes() {
    let _turn = take_turn();
    let mut cluster = cluster_with_topic(PARTITIONS);
    let expected = produce(&cluster);
    let victim = sure(cluster.leader(TOPIC, 0));
    let folder = cluster.description(victim).data_dir.clone();
    sure(cluster.terminate(victim));
    let lost = segments(&folder);
    fs::remove_dir_all(lost[0].parent().unwrap()).unwrap();
    sure(cluster.restart(victim));
    wait_leading(&cluster, victim);
    assert_eq!(consumed(&cluster), expected);
    assert_no_panic(&cluster);
    assert_works(&cluster);
}
