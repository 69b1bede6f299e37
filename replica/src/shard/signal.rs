use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::task::{Poll, Waker};

/// Wakes one task of the same thread.
///
/// Notifications do not add up: one stands for all that came since the task last waited.
#[derive(Debug, Default)]
pub(super) struct Signal {
    is_set: Cell<bool>,
    waiting: RefCell<Option<Waker>>,
}

impl Signal {
    /// Ends the present wait, or the next one if nobody waits.
    pub(super) fn notify(&self) {
        self.is_set.set(true);
        if let Some(waker) = self.waiting.take() {
            waker.wake();
        }
    }

    /// Waits for a notification and takes it.
    pub(super) async fn wait(&self) {
        poll_fn(|context| {
            if self.is_set.take() {
                return Poll::Ready(());
            }
            self.waiting.replace(Some(context.waker().clone()));
            Poll::Pending
        })
        .await;
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn one_wait_takes_all_notifications() {
        let signal = Signal::default();
        assert_eq!(signal.wait().now_or_never(), None);
        signal.notify();
        signal.notify();
        assert_eq!(signal.wait().now_or_never(), Some(()));
        assert_eq!(signal.wait().now_or_never(), None);
    }
}
