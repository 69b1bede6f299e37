use quorate_vsr::group::Timer;

use super::{Preset, Scope};
use crate::group::Bounds;

pub(super) const SCOPES: &[Scope] = &[
    Scope::group(
        Some(Preset::Seconds),
        "group-view-change",
        "a view change, and everything that a network can do",
        Bounds {
            timeouts: 2,
            ..Bounds::NOTHING
        },
    ),
    Scope::group(
        Some(Preset::Seconds),
        "group-client",
        "a client that registers, and asks again and again",
        Bounds {
            requests: 1,
            is_registered: false,
            ..Bounds::NOTHING
        },
    ),
    Scope::group(
        Some(Preset::Minutes),
        "group-prepare-crash",
        "an operation, and a crash while it is on its way to the disk",
        Bounds {
            proposals: 1,
            crashes: 1,
            slow_disk: true,
            ..Bounds::NOTHING
        },
    ),
    Scope::group(
        Some(Preset::Minutes),
        "group-damage",
        "an operation, and an entry of a journal that becomes unreadable",
        Bounds {
            proposals: 1,
            crashes: 1,
            damages: 1,
            timeouts: 1,
            ..Bounds::NOTHING
        },
    ),
    Scope::group(
        Some(Preset::Minutes),
        "group-read",
        "two requests and a read, while the primary changes and leases end at their times",
        Bounds {
            requests: 2,
            reads: 1,
            timeouts: 2,
            ..Bounds::NOTHING
        },
    ),
    Scope::group(
        None,
        "group-wide",
        "many views, operations, requests, crashes and lost messages: only for walks",
        Bounds {
            proposals: 8,
            requests: 4,
            timeouts: 24,
            timers: &Timer::ALL,
            crashes: 4,
            damages: 2,
            reads: 6,
            slow_disk: true,
            checkpoint_interval: 3,
            room: Some(40),
            ..Bounds::NOTHING
        },
    ),
];
