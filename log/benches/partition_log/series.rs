use std::time::{Duration, Instant};

use crate::table;

/// What one turn of a variant has shown.
#[derive(Debug, Default)]
pub(crate) struct Round {
    pub(crate) latencies: Vec<Duration>,
    pub(crate) bytes: u64,
    pub(crate) elapsed: Duration,
}

/// What all turns of a variant have shown.
#[derive(Debug, Default)]
pub(crate) struct Series {
    latencies: Vec<Duration>,
    /// Of each turn, in bytes per second.
    rates: Vec<f64>,
}

impl Round {
    /// A turn that did one thing.
    pub(crate) fn once(elapsed: Duration, bytes: u64) -> Self {
        Self {
            latencies: vec![elapsed],
            bytes,
            elapsed,
        }
    }

    /// Does something again and again for as long as a turn lasts; it tells how many bytes it was.
    pub(crate) fn repeat(time: Duration, mut action: impl FnMut() -> usize) -> Self {
        let begun = Instant::now();
        let mut round = Self::default();
        while round.latencies.is_empty() || begun.elapsed() < time {
            let started = Instant::now();
            round.bytes += action() as u64;
            round.latencies.push(started.elapsed());
        }
        // Only what was done, not what was done in between.
        round.elapsed = round.latencies.iter().sum();
        round
    }
}

impl Series {
    pub(crate) fn push(&mut self, round: Round) {
        self.latencies.extend(round.latencies);
        self.rates
            .push(round.bytes as f64 / round.elapsed.as_secs_f64());
    }

    pub(crate) fn median(&self) -> Duration {
        self.percentile(0.5)
    }

    pub(crate) fn percentile(&self, part: f64) -> Duration {
        let mut sorted = self.latencies.clone();
        sorted.sort_unstable();
        let last = sorted.len().saturating_sub(1);
        let at = (last as f64 * part).round() as usize;
        sorted.get(at).copied().unwrap_or_default()
    }

    /// The median of the turns, in bytes per second.
    pub(crate) fn rate(&self) -> f64 {
        let mut sorted = self.rates.clone();
        sorted.sort_unstable_by(f64::total_cmp);
        sorted.get(sorted.len() / 2).copied().unwrap_or_default()
    }

    /// Median, 99th percentile, rate.
    pub(crate) fn cell(&self) -> String {
        let (median, p99) = (self.median(), self.percentile(0.99));
        format!(
            "{} / {} / {}",
            table::time(median),
            table::time(p99),
            table::rate(self.rate())
        )
    }
}
