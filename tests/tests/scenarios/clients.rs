//! What clients see of it: each record once, in order, and no consumer left behind.

use std::time::Duration;

use quorate_client::Start;
use quorate_tests::simulation::CLIENTS;
use quorate_tests::simulation::story::Story;

const SECOND: Duration = Duration::from_secs(1);

/// The leader has the records, and its answer is lost with it; so does the next one.
#[test]
fn a_reply_lost_twice_with_its_leader_leaves_each_record_once() {
    let mut story = Story::of(40, 5);
    story.append(5);
    let mut dead = Vec::new();
    let first = story.leader();
    story.cut(&[first], &[CLIENTS]);
    let attempt = story.begin_append(20);
    story.wait(SECOND);
    story.crash(&[first]);
    dead.push(first);
    story.mend();
    let second = story.next_leader(first);
    story.cut(&[second], &[CLIENTS]);
    story.wait(SECOND);
    story.crash(&[second]);
    dead.push(second);
    story.mend();
    story.expect_acknowledged(&attempt);
    story.require(story.told("sent again") > 0, "nothing was sent twice");
    story.expect_all();
    story.start(&dead);
    story.expect_whole();
}

/// With several batches on their way, some are known to the next leader and some are not, and the
/// client learns of that out of order.
#[test]
fn batches_that_are_answered_out_of_order_are_not_written_twice() {
    let mut story = Story::of(41, 3);
    story.append(5);
    for _ in 0..3 {
        let leader = story.leader();
        let others = story.followers();
        story.hold(&[leader], &others[..1]);
        let attempt = story.begin_append(100);
        story.wait(Duration::from_millis(50));
        story.cut(&[leader], &[CLIENTS]);
        story.wait(Duration::from_millis(500));
        story.kill(&[leader]);
        story.mend();
        story.release();
        story.start(&[leader]);
        story.expect_acknowledged(&attempt);
        story.expect_all();
    }
    story.require(story.told("sent again") > 0, "nothing was sent twice");
    story.expect_whole();
}

/// Consumers that wait at the end of the log get what is appended after the leader was changed, in
/// order or by its death, and none begins again.
#[test]
fn consumers_at_the_end_go_on_after_every_change_of_the_leader() {
    let mut story = Story::of(42, 3);
    story.append(10);
    let from_beginning = story.follow(Start::Beginning);
    let from_end = story.follow(Start::End);
    story.append(10);
    let leader = story.leader();
    story.restart(leader);
    story.append(10);
    story.expect_followed(&from_end, 10..30);
    let leader = story.leader();
    story.crash(&[leader]);
    story.append(10);
    story.start(&[leader]);
    story.expect_followed(&from_end, 10..40);
    story.wait(20 * SECOND);
    story.append(10);
    story.expect_followed(&from_beginning, 0..50);
    story.expect_followed(&from_end, 10..50);
    story.expect_whole();
}

/// In a cluster in health nobody waits in vain either, however often its leaders change.
#[test]
fn nobody_is_stuck_in_a_cluster_in_health() {
    let mut story = Story::of(43, 3);
    let follower = story.follow(Start::Beginning);
    for round in 1..=6 {
        story.append(5);
        story.expect_followed(&follower, 0..round * 5);
        let leader = story.leader();
        story.restart(leader);
        story.wait(SECOND);
    }
    story.expect_whole();
}
