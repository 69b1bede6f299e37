//! Of every key the last record stays, on all replicas; what deletes a key goes in the end.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use quorate_batch::{BatchHeader, records};
use quorate_wire::Compaction;

use crate::client::{batch, fetch_request, keyed, wait_until};
use crate::rig::Rig;

const KEYS: usize = 8;
/// Deletions are kept for so short a time that a test sees them go.
const BRIEFLY: Compaction = Compaction { tombstone_ms: 300 };
/// Deletions are kept for longer than a test takes.
const LONG: Compaction = Compaction {
    tombstone_ms: 86_400_000,
};

/// What is read of a replica from the beginning to its high watermark, with the offsets.
#[derive(Debug, Default, PartialEq, Eq)]
struct Content {
    records: Vec<(u64, Bytes, Option<Bytes>)>,
    end: u64,
}

impl Content {
    fn of(rig: &Rig, node: u16, id: u64) -> Self {
        let mut client = rig.client(node);
        let mut content = Self::default();
        loop {
            let request = fetch_request(id, content.end, 0, true);
            let fetched = client.fetch_with(request).expect("a replica is read");
            if fetched.batches.is_empty() {
                return content;
            }
            for batch in &fetched.batches {
                let header = BatchHeader::parse(batch).expect("nodes send batches");
                assert_eq!(header.base_offset, content.end, "no batch is missing");
                content.end = header.next_offset();
                for record in records(batch).expect("they are sound") {
                    let record = record.expect("so are the records");
                    let key = record.key.expect("each has a key");
                    content.records.push((record.offset, key, record.value));
                }
            }
        }
    }

    /// The last value of each key that is there.
    fn table(&self) -> BTreeMap<Bytes, Option<Bytes>> {
        let records = self.records.iter();
        records
            .map(|(_, key, value)| (key.clone(), value.clone()))
            .collect()
    }

    /// Whether no key is there twice.
    fn is_compacted(&self) -> bool {
        self.table().len() == self.records.len()
    }
}

fn key(number: usize) -> String {
    format!("key {number}")
}

/// Overwrites every key so many times, in batches of two; each value is some kilobytes.
fn overwrite(rig: &Rig, id: u64, round: &str, times: usize) {
    let mut client = rig.client(1);
    let padding = "x".repeat(5 << 10);
    for time in 0..times {
        for number in (0..KEYS).step_by(2) {
            let value = format!("{round} {time} {padding}");
            let (one, two) = (key(number), key(number + 1));
            let records = [(&*one, Some(&*value)), (&*two, Some(&*value))];
            client.produce_soon(id, &keyed(&records));
        }
    }
}

/// The records of the keys that are not deleted are written again, twice as many as are there.
fn overwrite_kept(rig: &Rig, id: u64, value: &str) {
    let value = format!("{value} {}", "x".repeat(5 << 10));
    for number in (4..KEYS).chain(4..KEYS) {
        let records = [(&*key(number), Some(&*value))];
        rig.client(1).produce_soon(id, &keyed(&records));
    }
}

fn delete(rig: &Rig, id: u64, numbers: std::ops::Range<usize>) {
    for number in numbers {
        let records = [(&*key(number), None)];
        rig.client(1).produce_soon(id, &keyed(&records));
    }
}

fn create(rig: &mut Rig, nodes: &[u16], compaction: Compaction) -> u64 {
    let id = rig.create_partition(nodes);
    rig.compact(id, compaction);
    id
}

/// Whether each of these nodes holds exactly the last values of these keys, from this round.
fn hold_last(
    rig: &Rig,
    nodes: &[u16],
    id: u64,
    numbers: std::ops::Range<usize>,
    last: &str,
) -> bool {
    let expected: Vec<_> = numbers.map(|number| Bytes::from(key(number))).collect();
    nodes.iter().all(|node| {
        let content = Content::of(rig, *node, id);
        let table = content.table();
        let is_last = |value: &Option<Bytes>| {
            let value = value.as_ref();
            value.is_some_and(|value| value.starts_with(last.as_bytes()))
        };
        content.is_compacted() && table.keys().eq(expected.iter()) && table.values().all(is_last)
    })
}

#[test]
fn of_every_key_the_last_record_stays_on_all_replicas_and_deleted_keys_go() {
    let mut rig = Rig::start(3);
    let id = create(&mut rig, &[1, 2, 3], BRIEFLY);
    overwrite(&rig, id, "first", 12);
    delete(&rig, id, 0..3);
    wait_until(
        "deleted keys are gone, and all but the last records",
        || hold_last(&rig, &[1, 2, 3], id, 3..KEYS, "first 11 "),
    );
    let end = Content::of(&rig, 1, id).end;
    assert_eq!(end, (12 * KEYS + 3) as u64, "offsets stay what they are");
    // All of it again, and after a restart of all.
    overwrite(&rig, id, "second", 3);
    delete(&rig, id, 6..KEYS);
    for node in 1..=3 {
        rig.stop_node(node);
    }
    for node in 1..=3 {
        rig.start_node(node);
    }
    overwrite_one(&rig, id);
    wait_until("the same again", || {
        hold_last(&rig, &[1, 2, 3], id, 0..6, "second 2 ")
    });
}

/// A record of a key that is there is written again as it is.
fn overwrite_one(rig: &Rig, id: u64) {
    let value = format!("second 2 {}", "x".repeat(5 << 10));
    let records = [(&*key(0), Some(&*value))];
    rig.client(1).produce_soon(id, &keyed(&records));
}

#[test]
fn deletions_stay_while_a_replica_is_down_that_has_what_they_delete() {
    let mut rig = Rig::start(3);
    let id = create(&mut rig, &[1, 2, 3], BRIEFLY);
    overwrite(&rig, id, "first", 6);
    for node in 1..=3 {
        rig.client(node).fetch_any(id, (6 * KEYS) as u64 - 1);
    }
    rig.kill_node(3);
    delete(&rig, id, 0..4);
    overwrite(&rig, id, "second", 6);
    delete(&rig, id, 0..4);
    let is_thin = |node| {
        let content = Content::of(&rig, node, id);
        content.is_compacted() && content.records.len() == KEYS
    };
    // However often they go over their logs, and however long that takes.
    let begun = Instant::now();
    while begun.elapsed() < 10 * Duration::from_millis(BRIEFLY.tombstone_ms) {
        wait_until("both have compacted their logs", || {
            is_thin(1) && is_thin(2)
        });
        for node in 1..=2 {
            let deleted = Content::of(&rig, node, id).table().into_values();
            assert_eq!(deleted.filter(Option::is_none).count(), 4, "node {node}");
        }
        overwrite_kept(&rig, id, "second 5");
    }
    rig.start_node(3);
    wait_until("the last one has caught up, and deletions go", || {
        hold_last(&rig, &[1, 2, 3], id, 4..KEYS, "second 5 ")
    });
}

/// The last of three nodes has records of keys that are deleted while it is down and taken out of
/// the replicas; the others let the deletions go.
fn delete_without_last(rig: &mut Rig, id: u64) {
    overwrite(rig, id, "first", 6);
    rig.client(3).fetch_any(id, (6 * KEYS) as u64 - 1);
    rig.kill_node(3);
    rig.move_to(id, &[1, 2]);
    delete(rig, id, 0..4);
    overwrite_kept(rig, id, "second");
    wait_until("the deletions are gone", || {
        hold_last(rig, &[1, 2], id, 4..KEYS, "second ")
    });
}

/// The change to all three nodes, of which the last one learns by now, comes to its end; then that
/// one leads.
fn end_learning(rig: &mut Rig, id: u64) {
    rig.wait_done(id);
    rig.advance(id);
    rig.wait_done(id);
    rig.advance(id);
    rig.lead(id, 3);
    let value = format!("second {}", "x".repeat(5 << 10));
    let records = [(&*key(4), Some(&*value))];
    rig.client(3).produce_soon(id, &keyed(&records));
}

#[test]
fn who_was_down_while_it_was_taken_out_and_put_in_again_brings_no_deleted_key_back() {
    let mut rig = Rig::start(3);
    let id = create(&mut rig, &[1, 2, 3], BRIEFLY);
    delete_without_last(&mut rig, id);
    rig.wish(id, &[1, 2, 3]);
    rig.advance(id);
    rig.start_node(3);
    end_learning(&mut rig, id);
    wait_until("deleted keys are gone everywhere", || {
        hold_last(&rig, &[1, 2, 3], id, 4..KEYS, "second ")
    });
}

#[test]
fn a_leader_does_not_talk_anybody_into_an_epoch_of_a_compacted_topic() {
    let mut rig = Rig::start(3);
    let id = create(&mut rig, &[1, 2, 3], BRIEFLY);
    let other = rig.create_partition(&[1, 2, 3]);
    rig.client(1).produce_soon(other, &batch(&["a"]));
    rig.client(3).read_all(other, 1);
    rig.keep_in_the_dark(3);
    delete_without_last(&mut rig, id);
    rig.move_to(other, &[1, 2]);
    for id in [id, other] {
        rig.wish(id, &[1, 2, 3]);
        rig.advance(id);
    }
    rig.start_node(3);
    rig.client(1).produce_soon(other, &batch(&["b"]));
    // The word of a leader reaches the node, and is enough for other topics.
    rig.wait_done(other);
    assert_eq!(rig.client(3).describe(id).unwrap().epoch, 1);
    rig.enlighten(3);
    end_learning(&mut rig, id);
    wait_until("deleted keys are gone everywhere", || {
        hold_last(&rig, &[1, 2, 3], id, 4..KEYS, "second ")
    });
    assert_eq!(rig.client(3).read_all(other, 2), ["a", "b"]);
}

#[test]
fn a_topic_that_is_not_compacted_keeps_everything_and_a_compacted_one_its_deletions() {
    let mut rig = Rig::start(1);
    let (id, other) = (create(&mut rig, &[1], LONG), rig.create_partition(&[1]));
    overwrite(&rig, id, "first", 6);
    overwrite(&rig, other, "first", 6);
    delete(&rig, id, 0..2);
    overwrite(&rig, id, "pad", 1);
    delete(&rig, id, 0..2);
    // The last segment is not compacted; it is closed by what comes after it.
    let padding = "y".repeat(70 << 10);
    for number in 0..2 {
        let records = [(&*format!("end {number}"), Some(&*padding))];
        rig.client(1).produce_soon(id, &keyed(&records));
    }
    wait_until("it is compacted", || {
        Content::of(&rig, 1, id).is_compacted()
    });
    let deleted = Content::of(&rig, 1, id).table().into_values();
    assert_eq!(deleted.filter(Option::is_none).count(), 2, "not for a day");
    assert_eq!(Content::of(&rig, 1, other).records.len(), 6 * KEYS);
    rig.client(1).produce_soon(other, &batch(&["as it likes"]));
}
