//! What is written to disk and wire reads back, and what is damaged does not.

use quorate_vsr::ViewNumber;
use quorate_vsr::group::{Checkpoint, Limits, Message, Prepare, Superblock};

use crate::group::Group;

/// A group that has sent every kind of message at least once.
fn eventful() -> Group {
    let limits = Limits {
        checkpoint_interval: 4,
        state_transfer_bytes_max: 50,
        ..Limits::default()
    };
    let mut group = Group::new(3, 1, limits);
    group.settle();
    let session = group.register(7);
    let backup = group.backups()[0];
    group.cut.insert(backup);
    for number in 1..=12 {
        group.request(7, session, number, "op");
        group.run();
    }
    group.cut.clear();
    group.settle();
    group.crash(backup);
    group
        .members
        .get_mut(&backup)
        .unwrap()
        .disk
        .is_tail_uncertain = true;
    group.start(backup);
    group.settle();
    group.propose("fork");
    group.change_view();
    group
}

fn flips_are_noticed<T>(bytes: &[u8], decode: impl Fn(&[u8]) -> Result<T, quorate_vsr::Damaged>) {
    for bit in 0..bytes.len() * 8 {
        let mut damaged = bytes.to_vec();
        damaged[bit / 8] ^= 1 << (bit % 8);
        assert!(decode(&damaged).is_err(), "bit {bit} of {}", bytes.len());
    }
    assert!(decode(&bytes[..bytes.len() - 1]).is_err());
    assert!(decode(&[]).is_err());
}

#[test]
fn every_message_reads_back() {
    let group = eventful();
    let mut kinds = std::collections::BTreeSet::new();
    for (_, _, message) in &group.sent {
        assert_eq!(Message::decode(&message.encode()).as_ref(), Ok(message));
        let text = format!("{message:?}");
        kinds.insert(text.split([' ', '{']).next().unwrap().to_owned());
    }
    assert_eq!(kinds.len(), 12, "{kinds:?}");
}

#[test]
fn damaged_bytes_are_refused_wherever_they_are_damaged() {
    let group = eventful();
    let member = group.members.values().next().unwrap();
    let superblock = member.disk.superblock.clone().unwrap();
    let prepare = member.disk.journal.last().unwrap();
    let checkpoint = member.disk.checkpoints.values().next().unwrap();
    assert_eq!(
        Superblock::decode(&superblock.encode()),
        Ok(superblock.clone())
    );
    assert_eq!(Prepare::decode(&prepare.encode()).as_ref(), Ok(prepare));
    assert_eq!(
        Checkpoint::decode(checkpoint.bytes()).as_ref(),
        Ok(checkpoint)
    );

    flips_are_noticed(&superblock.encode(), Superblock::decode);
    flips_are_noticed(&prepare.encode(), Prepare::decode);
    flips_are_noticed(checkpoint.bytes(), Checkpoint::decode);
    let (_, _, message) = group.sent.last().unwrap();
    flips_are_noticed(&message.encode(), Message::decode);
}

#[test]
fn one_kind_is_not_taken_for_another() {
    let group = eventful();
    let superblock = group
        .members
        .values()
        .next()
        .unwrap()
        .disk
        .superblock
        .clone()
        .unwrap();
    let refused = Err(quorate_vsr::Damaged::Magic);
    assert_eq!(Prepare::decode(&superblock.encode()), refused);
}

#[test]
fn prepare_with_a_false_checksum_is_refused() {
    let group = eventful();
    let mut prepare = group
        .members
        .values()
        .next()
        .unwrap()
        .disk
        .journal
        .last()
        .unwrap()
        .clone();
    prepare.view = ViewNumber::of(9, prepare.view.primary());
    assert_eq!(
        Prepare::decode(&prepare.encode()),
        Err(quorate_vsr::Damaged::Body)
    );
}
