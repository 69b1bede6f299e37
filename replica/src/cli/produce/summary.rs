use std::time::Duration;

use serde::Serialize;

use super::delivered::Outcome;
use crate::cli::latency::{self, Latencies};

/// What a run of `produce` tells at its end.
#[derive(Debug, Serialize)]
pub(super) struct Summary {
    records: u64,
    bytes: u64,
    seconds: f64,
    records_per_second: f64,
    bytes_per_second: f64,
    /// Microseconds from sending to acknowledgement.
    p50_us: Option<u64>,
    p99_us: Option<u64>,
    /// Records that were sent and are certainly not written.
    not_written: u64,
    /// Records that were sent and may or may not be written.
    unknown: u64,
}

impl Summary {
    pub(super) fn new(outcome: &Outcome, elapsed: Duration, latencies: &Latencies) -> Self {
        let seconds = elapsed.as_secs_f64().max(1e-6);
        let percentiles = latencies.percentiles();
        Self {
            records: outcome.acknowledged,
            bytes: outcome.bytes,
            seconds,
            records_per_second: outcome.acknowledged as f64 / seconds,
            bytes_per_second: outcome.bytes as f64 / seconds,
            p50_us: percentiles.map(|it| it.p50),
            p99_us: percentiles.map(|it| it.p99),
            not_written: outcome.not_written,
            unknown: outcome.unknown,
        }
    }

    /// For people; `is_whole` if every line of the input is acknowledged.
    pub(super) fn text(&self, is_whole: bool) -> String {
        let mut text = format!(
            "acknowledged: {} records, {} bytes in {:.2} s ({:.0} records/s, {:.1} MiB/s)",
            self.records,
            self.bytes,
            self.seconds,
            self.records_per_second,
            self.bytes_per_second / f64::from(1 << 20),
        );
        if let (Some(p50), Some(p99)) = (self.p50_us, self.p99_us) {
            let (p50, p99) = (latency::human(p50), latency::human(p99));
            text += &format!(", acknowledgement p50 {p50}, p99 {p99}");
        }
        if !is_whole {
            text += &format!(
                "\ncertainly not written: {} records; unknown: {} records; the rest of the input \
                 was not sent",
                self.not_written, self.unknown
            );
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::output;

    fn summary(unknown: u64) -> Summary {
        let outcome = Outcome {
            acknowledged: 10,
            bytes: 100,
            unknown,
            ..Outcome::default()
        };
        let mut latencies = Latencies::new();
        latencies.record(Duration::from_millis(2), 10);
        Summary::new(&outcome, Duration::from_secs(2), &latencies)
    }

    #[test]
    fn a_whole_run_is_told_in_one_line() {
        let text = summary(0).text(true);
        assert_eq!(
            text,
            "acknowledged: 10 records, 100 bytes in 2.00 s (5 records/s, 0.0 MiB/s), \
             acknowledgement p50 2.00 ms, p99 2.00 ms"
        );
    }

    #[test]
    fn a_failed_run_says_what_is_known_of_every_record() {
        let text = summary(3).text(false);
        assert!(text.starts_with("acknowledged: 10 records"), "{text}");
        assert!(
            text.contains("certainly not written: 0 records; unknown: 3 records"),
            "{text}"
        );
    }

    #[test]
    fn the_summary_can_be_read_by_programs() {
        let json = output::to_json(&summary(3));
        assert!(
            json.starts_with(r#"{"records":10,"bytes":100,"seconds":2.0"#),
            "{json}"
        );
        assert!(json.contains(r#""not_written":0,"unknown":3"#), "{json}");
    }
}
