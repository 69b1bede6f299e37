use std::path::{Path, PathBuf};

use clap::Args;
use quorate_client::Compio;
use quorate_log::{Finding, IndexState, Inspection, Piece};
use serde::Serialize;

use super::line::LeftoverLine;
use super::place::{FactsPlace, LogPlace, Place};
use super::progress::Progress;
use super::reading;
use super::wording::{self, DamageRow};
use crate::cli::output::{self, Output};
use crate::cli::{Failure, Global};

/// Read everything from the first byte, and say exactly what is damaged
///
/// Checks every frame with the checksums of its blocks, every batch with its own, that offsets and
/// epochs go on from batch to batch and from segment to segment, every index file against the
/// batches, and what is kept of the log before its first segment; for a shard or a node also the
/// facts. Nothing is changed. Every file gets a line, and under it what is damaged in it, what the
/// node will do about it by itself, and what is left to do if no other replica has it. With
/// `--output json` every file is an object on a line of its own.
///
/// The exit code is 0 if everything is sound, and 5 if damage was found. The remains of a write or
/// of a compaction that a crash interrupted are no damage.
#[derive(Debug, Args)]
pub(crate) struct Verify {
    /// A segment file, or the folder of a partition, a shard or a node
    path: PathBuf,
}

/// What was found in one file.
#[derive(Debug, Default, Serialize)]
struct FileRow {
    file: PathBuf,
    /// Null if the file is missing.
    bytes: Option<u64>,
    frames: u64,
    batches: u64,
    records: u64,
    from_offset: Option<u64>,
    /// One past the last sound one.
    to_offset: Option<u64>,
    index: &'static str,
    /// What is kept of the log before this segment; null if it is not the first one, or nothing was
    /// before it.
    start: Option<&'static str>,
    damage: Vec<DamageRow>,
    #[serde(skip)]
    index_text: Option<String>,
    #[serde(skip)]
    start_text: Option<String>,
    #[serde(skip)]
    has_damage: bool,
}

/// What was found in a file of facts.
#[derive(Debug, Serialize)]
struct FactsRow<'a> {
    file: &'a Path,
    bytes: Option<u64>,
    facts: Option<usize>,
    damage: Vec<String>,
}

impl Verify {
    pub(super) async fn run(self, global: &Global) -> Result<(), Failure> {
        let place = Place::find(&self.path).await?;
        reading::tell_if_in_use(&place);
        let mut verification = Verification {
            output: global.output,
            progress: Progress::new(&place),
            passed_bytes: 0,
            damaged: 0,
            is_used: place.is_in_use(),
        };
        for facts in &place.facts {
            verification.facts(facts)?;
        }
        for log in &place.logs {
            verification.log(log).await?;
        }
        let Verification {
            damaged, is_used, ..
        } = verification;
        match damaged {
            0 => Ok(()),
            files if is_used => Err(Failure::damaged(format!(
                "files that look damaged, while a node is writing to them: {files}"
            ))),
            files => Err(Failure::damaged(format!("damaged files: {files}"))),
        }
    }
}

struct Verification {
    output: Output,
    progress: Progress,
    passed_bytes: u64,
    /// The files with damage.
    damaged: u64,
    is_used: bool,
}

impl Verification {
    fn facts(&mut self, facts: &FactsPlace) -> Result<(), Failure> {
        let mut row = FactsRow {
            file: &facts.path,
            bytes: None,
            facts: None,
            damage: Vec::new(),
        };
        match &facts.seen {
            Ok(seen) => {
                row.bytes = Some(seen.bytes);
                row.facts = Some(seen.facts.len());
                if !seen.is_whole {
                    let rest = "one copy of something is damaged, or a write was interrupted; the \
                                node mends it at its next start, and keeps the old file as \
                                facts.damaged";
                    row.damage.push(rest.to_owned());
                }
            }
            Err(error) => row.damage.push(format!(
                "{error}; the node does not start: give it an empty folder and use `quorate \
                 cluster recover`"
            )),
        }
        let unreadable = facts.unreadable.iter().map(|id| {
            format!(
                "the facts of partition {id} cannot be read; the node does not start: give it an \
                 empty folder and use `quorate cluster recover`"
            )
        });
        row.damage.extend(unreadable);
        self.damaged += u64::from(!row.damage.is_empty());
        let text = || {
            let mut lines = vec![format!(
                "{}: {} bytes, the facts of {} partitions",
                row.file.display(),
                row.bytes.unwrap_or(0),
                row.facts.unwrap_or(0)
            )];
            lines.extend(
                row.damage
                    .iter()
                    .map(|damage| format!("  damaged: {damage}")),
            );
            lines.join("\n")
        };
        self.print(text, &row)
    }

    async fn log(&mut self, log: &LogPlace) -> Result<(), Failure> {
        if log.is_missing {
            self.damaged += 1;
            let row = FileRow {
                file: log.folder.clone(),
                has_damage: true,
                index: "missing",
                ..FileRow::default()
            };
            let text = || {
                format!(
                    "{}: the folder is missing; the node makes it anew, and fetches everything \
                     from the other replicas",
                    log.folder.display()
                )
            };
            return self.print(text, &row);
        }
        let mut inspection = reading::begin(log, None).await?;
        if let Some(refusal) = reading::refusal(log, inspection.ending()) {
            self.damaged += 1;
            self.progress.suspend(|| output::tell(&refusal));
        }
        let mut row = FileRow::default();
        while let Some(finding) = inspection.next().await.map_err(reading::failure)? {
            self.note(&mut row, finding, &inspection)?;
        }
        self.passed_bytes += inspection.passed_bytes();
        match log.is_uncertain && log.segment.is_none() {
            true => self.uncertain(log),
            false => Ok(()),
        }
    }

    fn uncertain(&mut self, log: &LogPlace) -> Result<(), Failure> {
        self.damaged += 1;
        let row = FileRow {
            file: log.folder.clone(),
            damage: vec![DamageRow::of_uncertain_facts()],
            has_damage: true,
            ..FileRow::default()
        };
        self.print(|| row.lines(log.folder.display().to_string()), &row)
    }

    fn note(
        &mut self,
        row: &mut FileRow,
        finding: Finding,
        inspection: &Inspection<Compio>,
    ) -> Result<(), Failure> {
        match finding {
            Finding::Segment {
                base_offset,
                path,
                bytes,
            } => {
                *row = FileRow {
                    file: path,
                    bytes,
                    from_offset: Some(base_offset),
                    to_offset: Some(base_offset),
                    ..FileRow::default()
                };
            }
            Finding::Piece(piece) => {
                row.note(&piece);
                let passed = self.passed_bytes + inspection.passed_bytes();
                self.progress.set(passed);
            }
            Finding::Start { path, state } => row.note_start(&path, &state),
            Finding::Leftover { path, bytes } => {
                let row = LeftoverLine::new(path.display().to_string(), bytes);
                self.print(|| row.text(), &row)?;
            }
            Finding::Index { path, state } => {
                let row = std::mem::take(row).with_index(&path, &state);
                self.damaged += u64::from(row.has_damage);
                self.print(|| row.text(), &row)?;
            }
        }
        Ok(())
    }

    fn print(&self, text: impl FnOnce() -> String, row: &impl Serialize) -> Result<(), Failure> {
        self.progress.suspend(|| match self.output {
            Output::Table => output::print(&text()),
            Output::Json => output::print_json(row),
        })
    }
}

impl FileRow {
    fn note(&mut self, piece: &Piece) {
        match piece {
            Piece::Frame(_) => self.frames += 1,
            Piece::Batch(batch) => {
                self.batches += 1;
                self.records += u64::from(batch.header.records_count);
                self.to_offset = Some(batch.header.next_offset());
            }
            Piece::Damage(damage) => {
                self.has_damage |= wording::is_damage(damage.kind);
                self.damage.push(DamageRow::new(damage));
            }
            Piece::Room { .. } => {}
        }
    }

    fn note_start(&mut self, path: &Path, state: &IndexState) {
        self.start = Some(wording::index_name(state));
        self.has_damage |= wording::is_index_damaged(state);
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        self.start_text = Some(format!("  {name}: {}", wording::start_text(state)));
    }

    fn with_index(mut self, path: &Path, state: &IndexState) -> Self {
        self.index = wording::index_name(state);
        self.has_damage |= wording::is_index_damaged(state);
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        self.index_text = Some(format!("  {name}: {}", wording::index_text(state)));
        self
    }

    fn text(&self) -> String {
        let file = self.file.display();
        let Some(bytes) = self.bytes else {
            let state = match self.has_damage {
                true => "MISSING",
                false => "not there, and nothing tells that it should be",
            };
            return self.lines(format!("{file}: {state}"));
        };
        let (from, to) = (self.from_offset.unwrap_or(0), self.to_offset.unwrap_or(0));
        self.lines(format!(
            "{file}: {bytes} bytes, {} frames, {} batches, {} records, offsets {from} to {to}",
            self.frames, self.batches, self.records
        ))
    }

    fn lines(&self, first: String) -> String {
        let mut lines = vec![first];
        lines.extend(self.start_text.clone());
        lines.extend(self.damage.iter().map(DamageRow::text));
        lines.extend(self.index_text.clone());
        lines.join("\n")
    }
}
