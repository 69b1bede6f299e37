//! The production platform: compio, and so io_uring, on the thread that runs it.

mod disk;
mod network;

use std::future::Future;
use std::sync::OnceLock;
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
        compio::time::sleep(duration).await;
    }

    fn random(&self) -> u64 {
        rand::random()
    }
}
