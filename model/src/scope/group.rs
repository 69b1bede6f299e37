use quorate_vsr::group::Timer;

use super::{Preset, Scope};
use crate::group::{Bounds, Change};

/// All that three voters have.
const EVERYBODY: &[u16] = &[1, 2, 3];

pub(super) const SCOPES: &[Scope] = &[
    Scope::group(
        Preset::Seconds,
        "group-view-change",
        "a view change, and everything that a network can do",
        Bounds {
            timeouts: 2,
            ..Bounds::NOTHING
        },
    ),
    Scope::group(
        Preset::Seconds,
        "group-client",
        "a client that registers, and asks again and again",
        Bounds {
            requests: 1,
            is_registered: false,
            ..Bounds::NOTHING
        },
    ),
    Scope::group(
        Preset::Seconds,
        "group-prepare-crash",
        "an operation, and a backup that crashes while it is on its way to the disk",
        Bounds {
            proposals: 1,
            crashes: 1,
            mortals: &[2, 3],
            slow_disk: true,
            ..Bounds::NOTHING
        },
    ),
    // A primary that comes back asks for the next view, and is obeyed at once: so there is a whole
    // change of views in it, on disks that take their time.
    Scope::group(
        Preset::Seconds,
        "group-primary-crash",
        "an operation, and a primary that crashes and comes back as a backup of the next one",
        Bounds {
            proposals: 1,
            crashes: 1,
            mortals: &[1],
            slow_disk: true,
            cut: &[&[], &[3], EVERYBODY],
            ..Bounds::NOTHING
        },
    ),
    Scope::group(
        Preset::Seconds,
        "group-transfer",
        "an operation, and a primary that is asked to hand over",
        Bounds {
            proposals: 1,
            transfers: 1,
            cut: &[&[], &[3], &[2], EVERYBODY],
            ..Bounds::NOTHING
        },
    ),
    Scope::group(
        Preset::Seconds,
        "group-remove-voter",
        "a voter that becomes a standby, while the view changes",
        Bounds {
            proposals: 1,
            changes: &[Change::Demote(3)],
            steps: 1,
            timeouts: 2,
            cut: &[&[], &[1], EVERYBODY],
            ..Bounds::NOTHING
        },
    ),
    Scope::group(
        Preset::Seconds,
        "group-primary-leaves",
        "a primary that takes its own vote, and so has to hand over",
        Bounds {
            changes: &[Change::Demote(1)],
            steps: 1,
            ..Bounds::NOTHING
        },
    ),
    Scope::group(
        Preset::Seconds,
        "group-vote-back",
        "a voter that becomes a standby and a voter again, with a crash between",
        Bounds {
            changes: &[Change::Demote(3), Change::Promote(3)],
            steps: 2,
            crashes: 1,
            mortals: &[3],
            ..Bounds::NOTHING
        },
    ),
    Scope::group(
        Preset::Seconds,
        "group-add-standby",
        "a fourth node with a blank disk, which is made a standby and gets a checkpoint",
        Bounds {
            nodes: 4,
            proposals: 1,
            changes: &[Change::Add(4)],
            steps: 1,
            timeouts: 1,
            timers: &[Timer::Commit],
            checkpoint_interval: 1,
            cut: &[&[3]],
            ..Bounds::NOTHING
        },
    ),
    Scope::group(
        Preset::Seconds,
        "group-add-voter",
        "a fourth node with a blank disk, which is made a standby and then a voter",
        Bounds {
            nodes: 4,
            changes: &[Change::Add(4), Change::Promote(4)],
            steps: 2,
            timeouts: 1,
            timers: &[Timer::Commit],
            cut: &[&[3]],
            ..Bounds::NOTHING
        },
    ),
    Scope::group(
        Preset::Minutes,
        "group-add-voter-any",
        "a fourth node with a blank disk, which is made a standby and a voter, among all others",
        Bounds {
            nodes: 4,
            changes: &[Change::Add(4), Change::Promote(4)],
            steps: 2,
            timeouts: 1,
            timers: &[Timer::Commit],
            ..Bounds::NOTHING
        },
    ),
    Scope::group(
        Preset::Minutes,
        "group-stranger",
        "a voter that comes back with a blank disk, and is made a voter again step by step",
        Bounds {
            changes: &[
                Change::Demote(3),
                Change::ReplaceDisk(3),
                Change::Promote(3),
            ],
            steps: 3,
            crashes: 1,
            mortals: &[3],
            lost_disks: 1,
            ..Bounds::NOTHING
        },
    ),
    Scope::group(
        Preset::Hour,
        "group-prepare-crash-any",
        "an operation, and a crash of anybody while it is on its way to the disk",
        Bounds {
            proposals: 1,
            crashes: 1,
            slow_disk: true,
            ..Bounds::NOTHING
        },
    ),
    Scope::group(
        Preset::Hour,
        "group-three-views",
        "two operations and up to three views, and everything that a network can do",
        Bounds {
            proposals: 2,
            timeouts: 4,
            timers: &[Timer::PrimarySilent, Timer::ViewChangeStalled],
            ..Bounds::NOTHING
        },
    ),
    Scope::group(
        Preset::Minutes,
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
        Preset::Minutes,
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
        Preset::Hour,
        "group-wide",
        "many views, changes, crashes and lost messages: too many for a search, so it is walked",
        Bounds {
            nodes: 5,
            changes: &[
                Change::Add(4),
                Change::Promote(4),
                Change::Demote(3),
                Change::ReplaceDisk(3),
                Change::Promote(3),
                Change::Demote(1),
                Change::Drop(1),
                Change::Add(5),
                Change::Promote(5),
            ],
            steps: 9,
            transfers: 3,
            lost_disks: 1,
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
