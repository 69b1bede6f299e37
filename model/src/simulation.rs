//! Random runs of both protocols in bad worlds, thousands of them in a second.
//!
//! A run is told by its seed: everything in it is drawn from that one number, and nothing else has
//! any influence on it. First comes a storm, in which safety is checked after every step; then a
//! quorum is healed, and has to go on. What has to happen sometimes is counted, so that a
//! simulation in which nothing happens is noticed.

mod calendar;
mod campaign;
mod dice;
mod group;
mod partition;
mod sometimes;
mod timeline;
mod trace;

pub use campaign::{Campaign, Failure, Finding, simulate};

use sometimes::{Table, Tally};
use timeline::{Telling, Timeline};

/// What a run is a run of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// The control plane's.
    Group,
    /// The data plane's.
    Partition,
}

/// What a run has come to.
#[derive(Clone, Copy, Debug)]
pub struct Outcome {
    /// The events that its replicas have taken.
    pub steps: u64,
    /// A fingerprint of all that happened.
    pub trace: u64,
    pub(crate) tally: Tally,
}

impl Protocol {
    /// Lives through one run.
    ///
    /// # Panics
    ///
    /// If anything is wrong.
    #[must_use]
    pub fn run(self, seed: u64) -> Outcome {
        self.tell(seed, Telling::Silent)
    }

    fn tell(self, seed: u64, telling: Telling) -> Outcome {
        let timeline = Timeline::new(telling);
        match self {
            Self::Group => group::run(seed, timeline),
            Self::Partition => partition::run(seed, timeline),
        }
    }

    fn table(self) -> Table {
        Table::new(match self {
            Self::Group => group::Sometimes::WORDS,
            Self::Partition => partition::Sometimes::WORDS,
        })
    }
}

impl std::fmt::Display for Protocol {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Group => "group",
            Self::Partition => "partition",
        })
    }
}
