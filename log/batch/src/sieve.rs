//! Taking records out of a batch.
//!
//! What is left of a batch begins and ends where the whole one did: its base offset, its last
//! offset delta and all else in its header stay, except its length, its number of records and its
//! checksum. A batch may lose all of its records; then only the header is left.

use crate::header::{encode_counts, seal};
use crate::{BatchError, BatchHeader, HEADER_BYTES, RecordView, views};

/// What [`sift`] has left of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sifted {
    /// All of it.
    Whole,
    /// A smaller batch.
    Part(Vec<u8>),
}

/// Takes those records out of `batch` that are not to be kept. It has the header `header` and was
/// validated.
///
/// Nothing is copied unless one goes. Fails if the records are compressed, or malformed so that it
/// is not known what they are: such a batch can only be left as it is.
pub fn sift(
    header: &BatchHeader,
    batch: &[u8],
    mut is_kept: impl FnMut(&RecordView<'_>) -> bool,
) -> Result<Sifted, BatchError> {
    let mut part: Option<Vec<u8>> = None;
    let (mut kept_count, mut position) = (0, HEADER_BYTES);
    for view in views(header, batch)? {
        let view = view?;
        if is_kept(&view) {
            kept_count += 1;
            if let Some(part) = &mut part {
                part.extend_from_slice(view.bytes);
            }
        } else if part.is_none() {
            let mut bytes = Vec::with_capacity(batch.len());
            bytes.extend_from_slice(&batch[..position]);
            part = Some(bytes);
        }
        position += view.bytes.len();
    }
    Ok(match part {
        Some(mut part) => {
            encode_counts(&mut part, kept_count);
            seal(&mut part);
            Sifted::Part(part)
        }
        None => Sifted::Whole,
    })
}
