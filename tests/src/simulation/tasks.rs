//! Tasks, time and randomness of one simulated host.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::future::Future;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind};
use std::pin::Pin;
use std::sync::Once;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use quorate_platform::{Instant, Tasks};
use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};

use super::platform::SimPlatform;

/// Milliseconds since 1970 when a simulation begins: 2026-01-01 UTC.
pub const EPOCH_MS: i64 = 1_767_225_600_000;
/// No wall clock is behind by more than this.
const FURTHEST_BACK_MS: i64 = 3_600_000;

/// The wall clock of a host, which may be wrong.
#[derive(Debug, Default)]
pub struct WallClock {
    /// By how much it is ahead of true time, in milliseconds.
    pub offset_ms: Cell<i64>,
    /// By how much it gains on true time, in millionths.
    pub drift_ppm: Cell<i64>,
    /// Whether it steers the node as well, which takes it for a monotonic clock. No host should
    /// have such a clock: it is there to see whether that would be noticed.
    pub steers: Cell<bool>,
}

impl WallClock {
    fn at(&self, elapsed: Duration) -> i64 {
        let elapsed = i64::try_from(elapsed.as_millis()).expect("a run is short");
        let gained = elapsed * self.drift_ppm.get() / 1_000_000;
        EPOCH_MS + elapsed + gained + self.offset_ms.get()
    }
}

/// Whether a host is halted, as by a signal: its time passes, and none of its tasks runs.
#[derive(Debug, Default)]
pub(super) struct Pause {
    is_paused: Cell<bool>,
    waiting: RefCell<Vec<Waker>>,
}

impl Pause {
    pub(super) fn begin(&self) {
        self.is_paused.set(true);
    }

    pub(super) fn end(&self) {
        self.is_paused.set(false);
        for waker in self.waiting.take() {
            waker.wake();
        }
    }

    /// What waited is gone: the host has crashed.
    pub(super) fn forget(&self) {
        self.is_paused.set(false);
        self.waiting.take();
    }
}

/// Time and randomness of one start of a host.
#[derive(Debug)]
pub(super) struct Life {
    random: RefCell<ChaCha8Rng>,
    /// Simulated time when it started, by the run and by the runtime.
    started: Duration,
    origin: tokio::time::Instant,
    /// The last that was seen of it; outside of the runtime, in a crash, it stands still.
    elapsed: Cell<Duration>,
    /// By how much a wall clock that steers the node has moved what the node takes for its
    /// monotonic clock, in nanoseconds.
    moved: Cell<u64>,
    /// The latest that this has shown.
    latest: Cell<u64>,
}

impl Life {
    /// Begins on the host's runtime.
    pub(super) fn begin(seed: u64, host: u16, start: u32) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        random.set_stream(u64::from(host) << 32 | u64::from(start));
        let started = turmoil::sim_elapsed().expect("a host lives inside a simulation");
        Self {
            random: RefCell::new(random),
            started,
            origin: tokio::time::Instant::now(),
            elapsed: Cell::new(started),
            moved: Cell::new(0),
            latest: Cell::new(0),
        }
    }

    pub(super) fn elapsed(&self) -> Duration {
        if tokio::runtime::Handle::try_current().is_ok() {
            self.elapsed.set(self.started + self.origin.elapsed());
        }
        self.elapsed.get()
    }

    /// What a node takes for a monotonic clock that is steered by the wall clock: it stands still
    /// while that goes back.
    fn steered(&self, wall_clock_ms: i64, elapsed: u64) -> u64 {
        let ahead_ms = wall_clock_ms - EPOCH_MS + FURTHEST_BACK_MS;
        let nanos = u64::try_from(ahead_ms).map_or(0, |ahead| ahead * 1_000_000);
        self.latest.set(self.latest.get().max(nanos));
        self.moved.set(self.latest.get().saturating_sub(elapsed));
        self.latest.get()
    }

    pub(super) fn random(&self) -> u64 {
        self.random.borrow_mut().random()
    }
}

impl Tasks for SimPlatform {
    fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        let guarded = Guarded {
            platform: self.clone(),
            task: Box::pin(task),
        };
        tokio::task::spawn_local(guarded);
    }

    fn now(&self) -> Instant {
        let elapsed = self.elapsed().as_nanos();
        let elapsed = u64::try_from(elapsed).expect("a run is short");
        let (clock, life) = (&self.host().clock, self.life());
        Instant::from_nanos(match clock.steers.get() {
            true => life.steered(clock.at(self.elapsed()), elapsed),
            // What it has moved stays so.
            false => elapsed + life.moved.get(),
        })
    }

    fn wall_clock_ms(&self) -> i64 {
        self.host().clock.at(self.elapsed())
    }

    async fn sleep(&self, duration: Duration) {
        if duration.is_zero() {
            return tokio::task::yield_now().await;
        }
        tokio::time::sleep(duration).await;
    }

    fn random(&self) -> u64 {
        self.life().random()
    }

    fn rarely(&self, point: &'static str) -> bool {
        let rarities = &self.host().rarities;
        rarities.is_taken(point, || self.random())
    }
}

/// A task whose panic ends the run instead of itself alone, and that stands still with its host.
pub(super) struct Guarded<F> {
    pub(super) platform: SimPlatform,
    pub(super) task: Pin<Box<F>>,
}

impl<F: Future<Output = ()>> Future for Guarded<F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let pause = &self.platform.host().pause;
        if pause.is_paused.get() {
            pause.waiting.borrow_mut().push(context.waker().clone());
            return Poll::Pending;
        }
        let task = self.task.as_mut();
        match catch(|| task.poll(context)) {
            Ok(poll) => poll,
            Err(message) => {
                self.platform.panicked(message);
                Poll::Ready(())
            }
        }
    }
}

thread_local! {
    /// Where the last panic of simulated code was and what it said, while such code runs.
    static PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
    static IS_WATCHED: Cell<bool> = const { Cell::new(false) };
}

/// Runs simulated code; a panic is told in words, with its place.
pub(super) fn catch<T>(code: impl FnOnce() -> T) -> Result<T, String> {
    watch_panics();
    let was_watched = IS_WATCHED.replace(true);
    let result = catch_unwind(AssertUnwindSafe(code));
    IS_WATCHED.set(was_watched);
    result.map_err(|panic| {
        let told = PANIC.take();
        told.unwrap_or_else(|| message_of(panic.as_ref()))
    })
}

/// Has panics of simulated code noted instead of printed: the run tells of them.
fn watch_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let report = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic: &PanicHookInfo<'_>| {
            if IS_WATCHED.get() {
                PANIC.set(Some(panic.to_string()));
            } else {
                report(panic);
            }
        }));
    });
}

fn message_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wall_clock_is_ahead_and_gains() {
        let clock = WallClock::default();
        clock.offset_ms.set(-500);
        clock.drift_ppm.set(1000);
        assert_eq!(clock.at(Duration::ZERO), EPOCH_MS - 500);
        let minute = Duration::from_secs(60);
        assert_eq!(clock.at(minute), EPOCH_MS - 500 + 60_060);
    }

    #[test]
    fn a_panic_is_told_with_its_place() {
        let message = catch(|| panic!("out of luck")).unwrap_err();
        assert!(message.contains("out of luck"), "{message}");
        assert!(message.contains("tasks.rs"), "{message}");
        assert_eq!(catch(|| 5), Ok(5));
    }
}
