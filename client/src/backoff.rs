use std::time::Duration;

use quorate_platform::Tasks;

const FIRST: Duration = Duration::from_millis(20);
const LONGEST: Duration = Duration::from_millis(250);

/// Pauses between tries: doubling, and jittered so that clients do not come back in step.
#[derive(Debug)]
pub(crate) struct Backoff {
    next: Duration,
}

impl Backoff {
    pub(crate) fn new() -> Self {
        Self { next: FIRST }
    }

    /// The next pause is a short one again.
    pub(crate) fn reset(&mut self) {
        self.next = FIRST;
    }

    /// Between half and the whole of the current pause; the one after it is twice as long.
    pub(crate) fn next_pause(&mut self, platform: &impl Tasks) -> Duration {
        let half = self.next / 2;
        let jitter_ns = platform.random() % (half.as_nanos() as u64 + 1);
        self.next = (self.next * 2).min(LONGEST);
        half + Duration::from_nanos(jitter_ns)
    }
}
