use std::sync::atomic::Ordering;

use quorate_wire::{Acks, Code, Request};

use crate::client::batch;
use crate::rig::Rig;

#[test]
fn a_nearly_full_disk_takes_no_appends_until_there_is_room_again() {
    let mut rig = Rig::start(1);
    let id = rig.create_partition(&[1]);
    rig.trouble(1)
        .available_bytes
        .store(1 << 20, Ordering::SeqCst);
    let mut client = rig.client(1);
    client.describe_until(id, |status| status.is_open);
    let refusal = client.produce(id, &batch(&["too much"])).unwrap_err();
    assert_eq!(refusal.code, Code::DiskFull);
    assert!(refusal.detail.contains("node 1"), "{}", refusal.detail);
    assert_eq!(
        client.fetch(id, 0, 0).unwrap().batches.len(),
        0,
        "readers are served"
    );
    rig.trouble(1)
        .available_bytes
        .store(u64::MAX, Ordering::SeqCst);
    loop {
        match client.produce(id, &batch(&["fits"])) {
            Ok(base_offset) => break assert_eq!(base_offset, 0),
            Err(refusal) => assert_eq!(refusal.code, Code::DiskFull),
        }
    }
}

#[test]
fn a_follower_with_a_full_disk_holds_nobody_up_and_catches_up_later() {
    let mut rig = Rig::start(3);
    let id = rig.create_partition(&[1, 2, 3]);
    rig.trouble(3)
        .available_bytes
        .store(1 << 20, Ordering::SeqCst);
    let mut client = rig.client(1);
    client.produce_soon(id, &batch(&["first"]));
    client.produce(id, &batch(&["second"])).unwrap();
    rig.trouble(3)
        .available_bytes
        .store(u64::MAX, Ordering::SeqCst);
    assert_eq!(rig.client(3).read_all(id, 2), ["first", "second"]);
}

#[test]
fn a_failed_sync_ends_the_shard_unanswered_and_names_the_file() {
    let mut rig = Rig::start(1);
    let id = rig.create_partition(&[1]);
    let mut client = rig.client(1);
    client.produce_soon(id, &batch(&["durable"]));
    rig.trouble(1).fails_to_sync.store(true, Ordering::SeqCst);
    client.send(
        &Request::Produce {
            partition: id,
            acks: Acks::Quorum,
        },
        &batch(&["not durable"]),
    );
    assert!(client.is_closed(), "nothing was acknowledged");
    let error = rig.failure(1).to_string();
    let folder = rig.partition_folder(1, id);
    assert!(error.contains(folder.to_str().unwrap()), "{error}");
}
