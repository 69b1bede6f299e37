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
    let folder = rig.folder_of(1, 0).display().to_string();
    for named in ["node 1", &folder] {
        assert!(refusal.detail.contains(named), "{}", refusal.detail);
    }
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

/// Others write to the same file system, and what a node itself has appended does not tell when.
#[test]
fn a_disk_that_others_have_filled_takes_no_appends() {
    let mut rig = Rig::start(1);
    let id = rig.create_partition(&[1]);
    let mut client = rig.client(1);
    client.produce_soon(id, &batch(&["fits"]));
    rig.trouble(1).available_bytes.store(0, Ordering::SeqCst);
    let mut taken = 1;
    let refusal = loop {
        match client.produce(id, &batch(&["fits for a moment"])) {
            Ok(_) => taken += 1,
            Err(refusal) => break refusal,
        }
    };
    assert_eq!(refusal.code, Code::DiskFull);
    assert_eq!(client.read_all(id, taken).len(), taken);
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

/// As with a quota, of which no number of free bytes tells; or when others have filled the disk
/// since it was looked at.
#[test]
fn what_finds_no_room_is_written_to_that_which_was_set_aside() {
    let mut rig = Rig::start(1);
    let id = rig.create_partition(&[1]);
    let mut client = rig.client(1);
    client.produce_soon(id, &batch(&["fits"]));
    let trouble = rig.trouble(1);
    trouble.is_full.store(true, Ordering::SeqCst);
    trouble.available_bytes.store(0, Ordering::SeqCst);
    let mut taken = 1;
    let refusal = loop {
        match client.produce(id, &batch(&["is let in"])) {
            Ok(_) => taken += 1,
            Err(refusal) => break refusal,
        }
    };
    assert_eq!(refusal.code, Code::DiskFull);
    assert_eq!(client.read_all(id, taken).len(), taken);
    // A new partition writes facts, whatever is free.
    let second = rig.create_partition(&[1]);
    client.describe_until(second, |status| status.is_open);
    let reserve = rig.folder_of(1, 0).parent().unwrap().join("reserve");
    assert!(!reserve.exists(), "it was given back");

    let trouble = rig.trouble(1);
    trouble.is_full.store(false, Ordering::SeqCst);
    trouble.available_bytes.store(u64::MAX, Ordering::SeqCst);
    while let Err(refusal) = client.produce(id, &batch(&["fits again"])) {
        assert_eq!(refusal.code, Code::DiskFull);
    }
    assert!(reserve.exists(), "it was taken again");
    assert_eq!(client.read_all(id, taken + 1).len(), taken + 1);
}

/// The device fails, or its file system is mounted read-only; or there is no room, nor was any set
/// aside.
#[test]
fn a_failed_write_ends_the_shard_unanswered_and_says_which_file_and_why() {
    for (errno, why) in [
        (5, "Input/output error"),
        (30, "Read-only file system"),
        (28, "No space left on device"),
    ] {
        let mut rig = Rig::start(1);
        let id = rig.create_partition(&[1]);
        let mut client = rig.client(1);
        client.produce_soon(id, &batch(&["durable"]));
        let fails_to_write = &rig.trouble(1).fails_to_write;
        fails_to_write.store(errno, Ordering::SeqCst);
        client.send(
            &Request::Produce {
                partition: id,
                acks: Acks::Quorum,
            },
            &batch(&["not written"]),
        );
        assert!(client.is_closed(), "nothing was acknowledged");
        let error = rig.failure(1).to_string();
        let folder = rig.partition_folder(1, id).display().to_string();
        for told in [why, &folder] {
            assert!(error.contains(told), "{error}");
        }
    }
}

/// Where nothing was promised yet, nothing is broken by waiting.
#[test]
fn a_new_partition_without_room_waits_for_some() {
    let mut rig = Rig::start(1);
    let first = rig.create_partition(&[1]);
    let mut client = rig.client(1);
    client.produce_soon(first, &batch(&["fits"]));
    // As without inodes: names find no room, and there are bytes enough.
    rig.trouble(1).fails_to_create.store(true, Ordering::SeqCst);
    let second = rig.create_partition(&[1]);
    let refusal = client.produce(second, &batch(&["where to?"])).unwrap_err();
    assert_eq!(refusal.code, Code::NotLeader);
    client.produce_soon(first, &batch(&["fits still"]));
    rig.trouble(1)
        .fails_to_create
        .store(false, Ordering::SeqCst);
    client.produce_soon(second, &batch(&["there"]));
    assert_eq!(client.read_all(first, 2), ["fits", "fits still"]);
}
