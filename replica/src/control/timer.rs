use std::collections::BTreeMap;
use std::time::Duration;

use quorate_platform::Instant;
use quorate_vsr::group::Timer;

// A dead primary must be replaced, and its node's leaderships moved, well within two seconds, while
// a burst of work or a slow disk on a small machine must not look like a death.
//
// The primary speaks every 100 ms. A backup that has missed five to seven of these in a row asks
// for a view change (PrimarySilent: 500 ms and up to 250 ms of jitter, so that one of the backups
// asks first and the others join it). The view change itself takes a few round trips and two writes
// made durable, together some ten milliseconds; after 500 ms it has got stuck. By then the
// heartbeats of the dead node have been missing for longer than `detector::SILENCE_MAX`, so the new
// primary moves the leaderships at once. In all: 0.5 to 0.8 s until they are moved.
//
// On a disk so slow that a view change takes longer than that, asking for the next view each time
// would never come to an end. So each view change in a row that got stuck gives the next one twice
// the time.

//
// A lease lasts long enough to be renewed by what a busy control plane commits, and is over when a
// dead primary is missed. The others wait longer for its end than it lasts, by a sixth: clocks
// may run at rates that far apart. A quartz is wrong by less than a thousandth, and what keeps a
// clock on time changes its rate by no more than that. A backup restarts LeaseOver whenever it
// acknowledges, which it does whenever it hears the primary. So 350 ms are over when PrimarySilent
// runs out, even if its disk took 150 ms to take the last prepare, and the new primary does not
// wait. It waits if the primary was replaced for another reason, for example because it was
// restarted, and when all nodes were started at once.

/// The length of a lease, as its primary measures it.
const LEASE_MS: u64 = 300;
/// How long others wait for the end of a lease.
const LEASE_WAIT_MS: u64 = 350;

/// The length of a timer without its jitter, and the most jitter.
const fn length_of(timer: Timer) -> (Duration, Duration) {
    let (length_ms, jitter_ms) = match timer {
        Timer::Commit | Timer::Prepare | Timer::ViewChangeResend => (100, 0),
        Timer::GetState | Timer::Repair => (300, 100),
        Timer::QuorumSilent => (500, 0),
        // Catching up, and a view change.
        Timer::Transfer => (2000, 0),
        // Not even a checkpoint on a slow disk takes so long.
        Timer::DiskSilent => (3000, 0),
        Timer::PrimarySilent | Timer::ViewChangeStalled => (500, 250),
        Timer::LeaseEven | Timer::LeaseOdd => (LEASE_MS, 0),
        Timer::LeaseOver | Timer::LeaseWait => (LEASE_WAIT_MS, 0),
    };
    (
        Duration::from_millis(length_ms),
        Duration::from_millis(jitter_ms),
    )
}

/// A view change that got stuck is given at most 2^4 times its usual length: 8 s and some jitter.
const STALLS_MAX: u32 = 4;

/// The deadlines of the group's armed timers.
#[derive(Debug, Default)]
pub(super) struct Timers {
    deadlines: BTreeMap<Timer, Instant>,
    /// How often in a row a view change got stuck.
    stalls: u32,
}

impl Timers {
    /// Starts `timer`, or starts it afresh.
    pub(super) fn arm(&mut self, timer: Timer, now: Instant, random: u64) {
        let (mut length, mut jitter) = length_of(timer);
        if timer == Timer::ViewChangeStalled {
            let factor = 1 << self.stalls.min(STALLS_MAX);
            (length, jitter) = (length * factor, jitter * factor);
        }
        let jitter = Duration::from_nanos(random % (jitter.as_nanos() as u64 + 1));
        self.deadlines.insert(timer, now + length + jitter);
    }

    /// Has `timer` run out as soon as may be. The others must not wait for less than a lease.
    pub(super) fn hurry(&mut self, timer: Timer, now: Instant) {
        match timer {
            Timer::LeaseOver | Timer::LeaseWait => {}
            Timer::Commit
            | Timer::Prepare
            | Timer::ViewChangeResend
            | Timer::GetState
            | Timer::Repair
            | Timer::QuorumSilent
            | Timer::Transfer
            | Timer::DiskSilent
            | Timer::PrimarySilent
            | Timer::ViewChangeStalled
            | Timer::LeaseEven
            | Timer::LeaseOdd => {
                self.deadlines.insert(timer, now);
            }
        }
    }

    /// Stops `timer`.
    pub(super) fn disarm(&mut self, timer: Timer) {
        if timer == Timer::ViewChangeStalled {
            self.stalls = 0;
        }
        self.deadlines.remove(&timer);
    }

    /// When the next timer runs out.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.values().min().copied()
    }

    /// Stops a timer that has run out, and gives it.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<Timer> {
        let deadlines = self.deadlines.iter();
        let (deadline, timer) = deadlines.map(|(timer, at)| (*at, *timer)).min()?;
        if deadline > now {
            return None;
        }
        self.deadlines.remove(&timer);
        if timer == Timer::ViewChangeStalled {
            self.stalls = self.stalls.saturating_add(1);
        }
        Some(timer)
    }

    /// Stops a timer of this node's own lease that has run out, and gives it.
    ///
    /// The group may not hear of anything else while it takes a lease for valid that is over.
    pub(super) fn take_due_lease(&mut self, now: Instant) -> Option<Timer> {
        let is_due = |timer: &Timer| self.deadlines.get(timer).is_some_and(|at| *at <= now);
        let timer = [Timer::LeaseEven, Timer::LeaseOdd]
            .into_iter()
            .find(is_due)?;
        self.deadlines.remove(&timer);
        Some(timer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timers_run_out_in_the_order_of_their_deadlines_and_once() {
        let start = Instant::from_nanos(1_000);
        let mut timers = Timers::default();
        timers.arm(Timer::PrimarySilent, start, 0);
        timers.arm(Timer::Commit, start, u64::MAX);
        timers.arm(Timer::GetState, start, 0);
        timers.disarm(Timer::GetState);
        assert_eq!(timers.take_due(start), None);
        let later = timers.next_deadline().unwrap();
        assert_eq!(timers.take_due(later), Some(Timer::Commit));
        assert_eq!(timers.take_due(later), None);
        let late = later + Duration::from_secs(9);
        assert_eq!(timers.take_due(late), Some(Timer::PrimarySilent));
        assert_eq!(timers.next_deadline(), None);
    }

    #[test]
    fn a_lease_is_over_before_anything_else_is_and_others_wait_longer() {
        let start = Instant::from_nanos(0);
        let mut timers = Timers::default();
        for timer in [Timer::Commit, Timer::LeaseOver, Timer::LeaseOdd] {
            timers.arm(timer, start, 0);
        }
        let almost = start + Duration::from_millis(LEASE_MS - 1);
        assert_eq!(timers.take_due_lease(almost), None);
        let over = start + Duration::from_millis(LEASE_MS);
        assert_eq!(timers.take_due_lease(over), Some(Timer::LeaseOdd));
        assert_eq!(timers.take_due_lease(over), None);
        assert_eq!(timers.take_due(over), Some(Timer::Commit));
        assert_eq!(timers.take_due(over), None, "others wait longer");

        let shortest = |timer| length_of(timer).0;
        assert!(shortest(Timer::LeaseOver) < shortest(Timer::PrimarySilent));
    }

    #[test]
    fn view_changes_that_get_stuck_in_a_row_are_given_more_and_more_time() {
        let mut timers = Timers::default();
        let mut now = Instant::from_nanos(0);
        let mut next = |timers: &mut Timers| {
            timers.arm(Timer::ViewChangeStalled, now, 0);
            let deadline = timers.next_deadline().unwrap();
            let length = deadline - now;
            now = deadline;
            assert_eq!(timers.take_due(now), Some(Timer::ViewChangeStalled));
            length.as_millis()
        };
        let lengths: Vec<_> = (0..7).map(|_| next(&mut timers)).collect();
        assert_eq!(lengths, [500, 1000, 2000, 4000, 8000, 8000, 8000]);
        timers.disarm(Timer::ViewChangeStalled);
        assert_eq!(next(&mut timers), 500);
    }
}
