//! RecordBatch v2: the one form that records have on the wire, in memory and on disk.
//!
//! A batch is 61 bytes of header, big-endian, and then the records. A producer encodes it once
//! ([`BatchBuilder`]) and nobody encodes it again: the leader of a partition writes only the base
//! offset and its epoch into the header ([`stamp`]), which the batch's CRC-32C does not cover, and
//! the same bytes go to disk, to the followers and to consumers. Compaction takes records out of a
//! batch ([`sift`]); where it begins and ends stays as it was.
//!
//! ```text
//! byte  0  base offset, i64         not under the CRC; set by the leader
//!       8  length of the rest, i32  not under the CRC
//!      12  leader epoch, i32        not under the CRC; set by the leader
//!      16  magic, i8, always 2      not under the CRC
//!      17  CRC-32C of all that follows, u32
//!      21  attributes, i16: codec (bits 0-2), log-append time (3), transactional (4), control (5)
//!      23  last offset delta, i32   one less than the number of offsets that the batch spans
//!      27  base timestamp, i64      milliseconds
//!      35  max timestamp, i64
//!      43  producer id, i64         -1: none
//!      51  producer epoch, i16      -1: none
//!      53  base sequence, i32       -1: none
//!      57  number of records, i32   less than the offsets if compaction has taken some out
//!      61  the records, as one compressed block if the codec is not 0
//! ```
//!
//! Everything that reads takes bytes from outside: it answers with a [`BatchError`] and never
//! panics, and it allocates nothing on the word of a length that the bytes do not bear out.
//!
//! This crate knows bytes only. It opens no file and no socket, and it decompresses nothing.

#![deny(missing_docs)]

mod batches;
mod builder;
mod error;
mod header;
mod hollow;
mod record;
mod sieve;
mod varint;
mod view;

pub use batches::Batches;
pub use builder::{BatchBuilder, BatchFull};
pub use error::BatchError;
pub use header::{BatchHeader, CRC_FROM, HEADER_BYTES, Producer, stamp};
pub use hollow::hollow;
pub use record::{Record, RecordHeader, Records, records};
pub use sieve::{Sifted, sift};
pub use view::{RecordView, Views, views};
