//! Whether this machine is fit for a node, and what to change about it.
//!
//! Three steps that know nothing of each other: what can be seen ([`fact`]), what the disk does
//! ([`measure`]), and what is thought of both ([`verdict`]). A node takes the first and the third
//! when it starts ([`start`]), so that both say the same in the same words.

mod fact;
mod measure;
mod operation;
mod progress;
mod report;
mod row;
mod size;
mod start;
mod verdict;

use std::path::PathBuf;

use clap::Args;

use super::output::{self, Output};
use super::{Failure, Global, logging, signals};
use crate::stop::Stop;
use fact::{Facts, Ring};
use measure::{Room, Shortfall};
use report::Report;
use row::Row;

pub(crate) use start::check as check_start;

/// Say whether this machine is fit for a node, and what to change.
///
/// Looks at the kernel, the limits of this process and the file system, and measures the disk for
/// about ten seconds, which anything else that uses it will notice. The files for that take up to
/// 80 MiB in the folder and are removed in any case.
///
/// Verdicts: "ok"; "slow", where a node works and could be faster; "warning", where it works and
/// somebody should know; "fails", where it does not start. The exit code is 1 if anything fails.
#[derive(Debug, Args)]
pub(crate) struct Doctor {
    /// The data folder that a node has or is to have; while it is missing, the nearest folder above
    /// it is looked at
    #[arg(long, value_name = "DIR", default_value = ".")]
    data_dir: PathBuf,
}

impl Doctor {
    pub(crate) fn run(self, global: &Global) -> Result<(), Failure> {
        logging::start(global, "warn", None)?;
        let facts = Facts::gather(&self.data_dir);
        let mut rows = verdict::of_facts(&facts, 1);
        let stop = Stop::new();
        rows.extend(measured(&facts, &stop)?);
        let report = Report::new(&self.data_dir, rows);
        match global.output {
            Output::Table => output::print(&report.text())?,
            Output::Json => output::print_json(&report)?,
        }
        report.failure()?;
        match stop.is_set() {
            true => Err(Failure::failed("interrupted: not everything was measured")),
            false => Ok(()),
        }
    }
}

/// What is thought of the disk's speed. Without a ring or a folder there is nothing to measure,
/// and the facts have said why.
fn measured(facts: &Facts, stop: &Stop) -> Result<Vec<Row>, Failure> {
    let has_ring = matches!(facts.ring, Ring::Ready { .. });
    let available = facts.folder.file_system.map(|found| found.available_bytes);
    let (true, Ok(_), Some(available)) = (has_ring, facts.folder.trial, available) else {
        return Ok(Vec::new());
    };
    let room = Room::of(available);
    if room == Room::TooLittle {
        return Ok(vec![verdict::of_shortfall(&Shortfall::Room)]);
    }
    let stopping = stop.clone();
    signals::stop_in_order(move || stopping.set())?;
    Ok(match measure::run(&facts.folder, room, stop) {
        Ok(speed) => verdict::of_speed(&speed, room),
        Err(shortfall) => vec![verdict::of_shortfall(&shortfall)],
    })
}
