//! A fixed set of random runs, and a proof that the same seed is the same run.

use quorate_model::{Campaign, Finding, Protocol, simulate};

fn campaign(protocol: Protocol, seeds: u64) -> Campaign {
    Campaign {
        protocols: vec![protocol],
        first: 0,
        seeds,
        failures_max: 1,
    }
}

#[test]
fn a_group_in_a_bad_world_stays_consistent_and_goes_on() {
    assert_eq!(
        simulate(&campaign(Protocol::Group, 2000)),
        Finding::Holds,
        "what went wrong is printed above"
    );
}

#[test]
fn acknowledged_records_survive_every_random_history() {
    assert_eq!(
        simulate(&campaign(Protocol::Partition, 4000)),
        Finding::Holds,
        "what went wrong is printed above"
    );
}

#[test]
fn the_same_seed_gives_the_same_run_and_another_one_another() {
    for protocol in [Protocol::Group, Protocol::Partition] {
        for seed in 0..200 {
            let (run, again) = (protocol.run(seed), protocol.run(seed));
            assert_eq!(run.trace, again.trace, "{protocol}, seed {seed}");
            assert_eq!(run.steps, again.steps, "{protocol}, seed {seed}");
            assert_ne!(run.trace, protocol.run(seed + 1).trace);
        }
    }
}
