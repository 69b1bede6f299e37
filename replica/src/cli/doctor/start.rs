use std::path::Path;

use super::fact::Facts;
use super::row::Verdict;
use super::verdict;
use crate::cli::Failure;

/// Looks at what a node needs before it does anything: an error tells what keeps it from starting
/// and what to do, and the log is told once of what somebody should know.
pub(crate) fn check(data_dir: &Path, shards: usize) -> Result<(), Failure> {
    let mut failing = Vec::new();
    for row in verdict::of_facts(&Facts::gather(data_dir), shards) {
        let (check, found) = (row.check, row.found);
        let advice = row.advice.unwrap_or_default();
        match row.verdict {
            Verdict::Fails => failing.push(format!("{check}: {found}: {advice}")),
            Verdict::Warning => {
                tracing::warn!(check, found, advice, "the machine is not quite fit")
            }
            Verdict::Slow => tracing::info!(check, found, advice, "the machine slows this node"),
            Verdict::Ok => {}
        }
    }
    if failing.is_empty() {
        return Ok(());
    }
    Err(Failure::failed(format!(
        "this machine cannot run the node. {}. `quorate doctor --data-dir {}` tells more",
        failing.join(". "),
        data_dir.display()
    )))
}
