//! What the command line tells of topics is the truth, whichever node it is pointed at.

use std::process::Stdio;
use std::thread;
use std::time::Duration;

use quorate_jepsen::{Cluster, Failure, Options, PATIENCE, wait_until};
use quorate_tests::{assert_clear_error, sure, take_turn};

fn cluster() -> Cluster {
    let cluster = sure(Cluster::start(Options::default()));
    sure(cluster.wait_whole(PATIENCE));
    cluster
}

#[test]
fn topics_that_were_created_through_one_node_are_listed_by_the_next() {
    let _turn = take_turn();
    let cluster = cluster();
    let ids = cluster.node_ids();
    for number in 0..6 {
        let name = format!("topic-{number}");
        let one = cluster.command_line_of(ids[number % ids.len()]);
        let next = cluster.command_line_of(ids[(number + 1) % ids.len()]);
        sure(one.create_topic(&name, 1, 3));
        assert!(sure(next.topics()).contains(&name), "{name} is missing");
    }
}

/// A primary that stands still does not know that it was replaced. When it goes on, it does not
/// tell what it knew before.
#[test]
fn primary_that_was_replaced_while_it_slept_does_not_tell_from_its_memory() {
    let _turn = take_turn();
    let mut cluster = cluster();
    sure(cluster.command_line().create_topic("old", 1, 3));
    for round in 0..3 {
        let stale = sure(cluster.primary());
        // Its lease is as fresh as can be.
        let name = format!("fresh-{round}");
        sure(cluster.command_line_of(stale).create_topic(&name, 1, 3));
        sure(cluster.pause(stale));
        let others = cluster.node_ids().into_iter().filter(|id| *id != stale);
        let other = cluster.command_line_of(others.min().expect("there are three nodes"));
        let name = format!("new-{round}");
        sure(wait_until("the others go on", PATIENCE, || {
            other.create_topic(&name, 1, 1)
        }));

        // What these ask waits in the sockets of the sleeper, and meets it when it wakes up.
        let ask = || {
            let mut command = cluster.command_line_of(stale).command(&["topic", "list"]);
            command.stdout(Stdio::piped()).stderr(Stdio::piped());
            command.spawn().expect("the command line can be started")
        };
        let asking: Vec<_> = (0..3).map(|_| ask()).collect();
        thread::sleep(Duration::from_millis(300));
        sure(cluster.resume(stale));
        for child in asking {
            let output = child.wait_with_output().expect("it comes to its end");
            let told = String::from_utf8_lossy(&output.stdout);
            let is_true = !output.status.success() || told.contains(&name);
            assert!(is_true, "without {name}:\n{told}");
        }
        sure(wait_until(
            "the sleeper has caught up",
            PATIENCE,
            || match sure(cluster.command_line_of(stale).topics()).contains(&name) {
                true => Ok(()),
                false => Err(Failure::new("it lists topics without the new one")),
            },
        ));
        sure(cluster.wait_whole(PATIENCE));
    }
}

#[test]
fn without_a_primary_the_list_of_topics_is_refused_with_a_clear_error() {
    let _turn = take_turn();
    let mut cluster = cluster();
    sure(cluster.command_line().create_topic("old", 1, 3));
    let ids = cluster.node_ids();
    for id in &ids[1..] {
        sure(cluster.kill(*id));
    }
    // The survivor may be the primary, and sure of it for a moment still.
    let survivor = cluster.command_line_of(ids[0]);
    let finished = sure(wait_until("the list is refused", PATIENCE, || {
        let finished = survivor.finish(&["topic", "list"])?;
        match finished.success {
            true => Err(Failure::new("it is told")),
            false => Ok(finished),
        }
    }));
    assert_clear_error(&finished, "topic list", &["list of topics", "primary"]);
    assert!(finished.stdout.is_empty());
}
