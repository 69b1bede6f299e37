//! What a run is like: everything that is not the same in all of them is drawn from the seed.
//!
//! A run in which everything happens at once shows little, for most of it keeps the rest from
//! happening. So a run has only some of the faults, some of the clients, and its own sizes, and
//! many runs have them all.

use std::ops::RangeInclusive;
use std::time::Duration;

use quorate_jepsen::Keys;
use quorate_replica::config::Storage;
use quorate_replica::limits::Limits;
use rand::rngs::ChaCha8Rng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};

use super::Shape;
use super::disk::DiskFaults;
use super::nemesis::{self, Kind};
use super::workload::settle::Damage;
use super::workload::{Fate, Topic, consume, produce};

/// A kind of run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Profile {
    /// Anything.
    #[default]
    Swarm,
    /// Faults that take nodes and links away, one soon after the other, and then an end to it.
    Liveness,
    /// Crashes, one after the other, on small segments, and disks that fail and rot.
    Disk,
    /// The same, and nothing keeps every copy of a record from being damaged.
    Loud,
}

/// Everything that was drawn for a run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The seed.
    pub seed: u64,
    /// The cluster.
    pub shape: Shape,
    /// How long things break.
    pub trouble: Duration,
    /// What breaks, and how often.
    pub nemesis: nemesis::Habits,
    /// What is wrong with all disks.
    pub disk: DiskFaults,
    /// Whether nodes take their wall clocks for monotonic ones, as none should.
    pub is_steered_by_wall_clock: bool,
    /// Whether a good copy is left of everything, whatever is damaged.
    pub is_bounded: bool,
    /// The topics whose records stay, or go by rules.
    pub topics: Vec<Topic>,
    /// Whether records are deleted from the first topic.
    pub deletes_records: bool,
    /// The clients that do something else than write and read.
    pub others: Vec<Other>,
    /// The writers, and how they write.
    pub writers: u32,
    /// How all of them write.
    pub writing: produce::Habits,
    /// How all readers read.
    pub reading: consume::Habits,
}

/// A client that does something else than write and read, and how long it waits in between, in
/// milliseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Other {
    /// What it does.
    pub what: Errand,
    /// Its pauses.
    pub pause_ms: RangeInclusive<u64>,
}

/// What another client does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Errand {
    /// Topics without records come and go.
    Juggle,
    /// They are looked at.
    Look,
    /// A topic with records comes and goes.
    Recreate,
    /// The primary of the control plane is changed.
    Transfer,
    /// Partitions are moved to other nodes.
    Move,
    /// The nodes that are not among the founders join the cluster and leave it.
    Join,
    /// Partitions are looked at.
    Watch,
}

const ERRANDS: [Errand; 7] = [
    Errand::Juggle,
    Errand::Look,
    Errand::Recreate,
    Errand::Transfer,
    Errand::Move,
    Errand::Join,
    Errand::Watch,
];

impl Plan {
    /// Draws the run of `seed`.
    pub fn draw(seed: u64, profile: Profile) -> Self {
        // Another stream than those of the hosts.
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        random.set_stream(u64::MAX);
        let random = &mut random;
        let nodes = *[3, 3, 3, 5].choose(random).expect("there are some");
        let replication = match nodes {
            5 => *[3, 3, 5].choose(random).expect("there are some"),
            all => all,
        };
        let topics = topics(random, replication);
        let shape = shape(random, nodes, profile);
        // Who is never taken in is of no use.
        let others = ERRANDS.into_iter().filter(|errand| {
            let is_needed = *errand == Errand::Join && shape.spares > 0;
            random.random_bool(0.5) || is_needed
        });
        let others: Vec<_> = others.collect();
        let (mut kinds, mut disk) = (kinds(random, profile), disk(random, profile));
        damage_or_loss(random, &mut kinds, &mut disk);
        let pause = |what, random: &mut ChaCha8Rng| {
            let longest = *[100, 1000, 5000].choose(random).expect("there are some");
            let pause_ms = 0..=longest;
            Other { what, pause_ms }
        };
        Self {
            seed,
            shape,
            trouble: Duration::from_secs(random.random_range(50..=66)),
            nemesis: nemesis::Habits {
                kinds,
                pause_ms: match profile {
                    Profile::Liveness => (0, 1000),
                    Profile::Swarm | Profile::Disk | Profile::Loud => {
                        let longest = [500, 3000, 10_000];
                        (0, *longest.choose(random).expect("there are some"))
                    }
                },
                lasts_ms: (10, *[1000, 6000].choose(random).expect("there are some")),
            },
            is_steered_by_wall_clock: false,
            disk,
            is_bounded: profile != Profile::Loud,
            deletes_records: random.random_bool(0.3),
            others: others.into_iter().map(|what| pause(what, random)).collect(),
            topics,
            writers: random.random_range(1..=3),
            writing: writing(random),
            reading: consume::Habits {
                follow_every: random.random_range(0..=3),
                ..consume::Habits::default()
            },
        }
    }

    /// What may be damaged in it.
    pub fn damage(&self) -> Damage {
        let DiskFaults {
            latent_error, rot, ..
        } = self.disk;
        let is_damage = |kind: &Kind| matches!(kind, Kind::Rot | Kind::WearOut);
        match latent_error + rot > 0.0 || self.nemesis.kinds.iter().any(is_damage) {
            false => Damage::None,
            true if self.is_bounded => Damage::Mendable,
            true => Damage::Any,
        }
    }

    /// How many nodes hold each partition.
    pub fn replication(&self) -> u16 {
        self.topics[0].replication
    }
}

fn shape(random: &mut ChaCha8Rng, nodes: u16, profile: Profile) -> Shape {
    let segments: &[u64] = match profile {
        Profile::Disk | Profile::Loud => &[8 << 10, 16 << 10],
        Profile::Swarm | Profile::Liveness => &[8 << 10, 64 << 10, 1 << 20],
    };
    let slowest = *[2, 10, 50].choose(random).expect("there are some");
    let spares = match nodes {
        3 => random.random_range(0..=1),
        _ => 0,
    };
    Shape {
        nodes,
        spares,
        shards: random.random_range(1..=3),
        storage: Storage {
            segment_bytes: *segments.choose(random).expect("there are some"),
            retention_check: Duration::from_millis(random.random_range(100..=2000)),
            scrub_rest: Duration::from_millis(random.random_range(200..=5000)),
        },
        latency: Duration::ZERO..Duration::from_millis(slowest),
        takes_rare_paths: random.random_bool(0.5),
        limits: limits(random),
        ..Shape::default()
    }
}

/// Each of them is tiny in some runs.
fn limits(random: &mut ChaCha8Rng) -> Limits {
    let usual = Limits::default();
    let mut limits = Limits {
        open_files_max: one_of(random, [1, 3, usual.open_files_max]),
        writing_max: one_of(random, [1, 2, usual.writing_max]),
        uncommitted_bytes_max: one_of(random, [1, 8 << 10, usual.uncommitted_bytes_max]),
        unflushed_bytes_max: one_of(random, [1, 8 << 10, usual.unflushed_bytes_max]),
        reading_bytes_max: one_of(random, [1, 8 << 10, usual.reading_bytes_max]),
        early_max: one_of(random, [1, usual.early_max]),
        ..usual
    };
    let group = &mut limits.group;
    group.checkpoint_interval = one_of(random, [4, 16, 64, group.checkpoint_interval]);
    group.pipeline_max = one_of(random, [2, 8, group.pipeline_max]);
    group.reads_max = one_of(random, [2, group.reads_max]);
    let usual = group.state_transfer_bytes_max;
    group.state_transfer_bytes_max = one_of(random, [256, 4096, usual]);
    limits
}

fn one_of<T: Copy, const N: usize>(random: &mut ChaCha8Rng, choices: [T; N]) -> T {
    *choices.choose(random).expect("there are some")
}

fn topics(random: &mut ChaCha8Rng, replication: u16) -> Vec<Topic> {
    let kept = Topic {
        name: "kept".to_owned(),
        partitions: random.random_range(1..=4),
        replication,
        fate: Fate::Kept,
    };
    let mut topics = vec![kept];
    if random.random_bool(0.4) {
        let keys = Keys {
            count: random.random_range(5..=50),
            tombstone_every: random.random_range(0..=20),
            tombstones_stay: Duration::from_secs(random.random_range(1..=5)),
        };
        topics.push(Topic {
            name: "compacted".to_owned(),
            partitions: random.random_range(1..=2),
            replication,
            fate: Fate::Compacted(keys),
        });
    }
    topics
}

fn writing(random: &mut ChaCha8Rng) -> produce::Habits {
    let largest = *[100, 400, 3000].choose(random).expect("there are some");
    let burst = *[2, 20, 100].choose(random).expect("there are some");
    produce::Habits {
        burst: 1..=burst,
        value_bytes: 0..=largest,
        pause_ms: 0..=*[50, 500].choose(random).expect("there are some"),
        ..produce::Habits::default()
    }
}

/// On a slow disk a write is still under way when the power fails. A disk that fails an operation
/// costs a node its life until it is started again, so that has to be rare.
fn disk(random: &mut ChaCha8Rng, profile: Profile) -> DiskFaults {
    let slowest = *[2, 10, 100].choose(random).expect("there are some");
    let slow = DiskFaults {
        slow: *[0.0, 0.05, 0.3].choose(random).expect("there are some"),
        slow_max: Duration::from_millis(slowest),
        ..DiskFaults::default()
    };
    let fails = match profile {
        Profile::Swarm => 0.3,
        Profile::Liveness => 0.0,
        Profile::Disk | Profile::Loud => 0.7,
    };
    if !random.random_bool(fails) {
        return slow;
    }
    let mut rare = |chances: [f64; 3]| *chances.choose(random).expect("there are some");
    DiskFaults {
        read_error: rare([0.0, 0.0, 1e-4]),
        write_error: rare([0.0, 1e-5, 1e-4]),
        sync_error: rare([0.0, 1e-5, 1e-4]),
        latent_error: rare([0.0, 1e-4, 1e-3]),
        rot: rare([0.0, 1e-4, 1e-3]),
        ..slow
    }
}

fn kinds(random: &mut ChaCha8Rng, profile: Profile) -> Vec<Kind> {
    let all: &[Kind] = match profile {
        Profile::Swarm => &Kind::ALL,
        Profile::Liveness => &[
            Kind::Kill,
            Kind::Stop,
            Kind::Roll,
            Kind::Pause,
            Kind::Cut,
            Kind::Ring,
            Kind::Reset,
            Kind::Isolate,
        ],
        Profile::Disk | Profile::Loud => &[
            Kind::Crash,
            Kind::CrashMany,
            Kind::Kill,
            Kind::Fill,
            Kind::Stall,
            Kind::Rot,
            Kind::WearOut,
        ],
    };
    let kinds = all.iter().copied().filter(|_| random.random_bool(0.6));
    let kinds: Vec<_> = kinds.collect();
    match kinds.is_empty() {
        true => all.to_vec(),
        false => kinds,
    }
}

/// A run in which a whole disk is lost has no other damage: of three copies of a record only one
/// may be lost, and the rules of damage and of loss do not know of each other.
fn damage_or_loss(random: &mut ChaCha8Rng, kinds: &mut Vec<Kind>, disk: &mut DiskFaults) {
    if !kinds.contains(&Kind::Replace) {
        return;
    }
    if kinds.len() == 1 || random.random_bool(0.7) {
        kinds.retain(|kind| !matches!(kind, Kind::Rot | Kind::WearOut));
        (disk.latent_error, disk.rot) = (0.0, 0.0);
    } else {
        kinds.retain(|kind| *kind != Kind::Replace);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn runs_differ_and_a_seed_is_one_plan() {
        let draw = |seed| format!("{:?}", Plan::draw(seed, Profile::Swarm));
        assert_eq!(draw(1), draw(1));
        let plans: BTreeSet<_> = (0..50).map(draw).collect();
        assert_eq!(plans.len(), 50);
    }

    #[test]
    fn every_fault_and_every_errand_has_its_runs() {
        let plans: Vec<_> = (0..50)
            .map(|seed| Plan::draw(seed, Profile::Swarm))
            .collect();
        for kind in Kind::ALL {
            let has = |plan: &&Plan| plan.nemesis.kinds.contains(&kind);
            let with = plans.iter().filter(has).count();
            assert!((5..50).contains(&with), "{kind:?}: {with}");
        }
        for errand in ERRANDS {
            let has = |plan: &&Plan| plan.others.iter().any(|other| other.what == errand);
            let with = plans.iter().filter(has).count();
            assert!((5..50).contains(&with), "{errand:?}: {with}");
        }
    }
}
