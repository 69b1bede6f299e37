use std::io::{BufWriter, StdoutLock, Write as _};
use std::path::PathBuf;

use clap::Args;
use quorate_client::Compio;
use quorate_log::{BatchPiece, Finding, FramePiece, Inspection, Piece};

use super::line::{Line, RoomLine, SegmentLine};
use super::place::{LogPlace, Place};
use super::reading;
use super::wording::DamageRow;
use crate::cli::output::{self, Output};
use crate::cli::{Failure, Global};

const BUFFER_BYTES: usize = 256 << 10;

/// Print what stands in the files: frames, batch headers, index files, damage
///
/// In the order of the files, with the position of everything in bytes. With `--output json` each
/// is an object on a line of its own, of the `kind` "segment", "frame", "batch", "record",
/// "damage", "room" (zeros that no write has reached), "index", "start" (what is known of the log
/// before its first segment) or "leftover" (what a compaction has not written to its end). Nothing
/// is changed.
#[derive(Debug, Args)]
pub(crate) struct Inspect {
    /// A segment file, or the folder of a partition, a shard or a node
    path: PathBuf,
    /// Begin with the batch that holds this offset [default: the first one]
    #[arg(long, value_name = "OFFSET")]
    from: Option<u64>,
    /// End after this many batches of each partition
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    /// Show the records of batches that are not compressed, shortened
    ///
    /// With `--output json` they are not shortened.
    #[arg(long)]
    records: bool,
}

impl Inspect {
    pub(super) async fn run(self, global: &Global) -> Result<(), Failure> {
        let place = Place::find(&self.path).await?;
        reading::tell_if_in_use(&place);
        let mut printer = Printer {
            out: BufWriter::with_capacity(BUFFER_BYTES, std::io::stdout().lock()),
            output: global.output,
            from: self.from.unwrap_or(0),
            limit: self.limit.unwrap_or(u64::MAX),
            records: self.records,
            batches_left: 0,
            frame: None,
            batches: Vec::new(),
        };
        for log in place.logs.iter().filter(|log| !log.is_missing) {
            printer.print(log, self.from).await?;
        }
        printer.flush()
    }
}

struct Printer {
    out: BufWriter<StdoutLock<'static>>,
    output: Output,
    from: u64,
    limit: u64,
    records: bool,
    batches_left: u64,
    /// The last frame, and the batches that it covers as far as they have been read.
    frame: Option<FramePiece>,
    batches: Vec<BatchPiece>,
}

impl Printer {
    async fn print(&mut self, log: &LogPlace, from: Option<u64>) -> Result<(), Failure> {
        self.batches_left = self.limit;
        let mut inspection = reading::begin(log, from).await?;
        if let Some(refusal) = reading::refusal(log, inspection.ending()) {
            output::tell(&refusal);
        }
        while let Some(finding) = inspection.next().await.map_err(reading::failure)? {
            self.finding(finding, &mut inspection).await?;
            if self.batches_left == 0 {
                break;
            }
        }
        self.group(&mut inspection).await
    }

    async fn finding(
        &mut self,
        finding: Finding,
        inspection: &mut Inspection<Compio>,
    ) -> Result<(), Failure> {
        match finding {
            Finding::Segment {
                base_offset,
                path,
                bytes,
            } => self.write(&Line::Segment(SegmentLine {
                file: path.display().to_string(),
                base_offset,
                bytes,
            })),
            Finding::Piece(Piece::Batch(batch)) => self.batch(batch, inspection).await,
            Finding::Piece(Piece::Frame(frame)) => {
                self.group(inspection).await?;
                self.frame = Some(frame);
                Ok(())
            }
            Finding::Piece(Piece::Damage(damage)) => {
                self.group(inspection).await?;
                let to = damage.offsets.and_then(|(_, to)| to);
                match to.is_none_or(|to| to > self.from) {
                    true => self.write(&Line::Damage(DamageRow::new(&damage))),
                    false => Ok(()),
                }
            }
            Finding::Piece(Piece::Room { position, end }) => {
                self.group(inspection).await?;
                self.write(&Line::Room(RoomLine { position, end }))
            }
            Finding::Start { path, state } => {
                self.write(&Line::start(path.display().to_string(), &state))
            }
            Finding::Leftover { path, bytes } => {
                self.write(&Line::leftover(path.display().to_string(), bytes))
            }
            Finding::Index { path, state } => {
                self.group(inspection).await?;
                self.write(&Line::index(path.display().to_string(), &state))
            }
        }
    }

    async fn batch(
        &mut self,
        batch: BatchPiece,
        inspection: &mut Inspection<Compio>,
    ) -> Result<(), Failure> {
        if batch.header.next_offset() <= self.from || self.batches_left == 0 {
            return Ok(());
        }
        let frame = self.frame.as_ref();
        let frame_end = frame.map(|it| it.position + it.bytes + it.covered_bytes);
        if frame_end.is_none_or(|end| end <= batch.position) {
            self.group(inspection).await?;
        }
        self.batches_left -= 1;
        self.batches.push(batch);
        match self.frame {
            Some(_) => Ok(()),
            None => self.group(inspection).await,
        }
    }

    /// Prints the last frame and its batches: how many it covers is known now.
    async fn group(&mut self, inspection: &mut Inspection<Compio>) -> Result<(), Failure> {
        let batches = std::mem::take(&mut self.batches);
        if let Some(frame) = self.frame.take()
            && (!batches.is_empty() || self.from == 0)
        {
            self.write(&Line::frame(&frame, batches.len()))?;
        }
        for batch in &batches {
            self.write(&Line::batch(batch))?;
            if self.records && batch.header.codec() == 0 {
                let bytes = inspection.read(batch).await.map_err(reading::failure)?;
                // A batch whose records make no sense is sound all the same: so it was produced.
                let records = quorate_batch::records(&bytes).into_iter().flatten();
                for record in records.map_while(Result::ok) {
                    self.write(&Line::record(&record))?;
                }
            }
        }
        Ok(())
    }

    fn write(&mut self, line: &Line) -> Result<(), Failure> {
        let text = match self.output {
            Output::Table => line.text(),
            Output::Json => output::to_json(line),
        };
        writeln!(self.out, "{text}").map_err(|error| Failure::stdout(&error))
    }

    fn flush(&mut self) -> Result<(), Failure> {
        self.out.flush().map_err(|error| Failure::stdout(&error))
    }
}
