use std::time::Duration;

const FIRST: Duration = Duration::from_millis(50);
/// A node that returns is reached again within this time; one that stays away costs each of the
/// others a connection attempt in about this time.
const LONGEST: Duration = Duration::from_millis(1_000);

/// How long to wait before the next attempt: twice as long each time, with jitter, so that the
/// nodes of a cluster do not all try in the same moment.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    next: Duration,
}

impl Backoff {
    /// As after a success.
    pub const fn new() -> Self {
        Self { next: FIRST }
    }

    /// The wait after one more failure: between half and the whole of the current step.
    pub fn after_failure(&mut self, random: u64) -> Duration {
        let step = self.next;
        self.next = LONGEST.min(step * 2);
        let half = step / 2;
        half + Duration::from_nanos(random % (half.as_nanos() as u64 + 1))
    }

    /// The attempt has succeeded.
    pub const fn reset(&mut self) {
        self.next = FIRST;
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_a_limit_and_start_over_after_a_success() {
        let mut backoff = Backoff::new();
        assert_eq!(backoff.after_failure(0), FIRST / 2);
        for _ in 0..10 {
            assert!(backoff.after_failure(u64::MAX) <= LONGEST);
        }
        assert_eq!(backoff.after_failure(0), LONGEST / 2);
        backoff.reset();
        assert!(backoff.after_failure(u64::MAX) <= FIRST);
    }
}
