use quorate_vsr::group::Timer;

use crate::group::{Bounds, Change};
use crate::scope::{Preset, Scope};

/// All that three voters have.
const NOBODY: &[u16] = &[1, 2, 3];

pub(super) const SCOPES: &[Scope] = &[
    Scope::group(
        Preset::Seconds,
        "group-slow-disk",
        "a primary, one backup and an operation, and disks that take their time",
        Bounds {
            proposals: 1,
            crashes: 1,
            restarts: false,
            slow_disk: true,
            cut: &[&[3]],
            ..Bounds::NOTHING
        },
    ),
    Scope::group(
        Preset::Seconds,
        "group-promise-crash",
        "a view change of two, and a crash while a promise is on its way to the disk",
        Bounds {
            timeouts: 2,
            crashes: 1,
            restarts: false,
            slow_disk: true,
            cut: &[NOBODY, &[1]],
            ..Bounds::NOTHING
        },
    ),
    Scope::group(
        Preset::Hour,
        "group-older-log",
        "a primary prepares what nobody hears, and is needed for the view after the next one",
        Bounds {
            proposals: 3,
            timeouts: 4,
            timers: &[Timer::PrimarySilent, Timer::ViewChangeStalled],
            cut: &[NOBODY, &[1], &[2], NOBODY, NOBODY],
            ..Bounds::NOTHING
        },
    ),
    Scope::group(
        Preset::Seconds,
        "group-deposed",
        "a primary goes on with its backup while another one takes over",
        Bounds {
            proposals: 1,
            timeouts: 2,
            timers: &[Timer::PrimarySilent, Timer::QuorumSilent],
            echoes: true,
            cut: &[&[2], &[3], NOBODY],
            ..Bounds::NOTHING
        },
    ),
    Scope::group(
        Preset::Seconds,
        "group-repeated-request",
        "a client asks the next primary once more",
        Bounds {
            requests: 1,
            timeouts: 2,
            cut: &[&[3], &[1], NOBODY],
            ..Bounds::NOTHING
        },
    ),
    Scope::group(
        Preset::Hour,
        "group-lease",
        "a read at a primary that has been replaced and does not know it",
        Bounds {
            requests: 1,
            reads: 1,
            timeouts: 2,
            cut: &[NOBODY, &[1], NOBODY],
            ..Bounds::NOTHING
        },
    ),
    Scope::group(
        Preset::Seconds,
        "group-damaged-entry",
        "a backup cannot read what it acknowledged, and leads without the primary before it",
        Bounds {
            proposals: 1,
            timeouts: 1,
            crashes: 1,
            mortals: &[2],
            damages: 1,
            cut: &[&[3], &[1], NOBODY],
            ..Bounds::NOTHING
        },
    ),
    Scope::group(
        Preset::Hour,
        "group-lost-disk",
        "a backup comes back with a blank disk, while a view changes without the primary",
        Bounds {
            nodes: 4,
            proposals: 1,
            timeouts: 2,
            crashes: 1,
            mortals: &[3],
            lost_disks: 1,
            echoes: true,
            changes: &[Change::Add(4)],
            steps: 1,
            cut: &[&[2, 4], &[1, 4], &[1, 2, 3, 4]],
            ..Bounds::NOTHING
        },
    ),
    Scope::group(
        Preset::Seconds,
        "group-hasty-change",
        "a primary that nobody hears takes the votes of the others, who change the view",
        Bounds {
            timeouts: 2,
            changes: &[Change::Demote(3), Change::Demote(2)],
            steps: 2,
            cut: &[NOBODY, &[1], NOBODY],
            ..Bounds::NOTHING
        },
    ),
];
