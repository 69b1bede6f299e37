use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use crate::Instant;

/// The longest wait at a point where something lingers.
const LINGER_MAX: Duration = Duration::from_millis(200);

/// Tasks, time and randomness of one thread.
pub trait Tasks: Clone + 'static {
    /// Runs `task` on this thread until it ends; nobody can cancel it.
    fn spawn(&self, task: impl Future<Output = ()> + 'static);

    /// The monotonic clock.
    fn now(&self) -> Instant;

    /// Milliseconds since 1970-01-01 UTC by the wall clock. It may jump, so it steers no protocol.
    fn wall_clock_ms(&self) -> i64;

    /// Completes once `duration` has passed.
    fn sleep(&self, duration: Duration) -> impl Future<Output = ()>;

    /// Eight random bytes, good for nonces, jitter and identifiers.
    fn random(&self) -> u64;

    /// Whether to take a path at `point` now that is right at any time and hardly ever taken: a
    /// queue counts as full, a message as lost.
    ///
    /// Never in production, so the path is not even compiled there. A simulation draws it, so that
    /// such paths are walked often and come together.
    fn rarely(&self, _point: &'static str) -> bool {
        false
    }

    /// Waits for a while at `point` if [`Tasks::rarely`] says so.
    fn linger(&self, point: &'static str) -> impl Future<Output = ()> {
        async move {
            if self.rarely(point) {
                let most = LINGER_MAX.as_nanos() as u64;
                self.sleep(Duration::from_nanos(self.random() % most)).await;
            }
        }
    }

    /// Waits for `future`, at most for `duration`.
    ///
    /// On [`Elapsed`] the future is dropped: never time out a read of a stream that is used
    /// afterwards, for bytes that had already arrived would be lost.
    fn timeout<F: Future>(
        &self,
        duration: Duration,
        future: F,
    ) -> impl Future<Output = Result<F::Output, Elapsed>> {
        async move {
            let mut future = pin!(future);
            let mut sleep = pin!(self.sleep(duration));
            std::future::poll_fn(|context| {
                if let Poll::Ready(output) = future.as_mut().poll(context) {
                    return Poll::Ready(Ok(output));
                }
                sleep.as_mut().poll(context).map(|()| Err(Elapsed))
            })
            .await
        }
    }
}

/// The time given to a wait has run out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Elapsed;

impl fmt::Display for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the time given to this wait has run out")
    }
}

impl std::error::Error for Elapsed {}
