//! How far the checks go.
//!
//! Each scope leaves out what another one has, so that all of its states can be looked at: with a
//! disk that confirms at once there are more messages, with a crash fewer.

mod aimed;
mod group;
mod partition;

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use stateright::{Expectation, Model};

use crate::group::{Bounds as GroupBounds, GroupModel};
use crate::partition::{Bounds as PartitionBounds, PartitionModel};
use crate::report::Report;
use crate::rule::Judged;
use crate::search::{Direction, Limits, search};
use crate::walk::walk;

/// How much may happen, and in which protocol.
#[derive(Clone, Copy, Debug)]
pub enum Bounds {
    /// In the group of the control plane.
    Group(GroupBounds),
    /// In a partition.
    Partition(PartitionBounds),
}

/// Bounds with a name.
#[derive(Clone, Copy, Debug)]
pub struct Scope {
    /// The name.
    pub name: &'static str,
    /// What is looked at.
    pub about: &'static str,
    /// The bounds.
    pub bounds: Bounds,
    /// From which preset on it is looked at.
    pub preset: Preset,
}

/// How much to look at. Each preset includes the ones before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Preset {
    /// Under two minutes on two cores.
    Seconds,
    /// About ten minutes.
    Minutes,
    /// About an hour.
    Hour,
}

impl Preset {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Seconds, Self::Minutes, Self::Hour];

    /// The name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Seconds => "seconds",
            Self::Minutes => "minutes",
            Self::Hour => "hour",
        }
    }

    /// When a single one of its scopes is given up.
    #[must_use]
    pub fn patience(self) -> Duration {
        Duration::from_secs(match self {
            Self::Seconds => 120,
            Self::Minutes => 60,
            Self::Hour => 210,
        })
    }

    /// Everything that is looked at.
    #[must_use]
    pub fn scopes(self) -> Vec<Scope> {
        let mut scopes = Scope::all();
        scopes.retain(|scope| scope.preset <= self);
        scopes
    }
}

impl Scope {
    /// All of them.
    #[must_use]
    pub fn all() -> Vec<Self> {
        let wide = partition::SCOPES.iter().chain(group::SCOPES).copied();
        wide.chain(aimed::all()).collect()
    }

    /// The scope with this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::all().into_iter().find(|scope| scope.name == name)
    }

    const fn partition(
        preset: Preset,
        name: &'static str,
        about: &'static str,
        bounds: PartitionBounds,
    ) -> Self {
        Self {
            name,
            about,
            bounds: Bounds::Partition(bounds),
            preset,
        }
    }

    const fn group(
        preset: Preset,
        name: &'static str,
        about: &'static str,
        bounds: GroupBounds,
    ) -> Self {
        Self {
            name,
            about,
            bounds: Bounds::Group(bounds),
            preset,
        }
    }

    /// Whether it is too wide for a search: on walks some messages are forgotten after a while.
    #[must_use]
    pub fn is_walked(&self) -> bool {
        match self.bounds {
            Bounds::Group(bounds) => bounds.room.is_some(),
            Bounds::Partition(bounds) => bounds.room.is_some(),
        }
    }

    /// Looks at all states, or as many as the limits allow. `progress` is told now and then how
    /// many different states there have been.
    pub fn search(&self, direction: Direction, limits: Limits, progress: &dyn Fn(usize)) -> Report {
        match self.bounds {
            Bounds::Group(bounds) => search(&GroupModel { bounds }, direction, limits, progress),
            Bounds::Partition(bounds) => {
                search(&PartitionModel { bounds }, direction, limits, progress)
            }
        }
    }

    /// Walks at random.
    #[must_use]
    pub fn walk(&self, seed: u64, limits: Limits) -> Report {
        match self.bounds {
            Bounds::Group(bounds) => walk(&GroupModel { bounds }, seed, limits),
            Bounds::Partition(bounds) => walk(&PartitionModel { bounds }, seed, limits),
        }
    }

    /// Serves Stateright's Explorer, until the process ends.
    pub fn explore(&self, address: SocketAddr) {
        match self.bounds {
            Bounds::Group(bounds) => {
                GroupModel { bounds }.checker().serve(address);
            }
            Bounds::Partition(bounds) => {
                PartitionModel { bounds }.checker().serve(address);
            }
        }
    }

    /// The rules that must always hold, each with what it means for a user.
    #[must_use]
    pub fn rules(&self) -> Vec<(&'static str, &'static str)> {
        match self.bounds {
            Bounds::Group(bounds) => meanings(&GroupModel { bounds }),
            Bounds::Partition(bounds) => meanings(&PartitionModel { bounds }),
        }
    }

    /// The protocol that it is about.
    #[must_use]
    pub fn protocol(&self) -> &'static str {
        match self.bounds {
            Bounds::Group(_) => "group",
            Bounds::Partition(_) => "partition",
        }
    }
}

fn meanings(model: &impl Judged) -> Vec<(&'static str, &'static str)> {
    let rules = model.rules().into_iter();
    let always = rules.filter(|rule| matches!(rule.expectation, Expectation::Always));
    always.map(|rule| (rule.name, rule.meaning)).collect()
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.about)
    }
}
