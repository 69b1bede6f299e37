use serde::ser::SerializeStruct as _;
use serde::{Serialize, Serializer};

use super::Failure;
use crate::cli::latency::{self, Percentiles};

/// What a benchmark has found.
#[derive(Clone, Debug)]
pub(super) struct Report {
    pub(super) benchmark: &'static str,
    pub(super) topic: String,
    pub(super) seconds: f64,
    /// Acknowledged, or read.
    pub(super) records: u64,
    /// Of their keys and values.
    pub(super) bytes: u64,
    /// Per batch; `None` where nothing was acknowledged.
    pub(super) acknowledgement_us: Option<Percentiles>,
    /// Batches that failed.
    pub(super) errors: u64,
    pub(super) last_error: Option<String>,
}

impl Report {
    fn records_per_second(&self) -> f64 {
        self.records as f64 / self.seconds.max(1e-6)
    }

    fn mib_per_second(&self) -> f64 {
        self.bytes as f64 / f64::from(1 << 20) / self.seconds.max(1e-6)
    }

    /// For people.
    pub(super) fn text(&self) -> String {
        let mut text = format!(
            "{} {}: {} records in {:.2} s, {:.0} records/s, {:.1} MiB/s, {} errors",
            self.benchmark,
            self.topic,
            self.records,
            self.seconds,
            self.records_per_second(),
            self.mib_per_second(),
            self.errors,
        );
        if let Some(percentiles) = self.acknowledgement_us {
            let Percentiles {
                p50,
                p90,
                p99,
                p99_9,
                max,
            } = percentiles;
            let [p50, p90, p99, p99_9, max] = [p50, p90, p99, p99_9, max].map(latency::human);
            text += &format!(
                "\nacknowledgement of a batch: p50 {p50}, p90 {p90}, p99 {p99}, p99.9 {p99_9}, \
                 max {max}"
            );
        }
        text
    }

    /// A benchmark with errors is no measurement.
    pub(super) fn failure(&self) -> Result<(), Failure> {
        match &self.last_error {
            None => Ok(()),
            Some(error) => Err(Failure::failed(format!(
                "{} batches failed, the last: {error}",
                self.errors
            ))),
        }
    }
}

impl Serialize for Report {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_struct("Report", 9)?;
        object.serialize_field("benchmark", self.benchmark)?;
        object.serialize_field("topic", &self.topic)?;
        object.serialize_field("seconds", &self.seconds)?;
        object.serialize_field("records", &self.records)?;
        object.serialize_field("bytes", &self.bytes)?;
        object.serialize_field("records_per_second", &self.records_per_second())?;
        object.serialize_field("mib_per_second", &self.mib_per_second())?;
        object.serialize_field("acknowledgement_us", &self.acknowledgement_us)?;
        object.serialize_field("errors", &self.errors)?;
        object.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::output;

    fn report() -> Report {
        Report {
            benchmark: "produce",
            topic: "b".to_owned(),
            seconds: 2.0,
            records: 2_048,
            bytes: 2_048 << 10,
            acknowledgement_us: Some(Percentiles {
                p50: 1,
                p90: 2,
                p99: 3,
                p99_9: 4,
                max: 5,
            }),
            errors: 0,
            last_error: None,
        }
    }

    #[test]
    fn a_report_can_be_read_by_programs() {
        assert_eq!(
            output::to_json(&report()),
            "{\"benchmark\":\"produce\",\"topic\":\"b\",\"seconds\":2.0,\"records\":2048,\
             \"bytes\":2097152,\"records_per_second\":1024.0,\"mib_per_second\":1.0,\
             \"acknowledgement_us\":{\"p50\":1,\"p90\":2,\"p99\":3,\"p99_9\":4,\"max\":5},\
             \"errors\":0}"
        );
        assert!(report().failure().is_ok());
    }

    #[test]
    fn a_report_with_errors_is_a_failure() {
        let report = Report {
            errors: 2,
            last_error: Some("gone".to_owned()),
            ..report()
        };
        let failure = report.failure().unwrap_err().to_string();
        assert!(
            failure.contains("2 batches failed, the last: gone"),
            "{failure}"
        );
    }
}
