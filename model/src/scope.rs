//! How far the checks go.
//!
//! Each of the narrow bounds leaves out what another one has, so that all of its states can be
//! looked at: with a disk that confirms at once there are more messages, with a crash fewer.

use std::time::Duration;

use clap::ValueEnum;
use quorate_model::{GroupBounds, PartitionBounds};
use quorate_vsr::group::Timer;

/// How far to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Depth {
    /// Under a minute on two cores.
    Quick,
    /// Hours, and much memory.
    Deep,
}

const PARTITION: PartitionBounds = PartitionBounds {
    leaders: &[1, 2],
    appends: 1,
    crashes: 0,
    timeouts: 0,
    room: None,
    restarts: true,
    slow_disk: false,
    slow_links: false,
    followers_are_told: false,
    lie: None,
};

const GROUP: GroupBounds = GroupBounds {
    proposals: 1,
    client: false,
    timeouts: 0,
    timers: &[Timer::PrimarySilent],
    crashes: 0,
    room: None,
    restarts: true,
    slow_disk: false,
    checkpoint_interval: 1000,
    lie: None,
};

/// For walks.
pub(crate) const PARTITION_WIDE: PartitionBounds = PartitionBounds {
    leaders: &[1, 2, 3, 1, 2],
    appends: 12,
    crashes: 4,
    timeouts: 12,
    room: Some(40),
    slow_disk: true,
    slow_links: true,
    followers_are_told: true,
    ..PARTITION
};

/// For walks.
pub(crate) const GROUP_WIDE: GroupBounds = GroupBounds {
    proposals: 8,
    client: true,
    timeouts: 24,
    timers: &Timer::ALL,
    crashes: 4,
    room: Some(40),
    slow_disk: true,
    checkpoint_interval: 3,
    ..GROUP
};

impl Depth {
    pub(crate) fn partition(self) -> Vec<PartitionBounds> {
        let crash = PartitionBounds {
            crashes: 1,
            slow_disk: true,
            ..PARTITION
        };
        let quick = [
            // Two leaders, one record, everything that a network can do.
            PARTITION,
            // Two leaders and a crash while promises are on their way to the disk.
            PartitionBounds {
                appends: 0,
                timeouts: 1,
                ..crash
            },
            // One leader, and a crash while a record is on its way to the disk.
            PartitionBounds {
                leaders: &[1],
                slow_disk: false,
                ..crash
            },
        ];
        let deep = [
            PartitionBounds {
                appends: 2,
                ..PARTITION
            },
            PartitionBounds {
                appends: 1,
                restarts: false,
                ..crash
            },
            PartitionBounds {
                leaders: &[1],
                appends: 2,
                timeouts: 1,
                slow_links: true,
                ..crash
            },
        ];
        self.of(quick, deep)
    }

    pub(crate) fn group(self) -> Vec<GroupBounds> {
        let crash = GroupBounds {
            crashes: 1,
            slow_disk: true,
            ..GROUP
        };
        let quick = [
            // A view change, and everything that a network can do.
            GroupBounds {
                proposals: 0,
                timeouts: 2,
                ..GROUP
            },
            // A client that registers, and asks again and again.
            GroupBounds {
                proposals: 0,
                client: true,
                ..GROUP
            },
            // An operation, and a crash while it is on its way to the disk.
            crash,
        ];
        let deep = [
            GroupBounds {
                timeouts: 2,
                ..GROUP
            },
            GroupBounds {
                timeouts: 2,
                restarts: false,
                ..crash
            },
            GroupBounds {
                timeouts: 1,
                ..crash
            },
        ];
        self.of(quick, deep)
    }

    pub(crate) fn walking(self) -> Duration {
        match self {
            Self::Quick => Duration::from_secs(8),
            Self::Deep => Duration::from_secs(1800),
        }
    }

    fn of<B, const N: usize, const M: usize>(self, quick: [B; N], deep: [B; M]) -> Vec<B> {
        match self {
            Self::Quick => quick.into(),
            Self::Deep => quick.into_iter().chain(deep).collect(),
        }
    }
}
