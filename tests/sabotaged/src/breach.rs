use std::time::Duration;

use quorate_tests_sabotaged::simulation::disk::DiskFaults;
use quorate_tests_sabotaged::simulation::nemesis::Kind;
use quorate_tests_sabotaged::simulation::swarm::{Errand, Other, Plan, Profile};
use quorate_vsr_sabotaged::sabotage::{self, Sabotage};

/// Something that is broken in all nodes of a cluster.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Breach {
    what: What,
    /// In which runs it has a chance to do harm. The rest of them is as it is drawn.
    aim: fn(&mut Plan),
}

#[derive(Clone, Copy, Debug)]
enum What {
    /// A rule of the node or of its protocols.
    Rule(Sabotage),
    /// Writes and syncs say that they are done, and power cuts show that they are not.
    SyncSkipped,
    /// The wall clock is taken for a monotonic one, by leases as well.
    LeaseByWallClock,
}

/// All of them.
///
/// Rules of the protocols whose breach shows only in a rare order of events are not among them: the
/// model checker breaks those one by one and tries every order.
pub(crate) const BREACHES: &[Breach] = &[
    breach(What::SyncSkipped, crashing),
    rule(Sabotage::AcknowledgedAlone, crashing),
    rule(Sabotage::CommitWithoutQuorum, crashing),
    rule(Sabotage::ProducersForgotten, as_drawn),
    rule(Sabotage::DedupForgotten, disputed),
    rule(Sabotage::ServedAboveWatermark, parted),
    rule(Sabotage::DamageTrusted, rotten),
    breach(What::LeaseByWallClock, mistimed),
    rule(Sabotage::PrepareOkBeforeDurable, losing_power),
    rule(Sabotage::LongestLogWins, parted),
    rule(Sabotage::TruncatedBelowWatermark, parted),
];

const fn breach(what: What, aim: fn(&mut Plan)) -> Breach {
    Breach { what, aim }
}

const fn rule(rule: Sabotage, aim: fn(&mut Plan)) -> Breach {
    breach(What::Rule(rule), aim)
}

impl Breach {
    pub(crate) fn name(&self) -> String {
        match self.what {
            What::Rule(rule) => format!("{rule:?}"),
            What::SyncSkipped | What::LeaseByWallClock => format!("{:?}", self.what),
        }
    }

    /// The run of `seed` in which it is to be noticed, with everything as it should be.
    pub(crate) fn plan_kept(&self, seed: u64) -> Plan {
        let mut plan = Plan::draw(seed, Profile::Swarm);
        (self.aim)(&mut plan);
        plan
    }

    /// The same, with what is not a matter of the node's code broken.
    pub(crate) fn plan(&self, seed: u64) -> Plan {
        let mut plan = self.plan_kept(seed);
        match self.what {
            What::Rule(_) => {}
            What::SyncSkipped => plan.disk.lost_write = 1.0,
            What::LeaseByWallClock => plan.is_steered_by_wall_clock = true,
        }
        plan
    }

    /// Breaks the rule in the whole process, until [`Breach::mend`].
    pub(crate) fn begin(&self) {
        sabotage::choose(match self.what {
            What::Rule(rule) => Some(rule),
            What::SyncSkipped | What::LeaseByWallClock => None,
        });
    }

    /// Has all rules kept again.
    pub(crate) fn mend() {
        sabotage::choose(None);
    }
}

fn as_drawn(_: &mut Plan) {}

/// Power fails, again and again and in many nodes at once.
fn crashing(plan: &mut Plan) {
    plan.nemesis.kinds = vec![Kind::Crash, Kind::CrashMany, Kind::Kill, Kind::Isolate];
    plan.nemesis.pause_ms.1 = plan.nemesis.pause_ms.1.min(3000);
}

/// Power fails in many nodes at once while most of what was said is not durable yet, and some of
/// them stay away for so long that the others go on.
fn losing_power(plan: &mut Plan) {
    plan.nemesis.kinds = vec![Kind::CrashMany, Kind::CrashMany, Kind::Crash];
    plan.nemesis.pause_ms = (0, 3000);
    plan.nemesis.lasts_ms = (10, 4000);
    hurry_slow_disks(plan, 0.7, 400);
    busy(plan, &[Errand::Juggle, Errand::Juggle, Errand::Look], 20);
}

/// Nodes are cut off from each other, and some clients reach the wrong ones.
fn parted(plan: &mut Plan) {
    plan.nemesis.kinds = vec![Kind::Isolate, Kind::Halves, Kind::Cut, Kind::Kill];
    plan.nemesis.pause_ms.1 = plan.nemesis.pause_ms.1.min(3000);
}

/// Clocks jump, and those are cut off whose leases they have made longer.
fn mistimed(plan: &mut Plan) {
    plan.nemesis.kinds = vec![Kind::Mistime];
    plan.nemesis.pause_ms = (0, 5000);
    plan.nemesis.lasts_ms = (2000, 5000);
    plan.shape.latency.end = Duration::from_millis(2);
    plan.disk = DiskFaults::default();
    plan.deletes_records = false;
    plan.others.clear();
    crowd(plan);
}

/// Many clients change topics, and many look at them: those stay with whoever answers them.
fn crowd(plan: &mut Plan) {
    let other = |what| Other {
        what,
        pause_ms: 0..=20,
    };
    for what in [Errand::Juggle, Errand::Look] {
        plan.others.extend(std::iter::repeat_n(other(what), 4));
    }
}

/// The control plane changes hands all the time, while topics come and go.
fn disputed(plan: &mut Plan) {
    plan.nemesis.kinds = vec![Kind::Isolate, Kind::Cut, Kind::Kill, Kind::Lag, Kind::Pause];
    plan.nemesis.pause_ms.1 = 500;
    plan.nemesis.lasts_ms.1 = 1000;
    plan.deletes_records = false;
    busy(plan, &[Errand::Juggle, Errand::Transfer], 50);
}

/// What is durable goes bad, and nodes come back and read it.
fn rotten(plan: &mut Plan) {
    plan.nemesis.kinds = vec![Kind::Rot, Kind::Rot, Kind::Rot, Kind::Kill, Kind::CrashMany];
    plan.nemesis.pause_ms = (0, 100);
    plan.nemesis.lasts_ms = (10, 500);
    plan.disk.rot = 0.01;
    busy(plan, &[Errand::Juggle, Errand::Juggle, Errand::Look], 20);
}

/// So large a share of what disks do takes its time, and clients wait for none of it.
fn hurry_slow_disks(plan: &mut Plan, share: f64, most_ms: u64) {
    plan.disk.slow = share;
    plan.disk.slow_max = Duration::from_millis(most_ms);
    plan.writing.pause_ms = 0..=20;
}

fn busy(plan: &mut Plan, errands: &[Errand], most_ms: u64) {
    let other = |what: &Errand| Other {
        what: *what,
        pause_ms: 0..=most_ms,
    };
    plan.others = errands.iter().map(other).collect();
}
