use std::fmt;

/// Why bytes are not a batch, or not one that may be appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BatchError {
    /// The bytes end before the batch does.
    Truncated {
        /// The bytes that the batch needs.
        expected: usize,
        /// The bytes that are there.
        got: usize,
    },
    /// Bytes follow the one batch that was expected.
    Trailing {
        /// The size of the batch.
        expected: usize,
        /// The bytes that are there.
        got: usize,
    },
    /// The length field holds what no batch can have.
    Length {
        /// The field as it stands.
        got: i32,
    },
    /// The batch is larger than the limit of the place it should go to.
    TooLarge {
        /// The size of the batch in bytes.
        bytes: usize,
        /// The limit in bytes.
        bytes_max: usize,
    },
    /// The batch is of another format version.
    Magic {
        /// The version found; 2 is the only one known.
        got: i8,
    },
    /// The checksum does not match: the bytes were damaged on their way or on disk.
    Crc {
        /// What the batch says.
        expected: u32,
        /// What its bytes give.
        got: u32,
    },
    /// The base offset is negative, too large, or set although only the leader may set it.
    BaseOffset {
        /// The field as it stands.
        got: i64,
    },
    /// The number of records and the last offset delta contradict each other.
    Counts {
        /// The last offset delta as it stands.
        last_offset_delta: i32,
        /// The number of records as it stands.
        records_count: i32,
    },
    /// A producer sent a control batch, which only the service itself may write.
    Control,
    /// A producer claimed log-append time, which only the service itself may set.
    LogAppendTime,
    /// The producer's fields contradict each other.
    Producer {
        /// The producer id as it stands.
        id: i64,
        /// The producer epoch as it stands.
        epoch: i16,
        /// The base sequence as it stands.
        base_sequence: i32,
    },
    /// The codec is not one of the five that exist.
    UnknownCodec {
        /// The codec's number.
        codec: u8,
    },
    /// The records are compressed, and this version cannot decompress them.
    Compressed {
        /// The codec's number.
        codec: u8,
    },
    /// A record inside of the batch is malformed.
    Record {
        /// The record's place in the batch, from 0.
        index: u32,
        /// What is wrong with it.
        reason: &'static str,
    },
}

impl fmt::Display for BatchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated { expected, got } => {
                write!(
                    f,
                    "the batch is cut off: it needs {expected} bytes, {got} are there"
                )
            }
            Self::Trailing { expected, got } => {
                write!(
                    f,
                    "exactly one batch of {expected} bytes was expected, got {got} bytes"
                )
            }
            Self::Length { got } => write!(f, "no batch can have the length field {got}"),
            Self::TooLarge { bytes, bytes_max } => {
                write!(f, "the batch has {bytes} bytes, the limit is {bytes_max}")
            }
            Self::Magic { got } => {
                write!(
                    f,
                    "the batch has format version {got}, only version 2 is supported"
                )
            }
            Self::Crc { expected, got } => write!(
                f,
                "the batch is damaged: its checksum says {expected:#010x}, its bytes give \
                 {got:#010x}"
            ),
            Self::BaseOffset { got } => write!(f, "the base offset {got} is not allowed here"),
            Self::Counts {
                last_offset_delta,
                records_count,
            } => write!(
                f,
                "the batch claims {records_count} records with the last offset delta \
                 {last_offset_delta}"
            ),
            Self::Control => f.write_str("a producer must not send control batches"),
            Self::LogAppendTime => {
                f.write_str("a producer must not set the log-append timestamp type")
            }
            Self::Producer {
                id,
                epoch,
                base_sequence,
            } => write!(
                f,
                "the producer id {id}, epoch {epoch} and base sequence {base_sequence} \
                 contradict each other"
            ),
            Self::UnknownCodec { codec } => write!(f, "there is no compression codec {codec}"),
            Self::Compressed { codec } => write!(
                f,
                "the records are compressed with {}, which this version cannot decompress",
                codec_name(*codec)
            ),
            Self::Record { index, reason } => {
                write!(f, "record {index} of the batch is malformed: {reason}")
            }
        }
    }
}

impl std::error::Error for BatchError {}

fn codec_name(codec: u8) -> &'static str {
    match codec {
        1 => "gzip",
        2 => "snappy",
        3 => "lz4",
        4 => "zstd",
        _ => "an unknown codec",
    }
}
