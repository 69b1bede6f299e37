//! The lines of `quorate log inspect`: for people in columns, for programs as JSON objects.

use bytes::Bytes;
use quorate_batch::{BatchHeader, Record};
use quorate_log::{BatchPiece, FramePiece, IndexState};
use serde::Serialize;

use super::shown::shown;
use super::wording::{self, DamageRow};
use crate::cli::consume::text_or_base64;

/// The letters of a key or a value that are shown.
const SHOWN_CHARS: usize = 60;

/// What stands in a segment, or is known of it.
#[derive(Debug, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(super) enum Line {
    Segment(SegmentLine),
    Frame(FrameLine),
    Batch(Box<BatchLine>),
    Record(Box<RecordLine>),
    Damage(DamageRow),
    Room(RoomLine),
    Index(IndexLine),
    Start(StartLine),
    Leftover(LeftoverLine),
}

#[derive(Debug, Serialize)]
pub(super) struct SegmentLine {
    pub(super) file: String,
    pub(super) base_offset: u64,
    /// Null if the file is missing.
    pub(super) bytes: Option<u64>,
}

#[derive(Debug, Serialize)]
pub(super) struct FrameLine {
    position: u64,
    bytes: u64,
    covered_bytes: u64,
    /// The batches that it covers, as far as they were read.
    batches: usize,
}

#[derive(Debug, Serialize)]
pub(super) struct BatchLine {
    position: u64,
    bytes: usize,
    base_offset: u64,
    last_offset: u64,
    records: u32,
    epoch: u32,
    base_timestamp: i64,
    max_timestamp: i64,
    producer_id: Option<i64>,
    producer_epoch: Option<i16>,
    base_sequence: Option<i32>,
    codec: &'static str,
    /// Always true: a batch whose checksum is wrong is told of as damage.
    crc_good: bool,
}

#[derive(Debug, Serialize)]
pub(super) struct RecordLine {
    offset: u64,
    timestamp: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<Option<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_base64: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<Option<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value_base64: Option<String>,
    #[serde(skip)]
    shown: String,
}

#[derive(Debug, Serialize)]
pub(super) struct RoomLine {
    pub(super) position: u64,
    pub(super) end: u64,
}

#[derive(Debug, Serialize)]
pub(super) struct StartLine {
    file: String,
    state: &'static str,
    #[serde(skip)]
    text: String,
}

/// A file that a compaction has not written to its end.
#[derive(Debug, Serialize)]
pub(super) struct LeftoverLine {
    file: String,
    bytes: u64,
    /// What it is left of.
    leftover: &'static str,
}

#[derive(Debug, Serialize)]
pub(super) struct IndexLine {
    file: String,
    state: &'static str,
    /// The bytes of the segment that it covers.
    covered_bytes: Option<u64>,
    /// One past the last offset that it covers.
    next_offset: Option<u64>,
    #[serde(skip)]
    text: String,
}

impl Line {
    pub(super) fn frame(frame: &FramePiece, batches: usize) -> Self {
        Self::Frame(FrameLine {
            position: frame.position,
            bytes: frame.bytes,
            covered_bytes: frame.covered_bytes,
            batches,
        })
    }

    pub(super) fn batch(piece: &BatchPiece) -> Self {
        let header = &piece.header;
        let producer = header.producer;
        Self::Batch(Box::new(BatchLine {
            position: piece.position,
            bytes: header.batch_bytes,
            base_offset: header.base_offset,
            last_offset: header.next_offset() - 1,
            records: header.records_count,
            epoch: header.leader_epoch,
            base_timestamp: header.base_timestamp,
            max_timestamp: header.max_timestamp,
            producer_id: producer.map(|producer| producer.id),
            producer_epoch: producer.map(|producer| producer.epoch),
            base_sequence: producer.map(|producer| producer.base_sequence),
            codec: codec(header),
            crc_good: true,
        }))
    }

    pub(super) fn record(record: &Record) -> Self {
        let (key, key_base64) = text(record.key.as_ref());
        let (value, value_base64) = text(record.value.as_ref());
        let part = |bytes: Option<&Bytes>| shown(bytes.map(|it| &it[..]), SHOWN_CHARS);
        Self::Record(Box::new(RecordLine {
            offset: record.offset,
            timestamp: record.timestamp,
            key,
            key_base64,
            value,
            value_base64,
            shown: format!(
                "key {} value {}",
                part(record.key.as_ref()),
                part(record.value.as_ref())
            ),
        }))
    }

    pub(super) fn index(file: String, state: &IndexState) -> Self {
        let covered = match state {
            IndexState::Sound { next_offset, bytes }
            | IndexState::Unconfirmed { next_offset, bytes } => Some((*next_offset, *bytes)),
            IndexState::Missing
            | IndexState::Damaged
            | IndexState::Wrong { .. }
            | IndexState::Newer { .. } => None,
        };
        Self::Index(IndexLine {
            file,
            state: wording::index_name(state),
            covered_bytes: covered.map(|(_, bytes)| bytes),
            next_offset: covered.map(|(next_offset, _)| next_offset),
            text: wording::index_text(state),
        })
    }

    pub(super) fn start(file: String, state: &IndexState) -> Self {
        Self::Start(StartLine {
            file,
            state: wording::index_name(state),
            text: wording::start_text(state),
        })
    }

    pub(super) fn leftover(file: String, bytes: u64) -> Self {
        Self::Leftover(LeftoverLine::new(file, bytes))
    }

    /// Under [`HEADER`], as far as it has columns.
    pub(super) fn text(&self) -> String {
        match self {
            Self::Segment(segment) => match segment.bytes {
                Some(bytes) => format!("{}: {bytes} bytes\n{HEADER}", segment.file),
                None => format!("{}: missing", segment.file),
            },
            Self::Frame(frame) => format!(
                "{:>12} {:>9} frame: covers {} bytes, {} batches",
                frame.position, frame.bytes, frame.covered_bytes, frame.batches
            ),
            Self::Batch(batch) => batch.text(),
            Self::Record(record) => format!(
                "{:>22} offset {} time {} {}",
                "", record.offset, record.timestamp, record.shown
            ),
            Self::Damage(damage) => damage.text(),
            Self::Room(room) => format!(
                "{:>12} {:>9} room: zeros up to the end of the file",
                room.position,
                room.end - room.position
            ),
            Self::Index(index) => format!("{}: {}", index.file, index.text),
            Self::Start(start) => format!("{}: {}", start.file, start.text),
            Self::Leftover(leftover) => leftover.text(),
        }
    }
}

impl LeftoverLine {
    pub(super) fn new(file: String, bytes: u64) -> Self {
        let leftover = "compaction";
        Self {
            file,
            bytes,
            leftover,
        }
    }

    pub(super) fn text(&self) -> String {
        format!(
            "{}: {} bytes of a compaction that was interrupted, or is under way: it counts for \
             nothing, and the node removes it at its next start",
            self.file, self.bytes
        )
    }
}

const HEADER: &str = "    POSITION     BYTES OFFSETS                 RECORDS EPOCH CODEC  CRC  \
                      TIMES                       PRODUCER/EPOCH/SEQUENCE";

impl BatchLine {
    fn text(&self) -> String {
        let offsets = format!("{}-{}", self.base_offset, self.last_offset);
        let times = format!("{}-{}", self.base_timestamp, self.max_timestamp);
        let producer = match (self.producer_id, self.producer_epoch, self.base_sequence) {
            (Some(id), Some(epoch), Some(sequence)) => format!("{id}/{epoch}/{sequence}"),
            _ => "-".to_owned(),
        };
        format!(
            "{:>12} {:>9} {offsets:<23} {:>7} {:>5} {:<6} good {times:<27} {producer}",
            self.position, self.bytes, self.records, self.epoch, self.codec
        )
    }
}

fn codec(header: &BatchHeader) -> &'static str {
    match header.codec() {
        0 => "none",
        1 => "gzip",
        2 => "snappy",
        3 => "lz4",
        _ => "zstd",
    }
}

fn text(bytes: Option<&Bytes>) -> (Option<Option<String>>, Option<String>) {
    let (text, base64) = text_or_base64(bytes.map(|bytes| &bytes[..]));
    (text.map(|text| text.map(str::to_owned)), base64)
}
