//! Disks and nodes come and go.

use std::time::Duration;

use quorate_client::NodeDescription;
use quorate_platform::Tasks;
use quorate_tests::simulation::Shape;
use quorate_tests::simulation::story::{Story, TOPIC};

const SECOND: Duration = Duration::from_secs(1);

fn with_spare() -> Shape {
    Shape {
        spares: 1,
        ..Shape::default()
    }
}

/// Has node 4, which is off, belong to the cluster and run.
fn add_fourth(story: &mut Story) {
    let address = story.cluster.config(4).control_address;
    let adding = story.ask("adding a node", move |client, _| async move {
        client.add_node(4, address).await
    });
    story.require(adding.is_ok(), format!("{adding:?}"));
    story.start(&[4]);
    let is_there = story.ask("waiting for a node", |client, desk| async move {
        for _ in 0..300 {
            let nodes = client.describe_nodes().await.unwrap_or_default();
            let is_up = |node: &NodeDescription| {
                node.member.id == 4 && node.info.as_ref().is_some_and(|it| it.alive)
            };
            if nodes.iter().any(is_up) {
                return true;
            }
            desk.platform.sleep(SECOND / 10).await;
        }
        false
    });
    story.require(is_there, "node 4 is not there");
}

fn remove(story: &mut Story, node: u16) {
    let removing = story.ask("removing a node", move |client, _| async move {
        client.remove_node(node, false).await
    });
    story.require(removing.is_ok(), format!("{removing:?}"));
}

fn wait_holders(story: &mut Story, holders: &[u16]) {
    for _ in 0..300 {
        let info = story.partition().info;
        if info.is_settled() && info.voters == holders {
            return;
        }
        story.wait(SECOND / 5);
    }
    let info = story.partition().info;
    story.require(false, format!("{info:?} is not settled on {holders:?}"));
}

/// It takes part in nothing before it is given up, and has everything afterwards.
#[test]
fn a_lost_disk_is_given_up_and_filled_again() {
    let mut story = Story::of(80, 3);
    story.append(50);
    let lost = story.leader();
    let others = story.others(&[lost]);
    story.lose_disk(lost);
    story.append(50);
    // The empty one and one other are no majority.
    story.crash(&others[..1]);
    story.append_in_vain(5);
    story.start(&others[..1]);
    story.recover(lost);
    story.append(50);
    wait_holders(&mut story, &[1, 2, 3]);
    story.wait(5 * SECOND);
    // Now it counts: without another one everything is there.
    story.crash(&others[..1]);
    story.append(50);
    story.expect_all();
    story.start(&others[..1]);
    story.expect_whole();
}

/// One after the other loses its disk, so that nobody has anything from its own past.
#[test]
fn all_disks_are_replaced_one_after_the_other() {
    let mut story = Story::of(81, 3);
    for node in [1, 2, 3] {
        story.append(50);
        story.lose_disk(node);
        story.recover(node);
        story.append(50);
        wait_holders(&mut story, &[1, 2, 3]);
        story.wait(10 * SECOND);
    }
    story.expect_whole();
}

/// A node is dead for good, with its disk, and another one takes its place.
#[test]
fn a_dead_node_is_replaced_by_another() {
    let mut story = Story::begin(82, &with_spare(), 3);
    story.append(100);
    let dead = story.leader();
    story.crash(&[dead]);
    add_fourth(&mut story);
    story.append(50);
    remove(&mut story, dead);
    let holders = story.others(&[dead]);
    wait_holders(&mut story, &holders);
    story.append(50);
    story.expect_whole();
}

/// The members change while one of them hears nothing of it, and it comes back with what it knew.
#[test]
fn members_change_behind_the_back_of_one_that_is_cut_off() {
    for (seed, is_leader) in [(83, true), (84, false)] {
        let mut story = Story::begin(seed, &with_spare(), 3);
        story.append(50);
        let away = match is_leader {
            true => story.leader(),
            false => story.followers()[0],
        };
        story.split(&[away]);
        add_fourth(&mut story);
        story.append(50);
        remove(&mut story, away);
        let holders = story.others(&[away]);
        wait_holders(&mut story, &holders);
        story.append(50);
        story.mend();
        story.wait(10 * SECOND);
        story.expect_all();
        story.expect_whole();
    }
}

/// A partition moves, and every node that takes part in it crashes at some time.
#[test]
fn a_partition_moves_while_nodes_crash() {
    let mut story = Story::begin(85, &with_spare(), 3);
    story.append(100);
    add_fourth(&mut story);
    for (crashing, replicas) in [(4, [2, 3, 4]), (1, [1, 2, 4]), (2, [1, 2, 3])] {
        let altering = story.ask("moving the topic", move |client, _| async move {
            client.alter_topic(TOPIC, None, &replicas).await
        });
        story.require(altering.is_ok(), format!("{altering:?}"));
        story.wait(Duration::from_millis(300));
        story.crash(&[crashing]);
        let attempt = story.begin_append(50);
        story.wait(3 * SECOND);
        story.start(&[crashing]);
        story.expect_acknowledged(&attempt);
        wait_holders(&mut story, &replicas);
    }
    story.expect_whole();
}
