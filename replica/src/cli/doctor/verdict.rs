//! What is thought of what was found: from facts to rows, without asking anybody anything.
//!
//! Each threshold stands with its reason where it is used.

mod folder;
mod kernel;
mod processor;
mod speed;

#[cfg(test)]
mod tests;

use super::fact::Facts;
use super::row::Row;

pub(crate) use speed::{of_shortfall, of_speed};

/// What is thought of the machine before anything is measured, for a node of so many shards.
pub(crate) fn of_facts(facts: &Facts, shards: usize) -> Vec<Row> {
    let mut rows = vec![kernel::of_release(&facts.release)];
    rows.extend(kernel::of_ring(&facts.ring));
    rows.push(processor::of_cores(facts.cores, shards));
    rows.push(processor::of_clock(&facts.clock));
    rows.push(kernel::of_open_files(facts.limits));
    rows.push(kernel::of_locked_memory(facts.limits, &facts.release));
    rows.extend(folder::of_folder(&facts.folder));
    rows
}
