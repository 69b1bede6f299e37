//! Which way of making a write durable is the quicker one, found out while writing.

use std::time::Duration;

/// How a write becomes durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// By a sync behind it.
    Synced,
    /// By itself: it completes once it is durable.
    AsOne,
}

/// What both ways took lately, for writes of about the same size.
///
/// The slower one is tried again now and then, the more rarely the slower it was: these attempts
/// cost no more than a fiftieth of the time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ways {
    synced: Option<u64>,
    as_one: Option<u64>,
    /// The writes that go by before the slower way is tried again.
    until_attempt: u64,
}

/// Attempts of the slower way may take one part of so many of the time.
const ATTEMPTS_SHARE: u64 = 50;
const UNTIL_ATTEMPT_MIN: u64 = 16;
const UNTIL_ATTEMPT_MAX: u64 = 10_000;
/// A new figure of the way that is taken counts for one part of so many. A single slow write may
/// well turn it, for what counts is the mean.
const SMOOTHING: u64 = 16;
/// A new figure of the other way counts for more, since there are so few of them, but not so much
/// that a lucky one would turn it.
const SMOOTHING_OF_ATTEMPTS: u64 = 8;

impl Ways {
    pub(super) const UNKNOWN: Self = Self {
        synced: None,
        as_one: None,
        until_attempt: UNTIL_ATTEMPT_MIN,
    };

    /// The way for the next write.
    pub(super) fn choose(&mut self) -> Way {
        match (self.quicker(), self.until_attempt) {
            (Way::Synced, 0) => Way::AsOne,
            (Way::AsOne, 0) => Way::Synced,
            (quicker, _) => {
                self.until_attempt -= 1;
                quicker
            }
        }
    }

    /// Takes in how long a write took that went this way.
    pub(super) fn observe(&mut self, way: Way, took: Duration) {
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX).max(1);
        let is_usual = way == self.quicker();
        let known = match way {
            Way::Synced => &mut self.synced,
            Way::AsOne => &mut self.as_one,
        };
        *known = Some(match *known {
            Some(before) => {
                let parts = match is_usual {
                    true => SMOOTHING,
                    false => SMOOTHING_OF_ATTEMPTS,
                };
                before - before / parts + nanos / parts
            }
            None => nanos,
        });
        if !is_usual {
            self.until_attempt = self.until_next_attempt();
        }
    }

    fn quicker(&self) -> Way {
        match (self.synced, self.as_one) {
            (Some(synced), Some(as_one)) if as_one < synced => Way::AsOne,
            (Some(_), None) => Way::AsOne,
            (None | Some(_), Some(_)) | (None, None) => Way::Synced,
        }
    }

    fn until_next_attempt(&self) -> u64 {
        let (Some(synced), Some(as_one)) = (self.synced, self.as_one) else {
            return UNTIL_ATTEMPT_MIN;
        };
        let lost = synced.abs_diff(as_one);
        let writes = lost.saturating_mul(ATTEMPTS_SHARE) / synced.min(as_one).max(1);
        writes.clamp(UNTIL_ATTEMPT_MIN, UNTIL_ATTEMPT_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lets so many writes go by, which take these microseconds, and counts those of each way.
    fn write(ways: &mut Ways, count: usize, synced: u64, as_one: u64) -> (usize, usize) {
        let mut counts = (0, 0);
        for _ in 0..count {
            let way = ways.choose();
            let micros = match way {
                Way::Synced => {
                    counts.0 += 1;
                    synced
                }
                Way::AsOne => {
                    counts.1 += 1;
                    as_one
                }
            };
            ways.observe(way, Duration::from_micros(micros));
        }
        counts
    }

    #[test]
    fn the_quicker_way_is_found_and_the_other_one_hardly_taken() {
        let (synced, as_one) = write(&mut Ways::UNKNOWN.clone(), 10_000, 250, 140);
        assert!(as_one > 9500 && synced > 10, "{synced} and {as_one}");
        let (synced, as_one) = write(&mut Ways::UNKNOWN.clone(), 10_000, 130, 4000);
        assert!((2..20).contains(&as_one), "{synced} and {as_one}");
    }

    #[test]
    fn a_change_of_the_weather_is_noticed_from_either_side() {
        let mut ways = Ways::UNKNOWN;
        write(&mut ways, 1000, 250, 140);
        let (synced, as_one) = write(&mut ways, 10_000, 130, 4000);
        assert!(as_one < 30, "{synced} and {as_one}");
        write(&mut ways, 20_000, 250, 140);
        let (synced, as_one) = write(&mut ways, 1000, 250, 140);
        assert!(synced < 60, "{synced} and {as_one}");
    }

    #[test]
    fn what_is_slow_every_other_time_is_not_taken_for_quick() {
        let mut ways = Ways::UNKNOWN;
        let mut as_one = 0;
        for at in 0..10_000 {
            // A lucky first one.
            let micros = if as_one % 2 == 0 { 140 } else { 4000 };
            let way = ways.choose();
            let micros = match way {
                Way::Synced => 250 + at % 3,
                Way::AsOne => {
                    as_one += 1;
                    micros
                }
            };
            ways.observe(way, Duration::from_micros(micros));
        }
        assert!(as_one < 150, "{as_one}");
    }

    #[test]
    fn after_a_single_slow_write_the_quicker_way_is_taken_again_soon() {
        let mut ways = Ways::UNKNOWN;
        write(&mut ways, 100, 250, 140);
        while ways.choose() != Way::AsOne {
            ways.observe(Way::Synced, Duration::from_micros(250));
        }
        ways.observe(Way::AsOne, Duration::from_millis(4));
        write(&mut ways, 200, 250, 140);
        let (synced, as_one) = write(&mut ways, 100, 250, 140);
        assert!(as_one > 90, "{synced} and {as_one}");
    }
}
