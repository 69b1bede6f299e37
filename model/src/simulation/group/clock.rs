//! How long the timers of a node are.

use quorate_vsr::group::Timer;

use super::super::dice::Dice;

/// A view change that got stuck is given at most so many times its usual length.
const PATIENCE_MAX: u64 = 8;

/// The lengths of the timers, in the world's time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lengths {
    commit: u64,
    resend: u64,
    silent: u64,
    stalled: u64,
    lease: u64,
    disk: u64,
}

impl Lengths {
    /// Any lengths: what is too short or too long costs messages and views, never safety. Only that
    /// others wait longer for the end of a lease than it lasts is not left to chance.
    pub(crate) fn draw(dice: &mut Dice) -> Self {
        Self {
            commit: dice.pick(&[5, 15, 30, 60]),
            resend: dice.pick(&[10, 20, 40]),
            silent: dice.pick(&[15, 40, 70, 120]),
            stalled: dice.pick(&[25, 60, 120]),
            lease: dice.pick(&[8, 30, 90]),
            disk: dice.pick(&[10, 40, 150]),
        }
    }

    /// Lengths with which a group comes to rest, where a message takes up to four days and a write
    /// as well.
    pub(crate) const CALM: Self = Self {
        commit: 14,
        resend: 24,
        silent: 50,
        stalled: 90,
        lease: 30,
        disk: 60,
    };

    fn of(&self, timer: Timer, dice: &mut Dice) -> u64 {
        match timer {
            Timer::Commit => self.commit,
            Timer::Prepare | Timer::ViewChangeResend | Timer::GetState | Timer::Repair => {
                self.resend
            }
            Timer::QuorumSilent => self.silent,
            Timer::Transfer => self.stalled,
            Timer::DiskSilent => self.disk,
            Timer::PrimarySilent => self.silent + dice.between(0..=self.silent / 2),
            Timer::ViewChangeStalled => self.stalled + dice.between(0..=self.stalled / 2),
            Timer::LeaseEven | Timer::LeaseOdd => self.lease,
            // Longer by more than two clocks differ, and by the day that rounding takes away.
            Timer::LeaseOver | Timer::LeaseWait => self.lease * 5 / 4 + 3,
        }
    }
}

/// The timers of one node, and how fast time passes there.
#[derive(Clone, Debug)]
pub(crate) struct Clock {
    lengths: Lengths,
    /// Days of the world in a thousand days of this clock.
    pace: u64,
    /// Which arming of each timer is in force; 0 for none.
    armed: [u32; Timer::ALL.len()],
    armings: u32,
    /// Grows with each view change in a row that got stuck.
    patience: u64,
}

impl Clock {
    pub(crate) fn new(lengths: Lengths, pace: u64) -> Self {
        Self {
            lengths,
            pace,
            armed: [0; Timer::ALL.len()],
            armings: 0,
            patience: 1,
        }
    }

    /// Starts a timer: when it runs out, and what shall be said of it then.
    pub(crate) fn arm(&mut self, timer: Timer, dice: &mut Dice) -> (u64, u32) {
        self.armings += 1;
        self.armed[timer as usize] = self.armings;
        let mut length = self.lengths.of(timer, dice);
        if timer == Timer::ViewChangeStalled {
            length *= self.patience;
        }
        ((length * self.pace / 1000).max(1), self.armings)
    }

    pub(crate) fn disarm(&mut self, timer: Timer) {
        self.armed[timer as usize] = 0;
        if timer == Timer::ViewChangeStalled {
            self.patience = 1;
        }
    }

    /// Whether a timer that was started runs out now, or was stopped or started anew meanwhile.
    pub(crate) fn runs_out(&mut self, timer: Timer, arming: u32) -> bool {
        let is_armed = self.armed[timer as usize] == arming;
        if is_armed {
            self.armed[timer as usize] = 0;
            if timer == Timer::ViewChangeStalled {
                self.patience = (2 * self.patience).min(PATIENCE_MAX);
            }
        }
        is_armed
    }

    /// Stops all timers, as a crash does.
    pub(crate) fn stop(&mut self) {
        self.armed = [0; Timer::ALL.len()];
        self.patience = 1;
    }

    /// From now on timers have the lengths with which a group comes to rest.
    pub(crate) fn calm(&mut self) {
        // A lease that began before may still hold.
        let lease = self.lengths.lease;
        self.lengths = Lengths {
            lease,
            ..Lengths::CALM
        };
    }
}
