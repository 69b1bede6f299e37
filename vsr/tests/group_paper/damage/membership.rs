//! Changes of the members that are damaged: who has lost one does not know who belongs to the
//! group.

use quorate_vsr::group::{Limits, Membership, Status, Timer};
use quorate_vsr::{NodeId, OpNumber};

use crate::group::{Group, founder, node};

impl Group {
    /// Takes one step, and says at which number it stands.
    fn take_step(&mut self, step: impl Fn(&Membership) -> Option<Membership>) -> u64 {
        let next = step(self.membership());
        assert_eq!(self.reconfigure(next), Ok(()));
        self.settle();
        self.replica(self.primary()).op_number().0
    }
}

/// The only one who can mend it is one of whom it does not know.
#[test]
fn a_voter_that_does_not_know_the_only_other_member_is_mended_by_it() {
    let mut group = Group::new(1, 0, Limits::default());
    group.run();
    group.propose("a");
    let standby = group.put_blank(2, 7);
    let change = group.take_step(|it| it.adding(standby));
    group.propose("b");
    group.settle();
    assert_eq!(group.executed(node(2)), ["a", "b"]);
    group.crash(node(1));
    group.damage(node(1), change);
    group.start(node(1));
    assert!(!group.replica(node(1)).membership().contains(standby));
    group.persevere();
    group.assert_whole(&["a", "b"]);
    assert!(group.membership().contains(standby));
}

/// Its disk has lost what made it a member, and so it only follows, if there is a primary.
#[test]
fn a_standby_that_knows_of_no_group_gives_what_it_has() {
    let mut group = Group::new(1, 0, Limits::default());
    group.run();
    group.propose("a");
    group.propose("b");
    let standby = group.put_blank(2, 7);
    let change = group.take_step(|it| it.adding(standby));
    group.crash(node(1));
    group.crash(node(2));
    group.damage(node(1), 1);
    group.damage(node(2), change);
    let disk = &mut group.members.get_mut(&node(2)).unwrap().disk;
    disk.is_tail_uncertain = true;
    group.start(node(2));
    assert!(group.replica(node(2)).membership().is_empty());
    group.start(node(1));
    group.persevere();
    group.assert_whole(&["a", "b"]);
}

/// Three voters, of which the third was dropped and is one again, and has lost how it became that.
#[test]
fn a_voter_that_takes_itself_for_dropped_asks_for_views_when_it_is_mended() {
    let mut group = Group::of_three();
    assert_eq!(group.primary(), node(1));
    let third = founder(node(3));
    group.take_step(|it| it.demoting(third.node));
    group.take_step(|it| it.dropping(third.node));
    let added = group.take_step(|it| it.adding(third));
    let promoted = group.take_step(|it| it.promoting(third.node));
    group.propose("a");
    group.settle();
    group.crash(node(1));
    group.crash(node(3));
    group.damage(node(3), added);
    group.damage(node(3), promoted);
    group.start(node(3));
    assert!(!group.replica(node(3)).membership().contains(third));
    group.persevere();
    group.propose("b");
    group.settle();
    group.assert_whole(&["a", "b"]);
    let voting: Vec<NodeId> = [1, 2, 3].map(node).into();
    assert_eq!(group.membership().voting_nodes(), voting);
}

/// The primary has not changed, and so sends only what is new.
#[test]
fn a_backup_that_does_not_know_its_primary_as_a_member_is_mended_by_it() {
    let mut group = Group::new(1, 0, Limits::default());
    group.run();
    let (second, third) = (group.put_blank(2, 7), group.put_blank(3, 8));
    let mut changes = vec![group.take_step(|it| it.adding(second))];
    changes.push(group.take_step(|it| it.adding(third)));
    changes.push(group.take_step(|it| it.promoting(second.node)));
    // The only founder leaves the group.
    changes.push(group.take_step(|it| it.demoting(node(1))));
    group.persevere();
    assert_eq!(group.primary(), node(2));
    changes.push(group.take_step(|it| it.dropping(node(1))));
    group.crash(node(1));
    group.propose("a");
    group.settle();
    group.crash(node(3));
    for change in changes {
        group.damage(node(3), change);
    }
    group.start(node(3));
    group.settle();
    group.assert_whole(&["a"]);
}

/// It was blank when it came, so it knows of no group at all.
#[test]
fn a_voter_that_knows_nobody_is_mended_by_who_asks_it_for_a_view() {
    let mut group = Group::new(1, 0, Limits::default());
    group.run();
    let second = group.put_blank(2, 7);
    let added = group.take_step(|it| it.adding(second));
    let promoted = group.take_step(|it| it.promoting(second.node));
    group.propose("a");
    group.settle();
    for id in [1, 2] {
        group.crash(node(id));
    }
    group.damage(node(2), added);
    group.damage(node(2), promoted);
    for id in [1, 2] {
        group.start(node(id));
    }
    assert!(group.replica(node(2)).membership().is_empty());
    group.persevere();
    group.propose("b");
    group.settle();
    group.assert_whole(&["a", "b"]);
}

/// It goes from view to view, its own majority, and takes no notice of those who go on without it.
#[test]
fn a_standby_that_takes_itself_for_the_only_voter_comes_back() {
    let mut group = Group::new(1, 0, Limits::default());
    group.run();
    let second = group.put_blank(2, 7);
    let added = group.take_step(|it| it.adding(second));
    group.take_step(|it| it.promoting(second.node));
    group.take_step(|it| it.demoting(node(1)));
    group.persevere();
    assert_eq!(group.primary(), node(2));
    group.propose("a");
    group.settle();
    group.crash(node(1));
    let disk = &mut group.members.get_mut(&node(1)).unwrap().disk;
    disk.journal.retain(|entry| entry.op.0 < added);
    disk.is_tail_uncertain = true;
    group.start(node(1));
    for _ in 0..3 {
        group.fire(node(1), Timer::ViewChangeStalled);
        group.run();
    }
    assert!(group.replica(node(1)).view() > group.replica(node(2)).view());
    group.settle();
    // It was told of that view, and its own is the next one.
    group.fire(node(2), Timer::ViewChangeStalled);
    group.assert_whole(&["a"]);
    assert_eq!(group.voting(), [2]);
    assert_eq!(group.replica(node(1)).status(), Status::Normal);
}

/// As before, but the others cannot do without it: they have lost their states.
#[test]
fn a_voter_that_takes_itself_for_the_only_one_and_has_the_only_state_leads_the_others() {
    let limits = Limits {
        checkpoint_interval: 4,
        ..Limits::default()
    };
    let mut group = Group::new(1, 0, limits);
    group.run();
    let others = [group.put_blank(2, 7), group.put_blank(3, 8)];
    for other in others {
        group.take_step(|it| it.adding(other));
    }
    group.propose("a");
    group.propose("b");
    group.settle();
    for other in others {
        group.take_step(|it| it.promoting(other.node));
    }
    group.propose("c");
    group.settle();
    for id in 1..=3 {
        group.crash(node(id));
        let disk = &mut group.members.get_mut(&node(id)).unwrap().disk;
        assert_eq!(disk.superblock.as_ref().unwrap().checkpoint.op, OpNumber(4));
        if id == 1 {
            disk.journal.retain(|entry| entry.op.0 <= 4);
            disk.is_tail_uncertain = true;
        } else {
            disk.checkpoints.clear();
        }
    }
    group.start(node(1));
    for _ in 0..3 {
        group.fire(node(1), Timer::ViewChangeStalled);
        group.run();
    }
    group.start(node(2));
    group.start(node(3));
    group.settle();
    group.assert_whole(&["a", "b", "c"]);
    assert_eq!(group.voting(), [1, 2, 3]);
}
