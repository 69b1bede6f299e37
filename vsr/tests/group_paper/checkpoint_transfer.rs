//! Section 5.2.1, "checkpoints [...] can be large": they come in pieces.

use quorate_vsr::group::{Checkpoint, Head, Limits, Message, Piece, Status, Timer};
use quorate_vsr::{NodeId, OpNumber, ViewNumber};

use crate::group::Group;

const PIECE: usize = 32;

fn limits() -> Limits {
    Limits {
        checkpoint_interval: 4,
        state_transfer_bytes_max: PIECE,
        checkpoint_bytes_max: 4096,
        ..Limits::default()
    }
}

fn work(group: &mut Group, from: u32, to: u32) {
    for number in from..=to {
        group.propose(&format!("operation {number} of some length"));
        group.run();
    }
}

/// Three members in their first view; the second backup lacks so much that only a checkpoint, of
/// some ten pieces, can help it. It has not asked yet.
fn with_laggard() -> (Group, NodeId) {
    let mut group = Group::new(3, 0, limits());
    group.run();
    let laggard = group.backups()[1];
    group.cut.insert(laggard);
    work(&mut group, 1, 12);
    group.cut.clear();
    (group, laggard)
}

/// The positions for which pieces of the checkpoint at `head` were asked, in order.
fn asked(group: &Group, asker: NodeId, head: Head) -> Vec<u64> {
    let sent = group.sent_by(asker, 0).into_iter();
    let positions = sent.filter_map(|message| match message {
        Message::GetCheckpoint {
            head: of, position, ..
        } if *of == head => Some(*position),
        _ => None,
    });
    positions.collect()
}

/// Lets the laggard find out what it lacks, and goes on until it asks for byte `position`.
fn run_until_asked(group: &mut Group, laggard: NodeId, head: Head, position: usize) {
    let primary = group.primary();
    group.fire(primary, Timer::Commit);
    let is_there = |group: &Group| {
        let last = asked(group, laggard, head).last().copied();
        last == Some(position as u64)
    };
    group.run_while(|group| !is_there(group));
    assert!(is_there(group), "the laggard asks on");
}

fn checkpoint(group: &Group, member: NodeId) -> Checkpoint {
    let checkpoints = &group.members[&member].disk.checkpoints;
    checkpoints.values().next_back().unwrap().clone()
}

/// Whether the positions never go back: nothing that was received was asked for again.
fn is_steady(positions: &[u64]) -> bool {
    positions.is_sorted() && positions.len() > 5
}

fn assert_caught_up(group: &Group, laggard: NodeId) {
    let other = group
        .members
        .keys()
        .find(|other| **other != laggard && group.members[*other].replica.is_some());
    assert_eq!(group.executed(laggard), group.executed(*other.unwrap()));
    assert_eq!(group.replica(laggard).status(), Status::Normal);
}

#[test]
fn pieces_are_asked_for_one_after_the_other_and_each_once() {
    let (mut group, laggard) = with_laggard();
    let whole = checkpoint(&group, group.primary());
    group.settle();
    let pieces = whole.bytes().len().div_ceil(PIECE) as u64;
    let expected: Vec<u64> = (1..pieces).map(|piece| piece * PIECE as u64).collect();
    assert!(is_steady(&expected), "{expected:?}");
    assert_eq!(asked(&group, laggard, whole.head()), expected);
    assert_caught_up(&group, laggard);
}

#[test]
fn members_have_the_same_bytes_however_they_came_to_them() {
    let (mut group, laggard) = with_laggard();
    let whole = checkpoint(&group, group.primary());
    group.settle();
    for member in group.members.keys() {
        assert_eq!(checkpoint(&group, *member).bytes(), whole.bytes());
    }
    work(&mut group, 13, 16);
    assert!(checkpoint(&group, laggard).op() > whole.op());
    for member in group.members.keys() {
        let same = checkpoint(&group, *member);
        assert_eq!(same, checkpoint(&group, laggard));
    }
}

/// The last operation before the checkpoint is one that the group executes by itself, so the state
/// is there in the same step in which it is known to be committed.
#[test]
fn late_prepares_make_a_checkpoint_superfluous() {
    let mut group = Group::new(3, 0, limits());
    group.run();
    let (primary, laggard) = (group.primary(), group.backups()[1]);
    group.cut.insert(laggard);
    work(&mut group, 1, 11);
    group.register(7);
    group.cut.clear();
    let head = checkpoint(&group, primary).head();
    assert_eq!(head.op, OpNumber(12));
    run_until_asked(&mut group, laggard, head, PIECE);
    group.lose_messages();
    let is_late = |message: &Message| matches!(message, Message::Prepare { .. });
    let sent = group.sent.iter().filter(|it| it.1 == laggard);
    let late: Vec<Message> = sent.map(|it| it.2.clone()).filter(is_late).collect();
    for message in late {
        group.hear(primary, laggard, message);
    }
    group.run();
    assert_eq!(group.replica(laggard).op_number(), OpNumber(12));
    let mark = group.sent.len();
    group.fire(primary, Timer::Commit);
    group.run();
    assert_eq!(group.replica(laggard).executed(), OpNumber(12));
    let asks = |message: &&Message| matches!(message, Message::GetCheckpoint { .. });
    assert!(!group.sent_by(laggard, mark).iter().any(asks));
    assert_caught_up(&group, laggard);
}

/// What a primary said earlier in its view is behind the checkpoint that it took since. It is late,
/// and no reason to distrust it.
#[test]
fn late_start_view_is_no_surprise_to_a_member_with_a_checkpoint_of_that_view() {
    let mut group = Group::new(3, 0, limits());
    group.run();
    let laggard = group.backups()[1];
    group.cut.insert(laggard);
    let old_primary = group.primary();
    group.fire(old_primary, Timer::QuorumSilent);
    group.change_view();
    let mark = group.sent.len();
    work(&mut group, 1, 12);
    let sent = group.sent[..mark].iter().rev();
    let is_late = |message: &Message| matches!(message, Message::StartView { .. });
    let mut late = sent.filter(|it| it.1 == laggard && is_late(&it.2));
    let (primary, _, late) = late.next().cloned().expect("the view was started");
    assert_ne!(primary, old_primary);

    group.cut.clear();
    group.slow.insert(laggard);
    group.fire(primary, Timer::Commit);
    while group.replica(laggard).executed() == OpNumber(0) {
        group.run();
        group.complete(laggard);
    }
    assert_eq!(group.replica(laggard).status(), Status::ViewChange);
    group.hear(primary, laggard, late);
    group.slow.clear();
    group.settle();
    assert_caught_up(&group, laggard);
}

#[test]
fn a_lost_piece_is_asked_for_again_and_nothing_else_is() {
    let (mut group, laggard) = with_laggard();
    let whole = checkpoint(&group, group.primary());
    let primary = group.primary();
    group.fire(primary, Timer::Commit);
    for lost in 0..60 {
        group.run_while(|group| {
            !group.is_next(|message| {
                matches!(
                    message,
                    Message::CheckpointPiece { .. } | Message::GetCheckpoint { .. }
                )
            })
        });
        if lost % 3 == 0 {
            group.network().pop_front();
        } else if let Some((from, to, message)) = group.network().pop_front() {
            group.hear(from.node, to, message);
        }
        group.fire(laggard, Timer::GetState);
    }
    group.settle();
    let positions = asked(&group, laggard, whole.head());
    assert!(is_steady(&positions), "{positions:?}");
    assert_caught_up(&group, laggard);
}

/// A repeated answer must not beget a repeated question, or a few repetitions would be multiplied
/// by every piece.
#[test]
fn repeated_messages_change_nothing() {
    let (mut group, laggard) = with_laggard();
    let whole = checkpoint(&group, group.primary());
    let primary = group.primary();
    group.fire(primary, Timer::Commit);
    let is_piece = |message: &Message| matches!(message, Message::CheckpointPiece { .. });
    for _ in 0..40 {
        group.run_while(|group| !group.is_next(is_piece));
        let Some((from, to, message)) = group.network().pop_front() else {
            break;
        };
        group.hear(from.node, to, message.clone());
        group.hear(from.node, to, message.clone());
        group.hear(from.node, to, message);
    }
    group.settle();
    let positions = asked(&group, laggard, whole.head());
    assert!(is_steady(&positions), "{positions:?}");
    assert_eq!(positions.len(), whole.bytes().len().div_ceil(PIECE) - 1);
    assert_caught_up(&group, laggard);
}

#[test]
fn pieces_out_of_order_wait_for_nobody() {
    let (mut group, laggard) = with_laggard();
    let primary = group.primary();
    let whole = checkpoint(&group, primary);
    run_until_asked(&mut group, laggard, whole.head(), 2 * PIECE);
    for position in [5, 1, 0, 3, 4] {
        let message = piece(&group, primary, &whole, position * PIECE);
        group.hear(primary, laggard, message);
    }
    group.settle();
    assert!(is_steady(&asked(&group, laggard, whole.head())));
    assert_caught_up(&group, laggard);
}

#[test]
fn another_member_continues_when_the_donor_dies() {
    let (mut group, laggard) = with_laggard();
    let primary = group.primary();
    let whole = checkpoint(&group, primary);
    run_until_asked(&mut group, laggard, whole.head(), 4 * PIECE);
    group.crash(primary);
    let mark = group.sent.len();
    for _ in 0..6 {
        group.run();
        group.fire(laggard, Timer::GetState);
    }
    group.run();
    let positions = asked(&group, laggard, whole.head());
    assert!(is_steady(&positions), "{positions:?}");
    assert_eq!(group.replica(laggard).checkpoint_op(), whole.op());
    let helper = group
        .members
        .keys()
        .find(|member| **member != laggard && **member != primary);
    let helped = |message: &&Message| matches!(message, Message::CheckpointPiece { .. });
    assert!(group.sent_by(*helper.unwrap(), mark).iter().any(helped));
}

#[test]
fn what_was_received_outlives_a_change_of_the_view() {
    let (mut group, laggard) = with_laggard();
    let primary = group.primary();
    let whole = checkpoint(&group, primary);
    run_until_asked(&mut group, laggard, whole.head(), 4 * PIECE);
    let view = group.replica(laggard).view();
    group.lose_messages();
    group.crash(primary);
    group.change_view();
    group.settle();
    assert!(group.replica(laggard).view() > view);
    let positions = asked(&group, laggard, whole.head());
    assert!(is_steady(&positions), "{positions:?}");
    assert_caught_up(&group, laggard);
}

#[test]
fn who_has_the_checkpoint_still_is_found_when_the_donor_has_a_newer_one() {
    let (mut group, laggard) = with_laggard();
    let primary = group.primary();
    let whole = checkpoint(&group, primary);
    run_until_asked(&mut group, laggard, whole.head(), 4 * PIECE);
    let keeper = *group
        .members
        .keys()
        .find(|it| **it != laggard && **it != primary)
        .unwrap();
    group.lose_messages();
    // Neither hears of what makes the others take a new checkpoint.
    group.cut.insert(laggard);
    work(&mut group, 13, 15);
    group.slow.insert(keeper);
    work(&mut group, 16, 16);
    // Its prepare becomes durable, and the checkpoint after it does not.
    group.complete(keeper);
    group.run();
    assert!(group.replica(primary).checkpoint_op() > whole.op());
    assert_eq!(group.replica(keeper).checkpoint_op(), whole.op());

    group.cut.clear();
    let other = checkpoint(&group, primary).head();
    for _ in 0..8 {
        group.fire(laggard, Timer::GetState);
        group.run_while(|group| !group.replica(laggard).checkpoint_op().eq(&whole.op()));
    }
    assert_eq!(group.replica(laggard).checkpoint_op(), whole.op());
    assert!(asked(&group, laggard, other).is_empty());
    group.slow.clear();
    group.settle();
    assert_caught_up(&group, laggard);
}

#[test]
fn transfer_begins_anew_when_nobody_has_the_checkpoint_any_more() {
    let (mut group, laggard) = with_laggard();
    let primary = group.primary();
    let whole = checkpoint(&group, primary);
    run_until_asked(&mut group, laggard, whole.head(), 4 * PIECE);
    group.lose_messages();
    group.cut.insert(laggard);
    work(&mut group, 13, 24);
    group.cut.clear();
    group.settle();
    let newer = checkpoint(&group, primary);
    assert!(newer.op() > whole.op());
    assert!(is_steady(&asked(&group, laggard, newer.head())));
    assert_caught_up(&group, laggard);
}

#[test]
fn the_rest_of_a_checkpoint_is_not_asked_for_when_a_journal_helps() {
    let (mut group, laggard) = with_laggard();
    let primary = group.primary();
    let whole = checkpoint(&group, primary);
    run_until_asked(&mut group, laggard, whole.head(), 4 * PIECE);
    group.lose_messages();
    // All that the laggard lacks, as a member would send it whose journal still reaches back.
    let mut prepares = Vec::new();
    for (_, _, message) in &group.sent {
        if let Message::Prepare { prepare, .. } = message
            && prepare.op.0 == prepares.len() as u64 + 1
        {
            prepares.push(prepare.clone());
        }
    }
    let message = Message::NewState {
        view: group.replica(laggard).view(),
        after: Head::default(),
        prepares,
    };
    group.hear(primary, laggard, message);
    group.settle();
    let positions = asked(&group, laggard, whole.head());
    assert_eq!(positions.last(), Some(&(4 * PIECE as u64)));
    assert_caught_up(&group, laggard);
}

/// A piece as an honest member would send it.
fn piece(group: &Group, donor: NodeId, whole: &Checkpoint, position: usize) -> Message {
    let end = whole.bytes().len().min(position + PIECE);
    Message::CheckpointPiece {
        view: group.replica(donor).view(),
        piece: Piece {
            head: whole.head(),
            total: whole.bytes().len() as u64,
            position: position as u64,
            bytes: whole.bytes()[position..end].to_vec(),
        },
    }
}

#[test]
fn pieces_that_make_no_sense_are_ignored() {
    let (mut group, laggard) = with_laggard();
    let primary = group.primary();
    let whole = checkpoint(&group, primary);
    let (head, total) = (whole.head(), whole.bytes().len() as u64);
    run_until_asked(&mut group, laggard, head, 2 * PIECE);
    let before = group.replica(laggard).clone();
    let position = 2 * PIECE as u64;
    let bytes = whole.bytes()[2 * PIECE..3 * PIECE].to_vec();
    let hostile = [
        // Nothing, or more than there is.
        (total, position, Vec::new()),
        (total, position, vec![0; 4096]),
        (total, total, vec![0; 1]),
        (total, u64::MAX, vec![0; 1]),
        (total, u64::MAX - 10, vec![0; 64]),
        // More than anybody may have.
        (u64::MAX, position, bytes.clone()),
        (4097, position, bytes.clone()),
        // A part of what is there already, or what would leave a gap.
        (total, position - 1, bytes.clone()),
        (total, position + 1, bytes.clone()),
        (total, 0, bytes),
    ];
    for (total, position, bytes) in hostile {
        let view = before.view();
        let piece = Piece {
            head,
            total,
            position,
            bytes,
        };
        group.hear(primary, laggard, Message::CheckpointPiece { view, piece });
        assert_eq!(*group.replica(laggard), before);
    }
    group.settle();
    assert_caught_up(&group, laggard);
}

#[test]
fn a_checkpoint_that_is_too_large_is_not_even_begun() {
    let (mut group, laggard) = with_laggard();
    let primary = group.primary();
    let view = group.replica(primary).view();
    group.fire(primary, Timer::Commit);
    let is_answer = |message: &Message| matches!(message, Message::CheckpointPiece { .. });
    group.run_while(|group| !group.is_next(is_answer));
    group.network().pop_front();
    let before = group.replica(laggard).clone();
    let piece = Piece {
        head: checkpoint(&group, primary).head(),
        total: 1 << 62,
        position: 0,
        bytes: vec![0; PIECE],
    };
    group.hear(primary, laggard, Message::CheckpointPiece { view, piece });
    assert_eq!(*group.replica(laggard), before);
}

#[test]
fn a_whole_that_is_damaged_is_thrown_away_and_fetched_again() {
    let (mut group, laggard) = with_laggard();
    let primary = group.primary();
    let whole = checkpoint(&group, primary);
    run_until_asked(&mut group, laggard, whole.head(), 3 * PIECE);
    group.lose_messages();
    let mut damaged = piece(&group, primary, &whole, 3 * PIECE);
    if let Message::CheckpointPiece { piece, .. } = &mut damaged {
        piece.bytes[7] ^= 1;
    }
    group.hear(primary, laggard, damaged);
    let nothing = group.replica(laggard).executed();
    group.run();
    assert_eq!(group.replica(laggard).executed(), nothing);
    group.settle();
    assert_caught_up(&group, laggard);
}

#[test]
fn nobody_is_sent_a_piece_in_another_view_or_from_behind_the_end() {
    let (mut group, laggard) = with_laggard();
    let primary = group.primary();
    let whole = checkpoint(&group, primary);
    let view = group.replica(primary).view();
    let mark = group.sent.len();
    let end = whole.bytes().len() as u64;
    for (view, position) in [(ViewNumber(view.0 + 1), 0), (view, end), (view, u64::MAX)] {
        let head = whole.head();
        let message = Message::GetCheckpoint {
            view,
            head,
            position,
        };
        group.hear(laggard, primary, message);
    }
    assert!(group.sent_by(primary, mark).is_empty());
}

/// The own disk may be busy with an own checkpoint while the last piece of a foreign one comes.
#[test]
fn a_complete_checkpoint_waits_for_the_disk() {
    let limits = Limits {
        checkpoint_interval: 8,
        ..limits()
    };
    let mut group = Group::new(3, 0, limits);
    group.run();
    let laggard = group.backups()[1];
    work(&mut group, 1, 7);
    group.slow.insert(laggard);
    work(&mut group, 8, 8);
    // Prepare 8 becomes durable, and the checkpoint of it does not.
    group.complete(laggard);
    group.run();
    group.cut.insert(laggard);
    work(&mut group, 9, 40);
    group.cut.clear();
    for _ in 0..4 {
        group.fire(group.primary(), Timer::Commit);
        group.run();
        group.fire(laggard, Timer::GetState);
        group.run();
    }
    assert_eq!(group.replica(laggard).checkpoint_op(), OpNumber(0));
    let whole = checkpoint(&group, group.primary());
    let positions = asked(&group, laggard, whole.head());
    let last = (whole.bytes().len() - 1) / PIECE * PIECE;
    assert_eq!(positions.last(), Some(&(last as u64)), "all of it has come");

    group.slow.clear();
    group.settle();
    assert_eq!(group.replica(laggard).checkpoint_op(), OpNumber(40));
    assert_caught_up(&group, laggard);
}
