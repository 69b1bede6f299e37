//! The first record since a time, asked of the leader.

use quorate_wire::{Code, Request, Retention};

use crate::client::{batch, timed, wait_until};
use crate::rig::Rig;

const BATCHES: u64 = 30;

/// Fills a partition with batches of one large record each, over several segments. The record at
/// offset `n` is of the time `10 * n`.
fn fill(rig: &Rig, id: u64) {
    let mut client = rig.client(1);
    for number in 0..BATCHES {
        let value = format!("{number}:{}", "v".repeat(20_000));
        let batch = timed(&[(10 * number as i64, &value)]);
        match number {
            0 => client.produce_soon(id, &batch),
            _ => client.produce(id, &batch).expect("its leader is open"),
        };
    }
}

#[test]
fn every_time_leads_to_the_first_record_since() {
    let mut rig = Rig::start(3);
    let id = rig.create_partition(&[1, 2, 3]);
    fill(&rig, id);
    // The indexes are in memory first, and in files after the restart.
    for _ in 0..2 {
        let mut client = rig.client(1);
        client.look_up_soon(id, 0);
        for time in -5..10 * BATCHES as i64 - 9 {
            let offset = (time.max(0) as u64).div_ceil(10);
            let expected = Ok((offset, Some(10 * offset as i64)));
            assert_eq!(client.look_up(id, time), expected, "{time}");
        }
        let later = 10 * BATCHES as i64 - 9;
        assert_eq!(client.look_up(id, later), Ok((BATCHES, None)));
        rig.stop_node(1);
        rig.start_node(1);
    }
}

#[test]
fn what_is_appended_and_not_committed_is_not_found() {
    let mut rig = Rig::start(2);
    let id = rig.create_partition(&[1, 2]);
    let mut client = rig.client(1);
    client.produce_soon(id, &timed(&[(10, "committed")]));
    rig.kill_node(2);
    let request = Request::Produce {
        partition: id,
        acks: Default::default(),
    };
    client.send(&request, &timed(&[(20, "not")]));
    let mut other = rig.client(1);
    other.describe_until(id, |status| status.replicas[0].next_offset == 2);
    assert_eq!(other.look_up(id, 10), Ok((0, Some(10))));
    assert_eq!(other.look_up(id, 11), Ok((1, None)));
}

#[test]
fn only_the_leader_answers() {
    let mut rig = Rig::start(3);
    let id = rig.create_partition(&[1, 2, 3]);
    assert_eq!(rig.client(1).look_up_soon(id, 0), (0, None));
    rig.client(1).produce(id, &batch(&["first"])).unwrap();
    rig.client(2).fetch_any(id, 0);
    let refusal = rig.client(2).look_up(id, 0).unwrap_err();
    assert_eq!(refusal.code, Code::NotLeader);
    assert!(refusal.instead.is_some(), "it says who leads");
    // A leader that hears nobody does not know what the others have acknowledged.
    for node in 1..=3 {
        rig.kill_node(node);
    }
    rig.start_node(1);
    let mut client = rig.client(1);
    wait_until("node 1 holds the partition", || {
        rig.client(1).describe(id).is_ok()
    });
    assert_eq!(client.look_up(id, 0).unwrap_err().code, Code::NotLeader);
    rig.start_node(2);
    assert_eq!(client.look_up_soon(id, 0), (0, Some(1)));
}

#[test]
fn what_has_expired_is_not_found() {
    let mut rig = Rig::start(1);
    let id = rig.create_partition(&[1]);
    fill(&rig, id);
    let mut client = rig.client(1);
    let (ms, bytes) = (None, Some(200 << 10));
    rig.retain(id, Retention { ms, bytes });
    let status = client.describe_until(id, |status| status.log_start_offset > 15);
    let start = status.log_start_offset;
    assert_eq!(client.look_up(id, 0), Ok((start, Some(10 * start as i64))));
    assert_eq!(client.delete_records(id, None), Ok(BATCHES));
    assert_eq!(client.look_up(id, 0), Ok((BATCHES, None)));
}

#[test]
fn a_time_whose_record_is_damaged_is_refused_by_name() {
    let mut rig = Rig::start(1);
    let id = rig.create_partition(&[1]);
    fill(&rig, id);
    rig.stop_node(1);
    let path = rig.partition_folder(1, id).join("00000000000000000000.log");
    let mut bytes = std::fs::read(&path).unwrap();
    let place = bytes.windows(3).position(|it| it == b"1:v").unwrap();
    bytes[place] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    rig.start_node(1);
    let mut client = rig.client(1);
    let last = 10 * (BATCHES - 1);
    assert_eq!(client.look_up_soon(id, last as i64).0, BATCHES - 1);
    let refusal = client.look_up(id, 5).unwrap_err();
    assert_eq!(refusal.code, Code::DamagedRecords);
    assert!(refusal.detail.contains("offset 1 to 2"), "{refusal}");
}
