use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

/// Wakes the tasks of this thread that wait for a condition to change.
///
/// A wait names its condition and is woken by every [`Signal::notify`]; it goes back to sleep
/// while the condition does not hold. Taking what was waited for is part of the condition, so a
/// cancelled wait has taken nothing.
#[derive(Debug, Default)]
pub(crate) struct Signal {
    waiting: RefCell<BTreeMap<u64, Waker>>,
    tickets: Cell<u64>,
}

impl Signal {
    /// Lets all waits look at their conditions again.
    pub(crate) fn notify(&self) {
        let waiting = std::mem::take(&mut *self.waiting.borrow_mut());
        for waker in waiting.into_values() {
            waker.wake();
        }
    }

    /// Waits until `ready` gives something.
    pub(crate) fn wait_until<T, F: FnMut() -> Option<T>>(&self, ready: F) -> Wait<'_, F> {
        Wait {
            signal: self,
            ready,
            ticket: None,
        }
    }

    /// Registers a waker under `ticket`, which is drawn at the first call.
    pub(crate) fn register(&self, ticket: &mut Option<u64>, waker: &Waker) {
        let ticket = *ticket.get_or_insert_with(|| {
            self.tickets.set(self.tickets.get() + 1);
            self.tickets.get()
        });
        self.waiting.borrow_mut().insert(ticket, waker.clone());
    }

    /// Forgets the waker of that ticket.
    pub(crate) fn forget(&self, ticket: Option<u64>) {
        if let Some(ticket) = ticket {
            self.waiting.borrow_mut().remove(&ticket);
        }
    }
}

/// See [`Signal::wait_until`].
#[derive(Debug)]
pub(crate) struct Wait<'a, F> {
    signal: &'a Signal,
    ready: F,
    ticket: Option<u64>,
}

impl<T, F: FnMut() -> Option<T> + Unpin> Future for Wait<'_, F> {
    type Output = T;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        let this = self.get_mut();
        if let Some(value) = (this.ready)() {
            return Poll::Ready(value);
        }
        this.signal.register(&mut this.ticket, context.waker());
        Poll::Pending
    }
}

impl<F> Drop for Wait<'_, F> {
    fn drop(&mut self) {
        self.signal.forget(self.ticket);
    }
}

/// A place for one value that one task leaves and another takes.
#[derive(Debug)]
pub(crate) struct Slot<T> {
    value: RefCell<Option<T>>,
    filled: Signal,
}

impl<T> Slot<T> {
    pub(crate) fn new() -> Self {
        Self {
            value: RefCell::new(None),
            filled: Signal::default(),
        }
    }

    pub(crate) fn fill(&self, value: T) {
        *self.value.borrow_mut() = Some(value);
        self.filled.notify();
    }

    pub(crate) async fn take(&self) -> T {
        self.filled
            .wait_until(|| self.value.borrow_mut().take())
            .await
    }
}

impl<T: Clone> Slot<T> {
    /// Waits for the value and leaves it for the others who wait.
    pub(crate) async fn share(&self) -> T {
        self.filled.wait_until(|| self.value.borrow().clone()).await
    }
}
