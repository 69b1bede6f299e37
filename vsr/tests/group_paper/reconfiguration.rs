//! Section 7, "Reconfiguration", done otherwise.
//!
//! The paper stops the old group at an operation of a special kind and starts the new one in a new
//! epoch, whose replicas fetch the state of the old ones before they serve. Here members come and
//! go one at a time in the same log, in the same views and without a stop; a standby fetches the
//! state before it is made a voter.

use quorate_vsr::OpNumber;
use quorate_vsr::group::{Event, Limits, Membership, Message, NotNow, Status, Timer};

use crate::group::{Group, founder, node};

/// Three voters, and node 4 as a standby that has everything.
fn with_standby() -> Group {
    let mut group = Group::of_three();
    let standby = group.put_blank(4, 44);
    let next = group.membership().adding(standby);
    assert_eq!(group.reconfigure(next), Ok(()));
    group.run();
    group.settle();
    group
}

/// Four voters.
fn of_four() -> Group {
    let mut group = with_standby();
    let next = group.membership().promoting(node(4));
    assert_eq!(group.reconfigure(next), Ok(()));
    group.run();
    group.settle();
    assert_eq!(group.voting(), [1, 2, 3, 4]);
    group
}

fn demote(group: &mut Group, id: u16) {
    let next = group.membership().demoting(node(id));
    assert_eq!(group.reconfigure(next), Ok(()));
    group.run();
    group.settle();
}

#[test]
fn a_blank_node_is_taken_in_as_a_standby_and_then_votes() {
    let mut group = with_standby();
    group.propose("a");
    group.run();
    assert_eq!(group.executed(node(4)), ["a"]);
    assert_eq!(group.replica(node(4)).status(), Status::Normal);
    assert_eq!(group.voting(), [1, 2, 3]);

    let next = group.membership().promoting(node(4));
    assert_eq!(group.reconfigure(next), Ok(()));
    group.run();
    assert_eq!(group.voting(), [1, 2, 3, 4]);
    for id in 1..=4 {
        assert_eq!(group.replica(node(id)).membership(), group.membership());
    }
}

/// "A majority of four is three."
#[test]
fn a_new_voter_counts_from_the_moment_in_which_it_is_one() {
    let mut group = of_four();
    let primary = group.primary();
    let [first, second] = group.backups()[..] else {
        panic!("there are two further founders");
    };
    group.cut.extend([first, second]);
    group.propose("a");
    group.run();
    assert_eq!(group.executed(primary), Vec::<String>::new());
    group.cut.remove(&first);
    group.settle();
    assert_eq!(group.executed(primary), ["a"]);
}

#[test]
fn a_standby_that_is_behind_is_not_made_a_voter() {
    let mut group = with_standby();
    group.cut.insert(node(4));
    group.propose("a");
    group.run();
    let next = group.membership().promoting(node(4));
    assert_eq!(group.reconfigure(next.clone()), Err(NotNow::Behind));
    group.cut.clear();
    group.settle();
    assert_eq!(group.reconfigure(next), Ok(()));
}

#[test]
fn a_change_waits_until_the_last_one_is_committed() {
    let mut group = Group::of_three();
    let (first, second) = (group.put_blank(4, 44), group.put_blank(5, 55));
    let backups = group.backups();
    group.cut.extend(&backups);
    let next = group.membership().adding(first);
    assert_eq!(group.reconfigure(next), Ok(()));
    group.run();
    let further = group.membership().adding(second);
    assert_eq!(group.reconfigure(further.clone()), Err(NotNow::Pending));
    group.cut.clear();
    group.settle();
    assert_eq!(group.reconfigure(further), Ok(()));
}

#[test]
fn members_change_one_step_at_a_time() {
    let mut group = Group::of_three();
    let present = group.membership().clone();
    let (first, second) = (founder(node(4)), founder(node(5)));
    let two = present.adding(first).unwrap().adding(second);
    assert_eq!(group.reconfigure(two), Err(NotNow::NotAStep));
    let at_once = Membership::new([present.voters(), &[first]].concat(), Vec::new());
    assert_eq!(group.reconfigure(Some(at_once)), Err(NotNow::NotAStep));
    let backup = group.backups()[0];
    let next = present.adding(first);
    assert_eq!(group.reconfigure_at(backup, next), Err(NotNow::NotPrimary));
}

/// A change of which only the cut off primary knows is in force there, and nowhere else.
#[test]
fn a_change_is_in_force_in_a_journal_as_long_as_it_stands_there() {
    let mut group = with_standby();
    let old_primary = group.primary();
    let founded = group.membership().clone();
    group.cut.insert(old_primary);
    let next = founded.promoting(node(4));
    assert_eq!(group.reconfigure(next.clone()), Ok(()));
    group.run();
    assert_eq!(Some(group.replica(old_primary).membership()), next.as_ref());
    group.change_view();
    let primary = group.primary_beside(old_primary);
    assert_eq!(group.replica(primary).membership(), &founded);
    group.propose_at(primary, "a");
    group.run();
    group.cut.clear();
    group.settle();
    assert_eq!(group.replica(old_primary).membership(), &founded);
    assert_eq!(group.executed(old_primary), ["a"]);
}

/// The flaw that was found in Raft in 2015. Of four voters one, the primary, makes a fifth one,
/// which three of the others do not hear of. They choose another primary, and that one wants to go
/// on without the first: two changes of the same four, each by a single step. If both counted, {1,
/// 4, 5} would be a majority of the one and {2, 3} of the other.
#[test]
fn two_changes_of_the_same_members_do_not_both_count() {
    let mut group = of_four();
    let fifth = group.put_blank(5, 55);
    let next = group.membership().adding(fifth);
    assert_eq!(group.reconfigure(next), Ok(()));
    group.settle();
    assert_eq!(group.primary(), node(1));

    // The first change: known to 1 and 5 only.
    group.cut.extend([node(2), node(3), node(4)]);
    let next = group.membership().promoting(node(5));
    assert_eq!(group.reconfigure(next), Ok(()));
    group.run();
    assert_eq!(group.replica(node(5)).membership().voters().len(), 5);

    // The others know nothing of it, and go on by themselves.
    group.cut.clear();
    group.cut.extend([node(1), node(5)]);
    for id in [2, 3, 4] {
        group.fire(node(id), Timer::PrimarySilent);
    }
    group.run_while(|group| !group.replica(node(2)).is_primary());
    // Until a majority of the four has arrived in the view, the first change may still win.
    let second = group.replica(node(2)).membership().demoting(node(1));
    assert_eq!(
        group.reconfigure_at(node(2), second.clone()),
        Err(NotNow::Unsettled)
    );
    group.run();
    assert_eq!(group.reconfigure_at(node(2), second), Ok(()));
    group.cut.insert(node(4));
    group.settle();
    assert_eq!(
        group.replica(node(2)).commit_number(),
        group.replica(node(2)).op_number(),
        "2 and 3 are a majority of the three that are left"
    );

    // Now the first one and its majority of five are among themselves.
    group.cut.clear();
    group.cut.extend([node(2), node(3)]);
    for _ in 0..4 {
        for id in [1, 4, 5] {
            for timer in [
                Timer::PrimarySilent,
                Timer::QuorumSilent,
                Timer::ViewChangeStalled,
            ] {
                group.fire(node(id), timer);
            }
        }
        group.settle();
    }
    let change = group.replica(node(2)).commit_number();
    for id in [1, 4, 5] {
        assert!(
            !group.replica(node(id)).has_room(),
            "node {id} serves without what was committed"
        );
        assert!(group.replica(node(id)).commit_number() < change);
    }
    group.cut.clear();
    for _ in 0..4 {
        group.settle();
        for id in 1..=5 {
            group.fire(node(id), Timer::ViewChangeStalled);
        }
    }
    assert_eq!(group.voting(), [2, 3, 4]);
}

/// A primary that is to be a voter no longer commits that without counting itself, and hands over.
#[test]
fn a_demoted_primary_does_not_count_itself_and_hands_over() {
    let mut group = Group::of_three();
    let primary = group.primary();
    let backups = group.backups();
    group.cut.insert(backups[1]);
    let next = group.membership().demoting(primary);
    assert_eq!(group.reconfigure(next), Ok(()));
    group.run();
    group.settle();
    assert_eq!(
        group.replica(primary).commit_number(),
        OpNumber(0),
        "of the two that are left both are needed"
    );
    assert!(group.replica(primary).is_primary());
    let back = group.membership().promoting(primary);
    assert_eq!(group.reconfigure(back), Err(NotNow::Leaving));

    group.cut.clear();
    group.settle();
    assert_ne!(group.primary(), primary);
    assert_eq!(group.voting(), [2, 3]);
    group.propose("a");
    group.run();
    assert_eq!(group.executed(primary), ["a"], "it follows as a standby");
    let forward = group.membership().promoting(primary);
    assert_eq!(group.reconfigure(forward), Ok(()));
    group.settle();
    assert_eq!(group.voting(), [1, 2, 3]);
}

#[test]
fn a_group_shrinks_to_one_voter_and_grows_again() {
    let mut group = of_four();
    for _ in 0..3 {
        let last = *group.voting().last().unwrap();
        demote(&mut group, last);
    }
    assert_eq!(group.voting(), [1]);
    assert_eq!(group.membership().demoting(node(1)), None);
    group.cut.extend([node(2), node(3), node(4)]);
    group.propose("alone");
    group.run();
    assert_eq!(group.executed(node(1)), ["alone"]);
    group.fire(node(1), Timer::QuorumSilent);
    assert!(group.replica(node(1)).has_room(), "there is nobody to hear");

    group.cut.clear();
    group.settle();
    for id in [2, 3] {
        let next = group.membership().promoting(node(id));
        assert_eq!(group.reconfigure(next), Ok(()));
        group.settle();
    }
    assert!(group.members[&node(1)].armed.contains(&Timer::QuorumSilent));
    group.cut.extend([node(2), node(3)]);
    group.propose("not alone");
    group.run();
    assert_eq!(group.executed(node(1)), ["alone"]);
}

/// Who demotes a voter must not stop the group by it.
#[test]
fn a_voter_is_not_demoted_if_the_others_are_no_majority() {
    let mut group = Group::of_three();
    let backups = group.backups();
    group.cut.insert(backups[1]);
    group.propose("a");
    group.run();
    let next = group.membership().demoting(backups[0]);
    assert_eq!(group.reconfigure(next), Err(NotNow::NoMajority));
    let next = group.membership().demoting(backups[1]);
    assert_eq!(group.reconfigure(next), Ok(()));
}

#[test]
fn a_checkpoint_tells_who_belongs_to_the_group() {
    let limits = Limits {
        checkpoint_interval: 4,
        ..Limits::default()
    };
    let mut group = Group::new(3, 0, limits);
    group.run();
    let standby = group.put_blank(4, 44);
    let next = group.membership().adding(standby);
    assert_eq!(group.reconfigure(next), Ok(()));
    group.cut.insert(node(4));
    for count in 0..20 {
        group.propose(&format!("{count}"));
        group.run();
    }
    group.cut.clear();
    group.settle();
    assert_eq!(group.replica(node(4)).executed(), OpNumber(21));
    assert!(group.replica(node(4)).prepare(OpNumber(1)).is_none());
    assert_eq!(group.replica(node(4)).membership(), group.membership());
    group.crash(node(4));
    group.start(node(4));
    assert_eq!(group.replica(node(4)).membership(), group.membership());
    assert_eq!(group.replica(node(4)).member(), standby);
    // Even if the checkpoint is lost, it is known whom to ask.
    group.crash(node(4));
    group
        .members
        .get_mut(&node(4))
        .unwrap()
        .disk
        .checkpoints
        .clear();
    group.start(node(4));
    assert_eq!(group.replica(node(4)).membership(), group.membership());
    group.settle();
    assert_eq!(group.replica(node(4)).executed(), OpNumber(21));
}

/// While it was away all the others were replaced, and it is needed by those whom it does not know.
#[test]
fn a_voter_that_knows_nobody_any_more_is_found_by_the_others() {
    let mut group = Group::of_three();
    let away = node(3);
    for id in [4, 5] {
        let blank = group.put_blank(id, 40);
        let next = group.membership().adding(blank);
        assert_eq!(group.reconfigure(next), Ok(()));
        group.settle();
    }
    group.cut.insert(away);
    let promote = |group: &mut Group, id| {
        let primary = group.primary_beside(away);
        let next = group.replica(primary).membership().promoting(node(id));
        assert_eq!(group.reconfigure_at(primary, next), Ok(()));
        group.settle();
    };
    let demote = |group: &mut Group, id| {
        let primary = group.primary_beside(away);
        let next = group.replica(primary).membership().demoting(node(id));
        assert_eq!(group.reconfigure_at(primary, next), Ok(()));
        group.settle();
    };
    promote(&mut group, 4);
    promote(&mut group, 5);
    demote(&mut group, 2);
    demote(&mut group, 1);
    let primary = group.primary_beside(away);
    let voting = group.replica(primary).membership().voting_nodes();
    assert_eq!(voting, [node(3), node(4), node(5)]);

    // The primary dies, and with it everybody else whom it knows. It has heard nothing of all that.
    let other = if primary == node(4) { node(5) } else { node(4) };
    for id in [node(1), node(2), primary] {
        group.crash(id);
    }
    group.cut.clear();
    for _ in 0..6 {
        for node in [away, other] {
            for timer in [Timer::PrimarySilent, Timer::ViewChangeStalled] {
                group.fire(node, timer);
            }
        }
        group.settle();
    }
    assert!(group.replica(other).is_primary() || group.replica(away).is_primary());
    assert_eq!(group.replica(away).membership().voting_nodes(), voting);
}

/// It follows whom it knows, and its promise counts where it is known.
#[test]
fn a_voter_that_does_not_know_yet_that_it_is_one_helps_to_choose_a_primary() {
    let mut group = with_standby();
    let primary = group.primary();
    assert_eq!(primary, node(1));
    // 2 hears that 4 votes, and 4 itself does not.
    group.cut.extend([node(3), node(4)]);
    let next = group.membership().promoting(node(4));
    assert_eq!(group.reconfigure(next), Ok(()));
    group.run();
    group.crash(node(3));
    group.cut.clear();
    // The primary comes back as one of the voters. All three that are left are needed.
    group.crash(primary);
    group.lose_messages();
    group.start(primary);
    for _ in 0..4 {
        for id in [1, 2, 4] {
            for timer in [Timer::PrimarySilent, Timer::ViewChangeStalled] {
                group.fire(node(id), timer);
            }
        }
        group.settle();
    }
    assert_eq!(group.voting(), [1, 2, 3, 4]);
    group.propose("a");
    group.run();
    assert_eq!(group.executed(node(4)), ["a"]);
}

/// Who was dropped was not told so, and does not disturb the others.
#[test]
fn who_was_dropped_is_not_listened_to() {
    let mut group = with_standby();
    let standby = node(4);
    group.cut.insert(standby);
    let next = group.membership().dropping(standby);
    assert_eq!(group.reconfigure(next), Ok(()));
    group.settle();
    group.cut.clear();
    let (primary, view) = (group.primary(), group.replica(group.primary()).view());
    let mark = group.sent.len();
    for timer in [Timer::PrimarySilent, Timer::ViewChangeResend] {
        group.fire(standby, timer);
        group.run();
    }
    let message = Message::PrepareOk {
        view,
        op: OpNumber(1),
        round: 0,
    };
    let from = group.replica(standby).member();
    group.step(primary, Event::Message { from, message });
    group.run();
    assert_eq!(group.primary(), primary);
    assert_eq!(group.replica(primary).view(), view);
    let answers = group.sent[mark..]
        .iter()
        .filter(|(_, to, _)| *to == standby);
    assert_eq!(answers.count(), 0);
}
