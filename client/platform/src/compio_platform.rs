//! The production platform: compio, and so io_uring, on the thread that runs it.

mod disk;
mod durable_write;
mod network;

use std::future::Future;
use std::sync::OnceLock;
use std::task::Poll;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::{Instant, Tasks};

pub use disk::CompioFile;
pub use network::{CompioListener, CompioReader, CompioWriter};

/// The platform of a thread that runs inside a compio runtime.
#[derive(Clone, Copy, Debug, Default)]
pub struct Compio;

/// All threads of the process count from the same instant, so that instants may cross threads.
static ORIGIN: OnceLock<std::time::Instant> = OnceLock::new();

impl Tasks for Compio {
    fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        compio::runtime::spawn(task).detach();
    }

    fn now(&self) -> Instant {
        let elapsed = ORIGIN.get_or_init(std::time::Instant::now).elapsed();
        Instant::from_nanos(u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX))
    }

    fn wall_clock_ms(&self) -> i64 {
        let since_epoch = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX)
    }

    async fn sleep(&self, duration: Duration) {
        if duration.is_zero() {
            // The runtime's timer is done at once then, and a loop around it would keep every other
            // task from running.
            return yield_once().await;
        }
        compio::time::sleep(duration).await;
    }

    fn random(&self) -> u64 {
        rand::random()
    }
}

async fn yield_once() {
    let mut has_yielded = false;
    std::future::poll_fn(|context| {
        if std::mem::replace(&mut has_yielded, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;

    use super::*;

    #[compio::test]
    async fn other_tasks_run_while_one_sleeps_for_no_time() {
        let has_run = Rc::new(Cell::new(false));
        let other = has_run.clone();
        Compio.spawn(async move { other.set(true) });
        while !has_run.get() {
            Compio.sleep(Duration::ZERO).await;
        }
    }
}
