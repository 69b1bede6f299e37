use std::path::Path;

use serde::Serialize;

use super::row::{Row, Verdict};
use crate::cli::{Failure, output};

/// Everything that was looked at, and whether a node can run with it.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Report {
    data_dir: String,
    would_start: bool,
    checks: Vec<Row>,
}

impl Report {
    pub(super) fn new(data_dir: &Path, checks: Vec<Row>) -> Self {
        Self {
            data_dir: data_dir.display().to_string(),
            would_start: !checks.iter().any(|row| row.verdict == Verdict::Fails),
            checks,
        }
    }

    /// For people: a table, and below it what to do.
    pub(super) fn text(&self) -> String {
        let cells = |row: &Row| {
            [
                row.check.to_owned(),
                row.verdict.name().to_owned(),
                row.found.clone(),
            ]
        };
        let cells = self.checks.iter().map(cells).collect();
        let mut text = output::table(["CHECK", "VERDICT", "FOUND"], cells);
        for row in &self.checks {
            if let Some(advice) = &row.advice {
                text += &format!("\n\n{} ({}): {advice}", row.check, row.verdict.name());
            }
        }
        text
    }

    /// Names what would keep a node from starting.
    pub(super) fn failure(&self) -> Result<(), Failure> {
        if self.would_start {
            return Ok(());
        }
        let failing = self
            .checks
            .iter()
            .filter(|row| row.verdict == Verdict::Fails);
        let names: Vec<_> = failing.map(|row| row.check).collect();
        Err(Failure::failed(format!(
            "a node would not start here: {}",
            names.join(", ")
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> Vec<Row> {
        vec![
            Row::ok("cores", "2").figure("count", 2),
            Row::ok("open_files", "at most 64").but(Verdict::Fails, "raise it"),
        ]
    }

    #[test]
    fn a_report_can_be_read_by_programs() {
        assert_eq!(
            output::to_json(&Report::new(Path::new("d"), rows())),
            "{\"data_dir\":\"d\",\"would_start\":false,\"checks\":[{\"check\":\"cores\",\
             \"verdict\":\"ok\",\"found\":\"2\",\"figures\":{\"count\":2},\"advice\":null},\
             {\"check\":\"open_files\",\"verdict\":\"fails\",\"found\":\"at most 64\",\
             \"figures\":{},\"advice\":\"raise it\"}]}"
        );
    }

    #[test]
    fn a_report_tells_people_what_to_do() {
        let report = Report::new(Path::new("d"), rows());
        let text = report.text();
        assert!(text.contains("open_files (fails): raise it"), "{text}");
        let failure = report.failure().unwrap_err().to_string();
        assert_eq!(failure, "a node would not start here: open_files");
        let fit = Report::new(Path::new("d"), rows()[..1].to_vec());
        assert!(fit.failure().is_ok());
    }
}
