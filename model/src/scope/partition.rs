use super::{Preset, Scope};
use crate::partition::{Assignment, Bounds};

const TWO_LEADERS: Bounds = Bounds {
    epochs: &[Assignment::led_by(1), Assignment::led_by(2)],
    ..Bounds::NOTHING
};

const CRASH: Bounds = Bounds {
    crashes: 1,
    slow_disk: true,
    ..TWO_LEADERS
};

pub(super) const SCOPES: &[Scope] = &[
    Scope::partition(
        Preset::Seconds,
        "partition-takeover",
        "two leaders, one record, everything that a network can do",
        Bounds {
            appends: 1,
            ..TWO_LEADERS
        },
    ),
    Scope::partition(
        Preset::Seconds,
        "partition-promise-crash",
        "two leaders, and a crash while promises are on their way to the disk",
        Bounds {
            timeouts: 1,
            ..CRASH
        },
    ),
    Scope::partition(
        Preset::Seconds,
        "partition-record-crash",
        "one leader, and a crash of anybody before or after a record is on its disk",
        Bounds {
            epochs: &[Assignment::led_by(1)],
            appends: 1,
            slow_disk: false,
            ..CRASH
        },
    ),
    Scope::partition(
        Preset::Minutes,
        "partition-loss",
        "two leaders, one record, and a disk that loses the end of its log",
        Bounds {
            appends: 1,
            crashes: 1,
            losses: 1,
            timeouts: 1,
            ..TWO_LEADERS
        },
    ),
    Scope::partition(
        Preset::Minutes,
        "partition-damage",
        "two leaders, one record, and a record that becomes unreadable on one disk",
        Bounds {
            appends: 1,
            damages: 1,
            ..TWO_LEADERS
        },
    ),
    Scope::partition(
        Preset::Minutes,
        "partition-new-voter",
        "a fourth node takes the place of one of three, by a joint epoch",
        Bounds {
            nodes: 4,
            epochs: &[
                Assignment {
                    learners: &[4],
                    ..Assignment::led_by(1)
                },
                Assignment {
                    voters: &[1, 2, 4],
                    previous: &[1, 2, 3],
                    ..Assignment::led_by(1)
                },
                Assignment {
                    voters: &[1, 2, 4],
                    ..Assignment::led_by(2)
                },
            ],
            appends: 1,
            ..Bounds::NOTHING
        },
    ),
    Scope::partition(
        Preset::Hour,
        "partition-three-leaders",
        "three leaders, two records, everything that a network can do",
        Bounds {
            epochs: &[
                Assignment::led_by(1),
                Assignment::led_by(2),
                Assignment::led_by(3),
            ],
            appends: 2,
            ..Bounds::NOTHING
        },
    ),
    Scope::partition(
        Preset::Hour,
        "partition-crash",
        "two leaders, one record, a crash of anybody, and disks that take their time",
        Bounds {
            appends: 1,
            timeouts: 1,
            ..CRASH
        },
    ),
    Scope::partition(
        Preset::Hour,
        "partition-wide",
        "five epochs, twelve records, crashes, losses: too many for a search, so it is walked",
        Bounds {
            epochs: &[
                Assignment::led_by(1),
                Assignment::led_by(2),
                Assignment::led_by(3),
                Assignment::led_by(1),
                Assignment::led_by(2),
            ],
            appends: 12,
            crashes: 4,
            losses: 1,
            damages: 2,
            expiries: 3,
            compactions: 6,
            timeouts: 12,
            slow_disk: true,
            slow_links: true,
            followers_are_told: true,
            room: Some(40),
            ..Bounds::NOTHING
        },
    ),
];
