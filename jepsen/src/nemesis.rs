//! Chooses what breaks next, and breaks it.
//!
//! Everything random comes from one seed and in a fixed order, whatever the cluster does, so that
//! the same seed draws the same faults. Which node is the leader or the primary is asked when the
//! fault strikes.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, Instant};

use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};

use crate::cluster::PATIENCE;
use crate::{Cluster, Failure, Moment, Process};

/// Something that is done to nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// SIGKILL, and a start after a while.
    Kill,
    /// SIGSTOP, and SIGCONT after a while.
    Pause,
    /// SIGTERM, and a start after a while.
    Restart,
    /// SIGKILL for all nodes at once, and a start after a while.
    KillAll,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Kill, Self::Pause, Self::Restart, Self::KillAll];

    const fn name(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::Pause => "pause",
            Self::Restart => "restart",
            Self::KillAll => "kill-all",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Fault {
    type Err = Failure;

    fn from_str(name: &str) -> Result<Self, Failure> {
        let known = Self::ALL.into_iter().find(|fault| fault.name() == name);
        let names = Self::ALL.map(Self::name).join(", ");
        known.ok_or_else(|| Failure::new(format!("no fault is called {name:?}: there are {names}")))
    }
}

/// A fault that struck.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FaultEvent {
    /// What was done.
    pub fault: Fault,
    /// To whom.
    pub nodes: Vec<u16>,
    /// When it began.
    pub at: Moment,
    /// Whether it was seen to have worked.
    pub took_effect: bool,
}

impl fmt::Display for FaultEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.at.0 as f64 / 1e9;
        let effect = if self.took_effect {
            ""
        } else {
            ", without effect"
        };
        write!(
            f,
            "{seconds:8.3} s  {} of nodes {:?}{effect}",
            self.fault, self.nodes
        )
    }
}

/// What the next fault will be; drawn before the state of the cluster is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    /// How long all is left alone before.
    pub(crate) calm: Duration,
    fault: Fault,
    target: Target,
    /// Chooses among equals.
    pick: usize,
    /// How long it lasts.
    pub(crate) lasting: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Target {
    One,
    Leader,
    Primary,
    Majority,
}

/// Draws plans and carries them out.
#[derive(Debug)]
pub(crate) struct Nemesis {
    random: ChaCha8Rng,
    faults: Vec<Fault>,
}

impl Nemesis {
    /// A nemesis that knows these faults.
    pub(crate) fn new(seed: u64, faults: Vec<Fault>) -> Self {
        Self {
            random: ChaCha8Rng::seed_from_u64(seed),
            faults,
        }
    }

    /// The next plan; `None` if there are no faults to choose from.
    pub(crate) fn plan(&mut self) -> Option<Plan> {
        let random = &mut self.random;
        let calm = Duration::from_millis(random.random_range(300..4000));
        let fault = random.random_range(0..u32::MAX) as usize;
        let target = match random.random_range(0..10) {
            0..=2 => Target::One,
            3..=6 => Target::Leader,
            7..=8 => Target::Primary,
            _ => Target::Majority,
        };
        let pick = random.random_range(0..u32::MAX) as usize;
        // Most are short against the detection of a dead node, some are long.
        let lasting = match random.random_range(0..4) {
            0 => random.random_range(50..500),
            1 | 2 => random.random_range(500..3000),
            _ => random.random_range(3000..10_000),
        };
        let fault = *self.faults.get(fault.checked_rem(self.faults.len())?)?;
        let lasting = Duration::from_millis(lasting);
        Some(Plan {
            calm,
            fault,
            target,
            pick,
            lasting,
        })
    }
}

impl Plan {
    /// Breaks something.
    pub(crate) fn strike(
        &self,
        cluster: &mut Cluster,
        topic: &str,
        partitions: u32,
        origin: Instant,
    ) -> Result<FaultEvent, Failure> {
        let nodes = self.choose(cluster, topic, partitions);
        let at = Moment::since(origin);
        let before: Vec<Process> = nodes.iter().map(|id| cluster.process(*id)).collect();
        for (id, process) in nodes.iter().zip(&before) {
            match self.fault {
                // All of several nodes are hit before the first is waited for.
                Fault::Kill | Fault::KillAll => process.kill()?,
                Fault::Pause => cluster.pause(*id)?,
                Fault::Restart => cluster.terminate(*id)?,
            }
        }
        let took_effect = before.iter().all(|process| match self.fault {
            Fault::Pause => process.wait_paused(PATIENCE).is_ok(),
            Fault::Kill | Fault::KillAll | Fault::Restart => process.wait_ended(PATIENCE).is_ok(),
        });
        Ok(FaultEvent {
            fault: self.fault,
            nodes,
            at,
            took_effect,
        })
    }

    /// Ends what [`Plan::strike`] began.
    pub(crate) fn undo(&self, cluster: &mut Cluster, event: &FaultEvent) -> Result<(), Failure> {
        for id in &event.nodes {
            match self.fault {
                Fault::Pause => cluster.resume(*id)?,
                Fault::Kill | Fault::KillAll | Fault::Restart => cluster.restart(*id)?,
            }
        }
        Ok(())
    }

    fn choose(&self, cluster: &Cluster, topic: &str, partitions: u32) -> Vec<u16> {
        let ids = cluster.node_ids();
        let any = ids[self.pick % ids.len()];
        if self.fault == Fault::KillAll {
            return ids;
        }
        let partition = self.pick as u32 % partitions;
        // A cluster that cannot say who leads is hit anywhere.
        match self.target {
            Target::One => vec![any],
            Target::Leader => vec![cluster.leader(topic, partition).unwrap_or(any)],
            Target::Primary => vec![cluster.primary().unwrap_or(any)],
            Target::Majority => {
                let majority = ids.len() / 2 + 1;
                let from_pick = ids.iter().cycle().skip(self.pick % ids.len());
                from_pick.take(majority).copied().collect()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plans(seed: u64) -> Vec<Plan> {
        let mut nemesis = Nemesis::new(seed, Fault::ALL.to_vec());
        (0..50).map(|_| nemesis.plan().unwrap()).collect()
    }

    #[test]
    fn same_seed_draws_the_same_plans_and_another_draws_others() {
        assert_eq!(plans(7), plans(7));
        assert_ne!(plans(7), plans(8));
    }

    #[test]
    fn every_fault_is_drawn() {
        let drawn = plans(1);
        for fault in Fault::ALL {
            assert!(
                drawn.iter().any(|plan| plan.fault == fault),
                "{fault} is never drawn"
            );
        }
    }

    #[test]
    fn nemesis_without_faults_has_no_plan() {
        assert_eq!(Nemesis::new(1, Vec::new()).plan(), None);
    }

    #[test]
    fn faults_have_names_and_unknown_names_are_refused() {
        for fault in Fault::ALL {
            assert_eq!(fault.to_string().parse(), Ok(fault));
        }
        let failure = "flood".parse::<Fault>().unwrap_err();
        assert!(failure.0.contains("kill, pause, restart, kill-all"));
    }
}
