//! Section 6.3, fast reads: the primary answers alone while it holds a lease. Here the log is the
//! lease, and without one a round takes its place.

use quorate_vsr::group::{Effect, Event, Limits, Message, Rejection, Status, Timer};
use quorate_vsr::{NodeId, OpNumber};

use crate::group::{Group, node};

const LEASES: [Timer; 2] = [Timer::LeaseEven, Timer::LeaseOdd];

impl Group {
    fn read(&mut self, node: NodeId, read: u64) {
        self.step(node, Event::Read { read });
    }

    /// The reads that were answered, and those that were refused.
    fn reads(&self, node: NodeId) -> (Vec<u64>, Vec<u64>) {
        let (mut ready, mut rejected) = (Vec::new(), Vec::new());
        for answer in self.answers(node) {
            match answer {
                Effect::ReadReady { read } => ready.push(*read),
                Effect::RejectRead { read, .. } => rejected.push(*read),
                _ => {}
            }
        }
        (ready, rejected)
    }

    fn ready(&self, node: NodeId) -> Vec<u64> {
        self.reads(node).0
    }

    fn lease_runs_out(&mut self, node: NodeId) {
        for timer in LEASES {
            self.fire(node, timer);
        }
    }

    /// Those who can ask for the next view although they support a lease.
    fn change_view_early(&mut self) {
        for node in self.members.keys().copied().collect::<Vec<_>>() {
            let armed = &mut self.members.get_mut(&node).unwrap().armed;
            if armed.remove(&Timer::PrimarySilent) && !self.cut.contains(&node) {
                self.step(node, Event::Timeout(Timer::PrimarySilent));
            }
        }
        self.run();
    }
}

fn rounds(group: &Group, node: NodeId, mark: usize) -> Vec<u64> {
    let sent = group.sent_by(node, mark).into_iter();
    let rounds = sent.filter_map(|message| match message {
        Message::Commit { round, .. } => Some(*round),
        _ => None,
    });
    rounds.collect()
}

#[test]
fn read_is_answered_when_a_majority_has_echoed_a_round() {
    let mut group = Group::of_three();
    let primary = group.primary();
    let mark = group.sent.len();
    group.read(primary, 1);
    assert_eq!(rounds(&group, primary, mark), [1, 1], "one to each other");
    assert_eq!(group.reads(primary), (vec![], vec![]));
    group.run();
    assert_eq!(group.ready(primary), [1]);
}

#[test]
fn one_echo_of_five_is_no_majority() {
    let mut group = Group::new(5, 0, Limits::default());
    group.run();
    let (primary, backups) = (group.primary(), group.backups());
    group.cut.extend(&backups[1..]);
    group.read(primary, 1);
    group.run();
    assert!(group.ready(primary).is_empty());
    group.cut.remove(&backups[1]);
    group.settle();
    assert_eq!(group.ready(primary), [1]);
}

/// A round that is under way began before the read: its echoes may be older than what the read has
/// to see.
#[test]
fn read_is_not_confirmed_by_a_round_that_began_before_it() {
    let mut group = Group::of_three();
    let primary = group.primary();
    group.read(primary, 1);
    group.read(primary, 2);
    let is_echo = |message: &Message| matches!(message, Message::PrepareOk { round: 1, .. });
    let has_read_one = |group: &Group| group.ready(primary) == [1];
    group.run_while(|group| !has_read_one(group));
    assert!(has_read_one(&group));
    while group.is_next(is_echo) {
        let (from, to, message) = group.network().pop_front().unwrap();
        group.hear(from.node, to, message);
    }
    assert_eq!(group.ready(primary), [1]);
    group.run();
    assert_eq!(group.ready(primary), [1, 2]);
}

#[test]
fn reads_share_a_round_and_only_one_is_under_way() {
    let mut group = Group::of_three();
    let primary = group.primary();
    let mark = group.sent.len();
    for read in 1..=20 {
        group.read(primary, read);
    }
    group.run();
    assert_eq!(group.ready(primary), (1..=20).collect::<Vec<_>>());
    assert_eq!(rounds(&group, primary, mark), [1, 1, 2, 2]);
}

#[test]
fn lost_round_is_made_good() {
    let mut group = Group::of_three();
    let primary = group.primary();
    group.read(primary, 1);
    group.lose_messages();
    group.fire(primary, Timer::Commit);
    group.run();
    assert_eq!(group.ready(primary), [1]);
}

#[test]
fn committed_entry_is_a_lease_until_its_timer_runs_out() {
    let mut group = Group::of_three();
    let primary = group.primary();
    group.propose("a");
    group.run();
    let mark = group.sent.len();
    group.read(primary, 1);
    assert_eq!(group.ready(primary), [1]);
    assert!(group.sent_by(primary, mark).is_empty(), "without a message");

    group.lease_runs_out(primary);
    group.read(primary, 2);
    assert_eq!(group.ready(primary), [1]);
    group.run();
    assert_eq!(group.ready(primary), [1, 2]);
}

#[test]
fn entry_gives_no_lease_before_it_is_committed_nor_when_that_came_too_late() {
    let mut group = Group::of_three();
    let (primary, backups) = (group.primary(), group.backups());
    group.cut.extend(&backups);
    group.propose("a");
    group.run();
    group.read(primary, 1);
    assert!(group.ready(primary).is_empty());
    group.lease_runs_out(primary);

    group.lose_messages();
    group.cut.clear();
    group.fire(primary, Timer::Prepare);
    group.run();
    assert_eq!(group.replica(primary).commit_number(), OpNumber(1));
    let mark = group.sent.len();
    group.read(primary, 2);
    assert!(!group.ready(primary).contains(&2));
    assert!(!rounds(&group, primary, mark).is_empty());
}

#[test]
fn timer_of_the_lease_is_started_before_the_entry_is_sent() {
    let mut replica = Group::of_three();
    let primary = replica.primary();
    let mut primary = replica.members.remove(&primary).unwrap().replica.unwrap();
    let mut effects = Vec::new();
    let operation = b"a".to_vec();
    primary.step(Event::Propose { operation }, &mut effects);
    let place = |is_such: &dyn Fn(&Effect) -> bool| effects.iter().position(is_such).unwrap();
    let armed = place(&|effect| *effect == Effect::Arm(Timer::LeaseEven));
    let sent = place(&|effect| matches!(effect, Effect::Send { .. }));
    assert!(armed < sent);
}

#[test]
fn two_timers_keep_a_busy_primary_in_lease() {
    let mut group = Group::of_three();
    let primary = group.primary();
    for (number, timer) in LEASES.into_iter().cycle().take(6).enumerate() {
        group.propose("a");
        group.run();
        let earlier = LEASES[(number + 1) % 2];
        group.fire(primary, earlier);
        assert!(group.members[&primary].armed.contains(&timer));
        let mark = group.sent.len();
        group.read(primary, number as u64);
        assert!(group.sent_by(primary, mark).is_empty(), "the lease held");
    }
}

/// All that earlier views have committed is in the log with which the view began; some of it may
/// not be known to be committed yet.
#[test]
fn read_waits_for_what_earlier_views_have_left() {
    let mut group = Group::of_three();
    let old_primary = group.primary();
    group.propose("a");
    // Both backups have it, and nobody hears of that.
    let is_acknowledged = |it: &Message| {
        matches!(
            it,
            Message::PrepareOk {
                op: OpNumber(1),
                ..
            }
        )
    };
    group.run_while(|group| !group.is_next(is_acknowledged));
    group.lose_messages();
    group.cut.insert(old_primary);
    group.change_view_early();
    let primary = group.primary_beside(old_primary);
    group.read(primary, 1);
    group.run();
    assert!(group.executed(primary).is_empty(), "it waits for a lease");
    assert!(group.ready(primary).is_empty());
    group.fire(primary, Timer::LeaseWait);
    assert_eq!(group.executed(primary), ["a"]);
    assert_eq!(group.ready(primary), [1]);
}

#[test]
fn primary_that_is_cut_off_answers_nothing_and_says_so_in_the_end() {
    let mut group = Group::of_three();
    let primary = group.primary();
    group.propose("a");
    group.run();
    group.cut.insert(primary);
    group.lease_runs_out(primary);
    group.read(primary, 1);
    group.run();
    group.fire(primary, Timer::Commit);
    group.run();
    assert_eq!(group.reads(primary), (vec![], vec![]));
    group.fire(primary, Timer::QuorumSilent);
    assert_eq!(group.reads(primary), (vec![], vec![1]));
    group.read(primary, 2);
    assert_eq!(group.reads(primary), (vec![], vec![1, 2]));
}

#[test]
fn deposed_primary_does_not_answer_from_its_memory() {
    let mut group = Group::of_three();
    let old_primary = group.primary();
    group.propose("old");
    group.run();
    group.cut.insert(old_primary);
    group.change_view();
    let primary = group.primary_beside(old_primary);
    group.propose_at(primary, "new");
    group.run();
    assert_eq!(group.executed(primary), ["old", "new"]);

    group.lease_runs_out(old_primary);
    group.read(old_primary, 1);
    group.run();
    group.cut.clear();
    group.settle();
    assert_eq!(group.reads(old_primary), (vec![], vec![1]));
    group.read(primary, 2);
    group.run();
    assert_eq!(group.ready(primary), [2]);
}

#[test]
fn backup_sends_readers_away() {
    let mut group = Group::of_three();
    let backup = group.backups()[0];
    group.read(backup, 1);
    let reason = Rejection::NotPrimary;
    assert_eq!(
        group.answers(backup),
        [Effect::RejectRead { read: 1, reason }]
    );
}

#[test]
fn group_of_one_is_its_own_majority() {
    let mut group = Group::new(1, 0, Limits::default());
    group.run();
    group.read(node(1), 1);
    assert_eq!(group.ready(node(1)), [1]);
}

#[test]
fn a_limited_number_of_reads_waits() {
    let limits = Limits {
        reads_max: 2,
        ..Limits::default()
    };
    let mut group = Group::new(3, 0, limits);
    group.run();
    let primary = group.primary();
    for read in 1..=3 {
        group.read(primary, read);
    }
    let reason = Rejection::Busy;
    assert_eq!(
        group.answers(primary),
        [Effect::RejectRead { read: 3, reason }]
    );
    group.run();
    assert_eq!(group.ready(primary), [1, 2]);
}

fn said_lease(group: &Group, mark: usize) -> Vec<bool> {
    let promises = group.sent[mark..]
        .iter()
        .filter_map(|(_, _, message)| match message {
            Message::DoViewChange { promise, .. } => Some(promise.lease_may_hold),
            _ => None,
        });
    promises.collect()
}

/// The heart of the matter: a primary that is cut off has a lease, and the others have a new view.
#[test]
fn nothing_is_committed_in_a_later_view_while_a_lease_holds() {
    let mut group = Group::of_three();
    let old_primary = group.primary();
    group.propose("a");
    group.run();
    let mark = group.sent.len();
    group.cut.insert(old_primary);
    group.change_view_early();
    assert!(said_lease(&group, mark).contains(&true));
    let primary = group.primary_beside(old_primary);
    assert_eq!(group.replica(primary).status(), Status::Normal);
    group.propose_at(primary, "b");
    group.run();
    assert_eq!(group.executed(primary), ["a"], "the lease is waited for");
    group.read(old_primary, 1);
    assert_eq!(group.ready(old_primary), [1], "and was worth it");

    group.lease_runs_out(old_primary);
    group.fire(primary, Timer::LeaseWait);
    group.run();
    assert_eq!(group.executed(primary), ["a", "b"]);
    group.read(old_primary, 2);
    group.run();
    assert_eq!(group.ready(old_primary), [1]);
}

/// The time in which a dead primary is missed is longer than any lease.
#[test]
fn usual_change_of_the_view_waits_for_nothing() {
    let mut group = Group::of_three();
    let old_primary = group.primary();
    group.propose("a");
    group.run();
    let mark = group.sent.len();
    group.crash(old_primary);
    group.change_view();
    assert!(!said_lease(&group, mark).contains(&true));
    let primary = group.primary_beside(old_primary);
    assert!(!group.members[&primary].armed.contains(&Timer::LeaseWait));
    group.propose_at(primary, "b");
    group.run();
    assert_eq!(group.executed(primary), ["a", "b"]);
}

/// It may have acknowledged something just before it was stopped, and does not know when.
#[test]
fn restarted_member_says_that_a_lease_may_hold() {
    let mut group = Group::of_three();
    let (old_primary, backups) = (group.primary(), group.backups());
    group.propose("a");
    group.run();
    let mark = group.sent.len();
    group.cut.insert(old_primary);
    for backup in &backups {
        group.fire(*backup, Timer::LeaseOver);
    }
    group.crash(backups[0]);
    group.start(backups[0]);
    group.change_view();
    let primary = group.primary_beside(old_primary);
    let is_waiting = group.members[&primary].armed.contains(&Timer::LeaseWait);
    assert!(is_waiting, "{:?}", said_lease(&group, mark));
}

#[test]
fn member_with_an_unused_disk_supports_no_lease() {
    let group = Group::new(3, 0, Limits::default());
    for member in group.members.values() {
        assert!(!member.armed.contains(&Timer::LeaseOver));
    }
}

/// What a new primary knows to be committed, the one before it has committed.
#[test]
fn new_primary_executes_what_is_known_to_be_committed_while_it_waits() {
    let mut group = Group::of_three();
    let old_primary = group.primary();
    group.slow.extend(group.backups());
    group.propose("a");
    group.run();
    group.slow.clear();
    group.run();
    group.cut.insert(old_primary);
    group.change_view_early();
    let primary = group.primary_beside(old_primary);
    assert!(group.members[&primary].armed.contains(&Timer::LeaseWait));
    assert_eq!(group.executed(primary), ["a"]);
}

#[test]
fn waiting_ends_with_the_view() {
    let mut group = Group::of_three();
    let old_primary = group.primary();
    group.propose("a");
    group.run();
    group.cut.insert(old_primary);
    group.change_view_early();
    let second = group.primary_beside(old_primary);
    assert!(group.members[&second].armed.contains(&Timer::LeaseWait));
    group.cut.clear();
    group.fire(second, Timer::Commit);
    group.run();
    group.change_view_early();
    assert!(group.primary() != second);
    assert!(!group.members[&second].armed.contains(&Timer::LeaseWait));
}
