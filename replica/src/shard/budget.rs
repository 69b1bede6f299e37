use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

/// A limit on something that is under way: bytes or requests.
///
/// Whoever starts something takes a [`Permit`] and drops it at the end; whoever could start more
/// first waits for room. The last one to start may exceed the limit by its own size, so nothing is
/// too large to ever start.
#[derive(Debug)]
pub(super) struct Budget {
    limit: u64,
    used: Cell<u64>,
    is_closed: Cell<bool>,
    waiting: RefCell<Vec<Waker>>,
}

impl Budget {
    pub(super) fn new(limit: u64) -> Rc<Self> {
        let (used, is_closed, waiting) = Default::default();
        Rc::new(Self {
            limit,
            used,
            is_closed,
            waiting,
        })
    }

    /// Waits until less than the limit is in use, or the budget is closed.
    pub(super) async fn has_room(&self) {
        poll_fn(|context| {
            if self.used.get() < self.limit || self.is_closed.get() {
                return Poll::Ready(());
            }
            self.waiting.borrow_mut().push(context.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// Counts `amount` as in use for as long as the permit lives.
    pub(super) fn take(self: &Rc<Self>, amount: u64) -> Permit {
        self.used.set(self.used.get() + amount);
        Permit {
            budget: Rc::clone(self),
            amount,
        }
    }

    /// Lets everybody pass who waits now or later: what they wait for is over.
    pub(super) fn close(&self) {
        self.is_closed.set(true);
        self.wake();
    }

    fn give_back(&self, amount: u64) {
        let used = self.used.get() - amount;
        self.used.set(used);
        if used < self.limit {
            self.wake();
        }
    }

    fn wake(&self) {
        for waker in self.waiting.take() {
            waker.wake();
        }
    }
}

/// A part of a [`Budget`] in use.
#[derive(Debug)]
pub(super) struct Permit {
    budget: Rc<Budget>,
    amount: u64,
}

impl Permit {
    /// Counts `amount` more.
    pub(super) fn grow(&mut self, amount: u64) {
        self.budget.used.set(self.budget.used.get() + amount);
        self.amount += amount;
    }

    /// Counts no more than `amount` from now on.
    pub(super) fn shrink(&mut self, amount: u64) {
        let rest = self.amount.saturating_sub(amount);
        self.amount -= rest;
        self.budget.give_back(rest);
    }

    /// Splits off `amount`, or all that is counted so far if that is less; this permit goes on with
    /// the rest.
    pub(super) fn split(&mut self, amount: u64) -> Self {
        let amount = amount.min(self.amount);
        self.amount -= amount;
        Self {
            budget: Rc::clone(&self.budget),
            amount,
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.budget.give_back(self.amount);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn a_full_budget_has_room_again_once_a_permit_is_dropped() {
        let budget = Budget::new(10);
        let first = budget.take(8);
        assert_eq!(budget.has_room().now_or_never(), Some(()));
        let second = budget.take(8);
        assert_eq!(budget.has_room().now_or_never(), None);
        drop(first);
        assert_eq!(budget.has_room().now_or_never(), Some(()));
        drop(second);
        assert_eq!(budget.used.get(), 0);
    }

    #[test]
    fn a_permit_that_needs_less_gives_the_rest_back() {
        let budget = Budget::new(10);
        let mut permit = budget.take(12);
        permit.shrink(20);
        assert_eq!(budget.has_room().now_or_never(), None);
        permit.shrink(3);
        assert_eq!(budget.has_room().now_or_never(), Some(()));
        drop(permit);
        assert_eq!(budget.used.get(), 0);
    }

    #[test]
    fn what_was_split_off_is_given_back_by_itself() {
        let budget = Budget::new(10);
        let mut growing = budget.take(0);
        growing.grow(20);
        let part = growing.split(15);
        growing.grow(3);
        drop(part);
        assert_eq!(budget.used.get(), 8);
        drop(growing.split(u64::MAX));
        assert_eq!(budget.used.get(), 0);
    }

    #[test]
    fn a_closed_budget_holds_nobody_back() {
        let budget = Budget::new(1);
        let _all = budget.take(1);
        budget.close();
        assert_eq!(budget.has_room().now_or_never(), Some(()));
    }
}
