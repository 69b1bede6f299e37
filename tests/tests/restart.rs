//! A node that returns: it takes up its share again, and says nothing that it does not know.

use std::thread;

use quorate_jepsen::{Cluster, Failure, PATIENCE, wait_until};
use quorate_tests::{TOPIC, cluster_with_topic, sure, take_turn, wait_led_by_another};

fn leads(cluster: &Cluster, id: u16) -> Result<usize, Failure> {
    let partitions = cluster.command_line().partitions(TOPIC)?;
    Ok(partitions
        .iter()
        .filter(|partition| partition.leader == id)
        .count())
}

#[test]
fn leadership_is_spread_again_when_a_node_returns() {
    let _turn = take_turn();
    let mut cluster = cluster_with_topic(6);
    for id in cluster.node_ids() {
        let count = sure(leads(&cluster, id));
        assert_eq!(count, 2, "node {id} should lead a third of the partitions");
    }
    let victim = sure(cluster.leader(TOPIC, 0));
    sure(cluster.kill(victim));
    wait_led_by_another(&cluster, 0, victim);
    sure(cluster.restart(victim));
    sure(wait_until(
        "the node leads its share again",
        PATIENCE,
        || match leads(&cluster, victim)? {
            2 => Ok(()),
            count => Err(Failure::new(format!("it leads {count}"))),
        },
    ));
}

#[test]
fn restarted_node_does_not_deny_topics_that_it_has_not_heard_of_yet() {
    let _turn = take_turn();
    let mut cluster = cluster_with_topic(1);
    let line = cluster.command_line_of(3);
    for _ in 0..3 {
        sure(cluster.kill(3));
        // Asked without a pause from the first moment at which it answers at all.
        thread::scope(|scope| {
            let asking = scope.spawn(|| {
                loop {
                    let finished = sure(line.finish(&["topic", "describe", TOPIC]));
                    let denied = finished.stderr.contains("no topic");
                    if finished.success || denied {
                        return denied;
                    }
                }
            });
            sure(cluster.restart(3));
            assert!(
                !asking.join().unwrap(),
                "a node that knows nothing denied a topic"
            );
        });
    }
}
