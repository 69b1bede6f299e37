//! A node that comes back with an empty disk.
//!
//! The paper's replicas keep nothing on disk, and each of them recovers from the others (section
//! 4.3). That protocol is unsound when a replica forgets a promise that is still on its way
//! (Michael et al., "Recovering Shared Objects Without Stable Storage", 2017). Here a replica has a
//! disk, and without it it is somebody else: it votes again when the group has made it a voter.

use quorate_vsr::OpNumber;
use quorate_vsr::group::{Event, Limits, Member, Message, NotNow, Status, Timer};

use crate::group::{Group, founder, node};

/// Three voters, of which 1 is the primary and 3 has lost its disk.
fn with_lost_disk() -> (Group, Member) {
    let mut group = Group::of_three();
    group.propose("a");
    group.run();
    assert_eq!(group.primary(), node(1));
    group.crash(node(3));
    let blank = group.put_blank(3, 77);
    group.run();
    group.settle();
    (group, blank)
}

/// The three steps by which it gets its vote back.
fn recover(group: &mut Group, blank: Member) {
    let demoted = group.membership().demoting(blank.node);
    assert_eq!(group.reconfigure(demoted), Ok(()));
    group.settle();
    let replaced = group.membership().replacing_disk(blank);
    assert_eq!(group.reconfigure(replaced), Ok(()));
    let promoted = group.membership().promoting(blank.node);
    assert_eq!(group.reconfigure(promoted), Err(NotNow::Pending));
    group.settle();
    let promoted = group.membership().promoting(blank.node);
    assert_eq!(group.reconfigure(promoted), Ok(()));
    group.settle();
}

#[test]
fn a_node_without_its_disk_does_not_count() {
    let (mut group, _) = with_lost_disk();
    group.cut.insert(node(2));
    group.propose("b");
    group.settle();
    assert_eq!(group.executed(node(1)), ["a"]);

    // Nor does it help to choose a primary: it has forgotten "a".
    group.cut.clear();
    group.lose_messages();
    group.crash(node(1));
    for _ in 0..4 {
        for timer in [Timer::PrimarySilent, Timer::ViewChangeStalled] {
            group.fire(node(2), timer);
            group.fire(node(3), timer);
        }
        group.settle();
    }
    assert!(!group.replica(node(2)).is_primary());
    assert!(!group.replica(node(3)).is_primary());
    group.start(node(1));
    group.settle();
    assert_eq!(group.executed(group.primary()), ["a", "b"]);
}

#[test]
fn it_votes_again_with_its_new_disk() {
    let (mut group, blank) = with_lost_disk();
    recover(&mut group, blank);
    assert_eq!(group.voting(), [1, 2, 3]);
    assert!(group.membership().is_voter(blank));
    assert_eq!(group.executed(node(3)), ["a"]);
    assert_eq!(group.replica(node(3)).status(), Status::Normal);
    group.cut.insert(node(2));
    group.propose("b");
    group.run();
    assert_eq!(group.executed(node(1)), ["a", "b"]);
    group.crash(node(3));
    group.start(node(3));
    group.settle();
    assert_eq!(group.replica(node(3)).member(), blank);
    assert_eq!(group.executed(node(3)), ["a", "b"]);
}

/// Whoever follows from the first operation on, without having founded the group, has nothing that
/// tells who belonged to it then.
#[test]
fn it_gives_nobody_a_checkpoint_of_a_group_that_it_does_not_know() {
    let limits = Limits {
        checkpoint_interval: 4,
        pipeline_max: 2,
        ..Limits::default()
    };
    let mut group = Group::new(3, 0, limits);
    group.run();
    group.crash(node(3));
    let blank = group.put_blank(3, 77);
    group.settle();
    for count in 1..=40 {
        group.propose(&format!("{count}"));
        group.settle();
        let disk = &group.members[&node(3)].disk;
        for checkpoint in disk.checkpoints.values() {
            assert!(
                !checkpoint.contents().membership.is_empty(),
                "after {count}"
            );
        }
    }
    // Its journal has no room for all of them, and nobody answers a stranger. When it is none any
    // more it is given a checkpoint, which tells.
    assert!(group.replica(node(3)).executed() < OpNumber(40));
    recover(&mut group, blank);
    assert_eq!(group.replica(node(3)).executed(), OpNumber(43));
    assert_eq!(group.replica(node(3)).membership(), group.membership());
    assert_eq!(group.voting(), [1, 2, 3]);
}

/// What the lost disk has acknowledged is not on the new one.
#[test]
fn acknowledgements_of_the_lost_disk_do_not_count_for_the_new_one() {
    let (mut group, blank) = with_lost_disk();
    recover(&mut group, blank);
    group.cut.extend([node(2), node(3)]);
    group.propose("b");
    group.run();
    let primary = group.replica(node(1));
    let (view, op) = (primary.view(), primary.op_number());
    let message = Message::PrepareOk { view, op, round: 0 };
    let late = |from, message: &Message| Event::Message {
        from,
        message: message.clone(),
    };
    group.step(node(1), late(founder(node(3)), &message));
    assert_eq!(group.executed(node(1)), ["a"]);
    group.step(node(1), late(blank, &message));
    assert_eq!(group.executed(node(1)), ["a", "b"]);
}

/// The promise of the lost disk is true for good, but it is no promise of the new one.
#[test]
fn promises_of_the_lost_disk_do_not_count_for_the_new_one() {
    let mut group = Group::of_three();
    group.propose("a");
    group.run();
    // 3 promises itself to a view of 2 and loses its disk; its promise is still on its way.
    group.slow.insert(node(2));
    group.cut.insert(node(1));
    group.change_view();
    let is_promise = |message: &Message| matches!(message, Message::DoViewChange { .. });
    let promise = group
        .sent_by(node(3), 0)
        .into_iter()
        .find(|it| is_promise(it));
    let promise = promise.expect("it has promised").clone();
    group.lose_messages();
    group.crash(node(3));
    let blank = group.put_blank(3, 77);

    // The others go on: a view of 1, which takes it in with its new disk.
    group.cut.clear();
    group.slow.clear();
    for _ in 0..4 {
        group.settle();
        group.fire(node(1), Timer::ViewChangeStalled);
        group.fire(node(2), Timer::ViewChangeStalled);
    }
    recover(&mut group, blank);
    let primary = group.primary();
    let mark = group.replica(primary).view();
    group.hear(node(3), node(2), promise);
    group.settle();
    assert_eq!(group.replica(primary).view(), mark);
    assert_eq!(group.executed(node(3)), ["a"]);
}

/// A majority of the disks is lost, and with it perhaps what was committed. Nobody pretends.
#[test]
fn a_group_that_has_lost_a_majority_of_its_disks_stands_still() {
    let mut group = Group::of_three();
    group.propose("a");
    group.run();
    for id in [2, 3] {
        group.crash(node(id));
        group.put_blank(id, 70);
    }
    group.settle();
    let next = group.membership().demoting(node(3));
    assert_eq!(group.reconfigure(next), Ok(()));
    group.propose("b");
    group.settle();
    assert_eq!(group.replica(node(1)).commit_number(), OpNumber(1));
    group.fire(node(1), Timer::QuorumSilent);
    assert!(!group.replica(node(1)).has_room());
}

/// Before the group has taken it in, a blank node changes nothing, wherever it starts.
#[test]
fn a_stranger_changes_nothing() {
    let mut group = Group::of_three();
    group.put_blank(9, 99);
    let view = group.replica(node(1)).view();
    group.settle();
    for timer in Timer::ALL {
        group.fire(node(9), timer);
    }
    group.settle();
    assert_eq!(group.replica(node(1)).view(), view);
    assert!(group.sent_by(node(9), 0).is_empty());
    assert!(group.replica(node(9)).membership().is_empty());
}
