use crate::partition::{Assignment, Bounds};
use crate::scope::{Preset, Scope};

pub(super) const SCOPES: &[Scope] = &[
    Scope::partition(
        Preset::Seconds,
        "partition-slow-disk",
        "one leader, one follower, a record and a crash, and disks that take their time",
        Bounds {
            epochs: &[Assignment::led_by(1).without(&[3])],
            appends: 1,
            crashes: 1,
            slow_disk: true,
            ..Bounds::NOTHING
        },
    ),
    Scope::partition(
        Preset::Seconds,
        "partition-older-log",
        "a leader that wrote what nobody else has leads again, after another one",
        Bounds {
            epochs: &[
                Assignment::led_by(1).without(&[2]),
                Assignment::led_by(2).without(&[1]),
                Assignment::led_by(1).without(&[3]),
            ],
            appends: 2,
            ..Bounds::NOTHING
        },
    ),
    Scope::partition(
        Preset::Seconds,
        "partition-log-start",
        "a record expires before a follower has heard of it, in the second epoch or before it",
        Bounds {
            epochs: &[
                Assignment::led_by(1).without(&[3]),
                Assignment::led_by(2).without(&[1]),
            ],
            appends: 1,
            expiries: 1,
            ..Bounds::NOTHING
        },
    ),
    Scope::partition(
        Preset::Minutes,
        "partition-log-start-crash",
        "a record expires, and somebody crashes while that is on its way to the disks",
        Bounds {
            epochs: &[
                Assignment::led_by(1).without(&[3]),
                Assignment::led_by(1).without(&[2]),
            ],
            appends: 1,
            expiries: 1,
            crashes: 1,
            slow_disk: true,
            ..Bounds::NOTHING
        },
    ),
    Scope::partition(
        Preset::Seconds,
        "partition-compacted-repair",
        "two replicas compact a record, which is damaged at one of them",
        Bounds {
            nodes: 2,
            epochs: &[Assignment {
                voters: &[1, 2],
                ..Assignment::led_by(1)
            }],
            appends: 1,
            compactions: 2,
            damages: 1,
            ..Bounds::NOTHING
        },
    ),
    Scope::partition(
        Preset::Seconds,
        "partition-compacted-loss",
        "two replicas compact a record, and one of them loses it and gets it again",
        Bounds {
            nodes: 2,
            epochs: &[Assignment {
                voters: &[1, 2],
                ..Assignment::led_by(1)
            }],
            appends: 1,
            compactions: 2,
            crashes: 1,
            losses: 1,
            ..Bounds::NOTHING
        },
    ),
    Scope::partition(
        Preset::Seconds,
        "partition-compacted-learner",
        "a leader compacts two records, of which a learner may have the first one only",
        Bounds {
            nodes: 2,
            epochs: &[Assignment {
                voters: &[1],
                learners: &[2],
                ..Assignment::led_by(1)
            }],
            appends: 2,
            compactions: 2,
            slow_links: true,
            ..Bounds::NOTHING
        },
    ),
    Scope::partition(
        Preset::Seconds,
        "partition-half-filled",
        "a follower that lags behind in the second epoch leads the third one",
        Bounds {
            epochs: &[
                Assignment::led_by(1).without(&[3]),
                Assignment::led_by(1).without(&[2]),
                Assignment::led_by(3).without(&[1]),
            ],
            appends: 1,
            ..Bounds::NOTHING
        },
    ),
    Scope::partition(
        Preset::Minutes,
        "partition-diverged",
        "the first leader follows the second one, with a record that nobody else has",
        Bounds {
            epochs: &[
                Assignment::led_by(1).without(&[3]),
                Assignment::led_by(2).without(&[1]),
                Assignment::led_by(2).without(&[3]),
            ],
            appends: 2,
            ..Bounds::NOTHING
        },
    ),
    Scope::partition(
        Preset::Seconds,
        "partition-deposed",
        "a leader goes on with its follower while another one takes over",
        Bounds {
            epochs: &[
                Assignment::led_by(1).without(&[2]),
                Assignment::led_by(2).without(&[3]),
            ],
            appends: 2,
            ..Bounds::NOTHING
        },
    ),
    Scope::partition(
        Preset::Seconds,
        "partition-lost-end",
        "a follower loses the end of its log, and leads without the leader before it",
        Bounds {
            epochs: &[
                Assignment::led_by(1).without(&[3]),
                Assignment::led_by(2).without(&[1]),
            ],
            appends: 1,
            crashes: 1,
            losses: 1,
            ..Bounds::NOTHING
        },
    ),
    Scope::partition(
        Preset::Seconds,
        "partition-joint",
        "a fourth node comes, and one of the others leads who had no part in the epoch before",
        Bounds {
            nodes: 4,
            epochs: &[
                Assignment::led_by(1).without(&[3]),
                Assignment {
                    voters: &[1, 3, 4],
                    previous: &[1, 2, 3],
                    ..Assignment::led_by(3).without(&[1])
                },
            ],
            appends: 1,
            ..Bounds::NOTHING
        },
    ),
];
