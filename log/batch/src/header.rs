use crate::BatchError;

/// The size of a batch's header.
pub const HEADER_BYTES: usize = 61;

/// The bytes before the part that the length field counts.
const UNCOUNTED_BYTES: usize = 12;
const MAGIC: i8 = 2;
/// Where the part of a batch begins that its checksum covers.
pub const CRC_FROM: usize = 21;

/// Seven varints of one byte each: the smallest record.
const RECORD_BYTES_MIN: usize = 7;
/// Records that one byte of a compressed batch may stand for. No producer comes near it; it keeps
/// a batch that lies about its count from using up the partition's offsets.
const COMPRESSION_MAX: usize = 1024;

const CODEC_BITS: u16 = 0b111;
const CODEC_LAST: u8 = 4;
const LOG_APPEND_TIME_BIT: u16 = 1 << 3;
const TRANSACTIONAL_BIT: u16 = 1 << 4;
const CONTROL_BIT: u16 = 1 << 5;

/// Who produced a batch, and where it stands in the sequence of that producer's records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Producer {
    /// The id that the cluster gave to the producer.
    pub id: i64,
    /// Grows each time that the producer starts its sequences again.
    pub epoch: i16,
    /// The sequence number of the batch's first record; after `i32::MAX` comes 0.
    pub base_sequence: i32,
}

/// The header of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchHeader {
    /// The offset of the first record.
    pub base_offset: u64,
    /// The size of the whole batch, this header included.
    pub batch_bytes: usize,
    /// The epoch of the leader that appended the batch; 0 if no leader has stamped it.
    pub leader_epoch: u32,
    /// The checksum as the batch states it.
    pub crc: u32,
    /// The attribute bits as they stand.
    pub attributes: u16,
    /// The last record's offset less the first one's; also the last sequence less the first.
    pub last_offset_delta: u32,
    /// The first record's timestamp, in milliseconds.
    pub base_timestamp: i64,
    /// The greatest timestamp of all records, in milliseconds.
    pub max_timestamp: i64,
    /// The idempotent producer, if there is one.
    pub producer: Option<Producer>,
    /// The number of records; fewer than the offsets that the batch spans if some were taken out.
    pub records_count: u32,
}

impl BatchHeader {
    /// Reads the header at the start of `bytes`, which need not hold the rest of the batch.
    ///
    /// The checksum is not looked at; what cannot be a header is refused all the same, so that
    /// `batch_bytes` lies between [`HEADER_BYTES`] and a little over 2 GiB, and `next_offset`
    /// does not overflow.
    pub fn parse(bytes: &[u8]) -> Result<Self, BatchError> {
        if bytes.len() < HEADER_BYTES {
            return Err(BatchError::Truncated {
                expected: HEADER_BYTES,
                got: bytes.len(),
            });
        }
        let magic = i8::from_be_bytes(array(bytes, 16));
        if magic != MAGIC {
            return Err(BatchError::Magic { got: magic });
        }
        let length = i32::from_be_bytes(array(bytes, 8));
        let batch_bytes = usize::try_from(length).unwrap_or(0) + UNCOUNTED_BYTES;
        if batch_bytes < HEADER_BYTES {
            return Err(BatchError::Length { got: length });
        }
        let attributes = u16::from_be_bytes(array(bytes, 21));
        let codec = codec_of(attributes);
        if codec > CODEC_LAST {
            return Err(BatchError::UnknownCodec { codec });
        }
        let (last_offset_delta, records_count) = parse_counts(bytes)?;
        Ok(Self {
            base_offset: parse_base_offset(bytes)?,
            batch_bytes,
            // A producer writes -1, a leader its epoch, and epochs start at 1.
            leader_epoch: u32::try_from(i32::from_be_bytes(array(bytes, 12))).unwrap_or(0),
            crc: u32::from_be_bytes(array(bytes, 17)),
            attributes,
            last_offset_delta,
            base_timestamp: i64::from_be_bytes(array(bytes, 27)),
            max_timestamp: i64::from_be_bytes(array(bytes, 35)),
            producer: parse_producer(bytes)?,
            records_count,
        })
    }

    /// Checks that `bytes` are exactly one undamaged batch.
    ///
    /// It may hold fewer records than it spans offsets, or none: compaction takes records out.
    pub fn validate(bytes: &[u8]) -> Result<Self, BatchError> {
        let header = Self::parse(bytes)?;
        let expected = header.batch_bytes;
        if bytes.len() < expected {
            return Err(BatchError::Truncated {
                expected,
                got: bytes.len(),
            });
        }
        if bytes.len() > expected {
            return Err(BatchError::Trailing {
                expected,
                got: bytes.len(),
            });
        }
        header.check_crc(crc32c::crc32c(&bytes[CRC_FROM..]))?;
        Ok(header)
    }

    /// Checks that `got`, the CRC-32C of the batch from [`CRC_FROM`] on, is what the header says:
    /// for whoever does not want all of a batch in memory whose length may be wrong.
    pub fn check_crc(&self, got: u32) -> Result<(), BatchError> {
        match got == self.crc {
            true => Ok(()),
            false => Err(BatchError::Crc {
                expected: self.crc,
                got,
            }),
        }
    }

    /// Checks that `bytes` are exactly one batch that a producer may append, of at most
    /// `bytes_max` bytes.
    ///
    /// Compressed records are taken as they are. The leader epoch may hold anything, because
    /// [`stamp`] overwrites it.
    pub fn validate_produced(bytes: &[u8], bytes_max: usize) -> Result<Self, BatchError> {
        if bytes.len() > bytes_max {
            return Err(BatchError::TooLarge {
                bytes: bytes.len(),
                bytes_max,
            });
        }
        let header = Self::validate(bytes)?;
        if header.records_count == 0 || header.records_count != header.last_offset_delta + 1 {
            return Err(counts_error(bytes));
        }
        let records_bytes = bytes.len() - HEADER_BYTES;
        let count_max = match header.codec() {
            0 => records_bytes / RECORD_BYTES_MIN,
            _ => records_bytes.saturating_mul(COMPRESSION_MAX),
        };
        if header.records_count as usize > count_max {
            return Err(counts_error(bytes));
        }
        if header.is_control() {
            return Err(BatchError::Control);
        }
        if header.is_log_append_time() {
            return Err(BatchError::LogAppendTime);
        }
        if header.base_offset != 0 {
            return Err(BatchError::BaseOffset {
                got: i64::from_be_bytes(array(bytes, 0)),
            });
        }
        Ok(header)
    }

    /// One past the offset of the last record.
    pub fn next_offset(&self) -> u64 {
        self.base_offset + u64::from(self.last_offset_delta) + 1
    }

    /// The compression codec's number; 0 means that the records are not compressed.
    pub fn codec(&self) -> u8 {
        codec_of(self.attributes)
    }

    /// Whether all records carry the time at which the leader appended them.
    pub fn is_log_append_time(&self) -> bool {
        self.attributes & LOG_APPEND_TIME_BIT != 0
    }

    /// Whether the batch belongs to a transaction.
    pub fn is_transactional(&self) -> bool {
        self.attributes & TRANSACTIONAL_BIT != 0
    }

    /// Whether the batch is a marker of the service itself rather than records of an application.
    pub fn is_control(&self) -> bool {
        self.attributes & CONTROL_BIT != 0
    }

    /// Writes the header of a batch that no leader has stamped yet over the first
    /// [`HEADER_BYTES`] of `batch`, with the checksum of the records that follow.
    pub(crate) fn encode_into(&self, batch: &mut [u8]) {
        assert_eq!(
            self.batch_bytes,
            batch.len(),
            "the header describes this batch"
        );
        let length = i32::try_from(batch.len() - UNCOUNTED_BYTES)
            .expect("the builder limits a batch to what the length field can hold");
        let none = Producer {
            id: -1,
            epoch: -1,
            base_sequence: -1,
        };
        let producer = self.producer.unwrap_or(none);
        batch[0..8].copy_from_slice(&0i64.to_be_bytes());
        batch[8..12].copy_from_slice(&length.to_be_bytes());
        batch[12..16].copy_from_slice(&(-1i32).to_be_bytes());
        batch[16..17].copy_from_slice(&MAGIC.to_be_bytes());
        batch[21..23].copy_from_slice(&self.attributes.to_be_bytes());
        batch[23..27].copy_from_slice(&self.last_offset_delta.to_be_bytes());
        batch[27..35].copy_from_slice(&self.base_timestamp.to_be_bytes());
        batch[35..43].copy_from_slice(&self.max_timestamp.to_be_bytes());
        batch[43..51].copy_from_slice(&producer.id.to_be_bytes());
        batch[51..53].copy_from_slice(&producer.epoch.to_be_bytes());
        batch[53..57].copy_from_slice(&producer.base_sequence.to_be_bytes());
        batch[57..61].copy_from_slice(&self.records_count.to_be_bytes());
        seal(batch);
    }
}

/// Writes the length and the number of records of a batch that has lost some of them.
pub(crate) fn encode_counts(batch: &mut [u8], records_count: u32) {
    let length = i32::try_from(batch.len() - UNCOUNTED_BYTES)
        .expect("it is no larger than the batch that it was made of");
    batch[8..12].copy_from_slice(&length.to_be_bytes());
    batch[57..61].copy_from_slice(&records_count.to_be_bytes());
}

/// Writes the checksum of a batch.
pub(crate) fn seal(batch: &mut [u8]) {
    let crc = crc32c::crc32c(&batch[CRC_FROM..]);
    batch[17..21].copy_from_slice(&crc.to_be_bytes());
}

/// Writes the base offset and the leader's epoch into a batch, as its leader does once.
///
/// The checksum stays right, for it covers neither.
///
/// # Panics
///
/// If `batch` is shorter than a header, or a number does not fit into its signed field: the
/// caller has validated the batch, and offsets and epochs are the service's own.
pub fn stamp(batch: &mut [u8], base_offset: u64, leader_epoch: u32) {
    assert!(batch.len() >= HEADER_BYTES, "only a whole batch is stamped");
    let base_offset = i64::try_from(base_offset).expect("offsets stay below 2^63");
    let leader_epoch = i32::try_from(leader_epoch).expect("epochs stay below 2^31");
    batch[0..8].copy_from_slice(&base_offset.to_be_bytes());
    batch[12..16].copy_from_slice(&leader_epoch.to_be_bytes());
}

fn parse_base_offset(bytes: &[u8]) -> Result<u64, BatchError> {
    let got = i64::from_be_bytes(array(bytes, 0));
    match u64::try_from(got) {
        // A batch spans at most 2^31 offsets, so its last one stays below 2^63 as well.
        Ok(base_offset) if got <= i64::MAX - (1 << 32) => Ok(base_offset),
        _ => Err(BatchError::BaseOffset { got }),
    }
}

fn parse_counts(bytes: &[u8]) -> Result<(u32, u32), BatchError> {
    let last_offset_delta = u32::try_from(i32::from_be_bytes(array(bytes, 23)));
    let records_count = u32::try_from(i32::from_be_bytes(array(bytes, 57)));
    match (last_offset_delta, records_count) {
        // Compaction may have taken records out of a batch, never put any into it.
        (Ok(delta), Ok(count)) if count <= delta + 1 => Ok((delta, count)),
        _ => Err(counts_error(bytes)),
    }
}

fn counts_error(bytes: &[u8]) -> BatchError {
    BatchError::Counts {
        last_offset_delta: i32::from_be_bytes(array(bytes, 23)),
        records_count: i32::from_be_bytes(array(bytes, 57)),
    }
}

fn parse_producer(bytes: &[u8]) -> Result<Option<Producer>, BatchError> {
    let id = i64::from_be_bytes(array(bytes, 43));
    let epoch = i16::from_be_bytes(array(bytes, 51));
    let base_sequence = i32::from_be_bytes(array(bytes, 53));
    if id == -1 {
        return Ok(None);
    }
    if id < 0 || epoch < 0 || base_sequence < 0 {
        return Err(BatchError::Producer {
            id,
            epoch,
            base_sequence,
        });
    }
    Ok(Some(Producer {
        id,
        epoch,
        base_sequence,
    }))
}

fn codec_of(attributes: u16) -> u8 {
    (attributes & CODEC_BITS) as u8
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes[at..at + N]
        .try_into()
        .expect("the caller has checked the length of the header")
}
