//! A few runs of every profile, and that a seed is one run, down to the last byte.

use quorate_tests::simulation::nemesis::Kind;
use quorate_tests::simulation::run::{Outcome, run, run_seed};
use quorate_tests::simulation::sometimes::Sometimes;
use quorate_tests::simulation::swarm::{Errand, Other, Plan, Profile};

fn clean(seeds: std::ops::Range<u64>, profile: Profile) -> Vec<Outcome> {
    let run = |seed| {
        let outcome = run_seed(seed, profile);
        let is_clean = outcome.problems.is_empty();
        assert!(is_clean, "{}\n{outcome}", outcome.timeline);
        outcome
    };
    seeds.map(run).collect()
}

/// That some runs prove nothing is in the nature of things; most do.
fn assert_worth(outcomes: &[Outcome]) {
    let worth = outcomes.iter().filter(|it| it.proves_nothing.is_none());
    assert!(2 * worth.count() > outcomes.len());
    assert!(outcomes.iter().all(|outcome| outcome.faults > 0));
}

#[test]
fn swarm_is_clean() {
    assert_worth(&clean(0..8, Profile::Swarm));
}

#[test]
fn healed_clusters_come_back() {
    assert_worth(&clean(1000..1004, Profile::Liveness));
}

#[test]
fn power_cuts_lose_nothing() {
    assert_worth(&clean(2000..2004, Profile::Disk));
}

#[test]
fn clusters_on_bad_disks_say_so_and_never_what_is_wrong() {
    assert_worth(&clean(3000..3003, Profile::Loud));
}

/// A run in which disks are lost, and partitions move to a fourth node and away from it.
fn replacing(seed: u64) -> Plan {
    let mut plan = Plan::draw(seed, Profile::Liveness);
    plan.shape.spares = 1;
    plan.nemesis.kinds = vec![
        Kind::Replace,
        Kind::Replace,
        Kind::Roll,
        Kind::Crash,
        Kind::Isolate,
        Kind::Ring,
        Kind::Reset,
    ];
    let other = |what| Other {
        what,
        pause_ms: 0..=1000,
    };
    plan.others = [Errand::Move, Errand::Join].map(other).to_vec();
    plan
}

#[test]
fn lost_disks_are_made_up_for_while_partitions_move() {
    let mut sometimes = Sometimes::default();
    for seed in 4000..4003 {
        let outcome = run(&replacing(seed));
        assert!(
            outcome.problems.is_empty(),
            "{}\n{outcome}",
            outcome.timeline
        );
        sometimes += &outcome.sometimes;
    }
    for name in [
        "a lost disk is given up and filled again",
        "all nodes are restarted, one after the other",
        "a partition has moved to other nodes",
    ] {
        assert!(!sometimes.never().contains(&name), "{name}: never");
    }
}

#[test]
fn one_seed_is_one_run_whatever_breaks() {
    let hash = |seed| run_seed(seed, Profile::Swarm).hash;
    let first = hash(50);
    assert_eq!(first, hash(50));
    assert_ne!(first, hash(51));
}
