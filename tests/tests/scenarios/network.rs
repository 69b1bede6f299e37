//! The network fails in part, and what was lost in it comes late.

use std::time::Duration;

use quorate_tests::simulation::Shape;
use quorate_tests::simulation::story::Story;

const SECOND: Duration = Duration::from_secs(1);

/// It is not heard by the others, and hears them.
#[test]
fn a_leader_that_is_not_heard_is_replaced_and_acknowledges_nothing() {
    let mut story = Story::of(20, 3);
    story.append(20);
    let old = story.leader();
    let others = story.followers();
    story.cut(&[old], &others);
    story.clients_reach_only(&[old]);
    story.append_in_vain(5);
    story.mend();
    story.cut(&[old], &others);
    let new = story.next_leader(old);
    story.append(20);
    story.require(story.cluster.is_on(new), "the new leader is gone");
    story.mend();
    story.expect_whole();
}

/// It is heard by the others, so that nothing seems to be wrong with it, and hears nobody.
#[test]
fn a_leader_that_hears_nobody_is_replaced_and_acknowledges_nothing() {
    let mut story = Story::of(21, 3);
    story.append(20);
    let old = story.leader();
    let others = story.followers();
    story.cut(&others, &[old]);
    story.clients_reach_only(&[old]);
    story.append_in_vain(5);
    story.mend();
    story.cut(&others, &[old]);
    story.next_leader(old);
    story.append(20);
    story.mend();
    story.expect_whole();
}

/// The control plane hears all of them, so that nobody seems to be away; but the leader and the
/// other voters do not hear each other.
#[test]
fn a_leader_that_hears_no_other_voter_is_replaced_soon() {
    let shape = Shape {
        nodes: 5,
        ..Shape::default()
    };
    let mut story = Story::begin(29, &shape, 3);
    for _ in 1..shape.nodes {
        let primary = story.primary();
        if primary == story.leader() || story.followers().contains(&primary) {
            story.restart(primary);
        }
        story.append(20);
    }
    let (old, others, primary) = (story.leader(), story.followers(), story.primary());
    let is_apart = primary != old && !others.contains(&primary);
    story.require(is_apart, "the primary has the partition");
    story.cut(&[old], &others);
    story.cut(&others, &[old]);
    let parted = story.cluster.elapsed();
    story.append(20);
    let new = story.leader();
    story.require(new != old, "the old leader has acknowledged records alone");
    let waited = story.cluster.elapsed() - parted;
    story.require(waited < 5 * SECOND, format!("it took {waited:?}"));
    story.mend();
    story.expect_whole();
}

/// The same for the control plane, whose primary leads nothing here.
#[test]
fn a_primary_that_is_half_cut_off_is_replaced() {
    for (seed, is_deaf) in [(22, true), (23, false)] {
        let mut story = Story::of(seed, 3);
        let old = story.primary();
        let others = story.others(&[old]);
        match is_deaf {
            true => story.cut(&others, &[old]),
            false => story.cut(&[old], &others),
        }
        let creating = story.ask("creating a topic", |client, _| async move {
            client.create_topic("more", 1, 3).await
        });
        let new = story.primary();
        story.require(creating.is_ok(), format!("{creating:?}"));
        story.require(new != old, "the primary is the old one");
        story.append(20);
        story.mend();
        story.expect_whole();
    }
}

/// What an old leader has sent reaches the others when they follow a new one, over the connections
/// of then.
#[test]
fn records_of_an_old_leader_that_come_late_are_not_taken_for_new() {
    let mut story = Story::of(24, 3);
    story.append(20);
    let old = story.leader();
    let others = story.followers();
    story.hold(&[old], &others);
    let attempt = story.begin_append(20);
    story.wait(2 * SECOND);
    let new = story.next_leader(old);
    story.expect_acknowledged(&attempt);
    story.append(20);
    story.release();
    story.wait(3 * SECOND);
    let leader = story.leader();
    story.require(leader == new, "the late ones have changed the leader");
    story.expect_all();
    story.expect_whole();
}

/// The same, but those who get it have started again in the meantime, or who sent it has.
#[test]
fn records_that_come_after_a_restart_are_not_taken_for_new() {
    for (seed, is_receiver) in [(25, true), (26, false)] {
        let mut story = Story::of(seed, 3);
        story.append(20);
        let old = story.leader();
        let others = story.followers();
        story.hold(&[old], &others);
        let attempt = story.begin_append(20);
        story.wait(SECOND);
        let restarting = match is_receiver {
            true => others.clone(),
            false => vec![old],
        };
        story.kill(&restarting);
        story.start(&restarting);
        story.wait(SECOND);
        story.release();
        story.wait_until("the append ends", |_| attempt.outcome().is_some());
        story.append(20);
        story.expect_all();
        story.expect_whole();
    }
}

/// The old primary is alone with a clock that says that no time has passed, or that much has; it
/// does not tell anybody what is no longer so.
#[test]
fn a_primary_whose_clock_jumps_says_nothing_that_is_old() {
    for (seed, jump_ms) in [(27, -3_600_000), (28, 3_600_000)] {
        let mut story = Story::of(seed, 3);
        let old = story.primary();
        story.cluster.wall_clock(old).offset_ms.set(jump_ms);
        story.wait(5 * SECOND);
        story.append(20);
        let primary = story.primary();
        story.require(primary == old, "the clock has cost the primary its place");
        story.split(&[old]);
        story.cluster.wall_clock(old).offset_ms.set(2 * jump_ms);
        let creating = story.ask("creating a topic", |client, _| async move {
            client.create_topic("news", 1, 3).await
        });
        story.require(creating.is_ok(), format!("{creating:?}"));
        story.clients_reach_only(&[old]);
        let looking = story.ask("looking at a topic", |client, _| async move {
            client.topic_info("news").await
        });
        let is_stale = matches!(&looking, Err(error) if error.to_string().contains("no topic"));
        story.require(!is_stale, format!("{looking:?}"));
        story.mend();
        story.append(20);
        story.expect_whole();
    }
}

/// Something between the hosts forgets their connections, again and again. Nobody is away for long
/// enough to be held for dead.
#[test]
fn connections_that_are_reset_are_made_anew_and_cost_nothing_but_time() {
    let mut story = Story::of(27, 3);
    story.append(20);
    let leader = story.leader();
    for _ in 0..5 {
        let attempt = story.begin_append(200);
        story.wait(SECOND / 20);
        story.require(attempt.outcome().is_none(), "the append is over");
        story.reset();
        story.expect_acknowledged(&attempt);
    }
    story.expect_all();
    let now = story.leader();
    story.require(now == leader, "another one leads");
    story.expect_whole();
}
