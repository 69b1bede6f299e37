//! Torn, or damaged?
//!
//! A flush that a power cut interrupts leaves the file in a state that is, block by block, as it
//! was written or untouched: zeros, or behind the end of the file. It was never acknowledged. Bytes
//! that rot do not become zeros, and files do not become shorter. So a batch that is broken because
//! of zeros, or because the file ends in it, was torn, and anything else has to be taken for damage
//! to something that was acknowledged.
//!
//! A segment holds no checksums of blocks, so this is a judgement and no proof: a batch whose
//! records are full of zeros looks torn when it rots. That is why it is asked only about what the
//! caller does not know to have been durable, and only within reach of the last flush.

use quorate_batch::{BatchHeader, HEADER_BYTES};
use quorate_platform::File;

use crate::chain::Chain;
use crate::error::LogError;
use crate::window::Window;

/// The least that any disk writes as a whole.
const BLOCK_BYTES: u64 = 512;
/// Fewer zeros than this at the edge of a batch may well be what was written.
const ZEROS_MIN: u64 = 16;

/// Whether the broken batch at `position`, which should continue `chain`, was torn.
pub(super) async fn is_torn<F: File>(
    window: &mut Window<F>,
    position: u64,
    chain: Chain,
) -> Result<bool, LogError> {
    let head = window.bytes(position, HEADER_BYTES).await?;
    if head.len() < HEADER_BYTES {
        return Ok(true);
    }
    let left = window.end() - position;
    let Ok(header) = chain.check_header(&head, u64::MAX) else {
        return has_zeros(window, position, HEADER_BYTES as u64).await;
    };
    if header.batch_bytes as u64 <= left {
        return has_zeros(window, position, header.batch_bytes as u64).await;
    }
    // If the batch is whole up to the end of the file, only the length that it states is wrong.
    let Ok(left) = usize::try_from(left) else {
        return Ok(true);
    };
    let mut batch = window.bytes(position, left).await?.to_vec();
    let counted = i32::try_from(left - UNCOUNTED_BYTES);
    let counted = counted.expect("it is less than the length that was stated");
    batch[8..12].copy_from_slice(&counted.to_be_bytes());
    Ok(BatchHeader::validate(&batch).is_err())
}

/// The bytes of a batch before the part that its length counts.
const UNCOUNTED_BYTES: usize = 12;

/// Whether the part of any block that lies in these `len` bytes is zero, where that says something.
async fn has_zeros<F: File>(
    window: &mut Window<F>,
    position: u64,
    len: u64,
) -> Result<bool, LogError> {
    let end = position + len;
    let mut start = position;
    while start < end {
        let block_end = ((start / BLOCK_BYTES + 1) * BLOCK_BYTES).min(end);
        let part = (block_end - start) as usize;
        let bytes = window.bytes(start, part).await?;
        if part as u64 >= ZEROS_MIN && bytes.iter().all(|byte| *byte == 0) {
            return Ok(true);
        }
        start = block_end;
    }
    Ok(false)
}
