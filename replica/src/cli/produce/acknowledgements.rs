use std::io::{self, Write};

use quorate_client::Acknowledged;
use serde::Serialize;

use crate::cli::Failure;
use crate::cli::latency::Latencies;
use crate::cli::output::{self, Output};

/// Listens to acknowledged batches: times them, and prints them if asked to.
#[derive(Debug)]
pub(super) struct Acknowledgements {
    pub(super) latencies: Latencies,
    output: Output,
    failure: Option<io::Error>,
}

#[derive(Debug, Serialize)]
struct BatchLine {
    partition: u32,
    base_offset: Option<u64>,
    count: u32,
}

impl Acknowledgements {
    pub(super) fn new(output: Output) -> Self {
        Self {
            latencies: Latencies::new(),
            output,
            failure: None,
        }
    }

    pub(super) fn on_acknowledged(&mut self, batch: &Acknowledged) {
        self.latencies.record(batch.latency, u64::from(batch.count));
        if self.output == Output::Json && self.failure.is_none() {
            let mut stdout = std::io::stdout().lock();
            let written = writeln!(stdout, "{}", line(batch)).and_then(|()| stdout.flush());
            self.failure = written.err();
        }
    }

    /// Why the batches could not all be printed. Writing went on nevertheless.
    pub(super) fn failure(&self) -> Result<(), Failure> {
        self.failure
            .as_ref()
            .map_or(Ok(()), |error| Err(Failure::stdout(error)))
    }
}

fn line(batch: &Acknowledged) -> String {
    output::to_json(&BatchLine {
        partition: batch.partition,
        base_offset: batch.base_offset,
        count: batch.count,
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_batch_is_one_object_with_the_names_that_scripts_rely_on() {
        let mut batch = Acknowledged {
            topic: "t".to_owned(),
            partition: 2,
            base_offset: Some(40),
            count: 3,
            bytes: 100,
            latency: Duration::from_millis(1),
        };
        assert_eq!(
            line(&batch),
            r#"{"partition":2,"base_offset":40,"count":3}"#
        );
        batch.base_offset = None;
        assert_eq!(
            line(&batch),
            r#"{"partition":2,"base_offset":null,"count":3}"#
        );
    }
}
