//! The lease by which a primary answers reads from its own state alone.
//!
//! The log is the lease: there are no messages for it. While operations are committed the primary
//! has one all the time, and a group without work needs none (see [`read`](super::read)).
//!
//! # When it holds
//!
//! The primary starts a timer, [`Timer::LeaseEven`] or [`Timer::LeaseOdd`], just before it sends an
//! entry. When that entry is committed in this view, the lease holds until the timer runs out. Two
//! timers take turns, so that the one holds while the other measures the next entry.
//!
//! # Why no later primary commits anything meanwhile
//!
//! Let the entry x be prepared at the moment s and committed in view v. Each member restarts
//! [`Timer::LeaseOver`] when it sends a `PrepareOk`. A majority has acknowledged x, or what follows
//! it in v, and did so after s, because x was not sent before. Take the first later view w in which
//! anything is committed. Its primary has promises for w from a majority, so one of them from a
//! member that acknowledged x; and that member did so before it promised, because it acknowledges
//! nothing in v afterwards. (If the member is the primary of v itself, its promise ends its lease:
//! it has left v.) When the promise was sent, at the moment p, there are two cases.
//!
//! - `LeaseOver` had run out. It was started after s and takes longer than the lease, so the lease
//!   was over before p, and nothing is committed in w before p.
//! - It had not, and the promise says so. Then the primary of w starts [`Timer::LeaseWait`] when it
//!   has its majority, which is after p and so after s, and commits nothing in w until it runs out.
//!   It takes longer than the lease as well.
//!
//! A change of the members between v and w changes nothing: what the log says of them is committed
//! by a majority of one membership and at most one step further, and the majorities of two
//! memberships that are one step apart share a member. The argument then speaks of the last change
//! that was committed in v instead of x: it was acknowledged later.
//!
//! A member that was restarted does not know what it acknowledged, and starts `LeaseOver` at once.
//! Only a disk that was never used has acknowledged nothing.
//!
//! The primary of w may still take over, before its wait is over, what it knows to be committed:
//! the primary of v knows that too.
//!
//! # What it asks of clocks
//!
//! Only durations are compared, never times of day, and only their order. `LeaseOver` and
//! `LeaseWait` on one member must take longer than `LeaseEven` and `LeaseOdd` on another, as seen
//! by an observer outside: the driver makes them longer by more than any two clocks drift apart in
//! that time. Which way a timer may be wrong is written on [`Timer`].

use super::{Effect, Replica, Timer};
use crate::OpNumber;
use crate::sabotage::{self, Sabotage};

/// What a replica knows of its own lease and of those that others may hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Lease {
    /// As primary: what each of the two timers measures.
    even: Measure,
    odd: Measure,
    /// A primary may hold a lease that rests on what this replica acknowledged.
    pub(crate) may_hold: bool,
    /// As primary, or on the way there: an earlier primary may hold a lease, and nothing is
    /// committed before that is over.
    pub(crate) is_waited_for: bool,
}

/// What a timer of the lease measures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
enum Measure {
    /// It does not run.
    #[default]
    Nothing,
    /// It runs since just before this entry was sent.
    Prepared(OpNumber),
    /// The same, and the entry was committed: the lease holds until it runs out.
    Committed(OpNumber),
}

impl Measure {
    fn commit(&mut self, commit_number: OpNumber) {
        if let Self::Prepared(op) = *self
            && op <= commit_number
        {
            *self = Self::Committed(op);
        }
    }

    fn is_lease(self) -> bool {
        match self {
            Self::Committed(_) => true,
            Self::Nothing | Self::Prepared(_) => false,
        }
    }
}

impl Lease {
    /// Whether the lease of this primary holds.
    pub(crate) fn holds(&self) -> bool {
        self.even.is_lease() || self.odd.is_lease()
    }

    /// Whether neither timer of a primary runs.
    pub(crate) fn is_idle(&self) -> bool {
        (self.even, self.odd) == (Measure::Nothing, Measure::Nothing)
    }

    /// Notes how far the primary has committed.
    pub(crate) fn commit(&mut self, commit_number: OpNumber) {
        self.even.commit(commit_number);
        self.odd.commit(commit_number);
    }

    /// The timer that is free to measure the next entry.
    ///
    /// Of two leases that hold, the one of the earlier entry is given up: the other lasts longer.
    fn free(&self) -> Option<Timer> {
        match (self.even, self.odd) {
            (Measure::Nothing, _) => Some(Timer::LeaseEven),
            (_, Measure::Nothing) => Some(Timer::LeaseOdd),
            (Measure::Committed(even), Measure::Committed(odd)) if even < odd => {
                Some(Timer::LeaseEven)
            }
            (Measure::Committed(_), Measure::Committed(_)) => Some(Timer::LeaseOdd),
            (Measure::Prepared(_), _) | (_, Measure::Prepared(_)) => None,
        }
    }
}

impl Replica {
    /// As primary, just before the entry `op` is sent: has a timer measure it if one is free.
    pub(super) fn measure_lease(&mut self, op: OpNumber, effects: &mut Vec<Effect>) {
        let timer = self.lease.free();
        match timer {
            Some(Timer::LeaseEven) => self.lease.even = Measure::Prepared(op),
            Some(_) => self.lease.odd = Measure::Prepared(op),
            None => return,
        }
        effects.extend(timer.map(Effect::Arm));
    }

    pub(super) fn on_lease_even(&mut self) {
        self.lease.even = Measure::Nothing;
    }

    pub(super) fn on_lease_odd(&mut self) {
        self.lease.odd = Measure::Nothing;
    }

    /// Whoever acknowledges supports a lease of the primary for a while.
    pub(super) fn support_lease(&mut self, effects: &mut Vec<Effect>) {
        self.lease.may_hold = true;
        effects.push(Effect::Arm(Timer::LeaseOver));
    }

    pub(super) fn on_lease_over(&mut self) {
        self.lease.may_hold = false;
    }

    /// As primary to be, with promises from a majority: waits if one of them says that an earlier
    /// primary may hold a lease.
    pub(super) fn wait_for_lease(&mut self, effects: &mut Vec<Effect>) {
        let may_hold = self.promises.values().any(|promise| promise.lease_may_hold);
        if may_hold && !sabotage::is(Sabotage::LeaseTooLong) {
            self.lease.is_waited_for = true;
            effects.push(Effect::Arm(Timer::LeaseWait));
        }
    }

    pub(super) fn on_lease_wait(&mut self) {
        self.lease.is_waited_for = false;
    }

    /// Leaves the view, and with it whatever lease this replica held or waited for.
    pub(super) fn drop_lease(&mut self, effects: &mut Vec<Effect>) {
        self.lease = Lease {
            may_hold: self.lease.may_hold,
            ..Lease::default()
        };
        let timers = [Timer::LeaseEven, Timer::LeaseOdd, Timer::LeaseWait];
        effects.extend(timers.map(Effect::Disarm));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease(even: Measure, odd: Measure) -> Lease {
        Lease {
            even,
            odd,
            ..Lease::default()
        }
    }

    #[test]
    fn the_timers_take_turns_and_one_always_holds() {
        let mut lease = lease(Measure::Nothing, Measure::Nothing);
        assert_eq!(lease.free(), Some(Timer::LeaseEven));
        lease.even = Measure::Prepared(OpNumber(1));
        assert!(!lease.holds(), "what is not committed is no lease");
        assert_eq!(lease.free(), Some(Timer::LeaseOdd));
        lease.commit(OpNumber(1));
        assert!(lease.holds());
        lease.odd = Measure::Prepared(OpNumber(2));
        assert_eq!(lease.free(), None, "the only lease is not given up");
        lease.commit(OpNumber(2));
        assert_eq!(lease.free(), Some(Timer::LeaseEven), "the older one is");
        lease.even = Measure::Prepared(OpNumber(3));
        assert!(lease.holds());
        lease.commit(OpNumber(3));
        assert_eq!(lease.free(), Some(Timer::LeaseOdd));
    }

    #[test]
    fn an_entry_that_is_not_committed_in_time_gives_no_lease() {
        let mut lease = lease(Measure::Prepared(OpNumber(5)), Measure::Nothing);
        lease.commit(OpNumber(4));
        assert!(!lease.holds());
    }
}
