//! What is known of clocks: the timers of a lease run out in a certain order, on all nodes.

use std::collections::BTreeSet;

use quorate_vsr::NodeId;
use quorate_vsr::group::Timer;

/// A timer of a node.
type Clock = (NodeId, Timer);

/// Which timers have to wait for which others, on whatever nodes.
///
/// A timer that has to outlast every lease takes longer than any lease does. So whatever lease was
/// running when it was started is over before it runs out, and that is all that is known: of leases
/// which began later, anything is possible.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Clocks {
    leases: BTreeSet<Clock>,
    /// The one that waits first.
    waits: BTreeSet<(Clock, Clock)>,
}

/// What a timer has to do with leases.
enum Part {
    /// It is the end of one.
    Lease,
    /// It outlasts all that have begun.
    Outlasts,
    None,
}

fn part(timer: Timer) -> Part {
    match timer {
        Timer::LeaseEven | Timer::LeaseOdd => Part::Lease,
        Timer::LeaseOver | Timer::LeaseWait => Part::Outlasts,
        Timer::Prepare
        | Timer::Commit
        | Timer::QuorumSilent
        | Timer::PrimarySilent
        | Timer::ViewChangeStalled
        | Timer::ViewChangeResend
        | Timer::GetState
        | Timer::Repair
        | Timer::Transfer
        | Timer::DiskSilent => Part::None,
    }
}

/// Whether a timer is about leases.
pub(crate) fn is_of_lease(timer: Timer) -> bool {
    !matches!(part(timer), Part::None)
}

impl Clocks {
    /// A timer is started, perhaps afresh.
    pub(crate) fn start(&mut self, node: NodeId, timer: Timer) {
        self.stop(node, timer);
        match part(timer) {
            Part::Lease => {
                self.leases.insert((node, timer));
            }
            Part::Outlasts => {
                let waits = self.leases.iter().map(|lease| ((node, timer), *lease));
                self.waits.extend(waits);
            }
            Part::None => {}
        }
    }

    /// A timer is stopped, or runs out.
    pub(crate) fn stop(&mut self, node: NodeId, timer: Timer) {
        let clock = (node, timer);
        self.leases.remove(&clock);
        self.waits
            .retain(|(wait, lease)| *wait != clock && *lease != clock);
    }

    /// A process ends, and its timers with it.
    pub(crate) fn stop_all(&mut self, node: NodeId) {
        for timer in Timer::ALL {
            self.stop(node, timer);
        }
    }

    /// Whether a timer that runs may run out now.
    pub(crate) fn may_run_out(&self, node: NodeId, timer: Timer) -> bool {
        !self.waits.iter().any(|(wait, _)| *wait == (node, timer))
    }
}
