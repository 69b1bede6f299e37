//! A minority of the disks is damaged, and neither leads by what it has left nor erases the rest.

use std::path::Path;
use std::time::Duration;

use quorate_client::{Error, Limit};
use quorate_tests::simulation::Shape;
use quorate_tests::simulation::story::{Story, TOPIC};

const SECOND: Duration = Duration::from_secs(1);

fn is_log(path: &Path) -> bool {
    path.extension().is_some_and(|it| it == "log")
}

/// So that there are several in a log, and some are closed.
fn small_segments() -> Shape {
    let mut shape = Shape::default();
    shape.storage.segment_bytes = 8 << 10;
    shape
}

fn is_named(path: &Path, prefix: &str) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    name.is_some_and(|name| name.starts_with(prefix))
}

/// The leader's own log rots while it is off; it comes back, and nobody believes it.
#[test]
fn a_damaged_log_of_one_node_costs_no_record() {
    let mut story = Story::begin(60, &small_segments(), 3);
    story.append(200);
    let leader = story.leader();
    story.crash(&[leader]);
    story.rot(leader, is_log);
    story.start(&[leader]);
    story.append(20);
    story.expect_all();
    story.require(
        story.told("records are damaged") > 0,
        "nobody saw the damage",
    );
    story.expect_whole();
}

/// All nodes lose their power, and the log rots that the leader had. With it and one other node
/// there is a majority, but nobody knows that nothing was committed without the other: they wait.
#[test]
fn a_damaged_node_does_not_lead_a_cluster_that_starts_again() {
    let mut story = Story::begin(61, &small_segments(), 3);
    story.append(200);
    let leader = story.leader();
    let followers = story.followers();
    story.crash(&[1, 2, 3]);
    story.rot(leader, is_log);
    story.start(&[leader, followers[0]]);
    story.append_in_vain(5);
    story.start(&followers[1..]);
    story.expect_all();
    story.expect_whole();
}

/// What one node knows of topics and nodes is damaged. It learns it anew, and deletes nothing that
/// it does not know any more.
#[test]
fn a_damaged_journal_or_checkpoint_deletes_no_topic() {
    for (seed, part) in [(62, "journal-"), (63, "checkpoint-")] {
        let mut story = Story::of(seed, 3);
        story.append(50);
        change_often(&mut story);
        let primary = story.primary();
        story.crash(&[1, 2, 3]);
        story.rot(primary, |path| is_named(path, part));
        story.start(&[1, 2, 3]);
        story.wait(10 * SECOND);
        let listing = story.ask("listing topics", |client, _| async move {
            client.list_topics().await
        });
        let topics = listing.map(|topics| topics.len());
        story.require(matches!(topics, Ok(11)), format!("{topics:?}"));
        story.append(50);
        story.expect_whole();
    }
}

/// Ten more topics, and more operations than a node keeps without a checkpoint.
fn change_often(story: &mut Story) {
    let changed = story.ask("changing topics", |client, _| async move {
        for number in 0..10 {
            let name = format!("topic-{number}");
            client.create_topic(&name, 1, 3).await?;
        }
        for bytes in 0..1050 {
            let bytes = Limit::Set((1 << 40) + bytes);
            client.retain_topic(TOPIC, Limit::Keep, bytes).await?;
        }
        Ok::<_, Error>(())
    });
    story.require(changed.is_ok(), format!("{changed:?}"));
}

/// Every node has lost something else, and the others come by it late: between them they have all
/// of it.
#[test]
fn damage_here_and_there_leaves_a_good_copy_of_everything() {
    let mut shape = small_segments();
    shape.storage.scrub_rest = 20 * SECOND;
    let mut story = Story::begin(64, &shape, 3);
    let mut logs = 0;
    for node in [1, 2, 3] {
        story.append(100);
        story.stop(node);
        logs += story.rot_at(node, u64::from(node), is_log);
        story.start(&[node]);
        story.wait(5 * SECOND);
    }
    story.require(logs >= 3, "too little was damaged");
    // Every disk is looked through at least once.
    story.wait(30 * SECOND);
    story.require(
        story.told("damaged records are good again") >= 3,
        "too little was mended",
    );
    story.expect_whole();
}
