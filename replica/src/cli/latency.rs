use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

/// The longest time that is told apart; longer ones count as this.
const MICROSECONDS_MAX: u64 = 600_000_000;

/// Times of acknowledgement, to about a thousandth.
#[derive(Clone, Debug)]
pub(crate) struct Latencies(Histogram<u64>);

/// What a benchmark tells of them, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Percentiles {
    pub(crate) p50: u64,
    pub(crate) p90: u64,
    pub(crate) p99: u64,
    pub(crate) p99_9: u64,
    pub(crate) max: u64,
}

impl Latencies {
    pub(crate) fn new() -> Self {
        let histogram = Histogram::new_with_bounds(1, MICROSECONDS_MAX, 3);
        Self(histogram.expect("the bounds are constants that the histogram accepts"))
    }

    /// Counts `latency` for each of `count` things.
    pub(crate) fn record(&mut self, latency: Duration, count: u64) {
        let microseconds = u64::try_from(latency.as_micros()).unwrap_or(MICROSECONDS_MAX);
        self.0.saturating_record_n(microseconds.max(1), count);
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.0
            .add(&other.0)
            .expect("all histograms have the same bounds");
    }

    /// `None` if nothing was counted.
    pub(crate) fn percentiles(&self) -> Option<Percentiles> {
        let at = |quantile| self.0.value_at_quantile(quantile);
        (!self.0.is_empty()).then(|| Percentiles {
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p99_9: at(0.999),
            max: self.0.max(),
        })
    }
}

/// Microseconds, in the unit in which people read them best.
pub(crate) fn human(microseconds: u64) -> String {
    match microseconds {
        0..1_000 => format!("{microseconds} µs"),
        1_000..1_000_000 => format!("{:.2} ms", microseconds as f64 / 1e3),
        _ => format!("{:.2} s", microseconds as f64 / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_weighted_by_count() {
        let mut latencies = Latencies::new();
        assert_eq!(latencies.percentiles(), None);
        latencies.record(Duration::from_micros(100), 98);
        let mut other = Latencies::new();
        other.record(Duration::from_micros(500), 2);
        latencies.add(&other);
        let percentiles = latencies.percentiles().unwrap();
        assert_eq!((percentiles.p50, percentiles.p90), (100, 100));
        assert_eq!((percentiles.p99, percentiles.max), (500, 500));
    }

    #[test]
    fn a_time_over_the_bound_still_counts() {
        let mut latencies = Latencies::new();
        latencies.record(Duration::from_secs(100_000), 1);
        assert!(latencies.percentiles().unwrap().max >= MICROSECONDS_MAX);
    }

    #[test]
    fn times_are_printed_in_a_readable_unit() {
        assert_eq!(human(12), "12 µs");
        assert_eq!(human(1_500), "1.50 ms");
        assert_eq!(human(2_000_000), "2.00 s");
    }
}
